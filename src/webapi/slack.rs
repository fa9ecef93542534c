//! Functions about Slack: what is sent there, and who and what is there.

use super::args::{Args, Links};
use super::content::{Options, content};
use super::dispatch::{Api, missing};
use super::error::{ApiError, Code, Success};
use super::sends;
use super::target::{self, To};
use crate::gateway::LiveChannel;
use crate::store::mirror::{self, Beginning};
use crate::store::sends::Target;
use crate::store::{at_once, reads};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use switchboard_channels::model::{Author, Found, Member, Question, UserId};
use switchboard_channels::{Class, SendError};

const KIND: &str = "slack";

/// The name of the function that sends.
pub const SEND: &str = "send-slack-message";

/// Members whose presence is asked for in one call, each a request to Slack (50 a minute).
const PRESENCES_MAX: usize = 50;

/// User types of our own people.
const AGENT_TYPES: &str = ",agent,admin,";

/// What a caller wrote as `channel`: an id of ours, or, in upper case, one of Slack's.
struct Named {
    live: Arc<LiveChannel>,
    /// Slack's channel.
    place: Option<String>,
}

/// The Slack channel that a call is about.
fn named(api: &Api, args: &Args) -> Result<Named, ApiError> {
    let given = args.opt_str("channel")?;
    // Our ids have no upper case, Slack's nothing else.
    let (place, ours) = match given {
        Some(id) if id.starts_with(|c: char| c.is_ascii_uppercase()) => (Some(id), None),
        ours => (None, ours),
    };
    if let Some(id) = ours {
        let live = api.gateway.channel(&id).cloned();
        let live = live.ok_or_else(|| missing(Code::ChannelNotFound, "channel", &id))?;
        if live.info.kind != KIND {
            let text = format!("`channel`: {id} is of kind {}, not {KIND}", live.info.kind);
            return Err(ApiError::invalid(text));
        }
        return Ok(Named { live, place });
    }
    let of_kind: Vec<&Arc<LiveChannel>> = api
        .gateway
        .channels
        .values()
        .filter(|c| c.info.kind == KIND)
        .collect();
    match of_kind.as_slice() {
        [] => Err(ApiError::new(
            Code::SlackNotActive,
            "no channel of kind slack is configured",
        )),
        [only] => Ok(Named {
            live: Arc::clone(only),
            place,
        }),
        several => {
            let ids: Vec<&str> = several.iter().map(|c| c.info.id.as_str()).collect();
            let text = format!(
                "`channel`: there are several of kind slack: {}",
                ids.join(", ")
            );
            Err(ApiError::invalid(text))
        }
    }
}

/// `send-slack-message`: to the Slack channel that the call names, else to where the user's
/// conversation is shown.
pub async fn send(api: &Api, args: &Args, header_key: Option<&str>) -> Result<Success, ApiError> {
    let options = Options::read(api, args, header_key)?;
    let mut success = match sends::answered_before(api, SEND, args, &options).await? {
        Some(answer) => answer,
        None => {
            let Named { live, place } = named(api, args)?;
            let mut content = content(args, Links::Named)?;
            let author = author(args)?;
            let shows_author = live
                .channel
                .mirror()
                .is_some_and(|mirror| mirror.shows_author);
            match author {
                Some(author) if shows_author => content.in_name_of = Some(author),
                // Without the right to post under other names the name stands in the text.
                Some(author) if !content.text.trim().is_empty() => {
                    let name = author.name.replace('*', "");
                    content.text = format!("*{name}*: {}", content.text);
                }
                _ => {}
            }
            let to = match place {
                Some(place) => target::to_address(&live, "channel", &place)?,
                None => where_shown(api, &live, args).await?,
            };
            sends::deliver(api, SEND, args, options, content, to).await?
        }
    };
    // Files are answered without the channel that they went to; the conversation knows it.
    if success.response == json!([])
        && let Some(id) = success.conversation_id
    {
        let found = api
            .gateway
            .store
            .read(move |tx| at_once(reads::conversation(tx, id)))
            .await?;
        let address = found.map(|c| c.address).unwrap_or_default();
        let place = address.split(':').next().unwrap_or_default();
        success.response = json!([place]);
    }
    Ok(success)
}

