//! One tree from three encodings, and what the typed readers make of it.

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
            let _ = (args.object(name), args.array(name), args.attachments(name, Links::Named));
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

// --- readers -----------------------------------------------------------------------------------

#[test]
fn what_is_absent_is_named_as_missing() {
    for absent in [
        json!({}),
        json!({"x": null}),
        json!({"x": false}),
        json!({"x": ""}),
        json!({"x": "false"}),
        json!({"x": " "}),
    ] {
        let args = of(absent.clone());
        let missing = |result: Result<(), ApiError>| {
            let error = result.unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (Code::MissingArgument, "the argument `x` is missing"),
                "{absent}"
            );
        };
        missing(args.str("x").map(drop));
        missing(args.id("x").map(drop));
        missing(args.since("x").map(drop));
        assert_eq!(args.opt_str("x"), Ok(None));
        assert_eq!(args.opt_id("x"), Ok(None));
        assert_eq!(args.opt_u64("x", 0..=9), Ok(None));
        assert_eq!(args.opt_time("x", DateOnly::Refused), Ok(None));
        assert_eq!(args.array("x"), Ok(vec![]));
        assert_eq!(args.object("x"), Ok(None));
        assert_eq!(args.attachments("x", Links::Named), Ok(vec![]));
        assert_eq!(args.quick_replies("x"), Ok(vec![]));
        assert_eq!(args.ids("x"), Ok(vec![]));
        assert_eq!(args.details("x"), Ok(vec![]));
        assert_eq!(args.opt_conversation_status("x"), Ok(None));
    }
}

#[test]
fn free_text_may_say_false_or_zero() {
    for text in ["false", "0", "null", " x "] {
        assert_eq!(of(json!({"message": text})).text("message").unwrap(), text);
    }
    assert_eq!(of(json!({"message": 5})).text("message").unwrap(), "5");
    assert_eq!(
        of(json!({"message": " "}))
            .text("message")
            .unwrap_err()
            .code,
        Code::MissingArgument
    );
    assert_eq!(of(json!({"message": false})).opt_text("message"), Ok(None));
    assert_eq!(
        refused(of(json!({"message": ["x"]})).text("message")),
        "`message`: found a list; expected text"
    );
    assert_eq!(
        refused(of(json!({"to": {"a": 1}})).str("to")),
        "`to`: found an object; expected text"
    );
    assert_eq!(
        refused(of(json!({"to": true})).str("to")),
        "`to`: found true; expected text"
    );
    assert_eq!(
        of(json!({"to": 39_321_305_455_i64})).str("to").unwrap(),
        "39321305455"
    );
    assert_eq!(form("phone_id=0").opt_str("phone_id"), Ok(None));
}

#[test]
fn ids_are_positive_numbers_in_either_spelling() {
    for value in [json!(7), json!("7"), json!(" 7 "), json!("007")] {
        assert_eq!(of(json!({"id": value})).id("id"), Ok(7));
    }
    assert_eq!(of(json!({"id": i64::MAX})).id("id"), Ok(i64::MAX));
    for (value, found) in [
        (json!(0), "0"),
        (json!(-5), "-5"),
        (json!(1.5), "1.5"),
        (json!(true), "true"),
        (json!([1]), "a list"),
        (json!("abc"), "\"abc\""),
        (json!("1e3"), "\"1e3\""),
        (json!("+7"), "\"+7\""),
        (json!(u64::MAX), "18446744073709551615"),
        (json!("9223372036854775808"), "\"9223372036854775808\""),
        (json!("1".repeat(50)), &format!("\"{}…\"", "1".repeat(40))),
    ] {
        assert_eq!(
            refused(of(json!({"conversation_id": value})).id("conversation_id")),
            format!("`conversation_id`: found {found}; expected a positive whole number")
        );
    }
    for none in [json!(-1), json!("-1"), json!(0), json!("0")] {
        assert_eq!(
            of(json!({"department": none})).opt_id("department"),
            Ok(None)
        );
    }
}

