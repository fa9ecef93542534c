//! The readers of single values.

use super::*;

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
