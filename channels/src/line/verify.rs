//! The signature of a webhook: base64 of HMAC-SHA256 over the raw body, keyed with the channel
//! secret's characters (not with the bytes that its hexadecimal digits would mean).

use super::config::Settings;
use crate::error::Rejected;
use crate::kit::http::Inbound;
use crate::kit::sign::{from_base64, hmac_sha256, same};

/// The header; LINE has written it in several cases over the years.
pub const SIGNATURE_HEADER: &str = "x-line-signature";

/// Bytes of an HMAC-SHA256.
const SIGNATURE_BYTES: usize = 32;

/// Compares the signature with that of every accepted secret, in constant time.
///
/// # Errors
/// When the header is missing, is no base64 of 32 bytes, or was made with another key or over other
/// bytes.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let header = request.headers.get(SIGNATURE_HEADER);
    let header = header.filter(|value| !value.trim().is_empty());
    let given = from_base64(header.ok_or(Rejected::Missing)?).ok_or(Rejected::Malformed)?;
    if given.len() != SIGNATURE_BYTES {
        return Err(Rejected::Malformed);
    }
    // Every secret is tried, also after a match, so that the time does not tell which one it was.
    let matches = settings.channel_secret.iter().fold(false, |found, secret| {
        let expected = hmac_sha256(secret.expose().as_bytes(), &[&request.body]);
        same(&given, &expected) | found
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

    /// Vectors computed with LINE's own Python library.
    const KEY: &str = "8c570fa6dd201bb328f1c1eac23a96d8";
    const BODY: &str = r#"{"destination":"U1234567890abcdef1234567890abcdef","events":[]}"#;
    const SIGNATURE: &str = "VkR+U3n5Q3a+Hzn8ghAlCLT+frL6SXtDsapcnDyV6OI=";
    const MESSAGE: &str = r#"{"destination":"U1234567890abcdef1234567890abcdef","events":[{"type":"message","message":{"type":"text","id":"500000000000000001","quoteToken":"q1","text":"こんにちは"},"webhookEventId":"01KDW4ZB9Q5Z4M1N8V7T6R3XYZ","deliveryContext":{"isRedelivery":false},"timestamp":1767225600123,"source":{"type":"user","userId":"Uaaaabbbbccccddddeeeeffff00001111"},"replyToken":"0f3779fba3b349968c5d07db31eab56f","mode":"active"}]}"#;
    const MESSAGE_SIGNATURE: &str = "LUJ9XsRO4oX9VWUBMhBFnMaZf9uZpZUt2waepq23Ukk=";

    fn check(name: &str, body: &str, signature: Option<&str>) -> Result<(), Rejected> {
        let keys = json!({"channel_access_token": "t", "channel_secret": ["the-new-one", KEY]});
        let mut headers = Headers::default();
        if let Some(signature) = signature {
            headers.push(name, signature);
        }
        let request = Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: "https://gw.example.net/webhooks/desk".into(),
            query: String::new(),
            headers,
            body: body.to_owned().into(),
            received_at: Millis(0),
        };
        verify(&Settings::read(keys).unwrap(), &request)
    }

    #[test]
    fn vectors_of_the_official_library_hold() {
        for name in ["x-line-signature", "X-Line-Signature"] {
            assert_eq!(check(name, BODY, Some(SIGNATURE)), Ok(()));
        }
        assert_eq!(check(SIGNATURE_HEADER, MESSAGE, Some(MESSAGE_SIGNATURE)), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        let cases = [
            (MESSAGE, Some(SIGNATURE), Rejected::Mismatch),
            ("", Some(SIGNATURE), Rejected::Mismatch),
            (BODY, Some("VkR+U3n5Q3a+Hzn8ghAlCLT+frL6SXtDsapcnDyV6OI"), Rejected::Malformed),
            (BODY, Some("VkR+U3n5Q3a+Hzn8ghAlCLT+frL6SXtDsapcnDyV6A=="), Rejected::Malformed),
            (BODY, Some("564452"), Rejected::Malformed),
            (BODY, Some(" "), Rejected::Missing),
            (BODY, None, Rejected::Missing),
        ];
        for (body, signature, expected) in cases {
            assert_eq!(check(SIGNATURE_HEADER, body, signature), Err(expected), "{signature:?}");
        }
    }
}
