//! The functions that send: find channel and recipient, plan, accept, wait for the outcome.

use super::args::{Args, Links};
use super::content::{
    Content, Options, content, deadline, payload, shown_text, stored_attachments,
};
use super::dispatch::{Api, internal, missing};
use super::error::{ApiError, Code, Success};
use super::outcome::{accepted as accepted_now, taken, wait, wait_for};
use super::shapes::{MessageStatus, answers};
use super::target::{self, To};
use crate::gateway::LiveChannel;
use crate::queue::News;
use crate::store::at_once;
use crate::store::reads;
use crate::store::rows::BOT;
use crate::store::sends::{self, AcceptSend, Accepted, StoreMessage, Target};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::model::{
    ConversationId, MessageId, Outgoing, OutgoingAttachment, UserId,
};

/// The platform sends: one message to one recipient.
pub async fn send(
    api: &Api,
    function: &'static str,
    args: &Args,
    header_key: Option<&str>,
) -> Result<Success, ApiError> {
    let options = Options::read(api, args, header_key)?;
    if let Some(answer) = answered_before(api, function, args, &options).await? {
        return Ok(answer);
    }
    let links = if function == "send-sms" {
        Links::NamedOrPlain
    } else {
        Links::Named
    };
    let mut content = content(args, links)?;
    let to = target::find(api, function, args).await?;
    match function {
        "whatsapp-send-template" => {
            content.template = Some(super::template::read(args)?);
            content.text = String::new();
        }
        "send-sms" if args.bool("template", true)? => {
            content.text = super::template::sms(&api.sms_template, &content.text, &to);
        }
        _ => {}
    }
    deliver(api, function, args, options, content, to).await
}

/// The answer to a call whose key was used before, without looking at anything else.
pub(super) async fn answered_before(
    api: &Api,
    function: &'static str,
    args: &Args,
    options: &Options,
) -> Result<Option<Success>, ApiError> {
    let Some(idempotency) = options.idempotency(function, args) else {
        return Ok(None);
    };
    let store = &api.gateway.store;
    let asked = idempotency.clone();
    let mut known = store
        .read(move |tx| at_once(sends::known(tx, function, &asked)))
        .await?;
    if known.is_some() {
        // What is answered from here counts as accepted. A reader may see what is not on the disk
        // yet; the result of a unit is.
        let sure = store.write(move |tx, _| at_once(sends::known(tx, function, &idempotency)));
        known = sure.await?.0;
    }
    match known {
        None => Ok(None),
        Some(Accepted::Known { message }) => wait_for(api, function, message, options.wait)
            .await
            .map(Some),
        Some(_) => Err(conflict()),
    }
}

fn conflict() -> ApiError {
    ApiError::new(
        Code::IdempotencyConflict,
        "this idempotency key was used for another call with other arguments",
    )
}

