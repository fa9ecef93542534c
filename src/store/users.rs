//! Changes to users that callers ask for.

use super::StoreError;
use super::outbox::Unit;
use super::sql::{Sql, Text};
use crate::vals;
use serde_json::json;
use switchboard_channels::model::UserId;

/// Fields of a user to be made or changed; `None` leaves them (or takes the default).
#[derive(Debug, Clone, Default)]
pub struct UserFields {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address; `Some(None)` removes it.
    pub email: Option<Option<String>>,
    /// Telephone number in E.164.
    pub phone: Option<String>,
    /// Link of a picture.
    pub profile_image: Option<String>,
    /// Type.
    pub user_type: Option<String>,
    /// Additional details: slug, name, value.
    pub details: Vec<(String, String, String)>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserChange {
    /// Done.
    Done(UserId),
    /// Another user has this e-mail address.
    DuplicateEmail,
    /// There is no such user.
    NotFound,
}

async fn email_taken<S: Sql>(
    sql: &mut S,
    email: Option<&String>,
    except: i64,
) -> Result<bool, StoreError> {
    let Some(email) = email else { return Ok(false) };
    let row = sql
        .row(
            "SELECT 1 FROM users WHERE email = $1 AND id <> $2",
            vals![email, except],
        )
        .await?;
    Ok(row.is_some())
}

/// Makes a user.
pub async fn add<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    fields: &UserFields,
) -> Result<UserChange, StoreError> {
    let email = fields.email.clone().flatten();
    if email_taken(sql, email.as_ref(), 0).await? {
        return Ok(UserChange::DuplicateEmail);
    }
    let default_type = if email.is_some() { "user" } else { "visitor" };
    let mut row = sql
        .one(
            "INSERT INTO users (first_name, last_name, email, phone, profile_image, user_type, token,
                creation_time, last_activity)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) RETURNING id",
            vals![
                fields.first_name.as_deref().unwrap_or("User"),
                fields.last_name.as_deref().unwrap_or(""),
                email.as_ref(),
                fields.phone.as_ref(),
                fields.profile_image.as_deref().unwrap_or(""),
                fields.user_type.as_deref().unwrap_or(default_type),
                &uuid::Uuid::new_v4().simple().to_string(),
                unit.now.0
            ],
        )
        .await?;
    let id = row.int()?;
    if fields.first_name.is_none() && fields.last_name.is_none() {
        // The seeds call a nameless user "User #NUMBER".
        sql.later(
            "UPDATE users SET last_name = $1 WHERE id = $2",
            vals![&format!("#{id}"), id],
        )
        .await?;
    }
    identify(sql, id, fields).await?;
    Ok(UserChange::Done(UserId(id)))
}

/// Makes number and address lead to this user, unless they lead to another already.
async fn identify<S: Sql>(sql: &mut S, id: i64, fields: &UserFields) -> Result<(), StoreError> {
    let email = fields.email.clone().flatten();
    for (scope, value) in [("phone", fields.phone.as_ref()), ("email", email.as_ref())] {
        if let Some(value) = value {
            sql.later(
                "INSERT INTO identities (scope, platform_user_id, user_id) VALUES ($1, $2, $3)
                 ON CONFLICT (scope, platform_user_id) DO NOTHING",
                vals![scope, value, id],
            )
            .await?;
        }
    }
    for (slug, name, value) in &fields.details {
        sql.later(
            "INSERT INTO user_details (user_id, slug, name, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, slug) DO UPDATE SET name = excluded.name, value = excluded.value",
            vals![id, slug, name, value],
        )
        .await?;
    }
    Ok(())
}

/// Holds a user until the unit ends.
async fn hold<S: Sql>(sql: &mut S, id: UserId) -> Result<(), StoreError> {
    let lock = Text::lock("SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE");
    sql.later(lock, vals![id.0]).await
}

/// Changes a user.
pub async fn update<S: Sql>(
    sql: &mut S,
    id: UserId,
    fields: &UserFields,
) -> Result<UserChange, StoreError> {
    hold(sql, id).await?;
    let Some(user) = super::reads::user(sql, id).await? else {
        return Ok(UserChange::NotFound);
    };
    let email = fields.email.clone().unwrap_or(user.email);
    if email_taken(sql, email.as_ref(), id.0).await? {
        return Ok(UserChange::DuplicateEmail);
    }
    sql.later(
        "UPDATE users SET first_name = $1, last_name = $2, email = $3, phone = $4,
            profile_image = $5, user_type = $6 WHERE id = $7",
        vals![
            fields.first_name.as_ref().unwrap_or(&user.first_name),
            fields.last_name.as_ref().unwrap_or(&user.last_name),
            email.as_ref(),
            fields.phone.as_ref().or(user.phone.as_ref()),
            fields.profile_image.as_ref().unwrap_or(&user.profile_image),
            fields.user_type.as_ref().unwrap_or(&user.user_type),
            id.0
        ],
    )
    .await?;
    identify(sql, id.0, fields).await?;
    Ok(UserChange::Done(id))
}

