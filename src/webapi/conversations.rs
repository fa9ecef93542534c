//! Functions about conversations and messages that send nothing.

use super::args::Args;
use super::args::Since as ArgSince;
use super::dispatch::{Api, missing};
use super::error::{ApiError, Code, Success};
use super::people::page;
use super::shapes::{ConversationRow, MessageRow, answers, convert};
use crate::store::at_once;
use crate::store::reads::{self, Filter, Listed, Since};
use crate::store::rows::status_code;
use crate::store::sends::{self, NewConversation};
use crate::store::{locks, now, people};
use serde_json::{Value, json};
use switchboard_channels::model::{ConversationId, MessageId, UserId};

const fn since(since: ArgSince) -> Since {
    match since {
        ArgSince::Id(id) => Since::Id(id),
        ArgSince::Time(time) => Since::Time(time),
    }
}

/// `get-message`
pub async fn get_message(api: &Api, args: &Args) -> Result<Success, ApiError> {
    message_detail(api, MessageId(args.id("message_id")?)).await
}

/// One message with its history.
pub async fn message_detail(api: &Api, id: MessageId) -> Result<Success, ApiError> {
    let found = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async { Ok((reads::message(tx, id).await?, reads::history(tx, id).await?)) })
        })
        .await?;
    let (Some(message), Some(history)) = found else {
        return Err(missing(Code::MessageNotFound, "message", id));
    };
    let message = MessageRow::of(&message, api.gateway.store.links()?, now());
    Ok(Success::new(answers::message_detail(&convert::detail(
        message, &history,
    ))))
}

/// `get-conversation`
pub async fn get_conversation(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = ConversationId(args.id("conversation_id")?);
    let user = args.opt_id("user_id")?.map(UserId);
    match conversation(api, id, user).await? {
        Some(value) => Ok(Success::new(value)),
        None => Ok(Success::new(answers::no_conversation())),
    }
}

async fn conversation(
    api: &Api,
    id: ConversationId,
    of: Option<UserId>,
) -> Result<Option<Value>, ApiError> {
    let found = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let Some(conversation) = reads::conversation(tx, id).await? else {
                    return Ok(None);
                };
                let Some(user) = reads::user(tx, conversation.user_id).await? else {
                    return Ok(None);
                };
                let messages = reads::messages(tx, id, Since::Id(0)).await?;
                Ok(Some((conversation, user, messages)))
            })
        })
        .await?;
    let Some((conversation, user, messages)) = found else {
        return Ok(None);
    };
    if of.is_some_and(|of| of != user.id) {
        return Ok(None);
    }
    let (links, now) = (api.gateway.store.links()?, now());
    let messages: Vec<MessageRow> = messages
        .iter()
        .map(|m| MessageRow::of(m, links, now))
        .collect();
    Ok(Some(answers::conversation(
        &ConversationRow::of(&conversation, &user),
        &messages,
    )))
}

async fn listed(
    api: &Api,
    filter: Filter,
    shape: impl Fn(&ConversationRow, Option<&MessageRow>) -> Value,
) -> Result<Success, ApiError> {
    let rows: Vec<Listed> = api
        .gateway
        .store
        .read(move |tx| at_once(reads::conversations(tx, &filter)))
        .await?;
    let (links, now) = (api.gateway.store.links()?, now());
    let items = rows.iter().map(|(conversation, user, last)| {
        let last = last.as_ref().map(|m| MessageRow::of(m, links, now));
        shape(&ConversationRow::of(conversation, user), last.as_ref())
    });
    Ok(Success::new(items.collect()))
}

/// `get-conversations`
pub async fn get_conversations(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let all = args.opt_str("status_code")?.as_deref() == Some("all");
    let status = args.opt_conversation_status("status_code")?.map(i64::from);
    let filter = Filter {
        status_code: if all { Some(-1) } else { status },
        source: args.opt_str("source")?,
        department: args.opt_id("department")?.map(|d| d.to_string()),
        tag: args.opt_str("tag")?,
        page: page(args)?,
        ..Filter::default()
    };
    listed(api, filter, answers::conversation_item).await
}

