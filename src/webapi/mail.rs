//! E-mail as callers know it: to a stored user, to any address, and fetching what came in.

use super::args::{Args, Links};
use super::content::{Content, Options, content};
use super::dispatch::{Api, missing};
use super::error::{ApiError, Code, Success};
use super::sends;
use super::shapes::MessageStatus;
use super::target;
use crate::piping;
use crate::store::{at_once, mailboxes, reads};
use serde_json::json;
use std::time::Duration;
use switchboard_channels::model::{Automatic, MailHead, Millis, UserId};
use tokio::time::Instant;

/// Without `force` a mailbox is read at most so often by this function (the seeds: once a minute).
const LOOK_EVERY_MS: i64 = 60_000;
/// A reader in another process tells nobody; its mark in the store is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// `send-email`: to a stored user.
pub async fn send_email(
    api: &Api,
    args: &Args,
    header_key: Option<&str>,
) -> Result<Success, ApiError> {
    const FUNCTION: &str = "send-email";
    let options = Options::read(api, args, header_key)?;
    if let Some(answer) = sends::answered_before(api, FUNCTION, args, &options).await? {
        return Ok(answer);
    }
    let mut content = content(args, Links::Named)?;
    let nothing = content.text.trim().is_empty() && content.attachments.is_empty();
    let recipient = args.opt_id("recipient_id")?.map(UserId);
    let Some(recipient) = recipient.filter(|_| !nothing) else {
        return Err(ApiError::new(
            Code::MissingUserIdOrMessage,
            "`recipient_id` and `message` are both needed",
        ));
    };
    let sender = args.opt_id("sender_id")?.map(UserId);
    let (user, sender_known) = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let known = match sender {
                    Some(sender) => reads::user(tx, sender).await?.is_some(),
                    None => true,
                };
                Ok((reads::user(tx, recipient).await?, known))
            })
        })
        .await?;
    let Some(user) = user else {
        return Err(missing(Code::UserOrSenderNotFound, "user", recipient));
    };
    if let Some(sender) = sender.filter(|_| !sender_known) {
        return Err(missing(Code::UserOrSenderNotFound, "sender", sender));
    }
    let Some(email) = user.email else {
        let text = format!("user {recipient} has no e-mail address");
        return Err(ApiError::new(Code::UserEmailNotFound, text));
    };
    if let Some(sender) = sender.filter(|s| *s != recipient) {
        content.author = sender;
    }
    content.mail.subject = subject(args)?;
    let begins = content.mail.subject.is_some();
    let to = target::mail(api, args, "recipient_id", &email, begins).await?;
    sends::deliver(api, FUNCTION, args, options, content, to).await
}

/// `send-custom-email`: to any address, as a conversation of its own.
pub async fn send_custom_email(
    api: &Api,
    args: &Args,
    header_key: Option<&str>,
) -> Result<Success, ApiError> {
    const FUNCTION: &str = "send-custom-email";
    let options = Options::read(api, args, header_key)?;
    if let Some(answer) = sends::answered_before(api, FUNCTION, args, &options).await? {
        return Ok(answer);
    }
    let mut content: Content = content(args, Links::Named)?;
    let to = target::mail(api, args, "to", &args.str("to")?, true).await?;
    let suffix = args.opt_text("sender_suffix")?;
    let suffix = suffix
        .map(|s| s.trim().to_owned())
        .filter(|s| !s.is_empty());
    content.mail = MailHead {
        subject: subject(args)?,
        from_name: suffix.map(|suffix| to.sender_name(&suffix)),
        // A machine asked for it, for one person: no mailing list, and nobody's own words.
        automatic: Some(Automatic::Generated),
        ..MailHead::default()
    };
    sends::deliver(api, FUNCTION, args, options, content, to).await
}

/// A subject is one line.
pub fn subject(args: &Args) -> Result<Option<String>, ApiError> {
    let given = args.opt_text("subject")?;
    let words = given.map(|s| s.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(words.filter(|s| !s.is_empty()))
}

/// `email-piping`: has every mailbox read now, and waits until that is done.
pub async fn email_piping(api: &Api, args: &Args) -> Result<Success, ApiError> {
    let force = args.bool("force", false)?;
    let wait = args.opt_u64("wait", 0..=super::names::MAX_WAIT_SECONDS)?;
    let wait = wait.map_or(api.gateway.limits.default_wait, Duration::from_secs);
    let boxes: Vec<(String, String)> = piping::mailboxes(&api.gateway)
        .map(|(live, folder)| (live.info.id.clone(), folder.to_owned()))
        .collect();
    if boxes.is_empty() {
        return Err(ApiError::new(
            Code::ChannelNotConfigured,
            "no channel of kind email with an `imap_url` is configured",
        ));
    }
    let end = Instant::now() + wait;
    let now = crate::store::now();
    if !force && oldest_look(api, &boxes).await? > now.plus(-LOOK_EVERY_MS) {
        return Ok(Success::new(json!(true)));
    }
    let wanted = boxes.clone();
    api.gateway
        .store
        .write(move |tx, unit| {
            at_once(async {
                for (channel, folder) in &wanted {
                    mailboxes::want(tx, unit, channel, folder).await?;
                }
                Ok(())
            })
        })
        .await?;
    // Listening before the bell is rung, so that no answer is missed.
    let mut looked = Box::pin(api.gateway.bell.looked.notified());
    looked.as_mut().enable();
    api.gateway.bell.look.notify_waiters();
    loop {
        if oldest_look(api, &boxes).await? >= now {
            return Ok(Success::new(json!(true)));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || api.gateway.stop.is_cancelled() {
            let mut later = Success::new(json!(true));
            later.status = Some(MessageStatus::Queued);
            return Ok(later);
        }
        tokio::select! {
            () = &mut looked => {
                looked.set(api.gateway.bell.looked.notified());
                looked.as_mut().enable();
            }
            () = tokio::time::sleep(left.min(LOOK_AGAIN)) => {}
            () = api.gateway.stop.cancelled() => {}
        }
    }
}

/// When the mailbox that was read longest ago was read.
async fn oldest_look(api: &Api, boxes: &[(String, String)]) -> Result<Millis, ApiError> {
    let boxes = boxes.to_vec();
    let oldest = api
        .gateway
        .store
        .read(move |tx| {
            at_once(async {
                let mut oldest = Millis(i64::MAX);
                for (channel, folder) in &boxes {
                    oldest = oldest.min(mailboxes::looked_at(tx, channel, folder).await?);
                }
                Ok(oldest)
            })
        })
        .await?;
    Ok(oldest)
}
