//! The emulator: a workspace with one app, its members and its channels.
//!
//! Strict as Slack is, with Slack's own words and HTTP 200 for refusals: token, required arguments,
//! membership, archived channels, threads that are not there, blocks, metadata, lengths of uploads.
//! Like Slack it takes JSON, forms and queries, ignores arguments that it does not know, tells the app
//! of its own messages too, and shows a sign-in page for a file that is asked for without the token.
//! Unlike Slack it does not count calls. A member who is deactivated stands for one who blocks.

mod check;
mod customer;
mod files;
mod methods;
mod places;
#[cfg(test)]
mod tests;

use super::config::{API_BASE, Settings};
use super::parse::text::plain;
use super::verify::{SIGNATURE_HEADER, TIMESTAMP_HEADER, sign};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, bearer,
};
use crate::kit::http::{Request, Response};
use crate::kit::settings::Common;
use crate::model::Millis;
use check::Params;
use files::StoredFile;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The member who writes to the bot from the start, and the direct messages with it.
const CUSTOMER: &str = "U0CUSTOMER";

/// Our own people.
const AGENTS: [(&str, &str, &str); 2] = [
    ("U0AGENT001", "Alex Smith", "alex@example.net"),
    ("U0AGENT002", "Johnny Doe", "johnny@example.net"),
];

/// The app itself.
const BOT_USER: &str = "U0SANDBOXB";
const BOT: &str = "B0SANDBOX1";
const APP: &str = "A0SANDBOX1";

/// Members and channels that are kept: the sandbox must not grow without end.
const MEMBERS_MAX: usize = 1000;

/// What a method says when it refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    error: &'static str,
    remark: String,
}

impl Failure {
    fn new(error: &'static str) -> Self {
        Self {
            error,
            remark: String::new(),
        }
    }

    /// With what Slack adds for whoever debugs.
    fn because(error: &'static str, remark: impl Into<String>) -> Self {
        Self {
            error,
            remark: remark.into(),
        }
    }

    fn response(&self) -> Response {
        let mut body = json!({"ok": false, "error": self.error});
        if let (Some(body), false) = (body.as_object_mut(), self.remark.is_empty()) {
            let messages = json!({"messages": [format!("[ERROR] {}", self.remark)]});
            body.insert("response_metadata".into(), messages);
        }
        Response::json(200, body.to_string())
    }
}

/// A member of the workspace.
#[derive(Debug, Clone)]
struct Person {
    name: String,
    email: Option<String>,
    deactivated: bool,
}

/// A channel, or direct messages.
#[derive(Debug, Clone)]
struct Room {
    name: String,
    /// With whom, for direct messages.
    with: Option<String>,
    private: bool,
    archived: bool,
    members: Vec<String>,
    created: Millis,
}

/// A message in a room.
#[derive(Debug, Clone)]
struct Stored {
    room: String,
    ts: String,
    thread_ts: Option<String>,
    /// The member who wrote it; `None`: the app.
    user: Option<String>,
    username: Option<String>,
    /// Escaped, as Slack keeps it.
    text: String,
    blocks: Option<Value>,
    metadata: Option<Value>,
    files: Vec<String>,
    /// Name of the emoji, and who.
    reactions: Vec<(String, String)>,
    at: Millis,
}

/// One workspace.
#[derive(Debug)]
pub struct Sandbox {
    base: String,
    settings: Settings,
    team: String,
    hook_url: String,
    people: BTreeMap<String, Person>,
    rooms: BTreeMap<String, Room>,
    messages: VecDeque<Stored>,
    files: VecDeque<StoredFile>,
    /// The last number that was given, in microseconds since 1970; 0: none yet.
    last: i64,
}

impl Sandbox {
    /// A fresh workspace in which this app is installed, its events subscribed.
    pub fn new(common: &Common, settings: &Settings) -> Self {
        let team = settings.team_id.clone();
        let mut sandbox = Self {
            base: common.api_base(API_BASE),
            settings: settings.clone(),
            team: team.unwrap_or_else(|| "T0SANDBOX1".to_owned()),
            hook_url: common.webhook_url.clone(),
            people: BTreeMap::new(),
            rooms: BTreeMap::new(),
            messages: VecDeque::new(),
            files: VecDeque::new(),
            last: 0,
        };
        sandbox.reset();
        sandbox
    }

