//! Callbacks as elements: small XML without tricks: elements, text, CDATA and the five named characters. Declared
//! entities, document types and depth beyond reason are refused, not skipped. Or JSON, of the same
//! names.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};
use serde_json::Value;

/// The largest body that is read. WeChat's longest message has a few kilobytes; the compatible mode
/// triples it.
pub const MAX_BYTES: usize = 256 * 1024;

/// The deepest nesting that is read. WeChat's deepest event has five levels.
const MAX_DEPTH: usize = 8;

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its own text, not that of the elements in it.
    pub text: String,
    /// The elements in it, in order.
    pub children: Vec<Node>,
}

impl Node {
    /// The text of the first element of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name).map(|node| node.text.as_str())
    }

    /// The same without blanks around it, unless nothing remains.
    pub fn word(&self, name: &str) -> Option<&str> {
        let word = self.text(name)?.trim();
        (!word.is_empty()).then_some(word)
    }

    /// The first element of this name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|node| node.name == name)
    }

    /// Every element of this name, at any depth.
    pub fn all<'a>(&'a self, name: &str) -> Vec<&'a Node> {
        let mut found = Vec::new();
        for child in &self.children {
            if child.name == name {
                found.push(child);
            }
            found.extend(child.all(name));
        }
        found
    }
}

/// Reads a callback: XML or, where the console's switch was set, JSON with the same names.
///
/// # Errors
/// With what is wrong, never with content.
pub fn document(body: &[u8]) -> Result<Node, String> {
    let json = || serde_json::from_slice::<Value>(body).ok();
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    let json = match first {
        None | Some(b'<') => None,
        Some(_) if body.len() > MAX_BYTES => None,
        Some(_) => json(),
    };
    json.map_or_else(|| read(body), |value| Ok(of_json("json", &value, 0)))
}

/// JSON as elements: lists as several of one name, numbers as their digits. What lies too deep is
/// left out.
fn of_json(name: &str, value: &Value, depth: usize) -> Node {
    let mut node = named(name);
    match value {
        Value::Object(fields) if depth < MAX_DEPTH => {
            for (name, value) in fields {
                match value {
                    Value::Array(items) => {
                        let items = items.iter().map(|item| of_json(name, item, depth + 1));
                        node.children.extend(items);
                    }
                    other => node.children.push(of_json(name, other, depth + 1)),
                }
            }
        }
        Value::String(text) => node.text = clean(text),
        Value::Number(number) => node.text = number.to_string(),
        Value::Bool(value) => node.text = value.to_string(),
        Value::Object(_) | Value::Array(_) | Value::Null => {}
    }
    node
}

/// Text without what XML does not allow: it is in no message; what comes in regardless is left out.
fn clean(text: &str) -> String {
    let allowed = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().filter(allowed).collect()
}

/// Reads a document up to the end of its first element; what follows is not looked at.
///
/// # Errors
/// With what is wrong, never with content.
pub fn read(body: &[u8]) -> Result<Node, String> {
    if body.len() > MAX_BYTES {
        return Err(format!("more than {MAX_BYTES} bytes"));
    }
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut open: Vec<Node> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|e| broken(&e))?;
        let closed = match event {
            Event::Start(start) => {
                if open.len() >= MAX_DEPTH {
                    return Err(format!("more than {MAX_DEPTH} levels"));
                }
                open.push(named(start.name().as_ref()));
                None
            }
            Event::Empty(empty) => Some(named(empty.name().as_ref())),
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                push(&mut open, &text.into_inner())?;
                None
            }
            Event::CData(text) => {
                push(&mut open, &text.into_inner())?;
                None
            }
            Event::GeneralRef(reference) => {
                let c = character(&reference)?;
                push(&mut open, c.encode_utf8(&mut [0; 4]))?;
                None
            }
            Event::DocType(_) => return Err("a document type".into()),
            Event::Eof => return Err("an end before the end".into()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => None,
        };
        if let Some(mut node) = closed {
            node.text = clean(&node.text);
            match open.last_mut() {
                Some(parent) => parent.children.push(node),
                None => return Ok(node),
            }
        }
    }
}

/// What is broken. The reader's own words quote the document.
fn broken(error: &quick_xml::Error) -> String {
    let what = match error {
        quick_xml::Error::Syntax(_) => "syntax",
        quick_xml::Error::IllFormed(_) => "elements that do not match",
        _ => "encoding or attributes",
    };
    format!("broken: {what}")
}

fn named(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        ..Node::default()
    }
}

/// Adds text to the innermost element. Outside of every element only blanks may stand.
fn push(open: &mut [Node], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("text outside of the document".into()),
    }
    Ok(())
}

/// One of the five named characters, or a character by its number.
fn character(reference: &BytesRef<'_>) -> Result<char, String> {
    match reference.resolve_char_ref() {
        Ok(Some(c)) => return Ok(c),
        Err(_) => return Err("a number that is no character".into()),
        Ok(None) => {}
    }
    match reference.as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err("a declared entity".into()),
    }
}

/// Text as CDATA, as WeChat writes it.
pub fn cdata(text: &str) -> String {
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_as_it_was_written() {
        let body = "\u{feff}<?xml version=\"1.0\"?>\n<!-- hi --><xml>\n<A><![CDATA[ a <b> ]]></A><B>1 &lt; 2 &amp;&#x4f60;&#97;</B><C/><L><item><D>x</D></item><item><D>y</D></item></L></xml> trailing";
        let node = read(body.as_bytes()).unwrap();
        assert_eq!(node.text("A"), Some(" a <b> "));
        assert_eq!(node.text("B"), Some("1 < 2 &你a"));
        assert_eq!((node.text("C"), node.word("C"), node.text("Z")), (Some(""), None, None));
        let texts: Vec<_> = node.all("D").iter().map(|n| n.text.clone()).collect();
        assert_eq!(texts, ["x", "y"]);
        let quoted = read(format!("<x>{}</x>", cdata("a]]>b")).as_bytes()).unwrap();
        assert_eq!(quoted.text, "a]]>b");
        let json = br#" {"A": "a\u0001<b>", "N": 90071992547409931, "L": [{"D": "x"}, {"D": "y"}], "Z": null}"#;
        let node = document(json).unwrap();
        assert_eq!((node.text("A"), node.text("N")), (Some("a<b>"), Some("90071992547409931")));
        assert_eq!(node.all("D").len(), 2);
        assert_eq!(document(body.trim_start_matches('\u{feff}').as_bytes()).unwrap().name, "xml");
        assert_eq!(read(b"<x>a&#1;b\x07\tc</x>").unwrap().text, "ab\tc");
    }

    #[test]
    fn tricks_are_refused() {
        let deep = "<a>".repeat(9) + &"</a>".repeat(9);
        let large = format!("<a>{}</a>", "x".repeat(MAX_BYTES));
        let cases = [
            (r#"<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>"#, "a document type"),
            (r#"<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>"#, "a document type"),
            ("<x>&a;</x>", "a declared entity"),
            ("<x>&#xffffffff;</x>", "a number that is no character"),
            ("", "an end before the end"),
            ("<x>", "an end before the end"),
            ("<x></y>", "broken: elements"),
            ("words", "text outside"),
            ("{\"a\":1}", "text outside"),
            (deep.as_str(), "more than 8 levels"),
            (large.as_str(), "more than 262144 bytes"),
        ];
        for (body, expected) in cases {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{body:.60}: {error}");
        }
        assert!(read(b"<x>\xff</x>").is_err());
        let eight = "<a>".repeat(8) + &"</a>".repeat(8);
        assert!(read(eight.as_bytes()).is_ok());
    }
}
