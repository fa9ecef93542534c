//! The REST side: messages, their media, the account.

use super::super::segments;
use super::super::{dates, plan};
use super::{File, Line, POOL_NUMBER, Sandbox};
use crate::kit::emulator::{Exchange, Hook, basic};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::sign;
use crate::model::Millis;
use serde_json::{Value, json};

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

/// An error in Twilio's shape.
struct Refusal(u16, u32, &'static str);

impl From<Refusal> for Exchange {
    fn from(Refusal(status, code, message): Refusal) -> Self {
        let more = format!("https://www.twilio.com/docs/errors/{code}");
        let body = json!({"code": code, "message": message, "more_info": more, "status": status});
        Response::json(status, body.to_string()).into()
    }
}

/// A parameter that is wrong.
const fn bad(code: u32, message: &'static str) -> Refusal {
    Refusal(400, code, message)
}

const NOT_FOUND: Refusal = Refusal(404, 20404, "The requested resource was not found");

/// Answers a request.
pub(super) fn handle(sandbox: &mut Sandbox, request: &Request, now: Millis) -> Exchange {
    route(sandbox, request, now).unwrap_or_else(Exchange::from)
}

fn route(sandbox: &mut Sandbox, request: &Request, now: Millis) -> Result<Exchange, Refusal> {
    let (url, query) = request.url.split_once('?').unwrap_or((&request.url, ""));
    let (_, path) = url.split_once("/2010-04-01/Accounts/").ok_or(NOT_FOUND)?;
    let path: Vec<&str> = path.split('/').collect();
    let is_account = path.len() == 1;
    authorise(sandbox, request, is_account)?;
    let account = path.first().map(|a| a.strip_suffix(".json").unwrap_or(a));
    if account != Some(sandbox.settings.account_sid.as_str()) {
        return Err(NOT_FOUND);
    }
    let not_allowed = Refusal(405, 20004, "Method not allowed");
    match (request.method, path.get(1..).unwrap_or_default()) {
        (Method::Get, []) => Ok(account_resource(sandbox)),
        (Method::Post, ["Messages.json"]) => create(sandbox, &form(request)?, now),
        (Method::Get, ["Messages.json"]) => Ok(list(sandbox, query)),
        (Method::Get, ["Messages", message]) => fetch(sandbox, json_name(message)?),
        (Method::Post, ["Messages", message]) => {
            update(sandbox, json_name(message)?, &form(request)?)
        }
        (Method::Delete, ["Messages", message]) => {
            let sid = json_name(message)?;
            let at = place(sandbox, sid)?;
            sandbox.lines.remove(at);
            Ok(Response::empty(204).into())
        }
        (Method::Get | Method::Head, ["Messages", message, "Media", file]) => {
            media(sandbox, message, file)
        }
        (Method::Delete, ["Messages", message, "Media", file]) => {
            let is = |f: &File| f.sid == *file && f.message == *message;
            let at = sandbox.files.iter().position(is).ok_or(NOT_FOUND)?;
            sandbox.files.remove(at);
            Ok(Response::empty(204).into())
        }
        (_, [] | ["Messages.json"] | ["Messages", _] | ["Messages", _, "Media", _]) => {
            Err(not_allowed)
        }
        _ => Err(NOT_FOUND),
    }
}

fn authorise(sandbox: &Sandbox, request: &Request, is_account: bool) -> Result<(), Refusal> {
    let same = |secret: &Secret, given: &str| {
        sign::same(secret.expose().as_bytes(), given.as_bytes())
    };
    let settings = &sandbox.settings;
    let known = basic(request).is_some_and(|(user, password)| {
        let mut tokens = settings.auth_token.iter().flat_map(Secrets::iter);
        let by_token = user == settings.account_sid && tokens.any(|t| same(t, &password));
        // A key of the usual kind may do everything but read the account itself.
        let by_key = !is_account
            && settings.api_key_sid.as_ref() == Some(&user)
            && settings.api_key_secret.iter().any(|s| same(s, &password));
        by_token || by_key
    });
    if known {
        Ok(())
    } else {
        Err(Refusal(401, 20003, "Authenticate"))
    }
}

fn json_name<'a>(name: &&'a str) -> Result<&'a str, Refusal> {
    name.strip_suffix(".json").ok_or(NOT_FOUND)
}

fn form(request: &Request) -> Result<Vec<(String, String)>, Refusal> {
    match &request.body {
        Body::Form(pairs) => Ok(pairs.clone()),
        Body::Empty => Ok(Vec::new()),
        Body::Json(_) | Body::Multipart(_) | Body::Raw(_) => {
            Err(Refusal(415, 20001, "Unsupported media type"))
        }
    }
}

fn account_resource(sandbox: &Sandbox) -> Exchange {
    let sid = &sandbox.settings.account_sid;
    let body = json!({"sid": sid, "friendly_name": "Sandbox", "status": "active", "type": "Full",
        "uri": format!("/2010-04-01/Accounts/{sid}.json")});
    Response::json(200, body.to_string()).into()
}

/// The first value of a parameter, if it is not empty.
fn value<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = form.iter().filter(|(n, _)| n == name);
    values.next().map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

