//! Functions about users.

use super::args::Args;
use super::args::Change;
use super::dispatch::{Api, missing};
use super::error::{ApiError, Code, Success};
use super::shapes::{DetailRow, UserRow, answers};
use crate::store::at_once;
use crate::store::reads;
use crate::store::rows::BOT;
use crate::store::users::{self, UserChange, UserFields};
use serde_json::{Value, json};
use switchboard_channels::model::UserId;

/// `get-bot-id`
pub fn get_bot_id() -> Success {
    Success::new(answers::user_id(BOT))
}

async fn details(api: &Api, id: UserId) -> Result<Vec<DetailRow>, ApiError> {
    let store = &api.gateway.store;
    let (user, details, identities) = store
        .read(move |tx| {
            at_once(async {
                Ok((
                    reads::user(tx, id).await?,
                    reads::details(tx, id).await?,
                    reads::identities(tx, id).await?,
                ))
            })
        })
        .await?;
    let mut rows: Vec<DetailRow> = details.into_iter().map(DetailRow::of).collect();
    let mut add = |slug: &str, name: &str, value: String| {
        if !rows.iter().any(|row| row.slug == slug) {
            rows.push(DetailRow {
                slug: slug.to_owned(),
                name: name.to_owned(),
                value,
            });
        }
    };
    let user = user.as_ref();
    if let Some(phone) = user.and_then(|u| u.phone.clone()) {
        add("phone", "Phone", phone);
    }
    if let Some(language) = user.and_then(|u| u.language.clone()) {
        add("language", "Language", language);
    }
    // What the platforms call this person: `telegram-id`, `whatsapp-id`…
    for (scope, id) in identities {
        let owner = scope
            .strip_prefix("kind:")
            .or_else(|| scope.strip_prefix("channel:"));
        if let Some(owner) = owner {
            add(&format!("{owner}-id"), &format!("{owner} id"), id);
        }
    }
    Ok(rows)
}

/// `get-user`
pub async fn get_user(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = UserId(args.id("user_id")?);
    let extra = args.bool("extra", false)?;
    let Some(user) = api
        .gateway
        .store
        .read(move |tx| at_once(reads::user(tx, id)))
        .await?
    else {
        return Ok(Success::new(json!(false)));
    };
    let details = if extra {
        Some(details(api, id).await?)
    } else {
        None
    };
    Ok(Success::new(answers::user_with_details(
        &UserRow::of(&user),
        details.as_deref(),
    )))
}

/// `get-user-extra`
pub async fn get_user_extra(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = UserId(args.id("user_id")?);
    let rows = details(api, id).await?;
    Ok(Success::new(match args.opt_str("slug")? {
        Some(slug) => {
            let default = args.raw("default").cloned().unwrap_or(Value::Bool(false));
            answers::user_extra_value(&rows, &slug, &default)
        }
        None => answers::user_extra(&rows),
    }))
}

/// `search-users`
pub async fn search_users(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let text = args.text("search")?;
    let users = api
        .gateway
        .store
        .read(move |tx| at_once(reads::search_users(tx, &text)))
        .await?;
    Ok(Success::new(
        users
            .iter()
            .map(|u| answers::user(&UserRow::of(u)))
            .collect(),
    ))
}

/// `get-users`
pub async fn get_users(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let page = page(args)?;
    let types = args.strings("user_types")?;
    let types = if types.is_empty() {
        String::new()
    } else {
        format!(",{},", types.join(","))
    };
    let search = args.opt_text("search")?.filter(|s| !s.trim().is_empty());
    let ids = args.ids("user_ids")?;
    let users = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                match search {
                    Some(text) => reads::search_users(tx, &text).await,
                    None => reads::users(tx, &types, page + 1).await,
                }
            })
        })
        .await?;
    let wanted = |id: UserId| ids.is_empty() || ids.contains(&id.0);
    let users: Value = users
        .iter()
        .filter(|u| wanted(u.id))
        .map(|u| answers::user(&UserRow::of(u)))
        .collect();
    Ok(Success::new(users))
}

/// The page that is wanted, of a hundred each, counted from 0. The seeds disagree whether the first
/// page is called 0 or 1, so both are the first: a caller of either never misses one.
pub fn page(args: &Args) -> Result<i64, ApiError> {
    let page = args
        .opt_u64("pagination", 0..=super::names::MAX_PAGE)?
        .unwrap_or(0);
    Ok(i64::try_from(page).unwrap_or(0).saturating_sub(1).max(0))
}

fn fields(args: &Args, extra: &str) -> Result<UserFields, ApiError> {
    let email = match args.change("email")? {
        Change::Keep => None,
        Change::Clear => Some(None),
        Change::Set(email) => Some(Some(check_email(&email)?)),
    };
    let details = args.details(extra)?;
    let phone = details
        .iter()
        .find(|d| d.slug == "phone")
        .map(|d| d.value.clone());
    Ok(UserFields {
        first_name: args.opt_text("first_name")?,
        last_name: args.opt_text("last_name")?,
        email,
        phone: phone.filter(|p| is_e164(p)),
        profile_image: args.opt_str("profile_image")?,
        user_type: args.opt_user_type("user_type")?,
        details: details
            .into_iter()
            .map(|d| (d.slug, d.name, d.value))
            .collect(),
    })
}

/// Whether a number is in E.164: plus and 7 to 15 digits.
fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+').unwrap_or("");
    (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The longest e-mail address there is (RFC 5321 4.5.3.1.3, less the angle brackets).
const EMAIL_MAX_BYTES: usize = 254;

fn check_email(email: &str) -> Result<String, ApiError> {
    let email = email.trim().to_lowercase();
    let sane = email.len() <= EMAIL_MAX_BYTES
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.starts_with('.')
        });
    if sane {
        Ok(email)
    } else {
        Err(ApiError::invalid("`email`: expected an e-mail address"))
    }
}

fn changed(change: UserChange, id: &str) -> Result<UserId, ApiError> {
    match change {
        UserChange::Done(id) => Ok(id),
        UserChange::DuplicateEmail => Err(ApiError::new(
            Code::DuplicateEmail,
            "another user has this e-mail address",
        )),
        UserChange::NotFound => Err(missing(Code::UserNotFound, "user", id)),
    }
}

/// `add-user`
pub async fn add_user(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let fields = fields(args, "extra")?;
    let write = api
        .gateway
        .store
        .write(move |tx, unit| at_once(users::add(tx, unit, &fields)));
    let id = changed(write.await?.0, "")?;
    Ok(Success::new(answers::user_id(id)))
}

/// `update-user`
pub async fn update_user(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = UserId(args.id("user_id")?);
    let fields = fields(args, "settings_extra")?;
    let write = api
        .gateway
        .store
        .write(move |tx, _| at_once(users::update(tx, id, &fields)));
    changed(write.await?.0, &id.to_string())?;
    Ok(Success::new(json!(true)))
}

/// `delete-user`
pub async fn delete_user(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = UserId(args.id("user_id")?);
    let (keys, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| at_once(users::delete(tx, unit, id)))
        .await?;
    let keys = keys.ok_or_else(|| missing(Code::UserNotFound, "user", id))?;
    api.gateway.wake(wakes).await;
    for key in keys {
        if let Err(error) = api.gateway.erase(&key).await {
            tracing::error!(%error, "a deleted user's attachment is still kept");
        }
    }
    Ok(Success::new(json!(true)))
}
