//! The Send API: to whom, when, and what follows.

use super::check::{self, known, object, string};
use super::{Fault, Line, Person, Sandbox};
use crate::kit::emulator::{Exchange, Hook, PhoneLine};
use crate::kit::http::{Body, Request, Response};
use crate::messenger::plan::Platform;
use crate::messenger::render::HUMAN_AGENT;
use crate::model::{Millis, TextLimit, Unit};
use serde_json::{Map, Value, json};

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// Tags that Meta took until 27 April 2026.
const DEAD_TAGS: [&str; 3] = [
    "ACCOUNT_UPDATE",
    "CONFIRMED_EVENT_UPDATE",
    "POST_PURCHASE_UPDATE",
];

/// The reactions that the Send API knows by name.
const REACTIONS: [(&str, &str); 7] = [
    ("smile", "😆"),
    ("angry", "😠"),
    ("sad", "😢"),
    ("wow", "😮"),
    ("love", "❤"),
    ("like", "👍"),
    ("dislike", "👎"),
];

/// Names and ids: no text for people.
const WORD: TextLimit = TextLimit {
    max: 512,
    unit: Unit::Chars,
};

impl Sandbox {
    /// A message, or a sign that somebody is there.
    pub fn messages(&mut self, request: &Request, now: Millis) -> Result<Exchange, Fault> {
        let Body::Json(text) = &request.body else {
            return Err(Fault::parameter("the body must be JSON"));
        };
        let Ok(body) = serde_json::from_str::<Map<String, Value>>(text) else {
            return Err(Fault::parameter("the body must be a JSON object"));
        };
        let fields = [
            "recipient",
            "messaging_type",
            "tag",
            "message",
            "reply_to",
            "notification_type",
            "sender_action",
            "payload",
        ];
        known(&body, "body", &fields)?;
        let recipient = object(&body, "recipient")?
            .ok_or_else(|| Fault::parameter("The parameter recipient is required"))?;
        known(recipient, "recipient", &["id"])?;
        let id = string(recipient, "id", WORD)?.unwrap_or_default();
        let no_user = || Fault::new(100, Some(2_018_001), "No matching user found");
        let person = self.person(id).cloned().ok_or_else(no_user)?;
        if person.blocked {
            let words = "This person isn't available right now.";
            return Err(Fault::new(551, Some(1_545_041), words));
        }
        if body.contains_key("sender_action") {
            return self.sender_action(&body, &person);
        }
        let utility = window(&body, &person, now)?;
        let message = object(&body, "message")?
            .ok_or_else(|| Fault::parameter("The parameter message is required"))?;
        let accepted = check::message(message, person.address.platform, utility)?;
        if let Some(reply) = object(&body, "reply_to")? {
            known(reply, "reply_to", &["mid"])?;
            let mid = string(reply, "mid", WORD)?.unwrap_or_default();
            if self.line(&person, mid).is_none() {
                return Err(Fault::parameter("there is no message to reply to"));
            }
        }
        Ok(self.send(&person, accepted, now))
    }

    /// A message on the phone of this person.
    pub fn line(&self, person: &Person, mid: &str) -> Option<&Line> {
        let customer = person.address.to_string();
        let mut lines = self.lines.iter();
        lines.find(|line| line.shown.id == mid && line.shown.customer == customer)
    }

