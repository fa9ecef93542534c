//! The functions that send: find channel and recipient, plan, accept, wait for the outcome.

use super::args::Args;
use super::args::Links;
use super::dispatch::{Api, internal, missing};
use super::error::{ApiError, Code, Success};
use super::shapes::{MessageStatus, answers};
use super::target::{self, To};
use crate::gateway::LiveChannel;
use crate::store::reads::{self, Outcome};
use crate::store::rows::{BOT, StoredAttachment};
use crate::store::sends::{AcceptSend, Accepted, Idempotency, StoreMessage, Target};
use crate::store::sqlite::at_once;
use crate::store::{now, sends};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::model::{
    Choice, ContactCard, ConversationId, Location, MessageId, Millis, Outgoing, OutgoingAttachment,
    Template, UserId,
};
use switchboard_channels::{Class, LimitScope, SetupScope, Words};
use tokio::time::Instant;

/// The longest idempotency key: a UUID is 36 characters, a hash 128.
const KEY_MAX_CHARS: usize = 255;

/// What a send carries, whichever function was called.
#[derive(Debug, Clone)]
pub struct Content {
    /// The text.
    pub text: String,
    /// Attachments.
    pub attachments: Vec<OutgoingAttachment>,
    /// A place.
    pub location: Option<Location>,
    /// Contact cards.
    pub contacts: Vec<ContactCard>,
    /// Choices.
    pub choices: Vec<Choice>,
    /// An approved template.
    pub template: Option<Template>,
    /// Structured rest that is kept with the message.
    pub payload: String,
}

/// The options that every send has.
#[derive(Debug, Clone)]
struct Options {
    reply_to: Option<MessageId>,
    send_at: Option<Millis>,
    expires_in_ms: Option<i64>,
    bulk: bool,
    wait: Duration,
    key: Option<String>,
    stored: Option<MessageId>,
}

impl Options {
    fn read(api: &Api, args: &Args, header_key: Option<&str>) -> Result<Self, ApiError> {
        let wait = args.opt_u64("wait", 0..=super::names::MAX_WAIT_SECONDS)?;
        let expires = args.opt_u64("expires_in", 1..=super::names::MAX_EXPIRES_IN_SECONDS)?;
        let key = match args.opt_text("idempotency_key")? {
            Some(key) => Some(key),
            None => header_key.map(str::to_owned),
        };
        let key = key.map(|k| k.trim().to_owned()).filter(|k| !k.is_empty());
        if key
            .as_ref()
            .is_some_and(|k| k.chars().count() > KEY_MAX_CHARS)
        {
            let text = format!("`idempotency_key`: expected at most {KEY_MAX_CHARS} characters");
            return Err(ApiError::invalid(text));
        }
        let priority = args.opt_str("priority")?;
        let bulk = match priority.as_deref() {
            None | Some("normal") => false,
            Some("bulk") => true,
            Some(other) => {
                let text = format!("`priority`: found {other:?}; expected normal or bulk");
                return Err(ApiError::invalid(text));
            }
        };
        let stored = match args.opt_id("message_id")? {
            Some(id) => Some(id),
            None => args.opt_id("metadata")?,
        };
        Ok(Self {
            reply_to: args.opt_id("reply_to")?.map(MessageId),
            send_at: args.opt_time("send_at", super::args::DateOnly::Refused)?,
            expires_in_ms: expires
                .and_then(|s| i64::try_from(s).ok())
                .map(|s| s * 1000),
            bulk,
            wait: wait.map_or(api.gateway.limits.default_wait, Duration::from_secs),
            key,
            stored: stored.map(MessageId),
        })
    }

    fn idempotency(&self, function: &str, args: &Args) -> Option<Idempotency> {
        self.key.clone().map(|key| Idempotency {
            key,
            arguments: args.fingerprint(function),
        })
    }
}

/// Reads what every function calls the same.
fn content(args: &Args, links: Links) -> Result<Content, ApiError> {
    let location = match args.opt_json("location")? {
        None | Some(Value::Null) => None,
        Some(value) => Some(place(value)?),
    };
    let contacts = args
        .array("contacts")?
        .into_iter()
        .map(card)
        .collect::<Result<_, _>>()?;
    Ok(Content {
        text: args.opt_text("message")?.unwrap_or_default(),
        attachments: args.attachments("attachments", links)?,
        location,
        contacts,
        choices: args.quick_replies("quick_replies")?,
        template: None,
        payload: String::new(),
    })
}

