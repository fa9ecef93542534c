//! The webhooks of the emulated platform: its JSON, its escapes, its signature.

use super::Sandbox;
use crate::kit::emulator::Hook;
use crate::kit::http::Request;
use crate::kit::sign;
use crate::messenger::plan::{Address, Platform};
use crate::messenger::verify::{HEADER, PREFIX};
use crate::model::Millis;
use serde_json::{Value, json};

impl Sandbox {
    /// What a person did: an element of `messaging` with this kind in it.
    pub fn by_person(&self, person: &Address, kind: &str, value: Value, now: Millis) -> Hook {
        let us = self.our_id(person.platform);
        self.hook(person.platform, &person.id, us, (kind, value), now)
    }

    /// What the account did: an echo.
    pub fn by_us(&self, person: &Address, message: Value, now: Millis) -> Hook {
        let us = self.our_id(person.platform);
        self.hook(person.platform, us, &person.id, ("message", message), now)
    }

    fn hook(
        &self,
        platform: Platform,
        sender: &str,
        recipient: &str,
        (kind, value): (&str, Value),
        now: Millis,
    ) -> Hook {
        let object = match platform {
            Platform::Messenger => "page",
            Platform::Instagram => "instagram",
        };
        let mut element = json!({
            "sender": {"id": sender}, "recipient": {"id": recipient}, "timestamp": now.0,
        });
        if let Some(fields) = element.as_object_mut() {
            fields.insert(kind.to_owned(), value);
        }
        let id = self.our_id(platform);
        let entry = json!({"id": id, "time": now.0, "messaging": [element]});
        let body = escaped(&json!({"object": object, "entry": [entry]}).to_string());
        let secret = self.account.settings.app_secret.first();
        let key = secret
            .map(|secret| secret.expose().as_bytes())
            .unwrap_or_default();
        let signature = hex::encode(sign::hmac_sha256(key, &[body.as_bytes()]));
        let request = Request::post_json(&self.hook_url, body);
        Hook::now(request.with_header(HEADER, format!("{PREFIX}{signature}")))
    }
}

/// JSON as Meta writes it: what is not ASCII as `\uXXXX`, and slashes escaped. A gateway that signs the
/// JSON instead of the bytes must not get away with it here.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            // Outside of strings JSON has neither slashes nor anything that is not ASCII.
            '/' => out.push_str("\\/"),
            c if c.is_ascii() => out.push(c),
            c => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}
