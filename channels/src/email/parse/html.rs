//! HTML as text: read token by token, without a tree, so that depth costs nothing and time grows with
//! length alone. Quoted history is left out where the mail program marked it as such.

use super::limits;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::cell::RefCell;

/// Open elements that are remembered; deeper ones are read as if they were not there.
const DEPTH: usize = 1_000;
/// Characters of a link that are shown behind its label; tracking links go on for pages.
const LINK_CHARS: usize = 500;
/// Characters after a quote's beginning in which a forwarded mail says that it is one.
const FORWARD_CHARS: usize = 120;

/// A piece of HTML.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// An element begins: its name and attributes. `true`: nothing follows in it.
    Open(String, Vec<(String, String)>, bool),
    /// An element ends.
    Close(String),
    /// Text, decoded.
    Text(String),
}

struct Sink(RefCell<Vec<Piece>>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut pieces = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => match pieces.last_mut() {
                Some(Piece::Text(last)) => last.push_str(&text),
                _ => pieces.push(Piece::Text(text.to_string())),
            },
            Token::TagToken(Tag {
                kind: TagKind::StartTag,
                name,
                attrs,
                self_closing,
                ..
            }) => {
                let attrs = attrs.iter().map(|a| (a.name.local.to_string(), a.value.to_string()));
                pieces.push(Piece::Open(name.to_string(), attrs.collect(), self_closing));
                // What is in these is no markup.
                return match &*name {
                    "script" | "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                        TokenSinkResult::RawData(RawKind::Rawtext)
                    }
                    "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
                    _ => TokenSinkResult::Continue,
                };
            }
            Token::TagToken(tag) => pieces.push(Piece::Close(tag.name.to_string())),
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

/// Cuts HTML into its pieces.
pub fn pieces(html: &str) -> Vec<Piece> {
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from_slice(limits::head(html, limits::HTML_BYTES)));
    let tokenizer = Tokenizer::new(Sink(RefCell::default()), TokenizerOpts::default());
    // The only reason to stop early is a script that must run, and none is ever asked for.
    while !queue.is_empty() {
        drop(tokenizer.feed(&queue));
    }
    tokenizer.end();
    tokenizer.sink.0.into_inner()
}

/// Elements without content.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];
/// Elements whose content nobody sees.
const UNSEEN: [&str; 13] = [
    "head", "style", "script", "title", "template", "noscript", "iframe", "object", "svg", "textarea",
    "select", "xmp", "noframes",
];
/// Elements that stand on lines of their own.
const BLOCKS: [&str; 28] = [
    "address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset",
    "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "html", "main", "ol",
    "section", "table", "tr", "ul",
];

/// Text out of HTML.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    /// The text.
    pub text: String,
    /// Whether a marked quote was left out.
    pub cut: bool,
}

/// Converts a mail's HTML. `cutting`: leaves marked quotes out.
pub fn to_text(html: &str, cutting: bool) -> Converted {
    let pieces = pieces(html);
    let mut reader = Reader {
        cutting,
        ..Reader::default()
    };
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => reader.text(text),
            Piece::Close(name) => reader.close(name),
            Piece::Open(name, attrs, _) => {
                let rest = pieces.get(i + 1..).unwrap_or_default();
                reader.open(name, attrs, rest);
            }
        }
    }
    Converted {
        text: reader.finish(),
        cut: reader.cut,
    }
}

/// The `src` of every picture: what a `cid:` in it names is shown in the text.
pub fn pictures(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for piece in pieces(html) {
        if let Piece::Open(name, attrs, _) = piece
            && name == "img"
        {
            found.extend(attrs.into_iter().filter(|(n, _)| n == "src").map(|(_, v)| v));
        }
    }
    found
}

/// An element that is open.
struct Element {
    name: String,
    /// What ends with it beside itself.
    link: Option<(String, usize)>,
    pre: bool,
    quote: bool,
}

#[derive(Default)]
struct Reader {
    cutting: bool,
    cut: bool,
    out: String,
    stack: Vec<Element>,
    /// Nothing is written until the stack is lower than this.
    hidden_below: Option<usize>,
    /// White space that is written once something follows.
    space: bool,
    /// Line ends that are written once something follows.
    lines: usize,
    /// Whether a quote's mark is due at the next line.
    depth: usize,
    pre: usize,
    items: usize,
}

