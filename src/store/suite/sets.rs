//! Webhooks that are applied together leave what they leave one by one.

use super::*;
use crate::store::inbound::apply_all;
use switchboard_channels::model::{Attachment, Delete, DeliveryStatus, Edit, Reaction};

/// Groups of webhooks that are tried.
const ROUNDS: u32 = 60;

/// Numbers that look random, and are the same every time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Without digits, so that what is told of two channels can be compared although ids differ.
fn letters(mut number: u64) -> String {
    let mut name = String::new();
    loop {
        name.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
        if number == 0 {
            return name;
        }
    }
}

/// Something that one of a few people does, in one of a few places, perhaps for the second time.
fn something(dice: &mut Dice, keys: &mut u64) -> Event {
    let person = format!("person-{}", letters(dice.below(5)));
    let before = letters(dice.below(*keys + 1));
    *keys += 1;
    let key = letters(*keys);
    let event = match dice.below(12) {
        // What came before comes again.
        0 => wrote(&person, &before),
        1 => with(wrote(&person, &key), |m| {
            m.attachments = vec![super::messages::picture("file")];
        }),
        2 => with(wrote(&person, &key), |m| m.reply_to = Some(before)),
        3 => with(wrote(&person, &key), |m| m.from_us = true),
        4 => {
            let edit = Edit {
                target: before,
                text: format!("edited by {key}"),
                attachments: None::<Vec<Attachment>>,
            };
            from(&person, &format!("edit {key}"), EventBody::Edit(edit))
        }
        5 => {
            let delete = Delete { target: before };
            from(&person, &format!("delete {key}"), EventBody::Delete(delete))
        }
        6 => {
            let reaction = Reaction {
                target: before,
                emoji: "+".to_owned(),
                added: true,
            };
            from(
                &person,
                &format!("react {key}"),
                EventBody::Reaction(reaction),
            )
        }
        7 => {
            let status = status_of(&before, DeliveryStatus::Read);
            event(&format!("status {key}"), EventBody::Status(status))
        }
        8 => {
            let mut event = wrote(&person, &key);
            let sender = event.sender.as_mut().unwrap();
            sender.profile.first_name = Some(format!("Name {key}"));
            event
        }
        _ => wrote(&person, &key),
    };
    match dice.below(4) {
        0 => in_thread(event, &format!("group-{}", letters(dice.below(2)))),
        _ => event,
    }
}

/// Whose conversation it is and which; its number is no matter.
macro_rules! place {
    () => {
        "w.platform_user_id || ' in ' || CASE WHEN c.thread_key LIKE 'user:%' THEN 'private'
            ELSE c.thread_key END || ' '"
    };
}

/// Everything that stands in a channel, in an order that only what came gives.
async fn left(bench: &Bench, channel: &'static str) -> Vec<String> {
    let lines = move |tx: &mut Tx<'_>, sql: &'static str| {
        plans::of_a_test(sql);
        let rows = at_once(tx.rows(sql, vals![channel]))?;
        let line = |mut row: crate::store::sql::Row| row.text();
        rows.into_iter().map(line).collect::<Result<Vec<_>, _>>()
    };
    bench
        .read(move |tx| {
            let mut all = lines(
                tx,
                concat!(
                    "SELECT ",
                    place!(),
                    " || p.platform_id || ': ' || m.text || ' ' || m.status
                        || CASE WHEN m.attachments = '' THEN '' ELSE ' with a file' END
                        || CASE WHEN m.deleted THEN ' deleted' ELSE '' END || ' by '
                        || a.first_name || ' ' || COALESCE((SELECT r.platform_id
                            FROM platform_messages r WHERE r.message_id = m.reply_to), '')
                     FROM messages m JOIN conversations c ON c.id = m.conversation_id
                     JOIN platform_messages p ON p.message_id = m.id
                     JOIN users a ON a.id = m.user_id
                     JOIN identities w ON w.user_id = c.user_id
                     WHERE c.channel_id = $1 ORDER BY ",
                    place!(),
                    ", m.id"
                ),
            )?;
            all.extend(lines(
                tx,
                concat!(
                    "SELECT ",
                    place!(),
                    " || 'told ' || e.function || ' ' || e.data
                     FROM events e JOIN deliveries d ON d.event_id = e.id
                     JOIN conversations c ON c.id = d.group_id
                     JOIN identities w ON w.user_id = c.user_id
                     WHERE c.channel_id = $1 ORDER BY ",
                    place!(),
                    ", e.id"
                ),
            )?);
            all.extend(lines(
                tx,
                concat!(
                    "SELECT ",
                    place!(),
                    " || 'at ' || c.address || ' last ' || COALESCE((SELECT p.platform_id
                        FROM platform_messages p WHERE p.message_id = c.last_message_id), 'none')
                     FROM conversations c JOIN identities w ON w.user_id = c.user_id
                     WHERE c.channel_id = $1 ORDER BY ",
                    place!()
                ),
            )?);
            Ok(all)
        })
        .await
        .into_iter()
        .map(|line| comparable(&line.replace(channel, "it")))
        .collect()
}

