//! Shows the conversations of other channels at a desk (Slack) and brings the answers back.
//!
//! The store notes what is to be done in the transaction of each message ([`crate::store::mirror`]);
//! the pump here plans the copies, since the store knows no channel, and hands them back to be made
//! durable. It holds nothing: killed at any point, it goes on with the same jobs.

use crate::gateway::{Gateway, LiveChannel};
use crate::store::mirror::{self, Beginning, Copy, Job, Scene, What};
use crate::store::rows::{BOT, ConversationRow, StoredAttachment};
use crate::store::sends::{AcceptSend, Target};
use crate::store::{StoreError, at_once};
use std::sync::Arc;
use std::time::Duration;
use switchboard_channels::model::{
    Author, ContactCard, Location, MessageId, Mirror, Outgoing, OutgoingAttachment, UserId,
};
use switchboard_channels::{Channel, Refused};
use tokio_util::sync::CancellationToken;

/// Jobs that wait for something are looked at again after so long, and new ones of other processes
/// are found.
const AGAIN: Duration = Duration::from_secs(2);

/// A copy waits so long for attachments that are still being fetched; then it goes with their links,
/// so that words are not held back by a file that nobody gets.
const FILES_WAIT_MS: i64 = 60_000;

/// The most characters of a message that are repeated when it was not delivered.
const REPEATED_CHARS: usize = 100;

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is done, or there was nothing to do.
    Done,
    /// It waits for something.
    Waits,
}