    fn send(&mut self, person: &Person, accepted: check::Accepted, now: Millis) -> Exchange {
        let platform = person.address.platform;
        let mid = self.next_mid(platform);
        let mut echo = json!({"mid": mid, "is_echo": true});
        if let Some(fields) = echo.as_object_mut() {
            match &accepted.attachment {
                Some(attachment) => fields.insert("attachments".into(), json!([attachment])),
                None => fields.insert("text".into(), json!(accepted.text)),
            };
            // Instagram's echoes say neither which app it was nor what it put there.
            if platform == Platform::Messenger {
                fields.insert("app_id".into(), json!(self.app().parse::<u64>().ok()));
                if let Some(metadata) = &accepted.metadata {
                    fields.insert("metadata".into(), json!(metadata));
                }
            }
        }
        let mut hooks = vec![self.by_us(&person.address, echo, now)];
        if platform == Platform::Messenger {
            let delivery = json!({"mids": [mid], "watermark": now.0});
            let delivered = self.by_person(&person.address, "delivery", delivery, now);
            hooks.push(Hook {
                after_ms: 50,
                ..delivered
            });
        }
        let titles = accepted.buttons.iter().map(|button| button.title.clone());
        self.push(Line {
            shown: PhoneLine {
                customer: person.address.to_string(),
                name: person.name.clone(),
                id: mid.clone(),
                from_gateway: true,
                text: accepted.text,
                extras: accepted.extras,
                buttons: titles.collect(),
                reactions: Vec::new(),
                at: now,
            },
            buttons: accepted.buttons,
            edits: 0,
        });
        let answer = json!({"recipient_id": person.address.id, "message_id": mid});
        Exchange {
            response: Response::json(200, answer.to_string()),
            hooks,
        }
    }

    fn sender_action(
        &mut self,
        body: &Map<String, Value>,
        person: &Person,
    ) -> Result<Exchange, Fault> {
        known(body, "body", &["recipient", "sender_action", "payload"])?;
        let action = string(body, "sender_action", WORD)?.unwrap_or_default();
        match action {
            "typing_on" | "typing_off" | "mark_seen" => {
                known(body, "body", &["recipient", "sender_action"])?;
            }
            "react" | "unreact" => {
                let payload = object(body, "payload")?
                    .ok_or_else(|| Fault::parameter("a reaction needs a payload"))?;
                known(payload, "payload", &["message_id", "reaction"])?;
                let mid = string(payload, "message_id", WORD)?.unwrap_or_default();
                let name = string(payload, "reaction", WORD)?;
                let emoji = REACTIONS.iter().find(|(n, _)| Some(*n) == name);
                if (action == "react") != emoji.is_some() {
                    return Err(Fault::parameter("there is no such reaction"));
                }
                if self.line(person, mid).is_none() {
                    return Err(Fault::parameter("there is no message to react to"));
                }
                let mut lines = self.lines.iter_mut();
                if let Some(line) = lines.find(|line| line.shown.id == mid) {
                    line.shown.reactions =
                        emoji.map(|(_, e)| (*e).to_owned()).into_iter().collect();
                }
            }
            _ => {
                return Err(Fault::parameter(format!(
                    "there is no sender_action {action}"
                )));
            }
        }
        let answer = json!({"recipient_id": person.address.id});
        Ok(Response::json(200, answer.to_string()).into())
    }
}

/// Checks the type of a message against the time since the person did something. Gives whether it is
/// a utility message.
fn window(body: &Map<String, Value>, person: &Person, now: Millis) -> Result<bool, Fault> {
    let platform = person.address.platform;
    let kind = string(body, "messaging_type", WORD)?;
    let tag = string(body, "tag", WORD)?;
    if tag.is_some_and(|tag| DEAD_TAGS.contains(&tag)) {
        let words = "This message tag is no longer supported.";
        return Err(Fault::new(100, Some(1_893_061), words));
    }
    let days = match (kind, platform, tag) {
        (Some("MESSAGE_TAG"), _, Some(HUMAN_AGENT)) => 7,
        (Some("UTILITY"), Platform::Messenger, None) => return Ok(true),
        (Some("RESPONSE" | "UPDATE"), Platform::Messenger, None) => 1,
        (None, Platform::Instagram, None) => 1,
        (None, Platform::Messenger, _) => {
            return Err(Fault::parameter("param messaging_type must be non-empty"));
        }
        _ => {
            return Err(Fault::parameter(
                "there is no such messaging_type, or not with this tag",
            ));
        }
    };
    let open = person
        .acted
        .is_none_or(|acted| now.since(acted) <= days * DAY_MILLIS);
    if open {
        return Ok(false);
    }
    let subcode = match platform {
        Platform::Messenger => 2_018_278,
        Platform::Instagram => 2_534_022,
    };
    let words = "This message is sent outside of allowed window.";
    Err(Fault::new(10, Some(subcode), words))
}
