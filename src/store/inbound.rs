//! What a webhook carried, made durable: one unit, all or nothing, safe to repeat.

mod set;

use super::mirror::{self, What};
use super::outbox::{News, Unit, Wakes};
use super::people::{
    self, ChannelInfo, FoundConversation, Origin, find_conversation, resolve_conversation,
    resolve_user, thread_key,
};
use super::progress;
use super::rows::{ConversationRow, MessageRow, StoredAttachment, UserRow, attachments_text, json};
use super::sql::Sql;
use super::{StoreError, locks, threads};
use crate::events::payload;
use crate::{inserting, vals};
use serde_json::json;
use switchboard_channels::kit::sign::sha256_hex;
use switchboard_channels::model::{
    Attachment, ConversationId, Effect, Event, EventBody, IdentityScope, InboundMessage, MessageId,
    Millis, ReplyToken, Sender, Thread, UserChange, UserId,
};

/// Effects are worth doing for so long after their event (design: a minute).
const EFFECT_LIFE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The events of one channel out of one webhook.
#[derive(Debug, Clone)]
pub struct InboundBatch {
    /// The channel.
    pub channel: ChannelInfo,
    /// What happened.
    pub events: Vec<Event>,
    /// What must follow.
    pub effects: Vec<Effect>,
}

/// What became of one event, for the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It changed something.
    Applied,
    /// It was seen before.
    Duplicate,
    /// It is kept, but nothing is known that it could apply to.
    Kept,
}

impl Fate {
    /// The name under which it is counted.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Kept => "kept",
        }
    }
}

/// Batches of one webhook while they are applied.
struct Applying<'b> {
    batches: &'b [InboundBatch],
    /// What became of each event; `None`: nothing yet.
    fates: Vec<Vec<Option<Fate>>>,
    wakes: Wakes,
}

impl<'b> Applying<'b> {
    fn new(batches: &'b [InboundBatch]) -> Self {
        let fates = batches.iter().map(|b| vec![None; b.events.len()]).collect();
        Self {
            batches,
            fates,
            wakes: Wakes::default(),
        }
    }

    fn note(&mut self, batch: usize, index: usize, fate: Fate) {
        let place = self.fates.get_mut(batch).and_then(|b| b.get_mut(index));
        if let Some(place) = place {
            *place = Some(fate);
        }
    }
}

/// What became of a webhook.
pub type Applied = (Vec<Vec<Fate>>, Wakes);

/// Applies the batches of one webhook in order; says what became of each event of each batch.
pub async fn apply<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    batches: &[InboundBatch],
) -> Result<Vec<Vec<Fate>>, StoreError> {
    let mut fates = Vec::new();
    for (of_webhook, wakes) in apply_all(sql, unit, &[batches]).await? {
        unit.wakes.extend(wakes);
        fates = of_webhook;
    }
    Ok(fates)
}

/// Applies webhooks that came at the same moment, as if one after the other.
pub async fn apply_all<S: Sql, B: AsRef<[InboundBatch]>>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    webhooks: &[B],
) -> Result<Vec<Applied>, StoreError> {
    let mut all: Vec<Applying<'_>> = webhooks.iter().map(|w| Applying::new(w.as_ref())).collect();
    if sql.takes_sets() {
        set::apply(sql, unit, &mut all).await?;
    }
    let mut applied = Vec::with_capacity(all.len());
    for webhook in all {
        let before = std::mem::replace(&mut unit.wakes, webhook.wakes);
        let mut fates = Vec::with_capacity(webhook.batches.len());
        for (batch, known) in webhook.batches.iter().zip(webhook.fates) {
            fates.push(finish(sql, unit, batch, known).await?);
        }
        applied.push((fates, std::mem::replace(&mut unit.wakes, before)));
    }
    Ok(applied)
}

/// Applies what has no fate yet, one by one.
async fn finish<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    batch: &InboundBatch,
    known: Vec<Option<Fate>>,
) -> Result<Vec<Fate>, StoreError> {
    let mut fates = Vec::with_capacity(batch.events.len());
    for (event, fate) in batch.events.iter().zip(known) {
        fates.push(match fate {
            Some(fate) => fate,
            None => apply_one(sql, unit, &batch.channel, event).await?,
        });
    }
    // A webhook whose every event was seen before is a redelivery: its effects were run.
    if fates.is_empty() || fates.iter().any(|f| *f != Fate::Duplicate) {
        for effect in &batch.effects {
            insert_effect(sql, unit, &batch.channel, effect).await?;
        }
    }
    Ok(fates)
}

