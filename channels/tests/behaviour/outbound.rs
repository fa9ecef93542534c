//! Laws about sending: each fixture is planned and rendered as it says, goes nowhere but to the
//! platform, and shows no secret.

use super::expect::{same, typed};
use super::fixture::{Setup, Subject, read_json, with};
use super::world::{Fake, KEPT_TOKEN, run};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Mutex;
use switchboard_channels::kit::http::{Auth, Body, Ctx, Method, Request, Response};
use switchboard_channels::kit::sign::base64;
use switchboard_channels::model::{
    Author, Choice, ContactCard, Location, MessageId, Millis, Outgoing, OutgoingAttachment, Part,
    Template,
};

/// `outbound/NAME.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// Whom the message goes to.
    pub to: String,
    /// The text.
    pub text: String,
    /// Name and link of each attachment, and its kind where no name suggests it (`voice`).
    pub attachments: Vec<Vec<String>>,
    /// A place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Contact cards.
    pub contacts: Vec<ContactCard>,
    /// The platform's id of the message that this one answers.
    pub reply_to: Option<String>,
    /// Choices offered with the message.
    pub choices: Vec<Choice>,
    /// An approved template.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// After this the message is worthless, in Unix milliseconds.
    pub expires_at: Option<i64>,
    /// In whose name it goes out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<Author>,
    /// A one-time right to answer that the conversation has; the first part takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_token: Option<String>,
    /// What the message of `reply_to` is quoted by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quote_token: Option<String>,
    /// What the platform answers, by name in `answers/`.
    pub answers: Vec<String>,
}

impl Written {
    /// Reads an outbound fixture.
    pub fn read(subject: &Subject, name: &str) -> Result<Self, String> {
        let value: Value = read_json(&with(&subject.path("outbound", name), "json"))?;
        typed::<Self>(&value)?;
        let written: Self = serde_json::from_value(value).map_err(|e| e.to_string())?;
        if written.to.is_empty() {
            return Err("`to` is missing".into());
        }
        let whole = |a: &Vec<String>| match a.as_slice() {
            [_, _] => true,
            [_, _, kind] => ["voice", "sticker"].contains(&kind.as_str()),
            _ => false,
        };
        if !written.attachments.iter().all(whole) {
            return Err(
                "an attachment is not a name, a link and perhaps `voice` or `sticker`".into(),
            );
        }
        Ok(written)
    }

    /// The attachments.
    pub fn attached(&self) -> Vec<OutgoingAttachment> {
        let attachment = |written: &Vec<String>| {
            let plain = OutgoingAttachment::new(&written[0], &written[1]);
            let kind = written.get(2).map(|kind| json!(kind));
            let kind = kind.and_then(|kind| serde_json::from_value(kind).ok());
            let kind = kind.unwrap_or(plain.kind);
            OutgoingAttachment { kind, ..plain }
        };
        self.attachments.iter().map(attachment).collect()
    }

    /// The message.
    pub fn outgoing(&self) -> Outgoing {
        let mut message = Outgoing::new(MessageId(42), self.to.clone());
        message.text.clone_from(&self.text);
        message.attachments = self.attached();
        message.location.clone_from(&self.location);
        message.contacts.clone_from(&self.contacts);
        message.reply_to.clone_from(&self.reply_to);
        message.choices.clone_from(&self.choices);
        message.template.clone_from(&self.template);
        message.expires_at = self.expires_at.map(Millis);
        message.author.clone_from(&self.author);
        message
    }
}

/// A part and the requests that its delivery made.
type Delivered = Vec<(Part, Vec<Request>)>;

