//! Events: what people do without writing, and what became of templates.

use super::content::facts;
use super::{Understood, event, hash};
use crate::error::{Class, LimitScope, Words};
use crate::model::{
    AccountNotice, DeliveryStatus, Effect, Event, EventBody, InboundMessage, StatusUpdate,
    Structured, UserChange,
};
use crate::wechat::wire::Push;
use crate::wechat::xml::Node;

/// What WeChat puts before the scene of a code that was scanned by somebody who did not follow yet.
const SCENE_PREFIX: &str = "qrscene_";

/// Understands an event. Nothing comes of one that is not known.
pub(super) fn happened(push: &Push<'_>) -> Understood {
    let Some(name) = push.event() else {
        return (Vec::new(), Vec::new());
    };
    let mut effects = Vec::new();
    let one = |body: EventBody| vec![event(push, key(push, &name), body)];
    let changed = |change: UserChange| one(EventBody::User(change));
    let events = match name.as_str() {
        "subscribe" => {
            // Of the names that WeChat once told, the language is what is left.
            effects.push(Effect::FetchProfile {
                user: push.from.to_owned(),
            });
            let scene = push.word("EventKey");
            changed(UserChange::Subscribed {
                referral: scene.map(|s| s.strip_prefix(SCENE_PREFIX).unwrap_or(s).to_owned()),
            })
        }
        // Follows already, and came back by a code.
        "scan" => changed(UserChange::Subscribed {
            referral: push.word("EventKey").map(str::to_owned),
        }),
        "unsubscribe" => changed(UserChange::Unsubscribed),
        "location" => place(push, &name).into_iter().collect(),
        "click" | "view" | "view_miniprogram" | "scancode_push" | "scancode_waitmsg"
        | "pic_sysphoto" | "pic_photo_or_album" | "pic_weixin" | "location_select" => {
            pressed(push, &name).into_iter().collect()
        }
        "templatesendjobfinish" => template_done(push).into_iter().collect(),
        "subscribe_msg_sent_event" => push.fields.all("List").into_iter().filter_map(|item| notice_done(push, item)).collect(),
        "subscribe_msg_popup_event" | "subscribe_msg_change_event" => {
            let items = push.fields.all("List").into_iter();
            items.filter_map(|item| answered(push, &name, item)).collect()
        }
        "masssendjobfinish" => mass_done(push).into_iter().collect(),
        _ => Vec::new(),
    };
    (distinct(events), effects)
}

/// The key of an event: they have no number, so WeChat wants them told apart by person, time and
/// what it was.
fn key(push: &Push<'_>, name: &str) -> String {
    let detail = push.word("EventKey").map(|detail| format!(":{}", hash(detail)));
    let detail = detail.unwrap_or_default();
    format!("e:{name}:{}:{}{detail}", push.from, push.created)
}

/// A list may name one template twice; what is said first stands.
fn distinct(events: Vec<Event>) -> Vec<Event> {
    let mut seen = std::collections::BTreeSet::new();
    let fresh = |event: &Event| seen.insert(event.key.clone());
    events.into_iter().filter(fresh).collect()
}

/// The account's own menu was used.
fn pressed(push: &Push<'_>, name: &str) -> Option<Event> {
    let payload = push.word("EventKey")?.to_owned();
    let key = key(push, name);
    let mut facts = facts(
        push,
        &[
            ("MenuId", "menu_id"),
            ("ScanType", "scan_type"),
            ("Count", "picture_count"),
            ("Location_X", "latitude"),
            ("Location_Y", "longitude"),
            ("Label", "address"),
            ("Poiname", "place"),
        ],
    );
    facts.insert(0, ("event".into(), name.to_owned()));
    // What was scanned is what the person says; else the key, since no title is told.
    let text = push.deep("ScanResult").unwrap_or(&payload).to_owned();
    let message = InboundMessage {
        platform_id: key.clone(),
        text,
        structured: Some(Structured {
            payload,
            title: None,
            of: None,
        }),
        facts,
        ..InboundMessage::default()
    };
    Some(event(push, key, EventBody::Message(message)))
}

