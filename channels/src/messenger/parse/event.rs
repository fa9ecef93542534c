//! Everything that is no message: reactions, changes, statuses, news of people and of the account.

use super::message::brought_by;
use super::{Frame, Scope, time};
use crate::kit::json::read;
use crate::messenger::wire::{self, Raw, text_of};
use crate::model::{
    AccountNotice, DeliveryStatus, Edit, Event, EventBody, Reaction, StatusUpdate, UserChange,
};
use serde_json::Value;

/// Notices are a line in a log: longer ones are cut.
const DETAIL_MAX_CHARS: usize = 1000;

impl Scope<'_> {
    /// A person came by a link or an advertisement, into a conversation that exists.
    pub(super) fn referral(
        &self,
        frame: &Frame,
        raw: Raw<'_>,
        value: Raw<'_>,
    ) -> Option<Vec<Event>> {
        let referral: wire::Referral = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let referral = brought_by(&referral);
        let body = EventBody::User(UserChange::Subscribed { referral });
        Some(vec![self.event_of(
            self.digest("referral", raw),
            frame.at,
            person,
            body,
        )])
    }

    pub(super) fn reaction(
        &self,
        frame: &Frame,
        raw: Raw<'_>,
        value: Raw<'_>,
    ) -> Option<Vec<Event>> {
        let reaction: wire::Reaction = read(value).ok()?;
        // What the account itself puts on a message is no news of a person.
        let person = frame.person.as_ref().filter(|_| !frame.from_us)?;
        let added = match reaction.action.as_deref()? {
            "react" => true,
            "unreact" => false,
            _ => return None,
        };
        let by_name = || {
            reaction
                .reaction
                .as_deref()
                .map(|name| emoji_of(name).to_owned())
        };
        let body = EventBody::Reaction(Reaction {
            target: reaction.mid?,
            emoji: reaction.emoji.or_else(by_name).unwrap_or_default(),
            added,
        });
        Some(vec![self.event_of(
            self.digest("r", raw),
            frame.at,
            person,
            body,
        )])
    }

    /// A changed message. Number 0 is the message itself, not a change.
    pub(super) fn edit(&self, frame: &Frame, value: Raw<'_>) -> Option<Vec<Event>> {
        let edit: wire::MessageEdit = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let (target, text) = (edit.mid?, edit.text?);
        let number = edit.num_edit?;
        if number == "0" {
            return None;
        }
        let key = format!("e:{target}:{number}");
        let body = EventBody::Edit(Edit {
            target,
            text,
            attachments: None,
        });
        Some(vec![self.event_of(key, frame.at, person, body)])
    }

    /// Messages reached a person: the named ones, and everything up to a time.
    pub(super) fn delivery(&self, frame: &Frame, value: Raw<'_>) -> Option<Vec<Event>> {
        self.receipts(frame, value, DeliveryStatus::Delivered)
    }

    /// A person has read: Messenger names a time, Instagram a message.
    pub(super) fn read(&self, frame: &Frame, value: Raw<'_>) -> Option<Vec<Event>> {
        self.receipts(frame, value, DeliveryStatus::Read)
    }

    fn receipts(
        &self,
        frame: &Frame,
        value: Raw<'_>,
        status: DeliveryStatus,
    ) -> Option<Vec<Event>> {
        let receipts: wire::Receipts<'_> = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let name = status.name();
        let event = |key: String, platform_id: String, watermark| {
            let body = EventBody::Status(StatusUpdate {
                platform_id,
                status,
                error: None,
                our_reference: None,
                watermark,
            });
            self.event_of(key, frame.at, person, body)
        };
        let mids = receipts.mids.into_iter().filter_map(text_of);
        let mids = mids.chain(receipts.mid).filter(|mid| !mid.is_empty());
        let mut events: Vec<Event> = mids
            .map(|mid| event(format!("s:{mid}:{name}"), mid, None))
            .collect();
        let watermark = time(receipts.watermark.as_deref());
        events.extend(watermark.map(|at| {
            // One account has one watermark per person, kind and time.
            let account = self.entry.as_deref().unwrap_or_default();
            let key = format!("s:{account}:{person}:{name}:{}", at.0);
            event(key, String::new(), Some(at))
        }));
        (!events.is_empty()).then_some(events)
    }

    /// A person agreed to be written to, or no longer wants it.
    pub(super) fn opt_in(&self, frame: &Frame, raw: Raw<'_>, value: Raw<'_>) -> Option<Vec<Event>> {
        let opt_in: wire::OptIn = read(value).ok()?;
        // The checkbox plugin names a `user_ref` instead of a person: there is nobody to attach it to.
        let person = frame.person.as_ref()?;
        let change = match opt_in.notification_messages_status.as_deref() {
            Some("STOP_NOTIFICATIONS") => UserChange::Unsubscribed,
            Some("RESUME_NOTIFICATIONS") => UserChange::Subscribed { referral: None },
            Some(_) => return None,
            None => UserChange::OptedIn,
        };
        let key = self.digest("optin", raw);
        Some(vec![self.event_of(
            key,
            frame.at,
            person,
            EventBody::User(change),
        )])
    }

    /// A person linked their account at the business, or took that back. The code of the linking is for
    /// the login page alone and is not kept.
    pub(super) fn account_linking(
        &self,
        frame: &Frame,
        raw: Raw<'_>,
        value: Raw<'_>,
    ) -> Option<Vec<Event>> {
        let linking: wire::AccountLinking = read(value).ok()?;
        let person = frame.person.as_ref()?;
        let status = linking.status?;
        let body = EventBody::User(UserChange::Profile {
            previous_ids: Vec::new(),
        });
        let mut event = self.event_of(self.digest("linking", raw), frame.at, person, body);
        if let Some(sender) = &mut event.sender {
            let detail = (
                "messenger_account".into(),
                "Messenger account".into(),
                status,
            );
            sender.profile.details.push(detail);
        }
        Some(vec![event])
    }

    /// News for the operator: who owns a thread, what Meta holds against the page.
    pub(super) fn notice(&self, frame: &Frame, kind: &str, raw: Raw<'_>, value: Raw<'_>) -> Event {
        let mut facts: Vec<String> = Vec::new();
        facts.extend(
            frame
                .person
                .as_ref()
                .map(|person| format!("person: {person}")),
        );
        match serde_json::from_str(value.get()) {
            Ok(Value::Object(fields)) => facts.extend(fields.iter().map(|(name, value)| {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                format!("{name}: {value}")
            })),
            _ => facts.push(value.get().to_owned()),
        }
        let body = EventBody::Notice(AccountNotice {
            topic: kind.to_owned(),
            detail: facts.join(", ").chars().take(DETAIL_MAX_CHARS).collect(),
        });
        // Two kinds in one element are two notices.
        self.event(self.digest(kind, raw), frame.at, body)
    }
}

/// The emoji that Messenger shows for a named reaction; the name itself where it has none.
fn emoji_of(name: &str) -> &str {
    match name {
        "smile" => "😆",
        "angry" => "😠",
        "sad" => "😢",
        "wow" => "😮",
        "love" => "❤",
        "like" => "👍",
        "dislike" => "👎",
        other => other,
    }
}
