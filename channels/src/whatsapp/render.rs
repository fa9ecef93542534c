//! Part -> request. Pure; every request goes to the `messages` edge of the number.

use super::config::Account;
use super::plan::{self, Address, Offer};
use crate::kit::http::{Auth, Request};
use crate::model::{
    AttachmentKind, Choice, ContactCard, Location, OutgoingAttachment, Part, PartBody, Template,
    TemplateText,
};
use serde_json::{Map, Value, json};

/// What opens a list. Shown to the recipient; the platform wants one and callers give none.
const LIST_BUTTON: &str = "Choose";

/// Files that the header of a template takes as a document.
const DOCUMENTS: [&str; 8] = ["pdf", "txt", "doc", "docx", "xls", "xlsx", "ppt", "pptx"];

/// The request of a part. A template goes in `language`, other parts take no notice of it.
pub fn render(part: &Part, account: &Account, language: &str) -> Request {
    let content = match &part.body {
        PartBody::Text { text } => text_content(text, &part.choices),
        PartBody::Media {
            attachment,
            caption,
        } => media_content(attachment, caption.as_deref(), &part.choices),
        // `plan` makes no albums and `deliver` takes none.
        PartBody::Album { caption, .. } => {
            text_content(caption.as_deref().unwrap_or_default(), &part.choices)
        }
        PartBody::Location { location } => ("location", location_object(location)),
        PartBody::Contact { contact } => ("contacts", json!([contact_object(contact)])),
        PartBody::Template { template } => ("template", template_object(template, language)),
        // `plan` makes none.
        PartBody::Bundle { .. } => text_content("", &part.choices),
    };
    message(part, account, content)
}

/// The same part as the one parameter of a template, for a text that came too late.
pub fn render_fallback(part: &Part, account: &Account, text: &str, template: (&str, &str)) -> Request {
    let (name, language) = template;
    let choices = match part.choices.as_slice() {
        [] => String::new(),
        choices => plan::numbered(choices),
    };
    let template = Template {
        name: name.to_owned(),
        languages: Vec::new(),
        header: Vec::new(),
        body: vec![TemplateText {
            name: None,
            text: one_line(&format!("{text}{choices}")),
        }],
        buttons: Vec::new(),
    };
    message(part, account, ("template", template_object(&template, language)))
}

/// Tells the platform that a message was seen. Marks all before it too.
pub fn render_read(message: &str, account: &Account) -> Request {
    let body = json!({
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": message,
    });
    post(account, &body)
}

/// Parameters take no line breaks, no tabs and no more than four spaces in a row.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn message(part: &Part, account: &Account, (kind, content): (&str, Value)) -> Request {
    let mut body = Map::new();
    body.insert("messaging_product".into(), "whatsapp".into());
    let group = part.to.starts_with(plan::GROUP);
    let recipient_type = if group { "group" } else { "individual" };
    body.insert("recipient_type".into(), recipient_type.into());
    let (field, address) = match Address::parse(&part.to) {
        Ok(Address::Phone(digits)) => ("to", digits),
        Ok(Address::Group(id)) => ("to", id),
        Ok(Address::User(id)) => ("recipient", id),
        // `plan` has refused it; the platform's own refusal says more than a guess of ours would.
        Err(_) => ("to", part.to.clone()),
    };
    body.insert(field.into(), address.into());
    body.insert("type".into(), kind.into());
    body.insert(kind.into(), content);
    if let Some(reply_to) = &part.reply_to {
        body.insert("context".into(), json!({"message_id": reply_to}));
    }
    // Comes back in every status: proves that a part arrived whose answer was lost.
    let reference = part.idempotency_key();
    body.insert("biz_opaque_callback_data".into(), reference.into());
    post(account, &Value::Object(body))
}

fn post(account: &Account, body: &Value) -> Request {
    let url = account.url(&format!("{}/messages", account.settings.phone_number_id));
    Request::post_json(url, body.to_string())
        .with_auth(Auth::Bearer(account.settings.access_token.clone()))
}

fn text_content(text: &str, choices: &[Choice]) -> (&'static str, Value) {
    match (choices, plan::offer(choices)) {
        ([], _) => plain(text.to_owned()),
        (_, Offer::Numbered) => plain(format!("{text}{}", plan::numbered(choices))),
        (_, offer) => ("interactive", interactive(text, choices, offer)),
    }
}

