//! Webhooks into events. Pure and total: what is JSON or a form is acknowledged.
//!
//! A retry (`X-Slack-Retry-Num`) is read like a first copy, which may never have been stored: the
//! `event_id` in the key tells that it is the same. What the bot itself wrote is left out here.

pub mod emoji;
mod message;
pub mod text;

use super::config::Settings;
use super::wire::{
    Changed, Envelope, Interaction, Kind, Membership, Message, ReactionEvent, User, UserEvent,
};
use crate::error::Malformed;
use crate::kit::http::{Inbound, Reply};
use crate::kit::json::{read, shape};
use crate::kit::sign::sha256_hex;
use crate::model::{
    AccountNotice, Delete, Effect, Event, EventBody, Millis, Parsed, Profile, Reaction, Sender,
    Thread, UserChange,
};
use message::{place, target};
use serde_json::value::RawValue;

/// How much of a name that Slack gave is kept in `Unknown::what`: it becomes a label.
const NAME_MAX: usize = 64;

/// The longest challenge that is sent back; Slack's have 51 characters.
const CHALLENGE_MAX: usize = 500;

/// Understands a webhook.
///
/// # Errors
/// When the body is neither a form nor JSON.
pub fn parse(settings: &Settings, request: &Inbound) -> Result<Parsed, Malformed> {
    let is_form = request
        .headers
        .get("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if is_form {
        return Ok(form(settings, request));
    }
    let malformed = |detail: String| Malformed {
        expected: "JSON",
        detail,
    };
    let body = std::str::from_utf8(&request.body).map_err(|e| malformed(e.to_string()))?;
    let raw: &RawValue = serde_json::from_str(body).map_err(|e| malformed(shape(&e)))?;
    let Ok(envelope) = read::<Envelope<'_>>(raw) else {
        let hook = Hook::bare(settings, body, request);
        return Ok(Parsed::events(vec![hook.unknown("no envelope")]));
    };
    if envelope.kind.as_deref() == Some("url_verification") {
        let challenge = envelope.challenge.unwrap_or_default();
        let challenge: String = challenge.chars().take(CHALLENGE_MAX).collect();
        return Ok(Parsed {
            reply: Reply::text(200, challenge),
            ..Parsed::events(Vec::new())
        });
    }
    let hook = Hook::new(settings, body, request, &envelope);
    let (events, effects) = match (envelope.kind.as_deref(), envelope.event) {
        (Some("event_callback"), Some(event)) => hook.event(event),
        (Some("app_rate_limited"), _) => (vec![hook.rate_limited(&envelope)], Vec::new()),
        (kind, _) => (vec![hook.unknown(kind.unwrap_or("no type"))], Vec::new()),
    };
    Ok(Parsed {
        events,
        effects,
        reply: Reply::empty(200),
    })
}

/// Interactions and slash commands come as forms.
fn form(settings: &Settings, request: &Inbound) -> Parsed {
    let body = String::from_utf8_lossy(&request.body);
    let mut payload = None;
    let mut is_command = false;
    for (name, value) in form_urlencoded::parse(&request.body) {
        match name.as_ref() {
            "payload" if payload.is_none() => payload = Some(value.into_owned()),
            "command" => is_command = true,
            _ => {}
        }
    }
    let hook = Hook::bare(settings, &body, request);
    let what = if is_command { "slash command" } else { "a form without payload" };
    let Some(payload) = payload else {
        return Parsed::events(vec![hook.unknown(what)]);
    };
    let Ok(interaction) = serde_json::from_str::<Interaction>(&payload) else {
        return Parsed::events(vec![hook.unknown("an unreadable interaction")]);
    };
    match hook.pressed(&interaction) {
        Some((events, effects)) => Parsed {
            effects,
            ..Parsed::events(events)
        },
        None => Parsed::events(vec![hook.unknown(&interaction.kind)]),
    }
}

/// What an event became.
type Understood = (Vec<Event>, Vec<Effect>);

