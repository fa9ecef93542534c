//! Media of inbound messages.

use super::super::wire::Params;
use crate::model::{Attachment, AttachmentKind, MediaRef};

/// Twilio's limit is ten media per message; a few more are read in case it grows.
const MEDIA_MAX: usize = 20;

/// The media that a message announces, in order.
pub(super) fn attachments(params: &Params) -> Vec<Attachment> {
    let announced = params.get("NumMedia").and_then(|n| n.parse().ok());
    let announced: usize = announced.unwrap_or(0);
    let link = |i: usize| params.filled(&format!("MediaUrl{i}"));
    (0..MEDIA_MAX)
        .take_while(|i| *i < announced || link(*i).is_some())
        .map(|i| {
            let mime = params.filled(&format!("MediaContentType{i}"));
            let url = link(i);
            Attachment {
                kind: AttachmentKind::from_mime(mime.unwrap_or_default()),
                name: url.and_then(|url| file_name(url, mime)),
                mime: mime.map(str::to_owned),
                size_bytes: None,
                media: url.map(MediaRef::new),
            }
        })
        .collect()
}

/// What phones send by MMS, and how such files are called.
const EXTENSIONS: [(&str, &str); 27] = [
    ("image/jpeg", "jpg"),
    ("image/jpg", "jpg"),
    ("image/png", "png"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/heic", "heic"),
    ("image/bmp", "bmp"),
    ("image/tiff", "tif"),
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/ogg", "ogg"),
    ("audio/amr", "amr"),
    ("audio/3gpp", "3ga"),
    ("audio/wav", "wav"),
    ("audio/vnd.wave", "wav"),
    ("video/mp4", "mp4"),
    ("video/3gpp", "3gp"),
    ("video/3gpp2", "3g2"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("application/pdf", "pdf"),
    ("text/plain", "txt"),
    ("text/csv", "csv"),
    ("text/calendar", "ics"),
    ("text/vcard", "vcf"),
    ("text/x-vcard", "vcf"),
    ("text/directory", "vcf"),
];

/// `ME….jpg`: the last part of the link and what the type suggests.
fn file_name(url: &str, mime: Option<&str>) -> Option<String> {
    let (path, _) = url.split_once(['?', '#']).unwrap_or((url, ""));
    let name: String = path.rsplit('/').next()?.chars().take(80).collect();
    if name.is_empty() || name.contains('.') {
        return (!name.is_empty()).then_some(name);
    }
    let essence = mime?.split(';').next()?.trim().to_ascii_lowercase();
    let (_, extension) = EXTENSIONS.iter().find(|(mime, _)| *mime == essence)?;
    Some(format!("{name}.{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_names() {
        let at = "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages/MM1/Media/ME1";
        let cases = [
            (at, Some("image/jpeg"), Some("ME1.jpg")),
            (at, Some("text/x-vcard"), Some("ME1.vcf")),
            (at, Some("application/pdf; x=y"), Some("ME1.pdf")),
            (at, Some("no/such-type"), None),
            (at, None, None),
            ("https://x/a.png?b=/c", None, Some("a.png")),
            ("https://x/", Some("image/png"), None),
        ];
        for (url, mime, expected) in cases {
            assert_eq!(file_name(url, mime).as_deref(), expected, "{url} {mime:?}");
        }
    }
}
