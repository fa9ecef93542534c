//! The secret header of a webhook. Telegram signs nothing: TLS and a secret that nobody can guess
//! are all there is.

use super::config::{Settings, is_webhook_secret};
use crate::error::Rejected;
use crate::kit::http::Inbound;
use crate::kit::sign::same;

/// The header that carries the `secret_token` of `setWebhook`.
pub const SECRET_HEADER: &str = "X-Telegram-Bot-Api-Secret-Token";

/// Compares the header with every secret that is accepted, in constant time.
///
/// # Errors
/// When the header is missing, holds what Telegram cannot send, or holds another secret.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let given = request
        .headers
        .get(SECRET_HEADER)
        .ok_or(Rejected::Missing)?;
    if given.is_empty() {
        return Err(Rejected::Missing);
    }
    if !is_webhook_secret(given) {
        return Err(Rejected::Malformed);
    }
    // Every secret is compared, also after a match, so that the time does not tell which one it was.
    let matches = settings.webhook_secret.iter().fold(false, |found, secret| {
        same(given.as_bytes(), secret.expose().as_bytes()) | found
    });
    if matches {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Headers, Method};
    use crate::model::Millis;
    use serde_json::json;

    fn check(secret: Option<&str>) -> Result<(), Rejected> {
        let value = json!({"bot_token": "1:abc", "webhook_secret": ["new-secret", "old-secret"]});
        let mut headers = Headers::default();
        if let Some(secret) = secret {
            headers.push(SECRET_HEADER, secret);
        }
        let request = Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: "https://gw.example.net/webhooks/desk".into(),
            query: String::new(),
            headers,
            body: "{}".into(),
            received_at: Millis(0),
        };
        verify(&Settings::read(value).unwrap(), &request)
    }

    #[test]
    fn only_the_configured_secrets_pass() {
        let cases = [
            (Some("new-secret"), Ok(())),
            (Some("old-secret"), Ok(())),
            (Some("new-secreT"), Err(Rejected::Mismatch)),
            (Some("new-secret0"), Err(Rejected::Mismatch)),
            (Some("new secret"), Err(Rejected::Malformed)),
            (Some(""), Err(Rejected::Missing)),
            (None, Err(Rejected::Missing)),
        ];
        for (secret, expected) in cases {
            assert_eq!(check(secret), expected, "{secret:?}");
        }
    }
}