async fn insert_effect<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    effect: &Effect,
) -> Result<(), StoreError> {
    if let Effect::FetchProfile { user } = effect {
        // Platforms ask for it with every message; a name changes seldom, and asking costs a call.
        let key = format!("profile:{user}:{}", unit.now.0 / DAY_MS);
        let first = sql
            .exec(
                "INSERT INTO dedup_keys (channel_id, key, seen_at) VALUES ($1, $2, $3)
                 ON CONFLICT (channel_id, key) DO NOTHING",
                vals![&channel.id, &hashed(&key), unit.now.0],
            )
            .await?;
        if first == 0 {
            return Ok(());
        }
    }
    let id = sql
        .insert(
            inserting!("INSERT INTO effects (channel_id, body, expires_at) VALUES ($1, $2, $3)"),
            vals![&channel.id, &json(effect)?, unit.now.plus(EFFECT_LIFE_MS).0],
        )
        .await?;
    unit.wakes.effects.push((channel.id.clone(), id));
    Ok(())
}

async fn apply_one<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
) -> Result<Fate, StoreError> {
    // A message of somebody is known by the platform's id, which is kept for good.
    if let (EventBody::Message(message), Some(sender), Some(thread)) =
        (&event.body, &event.sender, &event.thread)
    {
        let about = (message, sender, thread);
        return message_came(sql, unit, channel, event, about, false).await;
    }
    // The unique key is the check: of copies that come at once, one inserts it.
    let new = sql
        .exec(
            "INSERT INTO dedup_keys (channel_id, key, seen_at) VALUES ($1, $2, $3)
             ON CONFLICT (channel_id, key) DO NOTHING",
            vals![&channel.id, &hashed(&event.key), unit.now.0],
        )
        .await?;
    if new == 0 {
        return Ok(Fate::Duplicate);
    }
    match &event.body {
        EventBody::Message(_) => {
            keep(
                sql,
                unit,
                channel,
                "message without sender or thread",
                event,
            )
            .await
        }
        EventBody::Status(status) => progress::status_came(sql, unit, channel, event, status).await,
        EventBody::Edit(edit) => {
            let Some(target) = find(sql, channel, &edit.target).await? else {
                return keep(sql, unit, channel, "edit of an unknown message", event).await;
            };
            locks::of_message(sql, target).await?;
            // Forward only: an older edit that comes late, or one of a message that was taken back,
            // changes nothing.
            let newer = sql
                .exec(
                    "UPDATE messages SET edited_at = $1
                     WHERE id = $2 AND NOT deleted AND edited_at <= $1",
                    vals![event.at.0, target.0],
                )
                .await?;
            if newer == 0 {
                return Ok(Fate::Duplicate);
            }
            let attachments = match &edit.attachments {
                Some(list) => Some(store_attachments(sql, unit, channel, target, list).await?),
                None => None,
            };
            change_text(sql, unit, target, &edit.text, attachments.as_deref()).await?;
            mirror::note_message(sql, unit, target, What::Edited).await?;
            Ok(Fate::Applied)
        }
        EventBody::Delete(delete) => {
            let Some(target) = find(sql, channel, &delete.target).await? else {
                return keep(sql, unit, channel, "deletion of an unknown message", event).await;
            };
            locks::of_message(sql, target).await?;
            mark_deleted(sql, unit, target).await?;
            mirror::note_message(sql, unit, target, What::Deleted).await?;
            Ok(Fate::Applied)
        }
        EventBody::Reaction(reaction) => {
            let Some(target) = find(sql, channel, &reaction.target).await? else {
                return keep(sql, unit, channel, "reaction to an unknown message", event).await;
            };
            let Some(sender) = &event.sender else {
                return keep(sql, unit, channel, "reaction of nobody", event).await;
            };
            // The ids of erased messages are known for good; a reaction to one must not bring its
            // writer back.
            if super::reads::message(sql, target).await?.is_none() {
                return Ok(Fate::Kept);
            }
            let user = resolve_user(sql, unit, channel, sender).await?.user;
            locks::of_message(sql, target).await?;
            react(sql, unit, target, user.id, &reaction.emoji, reaction.added).await?;
            Ok(Fate::Applied)
        }
        EventBody::User(change) => user_changed(sql, unit, channel, event, change).await,
        EventBody::Typing => Ok(Fate::Applied),
        EventBody::Notice(notice) => {
            let what = format!("notice: {}", notice.topic);
            raw(sql, unit, channel, &what, &notice.detail).await?;
            Ok(Fate::Kept)
        }
        EventBody::Unknown { what, raw: body } => {
            raw(sql, unit, channel, what, body).await?;
            Ok(Fate::Kept)
        }
    }
}

