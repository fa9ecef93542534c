//! Channels and direct messages: the methods `conversations.*`.

use super::check::Params;
use super::methods::{Done, page};
use super::{BOT_USER, Failure, MEMBERS_MAX, Room, Sandbox, Stored};
use crate::model::Millis;
use crate::slack::config::{PLACE_NAME_MAX, is_place_char};
use serde_json::{Value, json};

impl Sandbox {
    /// The room of an id to which the app may post now; direct messages are opened.
    pub fn open_room(&mut self, id: &str, now: Millis) -> Result<String, Failure> {
        let id = if self.people.contains_key(id) {
            self.direct(id, now)
        } else {
            id.to_owned()
        };
        let room = self.rooms.get(&id).ok_or_else(|| Failure::new("channel_not_found"))?;
        if room.archived {
            return Err(Failure::new("is_archived"));
        }
        if !room.members.iter().any(|member| member == BOT_USER) {
            return Err(Failure::new("not_in_channel"));
        }
        let with = room.with.as_ref().and_then(|with| self.people.get(with));
        if with.is_some_and(|person| person.deactivated) {
            return Err(Failure::new("user_disabled"));
        }
        Ok(id)
    }

    fn room(&mut self, params: &Params) -> Result<(String, &mut Room), Failure> {
        let id = params.needed("channel")?;
        let room = self.rooms.get_mut(&id).ok_or_else(|| Failure::new("channel_not_found"))?;
        Ok((id, room))
    }

    /// Calls a method that is about rooms.
    pub fn place_method(&mut self, name: &str, params: &Params, now: Millis) -> Result<Done, Failure> {
        let plain = |answer: Value| Ok((answer, Vec::new()));
        match name {
            "conversations.open" => {
                let person = params.needed("users")?;
                if !self.people.contains_key(&person) {
                    return Err(Failure::new("user_not_found"));
                }
                let id = self.direct(&person, now);
                plain(json!({"channel": {"id": id}}))
            }
            "conversations.create" => self.create(params, now),
            "conversations.list" => self.list(params),
            "conversations.info" => {
                let (id, _) = self.room(params)?;
                let channel = self.shown_room(&id);
                plain(json!({"channel": channel}))
            }
            "conversations.members" => {
                let (_, room) = self.room(params)?;
                plain(json!({"members": room.members}))
            }
            "conversations.join" => {
                let (id, room) = self.room(params)?;
                if room.private {
                    return Err(Failure::new("method_not_supported_for_channel_type"));
                }
                if room.archived {
                    return Err(Failure::new("is_archived"));
                }
                if !room.members.iter().any(|member| member == BOT_USER) {
                    room.members.push(BOT_USER.to_owned());
                }
                let channel = self.shown_room(&id);
                plain(json!({"channel": channel}))
            }
            "conversations.invite" => self.invite(params),
            "conversations.archive" => {
                let (id, room) = self.room(params)?;
                if room.archived {
                    return Err(Failure::new("already_archived"));
                }
                room.archived = true;
                let event = json!({"type": "channel_archive", "channel": id, "user": BOT_USER});
                let hook = self.event(&event, now);
                Ok((json!({}), vec![hook]))
            }
            "conversations.unarchive" => {
                let (_, room) = self.room(params)?;
                if !room.archived {
                    return Err(Failure::new("not_archived"));
                }
                room.archived = false;
                plain(json!({}))
            }
            "conversations.history" => self.history(params, None),
            "conversations.replies" => {
                let thread = params.needed("ts")?;
                self.history(params, Some(&thread))
            }
            _ => Err(Failure::new("unknown_method")),
        }
    }

    fn create(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let name = params.needed("name")?;
        if name.len() > PLACE_NAME_MAX {
            return Err(Failure::new("invalid_name_maxlength"));
        }
        if !name.chars().all(is_place_char) {
            return Err(Failure::new("invalid_name_specials"));
        }
        if self.rooms.values().any(|room| room.name == name) {
            return Err(Failure::new("name_taken"));
        }
        if self.rooms.len() >= MEMBERS_MAX {
            return Err(Failure::new("restricted_action"));
        }
        let id = self.next_id("C", now);
        let room = Room {
            name,
            with: None,
            private: params.flag("is_private"),
            archived: false,
            members: vec![BOT_USER.to_owned()],
            created: now,
        };
        self.rooms.insert(id.clone(), room);
        Ok((json!({"channel": self.shown_room(&id)}), Vec::new()))
    }

