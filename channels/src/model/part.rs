//! A message cut into requests that a platform takes or refuses whole.

use super::ids::{MessageId, Millis};
use super::mail::{MailHead, MailThread};
use super::message::{Author, Choice, ContactCard, Location, OutgoingAttachment, Template};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The content of one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PartBody {
    /// Text within the platform's limit.
    Text {
        /// The text.
        text: String,
    },
    /// One attachment with an optional caption.
    Media {
        /// The attachment.
        attachment: OutgoingAttachment,
        /// Text shown with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
    },
    /// Several attachments that the platform takes in one request, with one caption.
    Album {
        /// The attachments in order.
        attachments: Vec<OutgoingAttachment>,
        /// Text shown with them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        caption: Option<String>,
    },
    /// A place.
    Location {
        /// The place.
        location: Location,
    },
    /// One contact card.
    Contact {
        /// The card.
        contact: ContactCard,
    },
    /// An approved template.
    Template {
        /// The template.
        template: Template,
    },
    /// Several bodies that the platform takes or refuses together, in order (LINE: five).
    Bundle {
        /// The bodies; none of them a bundle.
        bodies: Vec<PartBody>,
    },
}

impl PartBody {
    /// The bodies inside: those of a bundle, else this one.
    pub fn flat(&self) -> &[Self] {
        match self {
            Self::Bundle { bodies } => bodies,
            other => std::slice::from_ref(other),
        }
    }
}

/// One request that the platform takes or refuses whole. Stored with the message, so that a retry
/// and a restart send exactly what was planned. Fields are only ever added, with a default: parts
/// written by one release are delivered by the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Our id of the message.
    pub message: MessageId,
    /// Which part this is, from 0.
    pub index: u16,
    /// How many parts the message has.
    pub of: u16,
    /// Whom it goes to.
    pub to: String,
    /// What is sent.
    pub body: PartBody,
    /// The platform's id of the message that this part answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Choices offered with this part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// After this the part is worthless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    /// In whose name it goes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// What a mail has beside its content.
    #[serde(default, skip_serializing_if = "MailHead::is_default")]
    pub mail: MailHead,
    /// Where a mail stands; written by the transaction that accepts the send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<MailThread>,
}

impl Part {
    /// Numbers bodies as the parts of one message: the reply goes on the first, the choices on the
    /// last, as every platform wants it.
    pub fn sequence(message: &super::Outgoing, bodies: Vec<PartBody>) -> Vec<Self> {
        let of = u16::try_from(bodies.len()).unwrap_or(u16::MAX);
        let last = bodies.len().saturating_sub(1);
        bodies
            .into_iter()
            .enumerate()
            .map(|(i, body)| Self {
                message: message.id,
                index: u16::try_from(i).unwrap_or(u16::MAX),
                of,
                to: message.to.clone(),
                body,
                reply_to: if i == 0 {
                    message.reply_to.clone()
                } else {
                    None
                },
                choices: if i == last {
                    message.choices.clone()
                } else {
                    Vec::new()
                },
                expires_at: message.expires_at,
                author: message.author.clone(),
                mail: message.mail.clone(),
                thread: None,
            })
            .collect()
    }

    /// The key that makes a repeated delivery of this part recognisable: the same in every attempt.
    pub fn idempotency_key(&self) -> String {
        format!("sb-{}-{}", self.message, self.index)
    }
}

/// What the platform answered to a part that it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The platform's ids, one per item of the part.
    pub platform_ids: Vec<String>,
    /// The platform's own answer, verbatim JSON (a JSON string where it answered otherwise).
    pub answer: String,
    /// The recipient's id as the platform knows it, where that differs from what we addressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

/// The bytes of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// The content.
    pub bytes: Bytes,
    /// MIME type as the platform stated it.
    pub mime: Option<String>,
    /// File name as the platform stated it.
    pub name: Option<String>,
}

/// What a probe of the credentials found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The account, named so that an operator recognises it: a bot's user name, a number.
    pub account: String,
}
