//! The keyboard below a message, and what its buttons send: Viber does not mark presses.

use crate::model::{Choice, Part};
use serde_json::{Value, json};

/// What stands before the payload in a button's `ActionBody`, so that the press is known as one.
pub const PRESS_PREFIX: &str = "gw:";

/// The most characters of `tracking_data` (REST Bot API, "General send message parameters": 4000);
/// less, so that a full text, a full keyboard and this stay below 30 KB together.
const TRACKING_MAX: usize = 3000;

/// A button as our tracking data names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedButton {
    /// What the press sends.
    pub body: String,
    /// What it means.
    pub payload: String,
    /// What the person saw.
    pub title: String,
}

/// What comes back with the person's next message: the part's key, and, below a keyboard, what its
/// buttons say.
pub fn tracking_data(part: &Part) -> String {
    let key = part.idempotency_key();
    if part.choices.is_empty() {
        return key;
    }
    let row = |choice: &Choice| json!([action_body(choice), choice.payload, choice.title]);
    let table: Vec<Value> = part.choices.iter().map(row).collect();
    let whole = format!("{key}\n{}", Value::Array(table));
    // Without the table a press is still known by its prefix, only not by its title.
    if whole.len() <= TRACKING_MAX { whole } else { key }
}

/// Our reference in tracking data, if it is ours.
pub fn reference(tracking_data: &str) -> Option<String> {
    let key = tracking_data.lines().next()?;
    let (message, part) = key.strip_prefix("sb-")?.split_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (key.len() <= 64 && digits(message) && digits(part)).then(|| key.to_owned())
}

/// The buttons in tracking data of ours.
pub fn tracked_buttons(tracking_data: &str) -> Vec<TrackedButton> {
    let table = tracking_data.split_once('\n').map_or("", |(_, table)| table);
    let rows: Vec<[String; 3]> = serde_json::from_str(table).unwrap_or_default();
    let button = |[body, payload, title]: [String; 3]| TrackedButton {
        body,
        payload,
        title,
    };
    rows.into_iter().map(button).collect()
}

/// What a press sends: the link, the title where it says all, else our prefix and the payload.
fn action_body(choice: &Choice) -> String {
    match &choice.url {
        Some(url) => url.clone(),
        None if choice.payload == choice.title => choice.title.clone(),
        None => format!("{PRESS_PREFIX}{}", choice.payload),
    }
}

/// The keyboard below a message. Keys are PascalCase here and nowhere else.
pub fn keyboard(choices: &[Choice]) -> Value {
    let mut buttons = Vec::with_capacity(choices.len());
    let per_row = per_row(choices);
    for row in choices.chunks(per_row) {
        let columns = 6 / row.len().max(1);
        for choice in row {
            buttons.push(json!({
                "Columns": columns,
                "Rows": 1,
                "ActionType": if choice.url.is_some() { "open-url" } else { "reply" },
                "ActionBody": action_body(choice),
                "Text": escape(&choice.title),
                // A bubble with the title is an answer; one with our payload is noise.
                "Silent": choice.url.is_some() || choice.payload != choice.title,
            }));
        }
    }
    json!({"Type": "keyboard", "DefaultHeight": false, "Buttons": buttons})
}

/// At most this many rows are shown in portrait (keyboards page of the REST Bot API).
const ROWS_MAX: usize = 12;

/// Buttons in a row: three where the titles are short, two, or one where they are long; more where
/// there would be too many rows. Always a divisor of the six columns.
fn per_row(choices: &[Choice]) -> usize {
    let longest = choices.iter().map(|c| c.title.chars().count()).max();
    let wanted = match longest.unwrap_or_default() {
        0..=12 => 3,
        13..=20 => 2,
        _ => 1,
    };
    let needed = choices.len().div_ceil(ROWS_MAX);
    wanted.max(needed).clamp(1, 3).min(choices.len().max(1))
}

/// Button texts are HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(title: &str, payload: &str) -> Choice {
        Choice {
            title: title.into(),
            payload: payload.into(),
            url: None,
        }
    }

    #[test]
    fn rows_sum_to_six_columns_and_are_twelve_at_most() {
        for title in ["short", "a title of middling", "a title that is rather long, all in all"] {
            for n in 1..=24 {
                let choices: Vec<_> = (0..n).map(|_| choice(title, "p")).collect();
                let keyboard = keyboard(&choices);
                let buttons = keyboard["Buttons"].as_array().unwrap();
                let columns: u64 = buttons.iter().map(|b| b["Columns"].as_u64().unwrap()).sum();
                assert_eq!(buttons.len(), n);
                assert_eq!(columns % 6, 0, "{n} of {title}");
                assert!(columns / 6 <= 12, "{n} of {title}");
            }
        }
    }

    #[test]
    fn references_are_ours_or_none() {
        assert_eq!(reference("sb-42-0").as_deref(), Some("sb-42-0"));
        assert_eq!(reference("sb-42-1\n[[]]").as_deref(), Some("sb-42-1"));
        for other in ["conv:77", "sb-", "sb-1", "sb-x-0", "sb-1-2-3", ""] {
            assert_eq!(reference(other), None, "{other}");
        }
    }
}