fn place(value: Value) -> Result<Location, ApiError> {
    // A form has only text, so numbers may come as such.
    let number = |name: &str| match value.get(name) {
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::String(s)) => s.trim().parse().ok(),
        _ => None,
    };
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let (latitude, longitude) = (number("latitude"), number("longitude"));
    latitude
        .zip(longitude)
        .map(|(latitude, longitude)| Location {
            latitude,
            longitude,
            name: text("name"),
            address: text("address"),
        })
        .filter(Location::is_valid)
        .ok_or_else(|| {
            ApiError::invalid(
                "`location`: expected {\"latitude\": -90 to 90, \"longitude\": -180 to 180}",
            )
        })
}

fn card(value: Value) -> Result<ContactCard, ApiError> {
    let wrong = || ApiError::invalid("`contacts`: expected [{\"name\": …, \"phones\": […]}, …]");
    let card: ContactCard = serde_json::from_value(value).map_err(|_shape| wrong())?;
    if card.name.trim().is_empty() {
        Err(wrong())
    } else {
        Ok(card)
    }
}

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
async fn answered_before(
    api: &Api,
    function: &'static str,
    args: &Args,
    options: &Options,
) -> Result<Option<Success>, ApiError> {
    let Some(idempotency) = options.idempotency(function, args) else {
        return Ok(None);
    };
    let known = api
        .gateway
        .store
        .read(move |tx| at_once(sends::known(tx, function, &idempotency)))
        .await?;
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
async fn deliver(
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
        ..Outgoing::new(MessageId(0), address)
    };
    let parts = live.channel.plan(&outgoing)?;
    let parts = parts
        .iter()
        .map(|part| serde_json::to_string(part).map_err(|e| internal(&e.to_string())))
        .collect::<Result<Vec<_>, _>>()?;
    let send = AcceptSend {
        channel: live.info.clone(),
        target,
        author: BOT,
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
    };
    let (accepted, wakes) = api
        .gateway
        .store
        .write(move |tx, unit| at_once(sends::accept(tx, unit, &send)))
        .await?;
    match accepted {
        Accepted::Conflict => Err(conflict()),
        Accepted::Known { message } => wait_for(api, function, message, options.wait).await,
        Accepted::Gone("conversation") => Err(ApiError::new(
            Code::ConversationNotFound,
            "the conversation is gone",
        )),
        Accepted::Gone(_) => Err(ApiError::invalid(
            "`message_id`: this message is not waiting to be delivered: it was sent before",
        )),
        Accepted::New {
            message, scheduled, ..
        } => {
            // Subscribed before anything is scheduled, so that no outcome is missed.
            let news = api.gateway.outcomes.subscribe(message);
            api.gateway.wake(wakes).await;
            if scheduled {
                api.gateway.scheduled.notify_one();
            }
            wait(api, function, message, options.wait, news).await
        }
    }
}

fn deadline(api: &Api, options: &Options) -> Millis {
    let from = options.send_at.unwrap_or_else(now).max(now());
    let max_age = i64::try_from(api.gateway.limits.max_age.as_millis()).unwrap_or(i64::MAX);
    from.plus(
        options
            .expires_in_ms
            .map_or(max_age, |expires| expires.min(max_age)),
    )
}

/// A template is shown by its name; it has no text of ours.
fn shown_text(content: &Content) -> String {
    match &content.template {
        Some(template) => {
            let texts: Vec<&str> = template.body.iter().map(|t| t.text.as_str()).collect();
            format!("[{}] {}", template.name, texts.join(", "))
                .trim()
                .to_owned()
        }
        None => content.text.clone(),
    }
}

fn stored_attachments(attachments: &[OutgoingAttachment]) -> Vec<StoredAttachment> {
    attachments
        .iter()
        .map(|a| StoredAttachment {
            name: a.name.clone(),
            link: a.url.clone(),
            media_key: None,
            kind: a.kind,
            mime: Some(a.mime.clone()),
            size_bytes: None,
        })
        .collect()
}

fn payload(content: &Content) -> String {
    let mut object = serde_json::Map::new();
    if !content.choices.is_empty() {
        object.insert("quick_replies".to_owned(), json!(content.choices));
    }
    if let Some(location) = &content.location {
        object.insert("location".to_owned(), json!(location));
    }
    if !content.contacts.is_empty() {
        object.insert("contacts".to_owned(), json!(content.contacts));
    }
    if let Some(template) = &content.template {
        object.insert("template".to_owned(), json!(template));
    }
    if object.is_empty() {
        content.payload.clone()
    } else {
        Value::Object(object).to_string()
    }
}

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

/// Waits for the outcome of a message that another call accepted.
async fn wait_for(
    api: &Api,
    function: &'static str,
    message: MessageId,
    most: Duration,
) -> Result<Success, ApiError> {
    let news = api.gateway.outcomes.subscribe(message);
    wait(api, function, message, most, news).await
}

