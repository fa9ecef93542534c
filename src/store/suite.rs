//! What the store promises, tried over both databases: `on_sqlite` and `on_postgres` are the same files
//! over another [`Place`]. What only one of them has to promise stands in the one alone.
//!
//! A [`Bench`] is a store with a clock that the test moves; everything is asked through the units
//! that the service uses. The builders make the smallest thing of their kind; a test changes what it
//! is about.

#[path = "suite/on_postgres.rs"]
mod on_postgres;
#[path = "suite/on_sqlite.rs"]
mod on_sqlite;

use super::inbound::{Fate, InboundBatch, apply};
use super::people::ChannelInfo;
use super::progress::PartKey;
use super::reads::{self, Since};
use super::rows::{BOT, ConversationRow, MessageRow, UserRow};
use super::sends::{self, AcceptSend, Accepted, Target};
use super::sql::Sql;
use super::work::{After, Begin, Begun, Job, Taken};
use super::{Receiver, Store, StoreError, Unit, Wakes, plans, work};
use super::{Tx, at_once};
use crate::vals;
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};
use switchboard_channels::model::{
    ConversationId, Event, EventBody, IdentityScope, InboundMessage, MailHead, MessageId, Millis,
    Part, PartBody, Receipt, Recipient, Sender, StatusUpdate, Thread, UserId,
};

/// When the tests begin.
const T0: i64 = 1_800_000_000_000;
/// An open attempt is somebody else's for so long after its last sign of life.
const DEAD_AFTER_MS: i64 = 120_000;
const DAY_MS: i64 = 86_400_000;

/// Where a store is; it goes when this is dropped.
trait Place: Send + Sync + Sized + 'static {
    /// A place where no store has been.
    fn new() -> Self;

    /// Opens the store that is there, or makes one.
    fn open(
        &self,
        receivers: Vec<Receiver>,
    ) -> impl Future<Output = Result<Store, StoreError>> + Send;
}

/// A store in a place of its own, which goes with it.
struct Bench<P: Place> {
    store: Option<Store>,
    place: P,
    now: AtomicI64,
    told: AtomicI64,
}

impl<P: Place> Drop for Bench<P> {
    fn drop(&mut self) {
        // Before its place goes.
        drop(self.store.take());
    }
}

impl<P: Place> Bench<P> {
    /// A store with one receiver, who wants everything.
    async fn open() -> Self {
        Self::with(vec![receiver("backend", &[])]).await
    }

    async fn with(receivers: Vec<Receiver>) -> Self {
        Self::at(P::new(), receivers).await
    }

    async fn at(place: P, receivers: Vec<Receiver>) -> Self {
        let store = place.open(receivers).await;
        Self {
            store: Some(store.unwrap()),
            place,
            now: AtomicI64::new(T0),
            told: AtomicI64::new(0),
        }
    }

