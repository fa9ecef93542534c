//! Webhooks into events. Messages and statuses come to the same URL and are told apart by what they
//! carry.

mod media;

use super::classify;
use super::config::Settings;
use super::address::is_e164;
use super::wire::{Params, Shape};
use crate::error::{Malformed, Words};
use crate::kit::http::{Inbound, Reply};
use crate::kit::{json, sign};
use crate::model::{
    DeliveryStatus, Event, EventBody, InboundMessage, Millis, Parsed, Sender, StatusUpdate, Thread,
    UserChange,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The answer to a message that says nothing: any text in it would be sent to the customer.
pub const TWIML: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Response/>"#;

/// Words that Twilio itself takes for an opt-out, compared with the whole trimmed, upper-cased text.
const STOP_WORDS: [&str; 8] = [
    "STOP",
    "STOPALL",
    "UNSUBSCRIBE",
    "CANCEL",
    "END",
    "QUIT",
    "REVOKE",
    "OPTOUT",
];

/// Words that take an opt-out back. Not `YES`, which Twilio takes too, but only from those who had
/// opted out; from everybody else it answers a question.
const START_WORDS: [&str; 2] = ["START", "UNSTOP"];

/// Parameters that have no place of their own in a message, under their names as facts.
const FACTS: [(&str, &str); 12] = [
    ("to", "To"),
    ("messaging_service_sid", "MessagingServiceSid"),
    ("segments", "NumSegments"),
    ("opt_out_type", "OptOutType"),
    ("from_city", "FromCity"),
    ("from_state", "FromState"),
    ("from_zip", "FromZip"),
    ("from_country", "FromCountry"),
    ("to_city", "ToCity"),
    ("to_state", "ToState"),
    ("to_zip", "ToZip"),
    ("to_country", "ToCountry"),
];

/// Understands a verified webhook.
///
/// # Errors
/// When the body is neither a form nor, where it says so, JSON.
pub fn parse(request: &Inbound, settings: &Settings) -> Result<Parsed, Malformed> {
    let raw = match Shape::of(request) {
        Shape::Json => return json_elements(request),
        Shape::Query => request.query.as_str(),
        Shape::Form => std::str::from_utf8(&request.body).map_err(|e| Malformed {
            expected: "a form",
            detail: format!("no UTF-8 from byte {}", e.valid_up_to()),
        })?,
    };
    let params = Params::read(raw.as_bytes());
    let form = Form {
        params: &params,
        raw,
        at: request.received_at,
    };
    // SMS has a status of its own for messages that came in; everything else with a status is about
    // a message of ours.
    let sms_status = params.filled("SmsStatus");
    let inbound = matches!(sms_status, Some("received" | "receiving"));
    let status = params.filled("MessageStatus").or(sms_status);
    let (body, reply) = match status {
        Some(status) if !inbound => {
            let reference = request.query_value("gw").filter(|r| !r.is_empty());
            (form.status(status, reference), Reply::empty(204))
        }
        _ => (form.message(), Reply::xml(200, TWIML)),
    };
    let other = params
        .get("AccountSid")
        .is_some_and(|account| account != settings.account_sid);
    let events = match body {
        // Signed with our token, but not about our account: kept, and never mixed into our
        // conversations.
        Ok(_) if other => vec![form.unknown("other account")],
        Ok(events) => events,
        Err(what) => vec![form.unknown(&what)],
    };
    Ok(Parsed {
        events,
        effects: Vec::new(),
        reply,
    })
}

/// The parameters of one webhook.
struct Form<'a> {
    params: &'a Params,
    raw: &'a str,
    at: Millis,
}

