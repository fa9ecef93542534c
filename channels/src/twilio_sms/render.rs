//! A part into the one request that sends it.

use super::config::{Settings, VALIDITY_SECONDS_MAX};
use crate::kit::http::Request;
use crate::kit::settings::Common;
use crate::model::{Millis, OutgoingAttachment, Part, PartBody};

/// How attachments travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// As media where MMS can be had, else as links.
    Best,
    /// All as links: Twilio said that there is no MMS from this number.
    Links,
}

/// Countries with MMS over Twilio: the North American numbering plan, and Australia.
const MMS_PREFIXES: [&str; 2] = ["+1", "+61"];

/// Types that Twilio takes as media; sound of every kind is taken too. Read November 2026 in
/// "Accepted content types for media".
const MMS_TYPES: [&str; 12] = [
    "image/jpeg",
    "image/jpg",
    "image/png",
    "image/gif",
    "video/mp4",
    "video/3gpp",
    "video/quicktime",
    "application/pdf",
    "text/vcard",
    "text/x-vcard",
    "text/directory",
    "text/calendar",
];

/// Whether an attachment can go as media to this number.
pub fn goes_as_media(to: &str, attachment: &OutgoingAttachment) -> bool {
    let mime = attachment.mime.as_str();
    MMS_PREFIXES.iter().any(|p| to.starts_with(p))
        && (MMS_TYPES.contains(&mime) || mime.starts_with("audio/"))
}

/// The URL of the account's resources: `messages` gives `…/Accounts/AC…/messages`.
pub fn resource(settings: &Settings, common: &Common, name: &str) -> String {
    let base = common.api_base(super::config::API_BASE);
    format!("{base}/2010-04-01/Accounts/{}{name}", settings.account_sid)
}

/// The request that sends a part.
pub fn render(
    part: &Part,
    settings: &Settings,
    common: &Common,
    now: Millis,
    carriage: Carriage,
) -> Request {
    let mut form = vec![("To".to_owned(), part.to.clone())];
    let mut add = |name: &str, value: String| form.push((name.to_owned(), value));
    if let Some(from) = &settings.from {
        add("From", from.clone());
    }
    if let Some(service) = &settings.messaging_service_sid {
        add("MessagingServiceSid", service.clone());
    }
    let text = body(part, carriage);
    if !text.is_empty() {
        add("Body", text);
    }
    for attachment in media(part, carriage) {
        add("MediaUrl", attachment.url.clone());
    }
    if let Some(url) = status_callback(part, common) {
        add("StatusCallback", url);
    }
    if let Some(seconds) = validity(part, settings, now) {
        add("ValidityPeriod", seconds.to_string());
    }
    Request::post_form(resource(settings, common, "/Messages.json"), form)
        .with_auth(settings.auth())
}

/// The whole `Body` of a part: its number among several, its text, links of what does not go as
/// media, and its choices. Empty where only media go.
pub fn body(part: &Part, carriage: Carriage) -> String {
    let mut lines: Vec<String> = Vec::new();
    match &part.body {
        PartBody::Text { text } => lines.push(text.clone()),
        PartBody::Media { caption, .. } | PartBody::Album { caption, .. } => {
            lines.extend(caption.clone());
        }
        PartBody::Location { location } => lines.push(location.as_text()),
        PartBody::Contact { contact } => lines.push(contact.as_text()),
        // `plan` refuses templates and makes no bundles.
        PartBody::Template { template } => lines.push(template.name.clone()),
        PartBody::Bundle { .. } => {}
    }
    let by_link = |a: &&OutgoingAttachment| {
        carriage == Carriage::Links || !goes_as_media(&part.to, a)
    };
    lines.extend(attachments(part).iter().filter(by_link).map(|a| a.url.clone()));
    for (number, choice) in (1..).zip(&part.choices) {
        lines.push(match &choice.url {
            Some(url) => format!("{number}. {} {url}", choice.title),
            None => format!("{number}. {}", choice.title),
        });
    }
    let text = lines.join("\n");
    if part.of > 1 && !text.is_empty() {
        // Carriers do not keep the order of separate messages: the reader has to.
        let number = u32::from(part.index) + 1;
        return format!("({number}/{}) {text}", part.of);
    }
    text
}