/// Keeps what could not be applied, for the operator.
pub async fn raw<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    channel: &ChannelInfo,
    what: &str,
    body: &str,
) -> Result<(), StoreError> {
    sql.later(
        "INSERT INTO raw_events (channel_id, what, body, received_at) VALUES ($1, $2, $3, $4)",
        vals![&channel.id, what, body, unit.now.0],
    )
    .await?;
    Ok(())
}

async fn keep<S: Sql>(
    sql: &mut S,
    unit: &Unit<'_>,
    channel: &ChannelInfo,
    what: &str,
    event: &Event,
) -> Result<Fate, StoreError> {
    raw(sql, unit, channel, what, &json(event)?).await?;
    Ok(Fate::Kept)
}

/// What is kept of a key that only has to be recognised: half a SHA-256. Platforms put telephone numbers
/// and names into ids, and these outlive the person who is erased.
pub fn hashed(key: &str) -> String {
    let hash = sha256_hex(key.as_bytes());
    hash.get(..32).unwrap_or(&hash).to_owned()
}

/// The message behind a platform's id, also one that was erased and left nothing but the hash of its id.
async fn find<S: Sql>(
    sql: &mut S,
    channel: &ChannelInfo,
    platform_id: &str,
) -> Result<Option<MessageId>, StoreError> {
    let row = sql
        .row(
            "SELECT message_id FROM platform_messages
             WHERE channel_id = $1 AND platform_id IN ($2, $3)",
            vals![&channel.id, platform_id, &hashed(platform_id)],
        )
        .await?;
    row.map(|mut row| row.int().map(MessageId)).transpose()
}

/// Whose message it is and where it belongs.
struct Place {
    user: UserRow,
    /// Name, picture or ids changed.
    changed: bool,
    conversation: ConversationRow,
    /// Whether it began just now.
    created: bool,
    /// Whether the platform's id stands for another message already; then this one has a second.
    taken: bool,
}

/// Finds or makes person and conversation of a message; `Err` says what became of it instead.
async fn place<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
    (message, sender, thread): (&InboundMessage, &Sender, &Thread),
    waited: bool,
) -> Result<Result<Place, Fate>, StoreError> {
    // What a colleague or a machine wrote, and mail, which finds its thread by more than one key, are
    // looked at step by step.
    let plain = !message.from_us && !message.automatic && channel.identity != IdentityScope::Email;
    if plain {
        let key = thread.key.as_deref();
        let id = message.platform_id.as_str();
        if let Some(known) = people::known(sql, unit, channel, sender, key, id).await? {
            if known.seen {
                return Ok(Err(Fate::Duplicate));
            }
            let (mut user, mut conversation) = (known.user, known.conversation);
            let changed = people::profile::update(sql, unit.now, &mut user, sender).await?;
            people::reopen(sql, unit, &mut conversation).await?;
            return Ok(Ok(Place {
                user,
                changed,
                conversation,
                created: false,
                taken: false,
            }));
        }
    }
    let taken = find(sql, channel, &message.platform_id).await?.is_some();
    let seen = match &message.distinct_id {
        Some(distinct) => find(sql, channel, distinct).await?.is_some(),
        None => taken,
    };
    if seen {
        return Ok(Err(Fate::Duplicate));
    }
    if message.from_us
        && let Some(reference) = &message.our_reference
        && progress::evidence(sql, unit, &channel.id, reference, &message.platform_id).await?
    {
        return Ok(Err(Fate::Applied));
    }
    if message.from_us
        && !waited
        && let Some(fate) = super::echoes::hold(sql, unit, channel, event, message).await?
    {
        return Ok(Err(fate));
    }
    let found = resolve_user(sql, unit, channel, sender).await?;
    // What a colleague wrote at the platform opens nothing and leaves nobody waiting for us.
    let origin = match (message.from_us, message.automatic) {
        (true, _) => Origin::Us,
        (false, true) => Origin::Machine,
        (false, false) => Origin::Contact,
    };
    let FoundConversation {
        conversation,
        created,
    } = resolve_conversation(sql, unit, channel, found.user.id, thread, origin).await?;
    Ok(Ok(Place {
        user: found.user,
        changed: found.changed,
        conversation,
        created,
        taken,
    }))
}

