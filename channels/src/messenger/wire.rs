//! Meta's JSON, field for field. Strings and numbers come in each other's place (ids, times, `num_edit`),
//! and a field of the wrong type is as good as absent: what it stands beside must not be lost with it.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An element as it came.
pub type Raw<'a> = &'a RawValue;

/// What can be read as `T`; `None` for everything else.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let raw: Raw<'de> = Deserialize::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

/// A string, or a number as its digits.
fn loose<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw: Raw<'de> = Deserialize::deserialize(deserializer)?;
    Ok(text_of(raw).filter(|text| !text.is_empty()))
}

/// A string, or a number as it is written; `None` for everything else.
pub fn text_of(raw: Raw<'_>) -> Option<String> {
    let number = |text: &str| text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match raw.get() {
        text if number(text) => Some(text.to_owned()),
        text => serde_json::from_str(text).ok(),
    }
}

/// `true`, and nothing else.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let raw: Raw<'de> = Deserialize::deserialize(deserializer)?;
    Ok(raw.get() == "true")
}

/// The elements of a list; none where it is no list.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Raw<'de>>, D::Error> {
    lenient(deserializer).map(Option::unwrap_or_default)
}

/// What is posted: once, or as the elements of a list.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    #[serde(default, deserialize_with = "loose")]
    pub object: Option<String>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    pub entry: Option<Vec<Raw<'a>>>,
}

#[derive(Deserialize)]
pub struct Entry<'a> {
    #[serde(default, deserialize_with = "loose")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub time: Option<String>,
    #[serde(default, borrow, deserialize_with = "list")]
    pub messaging: Vec<Raw<'a>>,
    #[serde(default, borrow, deserialize_with = "list")]
    pub standby: Vec<Raw<'a>>,
    #[serde(default, borrow, deserialize_with = "list")]
    pub changes: Vec<Raw<'a>>,
}

#[derive(Deserialize)]
pub struct Change<'a> {
    #[serde(default, deserialize_with = "loose")]
    pub field: Option<String>,
    #[serde(default, borrow)]
    pub value: Option<Raw<'a>>,
}

#[derive(Deserialize, Clone)]
pub struct Party {
    #[serde(default, deserialize_with = "loose")]
    pub id: Option<String>,
}

/// What every element of `messaging` has beside its kind.
#[derive(Deserialize)]
pub struct Frame {
    #[serde(default, deserialize_with = "lenient")]
    pub sender: Option<Party>,
    #[serde(default, deserialize_with = "lenient")]
    pub recipient: Option<Party>,
    #[serde(default, deserialize_with = "loose")]
    pub timestamp: Option<String>,
}

#[derive(Deserialize)]
pub struct Message<'a> {
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub quick_reply: Option<QuickReply>,
    #[serde(default, deserialize_with = "lenient")]
    pub reply_to: Option<ReplyTo>,
    #[serde(default, borrow, deserialize_with = "list")]
    pub attachments: Vec<Raw<'a>>,
    #[serde(default, deserialize_with = "lenient")]
    pub referral: Option<Referral>,
    #[serde(default, deserialize_with = "flag")]
    pub is_echo: bool,
    #[serde(default, deserialize_with = "loose")]
    pub app_id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub metadata: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub is_deleted: bool,
    #[serde(default, deserialize_with = "flag")]
    pub is_unsupported: bool,
    #[serde(default, borrow)]
    pub unsupported_type: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub struct QuickReply {
    #[serde(default, deserialize_with = "loose")]
    pub payload: Option<String>,
}

#[derive(Deserialize)]
pub struct ReplyTo {
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub is_self_reply: bool,
    #[serde(default, deserialize_with = "lenient")]
    pub story: Option<Story>,
}

#[derive(Deserialize)]
pub struct Story {
    #[serde(default, deserialize_with = "loose")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub url: Option<String>,
}

/// Where a person came from: a link, an advertisement, a product.
#[derive(Deserialize, Clone)]
pub struct Referral {
    #[serde(rename = "ref", default, deserialize_with = "loose")]
    pub reference: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub source: Option<String>,
    #[serde(rename = "type", default, deserialize_with = "loose")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub ad_id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub referer_uri: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub ads_context_data: Option<AdsContext>,
    #[serde(default, deserialize_with = "lenient")]
    pub product: Option<Party>,
}

#[derive(Deserialize, Clone)]
pub struct AdsContext {
    #[serde(default, deserialize_with = "loose")]
    pub ad_title: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub photo_url: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub video_url: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub post_id: Option<String>,
}

/// An attachment. Title and link stand beside the payload or in it.
#[derive(Deserialize)]
pub struct Attachment {
    #[serde(rename = "type", default, deserialize_with = "loose")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub payload: Option<Payload>,
}

#[derive(Deserialize, Default)]
pub struct Payload {
    #[serde(default, deserialize_with = "loose")]
    pub url: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub sticker_id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub reel_video_id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub ig_post_media_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub coordinates: Option<Coordinates>,
}

#[derive(Deserialize)]
pub struct Coordinates {
    pub lat: f64,
    pub long: f64,
}

#[derive(Deserialize)]
pub struct Postback {
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub title: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub payload: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub referral: Option<Referral>,
}

#[derive(Deserialize)]
pub struct Reaction {
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub action: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub reaction: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub emoji: Option<String>,
}

#[derive(Deserialize)]
pub struct MessageEdit {
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub text: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub num_edit: Option<String>,
}

/// `delivery` and `read`.
#[derive(Deserialize)]
pub struct Receipts<'a> {
    #[serde(default, deserialize_with = "loose")]
    pub watermark: Option<String>,
    #[serde(default, borrow, deserialize_with = "list")]
    pub mids: Vec<Raw<'a>>,
    #[serde(default, deserialize_with = "loose")]
    pub mid: Option<String>,
}

#[derive(Deserialize)]
pub struct OptIn {
    #[serde(default, deserialize_with = "loose")]
    pub notification_messages_status: Option<String>,
}

#[derive(Deserialize)]
pub struct AccountLinking {
    #[serde(default, deserialize_with = "loose")]
    pub status: Option<String>,
}

/// What the Graph API says when it refuses.
#[derive(Deserialize)]
pub struct Failed {
    pub error: GraphError,
}

#[derive(Deserialize)]
pub struct GraphError {
    #[serde(default, deserialize_with = "loose")]
    pub message: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub code: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub error_subcode: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub is_transient: bool,
    #[serde(default, deserialize_with = "loose")]
    pub error_user_msg: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub fbtrace_id: Option<String>,
}

/// What the Send API says when it has taken a message.
#[derive(Deserialize)]
pub struct Sent {
    #[serde(default, deserialize_with = "loose")]
    pub recipient_id: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub message_id: Option<String>,
}

/// The page as it describes itself.
#[derive(Deserialize)]
pub struct Page {
    pub id: String,
    #[serde(default, deserialize_with = "loose")]
    pub name: Option<String>,
}

/// The apps to which the page's events go.
#[derive(Deserialize)]
pub struct Subscribed<'a> {
    #[serde(borrow)]
    pub data: Vec<Raw<'a>>,
}

/// A person as Messenger or Instagram describes them.
#[derive(Deserialize)]
pub struct Person {
    #[serde(default, deserialize_with = "loose")]
    pub first_name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub last_name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub profile_pic: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub username: Option<String>,
    #[serde(default, deserialize_with = "loose")]
    pub follower_count: Option<String>,
}
