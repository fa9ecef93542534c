//! WeChat's signatures and its encryption of callbacks.
//!
//! AES-256-CBC, the first half of the key being the initialisation vector; inside it 16 random
//! bytes, the length of the message as four bytes, the message, and the account's AppID; padded as
//! PKCS#7 but to 32 bytes, which no AES library does by itself.

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::{Decryptor, Encryptor};
use sha1::{Digest, Sha1};

/// The 32 bytes of an EncodingAESKey.
pub type Key = [u8; 32];

/// What is padded to. The cipher's own block has 16 bytes.
const PADDED_TO: usize = 32;

/// Bytes before the message: 16 random ones and its length.
const HEAD: usize = 20;

/// 43 characters carry 258 bits: the last two are spare and usually set, which a strict decoder
/// refuses.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The key behind an EncodingAESKey of 43 letters and digits.
pub fn key(encoded: &str) -> Option<Key> {
    let word = encoded.bytes().all(|b| b.is_ascii_alphanumeric());
    (encoded.len() == 43 && word).then_some(())?;
    LENIENT.decode(encoded).ok()?.try_into().ok()
}

/// The signature of these values: lower-case hexadecimal SHA-1 of them, sorted as bytes and joined.
pub fn signature(values: &[&str]) -> String {
    let mut values = values.to_vec();
    values.sort_unstable();
    hex::encode(Sha1::digest(values.concat()))
}

/// Opens the text of an `Encrypt` element. `None`: it was not made with this key for this account,
/// or is damaged; which of the two nobody is told.
pub fn open(key: &Key, encrypted: &str, app_id: &str) -> Option<Vec<u8>> {
    let bytes = crate::kit::sign::from_base64(encrypted)?;
    let (iv, _) = key.split_first_chunk::<16>()?;
    let decryptor = Decryptor::<Aes256>::new(key.into(), iv.into());
    let mut plain = decryptor.decrypt_padded_vec::<NoPadding>(&bytes).ok()?;
    let padding = usize::from(*plain.last()?);
    if !(1..=PADDED_TO).contains(&padding) {
        return None;
    }
    plain.truncate(plain.len().checked_sub(padding)?);
    let (head, rest) = plain.split_at_checked(HEAD)?;
    let length: [u8; 4] = head.last_chunk().copied()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    let (message, owner) = rest.split_at_checked(length)?;
    (owner == app_id.as_bytes()).then(|| message.to_vec())
}

