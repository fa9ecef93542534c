//! Webhooks into events. Pure and total: whatever is JSON is acknowledged.

use super::dates;
use super::plan::is_conversation;
use super::render::Api;
use super::wire::{
    AuthenticationResponse, Context, Message, Receipt, Receipts, SuggestionResponse,
    SurveyResponse, UserMessage, UserStatus, Wrapped, last_word,
};
use crate::error::Malformed;
use crate::kit::http::Inbound;
use crate::kit::json::{read, shape};
use crate::kit::sign::{from_base64, sha256_hex};
use crate::model::{
    Attachment, AttachmentKind, DeliveryStatus, Effect, Event, EventBody, InboundMessage, MediaRef,
    Millis, Parsed, Profile, Sender, StatusUpdate, Structured, Thread,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// The payload of "talk to a person": what a press of Google's own button becomes, and what a choice
/// carries that is to be that button.
pub const LIVE_AGENT: &str = "live_agent_request";

/// Understands a webhook.
///
/// # Errors
/// When the body is no JSON.
pub fn parse(api: &Api, request: &Inbound) -> Result<Parsed, Malformed> {
    let malformed = |detail: String| Malformed {
        expected: "JSON",
        detail,
    };
    let text = std::str::from_utf8(&request.body).map_err(|e| malformed(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| malformed(shape(&e)))?;
    let inner = unwrapped(raw);
    let inner = inner.as_deref().unwrap_or(raw);
    let mut reading = Reading {
        api,
        received_at: request.received_at,
        raw: inner,
        parsed: Parsed::events(Vec::new()),
        seen: BTreeSet::new(),
    };
    match serde_json::from_str::<UserMessage<'_>>(inner.get()) {
        Ok(message) if is_conversation(&message.conversation_id) => reading.message(&message),
        _ => reading.unknown("webhook", "", None),
    }
    Ok(reading.parsed)
}

/// What is inside Pub/Sub's wrapper, which remains of an older way of delivery.
fn unwrapped(raw: &RawValue) -> Option<Box<RawValue>> {
    let wrapped: Wrapped = read(raw).ok()?;
    let inner = from_base64(&wrapped.message.data)?;
    let inner = String::from_utf8(inner).ok()?;
    serde_json::from_str(&inner).ok()
}

/// A webhook while it is being read.
struct Reading<'a> {
    api: &'a Api,
    received_at: Millis,
    raw: &'a RawValue,
    parsed: Parsed,
    seen: BTreeSet<String>,
}

/// What all events of a webhook share.
struct Shared {
    /// Names the webhook: the same when it is delivered again.
    id: String,
    at: Millis,
    account: Option<String>,
    sender: Sender,
    facts: Vec<(String, String)>,
}

