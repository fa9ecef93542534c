//! What fixtures cannot show: settings, depth, and webhooks side by side.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use super::*;
use crate::kit::http::{Headers, Method};
use crate::messenger::config::sandbox_settings;
use crate::model::UserChange;
use serde_json::{Value, json};
use url::Url;

fn parse_with(changes: &Value, body: &str) -> Parsed {
    let mut settings = sandbox_settings();
    for (key, value) in changes.as_object().unwrap() {
        settings[key] = value.clone();
    }
    let request = Inbound {
        via: crate::kit::http::Via::Web,
        method: Method::Post,
        url: "https://gw.example.net/webhooks/fb".into(),
        query: String::new(),
        headers: Headers::default(),
        body: body.to_owned().into(),
        received_at: Millis(1_795_000_100_000),
    };
    parse(&Settings::read(settings).unwrap(), &request).unwrap()
}

fn page(element: Value) -> String {
    json!({"object": "page", "entry": [{"id": "104200000000001", "messaging": [element]}]})
        .to_string()
}

fn message(sender: &str, recipient: &str, content: Value) -> Value {
    json!({"sender": {"id": sender}, "recipient": {"id": recipient},
        "timestamp": 1_795_000_001_000_i64, "message": content})
}

const PAGE: &str = "104200000000001";
const DANA: &str = "7300000000000011";

#[test]
fn people_are_shown_what_the_settings_say() {
    let said = message(DANA, PAGE, json!({"mid": "m_1", "text": "hi"}));
    let kinds = |settings: &Value, body: &str| {
        let shown = |effect: &Effect| match effect {
            Effect::FetchProfile { user } => format!("profile {user}"),
            Effect::MarkRead { address, .. } => format!("seen {address}"),
            Effect::ShowTyping { address } => format!("typing {address}"),
            other => format!("{other:?}"),
        };
        let parsed = parse_with(settings, body);
        parsed.effects.iter().map(shown).collect::<Vec<_>>()
    };
    let both = json!({"mark_as_read": true, "show_typing": true, "standby_mode": "observe"});
    let all = ["profile", "seen", "typing"].map(|what| format!("{what} {DANA}"));
    assert_eq!(kinds(&json!({}), &page(said.clone())), all[..1]);
    assert_eq!(kinds(&both, &page(said.clone())), all);
    // What we wrote ourselves, and what another app has to answer, is shown nothing.
    let echo = message(PAGE, DANA, json!({"mid": "m_2", "text": "hi", "is_echo": true}));
    assert!(kinds(&both, &page(echo)).is_empty());
    let standby = json!({"object": "page", "entry": [{"id": PAGE, "standby": [said]}]});
    assert_eq!(kinds(&both, &standby.to_string()), all[..1]);
}

#[test]
fn threads_of_other_apps_are_messages_only_when_observed() {
    let element = message(
        DANA,
        PAGE,
        json!({"mid": "m_1", "text": "to the other app"}),
    );
    let entry = json!({"id": PAGE, "standby": [element]});
    let body = json!({"object": "page", "entry": [entry]}).to_string();
    let ignored = parse_with(&json!({}), &body);
    assert!(
        matches!(&ignored.events[0].body, EventBody::Unknown { what, .. } if what == "standby")
    );
    assert!(ignored.effects.is_empty());
    let observed = parse_with(&json!({"standby_mode": "observe"}), &body);
    let EventBody::Message(message) = &observed.events[0].body else {
        panic!("{observed:?}")
    };
    assert_eq!(message.facts, [("standby".to_owned(), "true".to_owned())]);
}

#[test]
fn references_are_ours_only_from_our_app() {
    let echo = |app: Option<u64>, metadata: &str, configured: Value| {
        let mut content = json!({"mid": "m_1", "text": "x", "is_echo": true, "metadata": metadata});
        if let Some(app) = app {
            content["app_id"] = json!(app);
        }
        let parsed = parse_with(&configured, &page(message(PAGE, DANA, content)));
        let event = &parsed.events[0];
        assert_eq!(event.sender.as_ref().unwrap().ids, [DANA]);
        assert!(parsed.effects.is_empty(), "nobody wrote");
        let EventBody::Message(message) = &event.body else {
            panic!("{event:?}")
        };
        assert!(message.from_us);
        message.our_reference.clone()
    };
    let ours = json!({"app_id": "880000000000001"});
    let without = json!({"app_id": 5});
    let some = Some("sb-42-0".to_owned());
    assert_eq!(
        echo(Some(880_000_000_000_001), "sb-42-0", ours.clone()),
        some
    );
    assert_eq!(echo(None, "sb-42-0", ours.clone()), some);
    assert_eq!(echo(Some(880_000_000_000_001), "sb-42-0", without), None);
    assert_eq!(echo(Some(9), "sb-42-0", ours.clone()), None);
    assert_eq!(echo(Some(880_000_000_000_001), "campaign 7", ours), None);
}

