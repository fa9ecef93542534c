//! Readers of what only this API has: attachments, quick replies, lists of ids, user details.

use super::limits::{
    MAX_ATTACHMENT_NAME_CHARS, MAX_ATTACHMENTS, MAX_LINK_BYTES, MAX_QUICK_REPLIES,
    MAX_QUICK_REPLY_CHARS,
};
use super::read::{id_of, list_of, scalar, time_of};
use super::{ApiError, Args, Code, DateOnly, shown};
use serde_json::Value;
use switchboard_channels::model::{Choice, Millis, OutgoingAttachment};

/// Which spellings of attachments a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// `[["name", "link"], …]`.
    Named,
    /// That, or `["link", …]`: the seeds allow it for `send-sms`.
    NamedOrPlain,
}

/// From where on a caller wants to see things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Everything after this id.
    Id(i64),
    /// Everything after this time.
    Time(Millis),
}

/// What an update does to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The argument is absent: the field stays.
    Keep,
    /// `NULL`: the field is emptied.
    Clear,
    /// The new value.
    Set(String),
}

/// One additional detail of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The detail's id: `phone`.
    pub slug: String,
    /// Its name for people: `Phone`. The slug, spelt out, where none was given.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Args {
    /// Attachments: real lists, PHP's nested form fields, or JSON text. Absent and `[]` are none.
    ///
    /// # Errors
    /// `invalid-argument` when a link is no absolute http(s) address, a name holds control
    /// characters, or there are too many.
    pub fn attachments(
        &self,
        name: &str,
        links: Links,
    ) -> Result<Vec<OutgoingAttachment>, ApiError> {
        let items = self.array(name)?;
        if items.len() > MAX_ATTACHMENTS {
            return Err(self.too_many(name, items.len(), MAX_ATTACHMENTS));
        }
        let expected = match links {
            Links::Named => r#"[["name", "link"], …]"#,
            Links::NamedOrPlain => r#"[["name", "link"], …] or ["link", …]"#,
        };
        let one = |(i, item): (usize, &Value)| {
            let place = format!("{name}[{i}]");
            let (file, link) = match (item, list_of(item).as_deref()) {
                (Value::String(link), _) if links == Links::NamedOrPlain => {
                    (String::new(), link.clone())
                }
                (_, Some([file, link])) => {
                    let file = match file {
                        Value::Null => Some(String::new()),
                        other => scalar(other).map(|s| s.trim().to_owned()),
                    };
                    match (file, link) {
                        (Some(file), Value::String(link)) => (file, link.clone()),
                        _ => return Err(self.unexpected(&place, item, expected)),
                    }
                }
                _ => return Err(self.unexpected(&place, item, expected)),
            };
            if file.chars().count() > MAX_ATTACHMENT_NAME_CHARS
                || file.chars().any(char::is_control)
            {
                let expected = format!(
                    "a file name of at most {MAX_ATTACHMENT_NAME_CHARS} characters, none of them a control character"
                );
                return Err(self.unexpected(&place, &Value::String(file), &expected));
            }
            Ok(OutgoingAttachment::new(file, self.link(&place, &link)?))
        };
        items.iter().enumerate().map(one).collect()
    }

    /// Quick replies: a list of titles, or of `{"title", "payload", "url"}`.
    ///
    /// # Errors
    /// `invalid-argument` when a title is missing or too long, a link is none, or there are too many.
    pub fn quick_replies(&self, name: &str) -> Result<Vec<Choice>, ApiError> {
        let items = self.array(name)?;
        if items.len() > MAX_QUICK_REPLIES {
            return Err(self.too_many(name, items.len(), MAX_QUICK_REPLIES));
        }
        items
            .iter()
            .enumerate()
            .map(|(i, item)| self.choice(&format!("{name}[{i}]"), item))
            .collect()
    }

    fn choice(&self, place: &str, item: &Value) -> Result<Choice, ApiError> {
        let short = |text: Option<String>| {
            text.filter(|t| !t.is_empty() && t.chars().count() <= MAX_QUICK_REPLY_CHARS)
                .ok_or_else(|| {
                    let expected = format!(
                        r#"a title or {{"title", "payload", "url"}}, of at most {MAX_QUICK_REPLY_CHARS} characters each"#
                    );
                    self.unexpected(place, item, &expected)
                })
        };
        let Value::Object(map) = item else {
            let title = short(scalar(item).map(|s| s.trim().to_owned()))?;
            return Ok(Choice {
                payload: title.clone(),
                title,
                url: None,
            });
        };
        let choice = self.nested(place, map.clone());
        let title = short(choice.opt_text("title")?.map(|t| t.trim().to_owned()))?;
        let payload = match choice.opt_text("payload")? {
            Some(payload) => short(Some(payload))?,
            None => title.clone(),
        };
        let url = match choice.opt_str("url")? {
            Some(url) => Some(choice.link("url", &url)?),
            None => None,
        };
        Ok(Choice {
            title,
            payload,
            url,
        })
    }

    /// Ids: a list, JSON text, text with commas between them, or one alone. Doubles are dropped, the
    /// order is kept.
    ///
    /// # Errors
    /// `invalid-argument` when one is no positive number.
    pub fn ids(&self, name: &str) -> Result<Vec<i64>, ApiError> {
        let mut ids = Vec::new();
        for (i, item) in self.items(name)?.iter().enumerate() {
            let id = id_of(item).ok_or_else(|| {
                self.unexpected(&format!("{name}[{i}]"), item, "a positive whole number")
            })?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Words: a list, JSON text, text with commas between them, or one alone.
    ///
    /// # Errors
    /// `invalid-argument` when one is no text.
    pub fn strings(&self, name: &str) -> Result<Vec<String>, ApiError> {
        self.items(name)?
            .iter()
            .enumerate()
            .map(|(i, item)| {
                scalar(item)
                    .map(|s| s.trim().to_owned())
                    .ok_or_else(|| self.unexpected(&format!("{name}[{i}]"), item, "text"))
            })
            .collect()
    }

    /// The items of a list that may also be written with commas.
    fn items(&self, name: &str) -> Result<Vec<Value>, ApiError> {
        match self.given_nonzero(name) {
            None => Ok(Vec::new()),
            Some(Value::Number(n)) => Ok(vec![Value::Number(n.clone())]),
            Some(Value::String(text)) if !text.trim_start().starts_with(['[', '{']) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect()),
            Some(_) => self.array(name),
        }
    }

    /// Additional user details: `{"ID": ["value", "Name"], …}`, or `{"ID": "value"}`.
    ///
    /// # Errors
    /// `invalid-argument` when a detail is neither.
    pub fn details(&self, name: &str) -> Result<Vec<Detail>, ApiError> {
        let Some(object) = self.object(name)? else {
            return Ok(Vec::new());
        };
        let text = |v: &Value| match v {
            Value::Null => Some(String::new()),
            Value::Bool(b) => Some(if *b { "1" } else { "" }.to_owned()),
            other => scalar(other).map(|s| s.into_owned()),
        };
        object
            .names()
            .filter_map(|slug| Some((slug, object.raw(slug)?)))
            .map(|(slug, value)| {
                let pair = match list_of(value).as_deref() {
                    Some([value]) => text(value).zip(Some(spelt_out(slug))),
                    Some([value, name]) => text(value).zip(text(name)),
                    Some(_) => None,
                    None => text(value).zip(Some(spelt_out(slug))),
                };
                let (value, name) =
                    pair.ok_or_else(|| object.unexpected(slug, value, r#"["value", "Name"]"#))?;
                Ok(Detail {
                    slug: slug.to_owned(),
                    name,
                    value,
                })
            })
            .collect()
    }

    /// A user: an id, or an object with an `id`.
    ///
    /// # Errors
    /// `invalid-argument` when it is neither.
    pub fn opt_user(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.given_nonzero(name) else {
            return Ok(None);
        };
        match self.read_json(name, value)?.as_ref() {
            Value::Object(_) => match self.object(name)? {
                Some(user) => user.opt_id("id"),
                None => Ok(None),
            },
            _ => self.opt_id(name),
        }
    }

    /// Where a conversation comes from: a source code, or an object with one as its `source` and
    /// with the platform's own keys beside it. Gives the object in both cases.
    ///
    /// # Errors
    /// `invalid-argument` when it is neither.
    pub fn opt_source(&self, name: &str) -> Result<Option<Args>, ApiError> {
        match self.given_nonzero(name) {
            Some(Value::String(code)) if !code.trim_start().starts_with('{') => {
                let map = [("source".to_owned(), Value::from(code.trim()))];
                Ok(Some(self.nested(name, map.into_iter().collect())))
            }
            _ => self.object(name),
        }
    }

    /// The status code of a conversation, 0 to 4; `None` when it is missing, `skip` or `all`.
    ///
    /// # Errors
    /// `invalid-status-code` when it is anything else.
    pub fn opt_conversation_status(&self, name: &str) -> Result<Option<u8>, ApiError> {
        let Some(value) = self.given(name) else {
            return Ok(None);
        };
        match scalar(value).as_deref().map(str::trim) {
            Some("skip" | "all") => Ok(None),
            Some("0") => Ok(Some(0)),
            Some("1") => Ok(Some(1)),
            Some("2") => Ok(Some(2)),
            Some("3") => Ok(Some(3)),
            Some("4") => Ok(Some(4)),
            _ => Err(ApiError::new(
                Code::InvalidStatusCode,
                format!("`{name}`: found {}; expected 0, 1, 2, 3 or 4", shown(value)),
            )),
        }
    }

    /// A user type as a caller may set it.
    ///
    /// # Errors
    /// `invalid-user-type` when it is none.
    pub fn opt_user_type(&self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(user_type) = self.opt_str(name)? else {
            return Ok(None);
        };
        if ["visitor", "lead", "user", "agent", "admin"].contains(&user_type.as_str()) {
            return Ok(Some(user_type));
        }
        Err(ApiError::new(
            Code::InvalidUserType,
            format!(
                "`{name}`: found {}; expected visitor, lead, user, agent or admin",
                shown(&Value::String(user_type))
            ),
        ))
    }

    /// From where on: an id, a time, or a day.
    ///
    /// # Errors
    /// `missing-argument` when it is absent, `invalid-argument` when it is neither.
    pub fn since(&self, name: &str) -> Result<Since, ApiError> {
        let value = self.given(name).ok_or_else(|| self.missing(name))?;
        if let Some(id) = id_of(value) {
            return Ok(Since::Id(id));
        }
        match value {
            // Everything: what a client that has seen nothing yet asks for.
            _ if scalar(value).is_some_and(|s| s.trim() == "0") => Some(Since::Id(0)),
            Value::String(text) => time_of(text.trim(), DateOnly::Accepted).map(Since::Time),
            _ => None,
        }
        .ok_or_else(|| {
            self.unexpected(
                name,
                value,
                "an id, YYYY-MM-DD HH:MM:SS or YYYY-MM-DD (UTC)",
            )
        })
    }

    /// What an update does to a text: `NULL`, real or spelt, empties it; an absent or empty one
    /// leaves it.
    ///
    /// # Errors
    /// `invalid-argument` when it is no text.
    pub fn change(&self, name: &str) -> Result<Change, ApiError> {
        if self.raw(name) == Some(&Value::Null) {
            return Ok(Change::Clear);
        }
        Ok(match self.opt_text(name)? {
            Some(text) if text.trim().eq_ignore_ascii_case("null") => Change::Clear,
            Some(text) => Change::Set(text),
            None => Change::Keep,
        })
    }

    /// An absolute http(s) link: as it was written, or escaped where it holds what no request may.
    fn link(&self, place: &str, link: &str) -> Result<String, ApiError> {
        let expected = "an absolute http or https link";
        let trimmed = link.trim();
        // `https:host`, which the parser forgives, is not absolute for everyone who gets it from us.
        let parsed = url::Url::parse(trimmed)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.as_str().len() <= MAX_LINK_BYTES && trimmed.contains("://"));
        match parsed {
            Some(_) if trimmed.bytes().all(|b| b.is_ascii_graphic()) => Ok(trimmed.to_owned()),
            Some(url) => Ok(url.into()),
            None => Err(self.unexpected(place, &Value::from(link), expected)),
        }
    }

    fn too_many(&self, name: &str, found: usize, most: usize) -> ApiError {
        ApiError::invalid(format!(
            "`{}`: found {found}; at most {most} are allowed",
            self.label(name)
        ))
    }
}

/// `country_code` as people read it: `Country code`.
fn spelt_out(slug: &str) -> String {
    let words = slug.replace(['_', '-'], " ");
    let mut chars = words.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => words,
    }
}
