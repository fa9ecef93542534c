//! What callers and the chat backend get to see, as pure functions from plain rows to JSON.
//!
//! The shapes are those of the API that Switchboard's callers already speak. Its two editions differ
//! in a few names; where they do, both names are there. Conventions:
//! - ids are text, except where the editions show a number (`message-id` of `send-message`);
//! - times are `YYYY-MM-DD HH:MM:SS`, UTC;
//! - in answers the attachments of a message are JSON *text*, `""` when there are none, and so is the
//!   payload; in events they are real.
//!
//! A payload is frozen when the event is written: what [`events`] builds is what is delivered, days
//! later as well. Names may be added, never changed.

pub mod answers;
pub mod convert;
pub mod events;
mod rows;
pub mod sample;
pub mod told;

#[cfg(test)]
mod tests;

pub use rows::{
    AttemptRow, ConversationRow, DetailRow, MessageDetail, MessageRow, MessageStatus, PartRow,
    Person, UserRow,
};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use switchboard_channels::model::Millis;

/// A time as the API writes it. Times beyond the calendar are its ends.
pub fn time(at: Millis) -> String {
    let timestamp = Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    });
    timestamp
        .to_zoned(TimeZone::UTC)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// Attachments as a real list of `[name, link]`.
pub fn attachments_list(attachments: &[(String, String)]) -> Value {
    json!(attachments)
}

/// Attachments as JSON text, `""` when there are none.
pub fn attachments_text(attachments: &[(String, String)]) -> String {
    if attachments.is_empty() {
        String::new()
    } else {
        attachments_list(attachments).to_string()
    }
}

/// A payload as JSON text, `""` when there is none.
fn payload_text(payload: Option<&Value>) -> String {
    payload.map(Value::to_string).unwrap_or_default()
}

/// An id as text, or `null`.
fn opt_id(id: Option<i64>) -> Value {
    id.map_or(Value::Null, |id| Value::String(id.to_string()))
}
