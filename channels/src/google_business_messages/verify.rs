//! Signatures, and the challenge with which Google looks whether a webhook is ours.

use super::config::Settings;
use super::wire::Challenge;
use crate::error::Rejected;
use crate::kit::http::{Inbound, Method, Reply};
use crate::kit::secret::Secret;
use crate::kit::sign::{base64, from_base64, hmac_sha512, same};

/// Where the signature is.
pub const SIGNATURE_HEADER: &str = "X-Goog-Signature";

/// Bytes of a SHA-512.
const SHA512_BYTES: usize = 64;

/// Answers the challenge: its secret and nothing else when it names our token, else 403. It is not
/// signed, and known by its two fields.
pub fn handshake(settings: &Settings, request: &Inbound) -> Option<Reply> {
    if request.method != Method::Post || request.headers.get(SIGNATURE_HEADER).is_some() {
        return None;
    }
    let challenge: Challenge = serde_json::from_slice(&request.body).ok()?;
    let given = challenge.client_token.as_bytes();
    // Each is compared, also after a match, so that the time does not tell which one it was.
    let ours = settings.challenge_tokens().fold(false, |found, token| {
        same(given, token.expose().as_bytes()) | found
    });
    Some(match ours {
        true => Reply::text(200, challenge.secret),
        false => Reply::empty(403),
    })
}

/// Checks the signature over the raw body.
///
/// # Errors
/// When it is missing, of another form or made with another key.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let given = request.headers.get(SIGNATURE_HEADER).ok_or(Rejected::Missing)?;
    signed(settings.keys(), &request.body, given)
}

/// Whether one of the keys signs these bytes so. RCS for Business signs what is inside its wrapper
/// instead of the raw body, and is alike in everything else.
pub fn signed<'a>(
    keys: impl Iterator<Item = &'a Secret>,
    bytes: &[u8],
    given: &str,
) -> Result<(), Rejected> {
    if given.trim().is_empty() {
        return Err(Rejected::Missing);
    }
    let mac = from_base64(given).filter(|mac| mac.len() == SHA512_BYTES);
    // Another way of writing the same bytes would be another signature for the same body.
    let mac = mac.filter(|mac| base64(mac) == given).ok_or(Rejected::Malformed)?;
    let ours = keys.fold(false, |found, key| {
        same(&mac, &hmac_sha512(key.expose().as_bytes(), &[bytes])) | found
    });
    if ours { Ok(()) } else { Err(Rejected::Mismatch) }
}

/// The signature of a body.
pub fn sign(key: &Secret, body: &[u8]) -> String {
    base64(&hmac_sha512(key.expose().as_bytes(), &[body]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the platform notes (November 2026); the third is that of RCS for Business, which
    /// signs the bytes inside its wrapper.
    #[test]
    fn published_vectors() {
        let key = Secret::new("gbm-demo-client-token-7f21");
        let hello = r#"{"agent":"brands/1111aaaa-22bb-33cc-44dd-555566667777/agents/8888aaaa-99bb-00cc-11dd-222233334444","conversationId":"3fb4a6f2-1d0e-4c55-9a77-6c1b7d0c9e10","requestId":"c0ffee00-1234-4abc-8def-0123456789ab","sendTime":"2024-05-01T09:30:00.123456Z","message":{"messageId":"11112222-3333-4444-8555-666677778888","name":"conversations/3fb4a6f2-1d0e-4c55-9a77-6c1b7d0c9e10/messages/11112222-3333-4444-8555-666677778888","text":"hello","createTime":"2024-05-01T09:30:00.000123Z"}}"#;
        let rcs = from_base64("eyJhZ2VudElkIjoiZGVtb19hZ2VudEByYm0uZXhhbXBsZSIsIm1lc3NhZ2VJZCI6Im0tMSIsInNlbmRlclBob25lTnVtYmVyIjoiKzE1NTUwMTAwMDAxIiwidGV4dCI6ImhpIn0=").unwrap();
        let vectors: [(&[u8], &str); 3] = [
            (hello.as_bytes(), "0txADFv5B5X1O8jq7kbbEt86/Uq6Wik3E1jh22bE6WoPYX3upQ3MtfbMYKX8J+Iv1Pksxv0BsYtT+qXd3yHmiA=="),
            (br#"{"conversationId":"c-1","requestId":"r-1"}"#, "RDrklrAj6Ajp29z9N2bLdOUItjGc7NGf8axfMb8Bi2oq/P3p7SfCh3mabu4i0XZs33IK4bLDv5nBfYRxfupxQg=="),
            (&rcs, "7394GYWXuI5WggqoPP+XVSPzfmBr/yZXLG3hrfTXf5YMTVRMkq+1Aka9LPH0n9RJXNtkfH7JXhHyniShONLknw=="),
        ];
        for (bytes, signature) in vectors {
            assert_eq!(sign(&key, bytes), signature);
            assert_eq!(signed([&key].into_iter(), bytes, signature), Ok(()));
            let other = Secret::new("another");
            let refused = signed([&other].into_iter(), bytes, signature);
            assert_eq!(refused, Err(Rejected::Mismatch));
            let both = [&other, &key];
            assert_eq!(signed(both.into_iter(), bytes, signature), Ok(()));
        }
    }

    #[test]
    fn nothing_is_signed_without_a_key() {
        let none = std::iter::empty::<&Secret>;
        let empty = sign(&Secret::new(""), b"{}");
        assert_eq!(signed(none(), b"{}", &empty), Err(Rejected::Mismatch));
        assert_eq!(signed(none(), b"{}", ""), Err(Rejected::Missing));
        assert_eq!(signed(none(), b"{}", "AAAA"), Err(Rejected::Malformed));
    }
}
