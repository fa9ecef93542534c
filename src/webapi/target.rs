//! Whom a send is for: which channel, which address, which conversation.

use super::args::Args;
use super::dispatch::{Api, missing};
use super::error::{ApiError, Code};
use crate::gateway::LiveChannel;
use crate::store::at_once;
use crate::store::reads;
use crate::store::rows::ConversationRow;
use crate::store::sends::Target;
use std::sync::Arc;
use switchboard_channels::model::{ConversationId, Recipient, UserId};

/// The source code of conversations without a platform.
pub const TICKET: &str = "tk";

/// A function that sends to an address of one kind of channel.
struct Addressed {
    function: &'static str,
    kind: &'static str,
    /// The argument that holds the address.
    address: &'static str,
    /// The argument that names our account, where there can be several; `""`: there is none.
    account: &'static str,
}

const fn addressed(
    function: &'static str,
    kind: &'static str,
    address: &'static str,
    account: &'static str,
) -> Addressed {
    Addressed {
        function,
        kind,
        address,
        account,
    }
}

const ADDRESSED: [Addressed; 9] = [
    addressed("whatsapp-send-message", "whatsapp", "to", "phone_id"),
    addressed("whatsapp-send-template", "whatsapp", "to", "phone_id"),
    addressed(
        "messenger-send-message",
        "messenger",
        "psid",
        "facebook_page_id",
    ),
    addressed("telegram-send-message", "telegram", "chat_id", ""),
    addressed("viber-send-message", "viber", "viber_id", ""),
    addressed("line-send-message", "line", "line_id", ""),
    addressed("wechat-send-message", "wechat", "open_id", ""),
    addressed(
        "gbm-send-message",
        "google-business-messages",
        "google_conversation_id",
        "",
    ),
    addressed("send-sms", "twilio-sms", "to", ""),
];

/// Whom a send is for.
pub enum To {
    /// Somebody on a platform.
    Platform {
        /// The channel.
        live: Arc<LiveChannel>,
        /// The platform's address.
        address: String,
        /// What the store is told.
        target: Target,
        /// The conversation, where it is known already.
        conversation: Option<ConversationId>,
    },
    /// A conversation without a platform.
    Ticket {
        /// The conversation.
        conversation: ConversationId,
    },
}

impl To {
    /// The name that the recipient sees, with this behind it.
    pub fn sender_name(&self, suffix: &str) -> String {
        match self {
            Self::Platform { live, .. } => live
                .channel
                .sender_name()
                .map_or_else(|| suffix.to_owned(), |name| format!("{name} {suffix}")),
            Self::Ticket { .. } => suffix.to_owned(),
        }
    }
}

/// Finds whom a call is for.
pub async fn find(api: &Api, function: &str, args: &Args) -> Result<To, ApiError> {
    match ADDRESSED.iter().find(|a| a.function == function) {
        Some(addressed) => {
            let live = channel_of_kind(api, addressed.kind, args, addressed.account).await?;
            to_address(&live, addressed.address, &args.str(addressed.address)?)
        }
        None => platform_send(api, args).await,
    }
}

/// An address to be mailed to; with `begins`, in a conversation of its own.
pub async fn mail(
    api: &Api,
    args: &Args,
    argument: &str,
    address: &str,
    begins: bool,
) -> Result<To, ApiError> {
    let live = channel_of_kind(api, "email", args, "").await?;
    let mut to = to_address(&live, argument, address)?;
    if let To::Platform {
        target: Target::Recipient(recipient),
        ..
    } = &mut to
        && begins
    {
        recipient.thread = Some(format!("sent:{}", uuid::Uuid::new_v4().simple()));
    }
    Ok(to)
}

/// The recipient of an address, over a channel.
pub fn to_address(live: &Arc<LiveChannel>, argument: &str, address: &str) -> Result<To, ApiError> {
    let recipient: Recipient = live
        .channel
        .recipient(address)
        .map_err(|refused| ApiError::invalid(format!("`{argument}`: {}", refused.reason)))?;
    Ok(To::Platform {
        live: Arc::clone(live),
        address: recipient.address.clone(),
        target: Target::Recipient(recipient),
        conversation: None,
    })
}

/// The channel that a caller named.
fn named(api: &Api, id: &str) -> Result<Arc<LiveChannel>, ApiError> {
    let live = api.gateway.channel(id).cloned();
    live.ok_or_else(|| missing(Code::ChannelNotFound, "channel", id))
}

/// The channel of a kind: the one that the call names, that of its conversation, or the only one.
async fn channel_of_kind(
    api: &Api,
    kind: &str,
    args: &Args,
    account_argument: &str,
) -> Result<Arc<LiveChannel>, ApiError> {
    if let Some(id) = args.opt_str("channel")? {
        let live = named(api, &id)?;
        if live.info.kind != kind {
            let text = format!("`channel`: {id} is of kind {}, not {kind}", live.info.kind);
            return Err(ApiError::invalid(text));
        }
        return Ok(live);
    }
    let of_kind: Vec<&Arc<LiveChannel>> = api
        .gateway
        .channels
        .values()
        .filter(|c| c.info.kind == kind)
        .collect();
    if !account_argument.is_empty()
        && let Some(account) = args.opt_str(account_argument)?
    {
        let found = of_kind
            .iter()
            .find(|c| c.channel.account_keys().contains(&account.as_str()));
        return found.map(|c| Arc::clone(c)).ok_or_else(|| {
            let text = format!("`{account_argument}`: no channel of kind {kind} has {account}");
            ApiError::new(Code::ChannelNotFound, text)
        });
    }
    if let Some(id) = args.opt_id("conversation_id")? {
        let conversation = conversation(api, ConversationId(id)).await?;
        let found = of_kind
            .iter()
            .find(|c| c.info.id == conversation.channel_id);
        if let Some(live) = found {
            return Ok(Arc::clone(live));
        }
    }
    match of_kind.as_slice() {
        [] => Err(ApiError::new(
            Code::ChannelNotConfigured,
            format!("no channel of kind {kind} is configured"),
        )),
        [only] => Ok(Arc::clone(only)),
        several => {
            let ids: Vec<&str> = several.iter().map(|c| c.info.id.as_str()).collect();
            let text = format!(
                "`channel`: there are several of kind {kind}: {}",
                ids.join(", ")
            );
            Err(ApiError::invalid(text))
        }
    }
}