impl Reader {
    fn open(&mut self, name: &str, attrs: &[(String, String)], rest: &[Piece]) {
        let attr = |n: &str| attrs.iter().find(|(a, _)| a == n).map_or("", |(_, v)| v.as_str());
        // Paragraphs and items end where the next block begins, closed or not.
        let block = name == "p" || name == "li" || name == "pre" || BLOCKS.contains(&name);
        let top = self.stack.last().map(|e| e.name.clone()).unwrap_or_default();
        if (block && top == "p") || (name == "li" && top == "li") || (name == "tr" && top == "td") {
            self.close(&top);
        }
        if self.hidden_below.is_none() {
            self.before(name);
        }
        let is_void = VOID.contains(&name);
        if is_void || self.stack.len() >= DEPTH {
            return;
        }
        let quote = name == "blockquote";
        let link = (name == "a").then(|| (attr("href").trim().to_owned(), self.out.len()));
        let pre = name == "pre" || name == "textarea";
        self.stack.push(Element {
            name: name.to_owned(),
            link,
            pre,
            quote,
        });
        self.pre += usize::from(pre);
        self.depth += usize::from(quote && self.hidden_below.is_none());
        if self.hidden_below.is_some() {
            if quote {
                // Not counted, so not to be counted down.
                if let Some(top) = self.stack.last_mut() {
                    top.quote = false;
                }
            }
            return;
        }
        let style: String = attr("style").to_lowercase().split_whitespace().collect();
        let unseen = UNSEEN.contains(&name)
            || style.contains("display:none")
            || style.contains("mso-hide:all")
            || style.contains("visibility:hidden")
            || attrs.iter().any(|(n, _)| n == "hidden");
        if unseen {
            self.hidden_below = Some(self.stack.len());
            return;
        }
        if !self.cutting {
            return;
        }
        match quoted(name, attr("id"), attr("class"), attr("type"), &style) {
            Some(Scope::Element) if !forwards(rest) => {
                self.cut = true;
                self.hidden_below = Some(self.stack.len());
            }
            // With everything that follows: Outlook marks where the history begins, and it goes on to the end.
            Some(Scope::Rest) if !forwards(rest) => {
                self.cut = true;
                self.hidden_below = Some(0);
            }
            _ => {}
        }
    }

    /// What an element means for the line before it.
    fn before(&mut self, name: &str) {
        match name {
            "br" => self.lines += 1,
            "p" | "ul" | "ol" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "table"
            | "blockquote" => self.break_to(2),
            "hr" => self.break_to(1),
            "li" => {
                self.break_to(1);
                self.flush();
                self.out.push_str("- ");
                self.space = false;
                self.items += 1;
            }
            "td" | "th" => self.space = true,
            _ if BLOCKS.contains(&name) => self.break_to(1),
            _ => {}
        }
    }

    /// At least so many line ends before whatever follows, unless nothing stands before.
    fn break_to(&mut self, lines: usize) {
        self.space = false;
        if !self.out.is_empty() {
            self.lines = self.lines.max(lines);
        }
    }

