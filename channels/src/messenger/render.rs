//! Parts into requests.

use super::config::Account;
use super::plan::{Address, Offer, Platform, numbered, offer, payload};
use crate::kit::http::{Auth, Request};
use crate::kit::sign;
use crate::model::{AttachmentKind, Choice, Part, PartBody, Template, TemplateText};
use serde_json::{Map, Value, json};

/// A call during which Meta fetches nothing is answered within a second or two.
const TEXT_TIMEOUT_MS: u64 = 15_000;

/// The tag of what a person writes later than a day after the other's last message.
pub const HUMAN_AGENT: &str = "HUMAN_AGENT";

/// How a part is sent: as planned, or with what Meta's first refusal made necessary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct How {
    /// Whether it goes with the tag [`HUMAN_AGENT`].
    pub human_agent: bool,
    /// Which of its languages a template is sent in.
    pub language: Option<String>,
    /// Whether the same was tried before.
    pub again: bool,
}

/// A call of the Graph API, whose path may have a query. Carries the token, and the proof that we have
/// the app's secret where that is wanted.
pub fn call(account: &Account, make: impl FnOnce(String) -> Request, path: &str) -> Request {
    let settings = &account.settings;
    let token = &settings.page_access_token;
    let url = format!("{}/{}/{path}", account.base, settings.api_version);
    let key = settings
        .app_secret
        .first()
        .filter(|_| settings.send_appsecret_proof);
    let request = match key {
        Some(key) => {
            let proof = sign::hmac_sha256(key.expose().as_bytes(), &[token.expose().as_bytes()]);
            let joint = if path.contains('?') { '&' } else { '?' };
            let with = |proof: &str| format!("{url}{joint}appsecret_proof={proof}");
            make(with(&hex::encode(proof))).with_redacted_url(with("***"))
        }
        None => make(url),
    };
    request.with_auth(Auth::Bearer(token.clone()))
}

/// A POST of JSON to the page's mailbox. Conversations on Instagram go through it too.
fn post(account: &Account, body: Map<String, Value>) -> Request {
    let path = format!("{}/messages", account.settings.page_id);
    let body = Value::Object(body).to_string();
    call(account, |url| Request::post_json(url, body), &path).with_timeout_ms(TEXT_TIMEOUT_MS)
}

/// The request of a part.
pub fn render(part: &Part, to: &Address, account: &Account, how: &How) -> Request {
    let mut body = Map::new();
    let mut set = |name: &str, value: Value| body.insert(name.into(), value);
    set("recipient", json!({"id": to.id}));
    let template = matches!(part.body, PartBody::Template { .. });
    match to.platform {
        _ if how.human_agent && !template => {
            set("messaging_type", json!("MESSAGE_TAG"));
            set("tag", json!(HUMAN_AGENT));
        }
        Platform::Messenger if template => {
            set("messaging_type", json!("UTILITY"));
        }
        Platform::Messenger => {
            set("messaging_type", json!("RESPONSE"));
        }
        // Instagram knows no type but the tagged one.
        Platform::Instagram => {}
    }
    if let Some(mid) = &part.reply_to {
        set("reply_to", json!({"mid": mid}));
    }
    set("message", message(part, to.platform, how));
    let request = post(account, body);
    if matches!(part.body, PartBody::Media { .. }) {
        // Meta fetches the link during the call: films are given 75 seconds.
        return request.with_timeout_ms(Request::MEDIA_TIMEOUT_MS);
    }
    request
}

