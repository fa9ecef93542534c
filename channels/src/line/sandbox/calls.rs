//! Everything that sends no message: account, profiles, contents, tokens.

use super::{Exchange, Failure, Sandbox, object, ok};
use crate::kit::http::{Body, Method, Request, Response};
use crate::kit::secret::Secret;
use crate::line::config::is_id;
use crate::model::Millis;
use serde_json::{Value, json};

impl Sandbox {
    /// Calls below `/v2/bot/`.
    pub fn other(
        &mut self,
        method: Method,
        path: &[&str],
        request: &Request,
    ) -> Result<Exchange, Failure> {
        let answer = match (method, path) {
            (Method::Get, ["info"]) => json!({
                "userId": self.bot, "basicId": "@sandbox", "displayName": "Sandbox",
                "chatMode": "bot", "markAsReadMode": "manual",
            }),
            (Method::Get, ["profile", user]) => self.profile(user)?,
            (Method::Get, ["message", "quota"]) => json!({"type": "none"}),
            (Method::Get, ["message", "quota", "consumption"]) => {
                json!({"totalUsage": self.pushed})
            }
            (Method::Get, ["channel", "webhook", "endpoint"]) => {
                json!({"endpoint": self.hook_url, "active": true})
            }
            (Method::Put, ["channel", "webhook", "endpoint"]) => {
                let fields = object(request)?;
                let url = fields.get("endpoint").and_then(Value::as_str).unwrap_or_default();
                if !url.starts_with("https://") || url.len() > 500 {
                    return Err(Failure::new(400, "Invalid webhook endpoint URL"));
                }
                json!({})
            }
            (Method::Post, ["channel", "webhook", "test"]) => {
                let mut exchange = ok(&json!({
                    "success": true, "timestamp": "2026-11-21T00:00:00.000Z", "statusCode": 200,
                    "reason": "OK", "detail": "200",
                }));
                exchange.hooks.push(self.hook(&[]));
                return Ok(exchange);
            }
            (Method::Post, ["chat", "loading", "start"]) => return self.loading(request),
            (Method::Post, ["chat", "markAsRead"]) => {
                let fields = object(request)?;
                let token = fields.get("markAsReadToken").and_then(Value::as_str);
                if !token.is_some_and(|token| token.starts_with("read-")) {
                    return Err(Failure::new(400, "Invalid mark as read token"));
                }
                json!({})
            }
            (Method::Post, ["user", user, "linkToken"]) => {
                self.profile(user)?;
                json!({"linkToken": self.next_token("link")})
            }
            _ => return Err(Failure::new(404, "Not found")),
        };
        Ok(ok(&answer))
    }

    /// Who has blocked the account is as unknown to it as who does not exist.
    fn profile(&self, user: &str) -> Result<Value, Failure> {
        let customer = self.customers.get(user).filter(|customer| !customer.blocked);
        let customer = customer.ok_or_else(|| Failure::new(404, "Not found"))?;
        Ok(json!({"userId": user, "displayName": customer.name, "language": "en"}))
    }

    fn loading(&self, request: &Request) -> Result<Exchange, Failure> {
        let fields = object(request)?;
        let chat = fields.get("chatId").and_then(Value::as_str).unwrap_or_default();
        if !is_id(chat, "U") {
            let words = "The property, 'chatId', in the request body is invalid";
            return Err(Failure::new(400, words));
        }
        let seconds = fields.get("loadingSeconds").map(Value::as_u64);
        let fits = |seconds: Option<u64>| {
            seconds.is_some_and(|s| (5..=60).contains(&s) && s.is_multiple_of(5))
        };
        if !seconds.is_none_or(fits) {
            return Err(Failure::new(400, "Invalid loading seconds"));
        }
        Ok(Response::json(202, "{}").into())
    }

    /// What a customer sent. Films and recordings are being prepared for a moment.
    pub fn content(&self, id: &str, what: &[&str], now: Millis) -> Result<Exchange, Failure> {
        let file = self.files.iter().find(|file| file.message == id);
        let file = file.ok_or_else(|| Failure::new(404, "Not found"))?;
        let ready = now.since(file.ready_at) >= 0;
        let bytes = || Response {
            body: file.bytes.clone(),
            ..Response::empty(200).with_header("content-type", &file.mime)
        };
        match what {
            [] if ready => Ok(bytes().into()),
            [] => Ok(Response::empty(202).into()),
            ["transcoding"] => {
                let status = if ready { "succeeded" } else { "processing" };
                Ok(ok(&json!({"status": status})))
            }
            ["preview"] if !file.mime.starts_with("audio/") => Ok(bytes().into()),
            _ => Err(Failure::new(404, "Not found")),
        }
    }

    /// The token endpoints: the one token that there is, for whoever has channel id and secret.
    pub fn oauth(
        &self,
        method: Method,
        path: &str,
        query: &str,
        body: &Body,
    ) -> Result<Exchange, Failure> {
        let form = match body {
            Body::Form(form) => form.clone(),
            _ => form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        };
        let value = |name: &str| {
            let pair = form.iter().find(|(known, _)| known == name);
            pair.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let refuse = |error: &str, words: &str| {
            let body = json!({"error": error, "error_description": words});
            Ok(Response::json(400, body.to_string()).into())
        };
        let lives = match (method, path) {
            (Method::Post, "/v2/oauth/accessToken" | "/oauth2/v2.1/token") => 2_592_000,
            (Method::Post, "/oauth2/v3/token") => 899,
            (Method::Post, "/v2/oauth/verify") | (Method::Get, "/oauth2/v2.1/verify") => {
                if value("access_token") != self.token.expose() {
                    return refuse("invalid_request", "The access token expired");
                }
                let id = self.channel_id.clone().unwrap_or_default();
                return Ok(ok(&json!({"client_id": id, "expires_in": 2_592_000, "scope": ""})));
            }
            _ => return Err(Failure::new(404, "Not found")),
        };
        if value("grant_type") != "client_credentials" {
            return refuse("unsupported_grant_type", "grant_type must be client_credentials");
        }
        let id = self.channel_id.as_deref().unwrap_or_default();
        let mut secrets = self.secrets.iter().map(Secret::expose);
        let by_secret = secrets.any(|secret| secret == value("client_secret"));
        // The assertion's key is LINE's to know; here it is enough that there is one.
        let by_assertion = value("client_assertion").split('.').count() == 3
            && value("client_assertion_type").ends_with(":jwt-bearer")
            && path != "/v2/oauth/accessToken";
        if !by_assertion && (id.is_empty() || value("client_id") != id || !by_secret) {
            return refuse("invalid_client", "invalid client_id or client_secret");
        }
        let token = self.token.expose();
        Ok(ok(&json!({
            "access_token": token, "expires_in": lives, "token_type": "Bearer",
        })))
    }
}