impl<'a> Reading<'a> {
    fn message(&mut self, message: &UserMessage<'_>) {
        let context: Context = part_of(message.context).unwrap_or_default();
        let id = message.request_id.clone().filter(|id| !id.is_empty());
        let shared = Shared {
            id: id.unwrap_or_else(|| self.fingerprint()),
            at: time(message.send_time.as_ref()).unwrap_or(self.received_at),
            account: message.agent.as_deref().map(|agent| self.account(agent)),
            sender: sender(&message.conversation_id, &context),
            facts: facts(message, context),
        };
        let mut understood = false;
        // One of them is there; were there more, none would be lost.
        let members: [(&str, Option<&RawValue>, Read<'a>); 6] = [
            ("message", message.message, Self::text),
            ("suggestionResponse", message.suggestion_response, Self::press),
            ("receipts", message.receipts, Self::receipts),
            ("userStatus", message.user_status, Self::status),
            ("surveyResponse", message.survey_response, Self::survey),
            ("authenticationResponse", message.authentication_response, Self::authentication),
        ];
        for (what, member, reader) in members {
            let Some(member) = member else { continue };
            understood = true;
            if reader(self, member, &shared).is_none() {
                self.unknown(what, &shared.id, Some(&shared));
            }
        }
        if !understood {
            self.unknown("message of an unknown kind", &shared.id, Some(&shared));
        }
    }

    /// What a person wrote. A picture comes as a text that is its link.
    fn text(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let message: Message = read(raw).ok()?;
        if message.message_id.is_empty() {
            return None;
        }
        let text = message.text?;
        let picture = self.api.is_picture(&text);
        let ours = InboundMessage {
            platform_id: message.message_id.clone(),
            attachments: picture.then(|| attachment(&text)).into_iter().collect(),
            text: if picture { String::new() } else { text },
            facts: shared.facts.clone(),
            ..InboundMessage::default()
        };
        let address = shared.address();
        // Another agent's channel has its own settings; only this one's are known here.
        let own = shared.account.as_deref().is_none_or(|a| a == self.api.settings.agent());
        if own && self.api.settings.mark_as_read {
            let message = message.message_id.clone();
            let address = address.clone();
            self.parsed.effects.push(Effect::MarkRead { message, address });
        }
        if own && self.api.settings.show_typing {
            let address = address.clone();
            self.parsed.effects.push(Effect::ShowTyping { address });
        }
        let key = format!("m:{address}:{}", message.message_id);
        self.push(shared, key, message.create_time, EventBody::Message(ours));
        Some(())
    }

    /// A pressed suggestion.
    fn press(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let response: SuggestionResponse = read(raw).ok()?;
        let of = response.message.as_deref().map(last_word);
        let of = of.filter(|of| !of.is_empty()).map(str::to_owned);
        let title = response.text.filter(|text| !text.trim().is_empty());
        let mut facts = shared.facts.clone();
        facts.extend(response.kind.map(|kind| ("suggestion_type".to_owned(), kind)));
        let message = InboundMessage {
            platform_id: format!("suggestion:{}", shared.id),
            text: title.clone().unwrap_or_else(|| response.postback_data.clone()),
            reply_to: of.clone(),
            structured: Some(Structured {
                payload: response.postback_data,
                title,
                of,
            }),
            facts,
            ..InboundMessage::default()
        };
        let key = format!("p:{}", shared.id);
        self.push(shared, key, response.create_time, EventBody::Message(message));
        Some(())
    }

    /// How far our messages have come: several at once.
    fn receipts(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let receipts: Receipts<'_> = read(raw).ok()?;
        for raw in receipts.receipts {
            let receipt = read::<Receipt>(raw).ok();
            let status = receipt.as_ref().and_then(|receipt| {
                let status = match receipt.receipt_type.as_str() {
                    "DELIVERED" => DeliveryStatus::Delivered,
                    "READ" => DeliveryStatus::Read,
                    _ => return None,
                };
                let id = last_word(&receipt.message);
                (!id.is_empty()).then(|| (id.to_owned(), status))
            });
            let Some((platform_id, status)) = status else {
                let name: String = sha256_hex(raw.get().as_bytes()).chars().take(16).collect();
                self.unknown("receipt", &format!("{}:{name}", shared.id), Some(shared));
                continue;
            };
            // The same news in another webhook is no news.
            let key = format!("s:{}:{platform_id}:{}", shared.address(), status.name());
            let body = EventBody::Status(StatusUpdate {
                platform_id,
                status,
                error: None,
                our_reference: None,
                watermark: None,
            });
            self.push(shared, key, receipts.create_time.clone(), body);
        }
        Some(())
    }

    /// Somebody types, or wants to talk to a person.
    fn status(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let status: UserStatus = read(raw).ok()?;
        if status.is_typing.is_none() && status.requested_live_agent.is_none() {
            return None;
        }
        if status.is_typing == Some(true) {
            let key = format!("t:{}", shared.id);
            self.push(shared, key, status.create_time.clone(), EventBody::Typing);
        }
        if status.requested_live_agent == Some(true) {
            let message = InboundMessage {
                platform_id: format!("live-agent:{}", shared.id),
                text: "Live agent requested".to_owned(),
                structured: Some(Structured {
                    payload: LIVE_AGENT.to_owned(),
                    title: None,
                    of: None,
                }),
                facts: shared.facts.clone(),
                ..InboundMessage::default()
            };
            let key = format!("l:{}", shared.id);
            self.push(shared, key, status.create_time, EventBody::Message(message));
        }
        Some(())
    }

    /// An answer to one question of a survey.
    fn survey(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let survey: SurveyResponse = read(raw).ok()?;
        let text = survey.question_response_text.filter(|text| !text.trim().is_empty());
        let payload = survey.question_response_postback_data;
        let word = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let (rating, feedback) = (survey.rating.map(word), survey.feedback.map(word));
        // Some questions are answered with a number of stars or in words instead of a choice.
        let payload = payload.or_else(|| text.clone()).or_else(|| rating.clone());
        let payload = payload.or_else(|| feedback.clone()).filter(|payload| !payload.is_empty())?;
        let mut facts = shared.facts.clone();
        let told = [
            ("survey", survey.survey.as_deref().map(last_word).map(str::to_owned)),
            ("survey_question", survey.survey_question_id),
            ("survey_question_type", survey.question_type),
            ("survey_question_index", survey.question_index.map(word)),
            ("survey_question_count", survey.total_question_count.map(word)),
            ("survey_rating", rating),
            ("survey_feedback", feedback),
            ("survey_trigger", survey.survey_trigger_source),
        ];
        facts.extend(told.into_iter().filter_map(|(name, v)| Some((name.to_owned(), v?))));
        let message = InboundMessage {
            platform_id: format!("survey:{}", shared.id),
            text: text.clone().unwrap_or_else(|| payload.clone()),
            structured: Some(Structured {
                payload,
                title: text,
                of: None,
            }),
            facts,
            ..InboundMessage::default()
        };
        let key = format!("q:{}", shared.id);
        self.push(shared, key, survey.create_time, EventBody::Message(message));
        Some(())
    }

    /// What came of a request to sign in. The code is a secret: it stands in the payload alone.
    fn authentication(&mut self, raw: &RawValue, shared: &Shared) -> Option<()> {
        let response: AuthenticationResponse = read(raw).ok()?;
        let error = response.error_details;
        if response.code.is_none() && error.is_none() {
            return None;
        }
        let (error, words) = error.map_or((None, None), |e| (e.error, e.error_description));
        let mut facts = shared.facts.clone();
        let told = [
            ("redirect_uri", response.redirect_uri),
            ("authentication_error", error.clone()),
        ];
        facts.extend(told.into_iter().filter_map(|(name, v)| Some((name.to_owned(), v?))));
        let message = InboundMessage {
            platform_id: format!("authentication:{}", shared.id),
            text: words.or_else(|| error.clone()).unwrap_or_else(|| "Signed in".to_owned()),
            structured: Some(Structured {
                payload: response.code.or(error).unwrap_or_default(),
                title: None,
                of: None,
            }),
            facts,
            ..InboundMessage::default()
        };
        let key = format!("a:{}", shared.id);
        self.push(shared, key, None, EventBody::Message(message));
        Some(())
    }

    /// Keeps an event, unless the webhook has it twice.
    fn push(&mut self, shared: &Shared, key: String, created: Option<String>, body: EventBody) {
        if !self.seen.insert(key.clone()) {
            return;
        }
        let threaded = !matches!(body, EventBody::Status(_) | EventBody::Unknown { .. });
        let known = !matches!(body, EventBody::Unknown { .. });
        self.parsed.events.push(Event {
            key,
            at: time(created.as_ref()).unwrap_or(shared.at),
            account: shared.account.clone(),
            sender: known.then(|| shared.sender.clone()),
            thread: threaded.then(|| Thread {
                address: shared.address(),
                ..Thread::default()
            }),
            body,
        });
    }

    /// A webhook, or a member of one, that nothing was made of.
    fn unknown(&mut self, what: &str, id: &str, shared: Option<&Shared>) {
        let id = if id.is_empty() { self.fingerprint() } else { id.to_owned() };
        let key = format!("u:{what}:{id}");
        let body = EventBody::Unknown {
            what: what.to_owned(),
            raw: self.raw.get().to_owned(),
        };
        let nobody = Shared {
            id,
            at: self.received_at,
            account: None,
            sender: Sender::default(),
            facts: Vec::new(),
        };
        self.push(shared.unwrap_or(&nobody), key, None, body);
    }

    /// Stands for a webhook that has no id.
    fn fingerprint(&self) -> String {
        sha256_hex(self.raw.get().as_bytes()).chars().take(32).collect()
    }

    /// The account of an agent's name: its last word, which tells channels apart. The whole name, which
    /// no channel has, where the brand is another than ours.
    fn account(&self, agent: &str) -> String {
        let brand = agent.strip_prefix("brands/").and_then(|rest| rest.split('/').next());
        match (brand, self.api.settings.brand()) {
            (Some(theirs), Some(ours)) if theirs != ours => agent.to_owned(),
            _ => last_word(agent).to_owned(),
        }
    }
}

/// How one member of a webhook is read; `None`: it is not of the shape that it should have.
type Read<'a> = fn(&mut Reading<'a>, &RawValue, &Shared) -> Option<()>;