/// Waits until the outcome is final, the time is over, or it is clear that nothing will come in time.
async fn wait(
    api: &Api,
    function: &'static str,
    message: MessageId,
    most: Duration,
    mut news: tokio::sync::oneshot::Receiver<()>,
) -> Result<Success, ApiError> {
    let gateway = &api.gateway;
    let deadline = Instant::now() + most;
    loop {
        let outcome = gateway
            .store
            .read(move |tx| at_once(reads::outcome(tx, message)))
            .await?;
        let Some(outcome) = outcome else {
            return Err(missing(Code::MessageNotFound, "message", message));
        };
        if !outcome.open && !outcome.scheduled {
            gateway.outcomes.forget(message);
            return finished(function, message, &outcome);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || will_not_come(api, &outcome, left).await {
            drop(news);
            gateway.outcomes.forget(message);
            return Ok(queued(message, &outcome));
        }
        tokio::select! {
            // A closed channel is news too: the row says what it is.
            _ = &mut news => {}
            () = tokio::time::sleep(left) => {}
            () = gateway.stop.cancelled() => {
                gateway.outcomes.forget(message);
                return Ok(queued(message, &outcome));
            }
        }
        // Subscribed again before the row is read again.
        news = gateway.outcomes.subscribe(message);
    }
}

/// Whether nothing can come within the time that is left.
async fn will_not_come(api: &Api, outcome: &Outcome, left: Duration) -> bool {
    let left_ms = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
    if outcome.scheduled || (outcome.failures > 0 && outcome.next_at.since(now()) > left_ms) {
        return true;
    }
    // A channel that is not configured any more sends nothing now.
    let Some(live) = api.gateway.channel(&outcome.channel) else {
        return true;
    };
    match api.gateway.queue.stats(&live.lane).await {
        Ok(stats) => stats.paused || stats.resting.is_some(),
        Err(_down) => true,
    }
}

fn queued(message: MessageId, outcome: &Outcome) -> Success {
    Success::sent(
        json!(true),
        message,
        outcome.conversation,
        MessageStatus::Queued,
    )
}

/// The answer to a message that is sent or has failed.
fn finished(
    function: &'static str,
    message: MessageId,
    outcome: &Outcome,
) -> Result<Success, ApiError> {
    let status = MessageStatus::of_name(&outcome.status).unwrap_or(MessageStatus::Sent);
    if status == MessageStatus::Failed {
        let (class, code, text) = outcome.error.clone().unwrap_or_default();
        let words = Words::new(code, text);
        return Err(ApiError::failed_send(
            class_of(&class),
            Some(words),
            message,
            outcome.conversation,
        ));
    }
    let response = answer(function, message, &outcome.answers);
    Ok(Success::sent(
        response,
        message,
        outcome.conversation,
        status,
    ))
}

/// What a function answers when everything is sent: the platform's own answer to the first part, in
/// the shape that callers know.
fn answer(function: &str, message: MessageId, answers: &[String]) -> Value {
    let read = |text: &String| serde_json::from_str(text).unwrap_or(Value::Null);
    let first = || answers.first().map_or(Value::Null, read);
    match function {
        "messaging-platforms-send-message" | "direct-message" => json!(true),
        "send-message" => answers::stored_message(message, ""),
        // The ids of all parts, as if they had been one request.
        "line-send-message" => {
            let sent: Vec<Value> = answers
                .iter()
                .map(read)
                .filter_map(|a: Value| a.get("sentMessages").and_then(Value::as_array).cloned())
                .flatten()
                .collect();
            json!({"sentMessages": sent})
        }
        // The platform's token that stood last here is the gateway's own business now: empty.
        "wechat-send-message" => json!([first().to_string(), ""]),
        "gbm-send-message" => {
            let attachments = answers.get(1..).unwrap_or_default();
            json!([first().to_string(), attachments, ""])
        }
        _ => first(),
    }
}

/// A class by its stored name. What we gave up ourselves counts as the platform's error.
fn class_of(name: &str) -> Class {
    match name {
        "recipient" => Class::Recipient,
        "window" => Class::Window,
        "content" => Class::Content,
        "credentials" => Class::Credentials,
        "limited" => Class::Limited {
            after: None,
            scope: LimitScope::Lane,
        },
        "unsure" => Class::Unsure,
        "setup" => Class::Setup {
            scope: SetupScope::Message,
        },
        _ => Class::Retry,
    }
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
    let content = content(args, Links::Named)?;
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