/// De-duplication is the unique key of `platform_messages`: of copies that come at once, one inserts
/// it, and the unit of another fails or, run again, finds it. `waited`: an echo that was held, and is not
/// held again.
pub async fn message_came<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
    about: (&InboundMessage, &Sender, &Thread),
    waited: bool,
) -> Result<Fate, StoreError> {
    let (message, sender, thread) = about;
    let Place {
        user,
        changed,
        mut conversation,
        created,
        taken,
    } = match place(sql, unit, channel, event, about, waited).await? {
        Ok(place) => place,
        Err(fate) => return Ok(fate),
    };
    let author = if message.from_us {
        bot(sql).await?
    } else {
        user.clone()
    };
    let reply_to = match &message.reply_to {
        Some(target) => find(sql, channel, target).await?,
        None => None,
    };
    let payload_text = payload_of(message);
    let status = if message.from_us { "sent" } else { "received" };
    let id = sql
        .insert(
            inserting!(
                "INSERT INTO messages (conversation_id, user_id, outbound, text, payload, status,
                creation_time, reply_to, guest)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            ),
            vals![
                conversation.id.0,
                author.id.0,
                message.from_us,
                &message.text,
                &payload_text,
                status,
                unit.now.0,
                reply_to.map(|m| m.0),
                author.id != conversation.user_id
            ],
        )
        .await?;
    let id = MessageId(id);
    let ids = [
        (!taken).then_some(&message.platform_id),
        message.distinct_id.as_ref(),
    ];
    for (idx, platform_id) in ids.into_iter().flatten().enumerate() {
        sql.later(
            "INSERT INTO platform_messages (channel_id, platform_id, message_id, idx)
             VALUES ($1, $2, $3, $4)",
            vals![
                &channel.id,
                platform_id,
                id.0,
                i64::try_from(idx).unwrap_or(i64::MAX)
            ],
        )
        .await?;
    }
    if channel.identity == IdentityScope::Email {
        threads::joined(sql, conversation.id, sender, &thread.people).await?;
    }
    let attachments = if message.attachments.is_empty() {
        Vec::new()
    } else {
        let stored = store_attachments(sql, unit, channel, id, &message.attachments).await?;
        sql.later(
            "UPDATE messages SET attachments = $1 WHERE id = $2",
            vals![&attachments_text(&stored)?, id.0],
        )
        .await?;
        stored
    };
    conversation.last_message_id = id;
    conversation.last_update_time = unit.now;
    // Whom a person answers is where they can be reached; a machine's address leads nowhere.
    if !message.automatic || created {
        conversation.address.clone_from(&thread.address);
    }
    if !message.from_us {
        conversation.window_until = window_of(channel, event, conversation.window_until);
    }
    sql.later(
        "UPDATE conversations SET last_message_id = $1, last_update_time = $2, address = $3,
            window_until = $4 WHERE id = $5",
        vals![
            id.0,
            unit.now.0,
            &conversation.address,
            conversation.window_until.map(|t| t.0),
            conversation.id.0
        ],
    )
    .await?;
    conversation.list_under_hour(sql, unit.now).await?;
    if let Some(token) = &thread.reply_token {
        keep_reply_token(sql, conversation.id, token).await?;
    }
    let row = MessageRow {
        id,
        conversation_id: conversation.id,
        user_id: author.id,
        outbound: message.from_us,
        text: message.text.clone(),
        attachments,
        payload: payload_text,
        status: status.to_owned(),
        creation_time: unit.now,
        first_name: author.first_name.clone(),
        last_name: author.last_name.clone(),
        profile_image: author.profile_image.clone(),
        user_type: author.user_type.clone(),
    };
    mirror::note(sql, unit, &channel.id, conversation.id, id, What::New).await?;
    // What our own people write at a desk is told of when it is brought back, as theirs; as a contact's
    // it would be answered.
    let at_desk = mirror::is_desk(unit.desks, &channel.id);
    if at_desk && mirror::is_mirror(sql, conversation.id).await? {
        return Ok(Fate::Applied);
    }
    announce(
        sql,
        unit,
        &conversation,
        &user,
        &row,
        created,
        message.automatic,
    )
    .await?;
    if changed {
        let data = payload::user_updated(user.id, conversation.id, "profile");
        unit.emit(sql, "user-updated", conversation.id.0, &data)
            .await?;
    }
    Ok(Fate::Applied)
}

