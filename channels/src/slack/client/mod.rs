//! The only files that do I/O, and only through [`Ctx`].

mod directory;
mod media;
#[cfg(test)]
mod tests;
mod upload;

pub use directory::ask;
pub use media::fetch_media;

use super::classify::{classify, error, is_ok};
use super::parse::{email, profile};
use super::render::{Api, METADATA_TYPE, post, text_of};
use super::wire::{Address, AuthTest, History, Message, Opened, Place, User, parse_message};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Ctx, Request, Response};
use crate::kit::status::transport_error;
use crate::model::{Effect, Health, Part, Receipt, Sender};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

/// How far back an unsure message is looked for: longer than any attempt waits for its evidence.
const LOOK_BACK_MS: i64 = 3_600_000;

/// Messages that are looked through. A place is sent one a second.
const LOOK_THROUGH: u32 = 200;

/// Sends one part.
///
/// # Errors
/// With the class that decides what happens next.
///
/// # Cancel safety
/// A cancelled delivery may have been made: it counts as unsure.
pub async fn deliver(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    match text_of(part) {
        Some(text) => {
            let place = place_of(api, part, ctx).await?;
            post_text(api, part, &place, &text, ctx).await
        }
        None => upload::deliver(api, part, ctx).await,
    }
}

/// Posts a text; into a public channel that the bot is not in, having joined it.
async fn post_text(
    api: &Api,
    part: &Part,
    place: &str,
    text: &str,
    ctx: &Ctx<'_>,
) -> Result<Receipt, SendError> {
    let first = call(post(api, part, place, text), ctx).await?;
    let outcome = classify(&first);
    let outside = matches!(&outcome, Err(error) if is_error(error, "not_in_channel"));
    if outside && join(api, place, ctx).await {
        // Refused before it did anything, so that this is no second message.
        let again = call(post(api, part, place, text), ctx).await?;
        return classify(&again);
    }
    outcome
}

/// Joins a public channel. `false`: it is none, or the app may not.
async fn join(api: &Api, place: &str, ctx: &Ctx<'_>) -> bool {
    let request = api.call("conversations.join", &json!({"channel": place}));
    place.starts_with('C') && ctx.transport.call(request).await.is_ok_and(|r| is_ok(&r))
}

/// The place of a part: as addressed, or made.
async fn place_of(api: &Api, part: &Part, ctx: &Ctx<'_>) -> Result<String, SendError> {
    let address = Address::parse(&part.to).ok_or_else(|| {
        let scope = SetupScope::Message;
        SendError::new(Class::Setup { scope }, "address", "the address is none of Slack's")
    })?;
    match address.place {
        Place::Channel(id) | Place::Person(id) => Ok(id),
        Place::New(name) => directory::make(api, &name, ctx).await,
    }
}

/// The id of the direct messages with a person, which some methods want instead of the person's.
async fn opened(api: &Api, place: String, ctx: &Ctx<'_>) -> Result<String, SendError> {
    if !place.starts_with(['U', 'W']) {
        return Ok(place);
    }
    let request = api.call("conversations.open", &json!({"users": place}));
    let opened: Opened = query(request, ctx).await?;
    Ok(opened.channel.id)
}

/// Asks who the token belongs to.
///
/// # Errors
/// When it does not work, belongs to another workspace than the configured one, or Slack cannot be
/// asked.
pub async fn probe(api: &Api, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let me: AuthTest = query(api.form("auth.test", &[]), ctx).await?;
    let team = me.team_id.unwrap_or_default();
    if let Some(configured) = api.settings.team_id.as_ref().filter(|id| **id != team) {
        let scope = SetupScope::Account;
        let words = format!("the token belongs to workspace {team}, not to {configured}");
        return Err(SendError::new(Class::Setup { scope }, "other-workspace", words));
    }
    let user = me.user.unwrap_or_default();
    Ok(Health {
        account: format!("{user} at {} ({team})", me.team.unwrap_or_default()),
    })
}

/// `users.info`.
#[derive(Deserialize)]
struct UserAnswer {
    user: User,
}