    /// A number that was not given before: the time, and a count where that stands still, as Slack
    /// makes them, so that an emulator that was started again repeats no id.
    fn next(&mut self, now: Millis) -> i64 {
        let from_time = now.0.max(0).saturating_mul(1000);
        self.last = from_time.max(self.last.saturating_add(1));
        self.last
    }

    /// The `ts` of a new message.
    fn next_ts(&mut self, now: Millis) -> String {
        let number = self.next(now);
        format!("{}.{:06}", number.div_euclid(1_000_000), number.rem_euclid(1_000_000))
    }

    /// Another id with this letter before it.
    fn next_id(&mut self, letter: &str, now: Millis) -> String {
        let number = self.next(now);
        format!("{letter}0{number:X}")
    }

    /// Keeps a message.
    fn keep(&mut self, stored: Stored) {
        self.messages.push_back(stored);
        while self.messages.len() > PHONE_LINES_MAX {
            self.messages.pop_front();
        }
    }

    /// The direct messages with a person, opened when they are not.
    fn direct(&mut self, person: &str, now: Millis) -> String {
        let open = self.rooms.iter().find(|(_, room)| room.with.as_deref() == Some(person));
        if let Some((id, _)) = open {
            return id.clone();
        }
        let id = format!("D0{}", person.trim_start_matches(['U', 'W']));
        let room = Room {
            name: String::new(),
            with: Some(person.to_owned()),
            private: true,
            archived: false,
            members: vec![person.to_owned(), BOT_USER.to_owned()],
            created: now,
        };
        self.rooms.insert(id.clone(), room);
        id
    }

    /// A message as the Web API and events show it.
    fn shown(&self, stored: &Stored) -> Value {
        let mut message = json!({"type": "message", "text": stored.text, "ts": stored.ts, "team": self.team});
        let Some(fields) = message.as_object_mut() else {
            return message;
        };
        let mut set = |name: &str, value: Value| {
            fields.insert(name.to_owned(), value);
        };
        match &stored.user {
            Some(user) => set("user", json!(user)),
            None => {
                set("user", json!(BOT_USER));
                set("bot_id", json!(BOT));
                set("app_id", json!(APP));
            }
        }
        if let Some(name) = &stored.username {
            set("username", json!(name));
        }
        if let Some(thread) = &stored.thread_ts {
            set("thread_ts", json!(thread));
        }
        if let Some(blocks) = &stored.blocks {
            set("blocks", blocks.clone());
        }
        if !stored.files.is_empty() {
            let files: Vec<Value> = stored.files.iter().filter_map(|id| self.file(id)).collect();
            set("files", json!(files));
        }
        message
    }

    /// The event of a message, by a member or by the app itself.
    fn message_event(&mut self, stored: &Stored, now: Millis) -> Hook {
        let mut event = self.shown(stored);
        if let Some(fields) = event.as_object_mut() {
            fields.insert("channel".into(), json!(stored.room));
            fields.insert("channel_type".into(), json!(self.room_type(&stored.room)));
            fields.insert("event_ts".into(), json!(stored.ts));
            if !stored.files.is_empty() {
                fields.insert("subtype".into(), json!("file_share"));
            }
        }
        self.event(&event, now)
    }