    fn invite(&mut self, params: &Params) -> Result<Done, Failure> {
        let users = params.needed("users")?;
        let force = params.flag("force");
        let people: Vec<String> = users.split(',').map(|user| user.trim().to_owned()).collect();
        let unknown = people.iter().any(|id| !self.people.contains_key(id));
        if people.iter().any(|id| id == BOT_USER) {
            return Err(Failure::new("cant_invite_self"));
        }
        if unknown && !force {
            return Err(Failure::new("user_not_found"));
        }
        let known: Vec<String> = people.into_iter().filter(|id| self.people.contains_key(id)).collect();
        let (id, room) = self.room(params)?;
        let new: Vec<String> = known.into_iter().filter(|id| !room.members.contains(id)).collect();
        if new.is_empty() {
            return Err(Failure::new("already_in_channel"));
        }
        room.members.extend(new);
        Ok((json!({"channel": self.shown_room(&id)}), Vec::new()))
    }

    fn shown_room(&self, id: &str) -> Value {
        let Some(room) = self.rooms.get(id) else {
            return Value::Null;
        };
        let member = room.members.iter().any(|member| member == BOT_USER);
        let words = json!({"value": "", "creator": "", "last_set": 0});
        json!({
            "id": id, "name": room.name, "name_normalized": room.name,
            "is_channel": !room.private && room.with.is_none(), "is_group": room.private && room.with.is_none(),
            "is_im": room.with.is_some(), "is_mpim": false, "is_private": room.private,
            "created": room.created.0.div_euclid(1000), "creator": BOT_USER,
            "is_archived": room.archived, "is_general": false, "is_member": member,
            "is_shared": false, "is_org_shared": false, "unlinked": 0,
            "topic": words, "purpose": words, "previous_names": [], "num_members": room.members.len(),
        })
    }

    fn list(&self, params: &Params) -> Result<Done, Failure> {
        let types = params.text("types").unwrap_or_else(|| "public_channel".to_owned());
        let wanted: Vec<&str> = types.split(',').map(str::trim).collect();
        let known = ["public_channel", "private_channel", "mpim", "im"];
        if !wanted.iter().all(|kind| known.contains(kind)) {
            return Err(Failure::new("invalid_types"));
        }
        let live = params.flag("exclude_archived");
        let shown = |(id, room): (&String, &Room)| {
            let kind = match room {
                Room { with: Some(_), .. } => "im",
                Room { private: true, .. } => "private_channel",
                _ => "public_channel",
            };
            let out = !wanted.contains(&kind) || (live && room.archived);
            (!out).then(|| self.shown_room(id))
        };
        let all: Vec<Value> = self.rooms.iter().filter_map(shown).collect();
        let (channels, next) = page(all, params)?;
        let metadata = json!({"next_cursor": next});
        Ok((json!({"channels": channels, "response_metadata": metadata}), Vec::new()))
    }

    /// Messages of a room, the newest first; of a thread, the oldest first.
    fn history(&mut self, params: &Params, thread: Option<&str>) -> Result<Done, Failure> {
        let (id, _) = self.room(params)?;
        let oldest = params.text("oldest").unwrap_or_default();
        let metadata = params.flag("include_all_metadata");
        let limit = params.text("limit").and_then(|limit| limit.parse().ok()).unwrap_or(100usize);
        let fits = |m: &&Stored| match thread {
            Some(thread) => m.ts == thread || m.thread_ts.as_deref() == Some(thread),
            None => m.thread_ts.is_none(),
        };
        // All `ts` have the same number of digits: they are ordered as texts are.
        let here = self.messages.iter().filter(|m| m.room == id && m.ts > oldest);
        let shown = |m: &Stored| {
            let mut message = self.shown(m);
            if let (Some(fields), Some(told), true) =
                (message.as_object_mut(), &m.metadata, metadata)
            {
                fields.insert("metadata".into(), told.clone());
            }
            message
        };
        let mut messages: Vec<Value> = here.filter(fits).map(shown).collect();
        if thread.is_none() {
            messages.reverse();
        } else if messages.is_empty() {
            return Err(Failure::new("thread_not_found"));
        }
        let has_more = messages.len() > limit;
        messages.truncate(limit);
        Ok((json!({"messages": messages, "has_more": has_more}), Vec::new()))
    }
}
