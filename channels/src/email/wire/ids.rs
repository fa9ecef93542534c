//! Ids that are ours: Message-IDs that tell which message they belong to, and reply tokens that tell
//! the conversation.
//!
//! A Message-ID is the same at every try, so that a receiver recognises a second copy; it holds the
//! time of acceptance, so that a gateway that begins anew (with message 1) repeats none of its
//! predecessor's.

use super::super::config::Settings;
use crate::kit::sign::{hmac_sha256, same};
use crate::model::{ConversationId, MessageId, Millis, Part};

/// What our Message-IDs begin with.
const PREFIX: &str = "sb";
/// Bytes of the MAC in a reply token: 64 bits against guessing, which the provider's own limits slow
/// down, in a local part of at most 64 characters.
const MAC_BYTES: usize = 8;
/// Bytes of the conversation's number in a reply token.
const ID_BYTES: usize = 8;
/// RFC 4648 base32, in lower case: mail servers may change the case of a local part.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The Message-ID of a part, without brackets.
pub fn message_id(settings: &Settings, part: &Part, at: Millis) -> String {
    let time = u64::try_from(at.0).unwrap_or(0);
    format!(
        "{PREFIX}.{}.{}.{time:x}@{}",
        part.message, part.index, settings.mail_domain
    )
}

/// The message that a Message-ID of ours names.
pub fn read_message_id(settings: &Settings, id: &str) -> Option<MessageId> {
    let (left, domain) = id.rsplit_once('@')?;
    let mut fields = left.split('.');
    let prefix = fields.next()?;
    let (message, index, time) = (fields.next()?, fields.next()?, fields.next()?);
    let ours = prefix == PREFIX
        && domain.eq_ignore_ascii_case(&settings.mail_domain)
        && fields.next().is_none()
        && index.parse::<u16>().is_ok()
        && u64::from_str_radix(time, 16).is_ok();
    let message = message.parse().ok().filter(|m| ours && *m > 0)?;
    Some(MessageId(message))
}

/// The token that carries a conversation; `None` without a key to sign it.
pub fn token(settings: &Settings, conversation: ConversationId) -> Option<String> {
    let key = settings.token_key.as_ref()?.first()?;
    let id = conversation.0.to_be_bytes();
    let mac = mac(key.expose(), settings, &id);
    Some(to_base32(&[&id[..], &mac].concat()))
}

/// The conversation that a token carries, if we signed it for this channel.
pub fn read_token(settings: &Settings, token: &str) -> Option<ConversationId> {
    let bytes = from_base32(token)?;
    let (id, given) = bytes.split_at_checked(ID_BYTES)?;
    let keys = settings.token_key.as_ref()?;
    // Every key is tried, also after a match, so that the time does not tell which one it was.
    let signed = keys.iter().fold(false, |found, key| {
        same(given, &mac(key.expose(), settings, id)) | found
    });
    let id = i64::from_be_bytes(id.try_into().ok()?);
    (signed && id > 0).then_some(ConversationId(id))
}

fn mac(key: &str, settings: &Settings, id: &[u8]) -> Vec<u8> {
    let mut mac = hmac_sha256(key.as_bytes(), &[settings.channel.as_bytes(), b"\0", id]);
    mac.truncate(MAC_BYTES);
    mac
}

fn to_base32(bytes: &[u8]) -> String {
    let mut out = String::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            push(&mut out, buffer >> bits);
        }
        buffer &= (1 << bits) - 1;
    }
    if bits > 0 {
        push(&mut out, buffer << (5 - bits));
    }
    out
}

fn push(out: &mut String, value: u32) {
    let letter = usize::try_from(value & 31).ok().and_then(|i| ALPHABET.get(i));
    out.extend(letter.map(|b| char::from(*b)));
}

/// Only what [`to_base32`] writes for the bytes of a token is read: one token has one form.
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let text = text.to_ascii_lowercase();
    if text.len() != ((ID_BYTES + MAC_BYTES) * 8).div_ceil(5) {
        return None;
    }
    let mut out = Vec::new();
    let (mut buffer, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|b| *b == letter)?;
        buffer = (buffer << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(u8::try_from((buffer >> bits) & 0xff).ok()?);
            buffer &= (1 << bits) - 1;
        }
    }
    (buffer == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::super::super::config::tests::common;
    use super::*;
    use serde_json::json;

    fn settings(id: &str, keys: serde_json::Value) -> Settings {
        let value = json!({"smtp_url": "smtp://localhost", "address": "s@x.se", "token_key": keys});
        let common = crate::kit::settings::Common {
            id: id.to_owned(),
            ..common()
        };
        Settings::read(&common, value).unwrap()
    }

    #[test]
    fn a_token_is_believed_only_as_it_was_made() {
        let ours = settings("support", json!("0123456789abcdef"));
        let token = token(&ours, ConversationId(42)).unwrap();
        assert_eq!(token.len(), 26);
        assert_eq!(read_token(&ours, &token), Some(ConversationId(42)));
        assert_eq!(read_token(&ours, &token.to_uppercase()), Some(ConversationId(42)));
        for i in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[i] = if changed[i] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(read_token(&ours, &changed), None, "{changed}");
        }
        for other in ["", "a", "1", token.split_at(1).1, &format!("{token}a"), "é"] {
            assert_eq!(read_token(&ours, other), None, "{other}");
        }
        // Neither another channel's nor another key's; a former key's while it is being changed.
        let keys = json!("0123456789abcdef");
        assert_eq!(read_token(&settings("sales", keys), &token), None);
        let new = json!("fedcba9876543210");
        assert_eq!(read_token(&settings("support", new), &token), None);
        let both = json!(["fedcba9876543210", "0123456789abcdef"]);
        assert_eq!(read_token(&settings("support", both), &token), Some(ConversationId(42)));
    }

    #[test]
    fn only_our_own_ids_are_read() {
        let ours = settings("support", json!("0123456789abcdef"));
        for (id, message) in [
            ("sb.17.0.19f@x.se", Some(17)),
            ("sb.17.0.19f@X.SE", Some(17)),
            ("sb.17.0.19f@y.se", None),
            ("sb.17.0@x.se", None),
            ("sb.17.0.19f.1@x.se", None),
            ("sb.-1.0.19f@x.se", None),
            ("sb.0.0.19f@x.se", None),
            ("sb.a.0.19f@x.se", None),
            ("17.0.19f@x.se", None),
            ("", None),
        ] {
            assert_eq!(read_message_id(&ours, id), message.map(MessageId), "{id}");
        }
    }
}
