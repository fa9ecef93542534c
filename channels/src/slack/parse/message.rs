//! What a person wrote or pressed.

use super::text::{of_blocks, plain};
use super::{Hook, Understood, checked_place};
use crate::model::{
    Attachment, AttachmentKind, Effect, Event, EventBody, InboundMessage, MediaRef, Millis, Sender,
    Structured, Thread,
};
use crate::slack::config::{Layout, is_id};
use crate::slack::wire::{File, Interaction, Message, Pressed, UserProfile, is_ts};

/// Whether this is the id of a conversation.
pub fn place(id: &str) -> bool {
    is_id(id, "CGD")
}

/// The id under which a message is known: `channel:ts`.
pub fn target(channel: &str, ts: &str) -> Option<String> {
    (place(channel) && is_ts(ts)).then(|| format!("{channel}:{ts}"))
}

/// When a message was written: its `ts` is seconds and a count that also orders them.
fn time(ts: &str) -> Option<Millis> {
    let (seconds, rest) = ts.split_once('.')?;
    let millis: String = rest.chars().chain("000".chars()).take(3).collect();
    let seconds = seconds.parse::<i64>().ok()?;
    Some(Millis::from_seconds(seconds).plus(millis.parse().ok()?))
}

/// A whole name cut at its first blank.
pub fn two_names(whole: Option<String>) -> (Option<String>, Option<String>) {
    let Some(whole) = whole else {
        return (None, None);
    };
    match whole.trim().split_once(' ') {
        Some((first, last)) => (Some(first.to_owned()), Some(last.trim().to_owned())),
        None => (Some(whole), None),
    }
}

/// Text and attachments of a message. What only links somewhere else is told in words.
pub fn content(message: &Message) -> (String, Vec<Attachment>) {
    let mut text = plain(message.text.as_deref().unwrap_or_default());
    if text.trim().is_empty() {
        text = of_blocks(&message.blocks);
    }
    let mut attachments = Vec::new();
    for file in &message.files {
        match attachment(file) {
            Ok(attachment) => attachments.push(attachment),
            Err(line) => {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&line);
            }
        }
    }
    (text, attachments)
}

/// A file as an attachment, or, where its bytes are not at Slack, in words.
fn attachment(file: &File) -> Result<Attachment, String> {
    let name = file.name.clone().or_else(|| file.title.clone());
    let link = file.url_private_download.as_ref().or(file.url_private.as_ref());
    if file.mode.as_deref() == Some("external") {
        let shown = name.as_deref().unwrap_or("file");
        return Err(match &file.url_private {
            Some(link) => format!("{shown} ({link})"),
            None => shown.to_owned(),
        });
    }
    let gone = matches!(file.mode.as_deref(), Some("tombstone" | "hidden_by_limit"));
    let check = file.file_access.as_deref() == Some("check_file_info");
    let mime = file.mimetype.clone().filter(|mime| mime.contains('/'));
    let voice = file.subtype.as_deref() == Some("slack_audio");
    let kind = match mime.as_deref() {
        _ if voice => AttachmentKind::Voice,
        Some(mime) => AttachmentKind::from_mime(mime),
        None => AttachmentKind::File,
    };
    // What must be known when the bytes are fetched: a sign-in page answers 200 as well.
    let facts = format!(
        "{} {} {}",
        file.id,
        mime.as_deref().unwrap_or("-"),
        file.size.map_or_else(|| "-".to_owned(), |size| size.to_string()),
    );
    let reference = match link {
        _ if check => Some(String::new()),
        link => link.cloned(),
    };
    Ok(Attachment {
        kind,
        name,
        mime,
        size_bytes: file.size,
        media: reference.filter(|_| !gone).map(|reference| MediaRef {
            reference,
            scope: Some(facts),
        }),
    })
}

