//! The webhook of the emulated bot, and the updates on their way to it.

use super::content::insert;
use super::methods::Done;
use super::params::Params;
use super::{Failure, Sandbox};
use crate::kit::emulator::Hook;
use crate::kit::http::Request;
use crate::kit::secret::Secret;
use crate::kit::settings::Common;
use crate::telegram::config::{Settings, is_webhook_secret};
use crate::telegram::verify::SECRET_HEADER;
use serde_json::{Value, json};
use url::Url;

/// Updates that wait while no webhook is set.
const PENDING_MAX: usize = 100;

/// The updates that README.md tells operators to ask for; the sandbox begins with them.
const ALLOWED_UPDATES: &[&str] = &[
    "message",
    "edited_message",
    "callback_query",
    "my_chat_member",
    "message_reaction",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
];

/// The updates that a bot does not get unless it asks for them.
const NOT_BY_DEFAULT: &[&str] = &["chat_member", "message_reaction", "message_reaction_count"];

/// The state of the webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `None`: not set, updates wait.
    url: Option<String>,
    secret: Option<Secret>,
    /// Empty: all but [`NOT_BY_DEFAULT`].
    allowed: Vec<String>,
    max_connections: i64,
}

impl Webhook {
    /// Set to the channel's URL, with its secret, for the updates that README.md asks for.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        Self {
            url: Some(common.webhook_url.clone()),
            secret: settings.webhook_secret.first().cloned(),
            allowed: ALLOWED_UPDATES.iter().map(|kind| (*kind).into()).collect(),
            max_connections: 40,
        }
    }
}

impl Sandbox {
    /// Makes an update. `None`: the bot did not ask for this kind, or no webhook is set.
    pub fn update(&mut self, kind: &str, element: Value) -> Option<Hook> {
        let allowed = &self.webhook.allowed;
        let wanted = if allowed.is_empty() {
            !NOT_BY_DEFAULT.contains(&kind)
        } else {
            allowed.iter().any(|allowed| allowed == kind)
        };
        if !wanted {
            return None;
        }
        let mut update = json!({"update_id": self.next_id()});
        insert(&mut update, kind, element);
        if self.webhook.url.is_none() {
            self.pending.push_back(update);
            while self.pending.len() > PENDING_MAX {
                self.pending.pop_front();
            }
            return None;
        }
        Some(self.hook(&update))
    }

    /// An update on its way to the gateway.
    fn hook(&self, update: &Value) -> Hook {
        let mut request = Request::post_json(&self.hook_url, update.to_string());
        if let Some(secret) = &self.webhook.secret {
            request.headers.push(SECRET_HEADER, secret.expose());
        }
        Hook::now(request)
    }

    pub fn webhook_info(&self) -> Value {
        let mut info = json!({
            "url": self.webhook.url.clone().unwrap_or_default(),
            "has_custom_certificate": false,
            "pending_update_count": self.pending.len(),
            "max_connections": self.webhook.max_connections,
        });
        if !self.webhook.allowed.is_empty() {
            insert(&mut info, "allowed_updates", json!(self.webhook.allowed));
        }
        info
    }

    pub fn set_webhook(&mut self, params: &Params) -> Result<Done, Failure> {
        let url = params.str("url").unwrap_or_default();
        if url.is_empty() {
            return self.delete_webhook(params);
        }
        // The channel's own URL may be plain http on this machine; the real Telegram wants https.
        if url != self.hook_url {
            let parsed = Url::parse(&url).ok();
            let parsed = parsed.ok_or_else(|| Failure::bad("invalid webhook URL specified"))?;
            if parsed.scheme() != "https" {
                let words = "bad webhook: An HTTPS URL must be provided for webhook";
                return Err(Failure::bad(words));
            }
            if !matches!(parsed.port_or_known_default(), Some(443 | 80 | 88 | 8443)) {
                let words = "bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443";
                return Err(Failure::bad(words));
            }
        }
        let secret = params.str("secret_token");
        if let Some(secret) = &secret {
            if secret.len() > 256 {
                return Err(Failure::bad("secret token is too long"));
            }
            if !is_webhook_secret(secret) {
                return Err(Failure::bad("secret token contains unallowed characters"));
            }
        }
        if let Some(allowed) = params.nested("allowed_updates")? {
            let names = allowed.as_array().into_iter().flatten();
            self.webhook.allowed = names
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
        }
        let connections = params.int("max_connections").unwrap_or(40);
        self.webhook.max_connections = connections.clamp(1, 100);
        self.webhook.secret = secret.map(Secret::new);
        self.webhook.url = Some(url);
        if params.flag("drop_pending_updates") {
            self.pending.clear();
        }
        let waiting = std::mem::take(&mut self.pending);
        Ok(Done {
            result: json!(true),
            description: Some("Webhook was set"),
            hooks: waiting.iter().map(|update| self.hook(update)).collect(),
        })
    }

    pub fn delete_webhook(&mut self, params: &Params) -> Result<Done, Failure> {
        let was_set = self.webhook.url.take().is_some();
        if params.flag("drop_pending_updates") {
            self.pending.clear();
        }
        Ok(Done {
            description: Some(if was_set {
                "Webhook was deleted"
            } else {
                "Webhook is already deleted"
            }),
            ..json!(true).into()
        })
    }

    /// Updates that wait, for a bot that polls. Answers at once: there is nobody to wait with.
    pub fn get_updates(&mut self, params: &Params) -> Result<Done, Failure> {
        if self.webhook.url.is_some() {
            let words = "Conflict: can't use getUpdates method while webhook is active; use \
                         deleteWebhook to delete the webhook first";
            return Err(Failure::new(409, words));
        }
        if let Some(offset) = params.int("offset") {
            let id = |update: &Value| update.get("update_id").and_then(Value::as_i64);
            self.pending.retain(|update| id(update) >= Some(offset));
        }
        let limit = params.int("limit").unwrap_or(100).clamp(1, 100);
        let limit = usize::try_from(limit).unwrap_or(100);
        let updates: Vec<&Value> = self.pending.iter().take(limit).collect();
        Ok(json!(updates).into())
    }
}
