//! Signing events as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use switchboard_channels::kit::sign::hmac_sha256;

/// Marks a key whose bytes are written in base64.
const PREFIX: &str = "whsec_";

/// The bytes of a receiver's key: its own, or the base64 behind `whsec_`.
pub fn key_bytes(key: &str) -> Vec<u8> {
    key.strip_prefix(PREFIX)
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .unwrap_or_else(|| key.as_bytes().to_vec())
}

/// The value of `webhook-signature`.
pub fn signature(key: &[u8], id: &str, timestamp_seconds: i64, body: &str) -> String {
    let timestamp = timestamp_seconds.to_string();
    let parts = [
        id.as_bytes(),
        b".",
        timestamp.as_bytes(),
        b".",
        body.as_bytes(),
    ];
    format!("v1,{}", STANDARD.encode(hmac_sha256(key, &parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector() {
        // From the Standard Webhooks specification's example.
        let key = key_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        assert_eq!(
            signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_plain_key_is_its_bytes() {
        assert_eq!(key_bytes("secret"), b"secret");
        assert_eq!(key_bytes("whsec_c2VjcmV0"), b"secret");
    }
}