/// Not every echo says that it is one; answering it would be talking to oneself.
#[test]
fn what_the_account_sent_is_never_a_persons() {
    for element in [
        message(PAGE, DANA, json!({"mid": "m_1", "text": "x"})),
        message(DANA, DANA, json!({"mid": "m_1", "text": "x"})),
        message(
            DANA,
            DANA,
            json!({"mid": "m_1", "text": "x", "is_echo": true}),
        ),
    ] {
        let parsed = parse_with(&json!({}), &page(element));
        assert!(matches!(&parsed.events[0].body, EventBody::Message(m) if m.from_us));
    }
}

#[test]
fn the_button_get_started_may_carry_another_payload() {
    let pressed = json!({"sender": {"id": DANA}, "recipient": {"id": PAGE}, "timestamp": 1,
        "postback": {"mid": "m_1", "title": "Go", "payload": "BEGIN", "referral": {"ad_id": "77"}}});
    let named = |parsed: &Parsed| {
        let names: Vec<_> = parsed.events.iter().map(|e| e.body.name()).collect();
        names.join(" ")
    };
    let body = page(pressed);
    assert_eq!(named(&parse_with(&json!({}), &body)), "message");
    let begun = parse_with(&json!({"get_started_payload": "BEGIN"}), &body);
    assert_eq!(named(&begun), "user message");
    let EventBody::User(UserChange::Subscribed { referral }) = &begun.events[0].body else {
        panic!("{begun:?}")
    };
    assert_eq!(referral.as_deref(), Some("ad:77"));
}

#[test]
fn links_are_files_or_links() {
    let cases = [
        ("https://scontent.xx.fbcdn.net/v/a.jpg?oe=1", true),
        (
            "https://lookaside.fbsbx.com/ig_messaging_cdn/?asset_id=1",
            true,
        ),
        ("https://scontent.cdninstagram.com/v/a.jpg", true),
        ("http://127.0.0.1:8081/fb/cdn/1/a.jpg", true),
        ("https://www.facebook.com/reel/123/", false),
        ("https://instagram.com/p/abc", false),
        ("https://notinstagram.com/p/abc", true),
        ("/reel/123", false),
        ("fb://reel/123", false),
    ];
    for (url, is_file) in cases {
        let attachment = json!({"type": "ig_reel", "payload": {"url": url}});
        let content = json!({"mid": "m_1", "attachments": [attachment]});
        let parsed = parse_with(&json!({}), &page(message(DANA, PAGE, content)));
        let EventBody::Message(message) = &parsed.events[0].body else {
            panic!("{parsed:?}")
        };
        assert_eq!(message.attachments.len(), usize::from(is_file), "{url}");
        assert_eq!(message.text, if is_file { "" } else { url });
    }
}

#[test]
fn file_names_are_the_end_of_the_path() {
    let name = |url: &str| super::attachment::name(&Url::parse(url).unwrap());
    assert_eq!(
        name("https://cdn.fbsbx.com/v/doc.pdf?oe=1").unwrap(),
        "doc.pdf"
    );
    assert_eq!(
        name("https://cdn.fbsbx.com/v/my%20doc+1.pdf").unwrap(),
        "my doc+1.pdf"
    );
    for url in [
        "https://x.example/",
        "https://x.example/v",
        "https://x.example/..%2Fa.sh",
    ] {
        assert_eq!(name(url), None, "{url}");
    }
}

#[test]
fn depth_is_no_way_to_the_end_of_the_stack() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    for body in [
        deep(500_000),
        format!(r#"{{"object":"page","entry":{}}}"#, deep(500_000)),
        format!(
            r#"{{"object":"page","entry":[{{"id":"1","messaging":[{}]}}]}}"#,
            deep(500_000)
        ),
        page(json!({"policy_enforcement": {"reason": 1}}))
            .replace("\"reason\":1", &format!("\"reason\":{}", deep(500_000))),
    ] {
        assert_eq!(parse_with(&json!({}), &body).events.len(), 1);
    }
}