impl Form<'_> {
    /// The events of an inbound message, or what is wrong with it.
    fn message(&self) -> Result<Vec<Event>, String> {
        let sid = self.sid()?;
        let from = self.address("From")?;
        let text = unwrapped(self.params.get("Body").unwrap_or_default());
        let facts = FACTS.iter().filter_map(|(name, parameter)| {
            let value = self.params.filled(parameter)?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        let mut events = vec![self.of(
            format!("m:{sid}"),
            from,
            EventBody::Message(InboundMessage {
                platform_id: sid.to_owned(),
                text: text.clone(),
                attachments: media::attachments(self.params),
                facts: facts.collect(),
                ..InboundMessage::default()
            }),
        )];
        if let Some(change) = self.wish(&text) {
            events.push(self.of(format!("o:{sid}"), from, EventBody::User(change)));
        }
        Ok(events)
    }

    /// Whether the person wants to hear from us, if this message is about that. Twilio has acted on
    /// it and answered it before we hear of it.
    fn wish(&self, text: &str) -> Option<UserChange> {
        let word = text.trim().to_uppercase();
        match self.params.filled("OptOutType") {
            Some("STOP") => Some(UserChange::OptedOut),
            Some("START") => Some(UserChange::OptedIn),
            // HELP, and whatever comes next: no wish. The word alone no longer decides.
            Some(_) => None,
            None if STOP_WORDS.contains(&word.as_str()) => Some(UserChange::OptedOut),
            None if START_WORDS.contains(&word.as_str()) => Some(UserChange::OptedIn),
            None => None,
        }
    }

    /// The events of a status, or what is wrong with it. None for steps before the carrier has it.
    fn status(&self, status: &str, reference: Option<String>) -> Result<Vec<Event>, String> {
        let sid = self.sid()?;
        let to = self.address("To")?;
        let (reached, error) = match status {
            "accepted" | "scheduled" | "queued" | "sending" => return Ok(Vec::new()),
            "sent" => (DeliveryStatus::Sent, None),
            "delivered" | "partially_delivered" => (DeliveryStatus::Delivered, None),
            "read" => (DeliveryStatus::Read, None),
            "undelivered" | "failed" | "canceled" => {
                let code = self.params.filled("ErrorCode");
                let class = classify::failed(status, code.and_then(|c| c.parse().ok()));
                let message = self.params.filled("ErrorMessage").unwrap_or(status);
                let words = Words::new(cut(code.unwrap_or(status)), message);
                (DeliveryStatus::Failed, Some((class, words)))
            }
            other => return Err(format!("status {}", cut(other))),
        };
        let opted_out = error
            .as_ref()
            .is_some_and(|(_, words)| words.code == classify::OPTED_OUT.to_string());
        let mut events = vec![Event {
            key: format!("s:{sid}:{status}"),
            at: self.at,
            account: None,
            sender: None,
            thread: None,
            body: EventBody::Status(StatusUpdate {
                platform_id: sid.to_owned(),
                status: reached,
                error,
                our_reference: reference,
                watermark: None,
            }),
        }];
        if opted_out {
            let change = EventBody::User(UserChange::OptedOut);
            events.push(self.of(format!("o:{sid}"), to, change));
        }
        Ok(events)
    }

    fn sid(&self) -> Result<&str, String> {
        let names = ["MessageSid", "SmsMessageSid", "SmsSid"];
        let sid = names.iter().find_map(|n| self.params.filled(n));
        let sid = sid.ok_or("no MessageSid")?;
        // 34 characters at Twilio; what is longer or odd would become a key of ours.
        if sid.len() <= 64 && sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            Ok(sid)
        } else {
            Err("a MessageSid that is none".to_owned())
        }
    }

    /// The customer's address. WhatsApp and RCS come with a prefix and are other channels.
    fn address(&self, name: &str) -> Result<&str, String> {
        let address = self.params.filled(name).ok_or(format!("no {name}"))?;
        match address.split_once(':') {
            Some((channel, _)) => Err(format!("{} address", cut(channel))),
            None if address.len() > 64 => Err(format!("a {name} that is none")),
            None => Ok(address),
        }
    }

    /// An event that concerns this customer.
    fn of(&self, key: String, address: &str, body: EventBody) -> Event {
        Event {
            key,
            at: self.at,
            account: None,
            sender: Some(Sender {
                ids: vec![address.to_owned()],
                phone: is_e164(address).then(|| address.to_owned()),
                ..Sender::default()
            }),
            thread: Some(Thread {
                address: address.to_owned(),
                ..Thread::default()
            }),
            body,
        }
    }

    fn unknown(&self, what: &str) -> Event {
        unknown(what, self.raw, self.at)
    }
}

/// An event that is kept raw, under a key made of its content.
fn unknown(what: &str, raw: &str, at: Millis) -> Event {
    let hash: String = sign::sha256_hex(raw.as_bytes()).chars().take(32).collect();
    Event {
        key: format!("u:{hash}"),
        at,
        account: None,
        sender: None,
        thread: None,
        body: EventBody::Unknown {
            what: what.to_owned(),
            raw: raw.to_owned(),
        },
    }
}

