//! Typed readers of single values.

use super::{ApiError, Args, json};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use switchboard_channels::model::Millis;

/// Whether a day alone is a time: the seeds allow it for `datetime`, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOnly {
    /// `2020-05-13` is its first second.
    Accepted,
    /// The time of day is needed.
    Refused,
}

const AN_ID: &str = "a positive whole number";
const A_BOOLEAN: &str = "true or false";
const A_TEXT: &str = "text";
const A_TIME: &str = "YYYY-MM-DD HH:MM:SS (UTC)";
const A_TIME_OR_DATE: &str = "YYYY-MM-DD HH:MM:SS or YYYY-MM-DD (UTC)";
const A_LIST: &str = "a list, or a list as JSON text";
const AN_OBJECT: &str = "an object, or an object as JSON text";

impl Args {
    /// The value unless it counts as absent: missing, `null`, `false`, `""`, `"false"`.
    pub(in crate::webapi) fn given(&self, name: &str) -> Option<&Value> {
        self.raw(name).filter(|value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::String(s) => !s.trim().is_empty() && !s.trim().eq_ignore_ascii_case("false"),
            _ => true,
        })
    }

    /// The same, for what cannot be 0: PHP's `false` arrives in a form as `0`.
    pub(super) fn given_nonzero(&self, name: &str) -> Option<&Value> {
        self.given(name)
            .filter(|v| scalar(v).is_none_or(|s| s.trim() != "0"))
    }

    /// A code, name or address that must be there, without blanks around it.
    ///
    /// # Errors
    /// `missing-argument` when it is absent, `invalid-argument` when it is no text.
    pub fn str(&self, name: &str) -> Result<String, ApiError> {
        self.opt_str(name)?.ok_or_else(|| self.missing(name))
    }

    /// A code, name or address, without blanks around it. `0` is absent as well, which is how PHP's
    /// clients write `false`.
    ///
    /// # Errors
    /// `invalid-argument` when it is no text.
    pub fn opt_str(&self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(None);
        };
        let text = scalar(value).ok_or_else(|| self.unexpected(name, value, A_TEXT))?;
        Ok(Some(text.trim().to_owned()))
    }

    /// Free text that must be there, as it is.
    ///
    /// # Errors
    /// `missing-argument` when it is absent or blank, `invalid-argument` when it is no text.
    pub fn text(&self, name: &str) -> Result<String, ApiError> {
        self.opt_text(name)?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| self.missing(name))
    }

    /// Free text as it is: "false" and "0" are what somebody wrote. Absent are only `null`, `false`
    /// and `""`.
    ///
    /// # Errors
    /// `invalid-argument` when it is no text.
    pub fn opt_text(&self, name: &str) -> Result<Option<String>, ApiError> {
        match self.raw(name) {
            None | Some(Value::Null | Value::Bool(false)) => Ok(None),
            Some(value) => {
                let text = scalar(value).ok_or_else(|| self.unexpected(name, value, A_TEXT))?;
                Ok((!text.is_empty()).then(|| text.into_owned()))
            }
        }
    }

    /// An id that must be there, as a number or a numeric text.
    ///
    /// # Errors
    /// `missing-argument` when it is absent, `invalid-argument` when it is no positive number.
    pub fn id(&self, name: &str) -> Result<i64, ApiError> {
        let value = self.given(name).ok_or_else(|| self.missing(name))?;
        id_of(value).ok_or_else(|| self.unexpected(name, value, AN_ID))
    }

    /// An id. `0` and `-1`, the seeds' defaults for "none", are absent.
    ///
    /// # Errors
    /// `invalid-argument` when it is no positive number.
    pub fn opt_id(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.given_nonzero(name) {
            Some(value) if scalar(value).is_some_and(|s| s.trim() == "-1") => Ok(None),
            Some(value) => id_of(value)
                .map(Some)
                .ok_or_else(|| self.unexpected(name, value, AN_ID)),
            None => Ok(None),
        }
    }

    /// A boolean; `None` when the name is missing or `null`. `""` is false, as in PHP.
    ///
    /// # Errors
    /// `invalid-argument` when it is none of true, false, 1, 0 and `""`.
    pub fn opt_bool(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let value = match self.raw(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Bool(b)) => return Ok(Some(*b)),
            Some(value) => value,
        };
        match scalar(value)
            .map(|s| s.trim().to_ascii_lowercase())
            .as_deref()
        {
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0" | "") => Ok(Some(false)),
            _ => Err(self.unexpected(name, value, A_BOOLEAN)),
        }
    }

    /// A boolean, or `default` when it is missing.
    ///
    /// # Errors
    /// As [`Args::opt_bool`].
    pub fn bool(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        Ok(self.opt_bool(name)?.unwrap_or(default))
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// `invalid-argument` when it is none, or out of the range.
    pub fn opt_u64(&self, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.given(name) else {
            return Ok(None);
        };
        whole(value)
            .and_then(|n| u64::try_from(n).ok())
            .filter(|n| range.contains(n))
            .map(Some)
            .ok_or_else(|| {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                self.unexpected(name, value, &expected)
            })
    }

    /// A time in UTC: `YYYY-MM-DD HH:MM:SS`, or RFC 3339 with its offset.
    ///
    /// # Errors
    /// `invalid-argument` when it is none.
    pub fn opt_time(&self, name: &str, date_only: DateOnly) -> Result<Option<Millis>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(None);
        };
        match value {
            Value::String(text) => time_of(text.trim(), date_only),
            _ => None,
        }
        .map(Some)
        .ok_or_else(|| {
            let expected = match date_only {
                DateOnly::Accepted => A_TIME_OR_DATE,
                DateOnly::Refused => A_TIME,
            };
            self.unexpected(name, value, expected)
        })
    }

    /// A list, empty when it is absent: real, as JSON text, or an object whose names are numbers,
    /// in their order (what PHP makes of a list with gaps).
    ///
    /// # Errors
    /// `invalid-argument` when it is none.
    pub fn array(&self, name: &str) -> Result<Vec<Value>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(Vec::new());
        };
        let read = self.read_json(name, value)?;
        list_of(&read).ok_or_else(|| self.unexpected(name, value, A_LIST))
    }

    /// An object's values as arguments of their own, whose errors read `name[…]`: real or as JSON
    /// text. `None` when it is absent or empty.
    ///
    /// # Errors
    /// `invalid-argument` when it is none.
    pub fn object(&self, name: &str) -> Result<Option<Args>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(None);
        };
        let map = match self.read_json(name, value)?.into_owned() {
            Value::Object(map) => map,
            Value::Array(items) => indexed(items),
            _ => return Err(self.unexpected(name, value, AN_OBJECT)),
        };
        Ok((!map.is_empty()).then(|| self.nested(name, map)))
    }

    /// A list or an object of any content: real or as JSON text. `None` when it is absent.
    ///
    /// # Errors
    /// `invalid-argument` when it is neither.
    pub fn opt_json(&self, name: &str) -> Result<Option<Value>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(None);
        };
        match self.read_json(name, value)?.into_owned() {
            read @ (Value::Object(_) | Value::Array(_)) => Ok(Some(read)),
            _ => Err(self.unexpected(name, value, "a list or an object, or JSON text of one")),
        }
    }

    /// The value, or what its text says as JSON; text that is no JSON as it is.
    pub(super) fn read_json<'a>(
        &self,
        name: &str,
        value: &'a Value,
    ) -> Result<Cow<'a, Value>, ApiError> {
        if let Value::String(text) = value
            && let Some(read) = json::from_text(&self.label(name), text)?
        {
            return Ok(Cow::Owned(read));
        }
        Ok(Cow::Borrowed(value))
    }
}