fn plain(body: String) -> (&'static str, Value) {
    let preview = body.contains("https://") || body.contains("http://");
    ("text", json!({"body": body, "preview_url": preview}))
}

fn media_content(
    attachment: &OutgoingAttachment,
    caption: Option<&str>,
    choices: &[Choice],
) -> (&'static str, Value) {
    let kind = match attachment.kind {
        AttachmentKind::Image => "image",
        AttachmentKind::Video => "video",
        AttachmentKind::Audio | AttachmentKind::Voice => "audio",
        AttachmentKind::Sticker => "sticker",
        AttachmentKind::File => "document",
    };
    let mut object = json!({"link": attachment.url});
    match attachment.kind {
        AttachmentKind::File => set(&mut object, "filename", attachment.name.as_str()),
        AttachmentKind::Voice if attachment.mime == plan::VOICE_NOTE => {
            set(&mut object, "voice", true);
        }
        _ => {}
    }
    let offer = plan::offer(choices);
    if let (Some(text), Offer::Buttons | Offer::Link) = (caption, offer)
        && !choices.is_empty()
    {
        let mut interactive = interactive(text, choices, offer);
        let header = json!({"type": kind, kind: object});
        set(&mut interactive, "header", header);
        return ("interactive", interactive);
    }
    if let Some(caption) = caption {
        set(&mut object, "caption", caption);
    }
    (kind, object)
}

fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value.into());
    }
}

fn interactive(text: &str, choices: &[Choice], offer: Offer) -> Value {
    let id_and_title = |c: &Choice| json!({"id": plan::payload(c), "title": c.title});
    let (kind, action) = match (offer, choices.first()) {
        (Offer::Link, Some(link)) => (
            "cta_url",
            json!({
                "name": "cta_url",
                "parameters": {"display_text": link.title, "url": link.url},
            }),
        ),
        (Offer::List, _) => {
            let rows: Vec<Value> = choices.iter().map(id_and_title).collect();
            ("list", json!({"button": LIST_BUTTON, "sections": [{"rows": rows}]}))
        }
        _ => {
            let button = |c| json!({"type": "reply", "reply": id_and_title(c)});
            let buttons: Vec<Value> = choices.iter().map(button).collect();
            ("button", json!({"buttons": buttons}))
        }
    };
    json!({"type": kind, "body": {"text": text}, "action": action})
}

fn location_object(location: &Location) -> Value {
    let mut object = json!({"latitude": location.latitude, "longitude": location.longitude});
    if let Some(name) = &location.name {
        set(&mut object, "name", name.as_str());
    }
    if let Some(address) = &location.address {
        set(&mut object, "address", address.as_str());
    }
    object
}

fn contact_object(card: &ContactCard) -> Value {
    // One piece of the name beside the whole is demanded: the whole stands in where none is known.
    let mut name = json!({"formatted_name": card.name});
    match (&card.first_name, &card.last_name) {
        (None, None) => set(&mut name, "first_name", card.name.as_str()),
        (first, last) => {
            if let Some(first) = first {
                set(&mut name, "first_name", first.as_str());
            }
            if let Some(last) = last {
                set(&mut name, "last_name", last.as_str());
            }
        }
    }
    let mut object = json!({"name": name});
    if !card.phones.is_empty() {
        let phones: Vec<Value> = card.phones.iter().map(|p| json!({"phone": p})).collect();
        set(&mut object, "phones", phones);
    }
    if !card.emails.is_empty() {
        let emails: Vec<Value> = card.emails.iter().map(|e| json!({"email": e})).collect();
        set(&mut object, "emails", emails);
    }
    if let Some(company) = &card.organisation {
        set(&mut object, "org", json!({"company": company}));
    }
    object
}

fn template_object(template: &Template, language: &str) -> Value {
    let mut components = Vec::new();
    if !template.header.is_empty() {
        let parameters: Vec<Value> = template.header.iter().map(header_parameter).collect();
        components.push(json!({"type": "header", "parameters": parameters}));
    }
    if !template.body.is_empty() {
        let parameters: Vec<Value> = template.body.iter().map(text_parameter).collect();
        components.push(json!({"type": "body", "parameters": parameters}));
    }
    let buttons = (0..).zip(&template.buttons);
    components.extend(buttons.filter_map(|(index, button)| button_component(index, button)));
    let mut object = json!({
        "name": template.name,
        "language": {"code": language, "policy": "deterministic"},
    });
    if !components.is_empty() {
        set(&mut object, "components", components);
    }
    object
}

