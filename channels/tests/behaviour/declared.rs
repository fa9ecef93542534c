//! The law of claims: what the capabilities declare, a fixture shows; what they do not, none does.

use super::fixture::Subject;
use super::inbound::events;
use super::outbound::Written;
use std::collections::BTreeSet;
use switchboard_channels::model::{
    AttachmentKind, Capabilities, DeliveryStatus, EventBody, PartBody, Support,
};

/// Every kind of event and every status that is announced comes in some inbound fixture.
pub fn inbound(subject: &Subject) -> Result<(), String> {
    let channel = subject.channel()?;
    let declared = channel.capabilities();
    let mut kinds = BTreeSet::new();
    let mut statuses = BTreeSet::new();
    for name in subject.census().inbound {
        for event in events(subject, &name)? {
            kinds.insert(event.body.name());
            if let EventBody::Status(status) = &event.body {
                statuses.insert(status.status.name());
            }
        }
    }
    let known = [
        DeliveryStatus::Sent,
        DeliveryStatus::Failed,
        DeliveryStatus::Delivered,
        DeliveryStatus::Read,
    ];
    let mut faults = Vec::new();
    for kind in declared.inbound.iter().filter(|k| !kinds.contains(**k)) {
        faults.push(format!("no inbound fixture gives {kind:?}"));
    }
    for status in declared.statuses {
        if !known.iter().any(|k| k.name() == *status) {
            faults.push(format!("{status:?} is no status"));
        } else if !statuses.contains(status) {
            faults.push(format!("no inbound fixture gives the status {status:?}"));
        }
    }
    if declared.inbound.contains(&"status") == declared.statuses.is_empty() {
        faults.push("`inbound` and `statuses` disagree about statuses".to_owned());
    }
    none(faults)
}

/// What an outbound fixture was seen to use.
#[derive(Default)]
struct Used {
    features: BTreeSet<&'static str>,
    media: BTreeSet<&'static str>,
}

/// Every feature and every kind of media that is announced goes out in some outbound fixture.
pub fn outbound(subject: &Subject) -> Result<(), String> {
    let channel = subject.channel()?;
    let declared = channel.capabilities();
    let mut used = Used::default();
    for name in subject.census().outbound {
        let written = Written::read(subject, &name)?;
        if let Ok(parts) = channel.plan(&written.outgoing()) {
            note(declared, &written, &mut used);
            for part in parts {
                part.body
                    .flat()
                    .iter()
                    .for_each(|body| note_body(body, &mut used));
            }
        }
    }
    let mut faults = Vec::new();
    for (feature, support) in [
        ("location", declared.location),
        ("contact", declared.contact),
        ("reply", declared.reply),
        ("choices", declared.choices),
        ("template", declared.template),
    ] {
        if (support == Support::No) == used.features.contains(feature) {
            faults.push(format!(
                "{feature} is {support:?}, and the fixtures say otherwise"
            ));
        }
    }
    for (feature, claimed) in [
        ("album", declared.album > 1),
        ("caption", declared.caption.is_some()),
    ] {
        if claimed && !used.features.contains(feature) {
            faults.push(format!("no outbound fixture has the declared {feature}"));
        }
    }
    for limit in declared.media {
        if !used.media.contains(limit.kind.name()) {
            faults.push(format!(
                "no outbound fixture carries {:?}",
                limit.kind.name()
            ));
        }
    }
    if declared.choices != Support::No && declared.max_choices == 0 {
        faults.push("choices are declared, but none may be offered".to_owned());
    }
    if declared.album == 0 || declared.text.max == 0 {
        faults.push("a part can hold neither an attachment nor a text".to_owned());
    }
    none(faults)
}

fn note(declared: &Capabilities, written: &Written, used: &mut Used) {
    for (feature, there) in [
        ("location", written.location.is_some()),
        ("contact", !written.contacts.is_empty()),
        ("reply", written.reply_to.is_some()),
        ("choices", !written.choices.is_empty()),
        ("template", written.template.is_some()),
    ] {
        if there {
            used.features.insert(feature);
        }
    }
    for attachment in written.attached() {
        let carried = declared.carried_as(attachment.kind, &attachment.mime);
        used.media.extend(carried.map(AttachmentKind::name));
    }
}

fn note_body(body: &PartBody, used: &mut Used) {
    let caption = match body {
        PartBody::Media {
            attachment,
            caption,
        } => {
            used.media.insert(attachment.kind.name());
            caption
        }
        PartBody::Album {
            attachments,
            caption,
        } => {
            used.features.insert("album");
            used.media.extend(attachments.iter().map(|a| a.kind.name()));
            caption
        }
        _ => &None,
    };
    if caption.is_some() {
        used.features.insert("caption");
    }
}

fn none(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}
