//! One tree from three encodings, and what the typed readers make of it.

mod readers;
mod special;

use super::limits::*;
use super::*;
use proptest::prelude::*;
use serde_json::json;
use switchboard_channels::model::{AttachmentKind, Millis};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const JSON: Option<&str> = Some("application/json; charset=utf-8");

fn form(body: &str) -> Args {
    Args::decode(FORM, body.as_bytes()).unwrap()
}

fn of(value: Value) -> Args {
    Args::decode(JSON, value.to_string().as_bytes()).unwrap()
}

fn tree(args: &Args) -> Value {
    Value::Object(args.map.clone())
}

fn refused<T: fmt::Debug>(result: Result<T, ApiError>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument, "{error}");
    error.message
}

// --- the three encodings ---------------------------------------------------------------------

/// The fields that PHP's `http_build_query` makes of a tree.
fn fields(name: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Bool(b) => found.push((name.to_owned(), if *b { "1" } else { "0" }.to_owned())),
        Value::Number(n) => found.push((name.to_owned(), n.to_string())),
        Value::String(s) => found.push((name.to_owned(), s.clone())),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                fields(&format!("{name}[{i}]"), item, found);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                fields(&format!("{name}[{key}]"), item, found);
            }
        }
    }
}

fn all_fields(tree: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in tree {
        fields(name, value, &mut found);
    }
    found
}

fn as_form(tree: &Map<String, Value>) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(all_fields(tree))
        .finish()
        .into_bytes()
}

fn as_multipart(tree: &Map<String, Value>) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in all_fields(tree) {
        let head = format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(value.as_bytes());
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        "[ -~äß€😀\r\n&=+%\\[\\]]{0,24}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_-]{0,8}"
}

fn trees() -> impl Strategy<Value = Map<String, Value>> {
    let node = leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map(name(), node, 0..6).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn form_multipart_and_json_are_the_same_arguments(tree in trees()) {
        let from_json = Args::decode(JSON, Value::Object(tree.clone()).to_string().as_bytes()).unwrap();
        let from_form = Args::decode(FORM, &as_form(&tree)).unwrap();
        let from_multipart =
            Args::decode(Some("multipart/form-data; boundary=XyZ"), &as_multipart(&tree)).unwrap();
        prop_assert_eq!(&from_form, &from_multipart);
        let spelling = |args: &Args| canonical(&Value::Object(args.map.clone()));
        prop_assert_eq!(spelling(&from_form), spelling(&from_json));
        prop_assert_eq!(from_form.fingerprint("f"), from_json.fingerprint("f"));
        // And the typed readers agree.
        for (name, value) in &tree {
            match value {
                Value::Bool(b) => {
                    prop_assert_eq!(from_form.opt_bool(name).unwrap(), Some(*b));
                    prop_assert_eq!(from_json.opt_bool(name).unwrap(), Some(*b));
                }
                Value::Number(_) => {
                    prop_assert_eq!(from_form.opt_id(name).ok(), from_json.opt_id(name).ok());
                    prop_assert_eq!(from_form.opt_str(name), from_json.opt_str(name));
                }
                Value::String(_) => {
                    prop_assert_eq!(from_form.opt_text(name), from_json.opt_text(name));
                    prop_assert_eq!(from_form.opt_str(name), from_json.opt_str(name));
                    prop_assert_eq!(from_form.strings(name), from_json.strings(name));
                }
                Value::Array(items) if items.iter().all(Value::is_string) => {
                    prop_assert_eq!(from_form.strings(name), from_json.strings(name));
                    prop_assert_eq!(from_form.array(name).unwrap().len(), items.len());
                }
                _ => {}
            }
        }
    }

    #[test]
    fn decoding_is_total(content_type in prop::option::of("[ -~]{0,40}"), body in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [content_type.as_deref(), FORM, JSON, Some("multipart/form-data; boundary=a"), None] {
            if let Err(error) = Args::decode(kind, &body) {
                prop_assert_eq!(error.code, Code::InvalidArgument);
            }
        }
    }

    #[test]
    fn form_names_never_break(names in prop::collection::vec("[ab0-9\\[\\]. -]{0,12}", 0..8)) {
        let body: Vec<String> = names.iter().map(|n| format!("{n}=v")).collect();
        let args = Args::decode(FORM, body.join("&").as_bytes()).unwrap();
        for name in args.names() {
            // Read or refused: nothing here may panic.
            drop((args.object(name), args.array(name), args.attachments(name, Links::Named)));
        }
    }
}

// --- PHP's rules -------------------------------------------------------------------------------