    fn close(&mut self, name: &str) {
        let Some(at) = self.stack.iter().rposition(|e| e.name == name) else {
            // `</p>` without a beginning is an empty paragraph; anything else is nothing.
            return;
        };
        while self.stack.len() > at {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(element) = self.stack.pop() else { return };
        self.pre -= usize::from(element.pre);
        if let Some(below) = self.hidden_below {
            if self.stack.len() < below {
                self.hidden_below = None;
            }
            self.depth -= usize::from(element.quote);
            return;
        }
        if let Some((href, from)) = &element.link {
            self.link(href, *from);
        }
        match element.name.as_str() {
            "p" | "ul" | "ol" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "table"
            | "blockquote" => self.break_to(2),
            "td" | "th" => self.space = true,
            name if name == "li" || BLOCKS.contains(&name) => self.break_to(1),
            _ => {}
        }
        self.depth -= usize::from(element.quote);
    }

    /// Writes where a link leads, unless its label says so.
    fn link(&mut self, href: &str, from: usize) {
        let scheme = href.split(':').next().unwrap_or_default().to_lowercase();
        if !matches!(scheme.as_str(), "http" | "https") {
            return;
        }
        let label = self.out.get(from..).unwrap_or_default().trim();
        let bare = |t: &str| {
            let t = t.trim_start_matches("https://").trim_start_matches("http://");
            t.trim_end_matches('/').to_lowercase()
        };
        if label.is_empty() || bare(label) == bare(href) {
            return;
        }
        let shown = limits::chars(href, LINK_CHARS);
        self.out.push_str(&format!(" ({shown})"));
    }

    fn text(&mut self, text: &str) {
        if self.hidden_below.is_some() {
            return;
        }
        if self.pre > 0 {
            for (i, line) in text.split('\n').enumerate() {
                if i > 0 {
                    self.lines += 1;
                }
                if !line.is_empty() {
                    self.flush();
                    self.out.push_str(line);
                }
            }
            return;
        }
        for c in text.chars() {
            if c == '\u{a0}' {
                // A space that somebody meant: alone on a line it is an empty line.
                self.flush();
                self.out.push(' ');
            } else if c.is_whitespace() {
                self.space = true;
            } else if !is_nothing(c) {
                self.flush();
                self.out.push(c);
            }
        }
    }

    /// Writes the line ends or the space that were due.
    fn flush(&mut self) {
        let mark = "> ".repeat(self.depth.min(10));
        if self.out.is_empty() {
            self.out.push_str(&mark);
        } else if self.lines > 0 {
            let trimmed = self.out.trim_end_matches(' ').len();
            self.out.truncate(trimmed);
            for _ in 0..self.lines.min(3) {
                self.out.push('\n');
                self.out.push_str(&mark);
            }
        } else if self.space {
            self.out.push(' ');
        }
        (self.lines, self.space) = (0, false);
    }

    fn finish(&mut self) -> String {
        while !self.stack.is_empty() {
            self.pop();
        }
        let mut out = String::with_capacity(self.out.len());
        let mut blank = 0;
        for line in self.out.trim().lines() {
            blank = if line.trim().is_empty() { blank + 1 } else { 0 };
            if blank < 2 {
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// Characters without width that newsletters fill their previews with.
fn is_nothing(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{34f}' | '\u{ad}' | '\u{2060}' | '\0')
}

/// How far a marked quote reaches.
enum Scope {
    /// The element.
    Element,
    /// The element and everything behind it.
    Rest,
}

/// Whether an element is a quote by the marks of the mail programs.
fn quoted(name: &str, id: &str, class: &str, kind: &str, style: &str) -> Option<Scope> {
    let classes = || class.split_whitespace();
    let classed = [
        "gmail_quote", "gmail_quote_container", "yahoo_quoted", "protonmail_quote", "moz-cite-prefix",
        "gmail_extra", "tutanota_quote", "zmail_extra",
    ];
    if classes().any(|c| classed.contains(&c)) || id == "OLK_SRC_BODY_SECTION" {
        return Some(Scope::Element);
    }
    if name == "blockquote" && kind.eq_ignore_ascii_case("cite") {
        return Some(Scope::Element);
    }
    let id_marks = ["divRplyFwdMsg", "appendonsend", "x_divRplyFwdMsg", "mail-editor-reference-message-container"];
    let zimbra = name == "hr" && id == "zwchr";
    let outlook = name == "div"
        && ["border:none;border-top:solid#e1e1e11.0pt", "border:none;border-top:solid#b5c4df1.0pt"]
            .iter()
            .any(|mark| style.contains(mark));
    if id_marks.contains(&id) || zimbra || outlook {
        return Some(Scope::Rest);
    }
    None
}

/// Whether what follows is a forwarded mail: content, not history.
fn forwards(rest: &[Piece]) -> bool {
    let mut seen = String::new();
    for piece in rest {
        if let Piece::Text(text) = piece {
            seen.push_str(text);
            if seen.trim_start().chars().count() > FORWARD_CHARS {
                break;
            }
        }
    }
    let seen: String = limits::chars(seen.trim_start(), FORWARD_CHARS);
    super::quote::forwarded(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        to_text(html, false).text
    }

    #[test]
    fn blocks_breaks_lists_and_links() {
        for (html, expected) in [
            ("<p>One</p><p>Two<br>Three</p>", "One\n\nTwo\nThree"),
            ("<div>One</div><div>Two</div>", "One\nTwo"),
            ("<div>One</div><div><br></div><div>Two</div>", "One\n\nTwo"),
            ("a <b>bold</b>\n  and   <i>more</i>", "a bold and more"),
            (
                "<div>One</div><div>&nbsp;</div><div>Two</div><p>&nbsp;</p><p>Three</p>",
                "One\n\nTwo\n\nThree",
            ),
            ("<ul><li>One<li>Two</ul>after", "- One\n- Two\n\nafter"),
            ("<a href=\"https://x.se/a\">here</a>", "here (https://x.se/a)"),
            ("<a href=\"https://x.se/\">x.se</a>", "x.se"),
            ("<a href=\"mailto:a@x.se\">a@x.se</a>", "a@x.se"),
            ("<a href=\"javascript:x()\">run</a>", "run"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a b\nc"),
            ("<pre>a\n  b</pre>", "a\n  b"),
            ("<h1>T</h1>x<hr>y", "T\n\nx\ny"),
            ("<blockquote>q<br>r</blockquote>s", "> q\n> r\n\ns"),
            ("caf&eacute; &lt;b&gt; &#128077; &amp;amp;", "café <b> 👍 &amp;"),
            ("", ""),
            ("no tags", "no tags"),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn what_nobody_sees_is_left_out() {
        for html in [
            "<style>p{}</style>x",
            "<script>if (a<b) x()</script>x",
            "<head><title>t</title></head><body>x",
            "<div style=\"display: none\">hidden<p>too</p></div>x",
            "<span style='mso-hide:all'>hidden</span>x",
            "<p hidden>h</p>x",
            "<!-- c -->x<!-- <p>y</p> -->",
            "x<img src=\"https://t.example/p.gif\" width=1>",
            "x&#8203;&zwnj;&shy;\0",
        ] {
            assert_eq!(text(html), "x", "{html}");
        }
    }

    #[test]
    fn marked_quotes_are_cut_and_forwarded_mails_are_not() {
        for (html, expected) in [
            ("<div>Hi</div><div class=\"gmail_quote\">On x wrote:<blockquote>q</blockquote></div>", "Hi"),
            ("Hi<blockquote type=\"cite\">q</blockquote>after", "Hi\n\nafter"),
            ("<div>Hi</div><div id=\"appendonsend\"></div><hr><div id=\"divRplyFwdMsg\">From: x</div><p>q</p>", "Hi"),
            ("<p>Hi</p><div><div style=\"border:none;border-top:solid #E1E1E1 1.0pt;padding:3pt\"><p>From: x</p></div></div><p>q</p>", "Hi"),
            ("<div class=yahoo_quoted><div>q</div></div>Hi", "Hi"),
            ("<div class=\"gmail_quote\"><div class=\"gmail_attr\">---------- Forwarded message ---------<br>From: x</div>content</div>",
             "---------- Forwarded message ---------\nFrom: x\ncontent"),
            ("See<blockquote type=\"cite\"><div>Begin forwarded message:</div>c</blockquote>", "See\n>\n> Begin forwarded message:\n> c"),
        ] {
            assert_eq!(to_text(html, true).text, expected, "{html}");
        }
    }

    #[test]
    fn depth_and_length_cost_nothing() {
        let deep = format!("{}x{}", "<div><blockquote>".repeat(100_000), "</blockquote></div>".repeat(100_000));
        assert!(to_text(&deep, true).text.ends_with('x'));
        let unclosed = "<p><b><li>".repeat(100_000);
        drop(to_text(&unclosed, true));
        let long = "x".repeat(limits::HTML_BYTES * 2);
        assert_eq!(text(&long).len(), limits::HTML_BYTES);
        drop(to_text(&"<div class=gmail_quote>".repeat(50_000), true));
    }

    #[test]
    fn pictures_are_found() {
        assert_eq!(pictures("<img src='cid:a@b'><p><img alt=x>"), ["cid:a@b"]);
    }
}