/// Where the person is, told from time to time to accounts that asked for it.
fn place(push: &Push<'_>, name: &str) -> Option<Event> {
    let (latitude, longitude) = (push.word("Latitude")?, push.word("Longitude")?);
    let change = UserChange::Profile {
        previous_ids: Vec::new(),
    };
    let mut event = event(push, key(push, name), EventBody::User(change));
    let detail = ("wechat_location", "Location", format!("{latitude}, {longitude}"));
    add_detail(&mut event, detail);
    Some(event)
}

/// The person let us send notices of a template, or no longer does. A detail of the contact: it
/// says nothing about messages.
fn answered(push: &Push<'_>, name: &str, item: &Node) -> Option<Event> {
    let template = item.word("TemplateId")?;
    let answer = item.word("SubscribeStatusString")?;
    let change = UserChange::Profile {
        previous_ids: Vec::new(),
    };
    let key = format!("e:{name}:{}:{}:{}", push.from, push.created, hash(template));
    let mut event = event(push, key, EventBody::User(change));
    let slug = format!("wechat_notice_{}", template.to_ascii_lowercase());
    let detail = (slug.as_str(), "Notices", format!("{template}: {answer}"));
    add_detail(&mut event, detail);
    Some(event)
}

fn add_detail(event: &mut Event, (slug, name, value): (&str, &str, String)) {
    if let Some(sender) = &mut event.sender {
        let detail = (slug.to_owned(), name.to_owned(), value);
        sender.profile.details.push(detail);
    }
}

/// What became of a template.
fn template_done(push: &Push<'_>) -> Option<Event> {
    let said = push.word("Status")?;
    // Written with and without a blank after the colon.
    let reason = said.strip_prefix("failed:").map(str::trim);
    let class = match (said, reason) {
        ("success", _) => None,
        (_, Some("user block")) => Some(Class::Recipient),
        (_, Some("freq limit")) => Some(Class::Limited {
            after: None,
            scope: LimitScope::Recipient,
        }),
        // "system failed", and what WeChat may think of next.
        _ => Some(Class::Retry),
    };
    let error = class.map(|class| (class, Words::new("TEMPLATESENDJOBFINISH", said)));
    Some(status(push, push.word("MsgID")?, error))
}

/// What became of a subscription notice.
fn notice_done(push: &Push<'_>, item: &Node) -> Option<Event> {
    let code = item.word("ErrorCode")?;
    let words = item.word("ErrorStatus").unwrap_or_default();
    let class = match code {
        "0" => None,
        "43101" => Some(Class::Recipient),
        _ => Some(Class::Retry),
    };
    let error = class.map(|class| (class, Words::new(code, words)));
    Some(status(push, item.word("MsgID")?, error))
}

fn status(push: &Push<'_>, id: &str, error: Option<(Class, Words)>) -> Event {
    let status = match error {
        None => DeliveryStatus::Delivered,
        Some(_) => DeliveryStatus::Failed,
    };
    let body = EventBody::Status(StatusUpdate {
        platform_id: id.to_owned(),
        status,
        error,
        our_reference: None,
        watermark: None,
    });
    let mut event = event(push, format!("s:{id}:{}", status.name()), body);
    event.thread = None;
    event
}

/// A message to many that somebody sent from the console.
fn mass_done(push: &Push<'_>) -> Option<Event> {
    let id = push.word("MsgID")?;
    let count = |name: &str| push.word(name).unwrap_or("?");
    let detail = format!(
        "mass message {id}: {}; to {} of {} people, {} failed",
        push.word("Status").unwrap_or("?"),
        count("SentCount"),
        count("TotalCount"),
        count("ErrorCount"),
    );
    let body = EventBody::Notice(AccountNotice {
        topic: "MASSSENDJOBFINISH".into(),
        detail,
    });
    let mut event = event(push, format!("n:mass:{id}"), body);
    (event.sender, event.thread) = (None, None);
    Some(event)
}