#[test]
fn booleans_in_every_spelling() {
    for (value, expected) in [
        (json!(true), true),
        (json!("true"), true),
        (json!("True"), true),
        (json!(1), true),
        (json!("1"), true),
        (json!(false), false),
        (json!("false"), false),
        (json!(0), false),
        (json!("0"), false),
        (json!(""), false),
    ] {
        assert_eq!(
            of(json!({"extra": value})).bool("extra", !expected),
            Ok(expected),
            "{value}"
        );
    }
    assert_eq!(of(json!({"extra": null})).bool("extra", true), Ok(true));
    assert_eq!(of(json!({})).opt_bool("extra"), Ok(None));
    assert_eq!(
        refused(of(json!({"extra": "yes"})).bool("extra", true)),
        "`extra`: found \"yes\"; expected true or false"
    );
    assert_eq!(
        refused(of(json!({"extra": 2})).opt_bool("extra")),
        "`extra`: found 2; expected true or false"
    );
}

#[test]
fn numbers_within_their_range() {
    let read = |value| of(json!({"wait": value})).opt_u64("wait", 0..=300);
    assert_eq!(read(json!(0)), Ok(Some(0)));
    assert_eq!(read(json!("300")), Ok(Some(300)));
    for wrong in [
        json!(301),
        json!("-1"),
        json!(-1),
        json!(2.5),
        json!("x"),
        json!(true),
    ] {
        let error = refused(read(wrong));
        assert!(
            error.ends_with("expected a whole number from 0 to 300"),
            "{error}"
        );
    }
}

#[test]
fn times_in_utc() {
    let at = |text: &str, date_only| of(json!({"send_at": text})).opt_time("send_at", date_only);
    let noon = Ok(Some(Millis(1_589_369_759_000)));
    assert_eq!(at("2020-05-13 11:35:59", DateOnly::Refused), noon);
    assert_eq!(at(" 2020-05-13 11:35:59 ", DateOnly::Refused), noon);
    assert_eq!(at("2020-05-13T11:35:59Z", DateOnly::Refused), noon);
    assert_eq!(at("2020-05-13T13:35:59+02:00", DateOnly::Refused), noon);
    assert_eq!(
        at("2020-05-13T11:35:59.250Z", DateOnly::Refused),
        Ok(Some(Millis(1_589_369_759_250)))
    );
    assert_eq!(
        at("2020-05-13", DateOnly::Accepted),
        Ok(Some(Millis(1_589_328_000_000)))
    );
    assert_eq!(
        at("1960-01-01", DateOnly::Accepted),
        Ok(Some(Millis(-315_619_200_000)))
    );
    assert_eq!(
        refused(at("x", DateOnly::Refused)),
        "`send_at`: found \"x\"; expected YYYY-MM-DD HH:MM:SS (UTC)"
    );
    for wrong in [
        "2020-05-13",
        "2020-13-01 00:00:00",
        "2020-02-30 00:00:00",
        "2020-05-13 24:00:00",
        "2020-05-13T11:35:59",
        "2020-05-13 11:35",
        "13/05/2020 11:35:59",
        "1589369759",
        "2020-05-13T11:35:59+02:00[Europe/Rome]",
    ] {
        refused(at(wrong, DateOnly::Refused));
    }
    assert_eq!(
        refused(of(json!({"d": 20_200_513})).opt_time("d", DateOnly::Accepted)),
        "`d`: found 20200513; expected YYYY-MM-DD HH:MM:SS or YYYY-MM-DD (UTC)"
    );
}

#[test]
fn since_an_id_or_a_time() {
    let since = |value| of(json!({"datetime": value})).since("datetime");
    assert_eq!(since(json!("2319")), Ok(Since::Id(2319)));
    assert_eq!(since(json!(0)), Ok(Since::Id(0)));
    assert_eq!(
        since(json!("2020-05-13")),
        Ok(Since::Time(Millis(1_589_328_000_000)))
    );
    assert_eq!(
        since(json!("2020-05-13 11:35:59")),
        Ok(Since::Time(Millis(1_589_369_759_000)))
    );
    assert_eq!(
        refused(since(json!("yesterday"))),
        "`datetime`: found \"yesterday\"; expected an id, YYYY-MM-DD HH:MM:SS or YYYY-MM-DD (UTC)"
    );
}

