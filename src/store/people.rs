//! Users and conversations: who a platform's id is, and where their messages go.

pub mod profile;

use super::StoreError;
use super::locks::{self, Name};
use super::outbox::Unit;
use super::rows::{ConversationRow, UserRow, hour, status_code};
use super::sql::{Row, Sql, Text};
use super::threads;
use crate::events::payload;
use crate::{conversation_columns, holding, inserting, user_columns, vals};
use switchboard_channels::model::{
    ConversationId, IdentityScope, Millis, Profile, Recipient, Sender, Thread, UserId,
};

/// What the store is told of a channel.
#[derive(Debug, Clone)]
pub struct ChannelInfo {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: &'static str,
    /// Usual source code.
    pub source: &'static str,
    /// Among whom its user ids are unique.
    pub identity: IdentityScope,
    /// Hours of the reply window.
    pub window_hours: Option<u32>,
}

/// A found or made user.
pub struct Found {
    /// The user.
    pub user: UserRow,
    /// Name, picture or ids changed.
    pub changed: bool,
}

/// The keys under which a person is known: scope and id, the best first.
pub(super) fn keys(channel: &ChannelInfo, sender: &Sender) -> Vec<(String, String)> {
    let scope = match channel.identity {
        IdentityScope::Channel => format!("channel:{}", channel.id),
        IdentityScope::Kind | IdentityScope::Phone | IdentityScope::Email => {
            format!("kind:{}", channel.kind)
        }
    };
    let mut keys: Vec<(String, String)> = sender
        .ids
        .iter()
        .map(|id| (scope.clone(), id.clone()))
        .collect();
    if channel.identity == IdentityScope::Phone {
        keys.extend(sender.phone.iter().map(|p| ("phone".to_owned(), p.clone())));
    }
    if channel.identity == IdentityScope::Email {
        keys.extend(
            sender
                .email
                .iter()
                .map(|e| ("email".to_owned(), e.to_lowercase())),
        );
    }
    keys
}

/// The person behind a sender, if anybody knows one.
pub async fn known_user<S: Sql>(
    sql: &mut S,
    channel: &ChannelInfo,
    sender: &Sender,
) -> Result<Option<UserId>, StoreError> {
    for (scope, id) in keys(channel, sender) {
        let row = sql
            .row(
                "SELECT user_id FROM identities WHERE scope = $1 AND platform_user_id = $2",
                vals![&scope, &id],
            )
            .await?;
        if let Some(mut row) = row {
            return Ok(Some(UserId(row.int()?)));
        }
    }
    Ok(None)
}

/// Somebody who is known, with a conversation that goes on: what most messages are about.
pub struct Known {
    /// The person.
    pub user: UserRow,
    /// The conversation.
    pub conversation: ConversationRow,
    /// Whether the platform's id of the message is known too: it came before.
    pub seen: bool,
}

/// Finds person, conversation and message in one statement, where nothing has to be made or joined, and
/// holds the first two. `None`: look for them one by one.
pub async fn known<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    sender: &Sender,
    thread: Option<&str>,
    platform_id: &str,
) -> Result<Option<Known>, StoreError> {
    let keys = keys(channel, sender);
    let (first, second) = match keys.as_slice() {
        [only] => (only, only),
        [first, second] => (first, second),
        // Nobody is named so, or somebody under many names.
        _ => return Ok(None),
    };
    let thread = thread.map(|key| format!("thread:{key}"));
    let row = sql
        .row(
            holding!(
                "u, c",
                "SELECT
                    COALESCE((SELECT p.message_id FROM platform_messages p
                            WHERE p.channel_id = $1 AND p.platform_id = $2),
                        (SELECT 1 FROM erased_ids e WHERE e.channel_id = $1 AND e.hash = $3)),
                    (SELECT o.user_id FROM identities o
                        WHERE o.scope = $4 AND o.platform_user_id = $5), ",
                user_columns!(),
                ", ",
                conversation_columns!(),
                " FROM identities i JOIN users u ON u.id = i.user_id
                 JOIN conversations c ON c.channel_id = $1 AND c.thread_live
                    AND c.thread_key = COALESCE($6, 'user:' || i.user_id)
                 WHERE i.scope = $7 AND i.platform_user_id = $8"
            ),
            vals![
                &channel.id,
                platform_id,
                // What was erased left the hash of its id.
                &super::inbound::hashed(platform_id),
                &second.0,
                &second.1,
                thread.as_ref(),
                &first.0,
                &first.1
            ],
        )
        .await?;
    let Some(mut row) = row else { return Ok(None) };
    let known = read_known(&mut row)?;
    if let Some(known) = &known {
        unit.holds(known.conversation.id.0);
    }
    Ok(known)
}

