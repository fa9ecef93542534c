//! Events for the chat backend, written in the same transaction as what they tell of.

use super::StoreError;
use super::sql::Sql;
use crate::vals;
use serde_json::Value;
use switchboard_channels::model::{MessageId, Millis};

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
    /// Whether something is to be shown at a desk or brought back from there.
    pub mirror: bool,
}

impl Wakes {
    /// Adds another unit's.
    pub fn extend(&mut self, other: Self) {
        self.events.extend(other.events);
        self.media.extend(other.media);
        self.effects.extend(other.effects);
        self.sends.extend(other.sends);
        self.outcomes.extend(other.outcomes);
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

    /// Writes an event for everybody who wants it. `group` keeps the order: the conversation, or 0.
    pub async fn emit<S: Sql>(
        &mut self,
        sql: &mut S,
        function: &'static str,
        group: i64,
        data: &Value,
    ) -> Result<(), StoreError> {
        if !self.wanted(function) {
            return Ok(());
        }
        if group > 0 {
            // Events are delivered by their numbers: nobody else may take one for this group between
            // this one's number and its commit. The units that get here hold it already.
            super::locks::conversation(sql, self, group).await?;
        }
        let uid = format!("evt_{}", uuid::Uuid::now_v7().simple());
        let event = sql
            .one(
                "INSERT INTO events (uid, function, data, created_at) VALUES ($1, $2, $3, $4)
                 RETURNING id",
                vals![&uid, function, &data.to_string(), self.now.0],
            )
            .await?
            .int()?;
        for receiver in self.receivers.iter().filter(|r| r.wants(function)) {
            sql.exec(
                "INSERT INTO deliveries (event_id, webhook_id, group_id, open, next_at)
                 VALUES ($1, $2, $3, TRUE, $4)",
                vals![event, &receiver.id, group, self.now.0],
            )
            .await?;
            let wake = (receiver.id.clone(), group);
            if self.wakes.events.last() != Some(&wake) {
                self.wakes.events.push(wake);
            }
        }
        Ok(())
    }
}
