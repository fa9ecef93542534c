//! The toy platform's own side.

use super::{Defect, Settings, signature};
use serde_json::{Value, json};
use switchboard_channels::kit::emulator::{Action, CannotAct, Emulator, Exchange, Hook, PhoneLine};
use switchboard_channels::kit::http::{Auth, Body, Request, Response};
use switchboard_channels::kit::settings::Common;
use switchboard_channels::model::Millis;

const CUSTOMER: &str = "customer-1";

pub struct Account<const D: usize> {
    settings: Settings,
    api_base: String,
    webhook_url: String,
    count: usize,
    blocked: bool,
    lines: Vec<PhoneLine>,
    payloads: Vec<(String, String)>,
    files: Vec<String>,
}

impl<const D: usize> Account<D> {
    pub fn new(common: &Common, settings: Settings) -> Self {
        Self {
            settings,
            api_base: common.api_base("https://api.toy.example"),
            webhook_url: common.webhook_url.clone(),
            count: 0,
            blocked: false,
            lines: Vec::new(),
            payloads: Vec::new(),
            files: Vec::new(),
        }
    }

    fn hook(&self, item: &Value) -> Hook {
        let body = json!({"items": [item]}).to_string();
        let mut proof = signature(&self.settings, &self.webhook_url, body.as_bytes());
        if Defect::HooksUnsigned.is(D) {
            proof = "0".repeat(64);
        }
        let request = Request::post_json(self.webhook_url.clone(), body);
        Hook::now(request.with_header("x-toy-signature", proof))
    }

    fn line(&mut self, from_gateway: bool, text: &str, now: Millis) -> String {
        self.count += 1;
        let id = format!("t{}", self.count);
        self.lines.push(PhoneLine {
            customer: CUSTOMER.to_owned(),
            name: "Customer".to_owned(),
            id: if Defect::PhoneDisagrees.is(D) {
                String::new()
            } else {
                id.clone()
            },
            from_gateway,
            text: text.to_owned(),
            extras: Vec::new(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at: now,
        });
        id
    }

    fn said(&mut self, mut item: Value, text: &str, now: Millis) -> Vec<Hook> {
        let id = self.line(false, text, now);
        item["id"] = json!(id);
        item["from"] = json!(CUSTOMER);
        item["text"] = json!(text);
        item["at"] = json!(now);
        vec![self.hook(&item)]
    }

    fn send(&mut self, body: &Value, now: Millis) -> Exchange {
        let error = |word: &str| Response::json(400, json!({"error": word}).to_string()).into();
        if body["to"] != CUSTOMER {
            return error("unknown");
        }
        if self.blocked && !Defect::BlockIgnored.is(D) {
            return error("blocked");
        }
        let text = body["text"].as_str().unwrap_or_default();
        let most = if Defect::EmulatorTooStrict.is(D) {
            60
        } else {
            100
        };
        if text.encode_utf16().count() > most || text.is_empty() && body["file"].is_null() {
            return error("length");
        }
        for button in body["buttons"].as_array().into_iter().flatten() {
            let word = |key: &str| button[key].as_str().unwrap_or_default().to_owned();
            self.payloads.push((word("title"), word("payload")));
        }
        let id = self.line(true, text, now);
        let status = json!({"id": id, "from": CUSTOMER, "status": "delivered", "at": now});
        Exchange {
            response: Response::json(200, json!({"id": id}).to_string()),
            hooks: vec![self.hook(&status)],
        }
    }
}

impl<const D: usize> Emulator for Account<D> {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        let token = match &request.auth {
            Auth::Bearer(token) => token.expose(),
            _ => "",
        };
        if token != self.settings.token.expose() {
            return Response::empty(401).into();
        }
        let path = request.url.strip_prefix(&self.api_base).unwrap_or_default();
        match (path, &request.body) {
            ("/me", _) => Response::json(200, "{}").into(),
            ("/send", Body::Json(text)) => match serde_json::from_str(text) {
                Ok(body) => self.send(&body, now),
                Err(_) => Response::empty(400).into(),
            },
            (path, _) => {
                let name = path.strip_prefix("/files/").map(str::parse::<usize>);
                let content = name.and_then(Result::ok).and_then(|i| self.files.get(i));
                content
                    .map_or(Response::empty(404), |c| Response {
                        body: c.clone().into(),
                        ..Response::empty(200)
                    })
                    .into()
            }
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say {
                location: Some(_), ..
            } => Err(CannotAct("the toy knows no places".to_owned())),
            Action::Say {
                text, attachment, ..
            } => {
                let mut item = json!({});
                if let Some(file) = attachment {
                    item["file"] = json!(self.files.len().to_string());
                    self.files.push(file.content.clone());
                }
                Ok(self.said(item, text, now))
            }
            Action::Press { button, .. } => {
                let pressed = self.payloads.iter().find(|(title, _)| title == button);
                match pressed.cloned() {
                    Some((title, payload)) => {
                        Ok(self.said(json!({"pressed": payload}), &title, now))
                    }
                    None => Err(CannotAct("no such button".to_owned())),
                }
            }
            Action::Block { .. } | Action::Unblock { .. } => {
                self.blocked = matches!(action, Action::Block { .. });
                Ok(Vec::new())
            }
            _ => Err(CannotAct("the toy has nothing of the sort".to_owned())),
        }
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.clone()
    }

    fn reset(&mut self) {
        self.lines.clear();
        self.payloads.clear();
    }
}
