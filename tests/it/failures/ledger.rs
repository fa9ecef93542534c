//! What went in, and what must come out: every acknowledged message once, in its conversation's order.

use crate::word;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use switchboard_testkit::{TOKEN, World, until_within};

/// The secret of the Telegram channel that the ledger writes to.
pub(super) const SECRET: &str = "the-secret-of-the-ledger";

/// How long everything may take to come out after the last fault is mended: breakers, leases and the
/// reconciler's minute, on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(150);

/// A message that was acknowledged to whoever sent it.
#[derive(Debug, Clone)]
struct Sent {
    text: String,
    id: String,
}

/// Texts by customer, in the order in which they were acknowledged.
#[derive(Default)]
pub(super) struct Ledger {
    next: AtomicI64,
    inbound: Mutex<BTreeMap<String, Vec<String>>>,
    outbound: Mutex<BTreeMap<String, Vec<Sent>>>,
    phones: Mutex<Phones>,
}

/// What was seen on the phones, which keep the last few thousand lines only.
#[derive(Default)]
struct Phones {
    seen: BTreeSet<String>,
    texts: BTreeMap<String, Vec<String>>,
}

/// What came of a run.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) inbound: usize,
    pub(super) outbound: usize,
    pub(super) lost: Vec<String>,
    /// Twice in doubt, and so given up and told as failed: what `on_unsure` says.
    pub(super) given_up: Vec<String>,
    /// More often than once, while the message was never in doubt.
    pub(super) doubled: Vec<String>,
    /// More often than once, after an attempt whose outcome nobody knew.
    pub(super) doubted: Vec<String>,
    pub(super) out_of_order: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in, {} out; {} lost, {} given up in doubt, {} doubled, {} sent twice in doubt, {} out \
             of order",
            self.inbound,
            self.outbound,
            self.lost.len(),
            self.given_up.len(),
            self.doubled.len(),
            self.doubted.len(),
            self.out_of_order.len()
        )
    }
}

impl Report {
    /// The promises of the failure table.
    pub(super) fn expect_kept(&self) {
        let broken = [&self.lost, &self.doubled, &self.out_of_order];
        assert!(broken.iter().all(|b| b.is_empty()), "{self}\n{self:#?}");
    }
}

