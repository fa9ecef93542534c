//! Laws about the emulators: a conversation works in both directions, and the emulator, which is
//! as strict as the platform, takes whatever the channel makes.

use super::fixture::{NOW, Subject};
use super::inbound::{answer, unique};
use super::messages::debatable;
use super::plan::{Judged, over_messages};
use super::world::{Fake, arrived, deliver, run};
use std::sync::{Arc, Mutex, PoisonError};
use switchboard_channels::kit::emulator::{Action, CannotAct, Emulator, Hook};
use switchboard_channels::kit::http::{Request, Response};
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::{
    Choice, Event, EventBody, InboundMessage, MessageId, Outgoing, Receipt, Support,
};
use switchboard_channels::{Channel, Class, SendError, Verified};

/// The channel and the emulator of one sandbox account.
struct Sandbox {
    channel: Arc<dyn Channel>,
    emulator: Mutex<Box<dyn Emulator>>,
    hooks: Mutex<Vec<Hook>>,
}

impl Sandbox {
    fn new(subject: &Subject) -> Result<Self, String> {
        let common = Common {
            id: "sandbox-test".to_owned(),
            api_base: Some("http://127.0.0.1:8081/sandbox/sandbox-test".to_owned()),
            webhook_url: "https://gw.example.net/webhooks/sandbox-test".to_owned(),
        };
        let settings = (subject.kind.sandbox_settings)();
        let channel = (subject.kind.build)(&common, settings.clone())
            .map_err(|e| format!("sandbox_settings do not build the channel: {e}"))?;
        let emulator = (subject.kind.emulator)(&common, settings)
            .map_err(|e| format!("sandbox_settings do not build the emulator: {e}"))?;
        Ok(Self {
            channel,
            emulator: Mutex::new(emulator),
            hooks: Mutex::default(),
        })
    }

    fn with<T>(&self, what: impl FnOnce(&mut dyn Emulator) -> T) -> T {
        let mut emulator = self.emulator.lock().unwrap_or_else(PoisonError::into_inner);
        what(emulator.as_mut())
    }

    fn handle(&self, request: &Request) -> Response {
        let exchange = self.with(|e| e.handle(request, NOW));
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.extend(exchange.hooks);
        exchange.response
    }

    fn act(&self, action: serde_json::Value) -> Result<Result<Vec<Event>, CannotAct>, String> {
        let action: Action = serde_json::from_value(action).map_err(|e| e.to_string())?;
        match self.with(|e| e.act(&action, NOW)) {
            Ok(hooks) => self.read(&hooks).map(Ok),
            Err(cannot) if cannot.0.trim().is_empty() => Err("cannot act, and says not why".into()),
            Err(cannot) => Ok(Err(cannot)),
        }
    }

    /// The events of webhooks: each verifies, parses, and is known.
    fn read(&self, hooks: &[Hook]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for hook in hooks {
            let request = arrived(&hook.request)?;
            if !request
                .url
                .starts_with("https://gw.example.net/webhooks/sandbox-test")
            {
                return Err(format!("a webhook goes to {}", request.url));
            }
            let verified = Verified::check(self.channel.as_ref(), &request)
                .map_err(|e| format!("a webhook of the emulator is refused: {e}"))?;
            let parsed = self.channel.parse(&verified).map_err(|e| e.to_string())?;
            unique(&parsed)?;
            if let Some(unknown) = parsed
                .events
                .iter()
                .find(|e| matches!(e.body, EventBody::Unknown { .. }))
            {
                return Err(format!("a webhook of the emulator is unknown: {unknown:?}"));
            }
            events.extend(parsed.events);
        }
        Ok(events)
    }

