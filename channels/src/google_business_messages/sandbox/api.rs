//! The calls: tokens, messages, events, receipts, files.

use super::check::{self, Content};
use super::{Fault, Line, Sandbox, TOKENS_MAX, WINDOW_MILLIS};
use crate::google_business_messages::config::{SCOPE, TOKEN_PATH};
use crate::google_business_messages::dates;
use crate::google_business_messages::render::{GRANT, MEDIA_PATH};
use crate::kit::emulator::{Exchange, Hook, bearer};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::jwt;
use crate::model::Millis;
use serde_json::{Map, Value, json};

/// For how long a token is good, in seconds.
const TOKEN_SECONDS: i64 = 3599;

/// How far a clock may be from Google's, in seconds.
const SKEW_SECONDS: i64 = 300;

/// An assertion may be used for so long, in seconds.
const ASSERTION_SECONDS: i64 = 3600;

/// What a representative may say in an event.
const EVENTS: [&str; 4] =
    ["TYPING_STARTED", "TYPING_STOPPED", "REPRESENTATIVE_JOINED", "REPRESENTATIVE_LEFT"];

impl Sandbox {
    /// Answers a call.
    pub fn answer(&mut self, request: &Request, now: Millis) -> Exchange {
        let rest = request.url.strip_prefix(&self.base).map(str::to_owned);
        let rest = rest.unwrap_or_else(|| {
            let url = url::Url::parse(&request.url).ok();
            url.map(|url| format!("{}?{}", url.path(), url.query().unwrap_or_default()))
                .unwrap_or_default()
        });
        let (path, query) = rest.split_once('?').unwrap_or((&rest, ""));
        if request.method == Method::Get && path.starts_with(MEDIA_PATH) {
            return self.download(path).into();
        }
        if path == TOKEN_PATH {
            return match request.method {
                Method::Post => self.token(request, now).into(),
                _ => Response::empty(405).into(),
            };
        }
        if !path.starts_with("/v1/") {
            return Response::empty(404).into();
        }
        match self.call(request, path, query, now) {
            Ok(exchange) => exchange,
            Err(fault) => fault.response().into(),
        }
    }

    /// A token for an assertion of the account's.
    fn token(&mut self, request: &Request, now: Millis) -> Response {
        let refused = |code: &str, words: &str| {
            let body = json!({"error": code, "error_description": words});
            Response::json(400, body.to_string())
        };
        let Body::Form(form) = &request.body else {
            return refused("invalid_request", "Bad Request");
        };
        let field = |name: &str| {
            let mut fields = form.iter().filter(|(n, _)| n == name);
            fields.next().map_or("", |(_, value)| value.as_str())
        };
        if field("grant_type") != GRANT {
            return refused("unsupported_grant_type", "Invalid grant_type");
        }
        let read = jwt::read_rs256(field("assertion"), self.account.private_key.expose());
        let Some((header, claims)) = read else {
            return refused("invalid_grant", "Invalid JWT Signature.");
        };
        let word = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
        let seconds = |name: &str| claims.get(name).and_then(Value::as_i64).unwrap_or(0);
        let kid = header.get("kid").and_then(Value::as_str);
        if word("iss") != self.account.client_email || kid != self.account.private_key_id.as_deref()
        {
            return refused("invalid_grant", "Invalid grant: account not found");
        }
        if word("aud") != self.account.audience() {
            return refused("invalid_grant", "Invalid JWT: Failed audience check.");
        }
        if word("scope") != SCOPE {
            return refused("invalid_scope", "Invalid OAuth scope or ID token audience provided.");
        }
        let (clock, iat, exp) = (now.0.div_euclid(1000), seconds("iat"), seconds("exp"));
        let timely = iat <= clock + SKEW_SECONDS
            && exp > clock - SKEW_SECONDS
            && (1..=ASSERTION_SECONDS).contains(&(exp - iat));
        if !timely {
            let words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a \
                         reasonable timeframe. Check your iat and exp values in the JWT claim.";
            return refused("invalid_grant", words);
        }
        let token = format!("ya29.sandbox-{}", self.next_id());
        self.tokens.push_back((token.clone(), now.plus(TOKEN_SECONDS * 1000)));
        while self.tokens.len() > TOKENS_MAX {
            self.tokens.pop_front();
        }
        let body = json!({
            "access_token": token, "expires_in": TOKEN_SECONDS, "token_type": "Bearer",
        });
        Response::json(200, body.to_string())
    }

