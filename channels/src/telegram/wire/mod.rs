//! Telegram's JSON, field for field, as far as it is read. New fields and kinds appear without
//! notice, so everything else is ignored here and kept raw by `parse`.
//!
//! What a message cannot do without is strict: a message whose `chat.id` is no number is `Unknown`.
//! What is only told beside it ([`lenient`]) is left out when it has an unexpected shape, since
//! somebody's words must not be lost for an odd quote.

mod address;

pub use address::{Address, ChatId, is_connection, parse_message};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A part of an element kept as its JSON text.
pub type Raw = Option<Box<RawValue>>;

/// Reads an optional part; `None` when it has an unexpected shape.
fn lenient<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let raw = Raw::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// A person or a bot.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    /// Up to 52 bits; the same for all bots.
    pub id: i64,
    #[serde(default, deserialize_with = "lenient")]
    pub is_bot: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub first_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub last_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub username: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub language_code: Option<String>,
}

/// A private chat, group, supergroup or channel.
#[derive(Debug, Clone, Deserialize)]
pub struct Chat {
    /// Private: the person's id. Groups are negative, supergroups and channels begin with -100.
    pub id: i64,
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub username: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub first_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub last_name: Option<String>,
}

impl Chat {
    /// Whether it is a chat with one person.
    pub fn is_private(&self) -> bool {
        self.kind
            .as_deref()
            .map_or(self.id > 0, |kind| kind == "private")
    }
}

/// A message: frame and content. Exactly one kind of content is set, with the exceptions named in
/// `parse::content`.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    /// Unique within the chat only; 0 for ephemeral messages.
    pub message_id: i64,
    #[serde(default)]
    pub ephemeral_message_id: Option<i64>,
    /// Absent in channels; a stand-in where `sender_chat` is set.
    #[serde(default)]
    pub from: Option<User>,
    #[serde(default)]
    pub sender_chat: Option<Chat>,
    #[serde(default, deserialize_with = "lenient")]
    pub sender_business_bot: Option<User>,
    pub chat: Chat,
    /// Unix seconds; 0 for a message that is no longer accessible.
    pub date: i64,
    #[serde(default)]
    pub edit_date: Option<i64>,
    #[serde(default)]
    pub message_thread_id: Option<i64>,
    #[serde(default)]
    pub is_topic_message: Option<bool>,
    #[serde(default)]
    pub business_connection_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub reply_to_message: Option<Referred>,
    #[serde(default)]
    pub external_reply: Raw,
    #[serde(default)]
    pub reply_to_story: Raw,
    #[serde(default, deserialize_with = "lenient")]
    pub quote: Option<Quote>,
    #[serde(default, deserialize_with = "lenient")]
    pub forward_origin: Option<Origin>,
    #[serde(default, deserialize_with = "lenient")]
    pub media_group_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub via_bot: Option<User>,
    #[serde(default, deserialize_with = "lenient")]
    pub has_protected_content: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub author_signature: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub reply_markup: Option<InlineKeyboard>,

    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub entities: Raw,
    #[serde(default)]
    pub caption: Option<String>,
    #[serde(default)]
    pub caption_entities: Raw,
    /// Ascending sizes of one picture.
    #[serde(default)]
    pub photo: Option<Vec<File>>,
    /// A film around a picture; `photo` is set beside it.
    #[serde(default)]
    pub live_photo: Raw,
    #[serde(default)]
    pub video: Option<File>,
    #[serde(default)]
    pub animation: Option<File>,
    #[serde(default)]
    pub audio: Option<File>,
    #[serde(default)]
    pub voice: Option<File>,
    #[serde(default)]
    pub video_note: Option<File>,
    #[serde(default)]
    pub document: Option<File>,
    #[serde(default)]
    pub sticker: Option<File>,
    #[serde(default)]
    pub location: Option<Location>,
    #[serde(default)]
    pub venue: Option<Venue>,
    #[serde(default)]
    pub contact: Option<Contact>,
    #[serde(default)]
    pub web_app_data: Option<WebAppData>,
    #[serde(default)]
    pub write_access_allowed: Raw,
    #[serde(default)]
    pub migrate_to_chat_id: Option<i64>,
    #[serde(default)]
    pub migrate_from_chat_id: Option<i64>,
}

/// Any file. One shape for all kinds: they differ in what is optional only.
#[derive(Debug, Clone, Deserialize)]
pub struct File {
    /// Good for this bot only, and for ever.
    pub file_id: String,
    /// The same for every bot, but cannot be downloaded.
    #[serde(default, deserialize_with = "lenient")]
    pub file_unique_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub file_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub mime_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub file_size: Option<u64>,
    /// Seconds.
    #[serde(default, deserialize_with = "lenient")]
    pub duration: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub performer: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub title: Option<String>,
    /// Stickers: the emoji that it stands for.
    #[serde(default, deserialize_with = "lenient")]
    pub emoji: Option<String>,
    /// Stickers: the set that it belongs to.
    #[serde(default, deserialize_with = "lenient")]
    pub set_name: Option<String>,
    /// Stickers: gzipped Lottie.
    #[serde(default, deserialize_with = "lenient")]
    pub is_animated: Option<bool>,
    /// Stickers: WebM.
    #[serde(default, deserialize_with = "lenient")]
    pub is_video: Option<bool>,
}

