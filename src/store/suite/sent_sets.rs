//! Sends, beginnings and receipts that are written together leave what they leave one by one.
//!
//! Two stores live through the same story, one taking everything alone. Ids are the same as long as they
//! do the same, so rows are compared whole.

use super::sets::Dice;
use super::workers::put_off;
use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use switchboard_channels::Class;
use switchboard_channels::model::{DeliveryStatus, ReplyToken};

/// Rounds of the story.
const ROUNDS: u32 = 120;

impl Dice {
    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn of<'t, T>(&mut self, all: &'t [T]) -> Option<&'t T> {
        let count = u64::try_from(all.len()).unwrap();
        let n = self.below(count.max(1));
        all.get(usize::try_from(n).unwrap())
    }
}

/// Everything that stands there, row by row. Numbers of events and attempts that mean nothing are left out.
const LEFT: &[&str] = &[
    "SELECT 'conversation ' || CAST(t AS TEXT) FROM conversations t ORDER BY t.id",
    "SELECT 'message ' || CAST(t AS TEXT) FROM messages t ORDER BY t.id",
    "SELECT 'part ' || CAST(t AS TEXT) FROM parts t ORDER BY t.message_id, t.idx",
    "SELECT 'attempt ' || CAST(ROW(t.message_id, t.idx, t.no, t.started_at, t.ended_at, t.outcome, t.code,
        t.message) AS TEXT) FROM attempts t ORDER BY t.message_id, t.idx, t.id",
    "SELECT 'id ' || CAST(t AS TEXT) FROM platform_messages t ORDER BY t.channel_id, t.platform_id",
    "SELECT 'early ' || CAST(t AS TEXT) FROM early_statuses t
        ORDER BY t.channel_id, t.platform_id, t.status",
    "SELECT 'person ' || CAST(t AS TEXT) FROM identities t ORDER BY t.scope, t.platform_user_id",
    "SELECT 'key ' || CAST(t AS TEXT) FROM idempotency_keys t ORDER BY t.key",
    "SELECT 'told ' || CAST(ROW(d.group_id, d.webhook_id, d.open, d.next_at, e.function, e.data,
        e.created_at) AS TEXT) FROM events e JOIN deliveries d ON d.event_id = e.id
        ORDER BY d.group_id, e.id, d.webhook_id",
];

/// Accepts sends that come at the same moment.
pub(super) async fn accepted(
    bench: &Bench,
    together: bool,
    sends: Vec<AcceptSend>,
) -> Vec<(Accepted, Wakes)> {
    if together {
        let sends: Vec<_> = sends.into_iter().map(Arc::new).collect();
        let unit = bench.unit(move |tx, unit| at_once(sends::accept_all(tx, unit, &sends)));
        return unit.await.0;
    }
    let mut all = Vec::new();
    for send in &sends {
        all.push(bench.try_accept(send).await);
    }
    all
}

/// One store's way through the story, and what it was told by the way.
struct Story {
    bench: Bench,
    together: bool,
    dice: Dice,
    /// Attempts that were begun and of which nothing is recorded.
    open: Vec<Job>,
    /// Receipts that were recorded, perhaps not for the last time.
    recorded: Vec<Taken>,
    fences: BTreeMap<i64, i64>,
    ids: u64,
    heard: Vec<String>,
}

impl Story {
    async fn new(together: bool) -> Self {
        Self {
            bench: Bench::with(vec![
                receiver("backend", &[]),
                receiver("other", &["sms-sent"]),
            ])
            .await,
            together,
            dice: Dice(0x2545_F491_4F6C_DD1D),
            open: Vec::new(),
            recorded: Vec::new(),
            fences: BTreeMap::new(),
            ids: 0,
            heard: Vec::new(),
        }
    }

    fn hear(&mut self, what: &str, heard: &impl std::fmt::Debug) {
        self.heard.push(format!("{what}: {heard:?}"));
    }

    /// One of three, of which one knows people by their numbers, too.
    fn channel(&mut self) -> ChannelInfo {
        match self.dice.below(8) {
            0 => ChannelInfo {
                id: "texts".to_owned(),
                source: "tx",
                ..bot()
            },
            1 | 2 => phone("phone", "whatsapp"),
            _ => bot(),
        }
    }

    fn person(&mut self) -> String {
        format!("person-{}", self.dice.below(6))
    }

    /// An id of the platform's, mostly a new one.
    fn id(&mut self) -> String {
        if self.dice.one_in(12) {
            return format!("id-{}", self.dice.below(self.ids + 1));
        }
        self.ids += 1;
        format!("id-{}", self.ids)
    }