    /// The events of the webhooks that followed from requests since the last time.
    fn follow_ups(&self) -> Result<Vec<Event>, String> {
        let hooks = {
            let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *hooks)
        };
        self.read(&hooks)
    }

    fn send(&self, message: &Outgoing) -> Result<Vec<Result<Receipt, SendError>>, String> {
        let parts = self.channel.plan(message).map_err(|e| e.to_string())?;
        let fake = Fake::new(|request| self.handle(request));
        parts
            .iter()
            .map(|part| deliver(self.channel.as_ref(), part, &fake))
            .collect()
    }

    /// Sends, and insists that every part arrives.
    fn sends(&self, message: &Outgoing) -> Result<Vec<Receipt>, String> {
        let results = self.send(message)?.into_iter();
        results
            .map(|r| r.map_err(|e| format!("the emulator refuses: {e:?}")))
            .collect()
    }

    /// The default customer writes "hi"; gives where an answer goes.
    fn greeted(&self) -> Result<String, String> {
        let (_, event) = self.said(serde_json::json!({"do": "say", "text": "hi"}))?;
        event
            .thread
            .map(|t| t.address)
            .ok_or_else(|| "the message has no thread".into())
    }

    /// The one message that follows from an action.
    fn said(&self, action: serde_json::Value) -> Result<(InboundMessage, Event), String> {
        let shown = action.to_string();
        let events = self.act(action)?.map_err(|e| format!("{shown}: {e}"))?;
        let messages = events.into_iter().filter_map(|e| match e.body.clone() {
            EventBody::Message(message) => Some((message, e)),
            _ => None,
        });
        let messages: Vec<_> = messages.collect();
        match <[_; 1]>::try_from(messages) {
            Ok([one]) => Ok(one),
            Err(other) => Err(format!("{shown} gives {} messages", other.len())),
        }
    }

    /// What follows from an action, as if it were one message.
    fn said_together(&self, action: serde_json::Value) -> Result<InboundMessage, String> {
        let mut whole = InboundMessage::default();
        for event in self.act(action)?.map_err(|e| e.to_string())? {
            if let EventBody::Message(message) = event.body {
                whole.text.push_str(&message.text);
                whole.attachments.extend(message.attachments);
            }
        }
        Ok(whole)
    }

    /// A message to this address.
    fn message(&self, to: &str, text: &str) -> Outgoing {
        let mut message = Outgoing::new(MessageId(7), to);
        message.text = text.to_owned();
        message
    }
}

/// Kinds whose platform gives ordinary messages no id and tells nothing of them later: ids are ours,
/// and the declared statuses are those of templates.
const NAMELESS: &[(&str, &str)] = &[("wechat", "custom messages are answered by errcode 0 alone")];

/// Kinds whose platform takes so many messages after each of the person's, and no more.
const MOST_PARTS: &[(&str, usize)] = &[("wechat", 20)];

/// The customer writes, we answer, the phone shows it, and statuses come back for what was sent.
pub fn round_trip(subject: &Subject) -> Result<(), String> {
    let sandbox = Sandbox::new(subject)?;
    let health = Fake::new(|request| sandbox.handle(request));
    run(sandbox.channel.probe(&health.ctx()))?.map_err(|e| format!("the probe fails: {e:?}"))?;
    let (hi, _) = sandbox.said(serde_json::json!({"do": "say", "text": "hi"}))?;
    if hi.text != "hi" || hi.from_us {
        return Err(format!("\"hi\" arrives as {hi:?}"));
    }
    let to = sandbox.greeted()?;
    let text = "Grüße 👍🏽 & <b>more</b>";
    let receipts = sandbox.sends(&sandbox.message(&to, text))?;
    let ids: Vec<&String> = receipts.iter().flat_map(|r| &r.platform_ids).collect();
    let phone = sandbox.with(|e| e.phone());
    let Some(line) = phone.iter().find(|l| l.from_gateway && l.text == text) else {
        return Err(format!("the phone does not show the answer: {phone:?}"));
    };
    let nameless = NAMELESS.iter().any(|(kind, _)| *kind == subject.kind.name);
    if !nameless && !ids.contains(&&line.id) {
        return Err(format!("the receipt says {ids:?}, the phone {:?}", line.id));
    }
    if !phone.iter().any(|l| !l.from_gateway && l.text == "hi") {
        return Err("the phone does not show what the customer wrote".into());
    }
    if !nameless {
        statuses(&sandbox, &ids)?;
    }
    sandbox.with(|e| e.reset());
    if !sandbox.with(|e| e.phone()).is_empty() {
        return Err("the phone remembers after a reset".into());
    }
    let to = sandbox.greeted()?;
    sandbox.sends(&sandbox.message(&to, "again")).map(drop)
}

