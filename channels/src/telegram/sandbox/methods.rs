//! The methods of the Bot API that the emulator knows.

use super::content::{self, insert};
use super::params::Params;
use super::{Failure, Sandbox, Stored};
use crate::kit::emulator::Hook;
use crate::model::Millis;
use serde_json::{Value, json};

/// What a method did.
pub struct Done {
    pub result: Value,
    pub description: Option<&'static str>,
    pub hooks: Vec<Hook>,
}

impl From<Value> for Done {
    fn from(result: Value) -> Self {
        Self {
            result,
            description: None,
            hooks: Vec::new(),
        }
    }
}

/// Bot API, `sendChatAction`.
const CHAT_ACTIONS: &[&str] = &[
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "record_audio",
    "upload_audio",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
];

/// The emoji that Telegram takes as reactions (Bot API, `ReactionTypeEmoji`).
pub const REACTIONS: &[&str] = &[
    "👍", "👎", "❤", "🔥", "🥰", "👏", "😁", "🤔", "🤯", "😱", "🤬", "😢", "🎉", "🤩", "🤮", "💩",
    "🙏", "👌", "🕊", "🤡", "🥱", "🥴", "😍", "🐳", "❤️‍🔥", "🌚", "🌭", "💯", "🤣", "⚡", "🍌", "🏆",
    "💔", "🤨", "😐", "🍓", "🍾", "💋", "🖕", "😈", "😴", "😭", "🤓", "👻", "👨‍💻", "👀", "🎃", "🙈",
    "😇", "😨", "🤝", "✍", "🤗", "🫡", "🎅", "🎄", "☃", "💅", "🤪", "🗿", "🆒", "💘", "🙉", "🦄",
    "😘", "💊", "🙊", "😎", "👾", "🤷‍♂️", "🤷", "🤷‍♀️", "😡",
];

impl Sandbox {
    /// Does what is asked.
    pub fn method(&mut self, name: &str, params: &Params, now: Millis) -> Result<Done, Failure> {
        match name {
            "getme" => Ok(self.me().into()),
            "getwebhookinfo" => Ok(self.webhook_info().into()),
            "setwebhook" => self.set_webhook(params),
            "deletewebhook" => self.delete_webhook(params),
            "getupdates" => self.get_updates(params),
            "sendmessage" => self.send(params, now, |_, params| content::text(params)),
            "sendlocation" => self.send(params, now, |_, params| content::location(params)),
            "sendvenue" => self.send(params, now, |_, params| content::venue(params)),
            "sendcontact" => self.send(params, now, |_, params| content::contact(params)),
            "sendphoto" => self.send_file("photo", params, now),
            "sendvideo" => self.send_file("video", params, now),
            "sendanimation" => self.send_file("animation", params, now),
            "sendaudio" => self.send_file("audio", params, now),
            "sendvoice" => self.send_file("voice", params, now),
            "sendvideonote" => self.send_file("video_note", params, now),
            "sendsticker" => self.send_file("sticker", params, now),
            "senddocument" => self.send_file("document", params, now),
            "sendmediagroup" => self.send_album(params, now),
            "sendchataction" => self.chat_action(params),
            "answercallbackquery" => self.answer_callback(params),
            "getfile" => self.get_file(params),
            "getuserprofilephotos" => self.profile_photos(params),
            "editmessagetext" => self.edit_text(params, now),
            "deletemessage" => self.delete_message(params),
            "setmessagereaction" => self.set_reaction(params),
            _ => Err(Failure::new(404, "Not Found: method not found")),
        }
    }

    fn me(&self) -> Value {
        let mut me = self.bot_user();
        for (name, value) in [
            ("can_join_groups", true),
            ("can_read_all_group_messages", false),
            ("supports_inline_queries", false),
            ("can_connect_to_business", false),
            ("has_main_web_app", false),
        ] {
            insert(&mut me, name, json!(value));
        }
        me
    }

    /// The private chat that a call is about: somebody who is known and has not blocked the bot.
    fn chat(&self, params: &Params) -> Result<i64, Failure> {
        let Some(given) = params.str("chat_id") else {
            return Err(Failure::bad("chat_id is empty"));
        };
        let id = params.int("chat_id").filter(|_| !given.starts_with('@'));
        let customer = id.and_then(|id| Some((id, self.customers.get(&id)?)));
        match customer {
            None => Err(Failure::bad("chat not found")),
            Some((_, customer)) if customer.blocked => Err(Failure::new(
                403,
                "Forbidden: bot was blocked by the user",
            )),
            Some((id, _)) => Ok(id),
        }
    }