#[test]
fn lists_and_objects_real_or_as_text() {
    for args in [
        of(json!({"a": ["x", "y"]})),
        of(json!({"a": "[\"x\",\"y\"]"})),
        form("a[]=x&a[]=y"),
        form("a[7]=y&a[3]=x"),
    ] {
        assert_eq!(args.array("a").unwrap(), vec![json!("x"), json!("y")]);
    }
    assert_eq!(
        refused(of(json!({"a": "x"})).array("a")),
        "`a`: found \"x\"; expected a list, or a list as JSON text"
    );
    assert_eq!(
        refused(of(json!({"a": {"k": 1}})).array("a")),
        "`a`: found an object; expected a list, or a list as JSON text"
    );
    for args in [
        of(json!({"source": {"chat_id": "5"}})),
        of(json!({"source": "{\"chat_id\":5}"})),
        form("source[chat_id]=5"),
    ] {
        let source = args.object("source").unwrap().unwrap();
        assert_eq!(source.id("chat_id"), Ok(5));
        assert_eq!(
            source.str("page_id").unwrap_err().message,
            "the argument `source[page_id]` is missing"
        );
    }
    assert_eq!(
        of(json!({"a": ["x"]}))
            .object("a")
            .unwrap()
            .unwrap()
            .str("0")
            .unwrap(),
        "x"
    );
    assert_eq!(of(json!({"a": []})).object("a"), Ok(None));
    assert_eq!(
        refused(of(json!({"a": 5})).object("a")),
        "`a`: found 5; expected an object, or an object as JSON text"
    );
    assert_eq!(
        of(json!({"p": "{\"k\":[1]}"})).opt_json("p"),
        Ok(Some(json!({"k": [1]})))
    );
    assert_eq!(
        refused(of(json!({"p": "plain"})).opt_json("p")),
        "`p`: found \"plain\"; expected a list or an object, or JSON text of one"
    );
}

#[test]
fn attachments_in_every_spelling() {
    let link = "https://files.example.com/menu.pdf?x=1";
    let expected = |args: Args| {
        let found = args.attachments("attachments", Links::Named).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].url.as_str(), found[0].kind),
            ("menu.pdf", link, AttachmentKind::File)
        );
    };
    expected(of(json!({"attachments": [["menu.pdf", link]]})));
    expected(of(
        json!({"attachments": json!([["menu.pdf", link]]).to_string()}),
    ));
    expected(form(&format!(
        "attachments[0][0]=menu.pdf&attachments[0][1]={}",
        link.replace('?', "%3F")
    )));
    expected(form(&format!(
        "attachments%5B3%5D%5B1%5D={link}&attachments%5B3%5D%5B0%5D=menu.pdf"
    )));
    // The name, where there is none, is the link's.
    expected(of(json!({"attachments": [["", link]]})));
    expected(of(json!({"attachments": [[null, link]]})));
    for none in [
        json!(""),
        json!(false),
        json!([]),
        json!("[]"),
        json!("false"),
        json!(null),
        json!("0"),
    ] {
        assert_eq!(
            of(json!({"attachments": none})).attachments("attachments", Links::Named),
            Ok(vec![]),
            "{none}"
        );
    }
}

#[test]
fn plain_links_only_where_they_are_allowed() {
    let args =
        of(json!({"attachments": ["https://a.example/x.png", ["n.png", "https://a.example/y"]]}));
    let found = args
        .attachments("attachments", Links::NamedOrPlain)
        .unwrap();
    let pairs: Vec<(&str, &str)> = found
        .iter()
        .map(|a| (a.name.as_str(), a.url.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("x.png", "https://a.example/x.png"),
            ("n.png", "https://a.example/y")
        ]
    );
    assert_eq!(
        refused(args.attachments("attachments", Links::Named)),
        "`attachments[0]`: found \"https://a.example/x.png\"; expected [[\"name\", \"link\"], …]"
    );
}