/// A place.
#[derive(Debug, Clone, Deserialize)]
pub struct Location {
    pub latitude: f64,
    pub longitude: f64,
    #[serde(default, deserialize_with = "lenient")]
    pub live_period: Option<u64>,
}

/// A place with a name.
#[derive(Debug, Clone, Deserialize)]
pub struct Venue {
    pub location: Location,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub address: Option<String>,
}

/// A contact card. The sender's own, verified number only where `user_id` is the sender's.
#[derive(Debug, Clone, Deserialize)]
pub struct Contact {
    pub phone_number: String,
    #[serde(default)]
    pub first_name: Option<String>,
    #[serde(default)]
    pub last_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    pub vcard: Option<String>,
}

/// What a web app inside Telegram sent.
#[derive(Debug, Clone, Deserialize)]
pub struct WebAppData {
    pub data: String,
    #[serde(default, deserialize_with = "lenient")]
    pub button_text: Option<String>,
}

/// The message that another one answers. Not `Message`: its own content is not read, and it must
/// not nest.
#[derive(Debug, Clone, Deserialize)]
pub struct Referred {
    pub message_id: i64,
    #[serde(default)]
    pub chat: Option<Chat>,
}

/// The part of a message that an answer quotes.
#[derive(Debug, Clone, Deserialize)]
pub struct Quote {
    pub text: String,
}

/// Where a forwarded message came from.
#[derive(Debug, Clone, Deserialize)]
pub struct Origin {
    #[serde(default, deserialize_with = "lenient")]
    pub sender_user: Option<User>,
    #[serde(default, deserialize_with = "lenient")]
    pub sender_user_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub sender_chat: Option<Chat>,
    #[serde(default, deserialize_with = "lenient")]
    pub chat: Option<Chat>,
}

/// Buttons under a message.
#[derive(Debug, Clone, Deserialize)]
pub struct InlineKeyboard {
    #[serde(default)]
    pub inline_keyboard: Vec<Vec<Button>>,
}

/// One button.
#[derive(Debug, Clone, Deserialize)]
pub struct Button {
    #[serde(default)]
    pub text: String,
    #[serde(default)]
    pub callback_data: Option<String>,
}

/// A pressed button.
#[derive(Debug, Clone, Deserialize)]
pub struct CallbackQuery {
    pub id: String,
    pub from: User,
    /// Absent for buttons of inline messages; without content when it is too old.
    #[serde(default)]
    pub message: Option<Message>,
    /// What we put behind the button; absent for games.
    #[serde(default)]
    pub data: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub game_short_name: Option<String>,
}

/// Changed reactions of one person on one message.
#[derive(Debug, Clone, Deserialize)]
pub struct MessageReaction {
    pub chat: Chat,
    pub message_id: i64,
    #[serde(default)]
    pub user: Option<User>,
    #[serde(default)]
    pub actor_chat: Option<Chat>,
    pub date: i64,
    #[serde(default)]
    pub old_reaction: Vec<ReactionType>,
    #[serde(default)]
    pub new_reaction: Vec<ReactionType>,
}

/// One reaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReactionType {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub emoji: Option<String>,
    #[serde(default)]
    pub custom_emoji_id: Option<String>,
}

/// The bot's own membership changed.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatMemberUpdated {
    pub chat: Chat,
    pub from: User,
    pub date: i64,
    pub old_chat_member: ChatMember,
    pub new_chat_member: ChatMember,
}

/// A membership.
#[derive(Debug, Clone, Deserialize)]
pub struct ChatMember {
    pub status: String,
}

/// A person let the bot act for their account, changed that or took it back.
#[derive(Debug, Clone, Deserialize)]
pub struct BusinessConnection {
    pub id: String,
    pub user: User,
    pub date: i64,
    #[serde(default)]
    pub is_enabled: Option<bool>,
}

/// Messages of a business account were deleted.
#[derive(Debug, Clone, Deserialize)]
pub struct BusinessMessagesDeleted {
    pub business_connection_id: String,
    pub chat: Chat,
    pub message_ids: Vec<i64>,
}

/// What every method answers.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    pub ok: bool,
    /// Read when its shape is known: it may be a message, a list or `true`.
    #[serde(default)]
    pub result: Raw,
    #[serde(default, deserialize_with = "lenient")]
    pub error_code: Option<u16>,
    #[serde(default, deserialize_with = "lenient")]
    pub description: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub parameters: Option<Parameters>,
}

/// What an error tells beside its words.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Parameters {
    /// Seconds.
    #[serde(default, deserialize_with = "lenient")]
    pub retry_after: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub migrate_to_chat_id: Option<i64>,
}

/// A message that was sent: only its ids are of interest.
#[derive(Debug, Clone, Deserialize)]
pub struct Sent {
    pub message_id: i64,
    pub chat: Chat,
    #[serde(default, deserialize_with = "lenient")]
    pub business_connection_id: Option<String>,
}

/// The answer of `getFile`.
#[derive(Debug, Clone, Deserialize)]
pub struct FileInfo {
    #[serde(default)]
    pub file_path: Option<String>,
    #[serde(default)]
    pub file_size: Option<u64>,
}

/// The answer of `getMe`.
#[derive(Debug, Clone, Deserialize)]
pub struct Me {
    pub id: i64,
    #[serde(default)]
    pub username: Option<String>,
}