/// One webhook: whose it is, and what its events are named after.
struct Hook<'a> {
    settings: &'a Settings,
    raw: &'a str,
    key: String,
    at: Option<Millis>,
    received_at: Millis,
    /// The workspace whose installation sees it.
    team: Option<String>,
    app: Option<String>,
    /// Our own bot, as the envelope names it.
    bot: Option<String>,
}

impl<'a> Hook<'a> {
    /// A webhook without an envelope.
    fn bare(settings: &'a Settings, raw: &'a str, request: &Inbound) -> Self {
        let hash: String = sha256_hex(raw.as_bytes()).chars().take(32).collect();
        Self {
            settings,
            raw,
            key: format!("body:{hash}"),
            at: None,
            received_at: request.received_at,
            team: None,
            app: None,
            bot: None,
        }
    }

    fn new(
        settings: &'a Settings,
        raw: &'a str,
        request: &Inbound,
        envelope: &Envelope<'_>,
    ) -> Self {
        let bare = Self::bare(settings, raw, request);
        let first = envelope.authorizations.first();
        // With Slack Connect the envelope may name the other organisation.
        let team = first.and_then(|a| a.team_id.clone());
        let bot = first.filter(|a| a.is_bot == Some(true));
        let id = envelope.event_id.as_deref().filter(|id| !id.is_empty());
        Self {
            key: id.map_or(bare.key, |id| {
                id.chars().take(NAME_MAX).collect::<String>()
            }),
            at: envelope.event_time.map(Millis::from_seconds),
            team: team.or_else(|| envelope.team_id.clone()),
            app: envelope.api_app_id.clone(),
            bot: bot.and_then(|a| a.user_id.clone()),
            ..bare
        }
    }

    /// Understands the event of an envelope.
    fn event(&self, raw: &RawValue) -> Understood {
        let Ok(kind) = read::<Kind>(raw) else {
            return (vec![self.unknown("an event without type")], Vec::new());
        };
        match self.known(&kind, raw) {
            Some(understood) => understood,
            None => {
                let subtype = kind.subtype.map(|s| format!("/{s}")).unwrap_or_default();
                let what = format!("{}{subtype}", kind.kind);
                (vec![self.unknown(&what)], Vec::new())
            }
        }
    }

    /// `None`: the kind or the shape is not known.
    fn known(&self, kind: &Kind, raw: &RawValue) -> Option<Understood> {
        let nothing = || Some((Vec::new(), Vec::new()));
        let only = |event: Option<Event>| Some((event.into_iter().collect(), Vec::new()));
        match kind.kind.as_str() {
            "message" => match kind.subtype.as_deref() {
                None | Some("file_share" | "thread_broadcast" | "me_message" | "bot_message") => {
                    self.message(&read::<Message>(raw).ok()?)
                }
                Some("message_changed") => only(self.changed(&read(raw).ok()?)?),
                Some("message_deleted") => only(self.deleted(&read(raw).ok()?)?),
                // Slack talks to the channel itself; nobody said anything.
                Some(
                    "message_replied" | "channel_join" | "channel_leave" | "channel_topic"
                    | "channel_purpose" | "channel_name" | "channel_archive" | "channel_unarchive"
                    | "channel_posting_permissions" | "channel_convert_to_private" | "group_join"
                    | "group_leave" | "group_topic" | "group_purpose" | "group_name"
                    | "group_archive" | "group_unarchive" | "pinned_item" | "unpinned_item"
                    | "ekm_access_denied" | "reminder_add" | "bot_add" | "bot_remove"
                    | "assistant_app_thread" | "document_mention",
                ) => nothing(),
                Some(_) => None,
            },
            "reaction_added" | "reaction_removed" => {
                let added = kind.kind == "reaction_added";
                self.reaction(&read(raw).ok()?, added)
            }
            "member_joined_channel" | "member_left_channel" => {
                let joined = kind.kind == "member_joined_channel";
                only(Some(self.member(&read(raw).ok()?, joined)))
            }
            "user_change" | "team_join" => {
                let user = read::<UserEvent>(raw).ok()?.user;
                let body = EventBody::User(UserChange::Profile {
                    previous_ids: Vec::new(),
                });
                let person = user.is_bot != Some(true) && user.id != "USLACKBOT";
                let sender = Sender {
                    profile: profile(&user),
                    email: email(&user),
                    ..self.sender(&user.id, user.team_id.as_deref())
                };
                let event = Event {
                    sender: Some(sender),
                    ..self.made(body)
                };
                only(person.then_some(event))
            }
            "tokens_revoked" | "app_uninstalled" | "channel_archive" | "channel_unarchive"
            | "channel_rename" | "channel_deleted" | "channel_left" | "channel_id_changed"
            | "group_archive" | "group_unarchive" | "group_rename" | "group_deleted"
            | "group_left" => only(Some(self.notice(&kind.kind, raw.get()))),
            // The message carries the file, the greeting and the view are none.
            "file_shared" | "file_created" | "file_public" | "file_change" | "file_deleted"
            | "app_home_opened" | "channel_created" | "im_created" | "im_open" | "im_close"
            | "app_mention" => nothing(),
            _ => None,
        }
    }

