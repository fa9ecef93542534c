//! Sends that are accepted at the same moment: where each statement is a round trip, they are looked up
//! together and written together.
//!
//! A send is plain when it goes at once to a conversation that goes on, or to somebody who is known and
//! has one, and its key is new; most are. Whatever is not is accepted one by one, in its place: the sets
//! are the runs between them, so that ids and numbers follow the order of the calls.

use super::super::StoreError;
use super::super::locks::{self, Name};
use super::super::outbox::{News, Unit, Wakes};
use super::super::people::{self, from_recipient};
use super::super::rows::{ConversationRow, MessageRow};
use super::super::sql::{Asked, Row, Sql, Text, set};
use super::rows::{insert, insert_parts_and_keys, move_on};
use super::{AcceptSend, Accepted, Target, accept};
use crate::events::payload;
use crate::{conversation_columns, vals};
use std::collections::{BTreeMap, HashMap, HashSet};
use switchboard_channels::model::{IdentityScope, MessageId, UserId};

/// Accepts sends that came at the same moment, as [`accept`] does one after the other; of each what became
/// of it, and what it wakes.
pub async fn accept_all<S: Sql, T: AsRef<AcceptSend>>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[T],
) -> Result<Vec<(Accepted, Wakes)>, StoreError> {
    let all: Vec<&AcceptSend> = all.iter().map(AsRef::as_ref).collect();
    let mut plain: Vec<Option<ConversationRow>> = vec![None; all.len()];
    if sql.takes_sets() && all.len() > 1 {
        plain = first_look(sql, unit, &all).await?;
    }
    let mut accepted = Vec::with_capacity(all.len());
    // What was accepted on its own may have changed whom an address leads to, and numbers.
    let mut stale = false;
    while let Some(one) = all.get(accepted.len()) {
        let at = accepted.len();
        let run = plain.iter().skip(at).map_while(|p| p.as_ref());
        let run: Vec<_> = all.iter().copied().skip(at).zip(run).collect();
        if run.is_empty() {
            let before = std::mem::take(&mut unit.wakes);
            let done = accept(sql, unit, one).await?;
            accepted.push((done, std::mem::replace(&mut unit.wakes, before)));
            stale = true;
        } else if stale {
            let sends: Vec<_> = run.iter().map(|(send, _)| Some(*send)).collect();
            let again = look_up(sql, unit, &sends).await?;
            plain.splice(at..at + again.len(), again);
            stale = false;
        } else {
            accepted.extend(write(sql, unit, &run).await?);
        }
    }
    Ok(accepted)
}

/// Holds everything that these sends are about, and finds the conversations of the plain ones.
async fn first_look<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    all: &[&AcceptSend],
) -> Result<Vec<Option<ConversationRow>>, StoreError> {
    let mut keys = HashSet::new();
    let may_be = |send: &&'_ AcceptSend| may_be_plain(unit, send);
    let candidates: Vec<_> = all
        .iter()
        .map(|send| {
            let key = send.idempotency.as_ref().map(|i| i.key.as_str());
            // Of two calls with one key the second finds the first.
            let new = key.is_none_or(|key| keys.insert(key));
            Some(*send).filter(|_| new).filter(may_be)
        })
        .collect();
    let keys = keys.into_iter().map(Name::IdempotencyKey);
    locks::names(sql, keys).await?;
    hold(sql, &Places::of(&candidates)).await?;
    look_up(sql, unit, &candidates).await
}

/// Whether a send may be plain, as far as can be told without looking.
fn may_be_plain(unit: &Unit<'_>, send: &AcceptSend) -> bool {
    let somebody = match &send.target {
        Target::Conversation(_) => true,
        // A group has no id of a person.
        Target::Recipient(recipient) => {
            let (sender, _) = from_recipient(recipient);
            !sender.ids.is_empty() && matches!(people::keys(&send.channel, &sender).len(), 1 | 2)
        }
    };
    somebody
        && unit.desks.is_empty()
        && send.channel.identity != IdentityScope::Email
        && send.stored.is_none()
        && send.mirror_of.is_none()
        && send.send_at.is_none_or(|at| at <= unit.now)
        // What the database makes of it is told, not what came.
        && !send.text.contains('\0')
}

/// Where sends go: columns of what is looked for.
#[derive(Default)]
struct Places {
    /// Of those by address: which send, the channel, two names of the person (or one twice), the thread.
    numbers: Vec<Option<i64>>,
    channels: Vec<String>,
    scopes: [Vec<String>; 2],
    ids: [Vec<String>; 2],
    threads: Vec<Option<String>>,
    /// Of those by conversation: which send, and which.
    named: Vec<Option<i64>>,
    conversations: Vec<Option<i64>>,
    /// Of those with a key: which send, and the key.
    keyed: Vec<Option<i64>>,
    keys: Vec<String>,
}

fn texts(column: &[String]) -> Vec<Option<&str>> {
    column.iter().map(|text| Some(text.as_str())).collect()
}

