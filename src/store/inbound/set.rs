//! Plain messages, many at once: where each statement is a round trip, the messages of a webhook, or of
//! several that came at the same moment, are looked up together and written together.
//!
//! A message is plain when it is text (or structure) of somebody who is known, in a conversation that
//! goes on; most are. Whatever is not is left to the way of one by one, and so is all that follows
//! it in its place: nothing of a conversation overtakes anything else of it.

use super::super::StoreError;
use super::super::outbox::{News, Unit};
use super::super::people::{self, ChannelInfo, Known, profile};
use super::super::rows::{ConversationRow, MessageRow, UserRow, hour};
use super::super::sql::{Row, Sql, set};
use super::{Applying, Fate, InboundBatch, hashed, news_of, payload_of, window_of};
use crate::events::payload;
use crate::{conversation_columns, user_columns, vals};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use switchboard_channels::model::{
    Event, EventBody, IdentityScope, InboundMessage, MessageId, Sender, Thread,
};

/// A plain message, and where its fate is noted.
struct Plain<'a> {
    webhook: usize,
    batch: usize,
    index: usize,
    channel: &'a ChannelInfo,
    event: &'a Event,
    message: &'a InboundMessage,
    sender: &'a Sender,
    thread: &'a Thread,
    keys: Vec<(String, String)>,
}

/// Where an event belongs, as far as can be told without looking: names of its thread and its sender,
/// who may be known by a number as well as by the platform's ids.
fn places<'a>(
    channel: &'a ChannelInfo,
    event: &'a Event,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let thread = event
        .thread
        .as_ref()
        .and_then(|thread| thread.key.as_deref());
    let sender = event.sender.iter();
    let sender = sender.flat_map(|sender| sender.ids.iter().chain(&sender.phone));
    let names = thread.into_iter().chain(sender.map(String::as_str));
    names.map(|name| (channel.id.as_str(), name))
}