    /// A message of this chat.
    fn find(&mut self, chat: i64, id: Option<i64>) -> Option<&mut Stored> {
        self.messages
            .iter_mut()
            .find(|stored| stored.chat == chat && Some(stored.id) == id)
    }

    /// The message that a send answers: `None`, or the message as it is shown inside the answer.
    fn replied(&mut self, chat: i64, params: &Params) -> Result<Option<Value>, Failure> {
        let parameters = params.nested("reply_parameters")?;
        let (id, lenient) = match &parameters {
            Some(given) => (
                given.get("message_id").and_then(Value::as_i64),
                given.get("allow_sending_without_reply") == Some(&json!(true)),
            ),
            None => (
                params.int("reply_to_message_id"),
                params.flag("allow_sending_without_reply"),
            ),
        };
        if parameters.is_none() && id.is_none() {
            return Ok(None);
        }
        match self.find(chat, id) {
            Some(stored) => Ok(Some(stored.message.clone())),
            None if lenient => Ok(None),
            None => Err(Failure::bad("message to be replied not found")),
        }
    }

    /// Sends one message whose content is made by `make`.
    fn send(
        &mut self,
        params: &Params,
        now: Millis,
        make: impl FnOnce(&mut Self, &Params) -> Result<Value, Failure>,
    ) -> Result<Done, Failure> {
        let chat = self.chat(params)?;
        self.check_topic(params)?;
        let replied = self.replied(chat, params)?;
        let markup = content::markup(params)?;
        let mut content = make(self, params)?;
        if let Some(markup) = markup {
            insert(&mut content, "reply_markup", markup);
        }
        let mut message = self.keep(chat, true, content, now);
        show_reply(&mut message, replied);
        // A reply keyboard belongs to the chat, not to the message, and is not shown with it.
        if message.pointer("/reply_markup/inline_keyboard").is_none()
            && let Some(message) = message.as_object_mut() {
                message.remove("reply_markup");
            }
        Ok(message.into())
    }

    fn check_topic(&self, params: &Params) -> Result<(), Failure> {
        if params.int("message_thread_id").is_some_and(|id| id != 0) {
            return Err(Failure::bad("message thread not found"));
        }
        if params.str("business_connection_id").is_some() {
            return Err(Failure::bad("business connection not found"));
        }
        Ok(())
    }

    fn send_file(&mut self, kind: &str, params: &Params, now: Millis) -> Result<Done, Failure> {
        self.send(params, now, |sandbox, params| {
            let given = params.str(kind);
            let upload = params.file(kind);
            let mut content = sandbox.file_content(kind, given.as_deref(), upload, params)?;
            if !matches!(kind, "sticker" | "video_note") {
                content::caption(&mut content, params)?;
            }
            Ok(content)
        })
    }

    fn send_album(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let chat = self.chat(params)?;
        self.check_topic(params)?;
        let replied = self.replied(chat, params)?;
        let media = params.nested("media")?;
        let items = media.as_ref().and_then(Value::as_array);
        let items = items.ok_or_else(|| Failure::bad("there are no messages to send"))?;
        if !(2..=10).contains(&items.len()) {
            let words = "wrong number of items in the album: 2 to 10 are allowed";
            return Err(Failure::bad(words));
        }
        let kinds: Vec<&str> = items
            .iter()
            .map(|item| item.get("type").and_then(Value::as_str).unwrap_or_default())
            .collect();
        for kind in &kinds {
            if !matches!(*kind, "photo" | "video" | "audio" | "document") {
                return Err(Failure::bad("type must be one of the album's types"));
            }
        }
        let alone = |kind: &&str| matches!(*kind, "audio" | "document");
        if let Some(kind) = kinds.iter().copied().find(alone)
            && kinds.iter().any(|other| *other != kind) {
                let words = format!("{kind} can't be mixed with other media types");
                return Err(Failure::bad(words));
            }
        let mut contents = Vec::with_capacity(items.len());
        for (item, kind) in items.iter().zip(kinds) {
            let given = item.get("media").and_then(Value::as_str);
            let mut content = self.file_content(kind, given, None, params)?;
            if let Some(caption) = item.get("caption").and_then(Value::as_str) {
                if !crate::telegram::plan::CAPTION.fits(caption) {
                    return Err(Failure::bad("message caption is too long"));
                }
                insert(&mut content, "caption", json!(caption));
            }
            contents.push(content);
        }
        let group = self.next_id().to_string();
        let messages = contents.into_iter().map(|mut content| {
            insert(&mut content, "media_group_id", json!(group));
            let mut message = self.keep(chat, true, content, now);
            show_reply(&mut message, replied.clone());
            message
        });
        Ok(Value::Array(messages.collect()).into())
    }