async fn conversation(api: &Api, id: ConversationId) -> Result<ConversationRow, ApiError> {
    let found = api
        .gateway
        .store
        .read(move |tx| at_once(reads::conversation(tx, id)))
        .await?;
    found.ok_or_else(|| missing(Code::ConversationNotFound, "conversation", id))
}

/// `messaging-platforms-send-message`: by conversation; else by source with the platform's own keys,
/// by user, or by channel and address.
async fn platform_send(api: &Api, args: &Args) -> Result<To, ApiError> {
    if let Some(id) = args.opt_id("conversation_id")? {
        let conversation = conversation(api, ConversationId(id)).await?;
        return of_conversation(api, &conversation);
    }
    let source = args.opt_source("source")?;
    let code = match &source {
        Some(source) => source.opt_str("source")?,
        None => None,
    };
    let user = args.opt_user("user")?.map(UserId);
    let mut address = args.opt_str("to")?;
    let mut page = None;
    if let Some(source) = &source {
        for key in ["chat_id", "id", "to"] {
            if address.is_none() {
                address = source.opt_str(key)?;
            }
        }
        page = source.opt_str("page_id")?;
    }
    let Some(address) = address else {
        let user = user.ok_or_else(|| {
            ApiError::new(
                Code::MissingArgument,
                "the argument `conversation_id` is missing; `source` with a chat id, `user`, or \
                 `channel` and `to` would do too",
            )
        })?;
        return of_user(api, user, code.as_deref()).await;
    };
    let live = match args.opt_str("channel")? {
        Some(id) => named(api, &id)?,
        None => by_source(api, code.as_deref(), page.as_deref())?,
    };
    to_address(&live, "to", &address)
}

/// The channel of a source code: the one with this account, or the only one.
fn by_source(
    api: &Api,
    code: Option<&str>,
    account: Option<&str>,
) -> Result<Arc<LiveChannel>, ApiError> {
    let Some(code) = code else {
        return Err(ApiError::new(
            Code::MissingArgument,
            "the argument `channel` is missing; `source` would do too",
        ));
    };
    let known = switchboard_channels::KINDS
        .iter()
        .any(|k| k.sources.contains(&code));
    if !known {
        let codes: Vec<&str> = switchboard_channels::KINDS
            .iter()
            .flat_map(|k| k.sources)
            .copied()
            .collect();
        let text = format!(
            "`source`: found {code:?}; expected one of {}",
            codes.join(", ")
        );
        return Err(ApiError::invalid(text));
    }
    let of_source: Vec<&Arc<LiveChannel>> = api
        .gateway
        .channels
        .values()
        .filter(|c| c.kind.sources.contains(&code))
        .collect();
    let of_account = of_source
        .iter()
        .find(|c| account.is_some_and(|account| c.channel.account_keys().contains(&account)))
        .or_else(|| of_source.first().filter(|_| of_source.len() == 1));
    match of_account {
        Some(live) => Ok(Arc::clone(live)),
        None if of_source.is_empty() => Err(ApiError::new(
            Code::ChannelNotConfigured,
            format!("no channel of source {code} is configured"),
        )),
        None => {
            let ids: Vec<&str> = of_source.iter().map(|c| c.info.id.as_str()).collect();
            let text = format!(
                "`channel`: several are of source {code}: {}",
                ids.join(", ")
            );
            Err(ApiError::invalid(text))
        }
    }
}

/// A conversation that exists.
pub fn of_conversation(api: &Api, conversation: &ConversationRow) -> Result<To, ApiError> {
    if conversation.channel_id.is_empty() {
        return Ok(To::Ticket {
            conversation: conversation.id,
        });
    }
    let live = api
        .gateway
        .channel(&conversation.channel_id)
        .ok_or_else(|| {
            let text = format!(
                "its channel {} is not configured any more",
                conversation.channel_id
            );
            ApiError::new(Code::ChannelNotConfigured, text)
        })?;
    Ok(To::Platform {
        live: Arc::clone(live),
        address: conversation.address.clone(),
        target: Target::Conversation(conversation.id),
        conversation: Some(conversation.id),
    })
}

/// The conversation that a user used last, of a source where one is wanted.
pub async fn of_user(api: &Api, user: UserId, source: Option<&str>) -> Result<To, ApiError> {
    let (known, conversations) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let known = reads::user(tx, user).await?.is_some();
                Ok((known, reads::live_conversations(tx, user).await?))
            })
        })
        .await?;
    if !known {
        return Err(missing(Code::UserNotFound, "user", user));
    }
    let conversation = conversations
        .iter()
        .find(|c| source.is_none_or(|s| s == c.source) && !c.channel_id.is_empty());
    let conversation = conversation.ok_or_else(|| {
        let text = format!("user {user} has no conversation on a platform to write to");
        ApiError::new(Code::ConversationNotFound, text)
    })?;
    of_conversation(api, conversation)
}