    fn send(&mut self) -> AcceptSend {
        let to = self.person();
        let parts = if self.dice.one_in(5) { 2 } else { 1 };
        let mut send = AcceptSend {
            channel: self.channel(),
            bulk: self.dice.one_in(3),
            deadline_at: self
                .bench
                .now()
                .plus(if self.dice.one_in(8) { 2_000 } else { DAY_MS }),
            ..send_to(&to, parts)
        };
        let change = self.dice.below(12);
        for body in &mut send.parts {
            let mut part: Part = serde_json::from_str(body).unwrap();
            match change {
                0 => part.to = String::new(),
                1 => part.reply_to = Some(format!("id-{}", self.dice.below(self.ids + 1))),
                _ => {}
            }
            *body = serde_json::to_string(&part).unwrap();
        }
        send
    }

    /// To whom, when, and under which key.
    fn addressed(&mut self) -> AcceptSend {
        let mut send = self.send();
        let conversations: Vec<i64> = self.fences.keys().copied().chain([99_999]).collect();
        match (&mut send.target, self.dice.below(8)) {
            (target, 0..=2) => {
                let id = *self.dice.of(&conversations).unwrap();
                *target = Target::Conversation(ConversationId(id));
            }
            // Two names, of which one may be new, or lead to somebody else.
            (Target::Recipient(recipient), 3) => {
                recipient.phone = Some(format!("+4930{}", self.dice.below(4)));
            }
            (Target::Recipient(recipient), 4) => {
                recipient.thread = Some(format!("group-{}", self.dice.below(3)));
                if self.dice.one_in(2) {
                    recipient.ids.clear();
                }
            }
            (Target::Recipient(recipient), 5) => {
                recipient.ids = vec![format!("new-{}", self.dice.below(40))];
            }
            _ => {}
        }
        send.send_at = match self.dice.below(16) {
            0 => Some(self.bench.now().plus(60_000)),
            1 => Some(self.bench.now().plus(-5)),
            _ => None,
        };
        send.idempotency = self.dice.one_in(3).then(|| sends::Idempotency {
            key: format!("key-{}-{}", self.bench.now().0 / 5000, self.dice.below(4)),
            arguments: format!("arguments-{}", self.dice.below(2)),
        });
        send
    }

    async fn sends(&mut self) {
        let sends: Vec<_> = (0..self.dice.below(12)).map(|_| self.addressed()).collect();
        let done = accepted(&self.bench, self.together, sends).await;
        for (accepted, wakes) in done {
            if let Accepted::New { conversation, .. } = &accepted {
                self.fences.entry(conversation.0).or_insert(1);
            }
            self.hear("accepted", &(accepted, wakes));
        }
    }

    /// What comes from the platforms: right to answer, statuses before and after their time, evidence.
    async fn comes(&mut self) {
        for n in 0..self.dice.below(4) {
            let key = format!("came {} {n}", self.bench.now().0);
            let event = match self.dice.below(4) {
                0 => {
                    let mut event = wrote(&self.person(), &key);
                    let token = ReplyToken {
                        token: key,
                        expires_at: self.bench.now().plus(1500),
                    };
                    event.thread.get_or_insert_default().reply_token = Some(token);
                    event
                }
                1 => {
                    let id = format!("id-{}", self.ids + 1 + self.dice.below(3));
                    event(
                        &key,
                        EventBody::Status(status_of(&id, DeliveryStatus::Delivered)),
                    )
                }
                2 => {
                    let id = format!("id-{}", self.dice.below(self.ids + 1));
                    event(
                        &key,
                        EventBody::Status(status_of(&id, DeliveryStatus::Failed)),
                    )
                }
                _ => {
                    let Some(job) = self.dice.of(&self.open).cloned() else {
                        continue;
                    };
                    let status = StatusUpdate {
                        our_reference: Some(reference(job.key())),
                        ..status_of(&format!("proof {key}"), DeliveryStatus::Sent)
                    };
                    event(&key, EventBody::Status(status))
                }
            };
            let channel = self.channel();
            let fates = self.bench.came_to(&channel, vec![event]).await;
            self.hear("came", &fates);
        }
    }

    /// Under a lease that is mostly good.
    fn begin_at(&mut self, conversation: i64) -> Begin {
        let fence = self.fences.entry(conversation).or_insert(1);
        match self.dice.below(8) {
            0 => *fence += 1,
            1 => return begin_at(ConversationId(conversation), *fence - 1),
            _ => {}
        }
        begin_at(ConversationId(conversation), *fence)
    }

    async fn begins(&mut self) {
        let all: Vec<i64> = self.fences.keys().copied().chain([99_999]).collect();
        let mut begins = Vec::new();
        for _ in 0..self.dice.below(8) {
            let conversation = *self.dice.of(&all).unwrap();
            begins.push(self.begin_at(conversation));
        }
        let begun = if self.together {
            let unit = self
                .bench
                .unit(move |tx, unit| at_once(work::begin_all(tx, unit, &begins)));
            unit.await.0
        } else {
            let mut all = Vec::new();
            for begin in begins {
                let unit = self
                    .bench
                    .unit(move |tx, unit| at_once(work::begin(tx, unit, &begin)));
                all.push(unit.await);
            }
            all
        };
        for (begun, wakes) in begun {
            self.hear("begun", &(&begun, wakes));
            self.found(begun).await;
        }
    }