fn message(part: &Part, platform: Platform, how: &How) -> Value {
    let mut message = Map::new();
    let mut set = |name: &str, value: Value| message.insert(name.into(), value);
    let offer = offer(&part.choices);
    match &part.body {
        PartBody::Media { attachment, .. } => {
            let payload = json!({"url": attachment.url, "is_reusable": false});
            set(
                "attachment",
                json!({"type": kind(attachment.kind), "payload": payload}),
            );
        }
        PartBody::Template { template } => {
            set("template", utility(template, how.language.as_deref()));
        }
        body => match offer {
            Some(Offer::Buttons) => {
                let buttons: Vec<Value> = part.choices.iter().map(button).collect();
                let payload = json!({
                    "template_type": "button", "text": text(body), "buttons": buttons,
                });
                set(
                    "attachment",
                    json!({"type": "template", "payload": payload}),
                );
            }
            Some(Offer::Numbered) => {
                set(
                    "text",
                    json!(format!("{}{}", text(body), numbered(&part.choices))),
                );
            }
            Some(Offer::QuickReplies) | None => {
                set("text", json!(text(body)));
            }
        },
    }
    if offer == Some(Offer::QuickReplies) {
        let replies: Vec<Value> = part.choices.iter().map(quick_reply).collect();
        set("quick_replies", json!(replies));
    }
    // It comes back in the echo, which proves that a part arrived whose answer was lost. Messenger
    // alone has it, and not for templates.
    if platform == Platform::Messenger && !matches!(part.body, PartBody::Template { .. }) {
        set("metadata", json!(part.idempotency_key()));
    }
    Value::Object(message)
}

/// The words of a body. `plan` makes texts, files and templates only; what another release planned is
/// said in words.
fn text(body: &PartBody) -> String {
    match body {
        PartBody::Text { text } => text.clone(),
        PartBody::Location { location } => location.as_text(),
        PartBody::Contact { contact } => contact.as_text(),
        PartBody::Media { attachment, .. } => attachment.url.clone(),
        PartBody::Album { attachments, .. } => {
            let links: Vec<&str> = attachments.iter().map(|a| a.url.as_str()).collect();
            links.join("\n")
        }
        PartBody::Template { template } => template.name.clone(),
        PartBody::Bundle { bodies } => bodies.iter().map(text).collect::<Vec<_>>().join("\n"),
    }
}

/// The type of an attachment.
const fn kind(kind: AttachmentKind) -> &'static str {
    match kind {
        AttachmentKind::Image => "image",
        AttachmentKind::Video => "video",
        AttachmentKind::Audio | AttachmentKind::Voice => "audio",
        AttachmentKind::Sticker | AttachmentKind::File => "file",
    }
}

fn quick_reply(choice: &Choice) -> Value {
    json!({"content_type": "text", "title": choice.title, "payload": payload(choice)})
}

fn button(choice: &Choice) -> Value {
    match &choice.url {
        Some(url) => json!({"type": "web_url", "title": choice.title, "url": url}),
        None => json!({"type": "postback", "title": choice.title, "payload": payload(choice)}),
    }
}

/// A template by name. A button's parameter is the rest of its link, or, under the name `postback` or
/// `quick_reply`, what comes back when it is pressed.
fn utility(template: &Template, language: Option<&str>) -> Value {
    let parameter = |text: &TemplateText| {
        let mut parameter = json!({"type": "text", "text": text.text});
        if let (Some(name), Some(fields)) = (&text.name, parameter.as_object_mut()) {
            fields.insert("parameter_name".into(), json!(name));
        }
        parameter
    };
    let button = |text: &TemplateText| match text.name.as_deref() {
        Some("postback" | "quick_reply") => json!({"type": "POSTBACK", "payload": text.text}),
        _ => json!({"type": "URL", "url": text.text}),
    };
    let mut components: Vec<Value> = Vec::new();
    let mut add = |kind: &str, parameters: Vec<Value>| {
        if !parameters.is_empty() {
            components.push(json!({"type": kind, "parameters": parameters}));
        }
    };
    add("header", template.header.iter().map(parameter).collect());
    add("body", template.body.iter().map(parameter).collect());
    add("buttons", template.buttons.iter().map(button).collect());
    let language = language.or(template.languages.first().map(String::as_str));
    let mut utility = json!({"name": template.name, "language": {"code": language}});
    if let (false, Some(fields)) = (components.is_empty(), utility.as_object_mut()) {
        fields.insert("components".into(), json!(components));
    }
    utility
}