impl Shared {
    fn address(&self) -> String {
        self.sender.ids.first().cloned().unwrap_or_default()
    }
}

fn part_of<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    read(raw?).ok()
}

fn time(text: Option<&String>) -> Option<Millis> {
    dates::read(text?)
}

/// The person, who is known by the conversation and nothing else.
fn sender(conversation: &str, context: &Context) -> Sender {
    let there = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let info = context.user_info.as_ref();
    let name = info.and_then(|info| info.display_name.as_deref()).unwrap_or_default();
    let (first, last) = name.trim().split_once(' ').unwrap_or((name, ""));
    let language = info.and_then(|info| info.user_device_locale.clone());
    let detail = |slug: &str, name: &str, value: &Option<String>| {
        let value = value.as_deref().and_then(there);
        value.map(|value| (slug.to_owned(), name.to_owned(), value))
    };
    let details = [
        detail("gbm_entry_point", "Came from", &context.entry_point),
        detail("gbm_place", "Google place", &context.place_id),
        detail("gbm_near_place", "Nearest place", &context.near_place_id),
    ];
    Sender {
        ids: vec![conversation.to_owned()],
        profile: Profile {
            first_name: there(first),
            last_name: there(last),
            language: language.or_else(|| context.resolved_locale.clone()),
            details: details.into_iter().flatten().collect(),
            ..Profile::default()
        },
        ..Sender::default()
    }
}

/// What the link, the page or the button carried on which the conversation was begun.
fn facts(message: &UserMessage<'_>, context: Context) -> Vec<(String, String)> {
    let widget = context.widget.unwrap_or_default();
    let told = [
        ("entry_point", context.entry_point),
        ("custom_context", context.custom_context),
        ("widget_context", widget.widget_context),
        ("widget_url", widget.url),
        ("custom_agent_id", message.custom_agent_id.clone()),
    ];
    let told = told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    told.filter(|(_, value)| !value.is_empty()).collect()
}

/// A picture behind a signed link, which ends after some days.
fn attachment(link: &str) -> Attachment {
    Attachment {
        kind: AttachmentKind::Image,
        name: None,
        mime: None,
        size_bytes: None,
        media: Some(MediaRef::new(link.trim())),
    }
}