/// Plans, accepts and waits.
pub(super) async fn deliver(
    api: &Api,
    function: &'static str,
    args: &Args,
    options: Options,
    mut content: Content,
    to: To,
) -> Result<Success, ApiError> {
    let To::Platform {
        live,
        address,
        target,
        ..
    } = to
    else {
        return store_ticket(api, args, content, to).await;
    };
    if let Some(stored) = options.stored {
        check_stored(api, stored, &target, &mut content).await?;
    }
    let reply_to = match options.reply_to {
        Some(message) => Some(platform_id(api, &live, message).await?),
        None => None,
    };
    let deadline_at = deadline(api, &options);
    let outgoing = Outgoing {
        text: content.text.clone(),
        attachments: content.attachments.clone(),
        location: content.location.clone(),
        contacts: content.contacts.clone(),
        reply_to,
        choices: content.choices.clone(),
        template: content.template.clone(),
        expires_at: options.expires_in_ms.map(|_| deadline_at),
        mail: content.mail.clone(),
        author: content.in_name_of.clone(),
        ..Outgoing::new(MessageId(0), address)
    };
    let mut parts = live.channel.plan(&outgoing)?;
    if live.channel.mirror().is_some() && matches!(target, Target::Conversation(_)) {
        // A mirror's place may not be known yet: each part goes where the conversation then is.
        parts.iter_mut().for_each(|part| part.to = String::new());
    }
    let parts = parts
        .iter()
        .map(|part| serde_json::to_string(part).map_err(|e| internal(&e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let send = AcceptSend {
        channel: live.info.clone(),
        target,
        author: content.author,
        function: function.to_owned(),
        text: shown_text(&content),
        attachments: stored_attachments(&content.attachments),
        payload: payload(&content),
        reply_to: options.reply_to,
        parts,
        bulk: options.bulk,
        send_at: options.send_at,
        deadline_at,
        idempotency: options.idempotency(function, args),
        stored: options.stored,
        mirror_of: None,
    };
    let (accepted, wakes) = api.gateway.store.accept(send).await?;
    // Subscribed before anything is scheduled, so that no outcome is missed.
    let news = match &accepted {
        Accepted::New { message, .. } if !options.wait.is_zero() => {
            Some(api.gateway.outcomes.subscribe(*message))
        }
        _ => None,
    };
    // Whatever became of this one: others that were accepted with it are woken here, too.
    api.gateway.wake_for_all(wakes).await;
    match (accepted, news) {
        (Accepted::Conflict, _) => Err(conflict()),
        (Accepted::Known { message }, _) => wait_for(api, function, message, options.wait).await,
        (Accepted::Gone("conversation"), _) => Err(ApiError::new(
            Code::ConversationNotFound,
            "the conversation is gone",
        )),
        (Accepted::Gone(_), _) => Err(ApiError::invalid(
            "`message_id`: this message is not waiting to be delivered: it was sent before",
        )),
        (
            Accepted::New {
                message,
                conversation,
                scheduled,
            },
            None,
        ) => {
            if scheduled {
                api.gateway.scheduled.notify_one();
            }
            Ok(accepted_now(message, conversation))
        }
        (
            Accepted::New {
                message, scheduled, ..
            },
            Some(mut news),
        ) => {
            if scheduled {
                api.gateway.scheduled.notify_one();
                api.gateway.tell(&News::Scheduled).await;
            } else {
                tokio::select! {
                    heard = &mut news => match heard {
                        Ok(Some(sent)) => return Ok(taken(function, &sent)),
                        _ => news = api.gateway.outcomes.subscribe(message),
                    },
                    () = tokio::time::sleep(QUICK_ANSWER.min(options.wait)) => {}
                }
            }
            wait(api, function, message, options.wait, news).await
        }
    }
}

/// A platform that is near answers within this; until then the store need not be asked whether anything
/// speaks against waiting.
const QUICK_ANSWER: Duration = Duration::from_millis(20);

/// A stored message that is to be delivered: it must be of this conversation and ours, and lends its
/// text and attachments where the call has none.
async fn check_stored(
    api: &Api,
    stored: MessageId,
    target: &Target,
    content: &mut Content,
) -> Result<(), ApiError> {
    let found = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let Some(message) = reads::message(tx, stored).await? else {
                    return Ok(None);
                };
                let conversation = reads::conversation(tx, message.conversation_id).await?;
                Ok(conversation.map(|c| (message, c)))
            })
        })
        .await?;
    let (message, conversation) =
        found.ok_or_else(|| missing(Code::MessageNotFound, "message", stored))?;
    if message.user_id == conversation.user_id {
        return Err(ApiError::invalid(
            "`message_id`: the contact wrote this message",
        ));
    }
    if message.status != "stored" {
        let text = format!("`message_id`: this message is {} already", message.status);
        return Err(ApiError::invalid(text));
    }
    if matches!(target, Target::Conversation(id) if *id != conversation.id) {
        return Err(ApiError::invalid(
            "`message_id`: it stands in another conversation",
        ));
    }
    if content.text.is_empty() && content.attachments.is_empty() {
        content.text = message.text;
        content.attachments = message
            .attachments
            .iter()
            .map(|a| OutgoingAttachment::new(a.name.clone(), a.link.clone()))
            .collect();
    }
    Ok(())
}

/// What the platform calls the message that is answered.
async fn platform_id(
    api: &Api,
    live: &Arc<LiveChannel>,
    message: MessageId,
) -> Result<String, ApiError> {
    let channel = live.info.id.clone();
    let (exists, id) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let id = reads::platform_id(tx, &channel, message).await?;
                Ok((reads::message(tx, message).await?.is_some(), id))
            })
        })
        .await?;
    if !exists {
        return Err(missing(Code::MessageNotFound, "message", message));
    }
    id.ok_or_else(|| {
        let channel = &live.info.id;
        ApiError::invalid(format!(
            "`reply_to`: message {message} was not seen on {channel}"
        ))
    })
}