/// In whose name it goes out.
fn author(args: &Args) -> Result<Option<Author>, ApiError> {
    let name = args.opt_str("full_name")?;
    let image = args.opt_str("profile_image")?;
    Ok(name.map(|name| Author {
        name,
        image: image.filter(|image| image.starts_with("https://")),
    }))
}

/// Where the user's conversation is shown; a mirror that is not there yet begins.
async fn where_shown(api: &Api, live: &Arc<LiveChannel>, args: &Args) -> Result<To, ApiError> {
    let Some(user) = args.opt_id("user_id")?.map(UserId) else {
        return Err(ApiError::new(
            Code::MissingArgument,
            "the argument `user_id` is missing; `channel` with the id of a Slack channel would do too",
        ));
    };
    let (person, conversation) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let person = reads::user(tx, user).await?;
                Ok((person, mirror::last_of(tx, user).await?))
            })
        })
        .await?;
    let person = person.ok_or_else(|| missing(Code::UserNotFound, "user", user))?;
    let name = format!("{} {}", person.first_name, person.last_name);
    let about = conversation.as_ref().map(|c| c.id);
    let number = about.unwrap_or(switchboard_channels::model::ConversationId(user.0));
    let begins = live.channel.mirror_begins(name.trim(), number);
    let begins = begins.ok_or_else(|| {
        ApiError::invalid(
            "`channel`: the Slack channel of the configuration has no default_channel: name one",
        )
    })?;
    let Some(shown) = about else {
        return target::to_address(live, "channel", &begins);
    };
    let desk = live.info.clone();
    let beginning = Beginning {
        shown,
        address: begins,
        title: name.trim().to_owned(),
    };
    let (mirror, _) = api
        .gateway
        .store
        .write(move |tx, unit| {
            at_once(async {
                let id = mirror::begin(tx, unit, &desk, &beginning).await?;
                reads::conversation(tx, id).await
            })
        })
        .await?;
    let mirror =
        mirror.ok_or_else(|| missing(Code::ConversationNotFound, "conversation", shown))?;
    Ok(To::Platform {
        live: Arc::clone(live),
        address: mirror.address,
        target: Target::Conversation(mirror.id),
        conversation: Some(mirror.id),
    })
}

/// Asks the platform, for a caller who waits: nothing is stored, so nothing can wait.
async fn ask(api: &Api, live: &LiveChannel, question: Question) -> Result<Found, ApiError> {
    live.channel
        .ask(&question, &api.gateway.ctx())
        .await
        .map_err(refused)
}

fn refused(error: SendError) -> ApiError {
    let code = match error.class {
        Class::Credentials => Code::PlatformAuthFailed,
        _ => Code::PlatformError,
    };
    let said = error.words.as_ref().map(|words| words.message.clone());
    let answer = ApiError::new(code, said.unwrap_or_else(|| code.meaning().to_owned()));
    match error.words {
        Some(words) => answer.with_platform(words),
        None => answer,
    }
}

/// `slack-users`: the members of the workspace, our own people, and who of them is who.
pub async fn users(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let Named { live, .. } = named(api, args)?;
    let agents = api
        .gateway
        .store
        .read(|tx| at_once(reads::users(tx, AGENT_TYPES, 1)))
        .await?;
    let members = members(api, &live).await?;
    let person = |id: String, name: String| json!({"id": id, "name": name});
    let members: Vec<Value> = members.into_iter().map(|m| person(m.id, m.name)).collect();
    let agents: Vec<Value> = agents
        .into_iter()
        .map(|agent| {
            let name = format!("{} {}", agent.first_name, agent.last_name);
            person(agent.id.to_string(), name.trim().to_owned())
        })
        .collect();
    let saved: Map<String, Value> = saved(&live)
        .map(|(member, agent)| (member.to_owned(), json!(agent.to_string())))
        .collect();
    Ok(Success::new(
        json!({"slack_users": members, "agents": agents, "saved": saved}),
    ))
}

async fn members(api: &Api, live: &LiveChannel) -> Result<Vec<Member>, ApiError> {
    match ask(api, live, Question::Members).await? {
        Found::Members(members) => Ok(members),
        _ => Ok(Vec::new()),
    }
}

