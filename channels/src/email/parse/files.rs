//! Attachments: which parts of a mail are files, and their bytes.

use super::html;
use super::letter::{Letter, one_line};
use super::limits;
use crate::kit::http::Headers;
use crate::kit::mail::headers;
use crate::model::{Attachment, AttachmentKind, Media, MediaRef};
use bytes::Bytes;
use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use mail_parser::{Encoding, MessagePart, MimeHeaders, PartType};

/// The files of a mail, as many as are taken, and how many were left.
pub fn attachments(letter: &Letter<'_>, facts: &Headers) -> (Vec<Attachment>, usize) {
    let kept = facts.get(headers::KEPT).filter(|k| !k.is_empty());
    let embedded = embedded(letter);
    let mut found = Vec::new();
    let mut left = 0;
    for index in &letter.message.attachments {
        let part = usize::try_from(*index).ok().and_then(|i| letter.message.parts.get(i));
        let Some(part) = part else { continue };
        let size = size(letter, part);
        if super::body::is_stray(part) || is_report(part) || is_ornament(part, size, &embedded) {
            continue;
        }
        if found.len() >= limits::ATTACHMENTS || usize::try_from(*index).is_ok_and(|i| i > limits::PARTS) {
            left += 1;
            continue;
        }
        let mime = mime(part);
        found.push(Attachment {
            kind: AttachmentKind::from_mime(&mime),
            name: Some(name(part, &mime, found.len())),
            size_bytes: u64::try_from(size).ok(),
            media: kept.filter(|_| size <= limits::ATTACHMENT_BYTES).map(|key| MediaRef {
                reference: key.to_owned(),
                scope: Some(index.to_string()),
            }),
            mime: Some(mime),
        });
    }
    (found, left)
}

/// The bytes of one file of a raw mail.
pub fn bytes(raw: &[u8], scope: &str) -> Option<Media> {
    let letter = Letter::read(raw, false).filter(|l| !l.headers_only)?;
    let index: usize = scope.parse().ok()?;
    let index = letter.message.attachments.iter().find(|a| usize::try_from(**a) == Ok(index))?;
    let part = letter.message.parts.get(usize::try_from(*index).ok()?)?;
    let mime = mime(part);
    Some(Media {
        bytes: content(&letter, part),
        name: Some(name(part, &mime, 0)),
        mime: Some(mime),
    })
}

/// A part as its sender had it. The parser turns text into UTF-8, which is not what was attached.
fn content(letter: &Letter<'_>, part: &MessagePart<'_>) -> Bytes {
    let written = written(letter, part);
    let stated = part.content_transfer_encoding().unwrap_or_default().to_ascii_lowercase();
    if matches!(stated.as_str(), "x-uuencode" | "uuencode" | "x-uue")
        && let Some(bytes) = uudecoded(written)
    {
        return Bytes::from(bytes);
    }
    let decoded = match part.encoding {
        Encoding::Base64 => base64_decode(written),
        Encoding::QuotedPrintable => quoted_printable_decode(written),
        Encoding::None => None,
    };
    let is_text = matches!(part.body, PartType::Text(_) | PartType::Html(_) | PartType::Message(_));
    match (&part.body, decoded) {
        (PartType::Binary(bytes) | PartType::InlineBinary(bytes), _) => Bytes::copy_from_slice(bytes),
        (_, Some(bytes)) if is_text => Bytes::from(bytes),
        _ => Bytes::copy_from_slice(written),
    }
}

/// The bytes of a part's body as they stand in the mail.
fn written<'a>(letter: &Letter<'a>, part: &MessagePart<'_>) -> &'a [u8] {
    let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    letter.raw.get(at(part.offset_body)..at(part.offset_end)).unwrap_or_default()
}

/// What programs of the nineties wrote in place of base64: lines of up to 45 bytes behind their length,
/// between `begin` and `end`.
fn uudecoded(written: &[u8]) -> Option<Vec<u8>> {
    let mut lines = written.split(|b| *b == b'\n');
    lines.find(|l| l.starts_with(b"begin "))?;
    let value = |b: u8| b.wrapping_sub(b' ') & 0x3f;
    let mut out = Vec::with_capacity(written.len() / 4 * 3);
    for line in lines {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (length, digits) = line.split_first()?;
        let length = usize::from(value(*length));
        if length == 0 || line == b"end" {
            break;
        }
        let mut bytes = Vec::with_capacity(48);
        for four in digits.chunks(4) {
            let digit = |i: usize| four.get(i).map_or(0, |b| u32::from(value(*b)));
            let joined = (digit(0) << 18) | (digit(1) << 12) | (digit(2) << 6) | digit(3);
            let [_, a, b, c] = joined.to_be_bytes();
            bytes.extend([a, b, c]);
        }
        bytes.truncate(length);
        out.extend(bytes);
    }
    Some(out)
}