impl Hook<'_> {
    /// Which conversation a message of this place and thread belongs to, and what it answers.
    fn thread(
        &self,
        channel: &str,
        ts: Option<&str>,
        thread_ts: Option<&str>,
    ) -> (Thread, Option<String>) {
        let thread_ts = thread_ts.filter(|thread| is_ts(thread) && Some(*thread) != ts);
        let parent = thread_ts.map(|thread| format!("{channel}:{thread}"));
        let direct = channel.starts_with('D');
        let in_thread = parent.clone().filter(|_| self.settings.layout == Layout::Thread);
        let (key, address, reply_to) = match in_thread {
            _ if direct => (None, channel.to_owned(), parent),
            Some(parent) => (Some(parent.clone()), parent, None),
            None => (Some(channel.to_owned()), channel.to_owned(), parent),
        };
        let thread = Thread {
            key,
            address,
            extra: Some(channel.to_owned()),
            ..Thread::default()
        };
        (thread, reply_to)
    }

    /// A message. Nothing comes of what bots write.
    pub fn message(&self, message: &Message) -> Option<Understood> {
        if self.is_bots(message) {
            return Some((Vec::new(), Vec::new()));
        }
        let channel = checked_place(message.channel.as_deref())?;
        let ts = message.ts.as_deref()?;
        let platform_id = target(channel, ts)?;
        let writer = message.user.as_deref().or(message.bot_id.as_deref())?;
        if writer.is_empty() {
            return None;
        }
        let (text, attachments) = content(message);
        let (thread, reply_to) = self.thread(channel, Some(ts), message.thread_ts.as_deref());
        let mut facts = Vec::new();
        if let Some(subtype @ ("me_message" | "thread_broadcast")) = message.subtype.as_deref() {
            facts.push(("subtype".to_owned(), subtype.to_owned()));
        }
        let empty = text.is_empty() && attachments.is_empty();
        let sender = self.writer(writer, message.user_profile.as_ref());
        let effects = message.user.iter().map(|user| Effect::FetchProfile {
            user: user.clone(),
        });
        let event = Event {
            at: time(ts).or(self.at).unwrap_or(self.received_at),
            sender: Some(sender),
            thread: Some(thread),
            ..self.made(EventBody::Message(InboundMessage {
                platform_id,
                text,
                attachments,
                reply_to,
                unsupported: empty.then(|| "a message without text".to_owned()),
                facts,
                ..InboundMessage::default()
            }))
        };
        Some((vec![event], effects.collect()))
    }

    /// The writer of a message, with what is told of strangers.
    fn writer(&self, id: &str, told: Option<&UserProfile>) -> Sender {
        let mut sender = self.sender(id, None);
        if let Some(told) = told {
            let names = [&told.display_name, &told.real_name];
            let filled = |n: &&Option<String>| n.as_ref().is_some_and(|n| !n.trim().is_empty());
            let whole = names.into_iter().find(filled).cloned().flatten();
            let (first, last) = two_names(whole);
            sender.profile.first_name = first;
            sender.profile.last_name = last;
            let picture = told.image_192.clone().or_else(|| told.image_72.clone());
            sender.profile.image_url = picture.filter(|link| link.starts_with("https://"));
        }
        sender
    }

    /// Pressed buttons. `None`: another interaction.
    pub fn pressed(&self, interaction: &Interaction) -> Option<Understood> {
        if interaction.kind != "block_actions" || interaction.actions.is_empty() {
            return None;
        }
        let container = interaction.container.as_ref();
        let channel = container.and_then(|c| c.channel_id.as_deref());
        let channel = channel.or(interaction.channel.as_ref().map(|c| c.id.as_str()));
        let channel = checked_place(channel)?;
        let user = interaction.user.as_ref().filter(|user| !user.id.is_empty())?;
        let ts = container.and_then(|c| c.message_ts.as_deref());
        let thread_ts = container.and_then(|c| c.thread_ts.as_deref());
        let (thread, _) = self.thread(channel, ts, thread_ts);
        let of = ts.and_then(|ts| target(channel, ts));
        let team = interaction.team.as_ref().map(|team| team.id.as_str());
        let mut events = Vec::new();
        for (i, action) in interaction.actions.iter().enumerate() {
            let (payload, title) = chosen(action)?;
            let when = action.action_ts.as_deref().filter(|ts| is_ts(ts));
            let key = match (when, ts) {
                (Some(when), _) => format!("press:{channel}:{when}:{i}"),
                // Nothing tells one press from another but the whole of it.
                (None, _) => format!("{}:{i}", self.key),
            };
            let sender = self.sender(&user.id, user.team_id.as_deref().or(team));
            events.push(Event {
                key: key.clone(),
                at: when.and_then(time).unwrap_or(self.received_at),
                account: self.settings.team_id.as_ref().and(team.map(str::to_owned)),
                sender: Some(sender),
                thread: Some(thread.clone()),
                ..self.made(EventBody::Message(InboundMessage {
                    platform_id: key,
                    text: title.clone().unwrap_or_else(|| payload.clone()),
                    structured: Some(Structured {
                        payload,
                        title,
                        of: of.clone(),
                    }),
                    ..InboundMessage::default()
                }))
            });
        }
        // An interaction tells a handle, not a name.
        let effect = Effect::FetchProfile {
            user: user.id.clone(),
        };
        Some((events, vec![effect]))
    }
}

/// Payload and title of what was pressed or chosen.
fn chosen(action: &Pressed) -> Option<(String, Option<String>)> {
    let row = action.selected_option.as_ref();
    let value = action.value.clone().or_else(|| row?.value.clone());
    let payload = value.or_else(|| action.action_id.clone())?;
    let text = action.text.as_ref().or_else(|| row?.text.as_ref());
    Some((payload, text.and_then(|text| text.text.clone())))
}