/// A conversation without a platform: the message is stored, and that is all.
async fn store_ticket(
    api: &Api,
    args: &Args,
    content: Content,
    to: To,
) -> Result<Success, ApiError> {
    let To::Ticket { conversation } = to else {
        return Err(internal("a ticket without one"));
    };
    let author = args.opt_user("user")?.map_or(BOT, UserId);
    let message = StoreMessage {
        conversation,
        author,
        text: content.text.clone(),
        attachments: stored_attachments(&content.attachments),
        payload: payload(&content),
        status_code: None,
    };
    if content.text.trim().is_empty() && content.attachments.is_empty() {
        return Err(ApiError::invalid("`message`: there is nothing to send"));
    }
    let (id, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| at_once(sends::store_message(tx, unit, &message)))
        .await?;
    api.gateway.wake(wakes).await;
    let id = id.ok_or_else(|| missing(Code::ConversationNotFound, "conversation", conversation))?;
    let mut success = Success::new(json!(true));
    success.message_id = Some(id);
    success.conversation_id = Some(conversation);
    success.status = Some(MessageStatus::Stored);
    Ok(success)
}

/// `send-message`: stores, and delivers only when asked to, and never what the contact wrote.
pub async fn send_message(
    api: &Api,
    args: &Args,
    header_key: Option<&str>,
) -> Result<Success, ApiError> {
    let conversation = ConversationId(args.id("conversation_id")?);
    let author = UserId(args.id("user_id")?);
    let code = args
        .opt_conversation_status("conversation_status_code")?
        .map(i64::from);
    let mut content = content(args, Links::Named)?;
    content.payload = args
        .opt_json("payload")?
        .filter(|p| !p.is_null())
        .map(|p| p.to_string())
        .unwrap_or_default();
    let deliver_default = api.gateway.limits.send_message_delivers;
    let wanted = args.bool("deliver", deliver_default)?;
    let (found, known_author) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let found = reads::conversation(tx, conversation).await?;
                Ok((found, reads::user(tx, author).await?.is_some()))
            })
        })
        .await?;
    let found =
        found.ok_or_else(|| missing(Code::ConversationNotFound, "conversation", conversation))?;
    if !known_author {
        return Err(missing(Code::UserNotFound, "user", author));
    }
    if content.text.trim().is_empty()
        && content.attachments.is_empty()
        && content.payload.is_empty()
    {
        return Err(ApiError::new(
            Code::MissingArgument,
            "the argument `message` is missing: there are no attachments either",
        ));
    }
    let from_contact = author == found.user_id;
    if wanted && !from_contact && api.gateway.channel(&found.channel_id).is_some() {
        let options = Options {
            stored: None,
            ..Options::read(api, args, header_key)?
        };
        if let Some(answer) = answered_before(api, "send-message", args, &options).await? {
            return Ok(answer);
        }
        let to = target::of_conversation(api, &found)?;
        let text = content.text.clone();
        let mut success = deliver(api, "send-message", args, options, content, to).await?;
        if let Some(id) = success.message_id {
            success.response = answers::stored_message(id, &text);
        }
        return Ok(success);
    }
    let text = content.text.clone();
    let message = StoreMessage {
        conversation,
        author,
        text: content.text.clone(),
        attachments: stored_attachments(&content.attachments),
        payload: payload(&content),
        status_code: code,
    };
    let (id, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| at_once(sends::store_message(tx, unit, &message)))
        .await?;
    api.gateway.wake(wakes).await;
    let id = id.ok_or_else(|| missing(Code::ConversationNotFound, "conversation", conversation))?;
    let mut success = Success::new(answers::stored_message(id, &text));
    success.message_id = Some(id);
    success.conversation_id = Some(conversation);
    Ok(success)
}

/// `direct-message`: to each user over the conversation last used. Each message has its own outcome;
/// the call answers when all are accepted.
pub async fn direct_message(
    api: &Api,
    args: &Args,
    header_key: Option<&str>,
) -> Result<Success, ApiError> {
    let users = args.ids("user_ids")?;
    let mut content = content(args, Links::Named)?;
    content.mail.subject = super::mail::subject(args)?;
    let options = Options::read(api, args, header_key)?;
    let mut targets = Vec::with_capacity(users.len());
    // All are found before the first is accepted, so that a refusal leaves nothing half done.
    for user in users {
        targets.push((user, target::of_user(api, UserId(user), None).await?));
    }
    for (user, to) in targets {
        let options = Options {
            wait: Duration::ZERO,
            // One key per recipient, so that a repeated call sends to none of them twice.
            key: options.key.as_ref().map(|key| format!("{key}:{user}")),
            stored: None,
            ..options.clone()
        };
        deliver(api, "direct-message", args, options, content.clone(), to).await?;
    }
    Ok(Success::new(json!(true)))
}