/// Statuses that the capabilities promise come, under the ids of the receipt.
fn statuses(sandbox: &Sandbox, ids: &[&String]) -> Result<(), String> {
    let promised = sandbox.channel.capabilities().statuses;
    let mut events = sandbox.follow_ups()?;
    match sandbox.act(serde_json::json!({"do": "read"}))? {
        Ok(more) => events.extend(more),
        Err(cannot) if promised.contains(&"read") => {
            return Err(format!("\"read\" is promised, but: {cannot}"));
        }
        Err(_) => {}
    }
    let mut seen = Vec::new();
    for event in events {
        if let EventBody::Status(status) = event.body {
            if status.watermark.is_none() && !ids.contains(&&status.platform_id) {
                return Err(format!(
                    "a status of {:?}, not of {ids:?}",
                    status.platform_id
                ));
            }
            seen.push(status.status.name());
        }
    }
    let missing = promised
        .iter()
        .find(|s| **s != "failed" && **s != "sent" && !seen.contains(s));
    missing.map_or(Ok(()), |s| {
        Err(format!("the status {s:?} never comes; seen: {seen:?}"))
    })
}

/// Kinds on which what we send may have words and a picture in one, and what people send not.
const CARDS: &[(&str, &str)] = &[(
    "google-business-messages",
    "words and picture are a card, which only agents send",
)];

/// Files and places that the customer sends can be had.
pub fn customer_sends(subject: &Subject) -> Result<(), String> {
    let sandbox = Sandbox::new(subject)?;
    let file = serde_json::json!({"do": "say", "text": "look", "attachment":
        {"name": "dent.jpg", "mime": "image/jpeg", "content": "not really a picture"}});
    let cards = CARDS.iter().any(|(kind, _)| *kind == subject.kind.name);
    let message = if sandbox.channel.capabilities().caption.is_some() && !cards {
        sandbox.said(file)?.0
    } else {
        // Where files have no captions, the words are a message of their own.
        sandbox.said_together(file)?
    };
    let [attachment] = message.attachments.as_slice() else {
        return Err(format!("one file arrives as {:?}", message.attachments));
    };
    if message.text != "look" {
        return Err(format!("the caption arrives as {:?}", message.text));
    }
    let reference = attachment
        .media
        .as_ref()
        .ok_or("the file cannot be fetched")?;
    let fake = Fake::new(|request| sandbox.handle(request));
    let media = run(sandbox.channel.fetch_media(reference, &fake.ctx()))?
        .map_err(|e| format!("the file is not handed out: {e:?}"))?;
    if media.bytes.as_ref() != b"not really a picture" {
        return Err(format!("the file has become {:?}", media.bytes));
    }
    let place = serde_json::json!({"do": "say", "text": "",
        "location": {"latitude": 59.3293, "longitude": 18.0686}});
    match sandbox.act(place)? {
        Err(_) => Ok(()), // Not every platform has places, and it says so.
        Ok(events) => {
            let there = |e: &Event| {
                matches!(&e.body, EventBody::Message(m)
                if m.location.as_ref().is_some_and(|l| (l.latitude - 59.3293).abs() < 1e-6))
            };
            if events.iter().any(there) {
                Ok(())
            } else {
                Err(format!("the place arrives as {events:?}"))
            }
        }
    }
}

/// A pressed button comes back with its payload.
pub fn presses(subject: &Subject) -> Result<(), String> {
    let sandbox = Sandbox::new(subject)?;
    let support = sandbox.channel.capabilities().choices;
    let to = sandbox.greeted()?;
    let mut message = sandbox.message(&to, "Yes or no?");
    message.choices = ["Yes", "No"]
        .map(|title| Choice {
            title: title.to_owned(),
            payload: format!("payload-{title}"),
            url: None,
        })
        .to_vec();
    if support == Support::No {
        return match sandbox.channel.plan(&message) {
            Ok(_) => Err("choices are not declared, but planned".into()),
            Err(_) => Ok(()),
        };
    }
    sandbox.sends(&message)?;
    let press = serde_json::json!({"do": "press", "button": "Yes"});
    match (support, sandbox.act(press.clone())?) {
        (Support::Fallback(_), _) => Ok(()), // In words; the customer answers in words.
        (_, Err(cannot)) => Err(format!("the button cannot be pressed: {cannot}")),
        (_, Ok(_)) => {
            let (message, _) = sandbox.said(press)?;
            let payload = message.structured.as_ref().map(|s| s.payload.as_str());
            if payload == Some("payload-Yes") && message.text == "Yes" {
                Ok(())
            } else {
                Err(format!("the press arrives as {message:?}"))
            }
        }
    }
}

