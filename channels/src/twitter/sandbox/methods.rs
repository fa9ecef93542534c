//! The calls that the emulator knows.

use super::{Failure, Sandbox, Stored};
use crate::kit::emulator::Exchange;
use crate::kit::http::{Body, Method, Request, Response};
use crate::model::Millis;
use serde_json::{Map, Value, json};

/// The most characters of a message.
const TEXT_MAX: usize = 10_000;

/// Messages of a day.
const DAY_MAX: u32 = 1440;
const DAY_MS: i64 = 86_400_000;

impl Sandbox {
    /// Answers a call whose signature holds.
    pub fn answer(
        &mut self,
        path: &str,
        request: &Request,
        now: Millis,
    ) -> Result<Exchange, Failure> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (request.method, segments.as_slice()) {
            (Method::Post, ["2", "dm_conversations", "with", to, "messages"]) => {
                let to = (*to).to_owned();
                self.send(&to, request, now)
            }
            (Method::Post, ["2", "dm_conversations", conversation, "messages"]) => {
                let ours = self.settings.user_id.as_str();
                let pair = conversation.split_once('-');
                let to = pair.and_then(|(a, b)| match (a == ours, b == ours) {
                    (true, false) => Some(b.to_owned()),
                    (false, true) => Some(a.to_owned()),
                    _ => None,
                });
                let to = to.ok_or_else(not_found)?;
                self.send(&to, request, now)
            }
            (Method::Delete, ["2", "dm_events", id]) => self.delete(id),
            (Method::Get, ["2", "dm_events"]) => Ok(self.list(None)),
            (Method::Get, ["2", "dm_conversations", "with", id, "dm_events"]) => {
                Ok(self.list(Some(id)))
            }
            (Method::Get, ["2", "users", "me"]) => {
                let me = self.person(&self.settings.user_id);
                Ok(Response::json(200, json!({"data": me}).to_string()).into())
            }
            (Method::Get, ["2", "users", id]) => {
                if !self.customers.contains_key(*id) && *id != self.settings.user_id {
                    return Err(not_found());
                }
                let answer = json!({"data": self.person(id)});
                Ok(Response::json(200, answer.to_string()).into())
            }
            (_, ["2", "media", "upload", ..]) => self.upload(&segments, request, now),
            (Method::Get, ["1.1", "ton", ..]) => {
                let file = self.files.iter().find(|file| file.path == path);
                let file = file.ok_or_else(not_found)?;
                let response = Response {
                    body: file.bytes.clone(),
                    ..Response::empty(200).with_header("content-type", &file.mime)
                };
                Ok(response.into())
            }
            _ => Err(not_found()),
        }
    }

    fn send(&mut self, to: &str, request: &Request, now: Millis) -> Result<Exchange, Failure> {
        let fields = object(request)?;
        only(&fields, &["text", "attachments"])?;
        let text = match fields.get("text") {
            None => "",
            Some(Value::String(text)) if text.trim().is_empty() => {
                return Err(Failure::invalid("text: must not be empty"));
            }
            Some(Value::String(text)) => text,
            Some(_) => return Err(Failure::invalid("text: must be a string")),
        };
        if text.chars().count() > TEXT_MAX {
            return Err(Failure::invalid("The text of your direct message is over the max character limit"));
        }
        let media = match fields.get("attachments") {
            None => None,
            Some(Value::Array(list)) => match list.as_slice() {
                [Value::Object(one)] => {
                    only(one, &["media_id"])?;
                    let id = one.get("media_id").and_then(Value::as_str);
                    Some(id.ok_or_else(|| Failure::invalid("attachments.media_id: is required"))?)
                }
                _ => return Err(Failure::invalid("attachments: must have exactly one item")),
            },
            Some(_) => return Err(Failure::invalid("attachments: must be an array")),
        };
        if text.is_empty() && media.is_none() {
            return Err(Failure::invalid("text or attachments is required"));
        }
        let customer = self.customers.get(to).ok_or_else(not_found)?;
        if customer.blocked {
            let detail = "You cannot send messages to this user.";
            return Err(Failure::new(403, "Forbidden", detail));
        }
        self.count(now)?;
        let attachment = match media {
            Some(id) => Some(self.attach(id, now)?),
            None => None,
        };
        let stored = Stored {
            customer: to.to_owned(),
            id: self.next_id(now),
            from_us: true,
            text: text.to_owned(),
            attachment,
            read: false,
            at: now,
        };
        self.keep(stored.clone());
        let echo = self.message_event(&stored, now);
        let ours = self.settings.user_id.clone();
        let answer = json!({"data": {
            "dm_conversation_id": conversation(&ours, to),
            "dm_event_id": stored.id.to_string(),
        }});
        Ok(Exchange {
            response: Response::json(201, answer.to_string()),
            hooks: vec![echo],
        })
    }

    /// Counts a message of this day.
    fn count(&mut self, now: Millis) -> Result<(), Failure> {
        if now.since(self.day.0) >= DAY_MS {
            self.day = (now, 0);
        }
        if self.day.1 >= DAY_MAX {
            let reset = self.day.0.plus(DAY_MS).0.div_euclid(1000).to_string();
            return Err(Failure {
                kind: "https://api.x.com/2/problems/rate-limit-exceeded",
                headers: vec![
                    ("x-rate-limit-limit", "15".into()),
                    ("x-rate-limit-remaining", "15".into()),
                    ("x-rate-limit-reset", now.0.div_euclid(1000).to_string()),
                    ("x-user-limit-24hour-reset", reset),
                ],
                ..Failure::new(429, "Too Many Requests", "Too Many Requests")
            });
        }
        self.day.1 += 1;
        Ok(())
    }

    fn delete(&mut self, id: &str) -> Result<Exchange, Failure> {
        let ours = |stored: &Stored| stored.id.to_string() == id && stored.from_us;
        let at = self.messages.iter().position(ours).ok_or_else(not_found)?;
        self.messages.remove(at);
        let answer = json!({"data": {"deleted": true}});
        Ok(Response::json(200, answer.to_string()).into())
    }

    /// The last messages, newest first.
    fn list(&self, with: Option<&str>) -> Exchange {
        let events: Vec<Value> = self
            .messages
            .iter()
            .rev()
            .filter(|stored| with.is_none_or(|with| stored.customer == with))
            .take(100)
            .map(|stored| {
                let ours = self.settings.user_id.as_str();
                let sender = if stored.from_us { ours } else { &stored.customer };
                json!({
                    "id": stored.id.to_string(), "event_type": "MessageCreate",
                    "text": stored.text, "sender_id": sender,
                    "dm_conversation_id": conversation(ours, &stored.customer),
                })
            })
            .collect();
        let answer = json!({"data": events, "meta": {"result_count": events.len()}});
        Response::json(200, answer.to_string()).into()
    }
}

/// The id of the conversation of two: the smaller number first.
fn conversation(a: &str, b: &str) -> String {
    let key = |id: &str| (id.len(), id.to_owned());
    let (first, second) = if key(a) <= key(b) { (a, b) } else { (b, a) };
    format!("{first}-{second}")
}

fn not_found() -> Failure {
    Failure {
        kind: "https://api.x.com/2/problems/resource-not-found",
        ..Failure::new(404, "Not Found Error", "Could not find what was asked for")
    }
}

/// The fields of a JSON body.
pub fn object(request: &Request) -> Result<Map<String, Value>, Failure> {
    let fields = match &request.body {
        Body::Json(text) => serde_json::from_str(text).ok(),
        _ => None,
    };
    fields.ok_or_else(|| Failure::invalid("the body must be a JSON object"))
}

/// X rejects additional properties.
pub fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), Failure> {
    let stray = fields.keys().find(|name| !known.contains(&name.as_str()));
    stray.map_or(Ok(()), |name| {
        Err(Failure::invalid(format!("[{name}] is not a valid property")))
    })
}
