//! How the toy reads its webhooks.

use super::{Defect, Settings, Toy};
use serde_json::Value;
use switchboard_channels::kit::sign::{hmac_sha256, sha256_hex};
use switchboard_channels::model::{
    Attachment, AttachmentKind, DeliveryStatus, Event, EventBody, InboundMessage, MediaRef, Millis,
    Sender, StatusUpdate, Structured, Thread,
};

/// The proof of a webhook.
pub fn signature(settings: &Settings, url: &str, body: &[u8]) -> String {
    let key = settings.signing_secret.expose().as_bytes();
    hex::encode(hmac_sha256(key, &[url.as_bytes(), b"\n", body]))
}

impl<const D: usize> Toy<D> {
    pub fn event(&self, raw: &Value, received_at: Millis) -> Event {
        let text = |key: &str| raw.get(key).and_then(Value::as_str);
        let id = text("id").unwrap_or_default();
        if Defect::ParsePanics.is(D) {
            // Without the hook, which would print a defect that is there on purpose.
            let unwind = || std::panic::resume_unwind(Box::new("an item is no object"));
            raw.as_object().map_or_else(unwind, drop);
        }
        let body = match (text("text"), text("status"), text("from")) {
            (_, _, None | Some("")) => None,
            _ if id.is_empty() => None,
            (Some(said), None, _) => Some(self.message(id, said, raw)),
            (None, Some("delivered"), _) => Some(EventBody::Status(StatusUpdate {
                platform_id: id.to_owned(),
                status: DeliveryStatus::Delivered,
                error: None,
                our_reference: None,
                watermark: None,
            })),
            _ => None,
        };
        let kind = body.as_ref().map_or("u", EventBody::name);
        let written = raw.to_string();
        let key = match kind {
            _ if Defect::KeysShared.is(D) => "m:1".to_owned(),
            _ if Defect::KeyFromArrival.is(D) => format!("{kind}:{id}:{}", received_at.0),
            "u" => format!("u:{}", sha256_hex(written.as_bytes())),
            kind => format!("{kind}:{id}"),
        };
        let from = text("from").unwrap_or_default();
        let is_message = kind == "message";
        Event {
            key,
            at: Millis(raw.get("at").and_then(Value::as_i64).unwrap_or(0)),
            account: None,
            sender: is_message.then(|| Sender {
                ids: vec![from.to_owned()],
                ..Sender::default()
            }),
            thread: is_message.then(|| Thread {
                address: from.to_owned(),
                ..Thread::default()
            }),
            body: body.unwrap_or_else(|| EventBody::Unknown {
                what: "item".to_owned(),
                raw: written,
            }),
        }
    }

    fn message(&self, id: &str, said: &str, raw: &Value) -> EventBody {
        let pressed = raw.get("pressed").and_then(Value::as_str);
        let file = raw.get("file").and_then(Value::as_str);
        EventBody::Message(InboundMessage {
            platform_id: id.to_owned(),
            text: if Defect::TextChanged.is(D) {
                said.to_uppercase()
            } else {
                said.to_owned()
            },
            attachments: Vec::from_iter(file.map(|reference| Attachment {
                kind: AttachmentKind::Image,
                name: None,
                mime: None,
                size_bytes: None,
                media: Some(MediaRef::new(reference)),
            })),
            structured: pressed.map(|payload| Structured {
                payload: payload.to_owned(),
                title: Some(said.to_owned()),
                of: None,
            }),
            ..InboundMessage::default()
        })
    }
}
