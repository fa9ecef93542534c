//! The calls: routes, tokens and the smaller ones.

use super::{Issued, Sandbox};
use crate::kit::emulator::Exchange;
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::sign::same;
use crate::model::Millis;
use serde_json::{Map, Value, json};

/// For how long a token is good.
const TOKEN_SECONDS: i64 = 7200;

/// While so little is left of a token, the next one is handed out; both are good then.
const OVERLAP_MILLIS: i64 = 300 * 1000;

/// Forced renewals on one day.
const FORCED_MAX: u32 = 20;

/// For how long a person sees that somebody is typing.
const TYPING_MILLIS: i64 = 15 * 1000;

/// An `errcode` and its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault(pub i64, pub &'static str);

impl Fault {
    pub const BROKEN: Self = Self(47001, "data format error");
    pub const OPENID: Self = Self(40003, "invalid openid");
    pub const MEDIA: Self = Self(40007, "invalid media_id");

    fn response(self) -> Response {
        let Self(code, words) = self;
        let words = format!("{words} rid: sandbox");
        Response::json(200, json!({"errcode": code, "errmsg": words}).to_string())
    }
}

/// What a call gives back.
pub type Done = Result<Exchange, Fault>;

/// Success and nothing else to say.
pub fn ok() -> Response {
    Response::json(200, r#"{"errcode":0,"errmsg":"ok"}"#)
}

/// A call, taken apart.
pub struct Call<'a> {
    pub path: String,
    query: Vec<(String, String)>,
    pub request: &'a Request,
}

impl<'a> Call<'a> {
    /// The first value of a parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// The body's JSON object. Text beyond ASCII must be written as it is: WeChat shows escapes.
    pub fn json(&self) -> Result<Map<String, Value>, Fault> {
        let text = match &self.request.body {
            Body::Json(text) => text.clone(),
            Body::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::Empty => return Err(Fault(44002, "empty post data")),
            Body::Form(_) | Body::Multipart(_) => return Err(Fault::BROKEN),
        };
        if has_escapes(&text) {
            return Err(Fault(40033, "invalid charset. please check your request, if include \\uxxxx will create fail!"));
        }
        serde_json::from_str(&text).ok().ok_or(Fault::BROKEN)
    }
}

/// Whether JSON text writes a character beyond ASCII as `\uXXXX`.
fn has_escapes(text: &str) -> bool {
    let mut pieces = text.split("\\u");
    pieces.next();
    pieces.any(|piece| {
        let digits = piece.get(..4).and_then(|d| u32::from_str_radix(d, 16).ok());
        digits.is_some_and(|code| code > 0x7f)
    })
}

impl Sandbox {
    /// Answers a call.
    pub fn answer(&mut self, request: &Request, now: Millis) -> Exchange {
        let call = self.call(request);
        match self.route(&call, now) {
            Ok(exchange) => exchange,
            Err(fault) => fault.response().into(),
        }
    }

