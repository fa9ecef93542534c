//! Slack's JSON, field for field, as far as it is read. Unknown fields are ignored; what is only told
//! beside a message ([`lenient`]) counts as absent when it has an unexpected shape, since somebody's
//! words must not be lost for an odd file.

mod address;

pub use address::{Address, Place, is_ts, parse_message};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A value if it is of the wanted type, else nothing.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

/// A list whose elements of another shape are left out.
fn lenient_list<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let list = match value {
        Value::Array(list) => list,
        _ => Vec::new(),
    };
    let read = |value| serde_json::from_value(value).ok();
    Ok(list.into_iter().filter_map(read).collect())
}

/// What comes in over the Events API.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    /// `event_callback`, `url_verification`, `app_rate_limited`.
    #[serde(default, rename = "type", deserialize_with = "lenient")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub challenge: Option<String>,
    /// The workspace in which it happened; for Slack Connect perhaps the other side's.
    #[serde(default, deserialize_with = "lenient")]
    pub team_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub api_app_id: Option<String>,
    /// The same in every retry.
    #[serde(default, deserialize_with = "lenient")]
    pub event_id: Option<String>,
    /// Seconds.
    #[serde(default, deserialize_with = "lenient")]
    pub event_time: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    pub minute_rate_limited: Option<i64>,
    /// Which installations of the app see it.
    #[serde(default, deserialize_with = "lenient_list")]
    pub authorizations: Vec<Authorization>,
    #[serde(default, borrow)]
    pub event: Option<&'a RawValue>,
}

/// An installation that sees an event.
#[derive(Debug, Deserialize)]
pub struct Authorization {
    #[serde(default, deserialize_with = "lenient")]
    pub team_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub user_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub is_bot: Option<bool>,
}

/// What every event has.
#[derive(Debug, Deserialize)]
pub struct Kind {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub subtype: Option<String>,
}

/// A message, by itself or inside an edit.
#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    #[serde(default, deserialize_with = "lenient")]
    pub subtype: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub user: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub bot_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub app_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub channel: Option<String>,
    /// Opaque; names the message within its channel.
    #[serde(default, deserialize_with = "lenient")]
    pub ts: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub thread_ts: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub files: Vec<File>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub blocks: Vec<Value>,
    /// What Slack tells of strangers (Slack Connect).
    #[serde(default, deserialize_with = "lenient")]
    pub user_profile: Option<UserProfile>,
    #[serde(default, deserialize_with = "lenient")]
    pub metadata: Option<Metadata>,
}

/// The event of an edit or a deletion.
#[derive(Debug, Deserialize)]
pub struct Changed {
    pub channel: String,
    #[serde(default, deserialize_with = "lenient")]
    pub message: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    pub previous_message: Option<Message>,
    #[serde(default, deserialize_with = "lenient")]
    pub deleted_ts: Option<String>,
}

/// What we put on what we post, to find it again.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    #[serde(default, deserialize_with = "lenient")]
    pub event_type: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub event_payload: Option<Payload>,
}

/// The payload of our metadata.
#[derive(Debug, Clone, Deserialize)]
pub struct Payload {
    #[serde(default, deserialize_with = "lenient")]
    pub id: Option<String>,
}

/// A file that hangs on a message.
#[derive(Debug, Clone, Deserialize)]
pub struct File {
    pub id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub mimetype: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub size: Option<u64>,
    /// `hosted`, `external`, `snippet`, `post`, `tombstone`, `hidden_by_limit`.
    #[serde(default, deserialize_with = "lenient")]
    pub mode: Option<String>,
    /// `check_file_info` in Slack Connect: ask before anything else is known.
    #[serde(default, deserialize_with = "lenient")]
    pub file_access: Option<String>,
    /// `slack_audio` for recordings made in Slack.
    #[serde(default, deserialize_with = "lenient")]
    pub subtype: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub url_private: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub url_private_download: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub shares: Option<Shares>,
}

/// Where a file was posted.
#[derive(Debug, Clone, Deserialize)]
pub struct Shares {
    #[serde(default, deserialize_with = "lenient")]
    pub public: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    pub private: Option<Value>,
}

impl Shares {
    /// The newest message by which the file was posted into this channel.
    pub fn ts(&self, channel: &str) -> Option<String> {
        let sides = [&self.public, &self.private];
        let posts = sides.iter().find_map(|side| side.as_ref()?.get(channel)?.as_array());
        let ts = |post: &Value| post.get("ts")?.as_str().map(str::to_owned);
        posts?.iter().filter_map(ts).max()
    }
}