/// Does jobs as they come.
pub async fn pump(gateway: Arc<Gateway>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = round(&gateway).await {
            tracing::warn!(%error, "mirrored conversations are not looked at");
        }
        tokio::select! {
            () = gateway.mirror.notified() => {}
            () = tokio::time::sleep(AGAIN) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Does all jobs that can be done now.
async fn round(gateway: &Gateway) -> Result<(), StoreError> {
    loop {
        let jobs = gateway.store.read(|tx| at_once(mirror::jobs(tx))).await?;
        let mut done = false;
        for job in jobs {
            done |= one(gateway, &job).await? == Fate::Done;
        }
        if !done {
            return Ok(());
        }
    }
}

async fn one(gateway: &Gateway, job: &Job) -> Result<Fate, StoreError> {
    let read = job.clone();
    let scene = gateway
        .store
        .read(move |tx| at_once(mirror::scene(tx, &read)))
        .await?;
    let Some(scene) = scene else {
        return strike(gateway, job).await;
    };
    let live = gateway.channel(&scene.conversation.channel_id);
    let Some(live) = live else {
        return strike(gateway, job).await;
    };
    // What nobody can fetch yet is waited for, since a copy is planned with its files.
    let pending = scene.media.iter().any(|state| state == "pending");
    let waited = crate::store::now().since(job.created_at);
    if pending && job.what == What::New && waited < FILES_WAIT_MS {
        return Ok(Fate::Waits);
    }
    match live.channel.mirror() {
        Some(desk) => bring_back(gateway, live, desk, job, &scene).await,
        None => show(gateway, live, job, &scene).await,
    }
}

async fn strike(gateway: &Gateway, job: &Job) -> Result<Fate, StoreError> {
    let job = job.clone();
    gateway
        .store
        .write(move |tx, _| at_once(mirror::strike(tx, &job)))
        .await?;
    Ok(Fate::Done)
}

/// Shows a message at the desks at which its conversation is shown.
async fn show(
    gateway: &Gateway,
    from: &Arc<LiveChannel>,
    job: &Job,
    scene: &Scene,
) -> Result<Fate, StoreError> {
    let mut copies = Vec::new();
    for desk in gateway.channels.values() {
        let Some(mirror) = desk.channel.mirror() else {
            continue;
        };
        let (id, wanted) = (scene.conversation.id, desk.info.id.clone());
        let found = gateway
            .store
            .read(move |tx| at_once(mirror::mirror_of(tx, id, &wanted)))
            .await?;
        if found.is_none() && !mirror.shows(&from.info.id) {
            continue;
        }
        copies.extend(shown(gateway, desk, mirror, job, scene, found)?);
    }
    make(gateway, job, copies).await
}

/// Makes copies durable, and the job done.
async fn make(gateway: &Gateway, job: &Job, copies: Vec<Copy>) -> Result<Fate, StoreError> {
    let job = job.clone();
    let (_, wakes) = gateway
        .store
        .write(move |tx, unit| at_once(mirror::copy(tx, unit, &job, &copies)))
        .await?;
    gateway.wake(wakes).await;
    Ok(Fate::Done)
}

/// The copy of a message for a desk; `None` where there is nothing to show.
fn shown(
    gateway: &Gateway,
    desk: &Arc<LiveChannel>,
    mirror: &Mirror,
    job: &Job,
    scene: &Scene,
    found: Option<(ConversationRow, bool)>,
) -> Result<Option<Copy>, StoreError> {
    let message = &scene.message;
    let contact = scene.contact.as_ref();
    let person = contact.map_or_else(String::new, |c| whole_name(&c.first_name, &c.last_name));
    let writer = whole_name(&message.first_name, &message.last_name);
    let begins = match &found {
        Some(_) => None,
        // A mirror begins with words, not with a change of words that nobody there has seen.
        None if job.what != What::New => return Ok(None),
        None => {
            let address = desk.channel.mirror_begins(&person, scene.conversation.id);
            let Some(address) = address else {
                return Ok(None);
            };
            Some(Beginning {
                shown: scene.conversation.id,
                address,
                title: person.clone(),
            })
        }
    };
    let address = match (&found, &begins) {
        (Some((mirror, _)), _) => mirror.address.clone(),
        (None, Some(beginning)) => beginning.address.clone(),
        (None, None) => return Ok(None),
    };
    let name = format!("*{}*", writer.replace('*', ""));
    let mut outgoing = Outgoing::new(MessageId(0), address);
    let mut lines = Vec::new();
    if begins.is_some() {
        // Whose conversation it is, for whoever opens the thread.
        lines.push(format!(
            "*{}* · {}",
            person.replace('*', ""),
            scene.conversation.channel_id
        ));
    }
    match job.what {
        What::New if scene.deleted => return Ok(None),
        What::New => {
            fill(gateway, &mut outgoing, scene)?;
            let told = message.text.trim();
            if mirror.shows_author {
                let image =
                    Some(message.profile_image.clone()).filter(|i| i.starts_with("https://"));
                outgoing.author = Some(Author {
                    name: writer,
                    image,
                });
                lines.extend(Some(message.text.clone()).filter(|_| !told.is_empty()));
            } else if !told.is_empty() {
                lines.push(format!("{name}: {}", message.text));
            } else if begins.is_none() {
                // Files and places do not say who sent them.
                lines.push(format!("{name}:"));
            }
        }
        What::Edited => lines.push(format!("{name} changed a message: {}", message.text)),
        What::Deleted => lines.push(format!("{name} deleted a message.")),
        What::Failed => {
            let text: String = message.text.chars().take(REPEATED_CHARS).collect();
            let error = scene.error.as_deref().unwrap_or_default();
            lines.push(format!("Not delivered: “{text}” ({error})"));
        }
    }
    outgoing.text = lines.join("\n");
    let send = match planned(desk, &outgoing) {
        Ok(parts) => parts,
        Err(refused) => {
            tracing::warn!(message.id = %message.id, channel.id = %desk.info.id, %refused,
                "a message is not shown");
            return Ok(None);
        }
    };
    let target = found.map_or(scene.conversation.id, |(mirror, _)| mirror.id);
    Ok(Some(Copy {
        begins,
        send: AcceptSend {
            // The copy goes where the mirror is when it is sent, which nobody knows yet.
            parts: unaddressed(&send)?,
            ..accepted(gateway, desk, &outgoing, scene, target)
        },
    }))
}

/// Brings an answer from a desk back to the contact.
async fn bring_back(
    gateway: &Gateway,
    desk: &Arc<LiveChannel>,
    mirror: &Mirror,
    job: &Job,
    scene: &Scene,
) -> Result<Fate, StoreError> {
    let Some(shown) = &scene.shows else {
        // A conversation of the desk's own, unless it answers a mirror whose place is not known yet.
        let id = desk.info.id.clone();
        let waits = gateway
            .store
            .read(move |tx| at_once(mirror::is_being_placed(tx, &id)))
            .await?;
        return if waits {
            Ok(Fate::Waits)
        } else {
            strike(gateway, job).await
        };
    };
    let message = &scene.message;
    let internal = &mirror.internal_prefix;
    let stays = !internal.is_empty() && message.text.trim_start().starts_with(internal.as_str());
    let to = gateway.channel(&shown.channel_id);
    let Some(to) = to.filter(|_| !stays && !message.outbound) else {
        return strike(gateway, job).await;
    };
    let mut outgoing = Outgoing::new(MessageId(0), shown.address.clone());
    match job.what {
        What::New if scene.deleted => return strike(gateway, job).await,
        What::New => {
            fill(gateway, &mut outgoing, scene)?;
            outgoing.text.clone_from(&message.text);
            let takes = to.channel.capabilities().reply != switchboard_channels::model::Support::No;
            outgoing.reply_to = scene
                .answers
                .as_ref()
                .filter(|_| takes)
                .map(|(_, id)| id.clone());
        }
        // What the contact has read cannot be unsaid: the new words follow.
        What::Edited if !message.text.trim().is_empty() => {
            outgoing.text = format!("* {}", message.text);
        }
        What::Edited | What::Deleted | What::Failed => return strike(gateway, job).await,
    }
    let author = scene
        .known_as
        .iter()
        .find_map(|id| mirror.agents.get(id).copied());
    let copy = match planned(to, &outgoing) {
        Ok(parts) => Copy {
            begins: None,
            send: AcceptSend {
                author: author.unwrap_or(message.user_id),
                reply_to: scene.answers.as_ref().map(|(id, _)| *id),
                parts: texts(&parts)?,
                ..accepted(gateway, to, &outgoing, scene, shown.id)
            },
        },
        // The contact's platform cannot carry it; whoever wrote it must know.
        Err(refused) => {
            let words = format!("Not delivered: {}", refused.reason);
            let mut note = Outgoing::new(MessageId(0), scene.conversation.address.clone());
            note.text = words;
            let Ok(parts) = planned(desk, &note) else {
                return strike(gateway, job).await;
            };
            Copy {
                begins: None,
                send: AcceptSend {
                    parts: texts(&parts)?,
                    ..accepted(gateway, desk, &note, scene, scene.conversation.id)
                },
            }
        }
    };
    make(gateway, job, vec![copy]).await
}

/// A name as it is shown.
fn whole_name(first: &str, last: &str) -> String {
    let name = format!("{first} {last}");
    let name = name.trim();
    if name.is_empty() {
        "Unknown".to_owned()
    } else {
        name.to_owned()
    }
}

/// Files, places and cards of a message.
fn fill(gateway: &Gateway, outgoing: &mut Outgoing, scene: &Scene) -> Result<(), StoreError> {
    let now = crate::store::now();
    let links = gateway.store.links()?;
    let kept: Vec<&StoredAttachment> = scene
        .message
        .attachments
        .iter()
        .filter(|a| a.media_key.is_some())
        .collect();
    // The states stand in the order of the attachments that are kept.
    let lost = |a: &StoredAttachment| {
        let at = kept.iter().position(|k| k.media_key == a.media_key);
        at.and_then(|at| scene.media.get(at))
            .is_some_and(|state| state == "failed")
    };
    for attachment in &scene.message.attachments {
        let link = links.of(attachment, now);
        if link.is_empty() || lost(attachment) {
            outgoing.contacts.push(ContactCard {
                name: format!("({} could not be fetched)", attachment.name),
                ..ContactCard::default()
            });
            continue;
        }
        let made = OutgoingAttachment::new(attachment.name.clone(), link);
        outgoing.attachments.push(OutgoingAttachment {
            kind: attachment.kind,
            mime: attachment.mime.clone().unwrap_or(made.mime.clone()),
            ..made
        });
    }
    let payload: serde_json::Value =
        serde_json::from_str(&scene.message.payload).unwrap_or_default();
    let read = |name: &str| payload.get(name).cloned().unwrap_or_default();
    outgoing.location = serde_json::from_value::<Location>(read("location")).ok();
    outgoing
        .contacts
        .extend(serde_json::from_value::<Vec<ContactCard>>(read("contacts")).unwrap_or_default());
    Ok(())
}

type Parts = Vec<switchboard_channels::model::Part>;

/// Plans a copy; what the other platform cannot take as a file goes as its link.
fn planned(live: &LiveChannel, outgoing: &Outgoing) -> Result<Parts, Refused> {
    let channel: &dyn Channel = live.channel.as_ref();
    match channel.plan(outgoing) {
        Err(refused) if refused.argument == "attachments" || refused.argument == "contacts" => {
            let mut plain = outgoing.clone();
            let mut lines = vec![plain.text.clone()];
            lines.extend(
                plain
                    .attachments
                    .iter()
                    .map(|a| format!("{}: {}", a.name, a.url)),
            );
            lines.extend(plain.contacts.iter().map(ContactCard::as_text));
            plain.attachments.clear();
            plain.contacts.clear();
            lines.retain(|line| !line.trim().is_empty());
            plain.text = lines.join("\n");
            channel.plan(&plain)
        }
        other => other,
    }
}

/// Parts as the store keeps them.
fn texts(parts: &Parts) -> Result<Vec<String>, StoreError> {
    parts.iter().map(crate::store::rows::json).collect()
}

/// The same without an address: it is filled in when the part is begun.
fn unaddressed(parts: &Parts) -> Result<Vec<String>, StoreError> {
    let mut parts = parts.clone();
    for part in &mut parts {
        part.to = String::new();
    }
    texts(&parts)
}

/// A copy as it is accepted, but for its parts.
fn accepted(
    gateway: &Gateway,
    live: &LiveChannel,
    outgoing: &Outgoing,
    scene: &Scene,
    target: switchboard_channels::model::ConversationId,
) -> AcceptSend {
    let age = i64::try_from(gateway.limits.max_age.as_millis()).unwrap_or(i64::MAX);
    let author: UserId = match live.channel.mirror() {
        Some(_) => BOT,
        None => scene.message.user_id,
    };
    AcceptSend {
        channel: live.info.clone(),
        target: Target::Conversation(target),
        author,
        function: "mirror".to_owned(),
        text: outgoing.text.clone(),
        attachments: scene
            .message
            .attachments
            .iter()
            .filter(|_| !outgoing.attachments.is_empty())
            .cloned()
            .collect(),
        payload: String::new(),
        reply_to: None,
        parts: Vec::new(),
        bulk: false,
        send_at: None,
        deadline_at: crate::store::now().plus(age),
        idempotency: None,
        stored: None,
        mirror_of: Some(scene.message.id),
    }
}
