//! The signature of a webhook: HMAC-SHA256 over the raw body, keyed with the bot's token.

use super::config::Settings;
use crate::error::Rejected;
use crate::kit::http::Inbound;
use crate::kit::sign::{hmac_sha256, same};

/// The header that carries the signature. Some deployments repeat it as the query parameter `sig`,
/// which is ignored: it proves nothing more.
pub const SIGNATURE_HEADER: &str = "X-Viber-Content-Signature";

/// SHA-256 in hexadecimal.
const SIGNATURE_LENGTH: usize = 64;

/// Compares the header with the signature that the body should have.
///
/// # Errors
/// When the header is missing, is not 64 lower-case hexadecimal digits, or does not match.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let given = request
        .headers
        .get(SIGNATURE_HEADER)
        .filter(|given| !given.is_empty())
        .ok_or(Rejected::Missing)?;
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if given.len() != SIGNATURE_LENGTH || !given.bytes().all(digit) {
        return Err(Rejected::Malformed);
    }
    if same(given.as_bytes(), sign(settings, &request.body).as_bytes()) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// The signature of a body: lower-case hexadecimal. The key is the token's text, not what it may
/// stand for.
pub fn sign(settings: &Settings, body: &[u8]) -> String {
    let key = settings.auth_token.expose().as_bytes();
    hex::encode(hmac_sha256(key, &[body]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Headers, Method};
    use crate::model::Millis;
    use serde_json::json;

    /// Made with Viber's own client library.
    const BODY: &str = "{\"event\":\"message\",\"timestamp\":1767225600123,\"chat_hostname\":\"SN-CHAT-05_\",\"message_token\":4912661846655238145,\"sender\":{\"id\":\"A1b2C3d4E5f6G7h8I9j0Kg==\",\"name\":\"Ana\"},\"message\":{\"type\":\"text\",\"text\":\"hi ☕\"},\"silent\":false}";
    const SIGNATURE: &str = "f8d838efbe400e05887aeec223370c122b7dee9a0046b1d973ea701d32eda60f";

    fn settings() -> Settings {
        let token = "50f3a1c07be94d12-8a6e3d5577c1f0b2-19de4c0a6b7f3355";
        Settings::read(json!({"auth_token": token, "sender_name": "Acme"})).unwrap()
    }

    fn check(signature: Option<&str>, query: &str) -> Result<(), Rejected> {
        let mut headers = Headers::default();
        if let Some(signature) = signature {
            headers.push(SIGNATURE_HEADER, signature);
        }
        let request = Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: format!("https://gw.example.net/webhooks/bot?{query}"),
            query: query.into(),
            headers,
            body: BODY.into(),
            received_at: Millis(0),
        };
        verify(&settings(), &request)
    }

    #[test]
    fn the_platforms_vector_and_nothing_else() {
        assert_eq!(BODY.len(), 224);
        assert_eq!(sign(&settings(), BODY.as_bytes()), SIGNATURE);
        let upper = SIGNATURE.to_uppercase();
        let other = SIGNATURE.replace("f8d8", "f8d9");
        let cases = [
            (Some(SIGNATURE), Ok(())),
            (Some(other.as_str()), Err(Rejected::Mismatch)),
            (Some(upper.as_str()), Err(Rejected::Malformed)),
            (Some("f8d8"), Err(Rejected::Malformed)),
            (Some(""), Err(Rejected::Missing)),
            (None, Err(Rejected::Missing)),
        ];
        for (signature, expected) in cases {
            assert_eq!(check(signature, ""), expected, "{signature:?}");
        }
        // The copy in the query is no proof.
        let query = format!("sig={SIGNATURE}");
        assert_eq!(check(None, &query), Err(Rejected::Missing));
    }
}