/// Reads what [`known`] selects. `None`: the second name is new, or somebody else's, so there is something
/// to make or to join.
fn read_known(row: &mut Row) -> Result<Option<Known>, StoreError> {
    let (seen, other) = (row.opt_int()?.is_some(), row.opt_int()?);
    let user = UserRow::read(row)?;
    let conversation = ConversationRow::read(row)?;
    Ok((other == Some(user.id.0)).then_some(Known {
        user,
        conversation,
        seen,
    }))
}

/// Finds the person behind a sender, or makes one; joins two that turn out to be the same.
pub async fn resolve_user<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    sender: &Sender,
) -> Result<Found, StoreError> {
    let keys = keys(channel, sender);
    let mut known = look_up(sql, &keys).await?;
    if !known.is_one() {
        // Somebody new, or two who are one: what is done about it must be done once, however many
        // say so at the same moment. Looked up again, since another may have been quicker.
        let mut names: Vec<_> = keys.iter().collect();
        names.sort();
        for (scope, id) in names {
            locks::name(sql, Name::Identity(scope, id)).await?;
        }
        known = look_up(sql, &keys).await?;
    }
    let mut changed = false;
    let mut found: Option<UserRow> = None;
    for user in known.users {
        found = Some(match found {
            None => user,
            Some(kept) => {
                let (keep, drop) = if kept.id < user.id {
                    (kept, user)
                } else {
                    (user, kept)
                };
                changed = true;
                join(sql, keep, drop).await?
            }
        });
    }
    let missing = known.missing;
    let mut user = match found {
        Some(user) => user,
        None => insert_user(sql, unit.now, sender).await?,
    };
    for (scope, id) in missing {
        sql.later(
            "INSERT INTO identities (scope, platform_user_id, user_id) VALUES ($1, $2, $3)
             ON CONFLICT (scope, platform_user_id) DO UPDATE SET user_id = excluded.user_id",
            vals![scope, id, user.id.0],
        )
        .await?;
    }
    changed |= profile::update(sql, unit.now, &mut user, sender).await?;
    Ok(Found { user, changed })
}

/// What the keys of a sender lead to.
struct LookedUp<'k> {
    /// The users behind them, each once, in the order of the keys. Held until the unit ends.
    users: Vec<UserRow>,
    /// The keys that nobody has.
    missing: Vec<&'k (String, String)>,
}

impl LookedUp<'_> {
    fn is_one(&self) -> bool {
        self.users.len() == 1 && self.missing.is_empty()
    }
}

async fn look_up<'k, S: Sql>(
    sql: &mut S,
    keys: &'k [(String, String)],
) -> Result<LookedUp<'k>, StoreError> {
    let mut known = LookedUp {
        users: Vec::new(),
        missing: Vec::new(),
    };
    for key in keys {
        let (scope, id) = key;
        let row = sql
            .row(
                holding!(
                    "u",
                    "SELECT ",
                    user_columns!(),
                    " FROM identities i JOIN users u ON u.id = i.user_id
                     WHERE i.scope = $1 AND i.platform_user_id = $2"
                ),
                vals![scope, id],
            )
            .await?;
        let Some(mut row) = row else {
            known.missing.push(key);
            continue;
        };
        let user = UserRow::read(&mut row)?;
        if known.users.iter().all(|u| u.id != user.id) {
            known.users.push(user);
        }
    }
    Ok(known)
}

async fn insert_user<S: Sql>(
    sql: &mut S,
    now: Millis,
    sender: &Sender,
) -> Result<UserRow, StoreError> {
    let profile = &sender.profile;
    // A contact without a name is shown by number or address rather than as nobody.
    let shown = || {
        let known = sender
            .phone
            .as_ref()
            .or(sender.email.as_ref())
            .or(sender.ids.first());
        known.cloned().unwrap_or_else(|| "User".to_owned())
    };
    let first_name = profile.first_name.clone().unwrap_or_else(shown);
    let mut user = UserRow {
        id: UserId(0),
        first_name,
        last_name: profile.last_name.clone().unwrap_or_default(),
        email: None,
        phone: sender.phone.clone(),
        profile_image: profile.image_url.clone().unwrap_or_default(),
        user_type: "lead".to_owned(),
        language: profile.language.clone(),
        department: None,
        token: uuid::Uuid::new_v4().simple().to_string(),
        creation_time: now,
        last_activity: now,
    };
    // Addresses are unique: one that an existing user carries already stays with that user.
    if let Some(email) = &sender.email {
        let email = email.to_lowercase();
        let taken = sql
            .row("SELECT id FROM users WHERE email = $1", vals![&email])
            .await?;
        user.email = taken.is_none().then_some(email);
    }
    let id = sql
        .insert(
            inserting!(
                "INSERT INTO users (first_name, last_name, email, phone, profile_image, user_type,
                language, token, creation_time, last_activity)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)"
            ),
            vals![
                &user.first_name,
                &user.last_name,
                user.email.as_ref(),
                user.phone.as_ref(),
                &user.profile_image,
                &user.user_type,
                user.language.as_ref(),
                &user.token,
                now.0
            ],
        )
        .await?;
    user.id = UserId(id);
    profile::details(sql, user.id, profile).await?;
    Ok(user)
}

