//! The text of a mail: the parts that are read, as a person would read them.

use super::html;
use super::letter::Letter;
use super::limits;
use super::quote;
use mail_parser::{MessagePart, MimeHeaders, PartType};

/// So many replacement characters in a hundred mean that the charset was another than UTF-8.
const REPLACED_PERCENT: usize = 5;

/// The text of a mail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What is shown: without history and signature.
    pub shown: String,
    /// All of it, where something was cut.
    pub original: Option<String>,
}

/// Reads the text.
pub fn text(letter: &Letter<'_>) -> Text {
    let plain = plain(letter);
    let mut marked = false;
    let (whole, stripped) = match html_body(letter) {
        // Where the mail program marked the history, that is surer than any guess at lines.
        Some(html) if html.cut.cut && !html.cut.text.is_empty() => {
            marked = true;
            (html.whole, quote::strip(&html.cut.text))
        }
        Some(html) if plain.trim().is_empty() => {
            let stripped = quote::strip(&html.whole);
            (html.whole, stripped)
        }
        _ => {
            let stripped = quote::strip(&plain);
            (plain, stripped)
        }
    };
    let shown = limits::chars(&stripped.text, limits::SHOWN_CHARS);
    let whole = whole.trim();
    let differs = marked || stripped.cut || shown.len() < stripped.text.len();
    let original = (differs && whole != shown)
        .then(|| limits::head(whole, limits::ORIGINAL_BYTES).replace('\0', ""));
    Text { shown, original }
}

fn part<'m, 'x>(letter: &'m Letter<'x>, index: u32) -> Option<&'m MessagePart<'x>> {
    let index = usize::try_from(index).ok().filter(|i| *i <= limits::PARTS)?;
    letter.message.parts.get(index)
}

/// Whether a part is the text of a mail that was cut off: the parser gives up on its boundary.
pub fn is_stray(part: &MessagePart<'_>) -> bool {
    part.is_encoding_problem
        && matches!(part.body, PartType::Text(_))
        && part.attachment_name().is_none()
        && part.content_disposition().is_none()
        && part.content_type().is_none_or(|t| t.c_type.eq_ignore_ascii_case("text"))
}

/// The plain text parts, one under the other. A mail with HTML alone has none.
fn plain(letter: &Letter<'_>) -> String {
    let mut texts = Vec::new();
    for index in &letter.message.text_body {
        if let Some(part) = part(letter, *index)
            && let PartType::Text(text) = &part.body
        {
            texts.push(flowed(part, &decoded(letter, part, text)));
        }
    }
    for index in &letter.message.attachments {
        if let Some(part) = part(letter, *index).filter(|p| is_stray(p))
            && let PartType::Text(text) = &part.body
        {
            texts.push(text.to_string());
        }
    }
    texts.retain(|t| !t.trim().is_empty());
    limits::head(&texts.join("\n\n"), limits::TEXT_BYTES).to_owned()
}

/// The HTML parts as text: whole, and without marked quotes.
struct HtmlBody {
    whole: String,
    cut: html::Converted,
}

fn html_body(letter: &Letter<'_>) -> Option<HtmlBody> {
    let mut sources = Vec::new();
    for index in &letter.message.html_body {
        let Some(part) = part(letter, *index) else { continue };
        match &part.body {
            PartType::Html(text) => sources.push(decoded(letter, part, text)),
            // Apple Mail writes text before and after a picture as parts of their own.
            PartType::Text(text) if letter.message.html_body.len() > 1 => {
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
                sources.push(format!("<pre>{escaped}</pre>"));
            }
            _ => {}
        }
    }
    let is_html = |i: &u32| part(letter, *i).is_some_and(|p| matches!(p.body, PartType::Html(_)));
    if !letter.message.html_body.iter().any(is_html) {
        return None;
    }
    let html = sources.join("<br><br>");
    Some(HtmlBody {
        whole: html::to_text(&html, false).text,
        cut: html::to_text(&html, true),
    })
}

/// The text in the charset that it most likely has. Without a declared one the parser takes UTF-8.
fn decoded(letter: &Letter<'_>, part: &MessagePart<'_>, text: &str) -> String {
    let declared = part.content_type().and_then(|t| t.attribute("charset")).is_some();
    let replaced = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if declared || replaced == 0 || replaced * 100 <= text.chars().count() * REPLACED_PERCENT {
        return text.to_owned();
    }
    let at = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let written = letter.raw.get(at(part.offset_body)..at(part.offset_end)).unwrap_or_default();
    let decoded = match part.encoding {
        mail_parser::Encoding::Base64 => mail_parser::decoders::base64::base64_decode(written),
        mail_parser::Encoding::QuotedPrintable => {
            mail_parser::decoders::quoted_printable::quoted_printable_decode(written)
        }
        mail_parser::Encoding::None => None,
    };
    let bytes = decoded.as_deref().unwrap_or(written);
    match mail_parser::decoders::charsets::map::charset_decoder(b"windows-1252") {
        Some(decode) => decode(bytes),
        None => text.to_owned(),
    }
}

/// Joins the lines of `format=flowed` (RFC 3676): one that ends in a space goes on in the next of the
/// same depth of quoting.
fn flowed(part: &MessagePart<'_>, text: &str) -> String {
    let attribute = |name: &str| part.content_type().and_then(|t| t.attribute(name));
    if !attribute("format").is_some_and(|f| f.eq_ignore_ascii_case("flowed")) {
        return text.to_owned();
    }
    let delete = attribute("delsp").is_some_and(|d| d.eq_ignore_ascii_case("yes"));
    let depth = |line: &str| line.bytes().take_while(|b| *b == b'>').count();
    let mut out: Vec<String> = Vec::new();
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let quoting = depth(line);
        let content = line.get(quoting..).unwrap_or_default();
        let content = content.strip_prefix(' ').unwrap_or(content);
        match (open, out.last_mut()) {
            (Some(depth), Some(last)) if depth == quoting && content != "-- " => {
                if delete {
                    last.truncate(last.len().saturating_sub(1));
                }
                last.push_str(content);
            }
            _ => {
                let mark = ">".repeat(quoting);
                let space = if quoting > 0 { " " } else { "" };
                out.push(format!("{mark}{space}{content}"));
            }
        }
        open = (line.ends_with(' ') && content != "-- ").then_some(quoting);
    }
    out.join("\n")
}
