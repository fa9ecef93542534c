//! Attachments that contacts sent: fetched after the commit on a lane of their own, kept in a
//! directory, served by signed links that expire.

pub mod fetch;
pub mod files;

use crate::store::rows::StoredAttachment;
use switchboard_channels::kit::sign::{hmac_sha256, same};
use switchboard_channels::model::{AttachmentKind, Millis};

/// Links live so long (design: 30 days): a chat backend may show an old conversation.
const LINK_LIFE_MS: i64 = 30 * 86_400_000;
/// Derives the key of links from the gateway key, so that one key serves several purposes.
const PURPOSE: &[u8] = b"switchboard media link v1";

/// Makes and checks the links of kept attachments.
pub struct Links {
    public_url: String,
    key: Vec<u8>,
}

impl Links {
    /// Links under this public URL, signed with a key derived from the gateway key.
    pub fn new(public_url: &str, gateway_key: &str) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            key: hmac_sha256(gateway_key.as_bytes(), &[PURPOSE]),
        }
    }

    fn signature(&self, key: &str, expires_seconds: i64) -> String {
        let expires = expires_seconds.to_string();
        hex::encode(hmac_sha256(
            &self.key,
            &[key.as_bytes(), b".", expires.as_bytes()],
        ))
    }

    /// A link to a kept attachment, good for 30 days from now. It ends in the file's extension.
    pub fn mint(&self, key: &str, name: &str, now: Millis) -> String {
        let expires = now.plus(LINK_LIFE_MS).0 / 1000;
        let extension = name
            .rsplit_once('.')
            .map(|(_, e)| e)
            .filter(|e| !e.is_empty() && e.len() <= 8 && e.chars().all(char::is_alphanumeric))
            .unwrap_or("bin");
        let signature = self.signature(key, expires);
        // The signature is part of the path, so that the link ends in the extension.
        format!(
            "{}/media/{key}-{expires}-{signature}.{extension}",
            self.public_url
        )
    }

    /// The link under which an attachment is shown: the caller's own, or one minted now.
    pub fn of(&self, attachment: &StoredAttachment, now: Millis) -> String {
        match &attachment.media_key {
            Some(key) => self.mint(key, &attachment.name, now),
            None => attachment.link.clone(),
        }
    }

    /// The key of a link's last path segment, when its signature holds and its time is not over.
    ///
    /// # Errors
    /// Says whether the link is wrong or only too old.
    pub fn check(&self, segment: &str, now: Millis) -> Result<String, BadLink> {
        let stem = segment.split_once('.').map_or(segment, |(stem, _)| stem);
        let mut fields = stem.split('-');
        let (Some(key), Some(expires), Some(signature), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(BadLink::Wrong);
        };
        let expires: i64 = expires.parse().map_err(|_not_a_number| BadLink::Wrong)?;
        if !same(
            self.signature(key, expires).as_bytes(),
            signature.as_bytes(),
        ) {
            return Err(BadLink::Wrong);
        }
        if expires.saturating_mul(1000) < now.0 {
            return Err(BadLink::Expired);
        }
        Ok(key.to_owned())
    }
}

/// A link that is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadLink {
    /// Not one of ours.
    Wrong,
    /// Its time is over.
    Expired,
}

/// The file extension for a type, or else for a kind.
pub fn extension(mime: Option<&str>, kind: AttachmentKind) -> &'static str {
    let by_mime = mime
        .and_then(|m| m.split(';').next())
        .map(str::trim)
        .and_then(|m| match m {
            // The library's first guess for these is not what people expect.
            "image/jpeg" => Some("jpg"),
            "audio/ogg" => Some("ogg"),
            "audio/mpeg" => Some("mp3"),
            "video/mp4" => Some("mp4"),
            "text/plain" => Some("txt"),
            "text/x-vcard" | "text/vcard" => Some("vcf"),
            other => mime_guess::get_mime_extensions_str(other).and_then(|e| e.first().copied()),
        });
    by_mime.unwrap_or(match kind {
        AttachmentKind::Image => "jpg",
        AttachmentKind::Video => "mp4",
        AttachmentKind::Audio => "mp3",
        AttachmentKind::Voice => "ogg",
        AttachmentKind::Sticker => "webp",
        AttachmentKind::File => "bin",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(link: &str) -> String {
        link.rsplit('/').next().unwrap().to_owned()
    }

    #[test]
    fn links_are_good_until_they_expire_and_cannot_be_made_up() {
        let links = Links::new("https://gw.example.net/", "gateway key");
        let link = links.mint("0a1b", "Rechnung 1.PDF", Millis(1_000_000));
        assert!(link.starts_with("https://gw.example.net/media/0a1b-"));
        assert!(link.ends_with(".PDF"), "{link}");
        let good = segment(&link);
        assert_eq!(links.check(&good, Millis(2_000_000)), Ok("0a1b".to_owned()));
        let late = Millis(1_000_000 + LINK_LIFE_MS + 1000);
        assert_eq!(links.check(&good, late), Err(BadLink::Expired));
        for wrong in [
            good.replace("0a1b", "0a1c"),
            good.replace('-', "_"),
            String::new(),
        ] {
            assert_eq!(
                links.check(&wrong, Millis(0)),
                Err(BadLink::Wrong),
                "{wrong}"
            );
        }
        let other = Links::new("https://gw.example.net", "another key");
        assert_eq!(other.check(&good, Millis(0)), Err(BadLink::Wrong));
    }

    #[test]
    fn a_name_without_a_sane_extension_gets_one() {
        let links = Links::new("https://gw.example.net", "k");
        for name in ["noext", "x.", "a.b/c", "evil.ph%70", "long.abcdefghij"] {
            assert!(links.mint("k", name, Millis(0)).ends_with(".bin"), "{name}");
        }
        assert_eq!(
            extension(Some("audio/ogg; codecs=opus"), AttachmentKind::Voice),
            "ogg"
        );
        assert_eq!(extension(None, AttachmentKind::Image), "jpg");
    }
}