/// What a person is shown beside messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gesture {
    /// That what they wrote was seen.
    Seen,
    /// That somebody is writing: for 20 seconds, or until the message.
    Typing,
}

/// Shows a person something beside messages.
pub fn render_gesture(gesture: Gesture, to: &Address, account: &Account) -> Request {
    let action = match gesture {
        Gesture::Seen => "mark_seen",
        Gesture::Typing => "typing_on",
    };
    let mut body = Map::new();
    body.insert("recipient".into(), json!({"id": to.id}));
    body.insert("sender_action".into(), json!(action));
    post(account, body)
}

/// Asks for a person's name and picture.
pub fn render_profile(person: &Address, account: &Account) -> Request {
    let fields = match person.platform {
        Platform::Messenger => "first_name,last_name,profile_pic",
        Platform::Instagram => "name,username,profile_pic,follower_count",
    };
    call(
        account,
        Request::get,
        &format!("{}?fields={fields}", person.id),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Body;
    use crate::kit::settings::Common;
    use crate::messenger::config::sandbox_settings;
    use crate::model::{MessageId, Outgoing};

    fn account(changes: &[(&str, Value)]) -> Account {
        let mut settings = sandbox_settings();
        for (key, value) in changes {
            settings[*key] = value.clone();
        }
        let common = Common {
            id: "fb".into(),
            api_base: Some("http://127.0.0.1:8081/fb/".into()),
            webhook_url: String::new(),
        };
        Account::read(&common, settings).unwrap()
    }

    fn part(to: &str, text: &str) -> Part {
        let message = Outgoing::new(MessageId(42), to);
        let text = text.to_owned();
        Part::sequence(&message, vec![PartBody::Text { text }]).remove(0)
    }

    fn body(request: &Request) -> Value {
        match &request.body {
            Body::Json(text) => serde_json::from_str(text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_late_goes_with_the_tag() {
        let account = account(&[]);
        let late = How {
            human_agent: true,
            ..How::default()
        };
        for (to, in_time) in [
            ("7300000000000011", json!("RESPONSE")),
            ("ig:9900000000000021", Value::Null),
        ] {
            let address = Address::parse(to).unwrap();
            let sent = body(&render(&part(to, "x"), &address, &account, &How::default()));
            assert_eq!(sent["messaging_type"], in_time);
            assert_eq!(sent.get("tag"), None);
            let sent = body(&render(&part(to, "x"), &address, &account, &late));
            assert_eq!(sent["messaging_type"], "MESSAGE_TAG");
            assert_eq!(sent["tag"], "HUMAN_AGENT");
            assert_eq!(sent["recipient"]["id"], json!(address.id));
        }
    }

    #[test]
    fn the_proof_is_in_the_url_and_not_shown() {
        let account = account(&[
            ("send_appsecret_proof", json!(true)),
            ("app_secret", json!("key")),
            ("page_access_token", json!("token")),
        ]);
        let address = Address::parse("7300000000000011").unwrap();
        let request = render(
            &part("7300000000000011", "x"),
            &address,
            &account,
            &How::default(),
        );
        // HMAC-SHA256 of `token` under `key`, computed apart from this project.
        let proof = "646b8eac0c4ae4178299c9bd924e2bf073dfb07e024901a8c864f65b9462bf0d";
        let url = "http://127.0.0.1:8081/fb/v25.0/104200000000001/messages?appsecret_proof=";
        assert_eq!(request.url, format!("{url}{proof}"));
        assert_eq!(request.shown_url(), format!("{url}***"));
        let asked = render_profile(&address, &account);
        assert!(
            asked
                .shown_url()
                .ends_with("profile_pic&appsecret_proof=***")
        );
    }
}
