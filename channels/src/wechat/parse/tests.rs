//! What fixtures cannot show: broken and odd callbacks by the dozen.

use super::*;
use crate::kit::http::{Headers, Method};
use crate::model::{DeliveryStatus, UserChange};
use serde_json::json;

fn parsed(body: &str, original_id: Option<&str>) -> Result<Parsed, Malformed> {
    let settings = json!({"app_id": "wx0123456789abcdef", "app_secret": "s", "token": "demoToken",
        "mode": "plaintext", "original_id": original_id});
    let request = Inbound {
        via: crate::kit::http::Via::Web,
        method: Method::Post,
        url: "https://gw.example.net/webhooks/desk".into(),
        query: String::new(),
        headers: Headers::default(),
        body: body.to_owned().into(),
        received_at: Millis(7),
    };
    parse(&Settings::read(settings).unwrap(), &request)
}

fn push(fields: &str) -> String {
    format!(
        "<xml><ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName>\
         <CreateTime>1795000000</CreateTime>{fields}</xml>"
    )
}

fn events(fields: &str) -> Vec<Event> {
    parsed(&push(fields), None).unwrap().events
}

#[test]
fn what_lacks_something_is_kept_raw() {
    let cases = [
        ("<MsgType>text</MsgType><MsgId>1</MsgId>", "text"),
        ("<MsgType>image</MsgType><MsgId>1</MsgId><MediaId> </MediaId>", "image"),
        ("<MsgType>location</MsgType><Location_X>91</Location_X><Location_Y>1</Location_Y>", "location"),
        ("<MsgType>location</MsgType><Location_X>NaN</Location_X><Location_Y>1</Location_Y>", "location"),
        ("<MsgType>event</MsgType>", "event"),
        ("<MsgType>event</MsgType><Event>CLICK</Event>", "event.click"),
        ("<MsgType>event</MsgType><Event>LOCATION</Event><Latitude>1</Latitude>", "event.location"),
        ("<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event>", "event.templatesendjobfinish"),
        ("<MsgType>event</MsgType><Event>subscribe_msg_popup_event</Event>", "event.subscribe_msg_popup_event"),
        ("<MsgType>event</MsgType><Event>kf_create_session</Event>", "event.kf_create_session"),
        ("", "a callback of another shape"),
    ];
    for (fields, expected) in cases {
        let found = events(fields);
        let [Event { body: EventBody::Unknown { what, raw }, key, .. }] = found.as_slice() else {
            panic!("{fields}: {found:?}")
        };
        assert_eq!((what.as_str(), raw.as_str()), (expected, push(fields).as_str()));
        assert_eq!(*key, format!("u:{}", hash(raw)));
    }
}

#[test]
fn what_is_no_safe_xml_is_malformed() {
    for body in ["", "{", "<xml>", "<!DOCTYPE x><xml/>", "<xml>&x;</xml>", "hello"] {
        let malformed = parsed(body, None).unwrap_err();
        assert_eq!(malformed.expected, "XML", "{body}");
    }
    assert_eq!(parsed("<xml/>", None).unwrap().reply.body, "success");
}

#[test]
fn another_account_is_named() {
    let body = push("<MsgType>text</MsgType><Content>hi</Content><MsgId>1</MsgId>");
    let account = |id| parsed(&body, id).unwrap().events[0].account.clone();
    assert_eq!(account(None), None);
    assert_eq!(account(Some("gh_2")).as_deref(), Some("gh_1"));
}

#[test]
fn names_are_read_in_any_case() {
    for name in ["SUBSCRIBE", "Subscribe", "subscribe"] {
        let fields = format!("<MsgType>EVENT</MsgType><Event>{name}</Event><EventKey/>");
        let body = &events(&fields)[0].body;
        let expected = UserChange::Subscribed { referral: None };
        assert_eq!(*body, EventBody::User(expected), "{name}");
    }
}

#[test]
fn every_outcome_of_a_template() {
    for (said, class) in [
        ("success", None),
        ("failed:user block", Some("recipient")),
        ("failed: user block", Some("recipient")),
        ("failed: system failed", Some("retry")),
        ("failed:freq limit", Some("limited")),
        ("lost", Some("retry")),
    ] {
        let fields = format!(
            "<MsgType>event</MsgType><Event>TEMPLATESENDJOBFINISH</Event><MsgID>5</MsgID><Status>{said}</Status>"
        );
        let EventBody::Status(status) = events(&fields).remove(0).body else {
            panic!("{said}")
        };
        assert_eq!(status.error.as_ref().map(|(class, _)| class.name()), class, "{said}");
        assert_eq!(status.status == DeliveryStatus::Delivered, class.is_none());
    }
}

/// Events have no number: two of one second differ by what was pressed.
#[test]
fn keys_tell_events_apart() {
    let click = |key: &str| {
        let fields = format!("<MsgType>event</MsgType><Event>CLICK</Event><EventKey>{key}</EventKey>");
        events(&fields)[0].key.clone()
    };
    assert_eq!(click("a"), click("a"));
    assert_ne!(click("a"), click("b"));
    let twice = "<List><TemplateId>T</TemplateId><SubscribeStatusString>accept</SubscribeStatusString></List>";
    let fields = format!("<MsgType>event</MsgType><Event>subscribe_msg_change_event</Event><E>{twice}{twice}</E>");
    assert_eq!(events(&fields).len(), 1);
}