/// Kinds whose platform takes what is sent to somebody who has blocked us, and drops it without a
/// word; and how that is known.
const SILENT: &[(&str, &str)] = &[(
    "line",
    "a push to who blocked the account is answered 200; only `unfollow` tells",
)];

/// Kinds whose platform has one answer for a person who has blocked us and for a conversation that has
/// ended, and what that answer means.
const CLOSED: &[(&str, Class)] = &[("google-business-messages", Class::Window)];

/// Who has blocked us is not reached, until that is taken back; nor is who does not exist.
pub fn blocks(subject: &Subject) -> Result<(), String> {
    let sandbox = Sandbox::new(subject)?;
    let to = sandbox.greeted()?;
    let message = sandbox.message(&to, "hello");
    if let Err(cannot) = sandbox.act(serde_json::json!({"do": "block"}))? {
        return Err(format!("the customer cannot block us: {cannot}"));
    }
    let silent = SILENT.iter().any(|(kind, _)| *kind == subject.kind.name);
    let shown = || {
        let phone = sandbox.with(|e| e.phone());
        phone.iter().any(|l| l.from_gateway && l.text == "hello")
    };
    let closed = CLOSED.iter().find(|(kind, _)| *kind == subject.kind.name);
    let expected = closed.map_or(Class::Recipient, |(_, class)| *class);
    match sandbox.send(&message)?.as_slice() {
        [Err(e)] if e.class == expected && !silent => {}
        [Ok(_)] if silent && !shown() => {}
        other => return Err(format!("sending to who blocked us gives {other:?}")),
    }
    if let Err(cannot) = sandbox.act(serde_json::json!({"do": "unblock"}))? {
        return Err(format!("the customer cannot take the block back: {cannot}"));
    }
    sandbox.sends(&message).map(drop)
}

/// The emulator takes every part of every message that `plan` takes.
pub fn takes(subject: &Subject) -> Result<(), String> {
    let sandbox = Sandbox::new(subject)?;
    over_messages(subject, 150, |_, message| {
        if message.reply_to.is_some() || message.template.is_some() || debatable(message) {
            return Ok(Judged::No); // Ids and templates of the fixtures' account are not the sandbox's.
        }
        // From the start each time, so that a failing message fails alone.
        sandbox.with(|e| e.reset());
        let mut message = message.clone();
        message.to = sandbox.greeted()?;
        let most = MOST_PARTS
            .iter()
            .find(|(kind, _)| *kind == subject.kind.name);
        match sandbox.channel.plan(&message) {
            Ok(parts) if most.is_none_or(|(_, most)| parts.len() <= *most) => {}
            _ => return Ok(Judged::No),
        }
        let receipts = sandbox.sends(&message)?;
        receipts.iter().try_for_each(super::answers::named)?;
        Ok(Judged::Yes)
    })
}

/// The same actions give the same webhooks in every run, and every one of them is signed.
pub fn repeats(subject: &Subject) -> Result<(), String> {
    let play = || {
        let sandbox = Sandbox::new(subject)?;
        let say = serde_json::json!({"do": "say", "text": "one"});
        let action: Action = serde_json::from_value(say).map_err(|e| e.to_string())?;
        let mut shown = Vec::new();
        for _ in 0..2 {
            let hooks = sandbox
                .with(|e| e.act(&action, NOW))
                .map_err(|e| e.to_string())?;
            for hook in hooks {
                let mut request = arrived(&hook.request)?;
                shown.push(answer(sandbox.channel.as_ref(), &request)?);
                request.headers = Default::default();
                if !super::signed::proof_in_query(subject.kind.name).is_empty() {
                    request.query.clear();
                }
                if sandbox.channel.verify(&request).is_ok() {
                    return Err("a webhook is believed without its proof".to_owned());
                }
            }
        }
        Ok(shown)
    };
    let (one, two) = (play()?, play()?);
    if one == two {
        Ok(())
    } else {
        Err(format!("two runs differ: {one:?}, {two:?}"))
    }
}
