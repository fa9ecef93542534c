//! Messages, pressed buttons, and the echoes of what the account itself sent.

use super::attachment::{self, Content};
use super::{Frame, Scope};
use crate::kit::json::read;
use crate::messenger::wire::{self, Raw, Referral};
use crate::model::{Delete, Event, EventBody, InboundMessage, Structured, UserChange};

/// The app that is Meta's own inbox for pages (Messenger webhooks, "Message echoes").
const PAGE_INBOX: &str = "263902037430900";

/// What our references begin with: `Part::idempotency_key`.
const OUR_REFERENCE: &str = "sb-";

/// A raw element that is kept as a fact is cut off here: the whole is in the raw webhook.
const RAW_FACT_MAX: usize = 2000;

impl Scope<'_> {
    /// A message, or that one was taken back.
    pub(super) fn message(
        &self,
        frame: &Frame,
        raw: Raw<'_>,
        value: Raw<'_>,
    ) -> Option<Vec<Event>> {
        let message: wire::Message<'_> = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let mid = message.mid.clone()?;
        if message.is_deleted {
            let key = format!("d:{mid}");
            let body = EventBody::Delete(Delete { target: mid });
            return Some(vec![self.event_of(key, frame.at, person, body)]);
        }
        let mut inbound = content(&message, raw);
        if frame.from_us {
            self.echo(&mut inbound, &message);
        }
        self.mark(&mut inbound);
        let key = format!("m:{mid}");
        inbound.platform_id = mid;
        let body = EventBody::Message(inbound);
        Some(vec![self.event_of(key, frame.at, person, body)])
    }

    /// What the account sent: who wrote it, and whether it was us.
    fn echo(&self, inbound: &mut InboundMessage, message: &wire::Message<'_>) {
        inbound.from_us = true;
        let ours = self.settings.app_id.as_ref();
        let origin = match &message.app_id {
            None => "app_or_api",
            Some(id) if Some(id) == ours => "this_app",
            Some(id) if id == PAGE_INBOX => "page_inbox",
            Some(_) => "another_app",
        };
        inbound.facts.push(("origin".into(), origin.into()));
        if let Some(id) = &message.app_id {
            inbound.facts.push(("app_id".into(), id.clone()));
        }
        // Another gateway may use references of the same form with another app.
        let may_be_ours =
            ours.is_none() || message.app_id.is_none() || message.app_id.as_ref() == ours;
        let reference = message.metadata.clone();
        inbound.our_reference =
            reference.filter(|text| may_be_ours && text.starts_with(OUR_REFERENCE));
        if let (Some(text), None) = (&message.metadata, &inbound.our_reference) {
            inbound.facts.push(("metadata".into(), text.clone()));
        }
    }

    fn mark(&self, inbound: &mut InboundMessage) {
        if self.standby {
            inbound.facts.push(("standby".into(), "true".into()));
        }
    }

    /// A pressed button; the one named "Get started" also begins the conversation.
    pub(super) fn postback(
        &self,
        frame: &Frame,
        raw: Raw<'_>,
        value: Raw<'_>,
    ) -> Option<Vec<Event>> {
        let postback: wire::Postback = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let title = postback.title;
        // Apps that do not own the thread are told the title only.
        let payload = postback.payload.or_else(|| title.clone())?;
        let id = postback.mid.unwrap_or_else(|| self.digest("postback", raw));
        let mut events = Vec::with_capacity(2);
        if payload == self.settings.get_started_payload && !frame.from_us {
            let referral = postback.referral.as_ref().and_then(brought_by);
            let body = EventBody::User(UserChange::Subscribed { referral });
            events.push(self.event_of(format!("s:{id}"), frame.at, person, body));
        }
        let mut inbound = InboundMessage {
            text: title.clone().unwrap_or_else(|| payload.clone()),
            from_us: frame.from_us,
            structured: Some(Structured {
                payload,
                title,
                of: None,
            }),
            ..InboundMessage::default()
        };
        if let Some(referral) = &postback.referral {
            inbound.facts.extend(facts(referral));
        }
        self.mark(&mut inbound);
        let key = format!("m:{id}");
        inbound.platform_id = id;
        events.push(self.event_of(key, frame.at, person, EventBody::Message(inbound)));
        Some(events)
    }
}

/// What a message holds.
fn content(message: &wire::Message<'_>, raw: Raw<'_>) -> InboundMessage {
    let text = message.text.clone().unwrap_or_default();
    let mut content = Content::new(text);
    for attachment in &message.attachments {
        attachment::add(&mut content, attachment);
    }
    let mut inbound = content.finish();
    if let Some(reply) = &message.quick_reply
        && let Some(payload) = &reply.payload
    {
        inbound.structured = Some(Structured {
            payload: payload.clone(),
            title: Some(inbound.text.clone()).filter(|title| !title.is_empty()),
            of: None,
        });
    }
    if let Some(reply) = &message.reply_to {
        inbound.reply_to.clone_from(&reply.mid);
        if reply.is_self_reply {
            inbound.facts.push(("self_reply".into(), "true".into()));
        }
        if let Some(story) = &reply.story {
            let story = [("story_id", &story.id), ("story_url", &story.url)];
            for (name, value) in story {
                let value = value.clone();
                inbound
                    .facts
                    .extend(value.map(|value| (name.into(), value)));
            }
        }
    }
    if let Some(referral) = &message.referral {
        inbound.facts.extend(facts(referral));
    }
    let empty = inbound.text.is_empty()
        && inbound.attachments.is_empty()
        && inbound.location.is_none()
        && inbound.structured.is_none()
        && inbound.unsupported.is_none();
    if message.is_unsupported || message.unsupported_type.is_some() {
        // Meta does not say what it is.
        inbound
            .unsupported
            .get_or_insert_with(|| "unsupported".into());
    } else if empty {
        inbound.unsupported = Some("message".into());
        inbound.facts.extend(raw_fact("message", raw));
    }
    inbound
}

/// An element as a fact, unless it is too long to be one.
pub(super) fn raw_fact(name: &str, raw: Raw<'_>) -> Option<(String, String)> {
    let text = raw.get();
    (text.len() <= RAW_FACT_MAX).then(|| (name.to_owned(), text.to_owned()))
}

/// Where a person came from, as facts.
fn facts(referral: &Referral) -> Vec<(String, String)> {
    let ad = referral.ads_context_data.as_ref();
    let product = referral.product.as_ref();
    let named = [
        ("referral", &referral.reference),
        ("referral_source", &referral.source),
        ("referral_type", &referral.kind),
        ("referral_ad_id", &referral.ad_id),
        ("referral_uri", &referral.referer_uri),
        ("referral_ad_title", &ad.and_then(|ad| ad.ad_title.clone())),
        ("referral_ad_photo", &ad.and_then(|ad| ad.photo_url.clone())),
        ("referral_ad_video", &ad.and_then(|ad| ad.video_url.clone())),
        ("referral_ad_post_id", &ad.and_then(|ad| ad.post_id.clone())),
        (
            "referral_product_id",
            &product.and_then(|product| product.id.clone()),
        ),
    ];
    let named = named.into_iter();
    named
        .filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)))
        .collect()
}

/// What brought a person here: what the link carried, or else the advertisement.
pub(super) fn brought_by(referral: &Referral) -> Option<String> {
    let ad = || Some(format!("ad:{}", referral.ad_id.as_ref()?));
    referral.reference.clone().or_else(ad)
}
