//! The workspace: its members and channels, and channels that are made for conversations.

use super::upload::done;
use super::{is_error, query, step};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request};
use crate::model::{Found, Member, Question};
use crate::slack::config::is_id;
use crate::slack::parse::{email, profile};
use crate::slack::render::Api;
use crate::slack::wire::{Answer, Opened, Presence, User};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Rows of a page (`users.list`, `conversations.list`: 200 recommended, 999 at most).
const PAGE: u32 = 200;

/// Pages that are read. Ten thousand members or channels, at twenty pages a minute, is where a call
/// that somebody waits for ends.
const PAGES_MAX: usize = 50;

/// The most bytes of a page: channels come with topic, purpose and more.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Names that are tried for a channel when others are taken by archived ones.
const NAMES_MAX: u32 = 5;

/// Answers a question about the workspace.
///
/// # Errors
/// When Slack cannot be asked, or refuses.
pub async fn ask(api: &Api, question: &Question, ctx: &Ctx<'_>) -> Result<Found, SendError> {
    match question {
        Question::Members => members(api, ctx).await.map(Found::Members),
        Question::Places => places(api, ctx).await.map(Found::Places),
        Question::Presence { member } => {
            let request = api.form("users.getPresence", &[("user", member.clone())]);
            let answer: Presence = query(request, ctx).await?;
            Ok(Found::Presence(answer.presence == "active"))
        }
        Question::Archive { place } => {
            let request = api.call("conversations.archive", &json!({"channel": place}));
            match done(request, ctx).await {
                Err(error) if !is_error(&error, "already_archived") => Err(error),
                _ => Ok(Found::Done),
            }
        }
    }
}

/// `users.list`.
#[derive(Deserialize)]
struct Users {
    members: Vec<User>,
}

/// People, without bots and who has left.
async fn members(api: &Api, ctx: &Ctx<'_>) -> Result<Vec<Member>, SendError> {
    let mut members = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let fields = [("limit", PAGE.to_string()), ("cursor", cursor)];
        let (page, next): (Users, _) = page(api, "users.list", &fields, ctx).await?;
        for user in page.members {
            let gone = user.deleted == Some(true) || user.is_bot == Some(true);
            if gone || user.id == "USLACKBOT" || !is_id(&user.id, "UW") {
                continue;
            }
            let own = profile(&user);
            let names = [own.first_name.unwrap_or_default(), own.last_name.unwrap_or_default()];
            members.push(Member {
                name: names.join(" ").trim().to_owned(),
                email: email(&user),
                id: user.id,
            });
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(members)
}

/// `conversations.list`, each channel as Slack wrote it.
#[derive(Deserialize)]
struct Channels {
    channels: Vec<Box<RawValue>>,
}

/// Slack's own answer, its pages made one.
async fn places(api: &Api, ctx: &Ctx<'_>) -> Result<String, SendError> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let (page, next) = channels(api, cursor, ctx).await?;
        all.extend(page);
        cursor = next.unwrap_or_default();
        if cursor.is_empty() {
            break;
        }
    }
    let rows: Vec<&str> = all.iter().map(|row| row.get()).collect();
    let metadata = json!({"next_cursor": cursor});
    Ok(format!(
        r#"{{"ok":true,"channels":[{}],"response_metadata":{metadata}}}"#,
        rows.join(",")
    ))
}

async fn channels(
    api: &Api,
    cursor: String,
    ctx: &Ctx<'_>,
) -> Result<(Vec<Box<RawValue>>, Option<String>), SendError> {
    let fields = [
        ("types", "public_channel,private_channel".to_owned()),
        ("exclude_archived", "false".to_owned()),
        ("limit", PAGE.to_string()),
        ("cursor", cursor),
    ];
    let (page, next): (Channels, _) = page(api, "conversations.list", &fields, ctx).await?;
    Ok((page.channels, next))
}

/// One page, and the cursor of the next.
async fn page<T: for<'de> Deserialize<'de>>(
    api: &Api,
    method: &str,
    fields: &[(&str, String)],
    ctx: &Ctx<'_>,
) -> Result<(T, Option<String>), SendError> {
    let given: Vec<(&str, String)> = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .cloned()
        .collect();
    let mut request: Request = api.form(method, &given);
    request.max_response_bytes = PAGE_BYTES;
    let response = step(request, ctx).await?;
    let shape = |e: serde_json::Error| {
        let words = format!("the answer is of another shape: {}", crate::kit::json::shape(&e));
        SendError::new(Class::Retry, "shape", words)
    };
    let page = serde_json::from_slice(&response.body).map_err(shape)?;
    let answer: Answer = serde_json::from_slice(&response.body).map_err(shape)?;
    let next = answer.response_metadata.and_then(|metadata| metadata.next_cursor);
    Ok((page, next.filter(|cursor| !cursor.is_empty())))
}

/// A channel that was found by its name.
#[derive(Deserialize)]
pub struct Known {
    /// Its id.
    pub id: String,
    name: Option<String>,
    is_archived: Option<bool>,
}

/// The channel of this name, archived or not.
pub async fn find(api: &Api, name: &str, ctx: &Ctx<'_>) -> Result<Option<Known>, SendError> {
    let mut cursor = String::new();
    for _ in 0..PAGES_MAX {
        let (page, next) = channels(api, cursor, ctx).await?;
        let known = page.iter().filter_map(|row| serde_json::from_str::<Known>(row.get()).ok());
        let found = known.into_iter().find(|known| known.name.as_deref() == Some(name));
        if found.is_some() {
            return Ok(found);
        }
        match next {
            Some(next) => cursor = next,
            None => break,
        }
    }
    Ok(None)
}

/// Makes the channel of this name, or takes the one that an earlier attempt made.
pub async fn make(api: &Api, name: &str, ctx: &Ctx<'_>) -> Result<String, SendError> {
    let mut wanted = name.to_owned();
    for number in 2..=NAMES_MAX {
        let request = api.call("conversations.create", &json!({"name": wanted}));
        match query::<Opened>(request, ctx).await {
            Ok(made) => {
                invite(api, &made.channel.id, ctx).await?;
                return Ok(made.channel.id);
            }
            Err(error) if is_error(&error, "name_taken") => {}
            Err(error) => return Err(error),
        }
        if let Some(known) = find(api, &wanted, ctx).await? {
            let archived = known.is_archived == Some(true);
            let fields = json!({"channel": known.id});
            // Bots may not bring every channel back: then another one is made.
            let usable = !archived
                || done(api.call("conversations.unarchive", &fields), ctx).await.is_ok();
            if usable {
                invite(api, &known.id, ctx).await?;
                return Ok(known.id);
            }
        }
        wanted = format!("{name}-{number}");
    }
    let scope = SetupScope::Message;
    let words = "every name for the channel is taken by an archived one";
    Err(SendError::new(Class::Setup { scope }, "name_taken", words))
}

/// Brings the agents in. Who cannot be brought in does not keep the message back.
async fn invite(api: &Api, place: &str, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let invited = &api.settings.invite;
    if invited.is_empty() {
        return Ok(());
    }
    let fields: Value = json!({"channel": place, "users": invited.join(","), "force": true});
    match done(api.call("conversations.invite", &fields), ctx).await {
        Err(error) if matches!(error.class, Class::Credentials | Class::Limited { .. }) => {
            Err(error)
        }
        _ => Ok(()),
    }
}