    fn call(
        &mut self,
        request: &Request,
        path: &str,
        query: &str,
        now: Millis,
    ) -> Result<Exchange, Fault> {
        let given = bearer(request).unwrap_or_default();
        let good = |(token, until): &(String, Millis)| token == given && now.since(*until) < 0;
        if !self.tokens.iter().any(good) {
            let words = "Request had invalid authentication credentials. Expected OAuth 2 access \
                         token, login cookie or other valid authentication credential.";
            return Err(Fault::new(401, "UNAUTHENTICATED", words));
        }
        let words: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        match (request.method, words.as_slice()) {
            (Method::Post, ["conversations", conversation, "messages"]) => {
                self.send(conversation, &fields(request)?, now)
            }
            (Method::Post, ["conversations", conversation, "events"]) => {
                let mut pairs = form_urlencoded::parse(query.as_bytes());
                let id = pairs.find(|(name, _)| name == "eventId").map(|(_, id)| id.into_owned());
                self.event(conversation, id.as_deref(), &fields(request)?)
            }
            (Method::Patch, ["conversations", conversation, "messages", message, "receipt"]) => {
                self.read(conversation, message, &fields(request)?)
            }
            _ => Err(Fault::new(404, "NOT_FOUND", "Method not found.")),
        }
    }

    /// Whether the agent may write to a conversation.
    fn check_open(&self, conversation: &str, now: Millis) -> Result<(), Fault> {
        let Some(customer) = self.customers.get(conversation) else {
            return Err(Fault::new(404, "NOT_FOUND", "Requested entity was not found."));
        };
        let recent = |at: Millis| now.since(at) < WINDOW_MILLIS;
        if customer.blocked || !customer.active.is_some_and(recent) {
            let words = "The caller does not have permission";
            return Err(Fault::new(403, "PERMISSION_DENIED", words));
        }
        Ok(())
    }

    fn send(
        &mut self,
        conversation: &str,
        fields: &Map<String, Value>,
        now: Millis,
    ) -> Result<Exchange, Fault> {
        let Content { id, text, extras, offers } = check::message(fields)?;
        self.check_open(conversation, now)?;
        self.take(&id)?;
        let mut shown = self.line(conversation, &id, true, now);
        shown.text = text;
        shown.extras = extras;
        shown.buttons = offers.iter().map(|offer| offer.title.clone()).collect();
        self.keep(Line {
            shown,
            offers,
            read: false,
        });
        let name = format!("conversations/{conversation}/messages/{id}");
        let mut answer = fields.clone();
        answer.insert("name".into(), json!(name));
        answer.insert("createTime".into(), json!(dates::write(now)));
        let receipts = [(id, "DELIVERED")];
        let hook = self.receipts(conversation, &receipts, now);
        Ok(Exchange {
            response: Response::json(200, Value::Object(answer).to_string()),
            hooks: vec![Hook {
                // After the answer: a phone is not faster than that.
                after_ms: 50,
                ..hook
            }],
        })
    }

    fn event(
        &mut self,
        conversation: &str,
        id: Option<&str>,
        fields: &Map<String, Value>,
    ) -> Result<Exchange, Fault> {
        let id = id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| Fault::argument("eventId must be set"))?;
        check::known(fields, &["eventType", "representative"], "")?;
        let kind = fields.get("eventType").and_then(Value::as_str).unwrap_or_default();
        if !EVENTS.contains(&kind) {
            return Err(Fault::argument("Invalid value at 'event.event_type'"));
        }
        check::representative(fields.get("representative"))?;
        if !self.customers.contains_key(conversation) {
            return Err(Fault::new(404, "NOT_FOUND", "Requested entity was not found."));
        }
        self.take(&format!("event:{id}"))?;
        let answer = json!({"name": format!("conversations/{conversation}/events/{id}"),
            "eventType": kind});
        Ok(Response::json(200, answer.to_string()).into())
    }

    fn read(
        &mut self,
        conversation: &str,
        message: &str,
        fields: &Map<String, Value>,
    ) -> Result<Exchange, Fault> {
        check::known(fields, &["receiptType", "name"], "")?;
        if fields.get("receiptType").and_then(Value::as_str) != Some("READ") {
            return Err(Fault::argument("Invalid value at 'receipt.receipt_type'"));
        }
        let theirs = self.lines.iter_mut().find(|line| {
            line.shown.id == message && line.shown.customer == conversation && !line.shown.from_gateway
        });
        let Some(line) = theirs else {
            return Err(Fault::new(404, "NOT_FOUND", "Requested entity was not found."));
        };
        line.read = true;
        let name = format!("conversations/{conversation}/messages/{message}/receipt");
        let answer = json!({"name": name, "receiptType": "READ"});
        Ok(Response::json(200, answer.to_string()).into())
    }

    /// The bytes of a file.
    fn download(&self, path: &str) -> Response {
        match self.files.iter().find(|file| file.path == path) {
            Some(file) => Response {
                body: file.bytes.clone(),
                ..Response::empty(200).with_header("content-type", &file.mime)
            },
            None => Response::empty(404),
        }
    }
}

/// The body's JSON object.
fn fields(request: &Request) -> Result<Map<String, Value>, Fault> {
    let text = match &request.body {
        Body::Json(text) => text.clone(),
        Body::Raw(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let words = "Invalid JSON payload received.";
    serde_json::from_str(&text).ok().ok_or_else(|| Fault::argument(words))
}