/// JSON comes from products that an operator pointed here by mistake or on purpose (event streams,
/// the debugger): all of it is kept, none of it is known.
fn json_elements(request: &Inbound) -> Result<Parsed, Malformed> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(alias = "type")]
        #[serde(rename = "eventType")]
        name: String,
    }
    let malformed = |e: serde_json::Error| Malformed {
        expected: "JSON",
        detail: json::shape(&e),
    };
    let whole: &RawValue = serde_json::from_slice(&request.body).map_err(malformed)?;
    let elements = serde_json::from_str::<Vec<&RawValue>>(whole.get());
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for element in elements.unwrap_or_else(|_| vec![whole]) {
        let named = json::read::<Named>(element);
        let what = named.map_or_else(|_| "JSON".to_owned(), |n| cut(&n.name));
        let event = unknown(&what, element.get(), request.received_at);
        // The same element twice says nothing more, and two events must not share a key.
        if seen.insert(event.key.clone()) {
            events.push(event);
        }
    }
    Ok(Parsed {
        events,
        effects: Vec::new(),
        reply: Reply::empty(204),
    })
}

/// The beginning of a word that a stranger chose.
fn cut(word: &str) -> String {
    word.chars().take(40).collect()
}

/// Some joined messages have been seen to arrive in base64. Only a text that is nothing else, is as
/// long as a joined message, and gives printable text is taken for one.
fn unwrapped(body: &str) -> String {
    const SHORTEST: usize = 60;
    let decoded = || {
        let text = String::from_utf8(sign::from_base64(body)?).ok()?;
        let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        text.chars().all(printable).then_some(text)
    };
    if body.len() < SHORTEST {
        return body.to_owned();
    }
    decoded().unwrap_or_else(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_base64_is_unwrapped() {
        let text = "This text was long enough to be joined from several parts. ÄÖ";
        let wrapped = sign::base64(text.as_bytes());
        assert_eq!(unwrapped(&wrapped), text);
        let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let long_word = "a".repeat(64);
        for kept in ["", "SGVqIQ==", hash, &long_word, "not base64 at all, but a sentence of more than sixty characters"] {
            assert_eq!(unwrapped(kept), kept);
        }
    }

    #[test]
    fn words_are_wishes_only_alone() {
        let wish = |raw: &str| {
            let params = Params::read(raw.as_bytes());
            let form = Form { params: &params, raw, at: Millis(0) };
            form.wish(params.get("Body").unwrap_or_default())
        };
        for word in STOP_WORDS {
            assert_eq!(wish(&format!("Body=+{}%0A", word.to_lowercase())), Some(UserChange::OptedOut));
        }
        for word in START_WORDS {
            assert_eq!(wish(&format!("Body={word}")), Some(UserChange::OptedIn));
        }
        for none in ["Body=stop+it", "Body=HELP", "Body=INFO", "Body=YES", "Body=", "Body=STOP&OptOutType=HELP"] {
            assert_eq!(wish(none), None, "{none}");
        }
        assert_eq!(wish("Body=arr%C3%AAt&OptOutType=STOP"), Some(UserChange::OptedOut));
        assert_eq!(wish("Body=&OptOutType=START"), Some(UserChange::OptedIn));
    }

    #[test]
    fn every_status_is_known() {
        let cases = [
            ("accepted", None),
            ("scheduled", None),
            ("queued", None),
            ("sending", None),
            ("sent", Some(DeliveryStatus::Sent)),
            ("delivered", Some(DeliveryStatus::Delivered)),
            ("partially_delivered", Some(DeliveryStatus::Delivered)),
            ("read", Some(DeliveryStatus::Read)),
            ("undelivered", Some(DeliveryStatus::Failed)),
            ("failed", Some(DeliveryStatus::Failed)),
            ("canceled", Some(DeliveryStatus::Failed)),
        ];
        let params = Params::read(b"MessageSid=SM1&To=%2B46701740605");
        let form = Form { params: &params, raw: "", at: Millis(0) };
        for (status, expected) in cases {
            let events = form.status(status, None).unwrap();
            let found = events.first().map(|e| match &e.body {
                EventBody::Status(update) => update.status,
                other => panic!("{other:?}"),
            });
            assert_eq!(found, expected, "{status}");
        }
        assert!(form.status("teleported", None).is_err());
    }
}