    fn chat_action(&self, params: &Params) -> Result<Done, Failure> {
        self.chat(params)?;
        let action = params.str("action").unwrap_or_default();
        if CHAT_ACTIONS.contains(&action.as_str()) {
            return Ok(json!(true).into());
        }
        Err(Failure::bad("wrong parameter action in request"))
    }

    fn answer_callback(&mut self, params: &Params) -> Result<Done, Failure> {
        let id = params.str("callback_query_id").unwrap_or_default();
        let Some(at) = self.callbacks.iter().position(|waiting| *waiting == id) else {
            let words = "query is too old and response timeout expired or query ID is invalid";
            return Err(Failure::bad(words));
        };
        if params.str("text").is_some_and(|text| text.chars().count() > 200) {
            return Err(Failure::bad("MESSAGE_TOO_LONG"));
        }
        self.callbacks.remove(at);
        Ok(json!(true).into())
    }

    fn get_file(&self, params: &Params) -> Result<Done, Failure> {
        let id = params.str("file_id").unwrap_or_default();
        let file = self.files.iter().find(|file| file.id == id);
        let file = file.ok_or_else(|| {
            Failure::bad("wrong file_id or the file is temporarily unavailable")
        })?;
        Ok(json!({
            "file_id": file.id,
            "file_unique_id": file.unique_id,
            "file_size": file.bytes.len(),
            "file_path": file.path,
        })
        .into())
    }

    fn profile_photos(&self, params: &Params) -> Result<Done, Failure> {
        let known = params.int("user_id").is_some_and(|id| self.customers.contains_key(&id));
        if known {
            return Ok(json!({"total_count": 0, "photos": []}).into());
        }
        Err(Failure::bad("user not found"))
    }

    fn edit_text(&mut self, params: &Params, now: Millis) -> Result<Done, Failure> {
        let chat = self.chat(params)?;
        let text = content::text(params)?;
        let markup = content::markup(params)?;
        let Some(stored) = self.find(chat, params.int("message_id")) else {
            return Err(Failure::bad("message to edit not found"));
        };
        if !stored.from_bot {
            return Err(Failure::bad("message can't be edited"));
        }
        if stored.message.get("text").is_none() {
            return Err(Failure::bad("there is no text in the message to edit"));
        }
        let same = stored.message.get("text") == text.get("text")
            && stored.message.get("reply_markup") == markup.as_ref();
        if same {
            let words = "message is not modified: specified new message content and reply markup \
                         are exactly the same as a current content and reply markup of the message";
            return Err(Failure::bad(words));
        }
        if let (Some(message), Value::Object(text)) = (stored.message.as_object_mut(), text) {
            message.remove("entities");
            message.remove("reply_markup");
            message.extend(text);
            message.extend(markup.map(|markup| ("reply_markup".to_owned(), markup)));
            message.insert("edit_date".into(), json!(now.0.div_euclid(1000)));
        }
        Ok(stored.message.clone().into())
    }

    fn delete_message(&mut self, params: &Params) -> Result<Done, Failure> {
        let chat = self.chat(params)?;
        let id = params.int("message_id");
        if self.find(chat, id).is_none() {
            return Err(Failure::bad("message to delete not found"));
        }
        self.messages.retain(|stored| stored.chat != chat || Some(stored.id) != id);
        Ok(json!(true).into())
    }

    fn set_reaction(&mut self, params: &Params) -> Result<Done, Failure> {
        let chat = self.chat(params)?;
        let reactions = params.nested("reaction")?.unwrap_or(json!([]));
        let reactions = reactions.as_array().cloned().unwrap_or_default();
        let emoji = reactions.first().and_then(|r| r.get("emoji")?.as_str());
        let known = emoji.is_some_and(|emoji| REACTIONS.contains(&emoji));
        if reactions.len() > 1 || (!reactions.is_empty() && !known) {
            return Err(Failure::bad("REACTION_INVALID"));
        }
        match self.find(chat, params.int("message_id")) {
            Some(stored) => {
                stored.bot_reaction = emoji.map(str::to_owned);
                Ok(json!(true).into())
            }
            None => Err(Failure::bad("message to react not found")),
        }
    }
}

/// Shows the message that another one answers inside it: one level, as Telegram does.
pub fn show_reply(message: &mut Value, replied: Option<Value>) {
    if let Some(replied) = replied {
        insert(message, "reply_to_message", replied);
    }
}
