//! Chats and messages as one string each: what the store keeps and a caller may write.
//!
//! | what | form | example |
//! |---|---|---|
//! | private chat, group, channel | `chat` | `5550001001`, `-1001900000001` |
//! | public group or channel | `@name` | `@desk_news` |
//! | topic of a forum | `chat:topic` | `-1001900000001:77` |
//! | private chat of a business account | `chat@connection` | `5550001003@BC-1` |
//! | message | `chat:message` (no topic) | `-1001900000001:902` |
//!
//! A business chat has the same chat id as the bot's own chat with that person, and both count
//! their messages on their own: without the connection two messages would share an id.

use std::fmt;

/// How Telegram names a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatId {
    /// By number: people are positive, groups and channels negative. At most 52 bits.
    Number(i64),
    /// By public name, with its `@`.
    Name(String),
}

/// Where a message goes to or came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The chat.
    pub chat: ChatId,
    /// The business connection through which the bot speaks for a person.
    pub connection: Option<String>,
    /// The topic of a forum.
    pub topic: Option<i64>,
}

impl Address {
    /// A chat without topic or connection.
    pub const fn chat(id: i64) -> Self {
        Self {
            chat: ChatId::Number(id),
            connection: None,
            topic: None,
        }
    }

    /// The chat through this business connection, where there is one.
    #[must_use]
    pub fn via(mut self, connection: Option<&str>) -> Self {
        self.connection = connection.map(str::to_owned);
        self
    }

    /// Reads the forms above; blanks around them are ignored. `None`: it is no such address.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('@') {
            // Public names: letters, digits, underscores, a letter first, 4 to 32 of them.
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            let fits = (4..=32).contains(&name.len())
                && name.bytes().all(word)
                && name.starts_with(|c: char| c.is_ascii_alphabetic());
            return fits.then(|| Self {
                chat: ChatId::Name(text.to_owned()),
                connection: None,
                topic: None,
            });
        }
        let (text, topic) = match text.split_once(':') {
            Some((chat, topic)) => (chat, Some(number(topic).filter(|t| *t > 0)?)),
            None => (text, None),
        };
        let (chat, connection) = match text.split_once('@') {
            Some((chat, connection)) => {
                let fits = is_connection(connection);
                (chat, Some(fits.then(|| connection.to_owned())?))
            }
            None => (text, None),
        };
        let id = number(chat).filter(|id| *id != 0 && id.unsigned_abs() < 1 << 52)?;
        Some(Self {
            chat: ChatId::Number(id),
            connection,
            topic,
        })
    }

    /// The chat's number, where it is named by one.
    pub const fn number(&self) -> Option<i64> {
        match self.chat {
            ChatId::Number(id) => Some(id),
            ChatId::Name(_) => None,
        }
    }

    /// Whether it is the bot's own chat with one person.
    pub fn is_private(&self) -> bool {
        self.connection.is_none() && self.number().is_some_and(|id| id > 0)
    }

    /// The id of a message in this chat, as everything outside this folder knows it.
    pub fn message(&self, message_id: impl fmt::Display) -> String {
        let chat = Self {
            topic: None,
            ..self.clone()
        };
        format!("{chat}:{message_id}")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chat {
            ChatId::Number(id) => write!(f, "{id}")?,
            ChatId::Name(name) => f.write_str(name)?,
        }
        if let Some(connection) = &self.connection {
            write!(f, "@{connection}")?;
        }
        if let Some(topic) = self.topic {
            write!(f, ":{topic}")?;
        }
        Ok(())
    }
}

/// Takes a message's id apart: the chat and Telegram's number of the message in it. `None` for what
/// is no message of a chat (a pressed button).
pub fn parse_message(id: &str) -> Option<(Address, i64)> {
    let (chat, message) = id.rsplit_once(':')?;
    let chat = Address::parse(chat).filter(|a| a.topic.is_none())?;
    Some((chat, number(message).filter(|m| *m > 0)?))
}

/// Whether a business connection's id can stand in an address.
pub fn is_connection(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'=';
    (1..=128).contains(&text.len()) && text.bytes().all(word)
}

/// A number written with digits and at most a minus: `+46…` is a telephone number.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in [
            "5550001001",
            "-1001900000001",
            "-1001900000001:77",
            "@desk_news",
            "5550001003@BC-1",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse(" 007 ").unwrap().to_string(), "7");
    }

    #[test]
    fn nonsense_is_no_address() {
        for text in [
            "",
            "0",
            "-",
            "+4670174",
            "12a",
            "1.5",
            "@",
            "@ab",
            "@1abc",
            "@na me",
            "5:",
            "5:0",
            "5:-1",
            "5:6:7",
            "5@",
            "5@a b",
            "9223372036854775807",
            "99999999999999999999",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn message_ids_name_their_chat() {
        let topic = Address::parse("-1001900000001:77").unwrap();
        assert_eq!(topic.message(902), "-1001900000001:902");
        for chat in ["-1001900000001", "5550001003@BC-1", "@desk_news"] {
            let chat = Address::parse(chat).unwrap();
            assert_eq!(parse_message(&chat.message(12)), Some((chat, 12)));
        }
        for text in ["12", "5:0", "callback:12", "5:e3", "5:6:7", "5:99999999999999999999"] {
            assert_eq!(parse_message(text), None, "{text}");
        }
    }
}
