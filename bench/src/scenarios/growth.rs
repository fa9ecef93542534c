//! What a message costs when many are stored already.

use super::inbound::CONNECTIONS;
use crate::load::flood;
use crate::report::{Bar, Figure, Report, ratio};
use crate::rig::{Place, Rig, Running, Setup, middle, phone, webhook};
use crate::servers::Pair;
use crate::size::Size;
use anyhow::{Result, ensure};

/// What a webhook into the fullest store may cost more than into the emptiest.
const BAR: f64 = 1.25;
/// Messages per person.
const EACH: i64 = 10;
/// Where rows of people begin: above what the gateway makes itself.
const FIRST_USER: i64 = 1000;

/// Fills a store with people, conversations and messages of both directions. One text for both
/// databases.
fn fill(place: &Place, messages: i64) -> Result<i64> {
    let people = (messages / EACH).max(1);
    let zero = i64::try_from(phone(0))?;
    let numbers = |count: i64| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT CAST(0 AS BIGINT) UNION ALL
                SELECT i + 1 FROM n WHERE i + 1 < {count})"
        )
    };
    let (of_people, of_messages) = (numbers(people), numbers(messages));
    let person = format!("(i * 7919 % {people}) + {FIRST_USER}");
    let text = "lorem ipsum dolor sit amet ".repeat(18);
    place.fill(&[
        format!(
            "INSERT INTO users (id, first_name, last_name, phone, user_type, token, creation_time,
                last_activity)
             {of_people} SELECT i + {FIRST_USER}, 'Dana', 'Fields', '+' || (i + {zero}), 'lead',
                't' || i, 1795000000000, 1795000000000 FROM n"
        ),
        format!(
            "INSERT INTO identities (scope, platform_user_id, user_id)
             {of_people} SELECT 'kind:whatsapp', CAST(i + {zero} AS TEXT), i + {FIRST_USER} FROM n"
        ),
        format!(
            "INSERT INTO identities (scope, platform_user_id, user_id)
             {of_people} SELECT 'phone', '+' || (i + {zero}), i + {FIRST_USER} FROM n"
        ),
        format!(
            "INSERT INTO conversations (id, user_id, channel_id, source, thread_key, thread_live,
                status_code, address, creation_time, last_update_time, last_message_id, next_seq,
                updated_hour)
             {of_people} SELECT i + {FIRST_USER}, i + {FIRST_USER}, 'wa', 'wa',
                'user:' || (i + {FIRST_USER}), TRUE, 2, CAST(i + {zero} AS TEXT), 1795000000000,
                1795000000000 + i, i + 1, 10, (1795000000000 + i) / 3600000 FROM n"
        ),
        format!(
            "INSERT INTO messages (id, conversation_id, user_id, outbound, text, status,
                creation_time, channel_id, seq, parts, parts_sent, guest)
             {of_messages} SELECT i + 1, {person}, CASE WHEN i % 2 = 0 THEN {person} ELSE 1 END,
                i % 2 = 1, 'message ' || i || ' {text}',
                CASE WHEN i % 2 = 0 THEN 'received' ELSE 'read' END, 1795000000000 + i,
                CASE WHEN i % 2 = 0 THEN NULL ELSE 'wa' END, CASE WHEN i % 2 = 0 THEN NULL ELSE i END,
                i % 2, i % 2, i % 2 = 1 FROM n"
        ),
        format!(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             {of_messages} SELECT 'wa', 'wamid.HBgLMTU1NTAwMDAwMDAVAgASGBI'
                || (i * 2654435761 % 4294967296) || '.' || i, i + 1, 0 FROM n"
        ),
        format!(
            "INSERT INTO parts (message_id, idx, body, state, delivery, attempts, begun_at)
             {of_messages} SELECT i + 1, 0, '{{}}', 'sent', 'read', 1, 1795000000000 + i FROM n
             WHERE i % 2 = 1"
        ),
        format!(
            "INSERT INTO attempts (message_id, idx, no, started_at, ended_at, outcome)
             {of_messages} SELECT i + 1, 0, 1, 1795000000000 + i, 1795000000000 + i, 'sent' FROM n
             WHERE i % 2 = 1"
        ),
    ])?;
    place.renumber()?;
    Ok(people)
}