/// Without numbers, and without keys of media and signatures.
fn comparable(line: &str) -> String {
    let is_key = |word: &&str| word.len() < 16 || !word.chars().all(|c| c.is_ascii_hexdigit());
    let words = line.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(is_key).collect();
    words.join(" ").replace(|c: char| c.is_ascii_digit(), "")
}

fn hook(channel: &'static str, events: Vec<Event>) -> [InboundBatch; 1] {
    let channel = ChannelInfo {
        id: channel.to_owned(),
        ..bot()
    };
    [InboundBatch {
        channel,
        events,
        effects: Vec::new(),
    }]
}

#[tokio::test]
async fn together_is_the_same_as_one_by_one() {
    let bench = Bench::open().await;
    let (mut dice, mut keys) = (Dice(0x9E37_79B9_7F4A_7C15), 0);
    let (mut applied, mut woken) = (0, 0);
    for round in 0..ROUNDS {
        bench.pass(1000);
        let webhooks: Vec<Vec<Event>> = (0..=dice.below(6))
            .map(|_| {
                (0..=dice.below(4))
                    .map(|_| something(&mut dice, &mut keys))
                    .collect()
            })
            .collect();
        let mut alone = Vec::new();
        for events in &webhooks {
            // Never in one with another: the way that is compared with.
            let mut of_hook = Vec::new();
            for event in events {
                let hook = hook("alone", vec![event.clone()]);
                of_hook.extend(
                    bench
                        .unit(move |tx, unit| at_once(apply(tx, unit, &hook)))
                        .await
                        .0,
                );
            }
            alone.push(of_hook.concat());
        }
        let hooks: Vec<_> = webhooks.into_iter().map(|w| hook("together", w)).collect();
        let all = bench
            .unit(move |tx, unit| at_once(apply_all(tx, unit, &hooks)))
            .await
            .0;
        let (fates, wakes): (Vec<_>, Vec<_>) =
            all.into_iter().map(|(f, w)| (f.concat(), w)).unzip();
        assert_eq!(fates, alone, "round {round}");
        for (fates, wakes) in fates.iter().zip(wakes) {
            applied += fates.iter().filter(|f| **f == Fate::Applied).count();
            woken += usize::from(!wakes.events.is_empty());
        }
    }
    let (together, alone) = (left(&bench, "together").await, left(&bench, "alone").await);
    for (one, other) in together.iter().zip(&alone) {
        assert_eq!(one, other);
    }
    assert_eq!(together.len(), alone.len());
    // It was about something.
    assert!(
        applied > 150 && woken > 80,
        "{applied} applied, {woken} woken"
    );
    assert!(together.len() > 400, "{} lines", together.len());
}

#[tokio::test]
async fn what_is_learnt_of_several_people_at_once_is_of_each() {
    let bench = Bench::open().await;
    let said = |person: &str, times: u32| {
        let mut event = wrote(person, &format!("{person}-{times}"));
        let sender = event.sender.as_mut().unwrap();
        sender.phone = Some(format!("+49{person}"));
        sender.profile.first_name = Some(format!("{person} {times}"));
        sender.profile.last_name = Some(format!("of {person}"));
        sender.profile.image_url = Some(format!("https://pictures.example/{person}/{times}"));
        sender.profile.language = (times > 1).then(|| format!("l{person}"));
        [InboundBatch {
            channel: phone("phone", "whatsapp"),
            events: vec![event],
            effects: Vec::new(),
        }]
    };
    let come = async |all: &[(&str, u32)]| {
        let hooks: Vec<_> = all.iter().map(|(who, times)| said(who, *times)).collect();
        let came = bench.unit(move |tx, unit| at_once(apply_all(tx, unit, &hooks)));
        let fates = came.await.0.into_iter().flat_map(|(fates, _)| fates);
        assert!(fates.flatten().all(|fate| fate == Fate::Applied));
    };
    come(&[("1", 1), ("2", 1), ("3", 1)]).await;
    bench.pass(5000);
    // Of one the last counts, and one says nothing.
    come(&[("3", 2), ("1", 2), ("3", 3)]).await;
    let people =
        "SELECT first_name || ', ' || last_name || ', ' || profile_image || ', ' || phone || ', '
        || COALESCE(language, '') || ', ' || last_activity FROM users WHERE id > 1 ORDER BY id";
    let (then, now) = (T0, bench.now().0);
    assert_eq!(
        bench.texts(people).await,
        [
            format!("1 2, of 1, https://pictures.example/1/2, +491, l1, {now}"),
            format!("2 1, of 2, https://pictures.example/2/1, +492, , {then}"),
            format!("3 3, of 3, https://pictures.example/3/3, +493, l3, {now}"),
        ]
    );
}