impl Ledger {
    fn number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::SeqCst)
    }

    /// These customers write for the first time, so that the platform lets them be written to.
    pub(super) async fn meet(&self, world: &World, customers: Range<i64>) {
        for customer in customers {
            world
                .emulator("bot")
                .say_as(&customer.to_string(), "hi")
                .await;
        }
    }

    /// A customer writes, at one of these doors (`http://HOST:PORT`), as a platform delivers it: again
    /// and again until it is acknowledged. Gives how often it was refused.
    pub(super) async fn say(&self, world: &World, doors: &[String], customer: i64) -> usize {
        let number = self.number();
        let text = format!("in {customer} {number}");
        let body = json!({"update_id": 10_000 + number, "message": {
            "message_id": 10_000 + number, "date": 1_760_000_000, "text": text,
            "chat": {"id": customer, "type": "private"},
            "from": {"id": customer, "is_bot": false, "first_name": "Robin"},
        }});
        let mut refused = 0;
        loop {
            let door = doors.get(refused % doors.len()).expect("a door");
            let request = world
                .client()
                .post(format!("{door}/webhooks/bot"))
                .header("x-telegram-bot-api-secret-token", SECRET)
                .json(&body);
            match world.try_send(request).await {
                Ok(answer) if answer.status == 200 => break,
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                Err(_nobody) => {}
            }
            refused += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut inbound = locked(&self.inbound);
        inbound.entry(customer.to_string()).or_default().push(text);
        refused
    }

    /// The chat backend sends a text, again and again under one idempotency key until it is accepted.
    pub(super) async fn send(&self, world: &World, doors: &[String], customer: i64) -> usize {
        let number = self.number();
        let text = format!("out {customer} {number}");
        let arguments = json!({
            "function": "messaging-platforms-send-message", "channel": "bot",
            "to": customer.to_string(), "message": text, "wait": 0,
            "idempotency_key": format!("ledger-{number}"),
        });
        let mut refused = 0;
        let id = loop {
            let door = doors.get(refused % doors.len()).expect("a door");
            let request = world
                .client()
                .post(format!("{door}/api"))
                .bearer_auth(TOKEN)
                .json(&arguments);
            match world.try_send(request).await {
                Ok(answer) if matches!(answer.status, 200 | 202) => {
                    break answer.word("message_id");
                }
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                Err(_nobody) => {}
            }
            refused += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let sent = Sent { text, id };
        locked(&self.outbound)
            .entry(customer.to_string())
            .or_default()
            .push(sent);
        refused
    }

    /// Reads what is new on the phones. A long run calls it again and again.
    pub(super) async fn look(&self, world: &World) {
        let lines = world.emulator("bot").phone().await;
        let mut phones = locked(&self.phones);
        for line in lines.iter().filter(|l| l["from_gateway"] == json!(true)) {
            let customer = word(line, "customer");
            if phones
                .seen
                .insert(format!("{customer} {}", word(line, "id")))
            {
                let text = word(line, "text");
                phones.texts.entry(customer).or_default().push(text);
            }
        }
    }

    /// The texts that this customer was sent, oldest first.
    fn texts_to(&self, customer: &str) -> Vec<String> {
        let phones = locked(&self.phones);
        phones.texts.get(customer).cloned().unwrap_or_default()
    }

    /// Waits until everything came out and nothing is under way, and compares.
    pub(super) async fn settle(&self, world: &World) -> Report {
        let inbound = locked(&self.inbound).clone();
        let outbound = locked(&self.outbound).clone();
        let wanted: usize = inbound.values().map(Vec::len).sum();
        // Of what is lost the report tells, not a deadline.
        let told = until_or_late("everything to be told", async || {
            (told(world).len() >= wanted).then_some(())
        });
        let phones = until_or_late("everything to be on the phones", async || {
            self.look(world).await;
            let complete = |(customer, sent): (&String, &Vec<Sent>)| {
                let texts: BTreeSet<String> = self.texts_to(customer).into_iter().collect();
                sent.iter().all(|s| texts.contains(&s.text))
            };
            outbound.iter().all(complete).then_some(())
        });
        let (told_late, phones_late) = tokio::join!(told, phones);
        if !(told_late || phones_late) {
            world.quiet().await;
        }
        self.look(world).await;
        let mut report = Report {
            inbound: wanted,
            outbound: outbound.values().map(Vec::len).sum(),
            ..Report::default()
        };
        let mut came: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for text in self::told(world) {
            let customer = text.split(' ').nth(1).unwrap_or_default().to_owned();
            came.entry(customer).or_default().push(text);
        }
        for (customer, texts) in &inbound {
            let found = came.remove(customer).unwrap_or_default();
            let doubled = compare(texts, &found, &mut report);
            report.doubled.extend(doubled);
        }
        for (customer, sent) in &outbound {
            let found = self.texts_to(customer);
            let texts: Vec<String> = sent.iter().map(|s| s.text.clone()).collect();
            let before = report.lost.len();
            let doubled = compare(&texts, &found, &mut report);
            for text in report.lost.split_off(before) {
                let id = sent.iter().find(|s| s.text == text).map(|s| s.id.clone());
                let message = world.message(&id.unwrap_or_default()).await;
                let told = message["status"] == "failed" && message["error"]["code"] == "unsure";
                if told && doubts(&message) > 1 {
                    report.given_up.push(text);
                } else {
                    report.lost.push(format!("{text}: {message}"));
                }
            }
            for text in doubled {
                let id = sent.iter().find(|s| s.text == text).map(|s| s.id.clone());
                if in_doubt(world, &id.unwrap_or_default()).await {
                    report.doubted.push(text);
                } else {
                    report.doubled.push(text);
                }
            }
        }
        report
    }
}

/// The texts of customers that the chat backend was told, each event once, in order.
fn told(world: &World) -> Vec<String> {
    let events = world.backend().named("message-sent");
    let texts = events.iter().map(|e| e.word("message"));
    texts.filter(|t| t.starts_with("in ")).collect()
}

/// Notes what is missing and what is out of order; gives what came more often than once.
fn compare(wanted: &[String], found: &[String], report: &mut Report) -> Vec<String> {
    let came: BTreeSet<&String> = found.iter().collect();
    let missing = wanted.iter().filter(|w| !came.contains(w));
    report.lost.extend(missing.cloned());
    let known: BTreeSet<&String> = wanted.iter().collect();
    let mut seen = BTreeSet::new();
    let mut doubled = Vec::new();
    let mut first = Vec::new();
    for text in found.iter().filter(|f| known.contains(f)) {
        if seen.insert(text) {
            first.push(text);
        } else {
            doubled.push(text.clone());
        }
    }
    let expected: Vec<&String> = wanted.iter().filter(|w| came.contains(w)).collect();
    let swapped = first.iter().zip(&expected).find(|(f, e)| f != e);
    if let Some((found, expected)) = swapped {
        report
            .out_of_order
            .push(format!("{found} where {expected} was due"));
    }
    doubled
}

/// Whether an attempt of a message may have arrived without our knowing.
async fn in_doubt(world: &World, id: &str) -> bool {
    doubts(&world.message(id).await) > 0
}

/// Attempts at a message whose outcome nobody knew.
fn doubts(message: &Value) -> usize {
    let attempts = message["attempts"].as_array().into_iter().flatten();
    let of_doubt = attempts.filter(|a| {
        let outcome = word(a, "outcome");
        outcome == "unsure" || outcome.is_empty()
    });
    of_doubt.count()
}

/// Waits; `true` when it was in vain.
async fn until_or_late<F: AsyncFnMut() -> Option<()>>(what: &str, mut look: F) -> bool {
    let end = tokio::time::Instant::now() + SETTLED_WITHIN;
    loop {
        if look().await.is_some() {
            return false;
        }
        if tokio::time::Instant::now() > end {
            eprintln!("waited {SETTLED_WITHIN:?} in vain for {what}");
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits with a deadline for servers that come back.
pub(super) async fn back(what: &str, world: &World) {
    until_within(Duration::from_secs(60), what, || async {
        let answer = world.get("/readyz").await;
        (answer.status == 200).then_some(())
    })
    .await;
}
