//! Signature and handshake.

use super::config::Settings;
use crate::error::Rejected;
use crate::kit::http::{Inbound, Method, Reply};
use crate::kit::sign;

/// The header that holds the signature. Meta also sends a SHA-1 one, which is not looked at.
pub const HEADER: &str = "x-hub-signature-256";

/// What stands before the hexadecimal digits.
pub const PREFIX: &str = "sha256=";

/// Checks the HMAC over the raw body. The bytes count, not the JSON: Meta escapes what is not ASCII,
/// and the same JSON written anew would have another signature.
///
/// # Errors
/// When the signature is absent, not of Meta's form, or made with a secret that is none of ours.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let header = request.headers.get(HEADER).ok_or(Rejected::Missing)?.trim();
    if header.is_empty() {
        return Err(Rejected::Missing);
    }
    let digits = header.strip_prefix(PREFIX).ok_or(Rejected::Malformed)?;
    let mut given = [0; 32];
    hex::decode_to_slice(digits, &mut given).or(Err(Rejected::Malformed))?;
    // Every secret is tried, whichever matches, so that the time taken tells nothing.
    let matches = settings.app_secret.iter().fold(false, |found, secret| {
        let key = secret.expose().as_bytes();
        sign::same(&given, &sign::hmac_sha256(key, &[&request.body])) | found
    });
    if matches {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// Answers Meta's GET: the challenge when the token is ours, else 403. Webhooks are POSTs, so that
/// every GET is one. `None`: no GET.
pub fn handshake(settings: &Settings, request: &Inbound) -> Option<Reply> {
    if request.method != Method::Get {
        return None;
    }
    let value = |name: &str| request.query_value(name).unwrap_or_default();
    let challenge = value("hub.challenge");
    let ours = settings.verify_token.expose().as_bytes();
    let known = sign::same(ours, value("hub.verify_token").as_bytes());
    if known && value("hub.mode") == "subscribe" && !challenge.is_empty() {
        Some(Reply::text(200, challenge))
    } else {
        Some(Reply::empty(403))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Headers;
    use crate::model::Millis;
    use bytes::Bytes;
    use serde_json::{Value, json};

    /// 60 bytes; the backslashes are literal.
    const BODY: &[u8] = br#"{"object":"page","entry":[],"t":"Caf\u00e9 \/ \ud83d\ude42"}"#;
    /// Of `BODY` under `test_app_secret`, computed apart from this project.
    const SIGNATURE: &str =
        "sha256=22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff";

    fn settings(app_secret: Value) -> Settings {
        let mut value = super::super::config::sandbox_settings();
        value["app_secret"] = app_secret;
        crate::kit::settings::read(value).unwrap()
    }

    fn post(signature: Option<&str>, body: &[u8]) -> Inbound {
        let mut headers = Headers::default();
        if let Some(signature) = signature {
            headers.push("X-Hub-Signature-256", signature);
        }
        Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: "https://gw.example.net/webhooks/fb".to_owned(),
            query: String::new(),
            headers,
            body: Bytes::copy_from_slice(body),
            received_at: Millis(0),
        }
    }

    #[test]
    fn the_vector_holds_and_nothing_else() {
        let ours = settings(json!("test_app_secret"));
        let check = |signature: Option<&str>, body: &[u8]| verify(&ours, &post(signature, body));
        assert_eq!(BODY.len(), 60);
        assert_eq!(check(Some(SIGNATURE), BODY), Ok(()));
        for missing in [None, Some(""), Some(" ")] {
            assert_eq!(check(missing, BODY), Err(Rejected::Missing));
        }
        let digits = SIGNATURE.trim_start_matches("sha256=");
        let malformed = [
            "sha256=".to_owned(),
            digits.to_owned(),
            format!("sha1={digits}"),
            format!("sha256={}", digits.replacen("22", "", 1)),
            format!("sha256={digits}00"),
            format!("sha256={}", digits.replacen("22", "zz", 1)),
        ];
        for signature in malformed {
            assert_eq!(
                check(Some(&signature), BODY),
                Err(Rejected::Malformed),
                "{signature}"
            );
        }
        // The same JSON with its characters written out is another body.
        let rewritten = "{\"object\":\"page\",\"entry\":[],\"t\":\"Café / 🙂\"}".as_bytes();
        assert_eq!(check(Some(SIGNATURE), rewritten), Err(Rejected::Mismatch));
    }

    #[test]
    fn both_secrets_of_a_rotation_hold_and_an_empty_one_never() {
        let rotating = settings(json!(["brand_new", "test_app_secret"]));
        assert_eq!(verify(&rotating, &post(Some(SIGNATURE), BODY)), Ok(()));
        let empty = settings(json!(["", ""]));
        let with_nothing = format!("sha256={}", hex::encode(sign::hmac_sha256(b"", &[BODY])));
        assert_eq!(
            verify(&empty, &post(Some(&with_nothing), BODY)),
            Err(Rejected::Mismatch)
        );
    }

    #[test]
    fn the_handshake_wants_our_token() {
        let ours = settings(json!("s"));
        let ask = |query: &str| {
            let mut request = post(None, b"");
            request.method = Method::Get;
            request.query = query.to_owned();
            handshake(&ours, &request).map(|r| (r.status, r.body))
        };
        let good = "hub.mode=subscribe&hub.verify_token=sandbox-verify-token&hub.challenge=11%3C5";
        assert_eq!(ask(good), Some((200, "11<5".to_owned())));
        for bad in [
            "hub.mode=subscribe&hub.verify_token=other&hub.challenge=1",
            "hub.mode=subscribe&hub.verify_token=&hub.challenge=1",
            "hub.mode=subscribe&hub.challenge=1",
            "hub.mode=unsubscribe&hub.verify_token=sandbox-verify-token&hub.challenge=1",
            "hub.mode=subscribe&hub.verify_token=sandbox-verify-token",
            "hub_mode=subscribe&hub_verify_token=sandbox-verify-token&hub_challenge=1",
            "",
        ] {
            assert_eq!(ask(bad), Some((403, String::new())), "{bad}");
        }
        assert!(handshake(&ours, &post(None, b"")).is_none());
    }
}