/// Plans a fixture and delivers its parts, each request being answered with the next of the
/// fixture's answers, then with an empty 500.
fn delivered(subject: &Subject, written: &Written) -> Result<Result<Delivered, Value>, String> {
    let channel = subject.channel()?;
    let parts = match channel.plan(&written.outgoing()) {
        Ok(parts) => parts,
        Err(refused) => {
            return Ok(Err(
                json!({"argument": refused.argument, "reason": refused.reason}),
            ));
        }
    };
    let answers: VecDeque<Response> = written
        .answers
        .iter()
        .map(|name| subject.answer(name))
        .collect::<Result<_, _>>()?;
    let answers = Mutex::new(answers);
    let next = || answers.lock().ok().and_then(|mut a| a.pop_front());
    let fake = Fake::new(|_| next().unwrap_or_else(|| Response::empty(500)));
    let mut out = Vec::new();
    let mut reply_token = written.reply_token.clone();
    for part in parts {
        let ctx = Ctx {
            reply_token: reply_token.take(),
            quote_token: written.quote_token.clone(),
            ..fake.ctx()
        };
        // The outcome is what `answers/` is about; here only the requests count.
        run(channel.deliver(&part, &ctx))?.ok();
        out.push((part, fake.take_calls()));
    }
    // The only links that may be fetched are those of the message.
    let foreign = |url: &String| !written.attachments.iter().any(|a| a[1] == *url);
    if let Some(url) = fake.take_fetched().into_iter().find(foreign) {
        return Err(format!("{url} is fetched, which the message does not name"));
    }
    if next().is_some() {
        return Err("the fixture has more answers than the delivery made requests".into());
    }
    Ok(Ok(out))
}

/// A message becomes the parts and requests that its fixture says.
pub fn rendered(subject: &Subject, name: &str) -> Result<(), String> {
    let path = subject.path("outbound", name);
    let written = Written::read(subject, name)?;
    let expected = expected(&read_json(&with(&path, "parts.json"))?)?;
    let actual = match delivered(subject, &written)? {
        Err(refused) => json!({"refused": refused}),
        Ok(parts) => {
            let shown = |(part, requests): &(Part, Vec<Request>)| {
                let requests: Vec<Value> = requests.iter().map(shown).collect();
                json!({"part": part, "requests": requests})
            };
            json!({"parts": parts.iter().map(shown).collect::<Vec<_>>()})
        }
    };
    same(&path, &expected, &actual)
}

/// The expectation with its defaults filled in.
fn expected(written: &Value) -> Result<Value, String> {
    let outer = written.as_object().ok_or("the expectation is no object")?;
    let mut keys = outer.keys().map(String::as_str);
    match (keys.next(), keys.next()) {
        (Some("refused"), None) => return Ok(written.clone()),
        (Some("parts"), None) => {}
        _ => return Err("the expectation has neither `parts` nor `refused`".into()),
    }
    let parts = outer.get("parts").and_then(Value::as_array);
    let mut normal = Vec::new();
    for entry in parts.ok_or("`parts` is no list")? {
        let entry = entry.as_object().ok_or("a part is no object")?;
        if entry.len() != 2 {
            return Err("a part has other keys than `part` and `requests`".into());
        }
        let part = entry.get("part").ok_or("an entry has no `part`")?;
        let requests = entry.get("requests").and_then(Value::as_array);
        let mut filled = Vec::new();
        for request in requests.ok_or("an entry has no `requests`")? {
            let mut request = request.as_object().ok_or("a request is no object")?.clone();
            request.entry("headers").or_insert_with(|| json!({}));
            filled.push(Value::Object(request));
        }
        normal.push(json!({"part": typed::<Part>(part)?, "requests": filled}));
    }
    Ok(json!({"parts": normal}))
}