/// A store of some size, and what webhooks into it cost.
struct Stored {
    messages: i64,
    people: usize,
    gateway: Running,
    /// As many people write as the smallest store has, wherever that many are known.
    same: Costs,
    /// Everybody who is known writes as often: no page is warm for being used by few.
    spread: Costs,
}

#[derive(Default)]
struct Costs {
    wall: Vec<f64>,
    cpu: Vec<f64>,
}

impl Costs {
    /// What the fullest store costs more than the emptiest.
    fn growth(&self, of: &Self) -> f64 {
        let turns = self.wall.iter().zip(&of.wall);
        middle(&turns.map(|(l, f)| ratio(*l, *f)).collect::<Vec<_>>())
    }
}

/// Webhooks into stores of several sizes, one after the other.
pub fn measure(rig: &Rig, size: &Size, pair: Pair, report: &mut Report) -> Result<()> {
    let mut stores = Vec::new();
    for messages in &size.stored {
        let place = rig.configured(Setup {
            pair,
            ..Setup::default()
        })?;
        rig.run(&place, "migrate")?;
        let people = fill(&place, *messages)?;
        stores.push(Stored {
            messages: *messages,
            people: usize::try_from(people)?,
            gateway: rig.serve(&place)?.0,
            same: Costs::default(),
            spread: Costs::default(),
        });
    }
    ensure!(stores.len() > 1, "one store alone compares with nothing");
    let writers = stores.first().map_or(1, |smallest| smallest.people);
    let count = size.of(pair, size.growth_hooks);
    for turn in 0..=size.rounds {
        for store in &mut stores {
            let step = store.people / writers;
            // In no order, and the few from all over the store: none of their rows are neighbours.
            let mixed = |n: usize| n.wrapping_mul(2_654_435_761);
            let few = |n: usize| mixed(n) % writers * step;
            let people = store.people;
            let all = |n: usize| mixed(n) % people;
            let same = flooded(rig, &store.gateway, count, few)?;
            let spread = flooded(rig, &store.gateway, count, all)?;
            // The first turn warms up.
            if turn > 0 {
                for (costs, (wall, cpu)) in [(&mut store.same, same), (&mut store.spread, spread)] {
                    costs.wall.push(wall);
                    costs.cpu.push(cpu);
                }
            }
        }
    }
    let (Some(first), Some(last)) = (stores.first(), stores.last()) else {
        return Ok(());
    };
    report.add(&Figure {
        name: "growth",
        store: pair.store(),
        queue: pair.queue(),
        value: middle(&last.same.wall),
        unit: "us/webhook",
        baseline: Some(middle(&first.same.wall)),
        ratio: Some(last.same.growth(&first.same)),
        bar: Some(Bar::RatioAtMost(BAR)),
        more: vec![
            ("messages", last.messages as f64),
            ("baseline_messages", first.messages as f64),
            ("cpu_us_per_webhook", middle(&last.same.cpu)),
            ("baseline_cpu_us_per_webhook", middle(&first.same.cpu)),
            ("spread_us_per_webhook", middle(&last.spread.wall)),
            ("spread_baseline_us_per_webhook", middle(&first.spread.wall)),
            ("spread_ratio", last.spread.growth(&first.spread)),
        ],
    })
}

/// Webhooks of one message each, by people of these places: what one costs in time, and in CPU of the
/// gateway, both in microseconds.
fn flooded(
    rig: &Rig,
    gateway: &Running,
    count: usize,
    by: impl Fn(usize) -> usize,
) -> Result<(f64, f64)> {
    let hook = |n: usize| webhook(std::iter::once((n, by(n))));
    let hooks: Vec<Vec<u8>> = rig.numbers(count).map(hook).collect();
    let before = gateway.cpu_seconds()?;
    let run = flood(gateway.at, &hooks, CONNECTIONS)?;
    let cpu = gateway.cpu_seconds()? - before;
    Ok((ratio(1e6, run.rate()), cpu * 1e6 / count as f64))
}