    /// What a worker does with what it found.
    async fn found(&mut self, begun: Begun) {
        match begun {
            Begun::Deliver(job) => self.open.push(*job),
            Begun::InDoubt { job, .. } if self.dice.one_in(2) => {
                let attempt = job.attempt_key();
                let sent_again = self
                    .bench
                    .unit(move |tx, unit| at_once(work::resend(tx, unit, attempt)));
                let again = sent_again.await.0;
                self.hear("sent again", &again);
            }
            _ => {}
        }
    }

    fn receipt(&mut self, job: &Job) -> Taken {
        let mut taken = receipt(job, &self.id());
        match self.dice.below(12) {
            0 => taken.receipt.platform_ids.clear(),
            1 => taken.receipt.platform_ids.push(self.id()),
            2 => taken.receipt.alias = Some(format!("alias-{}", self.dice.below(9))),
            _ => {}
        }
        if self.dice.one_in(5) {
            taken.channel = "texts".to_owned();
        }
        taken.next = (!self.dice.one_in(3)).then(|| self.begin_at(job.conversation.0));
        taken
    }

    /// Some of what is under way ends, some ends well, some for the second time.
    async fn receipts(&mut self) {
        let mut receipts = Vec::new();
        for job in std::mem::take(&mut self.open) {
            match self.dice.below(12) {
                0 => self.open.push(job),
                // Its worker is heard of no more, or only later.
                1 => {
                    let receipt = self.receipt(&job);
                    self.recorded.push(receipt);
                }
                2 => {
                    let class = if self.dice.one_in(2) {
                        Class::Retry
                    } else {
                        Class::Unsure
                    };
                    let put_off = put_off(&job, class, self.bench.now().0);
                    let wakes = self.bench.put_off(put_off).await;
                    self.hear("put off", &wakes);
                }
                _ => receipts.push(self.receipt(&job)),
            }
        }
        if self.dice.one_in(2) {
            let again = self.dice.of(&self.recorded).cloned();
            receipts.extend(again);
        }
        self.recorded.extend(receipts.iter().cloned());
        let done = if self.together {
            let receipts: Vec<_> = receipts.into_iter().map(Arc::new).collect();
            let unit = self
                .bench
                .unit(move |tx, unit| at_once(work::taken_all(tx, unit, &receipts)));
            unit.await.0
        } else {
            let mut all = Vec::new();
            for receipt in receipts {
                all.push(self.bench.taken_unit(receipt).await);
            }
            all
        };
        for (after, wakes) in done {
            self.hear("taken", &(&after, wakes));
            self.found(after.next).await;
        }
    }

    async fn told(mut self) -> Vec<String> {
        for _ in 0..ROUNDS {
            let past = if self.dice.one_in(15) {
                DEAD_AFTER_MS
            } else {
                700
            };
            self.bench.pass(past);
            self.sends().await;
            self.comes().await;
            self.begins().await;
            self.receipts().await;
        }
        for sql in LEFT {
            let rows = self.bench.texts(sql).await;
            self.heard.extend(rows);
        }
        self.heard
    }
}

fn count(heard: &[String], what: &str) -> usize {
    heard.iter().filter(|line| line.contains(what)).count()
}

#[tokio::test]
async fn together_is_the_same_as_one_by_one() {
    let alone = Story::new(false).await.told().await;
    let together = Story::new(true).await.told().await;
    for (one, other) in together.iter().zip(&alone) {
        assert_eq!(one, other);
    }
    assert_eq!(together.len(), alone.len());
    // It was about something.
    for (what, least) in [
        ("accepted: (New", 300),
        ("accepted: (Known", 5),
        ("accepted: (Conflict", 5),
        ("accepted: (Gone", 5),
        ("scheduled: true", 10),
        ("message-sent", 300),
        ("taken: (After { next: Deliver", 50),
        ("taken: (After { next: Nothing, more: None", 10),
        ("taken: (After { next: Nothing, more: Some(", 10),
        ("taken: (After { next: Stale", 5),
        ("begun: (Deliver", 50),
        ("begun: (Stale", 10),
        ("begun: (InDoubt", 10),
        ("reply_token: Some(", 3),
        ("message-status-updated", 100),
        ("sms-sent", 10),
        ("too-old", 5),
        ("early ", 1),
    ] {
        let found = count(&together, what);
        assert!(found >= least, "{what}: {found}");
    }
}