fn create(
    sandbox: &mut Sandbox,
    form: &[(String, String)],
    now: Millis,
) -> Result<Exchange, Refusal> {
    // Twilio overlooks what it does not know; here it is most likely a mistake of ours.
    if form.iter().any(|(n, _)| !PARAMETERS.contains(&n.as_str())) {
        return Err(bad(20001, "Unknown parameters"));
    }
    let to = value(form, "To").ok_or(bad(21604, "A 'To' phone number is required."))?;
    if !plan::is_e164(to) {
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

/// A message as the API shows it. Numbers are strings there.
fn resource(sandbox: &Sandbox, line: &Line) -> Value {
    let account = &sandbox.settings.account_sid;
    let ours = line.ours.as_deref();
    let (from, to) = match line.from_gateway {
        true => (ours, Some(line.customer.as_str())),
        false => (Some(line.customer.as_str()), ours),
    };
    let segments = match line.media.is_empty() {
        true => segments::count(&line.text).segments,
        false => 1,
    };
    json!({
        "sid": line.sid,
        "status": line.status,
        "to": to,
        "from": from,
        "body": line.text,
        "num_segments": segments.to_string(),
        "num_media": line.media.len().to_string(),
        "direction": if line.from_gateway { "outbound-api" } else { "inbound" },
        "error_code": null,
        "error_message": null,
        "messaging_service_sid": sandbox.settings.messaging_service_sid,
        "date_created": dates::rfc2822(line.at),
        "date_updated": dates::rfc2822(line.at),
        "date_sent": match line.status {
            "sent" | "delivered" | "received" => Some(dates::rfc2822(line.at)),
            _ => None,
        },
        "account_sid": account,
        "api_version": "2010-04-01",
        "price": null,
        "price_unit": "USD",
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", line.sid),
    })
}

/// The webhook of a status, where one was asked for.
fn status_hook(sandbox: &Sandbox, line: &Line, now: Millis, after_ms: u64) -> Option<Hook> {
    let url = line.callback.as_deref()?;
    let owned = |text: &str| text.to_owned();
    let mut params = vec![
        ("MessageSid", line.sid.clone()),
        ("MessageStatus", owned(line.status)),
        ("SmsSid", line.sid.clone()),
        ("SmsStatus", owned(line.status)),
        ("To", line.customer.clone()),
        ("From", line.ours.clone().unwrap_or_default()),
        ("AccountSid", sandbox.settings.account_sid.clone()),
        ("ApiVersion", owned("2010-04-01")),
    ];
    if let Some(service) = &sandbox.settings.messaging_service_sid {
        params.push(("MessagingServiceSid", service.clone()));
    }
    if line.status == "delivered" {
        params.push(("RawDlrDoneDate", dates::compact(now)));
    }
    Some(sandbox.hook(url, params, after_ms))
}

/// The newest messages, filtered.
fn list(sandbox: &Sandbox, query: &str) -> Exchange {
    let query: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let size = value(&query, "PageSize").and_then(|s| s.parse().ok());
    let size: usize = size.unwrap_or(50).clamp(1, 1000);
    let wanted = |line: &&Line| {
        let shown = resource(sandbox, line);
        let is = |parameter: &str, field: &str| {
            value(&query, parameter)
                .is_none_or(|v| shown.get(field).and_then(Value::as_str) == Some(v))
        };
        let since = value(&query, "DateSent>");
        is("To", "to") && is("From", "from") && since.is_none_or(|d| *d <= *dates::day(line.at))
    };
    let lines = sandbox.lines.iter().rev().filter(wanted).take(size);
    let messages: Vec<Value> = lines.map(|line| resource(sandbox, line)).collect();
    let body = json!({"messages": messages, "page": 0, "page_size": size, "start": 0,
        "end": messages.len().saturating_sub(1), "next_page_uri": null});
    Response::json(200, body.to_string()).into()
}

fn place(sandbox: &Sandbox, sid: &str) -> Result<usize, Refusal> {
    let at = sandbox.lines.iter().position(|line| line.sid == sid);
    at.ok_or(NOT_FOUND)
}

fn fetch(sandbox: &Sandbox, sid: &str) -> Result<Exchange, Refusal> {
    let line = sandbox.lines.get(place(sandbox, sid)?).ok_or(NOT_FOUND)?;
    Ok(Response::json(200, resource(sandbox, line).to_string()).into())
}

/// Cancels what is scheduled, or empties the stored text of what was sent.
fn update(
    sandbox: &mut Sandbox,
    sid: &str,
    form: &[(String, String)],
) -> Result<Exchange, Refusal> {
    let at = place(sandbox, sid)?;
    let line = sandbox.lines.get_mut(at).ok_or(NOT_FOUND)?;
    let mut canceled = false;
    match form {
        [(name, value)] if name == "Status" && value == "canceled" => {
            if line.status != "scheduled" {
                return Err(Refusal(409, 20409, "The message can no longer be canceled"));
            }
            line.status = "canceled";
            canceled = true;
        }
        [(name, value)] if name == "Body" && value.is_empty() => line.text.clear(),
        _ => return Err(bad(20001, "Only Status=canceled or an empty Body can be set")),
    }
    let line = sandbox.lines.get(at).ok_or(NOT_FOUND)?;
    let hook = canceled.then(|| status_hook(sandbox, line, line.at, 50));
    Ok(Exchange {
        response: Response::json(200, resource(sandbox, line).to_string()),
        hooks: hook.flatten().into_iter().collect(),
    })
}

fn media(sandbox: &Sandbox, message: &str, name: &str) -> Result<Exchange, Refusal> {
    let (sid, described) = match name.strip_suffix(".json") {
        Some(sid) => (sid, true),
        None => (name, false),
    };
    let is = |f: &&File| f.sid == sid && f.message == message;
    let file = sandbox.files.iter().find(is).ok_or(NOT_FOUND)?;
    if described {
        let body = json!({"sid": file.sid, "parent_sid": file.message,
            "content_type": file.mime, "account_sid": sandbox.settings.account_sid});
        return Ok(Response::json(200, body.to_string()).into());
    }
    let mut response = Response::empty(200)
        .with_header("content-type", file.mime.clone())
        .with_header(
            "content-disposition",
            format!("inline; filename=\"{}\"", file.name),
        );
    response.body = file.bytes.clone();
    Ok(response.into())
}
