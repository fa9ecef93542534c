//! News for the operator.

use super::{Scope, compact, digest};
use crate::kit::json;
use crate::model::{AccountNotice, Event, EventBody};
use crate::whatsapp::classify;
use crate::whatsapp::wire::{self, Raw};
use serde_json::Value;

/// Notices are a line in a log: longer ones are cut.
const DETAIL_MAX_CHARS: usize = 1000;

/// Whether this field tells the operator something.
pub fn is_notice(field: &str) -> bool {
    matches!(
        field,
        "message_template_status_update"
            | "message_template_quality_update"
            | "message_template_components_update"
            | "template_category_update"
            | "phone_number_quality_update"
            | "phone_number_name_update"
            | "account_update"
            | "account_alerts"
            | "account_review_update"
            | "business_capability_update"
            | "security"
    )
}

/// A change of the account, of a template or of the number's quality. Its words are the plain values of
/// the change, by name.
pub fn notice(scope: &Scope, field: &str, change: Raw<'_>, value: Raw<'_>) -> Event {
    let mut facts = Vec::new();
    if let Ok(value) = serde_json::from_str(value.get()) {
        flatten("", &value, &mut facts);
    }
    let detail = if facts.is_empty() {
        compact(value)
    } else {
        facts.join(", ")
    };
    event(scope, change, field, &detail)
}

/// Every plain value with its path. As deep as JSON is read at all, which is bounded.
fn flatten(path: &str, value: &Value, facts: &mut Vec<String>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Object(values) => {
            for (name, value) in values {
                flatten(&below(name), value, facts);
            }
        }
        Value::Array(values) => {
            for (place, value) in values.iter().enumerate() {
                flatten(&below(&place.to_string()), value, facts);
            }
        }
        Value::Null => {}
        Value::String(text) => facts.push(format!("{path}: {text}")),
        Value::Number(_) | Value::Bool(_) => facts.push(format!("{path}: {value}")),
    }
}

/// An error that belongs to no message of ours.
pub fn error(scope: &Scope, raw: Raw<'_>) -> Event {
    let Ok(error) = json::read::<wire::Error<'_>>(raw) else {
        return scope.unknown("error", raw);
    };
    let words = classify::words(&error);
    let detail = format!("{}: {}", words.code, words.message);
    event(scope, raw, "error", &detail)
}

fn event(scope: &Scope, raw: Raw<'_>, topic: &str, detail: &str) -> Event {
    let key = digest("n", &[&scope.sent, raw.get()]);
    let notice = AccountNotice {
        topic: topic.to_owned(),
        detail: detail.chars().take(DETAIL_MAX_CHARS).collect(),
    };
    scope.event(key, scope.now, EventBody::Notice(notice))
}
