//! What the emulated members do, and the events that follow from it.
//!
//! A member writes to the bot; with `reply_to` in the thread of that message, in whichever room it is:
//! so an agent answers a mirrored conversation.

use super::check::buttons;
use super::{APP, CUSTOMER, MEMBERS_MAX, Person, Sandbox, Stored};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::model::Millis;
use crate::slack::config::is_id;
use crate::slack::parse::emoji;
use crate::slack::parse::text::escaped;
use crate::slack::wire::parse_message;
use serde_json::{Value, json};

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

impl Sandbox {
    /// Lets a member do something.
    pub fn customer_acts(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say {
                from,
                name,
                text,
                attachment,
                location,
                reply_to,
            } => {
                if location.is_some() {
                    return cannot("Slack has no places");
                }
                let member = self.member(from.as_deref(), name.as_deref())?;
                self.says(&member, text, attachment.as_ref(), reply_to.as_deref(), now)
            }
            Action::Press { from, button } => self.presses(from.as_deref(), button, now),
            Action::Read { .. } => cannot("Slack tells nobody what was read"),
            Action::React {
                from,
                message,
                emoji,
            } => self.reacts(from.as_deref(), message.as_deref(), emoji, now),
            Action::Edit {
                from,
                message,
                text,
            } => self.edits(from.as_deref(), message.as_deref(), text, now),
            Action::Block { from } => self.deactivate(from.as_deref(), true, now),
            Action::Unblock { from } => self.deactivate(from.as_deref(), false, now),
        }
    }

    /// The id of a member: known, or new.
    fn member(&mut self, from: Option<&str>, name: Option<&str>) -> Result<String, CannotAct> {
        let id = from.map_or(CUSTOMER, str::trim);
        if !is_id(id, "UW") || id == super::BOT_USER {
            return cannot("a member of Slack is an id: U and capitals or digits");
        }
        if self.people.len() >= MEMBERS_MAX && !self.people.contains_key(id) {
            return cannot("too many members: start over");
        }
        let person = self.people.entry(id.to_owned()).or_insert_with(|| Person {
            name: format!("Member {id}"),
            email: None,
            deactivated: false,
        });
        if person.deactivated {
            return cannot("this member is deactivated: unblock first");
        }
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            name.clone_into(&mut person.name);
        }
        Ok(id.to_owned())
    }

    fn says(
        &mut self,
        member: &str,
        text: &str,
        attachment: Option<&ActionAttachment>,
        reply_to: Option<&str>,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        if text.trim().is_empty() && attachment.is_none() {
            return cannot("there is nothing to say");
        }
        let (room, thread_ts) = match reply_to {
            None => (self.direct(member, now), None),
            Some(id) => {
                let parent = self.found(id)?;
                let thread = parent.thread_ts.clone().unwrap_or_else(|| parent.ts.clone());
                (parent.room.clone(), Some(thread))
            }
        };
        let files = attachment.map(|file| {
            let bytes = file.content.clone().into();
            self.posted_file(&file.name, &file.mime, bytes, now)
        });
        let stored = Stored {
            ts: self.next_ts(now),
            room,
            thread_ts,
            user: Some(member.to_owned()),
            username: None,
            text: escaped(text),
            blocks: None,
            metadata: None,
            files: files.into_iter().collect(),
            reactions: Vec::new(),
            at: now,
        };
        self.keep(stored.clone());
        Ok(vec![self.message_event(&stored, now)])
    }

    /// The message of an id.
    fn found(&mut self, id: &str) -> Result<&mut Stored, CannotAct> {
        let (room, ts) = parse_message(id).unwrap_or_default();
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|m| m.room == room && m.ts == ts);
        found.ok_or_else(|| CannotAct(format!("no message {id}")))
    }

    fn presses(&mut self, from: Option<&str>, wanted: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let member = self.member(from, None)?;
        let found = self.messages.iter().rev().find_map(|stored| {
            let ours = stored.user.is_none();
            let mut buttons = buttons(stored.blocks.as_ref()).into_iter().filter(|_| ours);
            let is = |b: &super::check::Button| b.value.as_deref() == Some(wanted) || b.title == wanted;
            Some((stored.clone(), buttons.find(is)?))
        });
        let Some((stored, button)) = found else {
            return cannot(format!("no button {wanted}"));
        };
        let mut action = json!({
            "type": "button", "action_id": button.action_id, "block_id": "b1",
            "text": {"type": "plain_text", "text": button.title}, "action_ts": self.next_ts(now),
        });
        if let (Some(action), Some(value)) = (action.as_object_mut(), &button.value) {
            action.insert("value".into(), json!(value));
        }
        let mut container = json!({
            "type": "message", "message_ts": stored.ts, "channel_id": stored.room,
        });
        if let (Some(container), Some(thread)) = (container.as_object_mut(), &stored.thread_ts) {
            container.insert("thread_ts".into(), json!(thread));
        }
        let name = self.people.get(&member).map(|person| person.name.clone());
        let payload = json!({
            "type": "block_actions", "api_app_id": APP,
            "team": {"id": self.team, "domain": "sandbox"},
            "user": {"id": member, "team_id": self.team, "name": name},
            "container": container, "channel": {"id": stored.room, "name": "sandbox"},
            "trigger_id": "1.2.sandbox", "response_url": "https://hooks.slack.com/actions/sandbox",
            "actions": [action],
        });
        Ok(vec![self.interaction(&payload, now)])
    }

    /// Puts a reaction on, or takes all of this member's off.
    fn reacts(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        emoji: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let member = self.member(from, None)?;
        let name = emoji::name(emoji).filter(|_| !emoji.is_empty());
        if name.is_none() && !emoji.is_empty() {
            return cannot("the sandbox does not know the name of this emoji");
        }
        let stored = match message {
            Some(id) => self.found(id)?,
            None => {
                let last = self.messages.iter_mut().rev().find(|m| m.user.is_none());
                last.ok_or_else(|| CannotAct("there is no message to react to".into()))?
            }
        };
        let (room, ts) = (stored.room.clone(), stored.ts.clone());
        let mut changes: Vec<(&str, String)> = Vec::new();
        match name {
            Some(name) => {
                let reaction = (name.clone(), member.clone());
                if stored.reactions.contains(&reaction) {
                    return cannot("that changes nothing");
                }
                stored.reactions.push(reaction);
                changes.push(("reaction_added", name));
            }
            None => {
                let own = |(_, who): &&(String, String)| *who == member;
                let gone: Vec<String> = stored.reactions.iter().filter(own).map(|(n, _)| n.clone()).collect();
                stored.reactions.retain(|(_, who)| *who != member);
                if gone.is_empty() {
                    return cannot("that changes nothing");
                }
                changes.extend(gone.into_iter().map(|name| ("reaction_removed", name)));
            }
        }
        let event = |(kind, name): (&str, String)| {
            let item = json!({"type": "message", "channel": room, "ts": ts});
            let event = json!({
                "type": kind, "user": member, "reaction": name, "item": item,
                "item_user": super::BOT_USER, "event_ts": self.next_ts(now),
            });
            self.event(&event, now)
        };
        Ok(changes.into_iter().map(event).collect())
    }

    fn edits(
        &mut self,
        from: Option<&str>,
        message: Option<&str>,
        text: &str,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let member = self.member(from, None)?;
        let stored = match message {
            Some(id) => self.found(id)?,
            None => {
                let mut messages = self.messages.iter_mut().rev();
                let last = messages.find(|m| m.user.as_deref() == Some(member.as_str()));
                last.ok_or_else(|| CannotAct("this member has not written anything".into()))?
            }
        };
        if stored.user.as_deref() != Some(member.as_str()) {
            return cannot("a member's own messages can be changed by that member alone");
        }
        if text.trim().is_empty() {
            // What Slack's own app does with a message that is emptied.
            let gone = stored.clone();
            self.messages.retain(|m| m.room != gone.room || m.ts != gone.ts);
            let before = self.shown(&gone);
            let event = json!({
                "type": "message", "subtype": "message_deleted", "channel": gone.room, "hidden": true,
                "ts": self.next_ts(now), "deleted_ts": gone.ts, "previous_message": before,
            });
            return Ok(vec![self.event(&event, now)]);
        }
        let before = stored.clone();
        stored.text = escaped(text);
        let after = stored.clone();
        let (previous, mut message) = (self.shown(&before), self.shown(&after));
        let ts = self.next_ts(now);
        if let Some(message) = message.as_object_mut() {
            message.insert("edited".into(), json!({"user": member, "ts": ts}));
        }
        let event: Value = json!({
            "type": "message", "subtype": "message_changed", "channel": after.room, "hidden": true,
            "ts": ts, "message": message, "previous_message": previous,
        });
        Ok(vec![self.event(&event, now)])
    }

    /// Slack has no blocking: who leaves the workspace cannot be written to.
    fn deactivate(&mut self, from: Option<&str>, gone: bool, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let id = from.map_or(CUSTOMER, str::trim).to_owned();
        let Some(person) = self.people.get_mut(&id) else {
            return cannot("no such member");
        };
        if person.deactivated == gone {
            return cannot("that changes nothing");
        }
        person.deactivated = gone;
        let event = json!({"type": "user_change", "user": self.user(&id)});
        Ok(vec![self.event(&event, now)])
    }
}