#[test]
fn attachments_that_are_none_are_refused() {
    let read =
        |value| refused(of(json!({"attachments": value})).attachments("attachments", Links::Named));
    for link in [
        "",
        "x.png",
        "/x.png",
        "//a.example/x.png",
        "ftp://a.example/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "https:a.example",
        "http://",
        "javascript:alert(1)",
    ] {
        let message = read(json!([["n", link]]));
        assert!(message.starts_with("`attachments[0]`: found "), "{message}");
        assert!(
            message.ends_with("expected an absolute http or https link"),
            "{message}"
        );
    }
    assert_eq!(
        read(json!([["n"]])),
        "`attachments[0]`: found a list; expected [[\"name\", \"link\"], …]"
    );
    assert_eq!(
        read(json!([["n", "https://a.example", "z"]])),
        "`attachments[0]`: found a list; expected [[\"name\", \"link\"], …]"
    );
    assert_eq!(
        read(json!([["n", 5]])),
        "`attachments[0]`: found a list; expected [[\"name\", \"link\"], …]"
    );
    assert!(read(json!([["a\nb", "https://a.example"]])).contains("control character"));
    assert!(
        read(json!([["n".repeat(256), "https://a.example"]])).contains("at most 255 characters")
    );
    assert_eq!(
        read(json!("none")),
        "`attachments`: found \"none\"; expected a list, or a list as JSON text"
    );
    let many: Vec<_> = (0..=MAX_ATTACHMENTS)
        .map(|i| ["n".to_owned(), format!("https://a.example/{i}")])
        .collect();
    assert_eq!(
        read(json!(many)),
        "`attachments`: found 31; at most 30 are allowed"
    );
    let most = of(json!({"attachments": many[1..]}));
    assert_eq!(
        most.attachments("attachments", Links::Named).unwrap().len(),
        MAX_ATTACHMENTS
    );
}

#[test]
fn links_stay_as_written_unless_they_could_not_be_requested() {
    let read = |link: &str| {
        of(json!({"a": [["n", link]]}))
            .attachments("a", Links::Named)
            .unwrap()[0]
            .url
            .clone()
    };
    for link in [
        "https://a.example",
        "HTTPS://A.example/%7Ex?sig=a%2Fb+c",
        "http://127.0.0.1:8080/x",
    ] {
        assert_eq!(read(link), link);
    }
    assert_eq!(
        read(" https://a.example/a b/ä.png "),
        "https://a.example/a%20b/%C3%A4.png"
    );
}

#[test]
fn quick_replies_as_titles_or_objects() {
    let args = of(
        json!({"quick_replies": ["Yes", 5, {"title": "Site", "url": "https://a.example"}, {"title": "No", "payload": "n"}]}),
    );
    let found = args.quick_replies("quick_replies").unwrap();
    let seen: Vec<(&str, &str, Option<&str>)> = found
        .iter()
        .map(|c| (c.title.as_str(), c.payload.as_str(), c.url.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            ("Yes", "Yes", None),
            ("5", "5", None),
            ("Site", "Site", Some("https://a.example")),
            ("No", "n", None)
        ]
    );
    assert_eq!(
        form("quick_replies[]=Yes&quick_replies[][title]=No")
            .quick_replies("quick_replies")
            .unwrap()
            .len(),
        2
    );
    let read = |value| refused(of(json!({"quick_replies": value})).quick_replies("quick_replies"));
    assert!(
        read(json!([{"payload": "x"}]))
            .starts_with("`quick_replies[0]`: found an object; expected a title or ")
    );
    assert!(read(json!(["x".repeat(1001)])).contains("at most 1000 characters"));
    assert_eq!(
        read(json!([{"title": "x", "url": "x"}])),
        "`quick_replies[0][url]`: found \"x\"; expected an absolute http or https link"
    );
    assert_eq!(
        read(json!(vec!["x"; 101])),
        "`quick_replies`: found 101; at most 100 are allowed"
    );
}

