//! Events for the chat backend, written in the same transaction as what they tell of.

use super::StoreError;
use super::sql::{Sql, Text};
use crate::vals;
use std::fmt::Display;
use switchboard_channels::model::{ConversationId, MessageId, Millis};

/// A delivery of the event that was written last: its number is not waited for. Deliveries have no
/// numbers of their own that could come between.
const DELIVERY: Text = Text::each(
    "INSERT INTO deliveries (webhook_id, group_id, open, next_at, event_id)
     VALUES ($1, $2, TRUE, $3, last_insert_rowid())",
    "INSERT INTO deliveries (webhook_id, group_id, open, next_at, event_id)
     VALUES ($1, $2, TRUE, $3, lastval())",
);

/// Events, numbered in their order, with their deliveries.
const EVENTS: Text = Text::each(
    "",
    "WITH e AS (INSERT INTO events (uid, function, data, created_at)
        SELECT q.uid, q.function, q.data, $4 FROM unnest($1::text[], $2::text[], $3::text[])
            WITH ORDINALITY AS q (uid, function, data, no) ORDER BY q.no RETURNING id, uid)
     INSERT INTO deliveries (webhook_id, group_id, open, next_at, event_id)
        SELECT d.webhook, d.group_id, TRUE, $4, e.id
        FROM unnest($5::text[], $6::text[], $7::bigint[]) AS d (uid, webhook, group_id)
        JOIN e ON e.uid = d.uid",
);

/// A receiver of events.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// Its id in the configuration.
    pub id: String,
    /// The events it wants; empty = all.
    pub events: Vec<String>,
}

impl Receiver {
    fn wants(&self, function: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|e| e == function)
    }
}

/// An event that is to be written.
#[derive(Debug)]
pub(super) struct News {
    /// Its name.
    pub function: &'static str,
    /// What keeps its order: the conversation, or 0.
    pub group: i64,
    /// What it says, JSON.
    pub data: String,
}

/// A message of one part that the platform has taken: all that its caller waits for.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The message.
    pub message: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The platform's answer.
    pub answer: String,
}

/// What must be woken after the commit. The store knows no queue, so it only names things.
#[derive(Debug, Default)]
pub struct Wakes {
    /// Receivers and the groups in which they have news.
    pub events: Vec<(String, i64)>,
    /// Attachments to be fetched: channel and row.
    pub media: Vec<(String, i64)>,
    /// Effects to be run: channel and row.
    pub effects: Vec<(String, i64)>,
    /// Conversations with something to send: channel, conversation, whether all of it is bulk.
    pub sends: Vec<(String, i64, bool)>,
    /// Messages whose outcome became known.
    pub outcomes: Vec<MessageId>,
    /// The whole outcome of some of them.
    pub sent: Vec<Sent>,
    /// Whether something is to be shown at a desk or brought back from there.
    pub mirror: bool,
}

impl Wakes {
    /// A receiver has news in a group.
    pub(super) fn add_event(&mut self, wake: (String, i64)) {
        if self.events.last() != Some(&wake) {
            self.events.push(wake);
        }
    }

    /// Whether there is nothing to be woken.
    pub fn is_empty(&self) -> bool {
        let Self {
            events,
            media,
            effects,
            sends,
            outcomes,
            sent,
            mirror,
        } = self;
        events.is_empty()
            && media.is_empty()
            && effects.is_empty()
            && sends.is_empty()
            && outcomes.is_empty()
            && sent.is_empty()
            && !mirror
    }

    /// Adds another unit's.
    pub fn extend(&mut self, other: Self) {
        self.events.extend(other.events);
        self.media.extend(other.media);
        self.effects.extend(other.effects);
        self.sends.extend(other.sends);
        self.outcomes.extend(other.outcomes);
        self.sent.extend(other.sent);
        self.mirror |= other.mirror;
    }
}

/// What a unit needs beside its input.
pub struct Unit<'a> {
    /// Who hears of events.
    pub receivers: &'a [Receiver],
    /// Channels at which the conversations of others are shown.
    pub desks: &'a [super::mirror::Desk],
    /// Makes links of kept attachments.
    pub links: &'a crate::media::Links,
    /// Now.
    pub now: Millis,
    /// What to wake afterwards.
    pub wakes: Wakes,
    /// The conversations that this unit holds already.
    pub(super) held: Vec<i64>,
}

/// A new id of an event, for its receiver.
fn new_uid() -> String {
    format!("evt_{}", uuid::Uuid::now_v7().simple())
}

impl Unit<'_> {
    /// Whether anybody wants this event; saves building it.
    pub fn wanted(&self, function: &str) -> bool {
        self.receivers.iter().any(|r| r.wants(function))
    }

    /// Whether this unit holds a conversation already; from now on it does.
    pub(super) fn holds(&mut self, conversation: i64) -> bool {
        let held = self.held.contains(&conversation);
        if !held {
            self.held.push(conversation);
        }
        held
    }

    /// Writes an event for everybody who wants it. `data` shows itself as JSON. `group` keeps the order: the conversation, or 0.
    pub async fn emit<S: Sql>(
        &mut self,
        sql: &mut S,
        function: &'static str,
        group: i64,
        data: impl Display,
    ) -> Result<(), StoreError> {
        if !self.wanted(function) {
            return Ok(());
        }
        if group > 0 {
            // Events are delivered by their numbers: nobody else may take one for this group between
            // this one's number and its commit. The units that get here hold it already.
            super::locks::conversation(sql, self, group).await?;
        }
        let uid = new_uid();
        sql.later(
            "INSERT INTO events (uid, function, data, created_at) VALUES ($1, $2, $3, $4)",
            vals![&uid, function, &data.to_string(), self.now.0],
        )
        .await?;
        for receiver in self.receivers.iter().filter(|r| r.wants(function)) {
            sql.later(DELIVERY, vals![&receiver.id, group, self.now.0])
                .await?;
            self.wakes.add_event((receiver.id.clone(), group));
        }
        Ok(())
    }

    /// Writes events of conversations that this unit holds, in their order, where a statement takes a
    /// set of them. Says whom to wake for what each belongs to.
    pub(super) async fn emit_all<S: Sql>(
        &self,
        sql: &mut S,
        news: &[(usize, News)],
    ) -> Result<Vec<(usize, (String, i64))>, StoreError> {
        if news.is_empty() {
            return Ok(Vec::new());
        }
        let uids: Vec<String> = news.iter().map(|_| new_uid()).collect();
        let (mut of, mut receivers, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let mut wakes = Vec::new();
        for ((about, told), uid) in news.iter().zip(&uids) {
            for receiver in self.receivers.iter().filter(|r| r.wants(told.function)) {
                of.push(Some(uid.as_str()));
                receivers.push(Some(receiver.id.as_str()));
                groups.push(Some(told.group));
                wakes.push((*about, (receiver.id.clone(), told.group)));
            }
        }
        let names: Vec<_> = uids.iter().map(|uid| Some(uid.as_str())).collect();
        let functions: Vec<_> = news.iter().map(|(_, told)| Some(told.function)).collect();
        let data: Vec<_> = news.iter().map(|(_, t)| Some(t.data.as_str())).collect();
        sql.later(
            EVENTS,
            vals![
                &names[..],
                &functions[..],
                &data[..],
                self.now.0,
                &of[..],
                &receivers[..],
                &groups[..]
            ],
        )
        .await?;
        Ok(wakes)
    }
}