/// A request in the terms of the fixtures.
fn shown(request: &Request) -> Value {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
    };
    let mut headers = Map::new();
    for (name, value) in request.headers.iter() {
        headers.insert(name.to_owned(), json!(value));
    }
    let auth = match &request.auth {
        Auth::None => "none".to_owned(),
        Auth::Bearer(_) => "bearer".to_owned(),
        Auth::Basic { user, .. } => format!("basic:{user}"),
        Auth::Header { name, .. } => format!("header:{name}"),
    };
    let body = match &request.body {
        Body::Empty => json!({"empty": true}),
        Body::Json(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) => json!({ "json": value }),
            Err(error) => json!({"not_json": error.to_string()}),
        },
        Body::Form(pairs) => json!({ "form": pairs }),
        Body::Multipart(fields) => {
            let fields = fields.iter().map(|f| {
                json!({"name": f.name, "file_name": f.file_name, "mime": f.mime,
                    "len": f.bytes.len()})
            });
            json!({"multipart": fields.collect::<Vec<_>>()})
        }
        Body::Raw(bytes) => json!({"raw": String::from_utf8_lossy(bytes)}),
    };
    json!({"method": method, "url": request.shown_url(), "headers": headers, "auth": auth,
        "body": body})
}

/// Whatever a fixture's delivery does, it does at the platform, and without showing a secret.
pub fn discreet(subject: &Subject, name: &str) -> Result<(), String> {
    let written = Written::read(subject, name)?;
    let setup = subject.setup()?;
    for (_, requests) in delivered(subject, &written)?.unwrap_or_default() {
        for request in &requests {
            stays_home(&setup, request)?;
            keeps_secrets(&setup, subject.kind.name, request)?;
        }
    }
    Ok(())
}

/// The request goes to the host of `api_base`.
pub fn stays_home(setup: &Setup, request: &Request) -> Result<(), String> {
    let origin = |url: &str| {
        url::Url::parse(url)
            .map(|u| u.origin().ascii_serialization())
            .map_err(|e| format!("{}: {e}", request.shown_url()))
    };
    let (home, there) = (origin(&setup.api_base)?, origin(&request.url)?);
    if home != there {
        return Err(format!("a request goes to {there}, not to {home}"));
    }
    let user_info = url::Url::parse(&request.url).is_ok_and(|u| {
        !u.username().is_empty() || u.password().is_some() || u.fragment().is_some()
    });
    if user_info {
        return Err("a request's URL has a user or a fragment".into());
    }
    Ok(())
}

/// Kinds whose platform wants the credential in the path of the URL.
const SECRET_IN_PATH: [&str; 1] = ["telegram"];

/// Calls in whose body the platform wants a secret, to give an access token for it.
const SECRET_IN_BODY: [(&str, &str); 1] = [("wechat", "/cgi-bin/stable_token")];

/// Secrets are in the `auth` field and nowhere else.
pub fn keeps_secrets(setup: &Setup, kind: &str, request: &Request) -> Result<(), String> {
    let headers: Vec<&str> = request.headers.iter().map(|(_, v)| v).collect();
    let mut places = vec![
        ("shown_url", request.shown_url().to_owned()),
        (
            "Debug",
            format!("{request:?} {:?} {:?}", request.headers, request.auth),
        ),
        ("headers", headers.join("\n")),
    ];
    // A platform may want its access token in the query, where nobody else must see it.
    if places.iter().any(|(_, text)| text.contains(KEPT_TOKEN)) {
        return Err(format!(
            "the access token is shown in {}",
            request.shown_url()
        ));
    }
    let exchanged = |(k, path): &(&str, &str)| *k == kind && request.url.ends_with(path);
    if !SECRET_IN_BODY.iter().any(exchanged) {
        let body = format!("{} {:?}", shown(request)["body"], request.body);
        places.push(("body", body));
    }
    if !SECRET_IN_PATH.contains(&kind) {
        places.push(("url", request.url.clone()));
    }
    let secrets = setup.secrets();
    if secrets.is_empty() {
        return Err("settings.json has no secret to look for".into());
    }
    for secret in &secrets {
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let forms = [secret.clone(), encoded, base64(secret.as_bytes())];
        for (place, text) in &places {
            if forms.iter().any(|form| text.contains(form.as_str())) {
                return Err(format!(
                    "a secret is in the {place} of {}",
                    request.shown_url()
                ));
            }
        }
    }
    if request.headers.get("authorization").is_some() {
        return Err("a credential is in the headers instead of the `auth` field".into());
    }
    Ok(())
}