/// The text of a text or a number, which forms cannot tell apart.
pub(super) fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(s) => Some(Cow::Borrowed(s)),
        Value::Number(n) => Some(Cow::Owned(n.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The whole number that a value is or spells.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => n.as_i64(),
        Value::String(s) => {
            let digits = s.trim();
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The id that a value is or spells.
pub(super) fn id_of(value: &Value) -> Option<i64> {
    whole(value).filter(|id| *id > 0)
}

/// The time that a text spells.
pub(super) fn time_of(text: &str, date_only: DateOnly) -> Option<Millis> {
    let utc = |time: DateTime| {
        let zoned = time.to_zoned(TimeZone::UTC).ok()?;
        Some(Millis(zoned.timestamp().as_millisecond()))
    };
    // Jiff reads more than the documented forms; the length and the separator hold it to them.
    match text.len() {
        10 if date_only == DateOnly::Accepted => Date::strptime("%Y-%m-%d", text)
            .ok()
            .and_then(|d| utc(d.to_datetime(jiff::civil::Time::midnight()))),
        19 if text.as_bytes().get(10) == Some(&b' ') => {
            utc(DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?)
        }
        20..=40
            if matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '))
                && !text.contains('[') =>
        {
            Some(Millis(text.parse::<Timestamp>().ok()?.as_millisecond()))
        }
        _ => None,
    }
}

/// The items of a list, or of an object whose names are all numbers.
pub(super) fn list_of(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(items) => Some(items.clone()),
        Value::Object(map) => {
            let mut items = map
                .iter()
                .map(|(name, item)| Some((name.parse::<i64>().ok()?, item.clone())))
                .collect::<Option<Vec<_>>>()?;
            items.sort_by_key(|(index, _)| *index);
            Some(items.into_iter().map(|(_, item)| item).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn indexed(items: Vec<Value>) -> Map<String, Value> {
    items
        .into_iter()
        .enumerate()
        .map(|(i, item)| (i.to_string(), item))
        .collect()
}