/// Until when the platform takes free text, now that its contact has written.
fn window_of(channel: &ChannelInfo, event: &Event, before: Option<Millis>) -> Option<Millis> {
    let Some(hours) = channel.window_hours else {
        return before;
    };
    let until = event.at.plus(i64::from(hours).saturating_mul(HOUR_MS));
    before.max(Some(until))
}

/// Keeps a platform's one-time right to answer.
async fn keep_reply_token<S: Sql>(
    sql: &mut S,
    conversation: ConversationId,
    token: &ReplyToken,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE conversations SET reply_token = $1, reply_token_until = $2 WHERE id = $3",
        vals![&token.token, token.expires_at.0, conversation.0],
    )
    .await
}

/// The events of a message that came: a new conversation first, then the message, then its list.
async fn announce<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversation: &ConversationRow,
    user: &UserRow,
    message: &MessageRow,
    created: bool,
    automatic: bool,
) -> Result<(), StoreError> {
    if created {
        announce_conversation(sql, unit, conversation, user, Some(message)).await?;
    }
    for News {
        function,
        group,
        data,
    } in news_of(unit, conversation, user, message, automatic)?
    {
        unit.emit(sql, function, group, data).await?;
    }
    Ok(())
}

/// The events of a message in a conversation that went on. The last one is what backends answer to; a
/// machine must not be answered by another.
fn news_of(
    unit: &Unit<'_>,
    conversation: &ConversationRow,
    user: &UserRow,
    message: &MessageRow,
    automatic: bool,
) -> Result<Vec<News>, StoreError> {
    let to_answer = !message.outbound && !automatic && unit.wanted("new-messages");
    let sent = unit.wanted("message-sent");
    let mut news = Vec::new();
    if !to_answer && !sent {
        return Ok(news);
    }
    let told = payload::Told::of(conversation, Some(user), message, unit.links, unit.now);
    let of = |function, data| News {
        function,
        group: conversation.id.0,
        data,
    };
    if sent {
        news.push(of("message-sent", told.message_sent()?));
    }
    if to_answer {
        news.push(of("new-messages", told.new_messages()?));
    }
    Ok(news)
}

/// The event of a conversation that began.
pub async fn announce_conversation<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversation: &ConversationRow,
    user: &UserRow,
    message: Option<&MessageRow>,
) -> Result<(), StoreError> {
    if !unit.wanted("new-conversation-created") {
        return Ok(());
    }
    let data = payload::new_conversation_created(conversation, user, message, unit.links, unit.now);
    unit.emit(sql, "new-conversation-created", conversation.id.0, &data)
        .await
}

/// The bot, as an author.
pub async fn bot<S: Sql>(sql: &mut S) -> Result<UserRow, StoreError> {
    super::reads::user(sql, super::rows::BOT)
        .await?
        .ok_or_else(|| StoreError::Corrupt("the bot is missing".to_owned()))
}