/// Two users are one person: everything of the second becomes the first's.
async fn join<S: Sql>(
    sql: &mut S,
    mut kept: UserRow,
    dropped: UserRow,
) -> Result<UserRow, StoreError> {
    let (keep, drop) = (kept.id, dropped.id);
    sql.later(
        Text::lock(
            "SELECT 1 FROM conversations WHERE user_id IN ($1, $2) ORDER BY id FOR NO KEY UPDATE",
        ),
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later(
        "UPDATE identities SET user_id = $1 WHERE user_id = $2",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later(
        "UPDATE messages SET user_id = $1 WHERE user_id = $2
            AND conversation_id IN (SELECT id FROM conversations WHERE user_id = $2)",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later(
        // In groups and threads that began with somebody else.
        "UPDATE messages SET user_id = $1 WHERE user_id = $2 AND user_id <> 1 AND guest",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later(
        "INSERT INTO reactions (message_id, user_id, emoji)
            SELECT message_id, $1, emoji FROM reactions WHERE user_id = $2
         ON CONFLICT (message_id, user_id, emoji) DO NOTHING",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later("DELETE FROM reactions WHERE user_id = $1", vals![drop.0])
        .await?;
    let (new_key, old_key) = (format!("user:{keep}"), format!("user:{drop}"));
    // Where both have a conversation, the kept user's goes on and the other only stays readable.
    sql.later(
        "UPDATE conversations SET thread_live = FALSE WHERE user_id = $1 AND thread_key = $2
            AND channel_id IN (SELECT channel_id FROM conversations
                WHERE user_id = $3 AND thread_key = $4 AND thread_live)",
        vals![drop.0, &old_key, keep.0, &new_key],
    )
    .await?;
    sql.later(
        "UPDATE conversations SET thread_key = $1 WHERE user_id = $2 AND thread_key = $3",
        vals![&new_key, drop.0, &old_key],
    )
    .await?;
    sql.later(
        "UPDATE conversations SET user_id = $1 WHERE user_id = $2",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later(
        "INSERT INTO user_details (user_id, slug, name, value)
            SELECT $1, slug, name, value FROM user_details WHERE user_id = $2
         ON CONFLICT (user_id, slug) DO NOTHING",
        vals![keep.0, drop.0],
    )
    .await?;
    sql.later("DELETE FROM user_details WHERE user_id = $1", vals![drop.0])
        .await?;
    sql.later("DELETE FROM users WHERE id = $1", vals![drop.0])
        .await?;
    // Addresses that only the second had, now that nobody else has them.
    kept.email = kept.email.or(dropped.email);
    kept.phone = kept.phone.or(dropped.phone);
    sql.later(
        "UPDATE users SET email = $1, phone = $2 WHERE id = $3",
        vals![kept.email.as_ref(), kept.phone.as_ref(), keep.0],
    )
    .await?;
    Ok(kept)
}

/// How a conversation came to be, for the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The contact wrote.
    Contact,
    /// We write.
    Us,
    /// A machine on the contact's side wrote: nobody there waits for an answer.
    Machine,
}

/// A found or made conversation.
pub struct FoundConversation {
    /// The conversation.
    pub conversation: ConversationRow,
    /// Whether it was made just now.
    pub created: bool,
}

/// The key of a conversation within its channel.
pub fn thread_key(user: UserId, thread: Option<&str>) -> String {
    thread.map_or_else(|| format!("user:{user}"), |key| format!("thread:{key}"))
}

/// Finds the live conversation of a thread, and holds it.
pub async fn find_conversation<S: Sql>(
    sql: &mut S,
    channel: &str,
    key: &str,
) -> Result<Option<ConversationRow>, StoreError> {
    let row = sql
        .row(
            holding!(
                "c",
                "SELECT ",
                conversation_columns!(),
                " FROM conversations c WHERE c.channel_id = $1 AND c.thread_key = $2
                    AND c.thread_live"
            ),
            vals![channel, key],
        )
        .await?;
    row.map(|mut row| ConversationRow::read(&mut row))
        .transpose()
}

/// Finds the conversation that an event or a send belongs to, or begins it; opens an archived one
/// when the contact writes.
pub async fn resolve_conversation<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    channel: &ChannelInfo,
    user: UserId,
    thread: &Thread,
    origin: Origin,
) -> Result<FoundConversation, StoreError> {
    let key = thread_key(user, thread.key.as_deref());
    let found = match threads::continued(sql, unit.now, channel, user, thread).await? {
        Some(conversation) => Some(conversation),
        None => find_conversation(sql, &channel.id, &key).await?,
    };
    if let Some(mut conversation) = found {
        unit.holds(conversation.id.0);
        if origin == Origin::Contact {
            reopen(sql, unit, &mut conversation).await?;
        }
        return Ok(FoundConversation {
            conversation,
            created: false,
        });
    }
    let status = match origin {
        Origin::Contact => status_code::WAITING_AGENT,
        Origin::Us | Origin::Machine => status_code::WAITING_USER,
    };
    let source = thread.source.as_deref().unwrap_or(channel.source);
    let title = thread.title.clone().unwrap_or_default();
    // Of several people who begin a group's conversation at the same moment one inserts; the others
    // fail here, and find it when their units run again.
    let id = sql
        .insert(
            inserting!(
                "INSERT INTO conversations (user_id, channel_id, source, thread_key, thread_live, title,
                status_code, extra, address, creation_time, last_update_time, updated_hour)
             VALUES ($1, $2, $3, $4, TRUE, $5, $6, $7, $8, $9, $9, $10)"
            ),
            vals![
                user.0,
                &channel.id,
                source,
                &key,
                &title,
                status,
                thread.extra.as_ref(),
                &thread.address,
                unit.now.0,
                hour(unit.now)
            ],
        )
        .await?;
    let conversation = ConversationRow {
        id: ConversationId(id),
        user_id: user,
        channel_id: channel.id.clone(),
        source: source.to_owned(),
        title,
        status_code: status,
        department: None,
        agent_id: None,
        extra: thread.extra.clone(),
        extra_2: None,
        extra_3: None,
        tags: None,
        address: thread.address.clone(),
        window_until: None,
        creation_time: unit.now,
        last_update_time: unit.now,
        last_message_id: switchboard_channels::model::MessageId(0),
        updated_hour: hour(unit.now),
    };
    unit.holds(conversation.id.0);
    Ok(FoundConversation {
        conversation,
        created: true,
    })
}

/// Opens an archived conversation: the contact writes.
pub async fn reopen<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversation: &mut ConversationRow,
) -> Result<(), StoreError> {
    if conversation.status_code == status_code::ARCHIVE {
        set_status(sql, unit, conversation, status_code::WAITING_AGENT).await?;
    }
    Ok(())
}

/// Sets a conversation's status code and says so.
pub async fn set_status<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    conversation: &mut ConversationRow,
    status: i64,
) -> Result<(), StoreError> {
    if conversation.status_code == status {
        return Ok(());
    }
    conversation.status_code = status;
    // The trash gives its thread up, so that the next message begins a new conversation; coming back
    // takes it again only when no other conversation has begun meanwhile.
    sql.later(
        "UPDATE conversations SET status_code = $1, thread_live = CAST($1 AS BIGINT) <> 4 AND NOT EXISTS (
            SELECT 1 FROM conversations o WHERE o.channel_id = conversations.channel_id
                AND o.thread_key = conversations.thread_key AND o.thread_live
                AND o.id <> conversations.id)
         WHERE id = $2",
        vals![status, conversation.id.0],
    )
    .await?;
    let data = payload::conversation_status_updated(conversation);
    unit.emit(sql, "conversation-status-updated", conversation.id.0, &data)
        .await
}

/// The sender and thread that a recipient stands for, when we write first.
pub fn from_recipient(recipient: &Recipient) -> (Sender, Thread) {
    let sender = Sender {
        ids: recipient.ids.clone(),
        phone: recipient.phone.clone(),
        email: recipient.email.clone(),
        profile: Profile::default(),
    };
    let thread = Thread {
        key: recipient.thread.clone(),
        address: recipient.address.clone(),
        title: None,
        extra: recipient.extra.clone(),
        ..Thread::default()
    };
    (sender, thread)
}
