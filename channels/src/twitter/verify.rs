//! The signature of a webhook, and the challenge that asks whether we can make one: both HMAC-SHA256
//! keyed with the app's API secret.

use super::config::Settings;
use crate::error::Rejected;
use crate::kit::http::{Inbound, Method, Reply};
use crate::kit::sign::{base64, hmac_sha256, same};
use serde_json::json;

/// The header that carries the signature.
pub const SIGNATURE_HEADER: &str = "x-twitter-webhooks-signature";

/// What stands before the base64.
const PREFIX: &str = "sha256=";

/// SHA-256 in base64.
const BASE64_LENGTH: usize = 44;

/// Compares the header with the signature that the body should have.
///
/// # Errors
/// When the header is missing, is not of the form `sha256=<base64>`, or does not match.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let given = request
        .headers
        .get(SIGNATURE_HEADER)
        .filter(|given| !given.is_empty())
        .ok_or(Rejected::Missing)?;
    let encoded = given.strip_prefix(PREFIX).ok_or(Rejected::Malformed)?;
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
    if encoded.len() != BASE64_LENGTH || !encoded.bytes().all(letter) {
        return Err(Rejected::Malformed);
    }
    // The texts are compared: base64 has several forms of the same bytes.
    if same(given.as_bytes(), sign(settings, &request.body).as_bytes()) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// Answers a challenge (CRC). `None`: not one.
pub fn challenge(settings: &Settings, request: &Inbound) -> Option<Reply> {
    if request.method != Method::Get {
        return None;
    }
    let token = request.query_value("crc_token").filter(|token| !token.is_empty())?;
    let answer = json!({"response_token": sign(settings, token.as_bytes())});
    Some(Reply::json(200, answer.to_string()))
}

/// The signature of a body or of a challenge's token.
pub fn sign(settings: &Settings, bytes: &[u8]) -> String {
    let key = settings.api_secret.expose().as_bytes();
    format!("{PREFIX}{}", base64(&hmac_sha256(key, &[bytes])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Headers;
    use crate::model::Millis;
    use crate::twitter::config::sandbox_settings;

    const BODY: &str = r#"{"data":{"event_uuid":"7700000000000000001","filter":{"user_id":"1000000000000000001"},"event_type":"dm.received","payload":{}}}"#;
    const SIGNATURE: &str = "sha256=NstW60zwc4Hr2dNVs/2SQVwSDeDOv9x4VumX3+yTFYg=";

    fn settings() -> Settings {
        let mut settings = sandbox_settings();
        settings["api_secret"] = json!("xk9ConsumerSecretExample0001");
        Settings::read(settings).unwrap()
    }

    fn request(method: Method, query: &str, signature: Option<&str>) -> Inbound {
        let mut headers = Headers::default();
        if let Some(signature) = signature {
            headers.push(SIGNATURE_HEADER, signature);
        }
        Inbound {
            via: crate::kit::http::Via::Web,
            method,
            url: format!("https://gw.example.net/webhooks/x?{query}"),
            query: query.into(),
            headers,
            body: BODY.into(),
            received_at: Millis(0),
        }
    }

    #[test]
    fn the_platforms_vectors_and_nothing_else() {
        // The last letter before the padding has two bits that base64 ignores.
        let other_form = SIGNATURE.replace("FYg=", "FYh=");
        let cases = [
            (Some(SIGNATURE), Ok(())),
            (Some(other_form.as_str()), Err(Rejected::Mismatch)),
            (SIGNATURE.strip_prefix("sha256="), Err(Rejected::Malformed)),
            (Some("sha256=short"), Err(Rejected::Malformed)),
            (Some(""), Err(Rejected::Missing)),
            (None, Err(Rejected::Missing)),
        ];
        for (signature, expected) in cases {
            let request = request(Method::Post, "", signature);
            assert_eq!(verify(&settings(), &request), expected, "{signature:?}");
        }
    }

    #[test]
    fn challenges_are_answered_and_nothing_else_is() {
        let asked = |method, query: &str| challenge(&settings(), &request(method, query, None));
        let reply = asked(Method::Get, "nonce=1&crc_token=MWU0ZWYtdG9rZW4tMDAx").unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.content_type, Some("application/json"));
        let expected = r#"{"response_token":"sha256=ksQ6s8Qo0tXDDyEutNw3utbvf/rK3cKn1ByGXE6TVVo="}"#;
        assert_eq!(reply.body, expected);
        assert_eq!(asked(Method::Get, "crc_token="), None);
        assert_eq!(asked(Method::Get, ""), None);
        assert_eq!(asked(Method::Post, "crc_token=x"), None);
    }
}
