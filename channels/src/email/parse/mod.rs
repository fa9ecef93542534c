//! A raw mail becomes what happened: a message, news of a message of ours, or nothing.
//!
//! Reports come first, then loops, then everything else: a bounce must never begin a conversation.
//! Nothing here looks anything up; which conversation a mail continues is said as clues.

mod automatic;
mod body;
mod files;
mod html;
mod letter;
mod limits;
mod markers;
mod people;
mod quote;
mod report;
#[cfg(test)]
mod tests;

pub use files::bytes as file;
pub use html::{Piece, pieces};

use super::config::Settings;
use super::wire::ids;
use crate::error::Malformed;
use crate::kit::http::Inbound;
use crate::kit::mail::headers;
use crate::model::{
    AccountNotice, Event, EventBody, InboundMessage, Millis, Parsed, Thread, ThreadClue,
    base_subject,
};
use letter::Letter;
use people::{Person, Trust};

/// The same person about the same matter: the page's week.
const RECENT_MS: i64 = 7 * 24 * 3600 * 1000;
/// What the id of a mail without one begins with.
const MADE_UP: &str = "h:";
/// Characters of a fingerprint in an id: 64 bits, among the mails under one Message-ID.
const FINGERPRINT_CHARS: usize = 16;

/// Understands a mail.
///
/// # Errors
/// When there is not one header in it.
pub fn parse(settings: &Settings, request: &Inbound) -> Result<Parsed, Malformed> {
    let truncated = request.headers.get(headers::TRUNCATED).is_some();
    let letter = Letter::read(&request.body, truncated).ok_or_else(|| Malformed {
        expected: "a mail",
        detail: "there is no header in it".to_owned(),
    })?;
    let at = request.headers.get(headers::INTERNAL_DATE).and_then(|t| t.parse().ok());
    let at = at.map_or(request.received_at, Millis);
    let fingerprint: String = limits::chars(&letter.fingerprint(), FINGERPRINT_CHARS);
    let id = letter.ids("message-id").into_iter().next().filter(|id| id.contains('@'));
    let reading = Reading {
        settings,
        request,
        letter: &letter,
        key: match &id {
            Some(id) => format!("mail:{id} {fingerprint}"),
            None => format!("mail:{MADE_UP}{fingerprint}"),
        },
        id,
        fingerprint,
        at,
    };
    Ok(Parsed::events(reading.events()))
}

struct Reading<'r> {
    settings: &'r Settings,
    request: &'r Inbound,
    letter: &'r Letter<'r>,
    /// The Message-ID.
    id: Option<String>,
    fingerprint: String,
    key: String,
    at: Millis,
}

/// Who a mail is from, as far as we are concerned.
enum From {
    /// Somebody who wrote to us.
    Contact(Person),
    /// A colleague, from a mail program, to this person.
    Us(Person),
    /// Nobody.
    Nobody,
}