/// The short profile beside a message.
#[derive(Debug, Clone, Deserialize)]
pub struct UserProfile {
    #[serde(default, deserialize_with = "lenient")]
    pub real_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub display_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub first_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub last_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub email: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub image_192: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub image_72: Option<String>,
}

/// A member of the workspace.
#[derive(Debug, Clone, Deserialize)]
pub struct User {
    pub id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub team_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub real_name: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub deleted: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub is_bot: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub locale: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub profile: Option<UserProfile>,
}

/// The event of a changed or new member.
#[derive(Debug, Deserialize)]
pub struct UserEvent {
    pub user: User,
}

/// A reaction that was put on or taken off.
#[derive(Debug, Deserialize)]
pub struct ReactionEvent {
    pub user: String,
    pub reaction: String,
    pub item: Item,
}

/// What a reaction is on.
#[derive(Debug, Deserialize)]
pub struct Item {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub channel: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub ts: Option<String>,
}

/// Somebody came into a channel or left it.
#[derive(Debug, Deserialize)]
pub struct Membership {
    pub user: String,
    pub channel: String,
    #[serde(default, deserialize_with = "lenient")]
    pub team: Option<String>,
}

/// What an interaction posts in the field `payload`.
#[derive(Debug, Deserialize)]
pub struct Interaction {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient")]
    pub user: Option<Actor>,
    #[serde(default, deserialize_with = "lenient")]
    pub team: Option<Named>,
    #[serde(default, deserialize_with = "lenient")]
    pub channel: Option<Named>,
    #[serde(default, deserialize_with = "lenient")]
    pub container: Option<Container>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub actions: Vec<Pressed>,
}

/// Something with an id.
#[derive(Debug, Deserialize)]
pub struct Named {
    pub id: String,
}

/// Who pressed.
#[derive(Debug, Deserialize)]
pub struct Actor {
    pub id: String,
    #[serde(default, deserialize_with = "lenient")]
    pub team_id: Option<String>,
}

/// The message that carries the button.
#[derive(Debug, Deserialize)]
pub struct Container {
    #[serde(default, deserialize_with = "lenient")]
    pub message_ts: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub channel_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub thread_ts: Option<String>,
}

/// What was pressed or chosen.
#[derive(Debug, Deserialize)]
pub struct Pressed {
    #[serde(default, deserialize_with = "lenient")]
    pub action_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub value: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<Text>,
    #[serde(default, deserialize_with = "lenient")]
    pub selected_option: Option<Chosen>,
    #[serde(default, deserialize_with = "lenient")]
    pub action_ts: Option<String>,
}

/// A row of a menu.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    #[serde(default, deserialize_with = "lenient")]
    pub value: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<Text>,
}

/// A text object.
#[derive(Debug, Deserialize)]
pub struct Text {
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
}

/// What every method answers: `ok`, and why not.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    #[serde(default, deserialize_with = "lenient")]
    pub ok: Option<bool>,
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<String>,
    /// The scope that is missing.
    #[serde(default, deserialize_with = "lenient")]
    pub needed: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub response_metadata: Option<ResponseMetadata>,
}

/// Cursor and remarks.
#[derive(Debug, Default, Deserialize)]
pub struct ResponseMetadata {
    #[serde(default, deserialize_with = "lenient")]
    pub next_cursor: Option<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    pub messages: Vec<String>,
}

/// `chat.postMessage`.
#[derive(Debug, Deserialize)]
pub struct Posted {
    pub channel: String,
    pub ts: String,
}

/// `files.getUploadURLExternal`.
#[derive(Debug, Deserialize)]
pub struct UploadUrl {
    pub upload_url: String,
    pub file_id: String,
}

/// `files.info`.
#[derive(Debug, Deserialize)]
pub struct FileInfo {
    pub file: File,
}

/// `auth.test`.
#[derive(Debug, Deserialize)]
pub struct AuthTest {
    #[serde(default, deserialize_with = "lenient")]
    pub team: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub team_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub user: Option<String>,
}

/// `conversations.open` and `conversations.create`.
#[derive(Debug, Deserialize)]
pub struct Opened {
    pub channel: Named,
}

/// `users.getPresence`.
#[derive(Debug, Deserialize)]
pub struct Presence {
    pub presence: String,
}

/// `conversations.history` and `.replies`.
#[derive(Debug, Deserialize)]
pub struct History {
    #[serde(default, deserialize_with = "lenient_list")]
    pub messages: Vec<Message>,
}
