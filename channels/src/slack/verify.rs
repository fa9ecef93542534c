//! The signature of a webhook: `v0=` and hex of HMAC-SHA256 over `v0:{timestamp}:{raw body}`, good for
//! five minutes.

use super::config::Settings;
use crate::error::Rejected;
use crate::kit::http::Inbound;
use crate::kit::sign::{hmac_sha256, same};

/// The header of the signature.
pub const SIGNATURE_HEADER: &str = "x-slack-signature";

/// The header of the time at which it was made, in seconds.
pub const TIMESTAMP_HEADER: &str = "x-slack-request-timestamp";

/// How old a request may be, or how far ahead its clock (Slack, "Verifying requests", read November
/// 2026): what was recorded cannot be played again later.
const WINDOW_SECONDS: i64 = 300;

/// Bytes of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// Compares the signature with that of every accepted secret, in constant time, and the time with the
/// clock.
///
/// # Errors
/// When a header is missing or of another form, the request is older than five minutes, or it was
/// signed with another key or over other bytes.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let header = |name| request.headers.get(name).filter(|value| !value.is_empty());
    let timestamp = header(TIMESTAMP_HEADER).ok_or(Rejected::Missing)?;
    let given = header(SIGNATURE_HEADER).ok_or(Rejected::Missing)?;
    let digits = timestamp.bytes().all(|b| b.is_ascii_digit());
    let seconds = timestamp.parse::<i64>().ok().filter(|_| digits);
    let seconds = seconds.ok_or(Rejected::Malformed)?;
    let given = given.strip_prefix("v0=").ok_or(Rejected::Malformed)?;
    let lower = given.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let given = hex::decode(given).ok().filter(|_| lower);
    let given = given.filter(|bytes| bytes.len() == SIGNATURE_BYTES);
    let given = given.ok_or(Rejected::Malformed)?;
    // Every secret is tried, also after a match, so that the time does not tell which one it was.
    let matches = settings.signing_secret.iter().fold(false, |found, secret| {
        let expected = signature(secret.expose(), timestamp, &request.body);
        same(&given, &expected) | found
    });
    let now = request.received_at.0.div_euclid(1000);
    let fresh = now.saturating_sub(seconds).saturating_abs() <= WINDOW_SECONDS;
    if matches && fresh {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// The MAC of a body sent at this time.
fn signature(secret: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    let chunks: [&[u8]; 4] = [b"v0:", timestamp.as_bytes(), b":", body];
    hmac_sha256(secret.as_bytes(), &chunks)
}

/// The header's value: what Slack, and our emulator, write.
pub fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    format!("v0={}", hex::encode(signature(secret, timestamp, body)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Headers, Method, Via};
    use crate::model::Millis;
    use serde_json::json;

    /// The vector of the protocol notes, reproduced with the official Python verifier.
    const SECRET: &str = "9c1f0a7be2d4463b8f5a0c3d2e1b7a60";
    const BODY: &str = r#"{"type":"event_callback","team_id":"T0EXAMPLE1","event_id":"Ev0EXAMPLE01","event":{"type":"message","text":"hej"}}"#;
    const TIMESTAMP: &str = "1795219200";
    const SIGNATURE: &str = "v0=e1fe7004988d98e63695658be478b3bbf0c85dfdcb3b535644f323cb18693905";

    fn check(at: i64, timestamp: Option<&str>, signature: Option<&str>) -> Result<(), Rejected> {
        let keys = json!({"bot_token": "xoxb-1", "signing_secret": ["the-new-one", SECRET]});
        let mut headers = Headers::default();
        for (name, value) in [
            ("X-Slack-Request-Timestamp", timestamp),
            ("X-Slack-Signature", signature),
        ] {
            if let Some(value) = value {
                headers.push(name, value);
            }
        }
        let request = Inbound {
            via: Via::Web,
            method: Method::Post,
            url: "https://gw.example.net/webhooks/desk".into(),
            query: String::new(),
            headers,
            body: BODY.into(),
            received_at: Millis::from_seconds(at),
        };
        verify(&Settings::read(keys).unwrap(), &request)
    }

    #[test]
    fn the_documented_vector_holds_for_five_minutes() {
        for at in [1_795_219_210, 1_795_219_500, 1_795_218_900] {
            assert_eq!(check(at, Some(TIMESTAMP), Some(SIGNATURE)), Ok(()), "{at}");
        }
        for at in [1_795_219_501, 1_795_218_899, 0, i64::MAX / 1000] {
            let refused = Err(Rejected::Mismatch);
            assert_eq!(check(at, Some(TIMESTAMP), Some(SIGNATURE)), refused, "{at}");
        }
        // Signed rightly, 410 seconds ago.
        let old = sign(SECRET, "1795218800", BODY.as_bytes());
        let refused = Err(Rejected::Mismatch);
        assert_eq!(check(1_795_219_210, Some("1795218800"), Some(&old)), refused);
    }

    #[test]
    fn everything_else_is_refused() {
        let now = 1_795_219_210;
        let upper = SIGNATURE.to_uppercase().replace("V0=", "v0=");
        let cases = [
            (None, Some(SIGNATURE), Rejected::Missing),
            (Some(TIMESTAMP), None, Rejected::Missing),
            (Some(""), Some(SIGNATURE), Rejected::Missing),
            (Some("+1795219200"), Some(SIGNATURE), Rejected::Malformed),
            (Some("1795219200.5"), Some(SIGNATURE), Rejected::Malformed),
            (Some("99999999999999999999"), Some(SIGNATURE), Rejected::Malformed),
            (Some("1795219201"), Some(SIGNATURE), Rejected::Mismatch),
            (Some(TIMESTAMP), SIGNATURE.strip_prefix("v0="), Rejected::Malformed),
            (Some(TIMESTAMP), Some("v0=e1fe"), Rejected::Malformed),
            (Some(TIMESTAMP), Some(upper.as_str()), Rejected::Malformed),
        ];
        for (timestamp, signature, expected) in cases {
            let checked = check(now, timestamp, signature);
            assert_eq!(checked, Err(expected), "{timestamp:?} {signature:?}");
        }
    }
}