    fn call<'a>(&self, request: &'a Request) -> Call<'a> {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| format!("{}?{}", url.path(), url.query().unwrap_or_default()))
                .unwrap_or_default()
        });
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Call {
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            request,
        }
    }

    fn route(&mut self, call: &Call<'_>, now: Millis) -> Done {
        let method = call.request.method;
        match (method, call.path.as_str()) {
            (Method::Post, "/cgi-bin/stable_token") => {
                let fields = call.json()?;
                let text = |name: &str| fields.get(name).and_then(Value::as_str);
                self.check_account(text("grant_type"), text("appid"), text("secret"))?;
                let force = fields.get("force_refresh").and_then(Value::as_bool);
                return self.token(force == Some(true), now);
            }
            // The older call hands out the same tokens here, so that programs which only know it run.
            (Method::Get, "/cgi-bin/token") => {
                let asked = ["grant_type", "appid", "secret"].map(|name| call.query(name));
                let [grant, app, secret] = asked;
                self.check_account(grant, app, secret)?;
                return self.token(false, now);
            }
            (Method::Get, path) if path.starts_with("/sandbox-video/") => return Ok(self.film(path)),
            _ => {}
        }
        if !call.path.starts_with("/cgi-bin/") {
            return Ok(Response::empty(404).into());
        }
        self.check_token(call.query("access_token"), now)?;
        match (method, call.path.as_str()) {
            (Method::Post, "/cgi-bin/message/custom/send") => self.send(&call.json()?, now),
            (Method::Post, "/cgi-bin/message/custom/typing") => self.typing(&call.json()?, now),
            (Method::Post, "/cgi-bin/message/template/send") => self.template(&call.json()?, now),
            (Method::Post, "/cgi-bin/media/upload") => self.upload(call, now),
            (Method::Get, "/cgi-bin/media/get") => self.media(call.query("media_id"), now),
            (Method::Get, "/cgi-bin/user/info") => self.user_info(call.query("openid")),
            (Method::Post, "/cgi-bin/clear_quota") => Ok(ok().into()),
            (_, path) if KNOWN.contains(&path) => Err(Fault(43001, "require another HTTP method")),
            _ => Ok(Response::empty(404).into()),
        }
    }

    fn check_account(
        &self,
        grant: Option<&str>,
        app: Option<&str>,
        secret: Option<&str>,
    ) -> Result<(), Fault> {
        if grant != Some("client_credential") {
            return Err(Fault(40002, "invalid grant_type"));
        }
        let app = app.ok_or(Fault(41002, "appid missing"))?;
        let secret = secret.ok_or(Fault(41004, "appsecret missing"))?;
        if app != self.settings.app_id {
            return Err(Fault(40013, "invalid appid"));
        }
        if !same(secret.as_bytes(), self.settings.app_secret.expose().as_bytes()) {
            return Err(Fault(40125, "invalid appsecret"));
        }
        Ok(())
    }

    /// The current token; the next one when that has nearly had its time, or is to be replaced.
    fn token(&mut self, force: bool, now: Millis) -> Done {
        self.tokens.retain(|token| now.since(token.until) < 0);
        if force {
            if self.forced >= FORCED_MAX {
                return Err(Fault(45009, "reach max api daily quota limit"));
            }
            self.forced += 1;
            self.tokens.clear();
        }
        let lasting = |token: &&Issued| token.until.since(now) > OVERLAP_MILLIS;
        let token = match self.tokens.back().filter(lasting) {
            Some(token) => token.clone(),
            None => {
                let token = Issued {
                    value: format!("SBX_{}_{}", self.next_id(), "t".repeat(100)),
                    until: now.plus(TOKEN_SECONDS * 1000),
                };
                self.tokens.push_back(token.clone());
                token
            }
        };
        let seconds = token.until.since(now) / 1000;
        let body = json!({"access_token": token.value, "expires_in": seconds});
        Ok(Response::json(200, body.to_string()).into())
    }

    fn check_token(&self, given: Option<&str>, now: Millis) -> Result<(), Fault> {
        let given = given.ok_or(Fault(41001, "access_token missing"))?;
        let known = self.tokens.iter().find(|token| token.value == given);
        match known {
            Some(token) if now.since(token.until) < 0 => Ok(()),
            Some(_) => Err(Fault(42001, "access_token expired")),
            None => Err(Fault(
                40001,
                "invalid credential, access_token is invalid or not latest",
            )),
        }
    }

    fn typing(&mut self, fields: &Map<String, Value>, now: Millis) -> Done {
        let command = fields.get("command").and_then(Value::as_str);
        let to = fields.get("touser").and_then(Value::as_str).unwrap_or_default();
        let customer = self.customers.get_mut(to).ok_or(Fault::OPENID)?;
        match command {
            Some("Typing") => {
                let recent = |at: Millis| now.since(at) < 30_000;
                if !customer.wrote.is_some_and(|wrote| recent(wrote.at)) {
                    return Err(Fault(45080, "need interaction with the user in 30 seconds"));
                }
                if customer.typing_until.is_some_and(|until| until > now) {
                    return Err(Fault(45081, "already in typing state"));
                }
                customer.typing_until = Some(now.plus(TYPING_MILLIS));
            }
            Some("CancelTyping") => customer.typing_until = None,
            _ => return Err(Fault(45072, "command fields invalid")),
        }
        Ok(ok().into())
    }

    fn user_info(&self, openid: Option<&str>) -> Done {
        let openid = openid.unwrap_or_default();
        let customer = self.customers.get(openid).ok_or(Fault::OPENID)?;
        let mut info = json!({"subscribe": i32::from(customer.follows), "openid": openid});
        if let (true, Some(info)) = (customer.follows, info.as_object_mut()) {
            info.insert("language".into(), json!("en"));
            info.insert("subscribe_time".into(), json!(1_767_225_600));
            info.insert("remark".into(), json!(""));
            info.insert("groupid".into(), json!(0));
            info.insert("tagid_list".into(), json!([]));
            info.insert("subscribe_scene".into(), json!("ADD_SCENE_SEARCH"));
            info.insert("qr_scene".into(), json!(0));
            info.insert("qr_scene_str".into(), json!(""));
        }
        Ok(Response::json(200, info.to_string()).into())
    }
}

/// Paths of the calls that there are, for those that come with the wrong method.
const KNOWN: &[&str] = &[
    "/cgi-bin/message/custom/send",
    "/cgi-bin/message/custom/typing",
    "/cgi-bin/message/template/send",
    "/cgi-bin/media/upload",
    "/cgi-bin/media/get",
    "/cgi-bin/user/info",
];