    /// The same store, opened once more.
    async fn again(&self) -> Result<Store, StoreError> {
        self.place.open(Vec::new()).await
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::Relaxed))
    }

    fn pass(&self, ms: i64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// Runs a unit at the bench's time.
    async fn try_unit<T, F>(&self, mut unit: F) -> Result<(T, Wakes), StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>, &mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let now = self.now();
        let write = self.store().write(move |tx, context| {
            context.now = now;
            unit(tx, context)
        });
        write.await
    }

    async fn unit<T, F>(&self, unit: F) -> (T, Wakes)
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>, &mut Unit<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.try_unit(unit).await.unwrap()
    }

    async fn read<T, F>(&self, unit: F) -> T
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.store().read(unit).await.unwrap()
    }

    /// A number out of the tables.
    async fn number(&self, sql: &'static str) -> i64 {
        plans::of_a_test(sql);
        self.read(move |tx| at_once(async { tx.one(sql, &[]).await?.int() }))
            .await
    }

    /// A column of text out of the tables.
    async fn texts(&self, sql: &'static str) -> Vec<String> {
        plans::of_a_test(sql);
        self.read(move |tx| {
            at_once(async {
                let rows = tx.rows(sql, &[]).await?;
                rows.into_iter().map(|mut r| r.text()).collect()
            })
        })
        .await
    }

    /// Changes tables behind the service's back.
    async fn meddle(&self, sql: &'static str) {
        plans::of_a_test(sql);
        self.unit(move |tx, _| at_once(async { tx.exec(sql, &[]).await }))
            .await;
    }

    /// Names of the events since the last call.
    async fn news(&self) -> Vec<String> {
        self.told()
            .await
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }

    /// The events since the last call.
    async fn told(&self) -> Vec<(String, Value)> {
        let after = self.told.load(Ordering::Relaxed);
        let own = "SELECT id, function, data FROM events WHERE id > $1 ORDER BY id";
        plans::of_a_test(own);
        let rows = self
            .read(move |tx| {
                at_once(async {
                    tx.rows(own, vals![after])
                        .await?
                        .into_iter()
                        .map(|mut r| Ok((r.int()?, r.text()?, r.text()?)))
                        .collect::<Result<Vec<_>, StoreError>>()
                })
            })
            .await;
        let last = rows.last().map_or(after, |r| r.0);
        self.told.store(last, Ordering::Relaxed);
        let parse = |data: String| serde_json::from_str(&data).unwrap();
        rows.into_iter().map(|(_, f, d)| (f, parse(d))).collect()
    }

    /// Applies events of one channel.
    async fn came_to(&self, channel: &ChannelInfo, events: Vec<Event>) -> Vec<Fate> {
        let batch = InboundBatch {
            channel: channel.clone(),
            events,
            effects: Vec::new(),
        };
        let applied =
            self.unit(move |tx, unit| at_once(apply(tx, unit, std::slice::from_ref(&batch))));
        applied.await.0.concat()
    }

    /// Applies one event of the usual channel.
    async fn came(&self, event: Event) -> Fate {
        let fates = self.came_to(&bot(), vec![event]).await;
        assert_eq!(fates.len(), 1);
        fates[0]
    }

    async fn user(&self, id: UserId) -> Option<UserRow> {
        self.read(move |tx| at_once(reads::user(tx, id))).await
    }

    async fn conversation(&self, id: ConversationId) -> Option<ConversationRow> {
        self.read(move |tx| at_once(reads::conversation(tx, id)))
            .await
    }

    /// All messages of a conversation that are shown.
    async fn messages(&self, id: ConversationId) -> Vec<MessageRow> {
        self.read(move |tx| at_once(reads::messages(tx, id, Since::Id(0))))
            .await
    }

    async fn message(&self, id: MessageId) -> MessageRow {
        let row = self.read(move |tx| at_once(reads::message(tx, id))).await;
        row.expect("the message is there")
    }

    async fn outcome(&self, id: MessageId) -> reads::Outcome {
        let row = self.read(move |tx| at_once(reads::outcome(tx, id))).await;
        row.expect("the message is there")
    }

    async fn status(&self, id: MessageId) -> String {
        self.outcome(id).await.status
    }

    async fn history(&self, id: MessageId) -> reads::History {
        let row = self.read(move |tx| at_once(reads::history(tx, id))).await;
        row.expect("the message is there")
    }

    /// What became of the attempts at a message, in order.
    async fn attempts(&self, id: MessageId) -> Vec<String> {
        let history = self.history(id).await;
        history.attempts.into_iter().map(|a| a.outcome).collect()
    }

    async fn try_accept(&self, send: &AcceptSend) -> (Accepted, Wakes) {
        let send = send.clone();
        self.unit(move |tx, unit| at_once(sends::accept(tx, unit, &send)))
            .await
    }

    /// Accepts a send that must be new.
    async fn accept(&self, send: &AcceptSend) -> (MessageId, ConversationId) {
        match self.try_accept(send).await.0 {
            Accepted::New {
                message,
                conversation,
                ..
            } => (message, conversation),
            other => panic!("{other:?} instead of a new message"),
        }
    }

    async fn begin(&self, conversation: ConversationId, fence: i64) -> Begun {
        let begin = begin_at(conversation, fence);
        self.unit(move |tx, unit| at_once(work::begin(tx, unit, &begin)))
            .await
            .0
    }

    /// Begins a part, which must be there to be delivered.
    async fn deliver(&self, conversation: ConversationId, fence: i64) -> Job {
        match self.begin(conversation, fence).await {
            Begun::Deliver(job) => *job,
            other => panic!("{other:?} instead of a part"),
        }
    }

    async fn taken_unit(&self, taken: Taken) -> (After, Wakes) {
        self.unit(move |tx, unit| at_once(work::taken(tx, unit, &taken)))
            .await
    }

    /// Records a receipt without going on.
    async fn taken(&self, job: &Job, platform_id: &str) -> After {
        self.taken_unit(receipt(job, platform_id)).await.0
    }

    /// Sends a one-part message from acceptance to receipt.
    async fn send(&self, to: &str, platform_id: &str) -> (MessageId, ConversationId) {
        let (message, conversation) = self.accept(&send_to(to, 1)).await;
        let job = self.deliver(conversation, 1).await;
        assert_eq!(job.part.message, message);
        self.taken(&job, platform_id).await;
        (message, conversation)
    }
}