fn size(letter: &Letter<'_>, part: &MessagePart<'_>) -> usize {
    match &part.body {
        // The common case, without a copy.
        PartType::Binary(bytes) | PartType::InlineBinary(bytes)
            if part.encoding == Encoding::Base64 =>
        {
            bytes.len()
        }
        _ => content(letter, part).len(),
    }
}

/// Reports for machines are no files for people.
fn is_report(part: &MessagePart<'_>) -> bool {
    let types = ["delivery-status", "disposition-notification", "feedback-report"];
    types.iter().any(|t| part.is_content_type("message", t))
}

/// A small picture that only the HTML shows.
fn is_ornament(part: &MessagePart<'_>, size: usize, embedded: &[String]) -> bool {
    let is_image = part.content_type().is_some_and(|t| t.c_type.eq_ignore_ascii_case("image"));
    is_image
        && size < limits::INLINE_IMAGE_BYTES
        && part.content_id().is_some_and(|id| embedded.iter().any(|e| e == id))
}

/// Content-IDs that the HTML shows.
fn embedded(letter: &Letter<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for part in &letter.message.parts {
        if let PartType::Html(text) = &part.body {
            let sources = html::pictures(text).into_iter();
            found.extend(sources.filter_map(|s| s.strip_prefix("cid:").map(str::to_owned)));
        }
        if found.len() > limits::PARTS {
            break;
        }
    }
    found
}

fn mime(part: &MessagePart<'_>) -> String {
    let word = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-+._".contains(c);
        !text.is_empty() && text.len() <= 100 && text.chars().all(plain)
    };
    let stated = part.content_type().and_then(|t| {
        let subtype = t.c_subtype.as_deref()?;
        (word(&t.c_type) && word(subtype)).then(|| format!("{}/{subtype}", t.c_type).to_lowercase())
    });
    stated.unwrap_or_else(|| match &part.body {
        PartType::Text(_) => "text/plain".to_owned(),
        PartType::Html(_) => "text/html".to_owned(),
        PartType::Message(_) => "message/rfc822".to_owned(),
        _ => "application/octet-stream".to_owned(),
    })
}

/// The file's name without paths and tricks, or one from its type.
fn name(part: &MessagePart<'_>, mime: &str, index: usize) -> String {
    let given = part.attachment_name().map(str::to_owned).or_else(|| match &part.body {
        PartType::Message(message) => {
            let subject = message.parts.first().and(message.subject()).unwrap_or_default();
            Some(format!("{}.eml", one_line(subject))).filter(|n| n.len() > 4)
        }
        _ => None,
    });
    let given = one_line(&given.unwrap_or_default());
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim().trim_start_matches('.');
    if !last.is_empty() {
        return shorten(last);
    }
    let extension = mime_guess::get_mime_extensions_str(mime).and_then(|e| e.first());
    let extension = match mime {
        "image/jpeg" => "jpg",
        "text/plain" => "txt",
        "message/rfc822" => "eml",
        _ => extension.copied().unwrap_or("bin"),
    };
    let kind = AttachmentKind::from_mime(mime).name();
    format!("{kind}-{}.{extension}", index + 1)
}

/// The name cut in the middle, so that its extension stays.
fn shorten(name: &str) -> String {
    let count = name.chars().count();
    if count <= limits::FILE_NAME_CHARS {
        return name.to_owned();
    }
    let tail: String = name.chars().skip(count - 20).collect();
    format!("{}…{tail}", limits::chars(name, limits::FILE_NAME_CHARS - 21))
}

#[cfg(test)]
mod tests {
    use super::uudecoded;

    #[test]
    fn uuencoded_files_are_read() {
        let text = b"\r\nbegin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n";
        assert_eq!(uudecoded(text).as_deref(), Some(&b"Cat"[..]));
        let long = b"begin 644 a\nM22!A;2!N;W0@82!N=6UB97(L($D@86T@82!F<F5E(&UA;B$A(2$A(2$A(2$A\nend\n";
        assert_eq!(uudecoded(long).map(|b| b.len()), Some(45));
        for odd in [&b"begin 644 a"[..], b"begin 644 a\n\xff", b"begin 1\nM\n#\n", b""] {
            drop(uudecoded(odd));
        }
    }
}