/// `get-new-conversations`
pub async fn get_new_conversations(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let since = Some(since(args.since("datetime")?));
    let filter = Filter {
        since,
        status_code: Some(-1),
        ..Filter::default()
    };
    listed(api, filter, answers::conversation_item).await
}

/// `get-user-conversations`
pub async fn get_user_conversations(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let filter = Filter {
        user: Some(UserId(args.id("user_id")?)),
        exclude: args.opt_id("exclude_id")?.map(ConversationId),
        ..Filter::default()
    };
    listed(api, filter, answers::user_conversation_item).await
}

/// `get-new-messages`
pub async fn get_new_messages(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = ConversationId(args.id("conversation_id")?);
    let user = args.opt_id("user_id")?.map(UserId);
    let since = since(args.since("datetime")?);
    let (conversation, messages) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                Ok((
                    reads::conversation(tx, id).await?,
                    reads::messages(tx, id, since).await?,
                ))
            })
        })
        .await?;
    let of_somebody_else = conversation.is_none_or(|c| user.is_some_and(|user| user != c.user_id));
    if of_somebody_else {
        return Ok(Success::new(json!([])));
    }
    let (links, now) = (api.gateway.store.links()?, now());
    let messages = messages
        .iter()
        .map(|m| answers::message(&MessageRow::of(m, links, now)));
    Ok(Success::new(messages.collect()))
}

/// `new-conversation`
pub async fn new_conversation(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = UserId(args.id("user_id")?);
    let code = args.opt_conversation_status("status_code")?.map(i64::from);
    let source = args.opt_str("source")?.unwrap_or_default();
    let title = args.opt_text("title")?.unwrap_or_default();
    let tags = args.strings("tags")?;
    let fields = NewConversation {
        department: args.opt_id("department")?.map(|d| d.to_string()),
        agent_id: args.opt_id("agent_id")?.map(|a| a.to_string()),
        extra: args.opt_text("extra")?,
        extra_2: args.opt_text("extra_2")?,
        extra_3: args.opt_text("extra_3")?,
        tags: (!tags.is_empty()).then(|| tags.join(",")),
    };
    if let Some(channel) = args.opt_str("channel")?
        && api.gateway.channel(&channel).is_none()
    {
        return Err(missing(Code::ChannelNotFound, "channel", channel));
    }
    let (made, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| {
            at_once(async {
                let Some(user) = reads::user(tx, id).await? else {
                    return Ok(None);
                };
                let code = code.unwrap_or(status_code::LIVE);
                let made = sends::new_conversation(tx, unit, &user, &source, &title, code, &fields);
                made.await.map(Some)
            })
        })
        .await?;
    let made = made.ok_or_else(|| missing(Code::UserNotFound, "user", id))?;
    api.gateway.wake(wakes).await;
    let value = conversation(api, made, None).await?;
    Ok(Success::new(value.unwrap_or_else(answers::no_conversation)))
}

/// `update-conversation-status`
pub async fn update_status(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let id = ConversationId(args.id("conversation_id")?);
    let code = args
        .opt_conversation_status("status_code")?
        .ok_or_else(|| {
            ApiError::new(
                Code::InvalidStatusCode,
                "`status_code`: expected 0, 1, 2, 3 or 4",
            )
        })?;
    let (found, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| {
            at_once(async {
                locks::conversation(tx, unit, id.0).await?;
                let Some(mut conversation) = reads::conversation(tx, id).await? else {
                    return Ok(false);
                };
                people::set_status(tx, unit, &mut conversation, i64::from(code)).await?;
                Ok(true)
            })
        })
        .await?;
    if !found {
        return Err(missing(Code::ConversationNotFound, "conversation", id));
    }
    api.gateway.wake(wakes).await;
    Ok(Success::new(json!(true)))
}
