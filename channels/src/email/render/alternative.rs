//! The HTML alternative: made from the text, or a caller's, cleaned.

use super::super::parse::{Piece, pieces};

/// Elements that a caller's HTML may have. What is in others stays, as text.
const ALLOWED: [&str; 43] = [
    "a", "abbr", "b", "blockquote", "br", "center", "code", "col", "colgroup", "dd", "div", "dl", "dt",
    "em", "font", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s",
    "small", "span", "strike", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u",
    "ul",
];
/// Elements whose content goes with them.
const DROPPED: [&str; 10] = [
    "script", "style", "iframe", "object", "head", "title", "template", "noscript", "svg", "textarea",
];
/// Elements without an end.
const VOID: [&str; 4] = ["br", "hr", "img", "col"];
/// Attributes that may stay, on any element.
const ATTRIBUTES: [&str; 15] = [
    "align", "alt", "bgcolor", "border", "cellpadding", "cellspacing", "colspan", "color", "dir",
    "height", "lang", "rowspan", "title", "valign", "width",
];
/// What must not be in a style: it loads, runs or hides something.
const STYLE_BANS: [&str; 6] = ["url(", "expression", "@import", "javascript:", "behavior", "position"];

/// Text as HTML, with links that can be clicked.
pub fn from_text(text: &str) -> String {
    let mut out = String::from("<p>");
    for (i, paragraph) in text.split("\n\n").enumerate() {
        if i > 0 {
            out.push_str("</p>\r\n<p>");
        }
        for (n, line) in paragraph.split('\n').enumerate() {
            if n > 0 {
                out.push_str("<br>\r\n");
            }
            linked(line, &mut out);
        }
    }
    out.push_str("</p>");
    out
}

/// One line, its links marked.
fn linked(line: &str, out: &mut String) {
    for (i, word) in line.split(' ').enumerate() {
        if i > 0 {
            // Runs of spaces are somebody's layout.
            out.push_str(if word.is_empty() { "&nbsp;" } else { " " });
        }
        let link = word.trim_end_matches(['.', ',', '!', '?', ')', ';', ':']);
        let (open, link) = link.split_at(link.len() - link.trim_start_matches('(').len());
        if link.starts_with("https://") || link.starts_with("http://") {
            let rest = word.get(open.len() + link.len()..).unwrap_or_default();
            out.push_str(&escaped(open));
            let link = escaped(link);
            out.push_str(&format!("<a href=\"{link}\">{link}</a>{}", escaped(rest)));
        } else {
            out.push_str(&escaped(word));
        }
    }
}

/// A whole document around a body.
pub fn page(body: &str) -> String {
    format!(
        "<!DOCTYPE html>\r\n<html><head><meta charset=\"utf-8\"></head>\r\n<body>\r\n{body}\r\n</body></html>\r\n"
    )
}

/// HTML with what mail programs show and nothing that does something.
pub fn cleaned(html: &str) -> String {
    let mut out = String::new();
    let mut open: Vec<String> = Vec::new();
    let mut dropped: Option<(String, usize)> = None;
    for piece in pieces(html) {
        match (&mut dropped, piece) {
            (Some((name, depth)), Piece::Open(n, ..)) if *name == n => *depth += 1,
            (Some((name, depth)), Piece::Close(n)) if *name == n => {
                *depth -= 1;
                if *depth == 0 {
                    dropped = None;
                }
            }
            (Some(_), _) => {}
            (None, Piece::Text(text)) => out.push_str(&escaped(&text)),
            (None, Piece::Open(name, ..)) if DROPPED.contains(&name.as_str()) => {
                dropped = Some((name, 1));
            }
            (None, Piece::Open(name, attributes, _)) if ALLOWED.contains(&name.as_str()) => {
                out.push_str(&format!("<{name}{}>", kept(&attributes)));
                if !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            (None, Piece::Open(..)) => {}
            (None, Piece::Close(name)) => {
                if let Some(at) = open.iter().rposition(|o| *o == name) {
                    for name in open.drain(at..).rev() {
                        out.push_str(&format!("</{name}>"));
                    }
                }
            }
        }
    }
    for name in open.iter().rev() {
        out.push_str(&format!("</{name}>"));
    }
    out
}

fn kept(attributes: &[(String, String)]) -> String {
    let mut out = String::new();
    for (name, value) in attributes {
        let squeezed: String = value
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect::<String>()
            .to_lowercase();
        let starts = |schemes: &[&str]| schemes.iter().any(|s| squeezed.starts_with(s));
        let allowed = match name.as_str() {
            "href" => starts(&["https://", "http://", "mailto:", "tel:"]),
            "src" => starts(&["https://", "cid:"]),
            "style" => {
                !squeezed.contains('\\') && !STYLE_BANS.iter().any(|ban| squeezed.contains(ban))
            }
            other => ATTRIBUTES.contains(&other),
        };
        if allowed {
            out.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_paragraphs_and_links() {
        for (text, html) in [
            ("a\nb\n\nc", "<p>a<br>\r\nb</p>\r\n<p>c</p>"),
            ("<b>&\"", "<p>&lt;b&gt;&amp;&quot;</p>"),
            (
                "see (https://x.se/a?b=c&d).",
                "<p>see (<a href=\"https://x.se/a?b=c&amp;d\">https://x.se/a?b=c&amp;d</a>).</p>",
            ),
            ("a  b", "<p>a&nbsp; b</p>"),
            ("javascript:x()", "<p>javascript:x()</p>"),
            ("", "<p></p>"),
        ] {
            assert_eq!(from_text(text), html, "{text}");
        }
    }

    #[test]
    fn html_that_does_something_goes() {
        for (html, clean) in [
            ("<p style=\"color:red\">a<br>b</p>", "<p style=\"color:red\">a<br>b</p>"),
            ("<script>x()</script>a", "a"),
            ("<style>p{}</style>a", "a"),
            ("<a href=\"javascript:x()\" onclick=\"x()\">a</a>", "<a>a</a>"),
            ("<a href=\" java\nscript:x()\">a</a>", "<a>a</a>"),
            ("<a href=\"https://x.se/?a&b\">a</a>", "<a href=\"https://x.se/?a&amp;b\">a</a>"),
            ("<img src=http://t.example/p.gif onerror=x()>", "<img>"),
            ("<img src=\"cid:a@b\" alt='\"'>", "<img src=\"cid:a@b\" alt=\"&quot;\">"),
            ("<div style=\"background:url(x)\">a", "<div>a</div>"),
            ("<form action=x><input>a</form>", "a"),
            ("<iframe src=x><p>y</p></iframe>a", "a"),
            ("<b><i>a</b>c", "<b><i>a</i></b>c"),
            ("a</div><!-- c -->b", "ab"),
            ("<svg><svg></svg><a>x</a></svg>a", "a"),
            ("&lt;script&gt;", "&lt;script&gt;"),
        ] {
            assert_eq!(cleaned(html), clean, "{html}");
            assert_eq!(cleaned(&cleaned(html)), clean, "{html}");
        }
    }
}
