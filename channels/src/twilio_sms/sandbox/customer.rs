//! The customers' side: a phone that can write, send files, and say STOP and START.

use super::super::{address, segments};
use super::{CUSTOMER, File, Line, Sandbox};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook, PHONE_LINES_MAX};
use crate::model::Millis;
use bytes::Bytes;

/// Files are kept in memory, so that there are fewer of them than of texts.
const FILES_MAX: usize = 100;

/// Lets a customer do something.
pub(super) fn act(
    sandbox: &mut Sandbox,
    action: &Action,
    now: Millis,
) -> Result<Vec<Hook>, CannotAct> {
    let cannot = |why: &str| Err(CannotAct(why.to_owned()));
    match action {
        Action::Say {
            location: Some(_), ..
        } => cannot("SMS carries no places: send a link"),
        Action::Say {
            reply_to: Some(_), ..
        } => cannot("SMS knows no answers to a certain message"),
        Action::Say {
            text,
            attachment: None,
            ..
        } if text.is_empty() => cannot("there is nothing to send"),
        Action::Say {
            from,
            name,
            text,
            attachment,
            ..
        } => {
            let from = customer(from.as_deref())?;
            if let Some(name) = name
                && sandbox.names.len() < PHONE_LINES_MAX
            {
                sandbox.names.insert(from.clone(), name.clone());
            }
            Ok(vec![say(sandbox, &from, text, attachment.as_ref(), now)])
        }
        Action::Block { from } => {
            let from = customer(from.as_deref())?;
            Ok(vec![say(sandbox, &from, "STOP", None, now)])
        }
        Action::Unblock { from } => {
            let from = customer(from.as_deref())?;
            Ok(vec![say(sandbox, &from, "START", None, now)])
        }
        Action::Press { .. } => cannot("SMS has no buttons: answer with the number of a choice"),
        Action::Read { .. } => cannot("SMS does not tell when a message was read"),
        Action::React { .. } => cannot("SMS has no reactions"),
        Action::Edit { .. } => cannot("a text message cannot be changed"),
    }
}

fn customer(from: Option<&str>) -> Result<String, CannotAct> {
    let from = from.unwrap_or(CUSTOMER);
    let cannot = || CannotAct(format!("{from:?} is no telephone number such as {CUSTOMER}"));
    address::is_e164(from)
        .then(|| from.to_owned())
        .ok_or_else(cannot)
}

/// A message of a customer, and what Twilio makes of STOP and START before we hear of it.
fn say(
    sandbox: &mut Sandbox,
    from: &str,
    text: &str,
    attachment: Option<&ActionAttachment>,
    now: Millis,
) -> Hook {
    let wish = match text.trim().to_uppercase().as_str() {
        "STOP" => {
            if sandbox.opted_out.len() < PHONE_LINES_MAX {
                sandbox.opted_out.insert(from.to_owned());
            }
            Some("STOP")
        }
        "START" => {
            sandbox.opted_out.remove(from);
            Some("START")
        }
        _ => None,
    };
    let prefix = if attachment.is_some() { "MM" } else { "SM" };
    let sid = sandbox.sid(prefix, now);
    let link = attachment.map(|file| keep_file(sandbox, &sid, file, now));
    let number = sandbox.number().to_owned();
    let account = sandbox.settings.account_sid.clone();
    let segments = segments::count(text).segments.max(1);
    let mut params = vec![
        ("MessageSid", sid.clone()),
        ("SmsSid", sid.clone()),
        ("SmsMessageSid", sid.clone()),
        ("AccountSid", account),
        ("From", from.to_owned()),
        ("To", number.clone()),
        ("Body", text.to_owned()),
        ("NumMedia", usize::from(link.is_some()).to_string()),
        ("NumSegments", segments.to_string()),
        ("SmsStatus", "received".to_owned()),
        ("ApiVersion", "2010-04-01".to_owned()),
        ("FromCountry", String::new()),
    ];
    if let Some((file, link)) = attachment.zip(link.clone()) {
        params.push(("MediaUrl0", link));
        params.push(("MediaContentType0", file.mime.clone()));
    }
    if let Some(service) = sandbox.settings.messaging_service_sid.clone() {
        params.push(("MessagingServiceSid", service));
        // Advanced Opt-Out, which says what it made of the word, is a thing of services.
        params.extend(wish.map(|wish| ("OptOutType", wish.to_owned())));
    }
    sandbox.keep(Line {
        sid,
        customer: from.to_owned(),
        ours: Some(number),
        from_gateway: false,
        text: text.to_owned(),
        media: link.into_iter().collect(),
        status: "received",
        callback: None,
        at: now,
    });
    let url = sandbox.webhook_url.clone();
    sandbox.hook(&url, params, 0)
}

/// Keeps a file and gives the link under which it is handed out.
fn keep_file(
    sandbox: &mut Sandbox,
    message: &str,
    file: &ActionAttachment,
    now: Millis,
) -> String {
    let sid = sandbox.sid("ME", now);
    // Quotes would end the name in its header.
    let name = file.name.replace(['"', '\r', '\n'], "_");
    sandbox.files.push_back(File {
        sid: sid.clone(),
        message: message.to_owned(),
        name,
        mime: file.mime.clone(),
        bytes: Bytes::from(file.content.clone()),
    });
    if sandbox.files.len() > FILES_MAX {
        sandbox.files.pop_front();
    }
    let (base, account) = (&sandbox.api_base, &sandbox.settings.account_sid);
    format!("{base}/2010-04-01/Accounts/{account}/Messages/{message}/Media/{sid}")
}
