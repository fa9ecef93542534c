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
    let matches = settings
        .app_secret
        .iter()
        .filter(|secret| {
            let expected = sign::hmac_sha256(secret.expose().as_bytes(), &[&request.body]);
            sign::same(&given, &expected)
        })
        .count();
    if matches == 0 {
        return Err(Rejected::Mismatch);
    }
    Ok(())
}

/// Answers Meta's GET: the challenge when the token is ours, else 403. `None` when it is no handshake.
pub fn handshake(settings: &Settings, request: &Inbound) -> Option<Reply> {
    if request.method != Method::Get {
        return None;
    }
    let mode = request.query_value("hub.mode")?;
    let token = request.query_value("hub.verify_token").unwrap_or_default();
    let challenge = request.query_value("hub.challenge").unwrap_or_default();
    let ours = settings.verify_token.expose().as_bytes();
    if mode == "subscribe" && sign::same(ours, token.as_bytes()) && !challenge.is_empty() {
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
    use serde_json::json;

    /// The body of the test vector: 60 bytes, the backslashes are literal.
    const BODY: &[u8] =
        br#"{"object":"page","entry":[],"t":"Caf\u00e9 \/ \ud83d\ude42"}"#;
    const SIGNATURE: &str =
        "sha256=22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff";

    fn settings(app_secret: serde_json::Value) -> Settings {
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
            url: "https://gw.example.net/webhooks/wa".to_owned(),
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
        assert_eq!(check(None, BODY), Err(Rejected::Missing));
        assert_eq!(check(Some(""), BODY), Err(Rejected::Missing));
        let malformed = [
            "sha256=",
            "sha256",
            "22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff",
            "sha1=22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff",
            "sha256=22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9",
            "sha256=zz611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff",
            "sha256=22611d133a94ebe4f4e62f5c51668ffc78937c5be68e79126f3201e0dfd1d9ff00",
        ];
        for signature in malformed {
            assert_eq!(check(Some(signature), BODY), Err(Rejected::Malformed), "{signature}");
        }
        // The same JSON with its characters written out is another body.
        let rewritten = "{\"object\":\"page\",\"entry\":[],\"t\":\"Café / 🙂\"}".as_bytes();
        assert_eq!(check(Some(SIGNATURE), rewritten), Err(Rejected::Mismatch));
        for bit in 0..BODY.len() * 8 {
            let mut flipped = BODY.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(check(Some(SIGNATURE), &flipped), Err(Rejected::Mismatch));
        }
    }

    #[test]
    fn both_secrets_of_a_rotation_hold_and_an_empty_one_never() {
        let rotating = settings(json!(["brand_new", "test_app_secret"]));
        assert_eq!(verify(&rotating, &post(Some(SIGNATURE), BODY)), Ok(()));
        let empty = settings(json!(["", ""]));
        let signed_with_nothing =
            format!("sha256={}", hex::encode(sign::hmac_sha256(b"", &[BODY])));
        assert_eq!(
            verify(&empty, &post(Some(&signed_with_nothing), BODY)),
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
        ] {
            assert_eq!(ask(bad), Some((403, String::new())), "{bad}");
        }
        assert_eq!(ask("foo=bar"), None);
        assert!(handshake(&ours, &post(None, b"")).is_none());
    }
}