    /// An event of this webhook without people.
    fn made(&self, body: EventBody) -> Event {
        Event {
            key: self.key.clone(),
            at: self.at.unwrap_or(self.received_at),
            // Only an account that was told its workspace can be told from others.
            account: self.settings.team_id.as_ref().and(self.team.clone()),
            sender: None,
            thread: None,
            body,
        }
    }

    fn unknown(&self, what: &str) -> Event {
        self.made(EventBody::Unknown {
            what: what.chars().take(NAME_MAX).collect(),
            raw: self.raw.to_owned(),
        })
    }

    fn notice(&self, topic: &str, detail: &str) -> Event {
        self.made(EventBody::Notice(AccountNotice {
            topic: topic.to_owned(),
            detail: detail.to_owned(),
        }))
    }

    fn rate_limited(&self, envelope: &Envelope<'_>) -> Event {
        let minute = envelope.minute_rate_limited.unwrap_or_default();
        let hash = self.key.clone();
        Event {
            // It has no id: one notice a minute and workspace.
            key: format!("app_rate_limited:{minute}:{hash}"),
            ..self.notice("app_rate_limited", self.raw)
        }
    }

    /// A member, under the id that is good in all workspaces and the one that is good in ours.
    fn sender(&self, user: &str, team: Option<&str>) -> Sender {
        let team = team.or(self.team.as_deref());
        let with_team = team.map(|team| format!("{team}:{user}"));
        Sender {
            ids: with_team.into_iter().chain([user.to_owned()]).collect(),
            ..Sender::default()
        }
    }

    /// Whether our own bot wrote this.
    fn is_own(&self, message: &Message) -> bool {
        let is = |given: &Option<String>, own: &Option<String>| given.is_some() && given == own;
        let settings = self.settings;
        is(&message.bot_id, &settings.bot_id)
            || is(&message.app_id, &settings.app_id)
            || is(&message.app_id, &self.app)
            || is(&message.user, &settings.bot_user_id)
            || is(&message.user, &self.bot)
    }

    /// Whether a bot wrote this that does not count as a person.
    fn is_bots(&self, message: &Message) -> bool {
        let bot = message.bot_id.as_ref();
        let allowed = bot.is_some_and(|bot| self.settings.allowed_bots.contains(bot));
        let by_bot = bot.is_some() || message.subtype.as_deref() == Some("bot_message");
        self.is_own(message) || (by_bot && !allowed)
    }

    /// A changed message. `Some(None)`: nothing that a person would see.
    fn changed(&self, changed: &Changed) -> Option<Option<Event>> {
        let message = changed.message.as_ref()?;
        let target = target(&changed.channel, message.ts.as_deref()?)?;
        if self.is_bots(message) {
            return Some(None);
        }
        if message.subtype.as_deref() == Some("tombstone") {
            // The first message of a thread that goes on without it.
            return Some(Some(self.made(EventBody::Delete(Delete { target }))));
        }
        let before = changed.previous_message.as_ref();
        let ids = |message: &Message| -> Vec<String> {
            message.files.iter().map(|file| file.id.clone()).collect()
        };
        let same_text = before.is_some_and(|before| before.text == message.text);
        let same_files = before.is_some_and(|before| ids(before) == ids(message));
        // A link that unfolds changes the message, and nothing in it.
        if same_text && same_files {
            return Some(None);
        }
        let (text, attachments) = message::content(message);
        let body = EventBody::Edit(crate::model::Edit {
            target,
            text,
            attachments: (!same_files && before.is_some()).then_some(attachments),
        });
        let sender = message.user.as_deref();
        Some(Some(Event {
            sender: sender.map(|user| self.sender(user, None)),
            ..self.made(body)
        }))
    }