#[test]
fn form_names_are_read_as_php_reads_them() {
    let table = [
        (
            "a=1&b=two+words&c=%C3%A4",
            json!({"a": "1", "b": "two words", "c": "ä"}),
        ),
        ("a=1&a=2", json!({"a": "2"})),
        ("a", json!({"a": ""})),
        ("&&a=1&", json!({"a": "1"})),
        ("a==b", json!({"a": "=b"})),
        ("=x&[a]=y&[]=z", json!({})),
        ("a%5B%5D=x&a[]=y", json!({"a": ["x", "y"]})),
        ("a[0][1]=l&a[0][0]=n", json!({"a": [["n", "l"]]})),
        ("a[x]=1&a[y][]=2", json!({"a": {"x": "1", "y": ["2"]}})),
        ("a[5]=x&a[]=y", json!({"a": {"5": "x", "6": "y"}})),
        ("a[]=x&a[0]=y", json!({"a": ["y"]})),
        ("a[1]=y&a[0]=x", json!({"a": ["x", "y"]})),
        ("a[-3]=x&a[]=y", json!({"a": {"-3": "x", "0": "y"}})),
        ("a[05]=x&a[5]=y", json!({"a": {"05": "x", "5": "y"}})),
        ("a=1&a[b]=2", json!({"a": {"b": "2"}})),
        ("a[b]=2&a=1", json!({"a": "1"})),
        ("a[b]=1&a[b][c]=2", json!({"a": {"b": {"c": "2"}}})),
        ("a[b=1", json!({"a_b": "1"})),
        ("a[=1", json!({"a_": "1"})),
        ("a[b]c=1", json!({"a": {"b": "1"}})),
        ("a[b][c=1", json!({"a": {"b": "1"}})),
        ("a[[b]=1", json!({"a": {"[b": "1"}})),
        ("a]=1", json!({"a]": "1"})),
        ("a[ ]=1", json!({"a": ["1"]})),
        ("a[ b]=1", json!({"a": {" b": "1"}})),
        (
            "++a.b c=1&a.b[c.d]=2",
            json!({"a_b_c": "1", "a_b": {"c.d": "2"}}),
        ),
        ("a=%&b=%zz&c=%4", json!({"a": "%", "b": "%zz", "c": "%4"})),
    ];
    for (body, expected) in table {
        assert_eq!(tree(&form(body)), expected, "{body}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_and_not_mended() {
    assert_eq!(
        refused(Args::decode(FORM, b"message=caf%E9")),
        "`message`: not UTF-8"
    );
    assert_eq!(
        refused(Args::decode(FORM, b"caf%E9=1")),
        "the name of an argument is not UTF-8"
    );
    assert!(refused(Args::decode(JSON, b"{\"a\":\"\xff\"}")).starts_with("the body is not JSON: "));
    let body = b"--b\r\nContent-Disposition: form-data; name=\"m\"\r\n\r\n\xff\r\n--b--\r\n";
    assert!(
        refused(Args::decode(Some("multipart/form-data; boundary=b"), body))
            .starts_with("`m`: not UTF-8")
    );
}

#[test]
fn multipart_takes_text_and_no_files() {
    let part = |head: &str, value: &str| {
        format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    };
    let decode = |parts: &str| {
        Args::decode(
            Some("Multipart/Form-Data; boundary=\"b\""),
            format!("{parts}--b--\r\n").as_bytes(),
        )
    };
    let fields = part("name=\"a[0]\"", "one\r\ntwo") + &part("name=\"a[1]\"", "");
    assert_eq!(
        tree(&decode(&fields).unwrap()),
        json!({"a": ["one\r\ntwo", ""]})
    );
    assert_eq!(
        refused(decode(&part(
            "name=\"attachments\"; filename=\"x.png\"",
            "PNG"
        ))),
        "`attachments`: found the file \"x.png\"; expected text: attachments are links"
    );
    assert_eq!(
        tree(&decode(&part("name=\"f\"; filename=\"\"", "")).unwrap()),
        json!({})
    );
    assert_eq!(
        refused(decode(&part("x=\"f\"", ""))),
        "a field of the multipart form has no name"
    );
    let cut = part("name=\"a\"", "one");
    let error = refused(Args::decode(
        Some("multipart/form-data; boundary=b"),
        cut.as_bytes(),
    ));
    assert!(
        error.starts_with("the body is not a multipart form: "),
        "{error}"
    );
    let error = refused(Args::decode(Some("multipart/form-data"), cut.as_bytes()));
    assert!(
        error.starts_with("the body is not a multipart form: "),
        "{error}"
    );
}

#[test]
fn the_content_type_decides_and_json_is_known_without_one() {
    let json_body = br#" {"to": "x"}"#;
    for kind in [
        None,
        Some(""),
        JSON,
        Some("APPLICATION/JSON"),
        Some("application/vnd.api+json"),
        Some("text/json"),
    ] {
        assert_eq!(
            Args::decode(kind, json_body).unwrap().str("to").unwrap(),
            "x",
            "{kind:?}"
        );
    }
    assert_eq!(Args::decode(None, b"to=x").unwrap().str("to").unwrap(), "x");
    assert_eq!(tree(&Args::decode(None, b"").unwrap()), json!({}));
    assert_eq!(
        refused(Args::decode(FORM, json_body)),
        "the body is JSON, but the content type says it is a form: send Content-Type: application/json"
    );
    assert_eq!(
        refused(Args::decode(Some("text/xml"), b"<a/>")),
        "the content type: found \"text/xml\"; expected application/x-www-form-urlencoded, multipart/form-data or application/json"
    );
    assert_eq!(
        refused(Args::decode(JSON, b"[1]")),
        "the body is JSON, but not an object of arguments"
    );
    assert!(refused(Args::decode(JSON, b"")).starts_with("the body is not JSON: "));
}

// --- limits ------------------------------------------------------------------------------------

#[test]
fn each_limit_is_the_last_that_passes_in_each_encoding() {
    let both = |tree: Value| {
        let map = tree.as_object().unwrap();
        let form = Args::decode(FORM, &as_form(map));
        let json = Args::decode(JSON, tree.to_string().as_bytes());
        assert_eq!(form.is_ok(), json.is_ok());
        (form.err().map(|e| e.message), json.err().map(|e| e.message))
    };
    let same = |tree| {
        let (form, json) = both(tree);
        assert_eq!(form, json);
        form
    };
    let deep = |levels: usize| (1..levels).fold(json!("x"), |inner, _| json!({"k": inner}));
    assert_eq!(same(json!({"a": deep(MAX_DEPTH)})), None);
    assert_eq!(
        same(json!({"a": deep(MAX_DEPTH + 1)})).unwrap(),
        "`a`: nested too deep; at most 8 levels are allowed"
    );
    let many = |n: usize| json!({"a": vec!["x"; n]});
    assert_eq!(same(many(MAX_ARGUMENTS)), None);
    assert_eq!(
        same(many(MAX_ARGUMENTS + 1)).unwrap(),
        "the request holds too many values; at most 1000 are allowed"
    );
    let long = |n: usize| json!({"a": "x".repeat(n)});
    assert_eq!(same(long(MAX_VALUE_BYTES)), None);
    assert_eq!(
        same(long(MAX_VALUE_BYTES + 1)).unwrap(),
        "`a`: a value of 1048577 bytes; at most 1048576 are allowed"
    );
    for nested in [false, true] {
        let named = |n: usize| {
            let inner = json!({"n".repeat(n): "x"});
            if nested { json!({"a": inner}) } else { inner }
        };
        assert_eq!(same(named(MAX_NAME_BYTES)), None);
        let message = same(named(MAX_NAME_BYTES + 1)).unwrap();
        assert!(
            message.ends_with("a name of 257 bytes; at most 256 are allowed"),
            "{message}"
        );
    }
}

#[test]
fn json_in_a_text_has_the_same_limits() {
    let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
    assert_eq!(
        refused(form(&format!("attachments={deep}")).array("attachments")),
        "`attachments`: nested too deep; at most 8 levels are allowed"
    );
}

#[test]
fn the_fingerprint_is_of_what_the_call_does() {
    let base = of(
        json!({"to": "1", "message": "x", "token": "a", "wait": 5, "idempotency_key": "k", "function": "f"}),
    );
    assert_eq!(
        base.fingerprint("f"),
        form("message=x&to=1&token=b").fingerprint("f")
    );
    assert_ne!(
        base.fingerprint("f"),
        form("message=x&to=1").fingerprint("g")
    );
    assert_ne!(
        base.fingerprint("f"),
        form("message=y&to=1").fingerprint("f")
    );
    assert_ne!(
        form("a[b]=c").fingerprint("f"),
        form("a=b&b=c").fingerprint("f")
    );
    assert_eq!(base.fingerprint("f").len(), 64);
}

#[test]
fn debug_shows_names_and_no_values() {
    let shown = format!("{:?}", of(json!({"token": "s3cret", "message": "private"})));
    assert_eq!(shown, r#"{"message", "token"}"#);
}
