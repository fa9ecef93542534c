//! What a message costs when many are stored already.

use super::inbound::CONNECTIONS;
use crate::load::flood;
use crate::report::{Bar, Figure, Report, ratio};
use crate::rig::{Rig, Running, Setup, middle, phone, webhook};
use crate::size::Size;
use anyhow::{Result, ensure};
use rusqlite::Connection;
use std::path::Path;

/// What a webhook into the fullest store may cost more than into the emptiest.
const BAR: f64 = 1.25;
/// Messages per person.
const EACH: i64 = 10;
/// Where rows of people begin: above what the gateway makes itself.
const FIRST_USER: i64 = 1000;

/// Fills a store with people, conversations and messages of both directions.
fn fill(file: &Path, messages: i64) -> Result<i64> {
    let people = (messages / EACH).max(1);
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -262_144)?;
    let zero = i64::try_from(phone(0))?;
    let numbers =
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)";
    let of_people = [
        format!(
            "INSERT INTO users (id, first_name, last_name, phone, user_type, token, creation_time,
                last_activity)
             SELECT i + {FIRST_USER}, 'Dana', 'Fields', '+' || (i + {zero}), 'lead', 't' || i,
                1795000000000, 1795000000000 FROM n"
        ),
        format!(
            "INSERT INTO identities SELECT 'kind:whatsapp', CAST(i + {zero} AS TEXT),
                i + {FIRST_USER} FROM n"
        ),
        format!(
            "INSERT INTO identities SELECT 'phone', '+' || (i + {zero}), i + {FIRST_USER} FROM n"
        ),
        format!(
            "INSERT INTO conversations (id, user_id, channel_id, source, thread_key, thread_live,
                status_code, address, creation_time, last_update_time, last_message_id, next_seq)
             SELECT i + {FIRST_USER}, i + {FIRST_USER}, 'wa', 'wa', 'user:' || (i + {FIRST_USER}),
                1, 2, CAST(i + {zero} AS TEXT), 1795000000000, 1795000000000 + i, i + 1, 10 FROM n"
        ),
    ];
    let person = format!("(i * 7919 % {people}) + {FIRST_USER}");
    let of_messages = [
        format!(
            "INSERT INTO messages (id, conversation_id, user_id, outbound, text, status,
                creation_time, channel_id, seq, parts, parts_sent, finished_at)
             SELECT i + 1, {person}, CASE WHEN i % 2 = 0 THEN {person} ELSE 1 END, i % 2,
                printf('message %d %.480c', i, 'x'), CASE WHEN i % 2 = 0 THEN 'received' ELSE 'read' END,
                1795000000000 + i, CASE WHEN i % 2 = 0 THEN NULL ELSE 'wa' END,
                CASE WHEN i % 2 = 0 THEN NULL ELSE i END, i % 2, i % 2, NULL FROM n"
        ),
        "INSERT INTO platform_messages SELECT 'wa', printf('wamid.HBgLMTU1NTAwMDAwMDAVAgASGBI%08X%08X==', (i * 2654435761) % 4294967296, i),
            i + 1, 0 FROM n ORDER BY 2"
            .to_owned(),
        "INSERT INTO parts (message_id, idx, body, state, delivery, attempts, begun_at)
         SELECT i + 1, 0, '{\"to\":\"15550000000\",\"body\":{\"text\":\"a message\"}}', 'sent', 'read', 1,
            1795000000000 + i FROM n WHERE i % 2 = 1"
            .to_owned(),
        "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome)
         SELECT i + 1, 0, 1, 1795000000000 + i, 1795000000000 + i, 'sent' FROM n WHERE i % 2 = 1"
            .to_owned(),
    ];
    connection.execute_batch("BEGIN")?;
    for (statements, count) in [(&of_people, people), (&of_messages, messages)] {
        for statement in statements {
            let (insert, select) = statement.split_once("SELECT").unwrap_or((statement, ""));
            connection.execute(&format!("{insert} {numbers} SELECT{select}"), [count])?;
        }
    }
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(people)
}

/// Webhooks into stores of several sizes, one after the other.
pub fn measure(rig: &Rig, size: &Size, report: &mut Report) -> Result<()> {
    struct Store {
        messages: i64,
        people: usize,
        gateway: Running,
        costs: Vec<f64>,
        cpu: Vec<f64>,
    }
    let mut stores = Vec::new();
    for messages in &size.stored {
        let place = rig.place()?;
        let at = rig.configure(&place, Setup::default())?;
        rig.run(&place, "migrate")?;
        let people = fill(&place.join("bench.db"), *messages)?;
        stores.push(Store {
            messages: *messages,
            people: usize::try_from(people)?,
            gateway: rig.serve(&place, at)?.0,
            costs: Vec::new(),
            cpu: Vec::new(),
        });
    }
    for turn in 0..=size.rounds {
        for store in &mut stores {
            // Spread over everybody, so that no page is warm for being used by few.
            let hooks: Vec<Vec<u8>> = rig
                .numbers(size.hooks)
                .map(|n| {
                    webhook(std::iter::once((
                        n,
                        n.wrapping_mul(2_654_435_761) % store.people,
                    )))
                })
                .collect();
            let before = store.gateway.cpu_seconds()?;
            let run = flood(store.gateway.at, &hooks, CONNECTIONS)?;
            // The first turn warms up.
            if turn > 0 {
                store.costs.push(ratio(1e6, run.rate()));
                let used = store.gateway.cpu_seconds()? - before;
                store.cpu.push(used * 1e6 / size.hooks as f64);
            }
        }
    }
    ensure!(stores.len() > 1, "one store alone compares with nothing");
    let (Some(first), Some(last)) = (stores.first(), stores.last()) else {
        return Ok(());
    };
    let turns = last.costs.iter().zip(&first.costs);
    report.add(&Figure {
        name: "growth",
        store: "sqlite",
        queue: "memory",
        value: middle(&last.costs),
        unit: "us/webhook",
        baseline: Some(middle(&first.costs)),
        ratio: Some(middle(
            &turns.map(|(l, f)| ratio(*l, *f)).collect::<Vec<_>>(),
        )),
        bar: Some(Bar::RatioAtMost(BAR)),
        more: vec![
            ("messages", last.messages as f64),
            ("baseline_messages", first.messages as f64),
            ("cpu_us_per_webhook", middle(&last.cpu)),
            ("baseline_cpu_us_per_webhook", middle(&first.cpu)),
        ],
    })
}
