//! What only mail has: heads that callers choose, and threads that have to be found and kept.

use super::ids::{ConversationId, MessageId, Millis};
use serde::{Deserialize, Serialize};

/// A hint of an inbound mail at the conversation that it continues. An adapter cannot look anything
/// up, so it names what it read, the surest first; the service follows the first that leads to a live
/// conversation of the channel in which the sender takes part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clue", rename_all = "snake_case")]
pub enum ThreadClue {
    /// A conversation that we named ourselves, in an address or a subject, with a valid MAC.
    Conversation {
        /// Which.
        id: ConversationId,
    },
    /// It answers a message with this platform id, sent or received.
    Message {
        /// The id.
        platform_id: String,
    },
    /// It answers a message of ours, told by the pattern of the id that we gave it: holds also when
    /// the send was never recorded.
    Sent {
        /// Our id of the message.
        message: MessageId,
    },
    /// The same person wrote under this title not long ago.
    Recent {
        /// The title, as [`base_subject`] leaves it.
        title: String,
        /// How long ago the conversation may have ended, in milliseconds.
        within_ms: i64,
    },
}

/// Why nobody wrote this mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// A notice that nobody asked for.
    Generated,
    /// The answer of a machine.
    Replied,
}

/// What a caller chooses of a mail beside its content.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailHead {
    /// The subject; `None`: that of the conversation, or the channel's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The sender's shown name in place of the channel's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_name: Option<String>,
    /// The HTML alternative in place of one made from the text. Cleaned before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Set when no person wrote it: mail programs must not answer it by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
}

impl MailHead {
    /// Whether nothing was chosen.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where an outbound mail stands. Written into the part by the transaction that accepts the send and
/// never changed, so that every try is the same bytes under the same Message-ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailThread {
    /// The conversation: what a reply address carries.
    pub conversation: ConversationId,
    /// When the send was accepted, or is due: the mail's `Date`.
    pub at: Millis,
    /// The conversation's subject, as [`base_subject`] leaves it; empty: it has none.
    #[serde(default)]
    pub subject: String,
    /// The platform id of the mail that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<String>,
    /// Those that came before it, the oldest first, that one included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// What mail programs put before the subject of an answer or a forwarded mail: English, German,
/// French, Dutch, Swedish, Danish, Norwegian, Finnish, Spanish, Portuguese, Italian, Polish, Czech,
/// Turkish, Hungarian, Chinese.
const PREFIXES: [&str; 24] = [
    "re", "sv", "vs", "aw", "wg", "tr", "rv", "enc", "r", "odp", "fw", "fwd", "vl", "antw", "rif",
    "ref", "res", "ynt", "rép", "vá", "doorst", "答复", "回复", "转发",
];

/// A subject without the prefixes of answers (`Re: `, `AW: `, `Sv[2]: `), which mail programs add and
/// translate. Two subjects are of one thread when these are equal.
pub fn base_subject(subject: &str) -> &str {
    let mut rest = subject.trim();
    while let Some((head, tail)) = rest.split_once([':', '：']) {
        let word = head.split('[').next().unwrap_or_default().trim();
        let counter = head.get(word.len()..).unwrap_or_default().trim();
        let counted = counter.is_empty()
            || counter
                .strip_prefix('[')
                .and_then(|c| c.strip_suffix(']'))
                .is_some_and(|c| !c.is_empty() && c.bytes().all(|b| b.is_ascii_digit()));
        let known = PREFIXES.iter().any(|p| word.to_lowercase() == *p);
        if !known || !counted {
            break;
        }
        rest = tail.trim_start();
    }
    rest.trim_end()
}

/// The form in which subjects are compared: without prefixes, in lower case, white space as one space.
pub fn subject_key(subject: &str) -> String {
    let words: Vec<&str> = base_subject(subject).split_whitespace().collect();
    words.join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_answers_go() {
        for (subject, base) in [
            ("Hello", "Hello"),
            ("Re: Hello", "Hello"),
            ("RE: AW: Sv: Hello ", "Hello"),
            ("Re[2]: Hello", "Hello"),
            ("Fwd: Re: Hello: world", "Hello: world"),
            ("答复：你好", "你好"),
            ("Rép : Bonjour", "Bonjour"),
            ("Order 7: Re: late", "Order 7: Re: late"),
            ("Re[x]: Hello", "Re[x]: Hello"),
            ("Re:", ""),
            ("", ""),
            ("::::", "::::"),
        ] {
            assert_eq!(base_subject(subject), base, "{subject:?}");
        }
        assert_eq!(subject_key("RE:  My\t Order "), "my order");
    }
}