fn text_parameter(parameter: &TemplateText) -> Value {
    let mut object = json!({"type": "text", "text": parameter.text});
    if let Some(name) = &parameter.name {
        set(&mut object, "parameter_name", name.as_str());
    }
    object
}

/// A header's parameter: a picture, film or document when it is a link that ends like one, else text.
fn header_parameter(parameter: &TemplateText) -> Value {
    let file = OutgoingAttachment::new("", parameter.text.trim());
    let extension = file.name.rsplit_once('.').map(|(_, e)| e.to_lowercase());
    let link = matches!(
        parameter.text.trim().split_once("://"),
        Some(("http" | "https", _))
    );
    match (link, file.kind) {
        (true, AttachmentKind::Image) => json!({"type": "image", "image": {"link": file.url}}),
        (true, AttachmentKind::Video) => json!({"type": "video", "video": {"link": file.url}}),
        (true, _) if extension.is_some_and(|e| DOCUMENTS.contains(&e.as_str())) => json!({
            "type": "document",
            "document": {"link": file.url, "filename": file.name},
        }),
        _ => text_parameter(parameter),
    }
}

/// A button's parameter. Its name says what the button does; without one it opens a link, since only
/// such buttons must have a parameter. An empty one stands for a button that takes none.
fn button_component(index: usize, button: &TemplateText) -> Option<Value> {
    if button.text.is_empty() {
        return None;
    }
    let (sub_type, parameter) = match button.name.as_deref() {
        Some("quick_reply") => (
            "quick_reply",
            json!({"type": "payload", "payload": button.text}),
        ),
        Some("copy_code") => (
            "copy_code",
            json!({"type": "coupon_code", "coupon_code": button.text}),
        ),
        Some("flow") => (
            "flow",
            json!({"type": "action", "action": {"flow_token": button.text}}),
        ),
        _ => ("url", json!({"type": "text", "text": button.text})),
    };
    Some(json!({
        "type": "button",
        "sub_type": sub_type,
        "index": index.to_string(),
        "parameters": [parameter],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Body;
    use crate::kit::settings::Common;
    use crate::model::{MessageId, Outgoing};

    fn account() -> Account {
        let common = Common {
            id: "wa".to_owned(),
            api_base: None,
            webhook_url: String::new(),
        };
        Account::read(&common, super::super::config::sandbox_settings()).unwrap()
    }

    fn rendered(body: PartBody) -> Value {
        let message = Outgoing::new(MessageId(42), "15550142233");
        let part = Part::sequence(&message, vec![body]).remove(0);
        match render(&part, &account(), "en").body {
            Body::Json(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn voice_notes_and_stickers_have_no_caption_but_their_own_form() {
        let media = |kind, url: &str| PartBody::Media {
            attachment: OutgoingAttachment {
                kind,
                ..OutgoingAttachment::new("", url)
            },
            caption: None,
        };
        let voice = rendered(media(AttachmentKind::Voice, "https://cdn.example/v.ogg"));
        assert_eq!(
            voice["audio"],
            json!({"link": "https://cdn.example/v.ogg", "voice": true})
        );
        let sticker = rendered(media(AttachmentKind::Sticker, "https://cdn.example/s.webp"));
        assert_eq!(sticker["type"], "sticker");
        assert_eq!(sticker["sticker"], json!({"link": "https://cdn.example/s.webp"}));
    }

    #[test]
    fn headers_of_templates_are_told_by_their_link() {
        let kind = |text: &str| {
            header_parameter(&TemplateText {
                name: None,
                text: text.to_owned(),
            })["type"]
                .clone()
        };
        assert_eq!(kind("https://cdn.example/a.jpg?x=1"), "image");
        assert_eq!(kind("https://cdn.example/a.MP4"), "video");
        assert_eq!(kind("https://cdn.example/terms.pdf"), "document");
        assert_eq!(kind("https://cdn.example/page.html"), "text");
        assert_eq!(kind("https://cdn.example/"), "text");
        assert_eq!(kind("terms.pdf"), "text");
        assert_eq!(kind("Order 42"), "text");
    }

    #[test]
    fn the_fallback_is_one_line() {
        assert_eq!(one_line(" a\r\n\n b\tc      d e\u{2028}f "), "a b c d e f");
    }
}