impl Places {
    fn of(sends: &[Option<&AcceptSend>]) -> Self {
        let mut places = Self::default();
        for (number, send) in sends.iter().enumerate() {
            let (Some(send), number) = (send, i64::try_from(number).ok()) else {
                continue;
            };
            if let Some(idempotency) = &send.idempotency {
                places.keyed.push(number);
                places.keys.push(idempotency.key.clone());
            }
            match &send.target {
                Target::Conversation(id) => {
                    places.named.push(number);
                    places.conversations.push(Some(id.0));
                }
                Target::Recipient(recipient) => {
                    let (sender, thread) = from_recipient(recipient);
                    let names = people::keys(&send.channel, &sender);
                    let (Some(first), Some(second)) = (names.first(), names.last()) else {
                        continue;
                    };
                    places.numbers.push(number);
                    places.channels.push(send.channel.id.clone());
                    let pairs = [first, second];
                    let columns = places.scopes.iter_mut().zip(&mut places.ids);
                    for ((scopes, ids), (scope, id)) in columns.zip(pairs) {
                        scopes.push(scope.clone());
                        ids.push(id.clone());
                    }
                    let thread = thread.key.map(|key| format!("thread:{key}"));
                    places.threads.push(thread);
                }
            }
        }
        places
    }

    fn threads(&self) -> Vec<Option<&str>> {
        self.threads.iter().map(Option::as_deref).collect()
    }
}

/// Holds people and conversations, each in the one order. What leads to somebody else by the time that
/// it is held, [`look_up`] holds out of turn.
async fn hold<S: Sql>(sql: &mut S, places: &Places) -> Result<(), StoreError> {
    let [scopes, _] = &places.scopes;
    let [ids, _] = &places.ids;
    let (scopes, ids) = (texts(scopes), texts(ids));
    locks::people(sql, &scopes, &ids).await?;
    let lock = Text::lock(
        "SELECT 1 FROM conversations WHERE id IN (SELECT c.id
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                AS q (scope, id, channel, thread)
            JOIN identities i ON i.scope = q.scope AND i.platform_user_id = q.id
            JOIN conversations c ON c.channel_id = q.channel AND c.thread_live
                AND c.thread_key = COALESCE(q.thread, 'user:' || i.user_id)
            UNION ALL SELECT unnest($5::bigint[]))
         ORDER BY id FOR NO KEY UPDATE",
    );
    sql.later(
        lock,
        vals![
            &scopes[..],
            &ids[..],
            &texts(&places.channels)[..],
            &places.threads()[..],
            &places.conversations[..]
        ],
    )
    .await
}

/// Finds the conversation of each send, as [`accept`] does of one, and holds it. `None`: there is none,
/// or its key was used before.
async fn look_up<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    sends: &[Option<&AcceptSend>],
) -> Result<Vec<Option<ConversationRow>>, StoreError> {
    let places = Places::of(sends);
    let keys = sql
        .ask(
            set(
                "SELECT q.no FROM unnest($1::bigint[], $2::text[]) AS q (no, key)
                 JOIN idempotency_keys k ON k.key = q.key",
            ),
            vals![&places.keyed[..], &texts(&places.keys)[..]],
        )
        .await?;
    let named = sql
        .ask(
            set(concat!(
                "SELECT q.no, ",
                conversation_columns!(),
                " FROM unnest($1::bigint[], $2::bigint[]) AS q (no, conversation)
                 JOIN conversations c ON c.id = q.conversation
                 ORDER BY c.id FOR NO KEY UPDATE OF c"
            )),
            vals![&places.named[..], &places.conversations[..]],
        )
        .await?;
    let ([scopes_1, scopes_2], [ids_1, ids_2]) = (&places.scopes, &places.ids);
    let addressed = sql
        .ask(
            // The second name may be new, or somebody else's: then there is something to make or to join.
            set(concat!(
                "SELECT q.no, ",
                conversation_columns!(),
                " FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[],
                    $6::text[], $7::text[])
                    AS q (no, channel, thread, scope_1, id_1, scope_2, id_2)
                 JOIN identities i ON i.scope = q.scope_1 AND i.platform_user_id = q.id_1
                 JOIN users u ON u.id = i.user_id
                 JOIN conversations c ON c.channel_id = q.channel AND c.thread_live
                    AND c.thread_key = COALESCE(q.thread, 'user:' || i.user_id)
                 WHERE u.id = (SELECT o.user_id FROM identities o
                    WHERE o.scope = q.scope_2 AND o.platform_user_id = q.id_2)
                 ORDER BY c.id FOR NO KEY UPDATE OF u, c"
            )),
            vals![
                &places.numbers[..],
                &texts(&places.channels)[..],
                &places.threads()[..],
                &texts(scopes_1)[..],
                &texts(ids_1)[..],
                &texts(scopes_2)[..],
                &texts(ids_2)[..]
            ],
        )
        .await?;
    let number = |row: &mut Row| Ok(usize::try_from(row.int()?).unwrap_or(usize::MAX));
    let used = sql.answer(keys).await?.into_iter();
    let used = used
        .map(|mut row| number(&mut row))
        .collect::<Result<HashSet<_>, StoreError>>()?;
    let mut found: Vec<Option<ConversationRow>> = vec![None; sends.len()];
    let mut rows = sql.answer(named).await?;
    rows.extend(sql.answer(addressed).await?);
    for mut row in rows {
        let number = number(&mut row)?;
        let conversation = ConversationRow::read(&mut row)?;
        unit.holds(conversation.id.0);
        if let Some(place) = found.get_mut(number)
            && !used.contains(&number)
        {
            *place = Some(conversation);
        }
    }
    Ok(found)
}