    /// A deleted message. `Some(None)`: one of ours.
    fn deleted(&self, changed: &Changed) -> Option<Option<Event>> {
        let target = target(&changed.channel, changed.deleted_ts.as_deref()?)?;
        let before = changed.previous_message.as_ref();
        if before.is_some_and(|before| self.is_bots(before)) {
            return Some(None);
        }
        Some(Some(self.made(EventBody::Delete(Delete { target }))))
    }

    fn reaction(&self, event: &ReactionEvent, added: bool) -> Option<Understood> {
        let ours = [&self.settings.bot_user_id, &self.bot];
        let own = ours.iter().any(|own| own.as_deref() == Some(event.user.as_str()));
        if event.item.kind != "message" || own {
            return Some((Vec::new(), Vec::new()));
        }
        let target = target(event.item.channel.as_deref()?, event.item.ts.as_deref()?)?;
        let body = EventBody::Reaction(Reaction {
            target,
            emoji: emoji::shown(&event.reaction),
            added,
        });
        let event = Event {
            sender: Some(self.sender(&event.user, None)),
            ..self.made(body)
        };
        Some((vec![event], Vec::new()))
    }

    /// Somebody came or went. Our own bot's going is for the operator: nothing comes from there now.
    fn member(&self, event: &Membership, joined: bool) -> Event {
        let ours = [&self.settings.bot_user_id, &self.bot];
        let own = ours.iter().any(|own| own.as_deref() == Some(event.user.as_str()));
        if own {
            let what = if joined { "was added to" } else { "was removed from" };
            let detail = format!("the bot {what} {}", event.channel);
            return self.notice("membership", &detail);
        }
        let change = if joined {
            UserChange::Subscribed { referral: None }
        } else {
            UserChange::Unsubscribed
        };
        Event {
            sender: Some(self.sender(&event.user, event.team.as_deref())),
            thread: Some(Thread {
                key: Some(event.channel.clone()),
                address: event.channel.clone(),
                ..Thread::default()
            }),
            ..self.made(EventBody::User(change))
        }
    }
}

/// What a member's record says of the person.
pub fn profile(user: &User) -> Profile {
    let own = user.profile.as_ref();
    let filled = |text: Option<&String>| text.filter(|t| !t.trim().is_empty()).cloned();
    let first = filled(own.and_then(|p| p.first_name.as_ref()));
    let last = filled(own.and_then(|p| p.last_name.as_ref()));
    let whole = || {
        let names = [
            own.and_then(|p| p.display_name.as_ref()),
            own.and_then(|p| p.real_name.as_ref()),
            user.real_name.as_ref(),
            user.name.as_ref(),
        ];
        names.into_iter().find_map(filled)
    };
    let (first_name, last_name) = match (first, last) {
        (None, None) => message::two_names(whole()),
        (first, last) => (first, last),
    };
    let pictures = [own.and_then(|p| p.image_192.as_ref()), own.and_then(|p| p.image_72.as_ref())];
    Profile {
        first_name,
        last_name,
        image_url: pictures.into_iter().find_map(filled),
        language: filled(user.locale.as_ref()),
        details: Vec::new(),
    }
}

/// The address of a member, where the app may see it.
pub fn email(user: &User) -> Option<String> {
    let email = user.profile.as_ref()?.email.clone()?;
    Some(email).filter(|email| email.contains('@'))
}

/// The id of the place that a hook is about, if it is one.
fn checked_place(id: Option<&str>) -> Option<&str> {
    id.filter(|id| place(id))
}