/// The attachments of a part.
pub fn attachments(part: &Part) -> &[OutgoingAttachment] {
    match &part.body {
        PartBody::Media { attachment, .. } => std::slice::from_ref(attachment),
        PartBody::Album { attachments, .. } => attachments,
        PartBody::Text { .. }
        | PartBody::Location { .. }
        | PartBody::Contact { .. }
        | PartBody::Template { .. }
        | PartBody::Bundle { .. } => &[],
    }
}

/// Those that go as media.
pub fn media(part: &Part, carriage: Carriage) -> Vec<&OutgoingAttachment> {
    attachments(part)
        .iter()
        .filter(|a| carriage == Carriage::Best && goes_as_media(&part.to, a))
        .collect()
}

/// Where statuses of this part are posted: our webhook, with our own reference in the query, which
/// the signature covers. Twilio refuses anything but an absolute http(s) URL.
fn status_callback(part: &Part, common: &Common) -> Option<String> {
    let url = common.webhook_url.as_str();
    let absolute = url.starts_with("https://") || url.starts_with("http://");
    let mark = if url.contains('?') { '&' } else { '?' };
    absolute.then(|| format!("{url}{mark}gw={}", part.idempotency_key()))
}

/// How long Twilio may try, in seconds: to the end of the message's life, and no longer than
/// configured. `None`: as long as Twilio likes.
fn validity(part: &Part, settings: &Settings, now: Millis) -> Option<u32> {
    let most = settings.validity_period.unwrap_or(VALIDITY_SECONDS_MAX);
    match part.expires_at {
        Some(end) => {
            // Whether an expired message is still sent is decided before us; Twilio wants at least 1.
            let left = end.since(now).div_euclid(1000).max(1);
            Some(u32::try_from(left).unwrap_or(u32::MAX).min(most))
        }
        None => settings.validity_period,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Body;
    use crate::model::MessageId;
    use serde_json::json;

    fn rendered(webhook_url: &str, change: serde_json::Value, expires_at: Option<i64>) -> String {
        let mut settings = super::super::sandbox_settings();
        for (key, value) in change.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let settings = Settings::read(settings).unwrap();
        let common = Common {
            id: "sms".to_owned(),
            api_base: None,
            webhook_url: webhook_url.to_owned(),
        };
        let part = Part {
            message: MessageId(42),
            index: 0,
            of: 1,
            to: "+14165550142".to_owned(),
            body: PartBody::Text {
                text: "x".to_owned(),
            },
            reply_to: None,
            choices: Vec::new(),
            expires_at: expires_at.map(Millis),
            author: None,
            mail: crate::model::MailHead::default(),
            thread: None,
        };
        let request = render(&part, &settings, &common, Millis(1_000_000), Carriage::Best);
        let Body::Form(pairs) = request.body else {
            panic!("no form");
        };
        let shown = pairs.iter().map(|(n, v)| format!("{n}={v}"));
        shown.skip(3).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn callbacks_and_validity() {
        let url = "https://gw.example.net/webhooks/sms";
        let callback = "StatusCallback=https://gw.example.net/webhooks/sms?gw=sb-42-0";
        let none = json!({});
        let hour = json!({"validity_period": 3600});
        let cases = [
            ("/webhooks/sms", none.clone(), None, String::new()),
            ("ftp://gw.example.net/x", none.clone(), None, String::new()),
            (url, none.clone(), None, callback.to_owned()),
            (url, hour.clone(), None, format!("{callback} ValidityPeriod=3600")),
            (url, none.clone(), Some(1_090_999), format!("{callback} ValidityPeriod=90")),
            (url, none.clone(), Some(5), format!("{callback} ValidityPeriod=1")),
            (url, none, Some(i64::MAX), format!("{callback} ValidityPeriod=36000")),
            (url, hour, Some(i64::MAX), format!("{callback} ValidityPeriod=3600")),
        ];
        for (url, change, expires_at, expected) in cases {
            assert_eq!(rendered(url, change, expires_at), expected);
        }
    }
}
