//! The REST side: messages, their media, the account.

use super::super::{dates, segments};
use super::create::create;
use super::{File, Line, Sandbox};
use crate::kit::emulator::{Exchange, Hook, basic};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::sign;
use crate::model::Millis;
use serde_json::{Value, json};

/// An error in Twilio's shape.
pub(super) struct Refusal(u16, u32, &'static str);

impl From<Refusal> for Exchange {
    fn from(Refusal(status, code, message): Refusal) -> Self {
        let more = format!("https://www.twilio.com/docs/errors/{code}");
        let body = json!({"code": code, "message": message, "more_info": more, "status": status});
        Response::json(status, body.to_string()).into()
    }
}

/// A parameter that is wrong.
pub(super) const fn bad(code: u32, message: &'static str) -> Refusal {
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
pub(super) fn value<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut values = form.iter().filter(|(n, _)| n == name);
    values.next().map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
}

/// A message as the API shows it. Numbers are strings there.
pub(super) fn resource(sandbox: &Sandbox, line: &Line) -> Value {
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
pub(super) fn status_hook(sandbox: &Sandbox, line: &Line, now: Millis, after_ms: u64) -> Option<Hook> {
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
