//! Hands mail over, fetches what was attached, asks whether the servers know us: the only file that
//! reaches out.

use super::classify;
use super::config::{Settings, Way};
use super::parse;
use super::render::{Draft, File};
use super::wire::relay;
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::mail::{
    MailError, MailServer, Protocol, Security, Stage, Submission, Submitted,
};
use crate::kit::secret::Secret;
use crate::kit::status;
use crate::model::{Health, Media, MediaRef, Part, Receipt};
use bytes::Bytes;
use serde_json::json;
use std::time::Duration;

/// A whole exchange: servers scan what they are given before they answer the final dot.
const SEND_MS: u64 = 120_000;
/// So long it is remembered which of several recipients have the mail; messages are given up on before.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Base64 makes 4 bytes of 3, and a line end after every 76.
const BASE64_NUMERATOR: u64 = 137;
const BASE64_DENOMINATOR: u64 = 100;
/// What text and headers take of a mail at most, beside its files.
const TEXT_BYTES: u64 = 2 * 1024 * 1024;

/// Sends one part: one mail, to everybody at once.
///
/// # Errors
/// With the class that decides what happens next.
pub async fn deliver(
    settings: &Settings,
    part: &Part,
    ctx: &Ctx<'_>,
) -> Result<Receipt, SendError> {
    let mut draft = Draft::new(settings, part, ctx.now);
    let key = format!("upload:mail:{}:{}", settings.channel, part.idempotency_key());
    let reached = reached(ctx, &key).await;
    let to: Vec<String> = draft
        .to
        .iter()
        .map(|a| a.text().to_owned())
        .filter(|a| !reached.contains(a))
        .collect();
    if to.is_empty() && reached.is_empty() {
        return Err(SendError::new(Class::Recipient, "no-address", "there is no address"));
    }
    let files = fetched(settings, &mut draft, ctx).await?;
    let message = Bytes::from(draft.write(settings, &files)?);
    let submission = Submission {
        server: match &settings.way {
            Way::Smtp(server) => server.clone(),
            Way::Relay { .. } => return relayed(settings, ctx, &draft, message, to).await,
        },
        hello_name: settings.mail_domain.clone(),
        from: settings.address.text().to_owned(),
        to: to.clone(),
        message,
        timeout_ms: SEND_MS,
    };
    match ctx.mailer.submit(submission).await {
        Err(error) if reached.is_empty() => Err(classify::failed(&error)),
        Err(error) => rest(&draft, &error),
        Ok(submitted) => {
            let mut refusals = submitted
                .refused
                .iter()
                .map(|(_, reply)| classify::refused(Stage::Recipient, reply));
            let later =
                refusals.find(|e| matches!(e.class, Class::Retry | Class::Limited { .. }));
            let Some(later) = later else {
                return Ok(receipt(&draft, &submitted));
            };
            // Somebody has it and somebody else may be reached later: those who have it must not get
            // it again.
            let refused = |a: &&String| submitted.refused.iter().any(|(r, _)| r == *a);
            let mut have: Vec<String> = reached;
            have.extend(to.iter().filter(|a| !refused(a)).cloned());
            ctx.tokens.keep(&key, Secret::new(have.join(",")), REMEMBERED).await;
            Err(later)
        }
    }
}