/// Fetches the name of a person of whom a webhook told the id only.
///
/// # Errors
/// When Slack cannot be asked now.
pub async fn perform(
    api: &Api,
    effect: &Effect,
    ctx: &Ctx<'_>,
) -> Result<Option<Sender>, SendError> {
    let Effect::FetchProfile { user: id } = effect else {
        return Ok(None);
    };
    let request = api.form("users.info", &[("user", id.clone())]);
    let answer: UserAnswer = query(request, ctx).await?;
    Ok(Some(Sender {
        ids: vec![id.clone()],
        profile: profile(&answer.user),
        email: email(&answer.user),
        ..Sender::default()
    }))
}

/// Looks for an unsure part among the newest messages of its place, by the metadata that it carries.
///
/// # Errors
/// When Slack cannot be asked now.
pub async fn find_sent(
    api: &Api,
    part: &Part,
    ctx: &Ctx<'_>,
) -> Result<Option<Receipt>, SendError> {
    if text_of(part).is_none() {
        return upload::find(api, part, ctx).await;
    }
    let Some(address) = Address::parse(&part.to) else {
        return Ok(None);
    };
    let place = match address.place {
        Place::New(name) => directory::find(api, &name, ctx).await?.map(|found| found.id),
        Place::Channel(id) | Place::Person(id) => Some(id),
    };
    let Some(place) = place else {
        return Ok(None);
    };
    let place = opened(api, place, ctx).await?;
    let answered = part.reply_to.as_deref().and_then(parse_message);
    let thread = address.thread.or_else(|| answered.map(|(_, ts)| ts.to_owned()));
    let oldest = ctx.now.plus(-LOOK_BACK_MS).0.div_euclid(1000);
    let mut fields = vec![
        ("channel", place.clone()),
        ("include_all_metadata", "true".to_owned()),
        ("oldest", format!("{oldest}.000000")),
        ("limit", LOOK_THROUGH.to_string()),
    ];
    let method = match thread {
        Some(thread) => {
            fields.push(("ts", thread));
            "conversations.replies"
        }
        None => "conversations.history",
    };
    let history: History = query(api.form(method, &fields), ctx).await?;
    let key = part.idempotency_key();
    let found = history.messages.iter().find(|message| reference(message) == Some(&key));
    let ts = found.and_then(|message| message.ts.as_ref());
    Ok(ts.map(|ts| Receipt {
        platform_ids: vec![format!("{place}:{ts}")],
        answer: json!({"ok": true, "channel": place, "ts": ts}).to_string(),
        alias: None,
    }))
}

/// Our own reference in a message's metadata.
fn reference(message: &Message) -> Option<&String> {
    let metadata = message.metadata.as_ref()?;
    let ours = metadata.event_type.as_deref() == Some(METADATA_TYPE);
    metadata.event_payload.as_ref().filter(|_| ours)?.id.as_ref()
}

/// Asks for something that changes nothing when it is asked twice.
async fn query<T: DeserializeOwned>(request: Request, ctx: &Ctx<'_>) -> Result<T, SendError> {
    let response = step(request, ctx).await?;
    serde_json::from_slice(&response.body).map_err(|e| {
        let words = format!("the answer is of another shape: {}", crate::kit::json::shape(&e));
        SendError::new(Class::Retry, "shape", words)
    })
}

/// The same, whatever the answer holds.
async fn step(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let response = call(request, ctx).await.map_err(harmless)?;
    if is_ok(&response) {
        Ok(response)
    } else {
        Err(harmless(error(&response)))
    }
}

async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answered = ctx.transport.call(request).await;
    answered.map_err(|failed| transport_error(&failed))
}

/// Where repeating does no harm, not knowing is no more than not done.
fn harmless(error: SendError) -> SendError {
    match error.class {
        Class::Unsure => SendError {
            class: Class::Retry,
            ..error
        },
        _ => error,
    }
}

/// Whether Slack said this.
fn is_error(error: &SendError, name: &str) -> bool {
    error.words.as_ref().is_some_and(|words| words.code == name)
}
