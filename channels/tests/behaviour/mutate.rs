//! Changed copies of real payloads, the same in every run.

use serde_json::{Value, json};

/// A xorshift generator (Marsaglia, 64 bits, shifts 13, 7 and 17): small, fast, and the same
/// everywhere, so that a failure is repeated by its seed.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator; 0 is replaced, since it would give nothing but zeros.
    pub fn new(seed: u64) -> Self {
        Self(if seed == 0 {
            0x9e37_79b9_7f4a_7c15
        } else {
            seed
        })
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`; 0 where `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Pieces that parsers stumble over.
const TOKENS: [&str; 24] = [
    "null",
    "\"",
    "\\u0000",
    "\\ud800",
    "{}",
    "[]",
    "[[[[[[[[",
    "-1",
    "1e999",
    "18446744073709551615",
    "-9223372036854775808",
    "0.1",
    "%",
    "%00",
    "%ff%fe",
    "&",
    "=",
    "&&==",
    "+",
    "\u{feff}",
    "\u{0}",
    "é",
    "👩‍👩‍👧",
    "\r\n",
];

/// A copy with one to four random changes of bytes.
pub fn bytes(rng: &mut Rng, base: &[u8]) -> Vec<u8> {
    let mut out = base.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(out.len() + 1);
        let end = (at + 1 + rng.below(16)).min(out.len());
        match rng.below(6) {
            0 if at < out.len() => out[at] ^= 1 << rng.below(8),
            1 => out.truncate(at),
            2 => drop(out.drain(at.min(end)..end)),
            3 => {
                let slice = out[at.min(end)..end].to_vec();
                out.splice(at..at, slice);
            }
            4 if at < out.len() => out[at] = u8::try_from(rng.below(256)).unwrap_or(0),
            _ => {
                let token = rng.pick(&TOKENS).bytes();
                out.splice(at..at, token);
            }
        }
    }
    out
}

/// What is put in the place of every value of a JSON document.
fn replacements() -> [Value; 9] {
    [
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!("\u{0}é👍🏽 +00000000000000000000000000000000000000000000000000"),
        json!([null, {}]),
        json!({"": {"type": []}}),
    ]
}

/// How many changed copies [`json_variant`] can make of this document.
pub fn json_variants(document: &Value) -> usize {
    places(document).len() * (replacements().len() + 2)
}

/// The changed copy of this number: a value replaced, removed, or an element doubled. Says what was
/// done.
pub fn json_variant(document: &Value, number: usize) -> (String, Value) {
    let places = places(document);
    let kinds = replacements().len() + 2;
    let place = &places[(number / kinds) % places.len()];
    let mut copy = document.clone();
    let what = number % kinds;
    let done = match replacements().get(what) {
        Some(value) => {
            if let Some(target) = copy.pointer_mut(place) {
                *target = value.clone();
            }
            format!("{place} becomes {value}")
        }
        None => {
            let doubled = what == replacements().len();
            change_in_parent(&mut copy, place, doubled);
            format!("{place} is {}", if doubled { "doubled" } else { "removed" })
        }
    };
    (done, copy)
}

fn change_in_parent(document: &mut Value, place: &str, doubled: bool) {
    let Some((parent, key)) = place.rsplit_once('/') else {
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            if let Some(value) = fields.remove(&key)
                && doubled
            {
                fields.insert(format!("{key}_2"), value);
            }
        }
        Some(Value::Array(items)) => {
            let Ok(index) = key.parse::<usize>() else {
                return;
            };
            let value = items.remove(index);
            if doubled {
                items.insert(index, value.clone());
                items.insert(index, value);
            }
        }
        _ => {}
    }
}

/// JSON pointers of all values, the document first.
fn places(document: &Value) -> Vec<String> {
    fn walk(value: &Value, path: String, out: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (key, v) in fields {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    walk(v, format!("{path}/{key}"), out);
                }
            }
            Value::Array(items) => {
                for (i, v) in items.iter().enumerate() {
                    walk(v, format!("{path}/{i}"), out);
                }
            }
            _ => {}
        }
        out.push(path);
    }
    let mut out = Vec::new();
    walk(document, String::new(), &mut out);
    out
}

/// Changed copies of a form: each parameter without its value, removed, doubled or overlong.
pub fn form_variants(body: &[u8]) -> Vec<(String, Vec<u8>)> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(body).into_owned().collect();
    let mut out = Vec::new();
    for (i, (name, _)) in pairs.iter().enumerate() {
        let values = [
            "",
            "-1",
            "99999999999999999999",
            "\u{0}é👍🏽",
            &"9".repeat(5000),
        ];
        for value in values {
            let mut copy = pairs.clone();
            copy[i].1 = value.to_owned();
            out.push((format!("{name} has {} bytes", value.len()), encoded(&copy)));
        }
        let mut copy = pairs.clone();
        copy.remove(i);
        out.push((format!("{name} is removed"), encoded(&copy)));
        let mut copy = pairs.clone();
        copy.push(pairs[i].clone());
        out.push((format!("{name} comes twice"), encoded(&copy)));
    }
    out
}

fn encoded(pairs: &[(String, String)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
        .into_bytes()
}