impl Reading<'_> {
    fn events(&self) -> Vec<Event> {
        let from = people::people(self.letter, "from").into_iter().next();
        let address = from.as_ref().map(|p| &p.address);
        if let Some(kind) = report::kind(self.letter, address) {
            return report::events(self.settings, self.letter, kind, &self.key, self.at);
        }
        let Some(from) = from else {
            return vec![self.notice("mail without a sender")];
        };
        let id = self.id.as_deref().unwrap_or_default();
        if automatic::looped(self.settings, self.letter, &from.address, id).is_some() {
            return Vec::new();
        }
        let trust = people::trust(self.settings, self.letter);
        match self.from(from, trust) {
            From::Contact(person) => vec![self.message(&person, trust, false)],
            From::Us(person) => vec![self.message(&person, trust, true)],
            From::Nobody => vec![self.notice("mail in our own name")],
        }
    }

    /// A mail that makes no message, for the operator.
    fn notice(&self, topic: &str) -> Event {
        let id = self.id.as_deref().unwrap_or("without an id");
        let subject = self.letter.subject();
        let detail = limits::chars(&format!("{id}: {subject}"), 500);
        let topic = topic.to_owned();
        self.event(EventBody::Notice(AccountNotice { topic, detail }))
    }

    fn event(&self, body: EventBody) -> Event {
        Event {
            key: self.key.clone(),
            at: self.at,
            account: None,
            sender: None,
            thread: None,
            body,
        }
    }

    /// Whose mail this is. One in our own name is a form's, which names the person otherwise; or a
    /// colleague's, if the receiving server vouches for it; or somebody's who would like us to think so.
    fn from(&self, from: Person, trust: Trust) -> From {
        if !self.settings.is_own(&from.address) {
            return From::Contact(from);
        }
        let foreign = |name: &str| {
            let mut found = people::people(self.letter, name).into_iter();
            found.find(|p| !self.settings.is_own(&p.address))
        };
        if let Some(person) = foreign("x-original-from").or_else(|| foreign("reply-to")) {
            return From::Contact(person);
        }
        let sent_from_here = self.letter.header("received").is_none();
        match foreign("to").filter(|_| trust == Trust::Verified || sent_from_here) {
            Some(person) => From::Us(person),
            None => From::Nobody,
        }
    }

    fn message(&self, person: &Person, trust: Trust, from_us: bool) -> Event {
        let recipients = people::recipients(self.letter);
        let reply_to = people::people(self.letter, "reply-to").into_iter().next();
        let reply_to = reply_to.filter(|_| !from_us).map_or_else(|| person.address.clone(), |p| p.address);
        let subject = self.letter.subject();
        let answers = self.letter.ids("in-reply-to").into_iter().next();
        let references = self.references();
        let automatic = automatic::reason(self.letter, &person.address);
        let (platform_id, distinct_id) = match &self.id {
            Some(id) => (id.clone(), Some(format!("{id} {}", self.fingerprint))),
            None => (format!("{MADE_UP}{}", self.fingerprint), None),
        };
        let mut people: Vec<String> = recipients
            .iter()
            .filter(|a| !self.settings.is_own(a) && **a != person.address)
            .map(|a| a.text().to_owned())
            .collect();
        people.truncate(limits::PEOPLE);
        let text = body::text(self.letter);
        let (attachments, left) = files::attachments(self.letter, &self.request.headers);
        let shown = if text.shown.is_empty() && attachments.is_empty() {
            subject.clone()
        } else {
            text.shown
        };
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: String| {
            if !value.is_empty() {
                facts.push((name.to_owned(), value));
            }
        };
        fact("subject", subject.clone());
        fact("references", references.join(" "));
        for name in ["to", "cc"] {
            let listed = people::people(self.letter, name).into_iter().take(limits::PEOPLE);
            fact(name, listed.map(|p| p.address.text().to_owned()).collect::<Vec<_>>().join(", "));
        }
        fact("auto", automatic.unwrap_or_default().to_owned());
        if trust == Trust::Unverified {
            fact("sender", "unverified".to_owned());
        }
        if let Some(size) = self.request.headers.get(headers::TRUNCATED) {
            fact("truncated", size.to_owned());
        } else if self.letter.headers_only {
            fact("truncated", self.request.body.len().to_string());
        }
        if left > 0 {
            fact("attachments_left_out", left.to_string());
        }
        fact("original", text.original.unwrap_or_default());
        let thread = Thread {
            key: Some(distinct_id.clone().unwrap_or_else(|| platform_id.clone())),
            address: reply_to.text().to_owned(),
            title: Some(untagged(&subject)).filter(|t| !t.is_empty()),
            clues: self.clues(&recipients, answers.as_deref(), &references, &subject),
            people,
            ..Thread::default()
        };
        Event {
            sender: Some(people::sender(person, trust)),
            thread: Some(thread),
            ..self.event(EventBody::Message(InboundMessage {
                platform_id,
                text: shown,
                attachments,
                reply_to: answers,
                distinct_id,
                automatic: automatic.is_some() || trust == Trust::Unverified,
                from_us,
                facts,
                ..InboundMessage::default()
            }))
        }
    }

    /// The last ids that a mail refers to, the oldest first.
    fn references(&self) -> Vec<String> {
        let mut ids = self.letter.ids("references");
        let surplus = ids.len().saturating_sub(limits::REFERENCES);
        ids.drain(..surplus);
        ids
    }

    /// What a mail says about the conversation that it continues, the surest first.
    fn clues(
        &self,
        recipients: &[super::wire::address::Address],
        answers: Option<&str>,
        references: &[String],
        subject: &str,
    ) -> Vec<ThreadClue> {
        let mut clues = Vec::new();
        let conversation = people::token(self.settings, recipients);
        clues.extend(conversation.map(|id| ThreadClue::Conversation { id }));
        let mut ids: Vec<&str> = answers.into_iter().collect();
        for id in references.iter().rev() {
            if !ids.contains(&id.as_str()) {
                ids.push(id);
            }
        }
        clues.extend(ids.iter().map(|id| ThreadClue::Message {
            platform_id: (*id).to_owned(),
        }));
        let sent = ids.iter().filter_map(|id| ids::read_message_id(self.settings, id));
        clues.extend(sent.map(|message| ThreadClue::Sent { message }));
        clues.extend(self.tagged(subject).map(|id| ThreadClue::Conversation { id }));
        let title = untagged(subject);
        if !title.is_empty() {
            clues.push(ThreadClue::Recent {
                title,
                within_ms: RECENT_MS,
            });
        }
        clues
    }

    /// The conversation that a subject carries: `[#token]`.
    fn tagged(&self, subject: &str) -> Option<crate::model::ConversationId> {
        let mut tags = subject.split("[#").skip(1);
        tags.find_map(|t| ids::read_token(self.settings, t.split(']').next().unwrap_or_default()))
    }
}

/// The subject as the conversation's title: without prefixes and without our tag.
fn untagged(subject: &str) -> String {
    let base = base_subject(subject);
    match base.rsplit_once("[#") {
        Some((head, tag)) if tag.ends_with(']') && !tag.contains(' ') => head.trim_end().to_owned(),
        _ => base.to_owned(),
    }
}
