//! The methods that the emulator knows: messages, reactions and members.

use super::check::{Params, check_blocks, check_metadata};
use super::{BOT, BOT_USER, Failure, Sandbox, Stored};
use crate::kit::emulator::Hook;
use crate::model::Millis;
use serde_json::{Value, json};

/// What a method did: its answer, and the events that follow.
pub type Done = (Value, Vec<Hook>);

/// From here on Slack shortens a text.
const TEXT_MAX: usize = 40_000;

/// What `chat.update` takes (`msg_too_long`).
const UPDATE_MAX: usize = 4000;

impl Sandbox {
    /// Calls a method of this name.
    pub fn method(&mut self, name: &str, params: &Params, now: Millis) -> Result<Done, Failure> {
        let plain = |answer: Value| Ok((answer, Vec::new()));
        match name {
            "auth.test" | "api.test" => plain(json!({
                "url": "https://sandbox.slack.com/", "team": "Sandbox", "user": "switchboard",
                "team_id": self.team, "user_id": BOT_USER, "bot_id": BOT,
                "is_enterprise_install": false,
            })),
            "chat.postMessage" => self.post(params, now),
            "chat.update" => self.update(params),
            "chat.delete" => self.delete(params),
            "reactions.add" => self.react(params, true),
            "reactions.remove" => self.react(params, false),
            "files.getUploadURLExternal" => self.upload_url(params, now),
            "files.completeUploadExternal" => self.complete(params, now),
            "files.info" => {
                let file = self.file(&params.needed("file")?);
                let file = file.ok_or_else(|| Failure::new("file_not_found"))?;
                plain(json!({"file": file}))
            }
            "users.list" => self.users(params),
            "users.info" => {
                let id = params.needed("user")?;
                let user = self.user(&id).ok_or_else(|| Failure::new("user_not_found"))?;
                plain(json!({"user": user}))
            }
            "users.lookupByEmail" => {
                let email = params.needed("email")?;
                let mut people = self.people.iter();
                let found = people.find(|(_, p)| p.email.as_deref() == Some(email.as_str()));
                let user = found.and_then(|(id, _)| self.user(id));
                plain(json!({"user": user.ok_or_else(|| Failure::new("users_not_found"))?}))
            }
            "users.getPresence" => {
                let id = params.needed("user")?;
                if !self.people.contains_key(&id) {
                    return Err(Failure::new("user_not_found"));
                }
                // Whoever has an odd last digit is at their desk.
                let odd = id.bytes().last().is_some_and(|b| b % 2 == 1);
                plain(json!({"presence": if odd { "active" } else { "away" }}))
            }
            _ => self.place_method(name, params, now),
        }
    }

    fn post(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let room = self.open_room(&params.needed("channel")?, now)?;
        let text: String = params.text("text").unwrap_or_default().chars().take(TEXT_MAX).collect();
        let blocks = params.json("blocks");
        if let Some(blocks) = &blocks {
            check_blocks(blocks)?;
        }
        if text.trim().is_empty() && blocks.is_none() {
            return Err(Failure::new("no_text"));
        }
        let metadata = params.json("metadata");
        if params.has("metadata") {
            check_metadata(metadata.as_ref().unwrap_or(&Value::Null))?;
        }
        let thread_ts = self.thread(&room, params)?;
        let stored = Stored {
            ts: self.next_ts(now),
            room,
            thread_ts,
            user: None,
            username: params.text("username"),
            text,
            blocks,
            metadata,
            files: Vec::new(),
            reactions: Vec::new(),
            at: now,
        };
        self.keep(stored.clone());
        let message = self.shown(&stored);
        let hook = self.message_event(&stored, now);
        Ok((json!({"channel": stored.room, "ts": stored.ts, "message": message}), vec![hook]))
    }

    /// The thread that a message goes into: that of the message named.
    pub fn thread(&self, room: &str, params: &Params) -> Result<Option<String>, Failure> {
        let Some(ts) = params.text("thread_ts").filter(|ts| !ts.is_empty()) else {
            return Ok(None);
        };
        let parent = self.messages.iter().find(|m| m.room == room && m.ts == ts);
        let parent = parent.ok_or_else(|| Failure::new("message_not_found"))?;
        Ok(Some(parent.thread_ts.clone().unwrap_or(ts)))
    }