/// The plain ones among all events, in their order.
fn plain<'a>(unit: &Unit<'_>, applying: &[Applying<'a>]) -> Vec<Plain<'a>> {
    let mut found = Vec::new();
    // Where something comes first that is not plain.
    let mut others: HashSet<(&str, &str)> = HashSet::new();
    // Channels where something comes first whose place cannot be told.
    let mut elsewhere: HashSet<&str> = HashSet::new();
    // Of copies in one set the first may be plain; the others find it.
    let mut ids: HashSet<(&str, &str)> = HashSet::new();
    for (webhook, of) in applying.iter().enumerate() {
        for (
            batch,
            InboundBatch {
                channel, events, ..
            },
        ) in of.batches.iter().enumerate()
        {
            for (index, event) in events.iter().enumerate() {
                // Neither changes anything that people wrote.
                if matches!(event.body, EventBody::Status(_) | EventBody::Typing) {
                    continue;
                }
                // It is about a message by its id, wherever that stands.
                if let EventBody::Edit(_) | EventBody::Delete(_) | EventBody::Reaction(_) =
                    event.body
                {
                    elsewhere.insert(&channel.id);
                }
                let keys = plain_keys(unit, channel, event).filter(|_| {
                    let taken = |place| others.contains(&place);
                    !elsewhere.contains(channel.id.as_str()) && !places(channel, event).any(taken)
                });
                match (&event.body, &event.sender, &event.thread, keys) {
                    (EventBody::Message(message), Some(sender), Some(thread), Some(keys))
                        if ids.insert((&channel.id, &message.platform_id)) =>
                    {
                        found.push(Plain {
                            webhook,
                            batch,
                            index,
                            channel,
                            event,
                            message,
                            sender,
                            thread,
                            keys,
                        });
                    }
                    _ => others.extend(places(channel, event)),
                }
            }
        }
    }
    found
}

/// The names of the sender of a message that may be plain.
fn plain_keys(
    unit: &Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
) -> Option<Vec<(String, String)>> {
    let (EventBody::Message(message), Some(sender)) = (&event.body, &event.sender) else {
        return None;
    };
    let plain = !message.from_us
        && !message.automatic
        && message.attachments.is_empty()
        // What it answers may be among what came with it.
        && message.reply_to.is_none()
        && message.distinct_id.is_none()
        && channel.identity != IdentityScope::Email
        && unit.desks.is_empty();
    let keys = people::keys(channel, sender);
    (plain && matches!(keys.len(), 1 | 2)).then_some(keys)
}

/// A plain message whose place is found.
struct Placed<'a, 'p> {
    plain: &'p Plain<'a>,
    /// As its writer was at that message.
    user: Rc<UserRow>,
    conversation: i64,
    /// Whether the conversation is somebody else's.
    guest: bool,
    changed: bool,
    payload: String,
}

/// Applies what is plain, and notes its fates. What has no fate afterwards is left to be done.
pub(super) async fn apply<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    applying: &mut [Applying<'_>],
) -> Result<(), StoreError> {
    let plain = plain(unit, applying);
    if plain.is_empty() {
        return Ok(());
    }
    let mut users: HashMap<i64, Rc<UserRow>> = HashMap::new();
    let mut heard_of: HashSet<i64> = HashSet::new();
    let mut conversations: HashMap<i64, ConversationRow> = HashMap::new();
    let mut placed = Vec::with_capacity(plain.len());
    for (plain, known) in plain.iter().zip(look_up(sql, &plain).await?) {
        let Some(known) = known else { continue };
        let Some(of) = applying.get_mut(plain.webhook) else {
            continue;
        };
        unit.holds(known.conversation.id.0);
        if known.seen {
            of.note(plain.batch, plain.index, Fate::Duplicate);
            continue;
        }
        of.note(plain.batch, plain.index, Fate::Applied);
        let conversation = known.conversation.id.0;
        let user = users
            .entry(known.user.id.0)
            .or_insert_with(|| Rc::new(known.user));
        let writer = Rc::make_mut(user);
        let learnt = profile::learn(unit.now, writer, plain.sender);
        profile::details(sql, writer.id, &plain.sender.profile).await?;
        if learnt.write {
            heard_of.insert(writer.id.0);
        }
        let user = Rc::clone(user);
        let row = conversations
            .entry(conversation)
            .or_insert(known.conversation);
        std::mem::swap(&mut unit.wakes, &mut of.wakes);
        let reopened = people::reopen(sql, unit, row).await;
        std::mem::swap(&mut unit.wakes, &mut of.wakes);
        reopened?;
        let guest = user.id != row.user_id;
        placed.push(Placed {
            plain,
            user,
            conversation,
            guest,
            changed: learnt.changed,
            payload: payload_of(plain.message),
        });
    }
    if placed.is_empty() {
        return Ok(());
    }
    let heard_of = users.values().filter(|user| heard_of.contains(&user.id.0));
    let heard_of: Vec<_> = heard_of.map(Rc::as_ref).collect();
    profile::write_all(sql, unit.now, &heard_of).await?;
    let ids = insert(sql, unit, &placed).await?;
    let mut news = Vec::new();
    for (placed, id) in placed.iter().zip(ids) {
        let Some(conversation) = conversations.get_mut(&placed.conversation) else {
            continue;
        };
        let user = placed.user.as_ref();
        let Plain {
            webhook,
            channel,
            event,
            message,
            thread,
            ..
        } = placed.plain;
        conversation.last_message_id = id;
        conversation.last_update_time = unit.now;
        conversation.address.clone_from(&thread.address);
        conversation.window_until = window_of(channel, event, conversation.window_until);
        let row = MessageRow {
            id,
            conversation_id: conversation.id,
            user_id: user.id,
            outbound: false,
            text: message.text.clone(),
            attachments: Vec::new(),
            payload: placed.payload.clone(),
            status: "received".to_owned(),
            creation_time: unit.now,
            first_name: user.first_name.clone(),
            last_name: user.last_name.clone(),
            profile_image: user.profile_image.clone(),
            user_type: user.user_type.clone(),
        };
        let mut tell = |told: News| news.push((*webhook, told));
        let told = news_of(unit, conversation, user, &row, false)?;
        told.into_iter().for_each(&mut tell);
        if placed.changed && unit.wanted("user-updated") {
            tell(News {
                function: "user-updated",
                group: conversation.id.0,
                data: payload::user_updated(user.id, conversation.id, "profile").to_string(),
            });
        }
        if let Some(token) = &thread.reply_token {
            super::keep_reply_token(sql, conversation.id, token).await?;
        }
    }
    move_on(sql, unit, &conversations).await?;
    let wakes = unit.emit_all(sql, &news).await?;
    for (webhook, wake) in wakes {
        if let Some(of) = applying.get_mut(webhook) {
            of.wakes.add_event(wake);
        }
    }
    Ok(())
}

/// Finds person, conversation and message of each, as [`people::known`] does of one; holds what it
/// finds, in one order, so that two sets do not wait for each other in a circle.
async fn look_up<S: Sql>(
    sql: &mut S,
    plain: &[Plain<'_>],
) -> Result<Vec<Option<Known>>, StoreError> {
    let count = plain.len();
    let mut numbers = Vec::with_capacity(count);
    let hashes: Vec<String> = plain
        .iter()
        .map(|p| hashed(&p.message.platform_id))
        .collect();
    let threads: Vec<Option<String>> = plain
        .iter()
        .map(|p| p.thread.key.as_ref().map(|key| format!("thread:{key}")))
        .collect();
    let mut columns: [Vec<Option<&str>>; 8] = std::array::from_fn(|_| Vec::with_capacity(count));
    for (number, ((p, hash), thread)) in plain.iter().zip(&hashes).zip(&threads).enumerate() {
        let (Some(first), Some(second)) = (p.keys.first(), p.keys.last()) else {
            continue;
        };
        numbers.push(i64::try_from(number).ok());
        let values = [
            Some(p.channel.id.as_str()),
            Some(p.message.platform_id.as_str()),
            Some(hash.as_str()),
            Some(second.0.as_str()),
            Some(second.1.as_str()),
            thread.as_deref(),
            Some(first.0.as_str()),
            Some(first.1.as_str()),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    let [
        channels,
        ids,
        hashes,
        scopes_2,
        ids_2,
        threads,
        scopes_1,
        ids_1,
    ] = &columns;
    // Two questions, since each holds rows of one table in the order of their ids: nobody's conversation is
    // held before everybody's row is.
    let people = sql
        .ask(
            set(concat!(
                "SELECT q.no, ",
                user_columns!(),
                " FROM unnest($1::bigint[], $2::text[], $3::text[]) AS q (no, scope, id)
                 JOIN identities i ON i.scope = q.scope AND i.platform_user_id = q.id
                 JOIN users u ON u.id = i.user_id
                 ORDER BY u.id FOR NO KEY UPDATE OF u"
            )),
            vals![&numbers[..], &scopes_1[..], &ids_1[..]],
        )
        .await?;
    let places = sql
        .ask(
            set(concat!(
                "SELECT q.no,
                    COALESCE((SELECT p.message_id FROM platform_messages p
                            WHERE p.channel_id = q.channel AND p.platform_id = q.id),
                        (SELECT 1 FROM erased_ids e
                            WHERE e.channel_id = q.channel AND e.hash = q.hash)),
                    (SELECT o.user_id FROM identities o
                        WHERE o.scope = q.scope_2 AND o.platform_user_id = q.id_2),
                    i.user_id, ",
                conversation_columns!(),
                " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[],
                    $6::text[], $7::text[], $8::text[], $9::text[])
                    AS q (no, channel, id, hash, scope_2, id_2, thread, scope_1, id_1)
                 JOIN identities i ON i.scope = q.scope_1 AND i.platform_user_id = q.id_1
                 JOIN conversations c ON c.channel_id = q.channel AND c.thread_live
                    AND c.thread_key = COALESCE(q.thread, 'user:' || i.user_id)
                 ORDER BY c.id, q.no FOR NO KEY UPDATE OF c"
            )),
            vals![
                &numbers[..],
                &channels[..],
                &ids[..],
                &hashes[..],
                &scopes_2[..],
                &ids_2[..],
                &threads[..],
                &scopes_1[..],
                &ids_1[..]
            ],
        )
        .await?;
    let number = |row: &mut Row| {
        row.int()
            .map(|no| usize::try_from(no).unwrap_or(usize::MAX))
    };
    let mut users: Vec<Option<UserRow>> = std::iter::repeat_with(|| None).take(count).collect();
    for mut row in sql.answer(people).await? {
        let number = number(&mut row)?;
        if let Some(place) = users.get_mut(number) {
            *place = Some(UserRow::read(&mut row)?);
        }
    }
    let mut found: Vec<Option<Known>> = std::iter::repeat_with(|| None).take(count).collect();
    for mut row in sql.answer(places).await? {
        let number = number(&mut row)?;
        let (seen, second) = (row.opt_int()?.is_some(), row.opt_int()?);
        let first = row.opt_int()?;
        let conversation = ConversationRow::read(&mut row)?;
        let (Some(place), Some(user)) = (
            found.get_mut(number),
            users.get_mut(number).and_then(Option::take),
        ) else {
            continue;
        };
        // Both names are the held person's, also by now: else there is something to make or to join.
        if first == Some(user.id.0) && second == first {
            *place = Some(Known {
                user,
                conversation,
                seen,
            });
        }
    }
    Ok(found)
}

/// Writes the messages, and under which platform's ids they are known; gives their ids.
async fn insert<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    placed: &[Placed<'_, '_>],
) -> Result<Vec<MessageId>, StoreError> {
    let int = |of: fn(&Placed<'_, '_>) -> Option<i64>| placed.iter().map(of).collect::<Vec<_>>();
    let text = |of: for<'x> fn(&'x Placed<'_, '_>) -> &'x str| {
        placed.iter().map(|p| Some(of(p))).collect::<Vec<_>>()
    };
    let rows = sql
        .rows(
            // The numbers are taken in the order of the rows.
            set(
                "INSERT INTO messages (conversation_id, user_id, outbound, text, payload, status,
                    creation_time, guest)
                 SELECT q.conversation, q.author, FALSE, q.text, q.payload, 'received', $5,
                    q.guest <> 0
                 FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $6::bigint[])
                    WITH ORDINALITY AS q (conversation, author, text, payload, guest, no)
                 ORDER BY q.no RETURNING id",
            ),
            vals![
                &int(|p| Some(p.conversation))[..],
                &int(|p| Some(p.user.id.0))[..],
                &text(|p| &p.plain.message.text)[..],
                &text(|p| &p.payload)[..],
                unit.now.0,
                &int(|p| Some(i64::from(p.guest)))[..]
            ],
        )
        .await?;
    let mut ids = Vec::with_capacity(rows.len());
    for mut row in rows {
        ids.push(Some(row.int()?));
    }
    if ids.len() != placed.len() {
        return Err(StoreError::Corrupt("messages are missing".to_owned()));
    }
    sql.later(
        set(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             SELECT q.channel, q.id, q.message, 0
             FROM unnest($1::text[], $2::text[], $3::bigint[]) AS q (channel, id, message)",
        ),
        vals![
            &text(|p| &p.plain.channel.id)[..],
            &text(|p| &p.plain.message.platform_id)[..],
            &ids[..]
        ],
    )
    .await?;
    Ok(ids.into_iter().flatten().map(MessageId).collect())
}

/// Moves each conversation to its last message.
async fn move_on<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    conversations: &HashMap<i64, ConversationRow>,
) -> Result<(), StoreError> {
    let rows = || conversations.values();
    let ids: Vec<_> = rows().map(|c| Some(c.id.0)).collect();
    let last: Vec<_> = rows().map(|c| Some(c.last_message_id.0)).collect();
    let addresses: Vec<_> = rows().map(|c| Some(c.address.as_str())).collect();
    let windows: Vec<_> = rows().map(|c| c.window_until.map(|t| t.0)).collect();
    sql.later(
        set(
            "UPDATE conversations c SET last_message_id = q.message, last_update_time = $5,
                address = q.address, window_until = q.window_until, updated_hour = $6
             FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[])
                AS q (id, message, address, window_until)
             WHERE c.id = q.id",
        ),
        vals![
            &ids[..],
            &last[..],
            &addresses[..],
            &windows[..],
            unit.now.0,
            hour(unit.now)
        ],
    )
    .await
}