/// Erases a user: text, attachments, raw events, pending payloads; cancels what waits. What stays
/// are hashes of de-duplication keys and platform ids, so that a redelivered webhook does not bring the
/// person back. Returns the keys of kept attachments and mails whose bytes are to be erased too; `None`: there
/// is no such user.
pub async fn delete<S: Sql>(
    sql: &mut S,
    unit: &mut Unit<'_>,
    id: UserId,
) -> Result<Option<Vec<String>>, StoreError> {
    hold(sql, id).await?;
    sql.later(
        Text::lock("SELECT 1 FROM conversations WHERE user_id = $1 ORDER BY id FOR NO KEY UPDATE"),
        vals![id.0],
    )
    .await?;
    if id == super::rows::BOT || super::reads::user(sql, id).await?.is_none() {
        return Ok(None);
    }
    // What our side wrote to others stays theirs, and what of it still waits is sent.
    sql.later(
        "UPDATE messages SET user_id = 1 WHERE user_id = $1 AND user_id <> 1 AND guest AND outbound
            AND conversation_id NOT IN (SELECT id FROM conversations WHERE user_id = $1)",
        vals![id.0],
    )
    .await?;
    super::mirror::erase(sql, id).await?;
    let mut keys = Vec::new();
    for statement in [
        "DELETE FROM media WHERE message_id IN (SELECT m.id FROM messages m
            JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1)
         RETURNING key",
        "DELETE FROM media WHERE message_id IN
            (SELECT id FROM messages WHERE user_id = $1 AND user_id <> 1 AND guest) RETURNING key",
        "DELETE FROM kept_mails WHERE message_id IN (SELECT m.id FROM messages m
            JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1)
         RETURNING key",
        "DELETE FROM kept_mails WHERE message_id IN
            (SELECT id FROM messages WHERE user_id = $1 AND user_id <> 1 AND guest) RETURNING key",
    ] {
        for mut row in sql.rows(statement, vals![id.0]).await? {
            keys.push(row.text()?);
        }
    }
    erase_raw(sql, id).await?;
    hash_ids(sql, id).await?;
    for statement in [
        // Each of the three has an index of its own.
        "DELETE FROM events WHERE id IN (
            SELECT event_id FROM deliveries WHERE NOT open AND NOT dead AND group_id IN
                (SELECT id FROM conversations WHERE user_id = $1)
            UNION ALL SELECT event_id FROM deliveries WHERE open AND group_id IN
                (SELECT id FROM conversations WHERE user_id = $1)
            UNION ALL SELECT event_id FROM deliveries WHERE dead AND group_id IN
                (SELECT id FROM conversations WHERE user_id = $1))",
        "DELETE FROM deliveries WHERE NOT open AND NOT dead AND group_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM deliveries WHERE open AND group_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM deliveries WHERE dead AND group_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM attempts WHERE message_id IN (SELECT m.id FROM messages m
            JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1)",
        "DELETE FROM parts WHERE message_id IN (SELECT m.id FROM messages m
            JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1)",
        "DELETE FROM reactions WHERE user_id = $1",
        "DELETE FROM reactions WHERE message_id IN (SELECT m.id FROM messages m
            JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = $1)",
        "DELETE FROM reactions WHERE message_id IN
            (SELECT id FROM messages WHERE user_id = $1 AND user_id <> 1 AND guest)",
        // In threads that began with somebody else.
        "DELETE FROM messages WHERE user_id = $1 AND user_id <> 1 AND guest",
        "DELETE FROM messages WHERE conversation_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM held_echoes WHERE conversation_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM participants WHERE conversation_id IN
            (SELECT id FROM conversations WHERE user_id = $1)",
        "DELETE FROM participants WHERE address IN
            (SELECT platform_user_id FROM identities WHERE user_id = $1)",
        "DELETE FROM conversations WHERE user_id = $1",
        "DELETE FROM user_details WHERE user_id = $1",
        "DELETE FROM identities WHERE user_id = $1",
        "DELETE FROM users WHERE id = $1",
    ] {
        sql.later(statement, vals![id.0]).await?;
    }
    unit.emit(sql, "user-deleted", 0, &json!(id.to_string()))
        .await?;
    Ok(Some(keys))
}

/// Leaves of the platform's ids of a person's messages what recognises them, and no more: some hold the
/// person's telephone number.
async fn hash_ids<S: Sql>(sql: &mut S, id: UserId) -> Result<(), StoreError> {
    let rows = sql
        .rows(
            "SELECT channel_id, platform_id FROM platform_messages WHERE message_id IN (
                SELECT m.id FROM messages m JOIN conversations c ON c.id = m.conversation_id
                WHERE c.user_id = $1
                UNION SELECT id FROM messages WHERE user_id = $1 AND user_id <> 1 AND guest)",
            vals![id.0],
        )
        .await?;
    for mut row in rows {
        let (channel, platform_id) = (row.text()?, row.text()?);
        let hash = super::inbound::hashed(&platform_id);
        sql.later(
            "UPDATE platform_messages SET platform_id = $1 WHERE channel_id = $2 AND platform_id = $3",
            vals![&hash, &channel, &platform_id],
        )
        .await?;
        sql.later(
            "INSERT INTO erased_ids (channel_id, hash) VALUES ($1, $2)
             ON CONFLICT (channel_id, hash) DO NOTHING",
            vals![&channel, &hash],
        )
        .await?;
    }
    Ok(())
}

/// Ids shorter than this stand in too many raw events that are somebody else's.
const TELLING_BYTES: usize = 5;

/// Erases what was kept raw and names the person.
async fn erase_raw<S: Sql>(sql: &mut S, id: UserId) -> Result<(), StoreError> {
    for (_, known_as) in super::reads::identities(sql, id).await? {
        if known_as.len() >= TELLING_BYTES {
            sql.later(
                "DELETE FROM raw_events WHERE LOWER(body) LIKE $1 ESCAPE '\\'",
                vals![&super::reads::like(&known_as)],
            )
            .await?;
        }
    }
    Ok(())
}
