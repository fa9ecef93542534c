//! The readers of attachments, quick replies, lists of ids, details.

use super::*;

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
