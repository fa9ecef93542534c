//! Keyed hashes and comparisons in constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// HMAC-SHA256 of the chunks, one after the other.
pub fn hmac_sha256(key: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha256>>(key, chunks)
}

/// HMAC-SHA512 of the chunks, one after the other.
pub fn hmac_sha512(key: &[u8], chunks: &[&[u8]]) -> Vec<u8> {
    mac::<Hmac<Sha512>>(key, chunks)
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

/// The UUID of a name in a name space: version 5 of RFC 9562, the same wherever it is computed. SHA-1
/// is what the version is made of; nothing relies on its strength.
pub fn named_uuid(space: &[u8; 16], name: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(space);
    hash.update(name.as_bytes());
    let mut bytes: Vec<u8> = hash.finalize().iter().copied().take(16).collect();
    if let Some(version) = bytes.get_mut(6) {
        *version = (*version & 0x0f) | 0x50;
    }
    if let Some(variant) = bytes.get_mut(8) {
        *variant = (*variant & 0x3f) | 0x80;
    }
    let digits = hex::encode(bytes);
    let of = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [of(0, 8), of(8, 12), of(12, 16), of(16, 20), of(20, 32)].join("-")
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
    fn sha512_as_in_rfc_4231() {
        assert_eq!(
            hex::encode(hmac_sha512(
                b"Jefe",
                &[b"what do ya want ", b"for nothing?"]
            )),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
    }

    #[test]
    fn uuids_of_names_as_in_rfc_9562() {
        // Appendix A.4: "www.example.com" in the name space of DNS.
        let dns = 0x6ba7_b810_9dad_11d1_80b4_00c0_4fd4_30c8_u128.to_be_bytes();
        assert_eq!(
            named_uuid(&dns, "www.example.com"),
            "2ed6657d-e942-568b-95e1-2665a8aea6a2"
        );
    }

    #[test]
    fn nothing_equals_nothing_never() {
        assert!(!same(b"", b""));
        assert!(same(b"a", b"a"));
        assert!(!same(b"a", b"ab"));
    }
}