    /// A message of the app's own.
    fn own(&mut self, params: &Params, error: &'static str) -> Result<&mut Stored, Failure> {
        let (room, ts) = (params.needed("channel")?, params.needed("ts")?);
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|m| m.room == room && m.ts == ts);
        let found = found.ok_or_else(|| Failure::new("message_not_found"))?;
        if found.user.is_some() {
            return Err(Failure::new(error));
        }
        Ok(found)
    }

    fn update(&mut self, params: &Params) -> Result<Done, Failure> {
        let text = params.needed("text")?;
        if text.chars().count() > UPDATE_MAX {
            return Err(Failure::new("msg_too_long"));
        }
        let message = self.own(params, "cant_update_message")?;
        message.text.clone_from(&text);
        let answer = json!({"channel": message.room, "ts": message.ts, "text": text});
        Ok((answer, Vec::new()))
    }

    fn delete(&mut self, params: &Params) -> Result<Done, Failure> {
        let message = self.own(params, "cant_delete_message")?;
        let (room, ts) = (message.room.clone(), message.ts.clone());
        self.messages.retain(|m| m.room != room || m.ts != ts);
        Ok((json!({"channel": room, "ts": ts}), Vec::new()))
    }

    fn react(&mut self, params: &Params, add: bool) -> Result<Done, Failure> {
        let (room, ts) = (params.needed("channel")?, params.needed("timestamp")?);
        let name = params.needed("name")?;
        let mut messages = self.messages.iter_mut();
        let found = messages.find(|m| m.room == room && m.ts == ts);
        let found = found.ok_or_else(|| Failure::new("message_not_found"))?;
        let ours = (name, BOT_USER.to_owned());
        let there = found.reactions.contains(&ours);
        match (add, there) {
            (true, true) => return Err(Failure::new("already_reacted")),
            (false, false) => return Err(Failure::new("no_reaction")),
            (true, false) => found.reactions.push(ours),
            (false, true) => found.reactions.retain(|reaction| *reaction != ours),
        }
        Ok((json!({}), Vec::new()))
    }

    /// A member as the Web API and events show them.
    pub fn user(&self, id: &str) -> Option<Value> {
        let person = self.people.get(id)?;
        let (first, last) = person.name.split_once(' ').unwrap_or((person.name.as_str(), ""));
        let picture = "https://avatars.slack-edge.com/sandbox_192.png";
        let mut profile = json!({
            "real_name": person.name, "display_name": "", "first_name": first, "last_name": last,
            "image_192": picture,
        });
        if let (Some(profile), Some(email)) = (profile.as_object_mut(), &person.email) {
            profile.insert("email".into(), json!(email));
        }
        Some(json!({
            "id": id, "team_id": self.team, "name": first.to_lowercase(), "deleted": person.deactivated,
            "real_name": person.name, "is_bot": false, "locale": "en-GB", "profile": profile,
        }))
    }

    fn users(&self, params: &Params) -> Result<Done, Failure> {
        let mut all: Vec<Value> = self.people.keys().filter_map(|id| self.user(id)).collect();
        let bot = |id: &str, name: &str| {
            json!({"id": id, "team_id": self.team, "name": name, "deleted": false, "is_bot": id != "USLACKBOT",
                "profile": {"real_name": name}})
        };
        all.push(bot("USLACKBOT", "slackbot"));
        all.push(bot(BOT_USER, "switchboard"));
        let (members, next) = page(all, params)?;
        let metadata = json!({"next_cursor": next});
        Ok((json!({"members": members, "response_metadata": metadata}), Vec::new()))
    }
}

/// The page of a list that the arguments ask for, and the cursor of the next.
pub fn page(all: Vec<Value>, params: &Params) -> Result<(Vec<Value>, String), Failure> {
    let limit = match params.text("limit").filter(|limit| !limit.is_empty()) {
        None => 100,
        Some(limit) => limit.parse::<usize>().map_err(|e| Failure::because("invalid_limit", e.to_string()))?,
    };
    if !(1..=999).contains(&limit) {
        return Err(Failure::new("invalid_limit"));
    }
    let from = match params.text("cursor").filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => {
            let number = cursor.strip_prefix("sandbox:").and_then(|n| n.parse::<usize>().ok());
            number.ok_or_else(|| Failure::new("invalid_cursor"))?
        }
    };
    let total = all.len();
    let rows: Vec<Value> = all.into_iter().skip(from).take(limit).collect();
    let end = from.saturating_add(rows.len());
    let next = if end < total { format!("sandbox:{end}") } else { String::new() };
    Ok((rows, next))
}