    fn room_type(&self, id: &str) -> &'static str {
        match self.rooms.get(id) {
            Some(room) if room.with.is_some() => "im",
            Some(room) if room.private => "group",
            _ => "channel",
        }
    }

    /// An event on its way to the gateway.
    fn event(&mut self, event: &Value, now: Millis) -> Hook {
        let id = self.next_id("Ev", now);
        let authorization = json!({
            "enterprise_id": null, "team_id": self.team, "user_id": BOT_USER, "is_bot": true,
            "is_enterprise_install": false,
        });
        let envelope = json!({
            "token": "deprecated", "team_id": self.team, "api_app_id": APP, "event": event,
            "type": "event_callback", "event_id": id, "event_time": now.0.div_euclid(1000),
            "authorizations": [authorization], "is_ext_shared_channel": false,
            "event_context": "sandbox",
        });
        let body = envelope.to_string();
        let request = Request::post_json(&self.hook_url, body.clone());
        self.signed(request, body.as_bytes(), now)
    }

    /// An interaction on its way: a form with one field.
    fn interaction(&self, payload: &Value, now: Millis) -> Hook {
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("payload", &payload.to_string())
            .finish();
        let mut request = Request::post_json(&self.hook_url, String::new())
            .with_header("content-type", "application/x-www-form-urlencoded");
        request.body = crate::kit::http::Body::Raw(body.clone().into());
        self.signed(request, body.as_bytes(), now)
    }

    fn signed(&self, request: Request, body: &[u8], now: Millis) -> Hook {
        let timestamp = now.0.div_euclid(1000).to_string();
        let secret = self.settings.signing_secret.first();
        let secret = secret.map(|secret| secret.expose()).unwrap_or_default();
        let signature = sign(secret, &timestamp, body);
        let request = request
            .with_header(TIMESTAMP_HEADER, timestamp)
            .with_header(SIGNATURE_HEADER, signature);
        Hook::now(request)
    }

    /// What follows the API's root in this request's URL, without the query.
    fn path(&self, request: &Request) -> String {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| url.path().to_owned()).unwrap_or_default()
        });
        rest.split(['?', '#']).next().unwrap_or_default().to_owned()
    }

    /// A message as it stands on the phone. Messages of channels stand on the phone of the channel.
    fn line(&self, stored: &Stored) -> PhoneLine {
        let room = self.rooms.get(&stored.room);
        let customer = room.and_then(|room| room.with.clone());
        let by = |user: &String| self.people.get(user).map(|person| person.name.clone());
        let writer = match &stored.user {
            Some(user) => by(user),
            None => stored.username.clone(),
        };
        let mut extras: Vec<String> = Vec::new();
        for id in &stored.files {
            extras.extend(self.files.iter().find(|file| file.id == *id).map(|f| f.name.clone()));
        }
        if let Some(thread) = &stored.thread_ts {
            extras.push(format!("in thread {}:{thread}", stored.room));
        }
        let buttons = check::buttons(stored.blocks.as_ref());
        let shown = |(name, _): &(String, String)| super::parse::emoji::shown(name);
        PhoneLine {
            customer: customer.unwrap_or_else(|| stored.room.clone()),
            name: writer.or_else(|| room.map(|room| room.name.clone())).unwrap_or_default(),
            id: format!("{}:{}", stored.room, stored.ts),
            from_gateway: stored.user.is_none(),
            text: plain(&stored.text),
            extras,
            buttons: buttons.into_iter().map(|button| button.title).collect(),
            reactions: stored.reactions.iter().map(shown).collect(),
            at: stored.at,
        }
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        let path = self.path(request);
        let path = path.trim_start_matches('/');
        if let Some(rest) = path.strip_prefix("upload/v1/") {
            return self.take_upload(rest, request).into();
        }
        let token = self.settings.bot_token.expose();
        if let Some(rest) = path.strip_prefix("files-pri/") {
            return self.download(rest, bearer(request) == Some(token)).into();
        }
        let params = Params::of(request);
        let given = bearer(request).map(str::to_owned).or_else(|| params.text("token"));
        let outcome = match given {
            None => Err(Failure::new("not_authed")),
            Some(given) if given != token => Err(Failure::new("invalid_auth")),
            Some(_) => self.method(path, &params, now),
        };
        match outcome {
            Ok((mut answer, hooks)) => {
                if let Some(fields) = answer.as_object_mut() {
                    fields.insert("ok".into(), json!(true));
                }
                Exchange {
                    response: Response::json(200, answer.to_string()),
                    hooks,
                }
            }
            Err(failure) => failure.response().into(),
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.customer_acts(action, now)
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.messages.iter().map(|stored| self.line(stored)).collect()
    }

    fn reset(&mut self) {
        self.messages.clear();
        self.files.clear();
        self.people.clear();
        self.rooms.clear();
        let person = |name: &str, email: Option<&str>| Person {
            name: name.to_owned(),
            email: email.map(str::to_owned),
            deactivated: false,
        };
        let customer = person("Dana Fields", None);
        self.people.insert(CUSTOMER.to_owned(), customer);
        for (id, name, email) in AGENTS {
            self.people.insert(id.to_owned(), person(name, Some(email)));
        }
        let place = self.settings.default_channel.clone();
        let place = place.unwrap_or_else(|| "C0SANDBOX1".to_owned());
        let everybody: Vec<String> = self.people.keys().cloned().collect();
        let room = |name: &str, members: Vec<String>| Room {
            name: name.to_owned(),
            with: None,
            private: false,
            archived: false,
            members,
            created: Millis(0),
        };
        let with_bot = everybody.iter().cloned().chain([BOT_USER.to_owned()]).collect();
        self.rooms.insert(place, room("support", with_bot));
        // The bot is not in here until it joins.
        self.rooms.insert("C0RANDOM01".to_owned(), room("random", everybody));
    }
}
