//! Arguments as a form, read by PHP's rules.
//!
//! What PHP does with a name, and so do we:
//! - `a[b][c]` nests, `a[]` appends at the highest index so far plus one, `a[5]` is an index and
//!   `a[05]` a name;
//! - the last of several equal names wins, and a list replaces a text of the same name;
//! - blanks before a name are dropped; blanks and dots in the name before the first bracket become
//!   `_`; a name that is empty there is ignored;
//! - a bracket that is never closed is no bracket: `a[b` is `a_b`, and in `a[b][c` the rest after
//!   `a[b]` is ignored, as is anything after a closing bracket that is no bracket, `a[b]c`.
//!
//! Only the limits differ: where PHP drops what is too deep or too many, we refuse the request.

use super::{ApiError, Gauge};
use percent_encoding::percent_decode;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Reads an `application/x-www-form-urlencoded` body.
pub(super) fn decode(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let mut fields = Fields::default();
    for pair in body.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
        let mut halves = pair.splitn(2, |b| *b == b'=');
        let name = unescape(halves.next().unwrap_or_default())
            .ok_or_else(|| ApiError::invalid("the name of an argument is not UTF-8"))?;
        let value = unescape(halves.next().unwrap_or_default())
            .ok_or_else(|| ApiError::invalid(format!("`{name}`: not UTF-8")))?;
        fields.put(&name, value)?;
    }
    Ok(fields.finish())
}

/// `+` and `%xx` undone; a `%` that begins no escape stands for itself. `None` when it is not UTF-8:
/// a message must not arrive with its letters silently replaced.
fn unescape(bytes: &[u8]) -> Option<String> {
    let spaced: Cow<'_, [u8]> = if bytes.contains(&b'+') {
        bytes
            .iter()
            .map(|b| if *b == b'+' { b' ' } else { *b })
            .collect()
    } else {
        bytes.into()
    };
    String::from_utf8(percent_decode(&spaced).collect()).ok()
}

/// The fields of a form while they are being collected, of either encoding.
#[derive(Default)]
pub(super) struct Fields {
    root: BTreeMap<String, Node>,
    gauge: Gauge,
}

/// A text or, where there is none, an array.
#[derive(Default)]
struct Node {
    text: Option<String>,
    array: Array,
}

/// PHP's array: keys are integers or names.
#[derive(Default)]
struct Array {
    entries: BTreeMap<Key, Node>,
    next: i64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Index(i64),
    Name(String),
}

/// One step into an array: a key, or `[]`.
enum Step {
    At(Key),
    Append,
}

impl Fields {
    /// Adds one field.
    pub(super) fn put(&mut self, field: &str, value: String) -> Result<(), ApiError> {
        let (name, steps) = path(field);
        if name.is_empty() {
            return Ok(());
        }
        Gauge::name(&name)?;
        Gauge::depth(&name, steps.len().saturating_add(1))?;
        self.gauge.value(&name, value.len())?;
        for step in &steps {
            if let Step::At(Key::Name(key)) = step {
                Gauge::name(key)?;
            }
        }
        // Not through `Entry`: the last value wins, whatever stood there.
        let mut steps = steps.into_iter().peekable();
        if steps.peek().is_none() {
            self.root.insert(name, Node::from(value));
            return Ok(());
        }
        let mut array = self.root.entry(name).or_default().as_array();
        while let Some(step) = steps.next() {
            let key = array.key(step);
            if steps.peek().is_none() {
                array.entries.insert(key, Node::from(value));
                return Ok(());
            }
            array = array.entries.entry(key).or_default().as_array();
        }
        Ok(())
    }

    /// The collected tree.
    pub(super) fn finish(self) -> Map<String, Value> {
        self.root
            .into_iter()
            .map(|(name, node)| (name, node.into_value()))
            .collect()
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self {
            text: Some(text),
            array: Array::default(),
        }
    }
}

impl Node {
    /// The array here; a text that stood here gives way.
    fn as_array(&mut self) -> &mut Array {
        self.text = None;
        &mut self.array
    }

    /// A list where the keys are 0, 1, 2…; an object otherwise.
    fn into_value(self) -> Value {
        if let Some(text) = self.text {
            return Value::String(text);
        }
        let entries = self.array.entries;
        if entries
            .keys()
            .zip(0..)
            .all(|(key, i)| *key == Key::Index(i))
        {
            return Value::Array(entries.into_values().map(Self::into_value).collect());
        }
        let entry = |(key, node): (Key, Self)| match key {
            Key::Index(i) => (i.to_string(), node.into_value()),
            Key::Name(name) => (name, node.into_value()),
        };
        Value::Object(entries.into_iter().map(entry).collect())
    }
}

impl Array {
    fn key(&mut self, step: Step) -> Key {
        let key = match step {
            Step::At(key) => key,
            Step::Append => Key::Index(self.next),
        };
        if let Key::Index(i) = key {
            self.next = self.next.max(i.saturating_add(1));
        }
        key
    }
}

/// The name and the steps of a field.
fn path(field: &str) -> (String, Vec<Step>) {
    let field = field.trim_start_matches(' ');
    let (name, brackets) = match field.split_once('[') {
        Some((name, rest)) => (name, Some(rest)),
        None => (field, None),
    };
    let plain = |name: &str| name.replace([' ', '.'], "_");
    let mut steps = Vec::new();
    // A name that is empty is ignored, whatever its brackets hold.
    let Some(mut rest) = brackets.filter(|_| !name.is_empty()) else {
        return (plain(name), steps);
    };
    loop {
        let Some((inside, after)) = rest.split_once(']') else {
            // Never closed: part of the name on the first level, ignored further in.
            let name = if steps.is_empty() {
                plain(&format!("{name}_{}", rest.replace('[', "_")))
            } else {
                plain(name)
            };
            return (name, steps);
        };
        steps.push(step(inside));
        match after.strip_prefix('[') {
            Some(next) => rest = next,
            None => return (plain(name), steps),
        }
    }
}

/// What stands between two brackets. PHP takes one blank for nothing, but keeps it before a name.
fn step(inside: &str) -> Step {
    if inside.is_empty() || (inside.len() == 1 && inside.trim_ascii().is_empty()) {
        return Step::Append;
    }
    let digits = inside.strip_prefix('-').unwrap_or(inside);
    let canonical = inside == "0"
        || (digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.is_empty()
            && !digits.starts_with('0'));
    Step::At(match inside.parse() {
        Ok(index) if canonical => Key::Index(index),
        _ => Key::Name(inside.to_owned()),
    })
}
