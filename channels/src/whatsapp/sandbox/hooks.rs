//! The webhooks of the emulated platform: its JSON, its escapes, its signature.

use super::OUR_NUMBER;
use super::check::Message;
use super::customers::Customer;
use crate::kit::emulator::Hook;
use crate::kit::http::Request;
use crate::kit::secret::Secret;
use crate::kit::sign;
use crate::model::Millis;
use crate::whatsapp::config::Account;
use crate::whatsapp::verify::{HEADER, PREFIX};
use serde_json::{Value, json};

/// Makes webhooks of one number.
pub struct Hooks {
    webhook_url: String,
    phone_number_id: String,
    waba_id: String,
    secret: Secret,
}

impl Hooks {
    /// Signs with the first secret of the account.
    pub fn new(account: &Account, webhook_url: String) -> Self {
        let settings = &account.settings;
        let secret = settings.app_secret.first();
        Self {
            webhook_url,
            phone_number_id: settings.phone_number_id.clone(),
            waba_id: settings.waba_id.clone().unwrap_or_else(|| "1".to_owned()),
            secret: secret.cloned().unwrap_or_else(|| Secret::new("")),
        }
    }

    /// A webhook of `messages`; `content` holds the lists.
    pub fn messages(&self, content: Value) -> Hook {
        self.messages_after(content, 0)
    }

    /// The same, a little later.
    pub fn messages_after(&self, content: Value, after_ms: u64) -> Hook {
        Hook {
            request: self.change("messages", content),
            after_ms,
        }
    }

    /// A webhook of `user_preferences`.
    pub fn preferences(&self, content: Value) -> Hook {
        Hook::now(self.change("user_preferences", content))
    }

    fn change(&self, field: &str, mut value: Value) -> Request {
        if let Value::Object(map) = &mut value {
            map.insert("messaging_product".to_owned(), "whatsapp".into());
            let metadata = json!({
                "display_phone_number": OUR_NUMBER,
                "phone_number_id": self.phone_number_id,
            });
            map.insert("metadata".to_owned(), metadata);
        }
        let body = json!({
            "object": "whatsapp_business_account",
            "entry": [{"id": self.waba_id, "changes": [{"field": field, "value": value}]}],
        });
        let body = escaped(&body.to_string());
        let key = self.secret.expose().as_bytes();
        let signature = sign::hmac_sha256(key, &[body.as_bytes()]);
        Request::post_json(&self.webhook_url, body)
            .with_header(HEADER, format!("{PREFIX}{}", hex::encode(signature)))
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

/// The people of a change.
pub fn contacts(customer: &Customer) -> Value {
    json!([{
        "profile": {"name": customer.name},
        "wa_id": customer.wa_id,
        "user_id": customer.user_id,
    }])
}

/// Unix seconds as the platform writes them.
pub fn seconds(now: Millis) -> String {
    now.0.div_euclid(1000).to_string()
}

/// The content of a webhook with a status of an accepted message.
pub fn status(
    customer: &Customer,
    id: &str,
    status: &str,
    message: &Message,
    now: Millis,
) -> Value {
    let mut status = json!({
        "id": id,
        "status": status,
        "timestamp": seconds(now),
        "recipient_id": customer.wa_id,
    });
    if let Value::Object(map) = &mut status {
        if let Some(reference) = &message.reference {
            map.insert("biz_opaque_callback_data".to_owned(), reference.as_str().into());
        }
        if message.fetch_fails {
            let errors = json!([{
                "code": 131_053,
                "title": "Media upload error",
                "message": "Media upload error",
                "error_data": {"details": "the link leads to a type that WhatsApp does not take"},
            }]);
            map.insert("errors".to_owned(), errors);
        }
    }
    json!({"contacts": contacts(customer), "statuses": [status]})
}