/// A plain send and its conversation.
pub(super) type Placed<'a> = (&'a AcceptSend, &'a ConversationRow);

/// Writes plain sends.
async fn write<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    placed: &[Placed<'_>],
) -> Result<Vec<(Accepted, Wakes)>, StoreError> {
    let authors = ask_authors(sql, unit, placed).await?;
    let ids = insert(sql, unit, placed).await?;
    let authors = match authors {
        Some(asked) => Some(read_authors(sql, asked).await?),
        None => None,
    };
    let wanted = unit.wanted("message-sent");
    let mut conversations: BTreeMap<i64, (ConversationRow, i64)> = BTreeMap::new();
    let (mut accepted, mut news) = (Vec::with_capacity(placed.len()), Vec::new());
    for ((send, found), message) in placed.iter().zip(&ids) {
        let (conversation, count) = conversations
            .entry(found.id.0)
            .or_insert_with(|| ((*found).clone(), 0));
        *count += 1;
        conversation.last_message_id = conversation.last_message_id.max(*message);
        conversation.last_update_time = unit.now;
        if let Some(authors) = &authors {
            let row = row_of(unit, send, conversation, *message, authors)?;
            if wanted {
                let told = payload::Told::of(conversation, None, &row, unit.links, unit.now);
                let told = News {
                    function: "message-sent",
                    group: found.id.0,
                    data: told.message_sent()?,
                };
                news.push((accepted.len(), told));
            }
        }
        let mut wakes = Wakes::default();
        let wake = (send.channel.id.clone(), found.id.0, send.bulk);
        wakes.sends.push(wake);
        let done = Accepted::New {
            message: *message,
            conversation: found.id,
            scheduled: false,
        };
        accepted.push((done, wakes));
    }
    insert_parts_and_keys(sql, unit, placed, &ids).await?;
    move_on(sql, unit, &conversations).await?;
    for (of, wake) in unit.emit_all(sql, &news).await? {
        if let Some((_, wakes)) = accepted.get_mut(of) {
            wakes.add_event(wake);
        }
    }
    Ok(accepted)
}

/// Asks how authors are shown. `None`: nobody is told.
async fn ask_authors<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    placed: &[Placed<'_>],
) -> Result<Option<Asked>, StoreError> {
    if unit.receivers.is_empty() {
        return Ok(None);
    }
    let ids: HashSet<i64> = placed.iter().map(|(send, _)| send.author.0).collect();
    let ids: Vec<_> = ids.into_iter().map(Some).collect();
    let asked = sql
        .ask(
            set(
                "SELECT id, first_name, last_name, profile_image, user_type FROM users
                 WHERE id = ANY($1)",
            ),
            vals![&ids[..]],
        )
        .await?;
    Ok(Some(asked))
}

/// How authors are shown: names, picture and type, by id.
type Authors = HashMap<i64, [String; 4]>;

async fn read_authors<S: Sql>(sql: &mut S, asked: Asked) -> Result<Authors, StoreError> {
    let read = |mut row: Row| {
        let id = row.int()?;
        Ok((id, [row.text()?, row.text()?, row.text()?, row.text()?]))
    };
    let rows = sql.answer(asked).await?.into_iter();
    rows.map(read).collect()
}

/// A message as it was just written.
fn row_of(
    unit: &Unit<'_>,
    send: &AcceptSend,
    conversation: &ConversationRow,
    id: MessageId,
    authors: &Authors,
) -> Result<MessageRow, StoreError> {
    let UserId(author) = send.author;
    let lost = || StoreError::Corrupt("a message vanished in its own commit".to_owned());
    let shown = authors.get(&author).ok_or_else(lost)?;
    let [first_name, last_name, profile_image, user_type] = shown.clone();
    Ok(MessageRow {
        id,
        conversation_id: conversation.id,
        user_id: send.author,
        outbound: true,
        text: send.text.clone(),
        attachments: send.attachments.clone(),
        payload: send.payload.clone(),
        status: "queued".to_owned(),
        creation_time: unit.now,
        first_name,
        last_name,
        profile_image,
        user_type,
    })
}