/// Recipients who have the mail from an earlier try.
async fn reached(ctx: &Ctx<'_>, key: &str) -> Vec<String> {
    let kept = ctx.tokens.get(key).await;
    let kept = kept.map(|t| t.value.expose().to_owned()).unwrap_or_default();
    kept.split(',').filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

/// What became of those who were refused at first, when others have the mail. Once nothing more can be
/// done for them, the message is sent: to the others.
fn rest(draft: &Draft, error: &MailError) -> Result<Receipt, SendError> {
    let failed = classify::failed(error);
    let MailError::Refused {
        reply, recipients, ..
    } = error
    else {
        return Err(failed);
    };
    match failed.class {
        Class::Recipient | Class::Content | Class::Window => Ok(receipt(
            draft,
            &Submitted {
                reply: reply.clone(),
                refused: recipients.clone(),
            },
        )),
        _ => Err(failed),
    }
}

/// The same over the relay, which knows one try only.
async fn relayed(
    settings: &Settings,
    ctx: &Ctx<'_>,
    draft: &Draft,
    message: Bytes,
    to: Vec<String>,
) -> Result<Receipt, SendError> {
    let Way::Relay { base, secrets } = &settings.way else {
        return Err(SendError::new(Class::Retry, "no-relay", "there is no relay"));
    };
    let submission = Submission {
        server: MailServer {
            host: String::new(),
            port: 0,
            security: Security::Plain,
            login: None,
        },
        hello_name: settings.mail_domain.clone(),
        from: settings.address.text().to_owned(),
        to,
        message,
        timeout_ms: SEND_MS,
    };
    let request = relay::submit(base, secrets, &submission);
    let response = call(ctx, request).await?;
    match relay::outcome(&response)? {
        Ok(submitted) => Ok(receipt(draft, &submitted)),
        Err(error) => Err(classify::failed(&error)),
    }
}

async fn call(ctx: &Ctx<'_>, request: Request) -> Result<Response, SendError> {
    let answered = ctx.transport.call(request).await;
    answered.map_err(|error| status::transport_error(&error))
}

fn receipt(draft: &Draft, submitted: &Submitted) -> Receipt {
    let refused: Vec<_> = submitted
        .refused
        .iter()
        .map(|(to, reply)| json!({"to": to, "code": reply.code, "text": reply.text}))
        .collect();
    let mut answer = json!({"code": submitted.reply.code, "text": submitted.reply.text});
    if let (false, Some(object)) = (refused.is_empty(), answer.as_object_mut()) {
        object.insert("refused".to_owned(), json!(refused));
    }
    Receipt {
        platform_ids: vec![draft.id.clone()],
        answer: answer.to_string(),
        alias: None,
    }
}

/// Fetches the files of a mail. One that is too large for the mail goes as a link.
async fn fetched(
    settings: &Settings,
    draft: &mut Draft,
    ctx: &Ctx<'_>,
) -> Result<Vec<File>, SendError> {
    let room = settings.sent_bytes.saturating_sub(TEXT_BYTES) * BASE64_DENOMINATOR / BASE64_NUMERATOR;
    let mut room = usize::try_from(room).unwrap_or(usize::MAX);
    let mut files = Vec::new();
    for link in std::mem::take(&mut draft.links) {
        let most = room.min(ctx.max_media_bytes);
        match ctx.transport.fetch_public(&link.url, most.max(1)).await {
            Ok(media) if media.bytes.len() <= most => {
                room -= media.bytes.len();
                files.push(File {
                    name: link.name,
                    mime: link.mime,
                    media,
                });
            }
            Ok(_) | Err(TransportError::TooLarge(_)) => draft.link_instead(&link.name, &link.url),
            Err(error) => return Err(not_fetched(&error)),
        }
    }
    Ok(files)
}

/// Nothing of the mail was sent when a file of it could not be fetched.
fn not_fetched(error: &TransportError) -> SendError {
    let class = match error {
        TransportError::Blocked(_) | TransportError::TooLarge(_) => Class::Content,
        TransportError::NotSent(_) | TransportError::NoAnswer(_) => Class::Retry,
    };
    SendError::new(class, "attachment", error.to_string())
}

/// The bytes of an attachment, out of the raw mail that was kept before its message was.
///
/// # Errors
/// When it is not there, or cannot be read now.
pub async fn fetch_media(
    settings: &Settings,
    media: &MediaRef,
    ctx: &Ctx<'_>,
) -> Result<Media, SendError> {
    let raw = match (media.reference.strip_prefix(relay::KEPT), &settings.way) {
        (Some(key), Way::Relay { base, secrets }) => {
            let most = ctx.max_media_bytes.saturating_mul(2);
            let response = call(ctx, relay::raw(base, secrets, key, most)).await?;
            if !response.is_success() {
                let class = status::default_class(response.status, &response.headers);
                return Err(SendError::new(class, response.status.to_string(), response.text()));
            }
            response.body
        }
        _ => {
            let kept = ctx.kept.kept(&media.reference).await;
            let kept = kept.map_err(|text| SendError::new(Class::Retry, "not-read", text))?;
            kept.ok_or_else(|| {
                SendError::new(Class::Content, "not-kept", "the mail is not kept any more")
            })?
        }
    };
    let file = parse::file(&raw, media.scope.as_deref().unwrap_or_default());
    file.ok_or_else(|| SendError::new(Class::Content, "no-part", "the mail has no such part"))
}

/// Whether the servers know us.
///
/// # Errors
/// When one of them does not, or cannot be asked.
pub async fn probe(settings: &Settings, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    match &settings.way {
        Way::Relay { base, secrets } => {
            let response = call(ctx, relay::check(base, secrets)).await?;
            let known = serde_json::from_slice::<serde_json::Value>(&response.body);
            let known = known.is_ok_and(|v| v.get("ok") == Some(&json!(true)));
            if !response.is_success() || !known {
                let class = status::default_class(response.status, &response.headers);
                return Err(SendError::new(class, response.status.to_string(), response.text()));
            }
        }
        Way::Smtp(server) => {
            let checked = ctx.mailer.check(server, Protocol::Smtp).await;
            checked.map_err(|e| classify::failed(&e))?;
        }
    }
    if let Some(mailbox) = &settings.mailbox {
        let checked = ctx.mailer.check(&mailbox.server, Protocol::Imap).await;
        checked.map_err(|e| classify::failed(&e))?;
    }
    Ok(Health {
        account: settings.address.text().to_owned(),
    })
}

#[cfg(test)]
mod tests;
