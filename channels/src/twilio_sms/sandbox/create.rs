//! Creating a message: everything that Twilio checks before it takes one.

use super::super::{address, plan};
use super::api::{Refusal, bad, resource, status_hook, value};
use super::{Line, POOL_NUMBER, Sandbox};
use crate::kit::emulator::Exchange;
use crate::kit::http::Response;
use crate::model::Millis;

/// Parameters that a message may be created with.
const PARAMETERS: [&str; 15] = [
    "To",
    "From",
    "MessagingServiceSid",
    "Body",
    "MediaUrl",
    "StatusCallback",
    "ValidityPeriod",
    "SmartEncoded",
    "SendAsMms",
    "ShortenUrls",
    "SendAt",
    "ScheduleType",
    "FallbackFrom",
    "MaxPrice",
    "ProvideFeedback",
];

/// Recipients that Twilio keeps for testing its errors.
const MAGIC_TO: [(&str, u32, &str); 5] = [
    ("+15005550001", 21211, "The 'To' number is not a valid phone number."),
    ("+15005550002", 21612, "The 'To' number cannot be reached from this 'From' number."),
    ("+15005550003", 21408, "Permission to send to this region has not been enabled."),
    ("+15005550004", 21610, "The recipient has unsubscribed."),
    ("+15005550009", 21614, "The 'To' number is not a mobile number."),
];

/// Creates a message, and has its statuses follow.
pub(super) fn create(
    sandbox: &mut Sandbox,
    form: &[(String, String)],
    now: Millis,
) -> Result<Exchange, Refusal> {
    // Twilio overlooks what it does not know; here it is most likely a mistake of ours.
    if form.iter().any(|(n, _)| !PARAMETERS.contains(&n.as_str())) {
        return Err(bad(20001, "Unknown parameters"));
    }
    let to = value(form, "To").ok_or(bad(21604, "A 'To' phone number is required."))?;
    if !address::is_e164(to) {
        return Err(bad(21211, "The 'To' number is not a valid phone number."));
    }
    if let Some((_, code, message)) = MAGIC_TO.iter().find(|(number, _, _)| *number == to) {
        return Err(bad(*code, message));
    }
    let from = sender(sandbox, form)?;
    let text = value(form, "Body").unwrap_or_default();
    let media: Vec<String> = form
        .iter()
        .filter(|(n, _)| n == "MediaUrl")
        .map(|(_, v)| v.clone())
        .collect();
    content(text, &media)?;
    let callback = value(form, "StatusCallback");
    if callback.is_some_and(|url| !is_public(url)) {
        return Err(bad(21609, "The 'StatusCallback' URL is not a valid URL."));
    }
    let scheduled = options(form)?;
    if sandbox.opted_out.contains(to) {
        return Err(bad(21610, "The recipient has unsubscribed."));
    }
    let service = value(form, "MessagingServiceSid").map(str::to_owned);
    let status = match (scheduled, &service) {
        (true, _) => "scheduled",
        (false, Some(_)) => "accepted",
        (false, None) => "queued",
    };
    let prefix = if media.is_empty() { "SM" } else { "MM" };
    let mut line = Line {
        sid: sandbox.sid(prefix, now),
        customer: to.to_owned(),
        ours: from,
        from_gateway: true,
        text: text.to_owned(),
        media,
        status,
        callback: callback.map(str::to_owned),
        at: now,
    };
    let answer = resource(sandbox, &line).to_string();
    let mut hooks = Vec::new();
    if !scheduled {
        line.ours = Some(line.ours.unwrap_or_else(|| POOL_NUMBER.to_owned()));
        let queued = service.is_some().then_some("queued");
        let steps = queued.into_iter().chain(["sent", "delivered"]);
        for (after_ms, step) in (50..).step_by(100).zip(steps) {
            line.status = step;
            hooks.extend(status_hook(sandbox, &line, now, after_ms));
        }
    }
    sandbox.keep(line);
    Ok(Exchange {
        response: Response::json(201, answer),
        hooks,
    })
}

/// The sender that a message names; `None` where the service picks one.
fn sender(sandbox: &Sandbox, form: &[(String, String)]) -> Result<Option<String>, Refusal> {
    let service = value(form, "MessagingServiceSid");
    if service.is_some() && service != sandbox.settings.messaging_service_sid.as_deref() {
        return Err(bad(21701, "The Messaging Service does not exist."));
    }
    match value(form, "From") {
        None if service.is_none() => {
            Err(bad(21603, "A 'From' number or MessagingServiceSid is required."))
        }
        None => Ok(None),
        Some("+15005550001") => Err(bad(21212, "The 'From' number is not a valid phone number.")),
        Some("+15005550008") => Err(bad(21611, "The 'From' number's queue is full.")),
        Some(from) => {
            let ours = sandbox.settings.from.as_deref() == Some(from);
            let in_pool = service.is_some() && from == POOL_NUMBER;
            if ours || in_pool {
                Ok(Some(from.to_owned()))
            } else {
                Err(bad(21606, "The 'From' number is not yours, or cannot send messages."))
            }
        }
    }
}

fn content(text: &str, media: &[String]) -> Result<(), Refusal> {
    if text.trim().is_empty() && media.is_empty() {
        return Err(bad(21602, "Message body is required."));
    }
    if text.encode_utf16().count() > plan::BODY_MAX {
        return Err(bad(21617, "The message body exceeds the 1600 character limit."));
    }
    if media.len() > plan::MEDIA_MAX {
        return Err(bad(21623, "The number of media URLs exceeds the limit of 10."));
    }
    if media.iter().any(|url| !is_public(url)) {
        return Err(bad(21620, "Invalid media URL."));
    }
    Ok(())
}

/// Whether the message is to be sent later.
fn options(form: &[(String, String)]) -> Result<bool, Refusal> {
    if let Some(validity) = value(form, "ValidityPeriod") {
        let seconds: Option<u32> = validity.parse().ok();
        if seconds.is_none_or(|s| !(1..=36_000).contains(&s)) {
            return Err(bad(21624, "The ValidityPeriod is not between 1 and 36000."));
        }
    }
    let has_service = value(form, "MessagingServiceSid").is_some();
    match (value(form, "ScheduleType"), value(form, "SendAt")) {
        (None, None) => Ok(false),
        (Some("fixed"), Some(_)) if has_service => Ok(true),
        _ => Err(bad(20422, "Scheduling needs ScheduleType, SendAt and a Messaging Service.")),
    }
}

/// An absolute http(s) URL whose host is one: no underscore in it.
fn is_public(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|u| {
        matches!(u.scheme(), "http" | "https") && u.host_str().is_some_and(|h| !h.contains('_'))
    })
}