#[test]
fn lists_of_ids_and_words() {
    for value in [
        json!([45, "89", 45]),
        json!("[45,89]"),
        json!("45, 89,"),
        json!({"3": 45, "9": 89}),
    ] {
        assert_eq!(
            of(json!({"user_ids": value})).ids("user_ids"),
            Ok(vec![45, 89])
        );
    }
    assert_eq!(of(json!({"user_ids": 45})).ids("user_ids"), Ok(vec![45]));
    assert_eq!(
        refused(of(json!({"user_ids": [45, "x"]})).ids("user_ids")),
        "`user_ids[1]`: found \"x\"; expected a positive whole number"
    );
    assert_eq!(
        of(json!({"l": "en_US, it_IT"})).strings("l").unwrap(),
        ["en_US", "it_IT"]
    );
    assert_eq!(
        of(json!({"l": ["A", "B,C"]})).strings("l").unwrap(),
        ["A", "B,C"]
    );
}

#[test]
fn user_details_with_and_without_names() {
    let args = of(json!({"extra": {"phone": ["+1", "Phone"], "country_code": "US", "n": 5}}));
    let found: Vec<(String, String, String)> = args
        .details("extra")
        .unwrap()
        .into_iter()
        .map(|d| (d.slug, d.value, d.name))
        .collect();
    let row = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(
        found,
        [
            row("country_code", "US", "Country code"),
            row("n", "5", "N"),
            row("phone", "+1", "Phone")
        ]
    );
    assert_eq!(
        form("extra[phone][]=%2B1&extra[phone][]=Phone")
            .details("extra")
            .unwrap()[0]
            .value,
        "+1"
    );
    assert_eq!(
        refused(of(json!({"extra": {"phone": {"a": 1}}})).details("extra")),
        "`extra[phone]`: found an object; expected [\"value\", \"Name\"]"
    );
}

#[test]
fn users_and_sources_plain_or_as_objects() {
    for value in [
        json!(5),
        json!("5"),
        json!({"id": 5}),
        json!("{\"id\":\"5\"}"),
    ] {
        assert_eq!(of(json!({"user": value})).opt_user("user"), Ok(Some(5)));
    }
    assert_eq!(
        refused(of(json!({"user": {"id": "x"}})).opt_user("user")),
        "`user[id]`: found \"x\"; expected a positive whole number"
    );
    for value in [
        json!("wa"),
        json!({"source": "wa"}),
        json!("{\"source\":\"wa\"}"),
    ] {
        assert_eq!(
            of(json!({"source": value}))
                .opt_source("source")
                .unwrap()
                .unwrap()
                .str("source")
                .unwrap(),
            "wa"
        );
    }
    assert_eq!(of(json!({"source": false})).opt_source("source"), Ok(None));
}

#[test]
fn status_codes_and_user_types_have_codes_of_their_own() {
    for (value, expected) in [
        (json!(0), Some(0)),
        (json!("4"), Some(4)),
        (json!("skip"), None),
        (json!("all"), None),
    ] {
        assert_eq!(
            of(json!({"s": value})).opt_conversation_status("s"),
            Ok(expected)
        );
    }
    for wrong in [json!(5), json!(-1), json!("x"), json!([1])] {
        let error = of(json!({"s": wrong}))
            .opt_conversation_status("s")
            .unwrap_err();
        assert_eq!(error.code, Code::InvalidStatusCode);
    }
    assert_eq!(
        of(json!({"t": "lead"}))
            .opt_user_type("t")
            .unwrap()
            .as_deref(),
        Some("lead")
    );
    let error = of(json!({"t": "boss"})).opt_user_type("t").unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            Code::InvalidUserType,
            "`t`: found \"boss\"; expected visitor, lead, user, agent or admin"
        )
    );
}

#[test]
fn updates_keep_clear_or_set() {
    for (value, expected) in [
        (json!({}), Change::Keep),
        (json!({"email": ""}), Change::Keep),
        (json!({"email": false}), Change::Keep),
        (json!({"email": null}), Change::Clear),
        (json!({"email": "NULL"}), Change::Clear),
        (
            json!({"email": "a@b.example"}),
            Change::Set("a@b.example".to_owned()),
        ),
    ] {
        assert_eq!(of(value).change("email"), Ok(expected));
    }
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
