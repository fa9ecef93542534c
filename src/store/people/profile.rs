//! What messages tell of their senders: names, pictures, languages, and when they were last heard of.

use super::super::StoreError;
use super::super::rows::UserRow;
use super::super::sql::{Sql, set};
use crate::vals;
use switchboard_channels::model::{Millis, Profile, Sender, UserId};

/// What a message tells of its sender that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Learnt {
    /// A name or picture that was known changed.
    pub(in super::super) changed: bool,
    /// The person's row is to be written.
    pub(in super::super) write: bool,
}

/// Takes what is new in a profile over into the row.
pub(in super::super) fn learn(now: Millis, user: &mut UserRow, sender: &Sender) -> Learnt {
    let profile = &sender.profile;
    let mut changed = false;
    // A name without family name replaces both: the old one belongs to the old given name.
    if let Some(first) = &profile.first_name {
        let last = profile.last_name.as_deref().unwrap_or_default();
        if *first != user.first_name || last != user.last_name {
            user.first_name.clone_from(first);
            last.clone_into(&mut user.last_name);
            changed = true;
        }
    }
    if let Some(image) = profile
        .image_url
        .as_ref()
        .filter(|i| **i != user.profile_image)
    {
        user.profile_image.clone_from(image);
        changed = true;
    }
    // Times are shown in seconds: what was heard within one is no news.
    let mut write = changed || user.last_activity.0 / 1000 != now.0 / 1000;
    if user.phone.is_none() && sender.phone.is_some() {
        user.phone.clone_from(&sender.phone);
        write = true;
    }
    if user.language.is_none() && profile.language.is_some() {
        user.language.clone_from(&profile.language);
        write = true;
    }
    if write {
        user.last_activity = now;
    }
    Learnt { changed, write }
}

/// Writes what is new in a profile. `true` when a name or picture that was known changed.
pub async fn update<S: Sql>(
    sql: &mut S,
    now: Millis,
    user: &mut UserRow,
    sender: &Sender,
) -> Result<bool, StoreError> {
    let learnt = learn(now, user, sender);
    if learnt.write {
        sql.later(
            "UPDATE users SET first_name = $1, last_name = $2, profile_image = $3, phone = $4,
                language = $5, last_activity = $6 WHERE id = $7",
            vals![
                &user.first_name,
                &user.last_name,
                &user.profile_image,
                user.phone.as_ref(),
                user.language.as_ref(),
                user.last_activity.0,
                user.id.0
            ],
        )
        .await?;
    }
    details(sql, user.id, &sender.profile).await?;
    Ok(learnt.changed)
}

/// Writes the rows of people of whom something was learnt at `now`, none of them twice.
pub(in super::super) async fn write_all<S: Sql>(
    sql: &mut S,
    now: Millis,
    users: &[&UserRow],
) -> Result<(), StoreError> {
    if users.is_empty() {
        return Ok(());
    }
    let column = |of: for<'u> fn(&'u UserRow) -> Option<&'u str>| {
        users.iter().map(|user| of(user)).collect::<Vec<_>>()
    };
    let ids: Vec<_> = users.iter().map(|user| Some(user.id.0)).collect();
    sql.later(
        set(
            "UPDATE users u SET first_name = q.first_name, last_name = q.last_name,
                profile_image = q.image, phone = q.phone, language = q.language, last_activity = $7
             FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
                AS q (id, first_name, last_name, image, phone, language)
             WHERE u.id = q.id",
        ),
        vals![
            &ids[..],
            &column(|u| Some(&u.first_name))[..],
            &column(|u| Some(&u.last_name))[..],
            &column(|u| Some(&u.profile_image))[..],
            &column(|u| u.phone.as_deref())[..],
            &column(|u| u.language.as_deref())[..],
            now.0
        ],
    )
    .await
}

/// Writes what else a platform tells of a person.
pub(in super::super) async fn details<S: Sql>(
    sql: &mut S,
    user: UserId,
    profile: &Profile,
) -> Result<(), StoreError> {
    for (slug, name, value) in &profile.details {
        sql.later(
            "INSERT INTO user_details (user_id, slug, name, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, slug) DO UPDATE SET name = excluded.name, value = excluded.value
             WHERE user_details.value <> excluded.value",
            vals![user.0, slug, name, value],
        )
        .await?;
    }
    Ok(())
}