/// The structured rest of a message, as the payload shows it.
fn payload_of(message: &InboundMessage) -> String {
    let mut object = serde_json::Map::new();
    if let Some(structured) = &message.structured {
        object.insert(
            "reply".to_owned(),
            json!({"payload": structured.payload, "title": structured.title, "of": structured.of}),
        );
    }
    if let Some(location) = &message.location {
        object.insert("location".to_owned(), json!(location));
    }
    if !message.contacts.is_empty() {
        object.insert("contacts".to_owned(), json!(message.contacts));
    }
    if let Some(unsupported) = &message.unsupported {
        object.insert("unsupported".to_owned(), json!(unsupported));
    }
    if let Some(reply_to) = &message.reply_to {
        object.insert("reply_to".to_owned(), json!(reply_to));
    }
    for (name, value) in &message.facts {
        object.insert(name.clone(), json!(value));
    }
    if object.is_empty() {
        String::new()
    } else {
        serde_json::Value::Object(object).to_string()
    }
}

/// Rows for attachments to be fetched, and how the message shows them.
async fn store_attachments<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    message: MessageId,
    attachments: &[Attachment],
) -> Result<Vec<StoredAttachment>, StoreError> {
    let mut stored = Vec::with_capacity(attachments.len());
    for (idx, attachment) in attachments.iter().enumerate() {
        let name = attachment_name(attachment, message, idx);
        let size = attachment.size_bytes.and_then(|s| i64::try_from(s).ok());
        let key = match &attachment.media {
            None => None,
            Some(media) => {
                let key = uuid::Uuid::new_v4().simple().to_string();
                let id = sql
                    .one(
                        "INSERT INTO media (key, channel_id, message_id, idx, source, name, mime,
                            size_bytes, state, next_at, created_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, $9) RETURNING id",
                        vals![
                            &key,
                            &channel.id,
                            message.0,
                            i64::try_from(idx).unwrap_or(i64::MAX),
                            &json(media)?,
                            &name,
                            attachment.mime.as_ref(),
                            size,
                            unit.now.0
                        ],
                    )
                    .await?
                    .int()?;
                unit.wakes.media.push((channel.id.clone(), id));
                Some(key)
            }
        };
        stored.push(StoredAttachment {
            name,
            link: String::new(),
            media_key: key,
            kind: attachment.kind,
            mime: attachment.mime.clone(),
            size_bytes: attachment.size_bytes,
        });
    }
    Ok(stored)
}

/// The name that the sender gave, or one from kind and type.
fn attachment_name(attachment: &Attachment, message: MessageId, idx: usize) -> String {
    if let Some(name) = attachment
        .name
        .as_deref()
        .map(str::trim)
        .filter(|n| !n.is_empty())
    {
        return name.to_owned();
    }
    let extension = crate::media::extension(attachment.mime.as_deref(), attachment.kind);
    format!(
        "{}-{message}-{}.{extension}",
        attachment.kind.name(),
        idx + 1
    )
}

/// Gives a message another text (and attachments), and says so.
pub async fn change_text<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    text: &str,
    attachments: Option<&[StoredAttachment]>,
) -> Result<(), StoreError> {
    sql.later(
        "UPDATE messages SET text = $1 WHERE id = $2",
        vals![text, message.0],
    )
    .await?;
    if let Some(attachments) = attachments {
        sql.later(
            "UPDATE messages SET attachments = $1 WHERE id = $2",
            vals![&attachments_text(attachments)?, message.0],
        )
        .await?;
    }
    announce_update(sql, unit, message).await
}

/// The event of a changed message.
pub async fn announce_update<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    if let Some(row) = super::reads::message(sql, message).await? {
        let data = payload::message_updated(&row, unit.links, unit.now);
        unit.emit(sql, "message-updated", row.conversation_id.0, &data)
            .await?;
    }
    Ok(())
}

/// Takes a message back: it keeps its place, its content goes.
pub async fn mark_deleted<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
) -> Result<(), StoreError> {
    let row = sql
        .row(
            "UPDATE messages SET deleted = TRUE, text = '', attachments = '', payload = ''
             WHERE id = $1 AND NOT deleted RETURNING conversation_id",
            vals![message.0],
        )
        .await?;
    if let Some(mut row) = row {
        let group = row.int()?;
        unit.emit(sql, "message-deleted", group, &json!(message.to_string()))
            .await?;
    }
    Ok(())
}

