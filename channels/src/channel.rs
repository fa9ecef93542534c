//! The trait that every platform implements, alone.

use crate::error::{Malformed, Refused, Rejected, SendError};
use crate::kit::http::{Ctx, Inbound, Reply};
use crate::kit::mail::Mailbox;
use crate::model::{
    Capabilities, ConversationId, Effect, Found, Health, Media, MediaRef, Mirror, Outgoing, Parsed,
    Part, Question, Receipt, Recipient,
};
use async_trait::async_trait;

/// A request whose signature holds. Only [`Verified::check`] makes one, so no adapter can read a
/// body before it was verified.
#[derive(Debug)]
pub struct Verified<'a>(&'a Inbound);

impl<'a> Verified<'a> {
    /// Verifies a request with the channel that it came to.
    ///
    /// # Errors
    /// When the signature is missing, malformed or made with another key.
    pub fn check(channel: &dyn Channel, request: &'a Inbound) -> Result<Self, Rejected> {
        channel.verify(request)?;
        Ok(Self(request))
    }

    /// The request.
    pub const fn request(&self) -> &'a Inbound {
        self.0
    }
}

/// One account of one platform. Pure wherever it can be: only `deliver`, `fetch_media`, `probe`,
/// `perform` and `find_sent` reach out, and only through [`Ctx`].
#[async_trait]
pub trait Channel: Send + Sync {
    /// What the platform can carry.
    fn capabilities(&self) -> &Capabilities;

    /// The account's keys as the platform writes them into events, where several accounts share one
    /// webhook URL (WhatsApp: the phone number id; Messenger: the page and the Instagram account that is
    /// linked to it), the usual one first. None: the URL alone tells the account.
    fn account_keys(&self) -> Vec<&str> {
        Vec::new()
    }

    /// The mailbox out of which the service fetches what this channel parses, for platforms that
    /// push nothing. Each mail comes as an `Inbound` of [`Via::Mailbox`](crate::kit::http::Via).
    fn mailbox(&self) -> Option<&Mailbox> {
        None
    }

    /// Checks the signature over the raw bytes, in constant time. Pure.
    ///
    /// # Errors
    /// When the request cannot be believed.
    fn verify(&self, request: &Inbound) -> Result<(), Rejected>;

    /// Answers the platform's set-up request (a GET that is not signed). `None`: not one. Pure.
    fn handshake(&self, request: &Inbound) -> Option<Reply>;

    /// Understands a webhook. Total: what it does not know becomes `Unknown` events. Pure.
    ///
    /// # Errors
    /// Only when the body is no JSON, form or XML at all.
    fn parse(&self, request: &Verified<'_>) -> Result<Parsed, Malformed>;

    /// Reads an address that a caller wrote (a telephone number, a chat id). Pure.
    ///
    /// # Errors
    /// When it is no address of this platform.
    fn recipient(&self, address: &str) -> Result<Recipient, Refused>;

    /// Cuts a message into parts: text at the limit, attachments in order. Pure.
    ///
    /// # Errors
    /// When the platform cannot carry it; names the argument.
    fn plan(&self, message: &Outgoing) -> Result<Vec<Part>, Refused>;

    /// Sends one part.
    ///
    /// # Errors
    /// With the class that decides what happens next.
    async fn deliver(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError>;

    /// Fetches the bytes of an inbound attachment.
    ///
    /// # Errors
    /// With the class that decides what happens next.
    async fn fetch_media(&self, media: &MediaRef, ctx: &Ctx<'_>) -> Result<Media, SendError>;

    /// Asks the platform whether the credentials work.
    ///
    /// # Errors
    /// When they do not, or the platform cannot be asked.
    async fn probe(&self, ctx: &Ctx<'_>) -> Result<Health, SendError>;

    /// The name that recipients see, where a caller may add to it (mail).
    fn sender_name(&self) -> Option<&str> {
        None
    }

    /// How often the service probes while the channel is paused for its credentials or account, in
    /// seconds. Every minute, where a platform minds no wrong password; mail providers lock an account
    /// that fails too often.
    fn probe_seconds(&self) -> u64 {
        60
    }

    /// Does what must follow an event: answers a callback, fetches a profile. The result, where
    /// there is one, is applied to the contact.
    ///
    /// # Errors
    /// With the class; `Retry` is tried again for a minute, anything else is dropped.
    async fn perform(
        &self,
        effect: &Effect,
        ctx: &Ctx<'_>,
    ) -> Result<Option<crate::model::Sender>, SendError> {
        let _ = (effect, ctx);
        Ok(None)
    }

    /// Looks for an unsure part at the platform, where a platform can be asked: `Some` proves that
    /// it arrived. `None` proves nothing.
    ///
    /// # Errors
    /// When the platform cannot be asked now.
    async fn find_sent(&self, part: &Part, ctx: &Ctx<'_>) -> Result<Option<Receipt>, SendError> {
        let _ = (part, ctx);
        Ok(None)
    }

    /// How conversations of other channels are shown here, where the platform is one at which our
    /// own people sit. `None`: it is not. Pure.
    fn mirror(&self) -> Option<&Mirror> {
        None
    }

    /// Where the mirror of a conversation with this person begins: an address. Pure.
    fn mirror_begins(&self, person: &str, conversation: ConversationId) -> Option<String> {
        let _ = (person, conversation);
        None
    }

    /// Where a mirror goes on whose first message has become this platform id: the address, which is
    /// also the key of the thread that people's answers name. Pure.
    fn mirror_goes_on(&self, first: &str) -> Option<String> {
        let _ = first;
        None
    }

    /// Asks the platform about the people and places that it has, for a caller who waits.
    ///
    /// # Errors
    /// When the platform cannot be asked, refuses, or has nothing of the kind.
    async fn ask(&self, question: &Question, ctx: &Ctx<'_>) -> Result<Found, SendError> {
        let _ = (question, ctx);
        let scope = crate::error::SetupScope::Message;
        let words = "this platform has nothing of the kind";
        Err(SendError::new(
            crate::error::Class::Setup { scope },
            "unsupported",
            words,
        ))
    }
}