/// Who of our own people a member is, as the configuration says.
fn saved(live: &LiveChannel) -> impl Iterator<Item = (&str, UserId)> {
    let agents = live.channel.mirror().map(|mirror| &mirror.agents);
    agents
        .into_iter()
        .flatten()
        .map(|(member, agent)| (member.as_str(), *agent))
}

/// `slack-channels`: Slack's own list.
pub async fn channels(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let Named { live, .. } = named(api, args)?;
    Ok(Success::new(places(api, &live).await?))
}

async fn places(api: &Api, live: &LiveChannel) -> Result<Value, ApiError> {
    match ask(api, live, Question::Places).await? {
        Found::Places(text) => Ok(serde_json::from_str(&text).unwrap_or_default()),
        _ => Ok(json!({"ok": true, "channels": []})),
    }
}

/// `slack-presence`: of one, of anybody, or the list of who is there.
pub async fn presence(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let Named { live, .. } = named(api, args)?;
    let word = |online: bool| json!(if online { "online" } else { "offline" });
    // The seeds' default for "nobody in particular" is `false`.
    let wanted = args
        .opt_str("agent_id")?
        .filter(|id| id != "false" && id != "0");
    if let Some(wanted) = wanted {
        let member = member_of(&live, &wanted)?;
        return Ok(Success::new(word(is_there(api, &live, &member).await?)));
    }
    let mut known: Vec<(String, String)> = saved(&live)
        .map(|(member, agent)| (member.to_owned(), agent.to_string()))
        .collect();
    if known.is_empty() {
        // Nobody is known by name: then everybody counts, under Slack's own ids.
        let members = members(api, &live).await?;
        known = members.into_iter().map(|m| (m.id.clone(), m.id)).collect();
    }
    let list = args.bool("list", false)?;
    let mut there = Vec::new();
    for (member, shown) in known.into_iter().take(PRESENCES_MAX) {
        if is_there(api, &live, &member).await? {
            there.push(shown);
            if !list {
                break;
            }
        }
    }
    Ok(Success::new(if list {
        json!(there)
    } else {
        word(!there.is_empty())
    }))
}

/// The member of the workspace who is this agent of ours, or whose id this is.
fn member_of(live: &LiveChannel, wanted: &str) -> Result<String, ApiError> {
    if wanted.starts_with(|c: char| c.is_ascii_uppercase()) {
        return Ok(wanted.to_owned());
    }
    let found = saved(live).find(|(_, agent)| agent.to_string() == wanted);
    found.map(|(member, _)| member.to_owned()).ok_or_else(|| {
        let text = format!("`agent_id`: no member of the workspace is known to be agent {wanted}");
        ApiError::new(Code::UserNotFound, text)
    })
}

async fn is_there(api: &Api, live: &LiveChannel, member: &str) -> Result<bool, ApiError> {
    let member = member.to_owned();
    Ok(ask(api, live, Question::Presence { member }).await? == Found::Presence(true))
}

/// `archive-slack-channels`: all but the one in which mirrored conversations are shown, and those that
/// Slack does not let go.
pub async fn archive(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let Named { live, .. } = named(api, args)?;
    let all = places(api, &live).await?;
    let kept = live
        .channel
        .mirror_begins("", switchboard_channels::model::ConversationId(0));
    let empty = Vec::new();
    for place in all
        .get("channels")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
    {
        let flag = |name: &str| place.get(name).and_then(Value::as_bool).unwrap_or(false);
        let id = place.get("id").and_then(Value::as_str).unwrap_or_default();
        if id.is_empty() || flag("is_archived") || flag("is_general") || kept.as_deref() == Some(id)
        {
            continue;
        }
        let question = Question::Archive {
            place: id.to_owned(),
        };
        match ask(api, &live, question).await {
            Ok(_) => {}
            // Credentials and the like would be refused for every one.
            Err(error) if error.code == Code::PlatformAuthFailed => return Err(error),
            Err(error) => {
                let limited = error
                    .platform
                    .as_ref()
                    .is_some_and(|w| w.code == "ratelimited");
                if limited {
                    return Err(error);
                }
                tracing::info!(channel.id = %live.info.id, place = id, %error, "not archived");
            }
        }
    }
    Ok(Success::new(json!(true)))
}