async fn react<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    message: MessageId,
    user: UserId,
    emoji: &str,
    added: bool,
) -> Result<(), StoreError> {
    let removed: Vec<String> = if added {
        sql.later(
            "INSERT INTO reactions (message_id, user_id, emoji) VALUES ($1, $2, $3)
             ON CONFLICT (message_id, user_id, emoji) DO NOTHING",
            vals![message.0, user.0, emoji],
        )
        .await?;
        Vec::new()
    } else {
        // A platform that does not say which reaction is gone means all of this person's.
        let rows = sql
            .rows(
                "DELETE FROM reactions WHERE message_id = $1 AND user_id = $2
                    AND ($3 = '' OR emoji = $3) RETURNING emoji",
                vals![message.0, user.0, emoji],
            )
            .await?;
        rows.into_iter()
            .map(|mut r| r.text())
            .collect::<Result<_, _>>()?
    };
    let Some(row) = super::reads::message(sql, message).await? else {
        return Ok(());
    };
    let group = row.conversation_id;
    let mut changes: Vec<(&str, &str)> = removed.iter().map(|e| (e.as_str(), "removed")).collect();
    if added {
        changes.push((emoji, "added"));
    } else if changes.is_empty() {
        changes.push((emoji, "removed"));
    }
    for (emoji, action) in changes {
        let data = payload::message_reaction(message, group, user, emoji, action);
        unit.emit(sql, "message-reaction", group.0, &data).await?;
    }
    Ok(())
}

async fn user_changed<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    event: &Event,
    change: &UserChange,
) -> Result<Fate, StoreError> {
    if let UserChange::ThreadMoved { from, to } = change {
        return thread_moved(sql, unit, channel, from, to).await;
    }
    let Some(sender) = &event.sender else {
        return keep(sql, unit, channel, "change of nobody", event).await;
    };
    let mut sender = sender.clone();
    let name = match change {
        UserChange::Subscribed { .. } => "subscribed",
        UserChange::Unsubscribed => "unsubscribed",
        UserChange::OptedOut => "opted-out",
        UserChange::OptedIn => "opted-in",
        UserChange::Profile { previous_ids } => {
            // The old ids lead to the user, the new ones come to lead there too.
            sender.ids.extend(previous_ids.iter().cloned());
            "profile"
        }
        UserChange::ThreadMoved { .. } => return Ok(Fate::Kept),
    };
    if matches!(name, "opted-out" | "opted-in") {
        let value = if name == "opted-out" { "true" } else { "false" };
        sender.profile.details.push((
            "opted_out".to_owned(),
            "Opted out".to_owned(),
            value.to_owned(),
        ));
    }
    let user = resolve_user(sql, unit, channel, &sender).await?.user;
    let thread = event.thread.as_ref();
    let key = thread_key(user.id, thread.and_then(|t| t.key.as_deref()));
    let conversation = find_conversation(sql, &channel.id, &key).await?;
    if let (Some(conversation), Some(thread), "profile") = (&conversation, thread, name) {
        sql.later(
            "UPDATE conversations SET address = $1 WHERE id = $2",
            vals![&thread.address, conversation.id.0],
        )
        .await?;
    }
    let group = conversation.as_ref().map_or(0, |c| c.id.0);
    let data = payload::user_change(user.id, conversation.as_ref().map(|c| c.id), name);
    unit.emit(sql, "user-updated", group, &data).await?;
    Ok(Fate::Applied)
}

async fn thread_moved<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    from: &str,
    to: &str,
) -> Result<Fate, StoreError> {
    let (old, new) = (format!("thread:{from}"), format!("thread:{to}"));
    if find_conversation(sql, &channel.id, &new).await?.is_some() {
        return Ok(Fate::Duplicate);
    }
    let row = sql
        .row(
            "UPDATE conversations SET thread_key = $1, address = $2, extra = $2
             WHERE channel_id = $3 AND thread_key = $4 AND thread_live RETURNING id, user_id",
            vals![&new, to, &channel.id, &old],
        )
        .await?;
    let Some(mut row) = row else {
        return Ok(Fate::Kept);
    };
    let (conversation, user) = (row.int()?, row.int()?);
    let data = payload::user_updated(UserId(user), ConversationId(conversation), "profile");
    unit.emit(sql, "user-updated", conversation, &data).await?;
    Ok(Fate::Applied)
}