fn receiver(id: &str, events: &[&str]) -> Receiver {
    Receiver {
        id: id.to_owned(),
        events: events.iter().map(|e| (*e).to_owned()).collect(),
    }
}

/// The usual channel: its user ids are its own.
fn bot() -> ChannelInfo {
    ChannelInfo {
        id: "bot".to_owned(),
        kind: "telegram",
        source: "tg",
        identity: IdentityScope::Channel,
        window_hours: None,
    }
}

/// A channel whose users are telephone numbers.
fn phone(id: &str, kind: &'static str) -> ChannelInfo {
    ChannelInfo {
        id: id.to_owned(),
        kind,
        source: "wa",
        identity: IdentityScope::Phone,
        window_hours: Some(24),
    }
}

fn who(id: &str) -> Sender {
    Sender {
        ids: vec![id.to_owned()],
        ..Sender::default()
    }
}

fn event(key: &str, body: EventBody) -> Event {
    Event {
        key: key.to_owned(),
        at: Millis(T0),
        account: None,
        sender: None,
        thread: None,
        body,
    }
}

/// Something that a person does in the conversation with us.
fn from(id: &str, key: &str, body: EventBody) -> Event {
    let thread = Thread {
        address: id.to_owned(),
        ..Thread::default()
    };
    Event {
        sender: Some(who(id)),
        thread: Some(thread),
        ..event(key, body)
    }
}

/// A person writes; the platform's id of the message is the key, too.
fn wrote(id: &str, key: &str) -> Event {
    let message = InboundMessage {
        platform_id: key.to_owned(),
        text: format!("text of {key}"),
        ..InboundMessage::default()
    };
    from(id, key, EventBody::Message(message))
}

/// Changes the message of an event.
fn with(mut event: Event, change: impl FnOnce(&mut InboundMessage)) -> Event {
    match &mut event.body {
        EventBody::Message(message) => change(message),
        other => panic!("{other:?} is no message"),
    }
    event
}

/// The same in a group.
fn in_thread(mut event: Event, key: &str) -> Event {
    let thread = event.thread.get_or_insert_default();
    thread.key = Some(key.to_owned());
    thread.address = key.to_owned();
    event
}

fn status_of(
    platform_id: &str,
    status: switchboard_channels::model::DeliveryStatus,
) -> StatusUpdate {
    StatusUpdate {
        platform_id: platform_id.to_owned(),
        status,
        error: None,
        our_reference: None,
        watermark: None,
    }
}

/// A send of so many parts to a person.
fn send_to(to: &str, parts: u16) -> AcceptSend {
    AcceptSend {
        channel: bot(),
        target: Target::Recipient(recipient(to)),
        author: BOT,
        function: "telegram-send-message".to_owned(),
        text: "hello".to_owned(),
        attachments: Vec::new(),
        payload: String::new(),
        reply_to: None,
        parts: (0..parts).map(|i| part(to, i, parts)).collect(),
        bulk: false,
        send_at: None,
        deadline_at: Millis(T0 + DAY_MS),
        idempotency: None,
        stored: None,
        mirror_of: None,
    }
}

fn recipient(to: &str) -> Recipient {
    Recipient {
        address: to.to_owned(),
        ids: vec![to.to_owned()],
        phone: None,
        email: None,
        thread: None,
        extra: None,
    }
}

fn part(to: &str, index: u16, of: u16) -> String {
    let part = Part {
        message: MessageId(0),
        index,
        of,
        to: to.to_owned(),
        body: PartBody::Text {
            text: format!("part {index}"),
        },
        reply_to: None,
        choices: Vec::new(),
        expires_at: None,
        author: None,
        mail: MailHead::default(),
        thread: None,
    };
    serde_json::to_string(&part).unwrap()
}

fn begin_at(conversation: ConversationId, fence: i64) -> Begin {
    Begin {
        conversation,
        fence,
        dead_after_ms: DEAD_AFTER_MS,
    }
}

/// What the platform answered to a part.
fn receipt(job: &Job, platform_id: &str) -> Taken {
    Taken {
        attempt: job.attempt_key(),
        conversation: job.conversation,
        channel: "bot".to_owned(),
        alias_scope: "channel:bot".to_owned(),
        receipt: Receipt {
            platform_ids: vec![platform_id.to_owned()],
            answer: format!("{{\"id\":\"{platform_id}\"}}"),
            alias: None,
        },
        place: None,
        next: None,
    }
}

/// Our own reference to a part, as platforms hand it back.
fn reference(key: PartKey) -> String {
    format!("sb-{}-{}", key.message, key.idx)
}
