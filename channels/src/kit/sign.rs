//! Keyed hashes and comparisons in constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// HMAC-SHA256 of the chunks, one after the other.
pub fn hmac_sha256(key: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha256>>(key, chunks)
}

/// HMAC-SHA1 of the chunks, one after the other. Only where a platform signs with nothing better.
pub fn hmac_sha1(key: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha1>>(key, chunks)
}

fn mac<M: Mac + KeyInit>(key: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    // HMAC takes keys of every length, so there is no error to report; an impossible failure must
    // not verify anything, and no MAC equals the empty one.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else {
        return Vec::new();
    };
    for chunk in chunks {
        mac.update(chunk);
    }
    mac.finalize().into_bytes().to_vec()
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

/// Whether both are equal, taking the same time wherever they differ. Never true for empty input:
/// what is not configured must not match what is not sent.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    !a.is_empty() && !b.is_empty() && bool::from(a.ct_eq(b))
}

/// Standard base64 with padding.
pub fn base64(data: &[u8]) -> String {
    STANDARD.encode(data)
}

/// Reads standard base64 with padding.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_vectors() {
        // RFC 4231 test case 2 and RFC 2202 test case 2.
        assert_eq!(
            hex::encode(hmac_sha256(
                b"Jefe",
                &[b"what do ya want ", b"for nothing?"]
            )),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(hmac_sha1(b"Jefe", &[b"what do ya want for nothing?"])),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
    }

    #[test]
    fn nothing_equals_nothing_never() {
        assert!(!same(b"", b""));
        assert!(same(b"a", b"a"));
        assert!(!same(b"a", b"ab"));
    }
}
