//! The normalised model: what every platform's messages look like once they are ours.

mod capabilities;
mod desk;
mod event;
mod ids;
mod mail;
mod message;
mod part;

pub use capabilities::{
    Capabilities, Idempotency, IdentityScope, MediaLimit, Pacing, Support, TextLimit, Unit,
};
pub use desk::{Found, Member, Mirror, Question};
pub use event::{
    AccountNotice, Delete, DeliveryStatus, Edit, Effect, Event, EventBody, InboundMessage, Parsed,
    Profile, Reaction, ReplyToken, Sender, StatusUpdate, Thread, UserChange,
};
pub use ids::{ConversationId, MessageId, Millis, UserId};
pub use mail::{Automatic, MailHead, MailThread, ThreadClue, base_subject, subject_key};
pub use message::{
    Attachment, AttachmentKind, Author, Choice, ContactCard, Location, MediaRef, Outgoing,
    OutgoingAttachment, Recipient, Structured, Template, TemplateText,
};
pub use part::{Health, Media, Part, PartBody, Receipt};