/// Makes the text of an `Encrypt` element.
pub fn seal(key: &Key, random: [u8; 16], message: &[u8], app_id: &str) -> String {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut plain = random.to_vec();
    plain.extend(length.to_be_bytes());
    plain.extend(message);
    plain.extend(app_id.as_bytes());
    let padding = PADDED_TO - plain.len() % PADDED_TO;
    let byte = u8::try_from(padding).unwrap_or_default();
    plain.extend(std::iter::repeat_n(byte, padding));
    let Some((iv, _)) = key.split_first_chunk::<16>() else {
        return String::new(); // A key has 32 bytes: there is always a first half.
    };
    let encryptor = Encryptor::<Aes256>::new(key.into(), iv.into());
    crate::kit::sign::base64(&encryptor.encrypt_padded_vec::<NoPadding>(&plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "demoToken2026";
    const APP: &str = "wx0123456789abcdef";
    const LONG: &str = concat!(
        "hqcNtc1S026CCc0/I/Va3RjGtGJrkCU2VLJL/n8MrZUbFdBaHVFI7B1nB+dbPDs0XvAGYndtzYmPOwxzhGQ6wjf1",
        "dzRpFIVUGCzMHK7WXUzxSd1kETOIDODrxyphNb/cBwGSvt2bz3SKfObsAE9aIVHb1PzY6UJnBw4ormKHu3nioIWa",
        "eQQqexKDomu12xaqIrc5cvDj8Mepn2uzfs1bCDp6JpGUr07ZpGM4UNTvXC4c2Zjf/Ve8ptUXlHTLr2lhDGwwfWyV",
        "vUMRbmUDqMZWpTp6cvGKq3DOlHKJBx0jIFcfBqozgqCvWWXHySjEi94zliSR3yqO8HVKucUJArhukbhYLpGDqBqU",
        "zlD+G9OgEjIgkP7nrtn7f5AR4EhIsSLV",
    );
    const MESSAGE: &str = "<xml><ToUserName>gh_0a1b2c3d4e5f</ToUserName><FromUserName>oDemoOpenId_0000000000000001</FromUserName><CreateTime>1767225600</CreateTime><MsgType>text</MsgType><Content>你好, gateway</Content><MsgId>23456789012345678</MsgId></xml>";
    const SHORT: &str =
        "UrPbi57KUnA4+D3YYgVwyU70xjeMuMDSjgKLcEzE7mXvpKO5j/suf2G2SAp4zHL+2XA3eoPHsme1FaXKew702w==";

    fn demo_key() -> Key {
        key("Zm9yVGVzdE9ubHlLZXkwMTIzNDU2Nzg5QWJDZEVmR2h").unwrap()
    }

    #[test]
    fn the_key_is_decoded_with_its_spare_bits() {
        assert_eq!(&demo_key(), b"forTestOnlyKey0123456789AbCdEfGh");
        for wrong in ["", "Zm9y", "Zm9yVGVzdE9ubHlLZXkwMTIzNDU2Nzg5QWJDZEVmR2h="] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
        // Base64's own `+` and `/` do not occur in keys of the console.
        assert_eq!(key("Zm9yVGVzdE9ubHlLZXkwMTIzNDU2Nzg5QWJDZEVmR2/"), None);
    }

    #[test]
    fn signatures_are_over_sorted_values() {
        let (time, nonce) = ("1767225600", "918273645");
        assert_eq!(
            signature(&[TOKEN, time, nonce]),
            "14a6587edeca94d53812a19bc92278ec262247c6"
        );
        assert_eq!(
            signature(&[TOKEN, time, nonce, LONG]),
            "208c978bac8d922ec349698da2f2c0b4fc1ffc15"
        );
        assert_eq!(
            signature(&[TOKEN, time, nonce, SHORT]),
            "7d7a3fe3b1d62cab9d444847cb3d11ccd4b04ce3"
        );
    }

    #[test]
    fn known_messages_open_and_are_made() {
        let opened = open(&demo_key(), LONG, APP).unwrap();
        assert_eq!(String::from_utf8(opened).unwrap(), MESSAGE);
        assert_eq!(open(&demo_key(), SHORT, APP).unwrap(), b"hello");
        assert_eq!(seal(&demo_key(), *b"0123456789abcdef", MESSAGE.as_bytes(), APP), LONG);
        assert_eq!(seal(&demo_key(), *b"fedcba9876543210", b"hello", APP), SHORT);
    }

    #[test]
    fn what_is_not_ours_does_not_open() {
        let other = key("U2FuZGJveEtleU9mVGhlV2VDaGF0RW11bGF0b3IwMDE").unwrap();
        assert_eq!(open(&other, LONG, APP), None);
        assert_eq!(open(&demo_key(), LONG, "wx0123456789abcdee"), None);
        for damaged in ["", "AAAA", "not base64!", LONG.get(..64).unwrap(), LONG.get(..63).unwrap()] {
            assert_eq!(open(&demo_key(), damaged, APP), None, "{damaged}");
        }
    }

    /// Every padding from 1 to 32 is made and taken, and no length in the middle is trusted.
    #[test]
    fn every_padding_and_no_lying_length() {
        for length in 0..64 {
            let message = vec![b'x'; length];
            let sealed = seal(&demo_key(), [7; 16], &message, APP);
            assert_eq!(open(&demo_key(), &sealed, APP), Some(message), "{length}");
        }
        for (padding, length) in [(0, 5u32), (33, 5), (26, 6), (26, u32::MAX), (26, 4)] {
            let mut plain = vec![7; 16];
            plain.extend(length.to_be_bytes());
            plain.extend(b"hello");
            plain.extend(APP.as_bytes());
            plain.extend(vec![padding; 64 - plain.len()]);
            let iv: [u8; 16] = demo_key()[..16].try_into().unwrap();
            let encryptor = Encryptor::<Aes256>::new(&demo_key().into(), &iv.into());
            let bytes = encryptor.encrypt_padded_vec::<NoPadding>(&plain);
            let text = crate::kit::sign::base64(&bytes);
            assert_eq!(open(&demo_key(), &text, APP), None, "{padding} {length}");
        }
    }
}
