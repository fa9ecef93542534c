//! The emulator: a mail server and the customers behind it, over the relay instead of SMTP and IMAP.
//! As strict as a server that is not ours: what it takes, others take.

mod check;
mod compose;
#[cfg(test)]
mod tests;

use super::config::{Settings, Way};
use super::wire::address::Address;
use super::wire::relay::{self, Answer, Refusal};
use crate::kit::emulator::{
    Action, CannotAct, Emulator, Exchange, Hook, PHONE_LINES_MAX, PhoneLine, header_credential,
};
use crate::kit::http::{Body, Headers, Method, Request, Response};
use crate::kit::secret::{Secret, Secrets};
use crate::kit::settings::Common;
use crate::model::Millis;
use bytes::Bytes;
use check::Taken;
use compose::{Mail, Part};
use std::collections::{BTreeSet, VecDeque};

/// Who writes when nobody says who.
const CUSTOMER: &str = "sam@customer.example";
const CUSTOMER_NAME: &str = "Sam Sandbox";
/// Raw mails whose attachments can still be fetched.
const KEPT_MAX: usize = 200;

/// A mail that the gateway sent.
struct Sent {
    taken: Taken,
    to: Address,
    read: bool,
}

/// One account on an emulated mail server.
pub struct Sandbox {
    address: Address,
    webhook_url: String,
    secret: Secret,
    secrets: Secrets,
    lines: Vec<PhoneLine>,
    sent: Vec<Sent>,
    blocked: BTreeSet<Address>,
    kept: VecDeque<(String, Bytes)>,
    /// Counts what the emulator writes: ids differ, and are the same in every run.
    count: u64,
}

impl Sandbox {
    /// The emulator of an account.
    pub fn new(common: &Common, settings: Settings) -> Self {
        let secrets = match settings.way {
            Way::Relay { secrets, .. } => secrets,
            // An account that speaks SMTP has nothing here that could reach it, or that it could reach.
            Way::Smtp(_) => Secrets::from(Secret::new("")),
        };
        Self {
            address: settings.address,
            webhook_url: common.webhook_url.clone(),
            secret: secrets.first().cloned().unwrap_or_else(|| Secret::new("")),
            secrets,
            lines: Vec::new(),
            sent: Vec::new(),
            blocked: BTreeSet::new(),
            kept: VecDeque::new(),
            count: 0,
        }
    }

    fn submit(&mut self, request: &Request, now: Millis) -> Exchange {
        let from = request.headers.get(relay::FROM).unwrap_or_default();
        let to = request.headers.get(relay::TO).unwrap_or_default();
        let message = bytes_of(&request.body);
        if !self.is_signed(request, &[from, to], &message) {
            return unsigned().into();
        }
        if Address::read(from).as_ref() != Some(&self.address) {
            return answer(550, "5.7.1 this sender is not yours", true, Vec::new()).into();
        }
        let taken = match check::taken(&message, &self.address) {
            Ok(taken) => taken,
            Err(fault) => {
                return answer(554, &format!("5.6.0 {fault}"), false, Vec::new()).into();
            }
        };
        let (mut refused, mut reached) = (Vec::new(), Vec::new());
        for recipient in to.split(',') {
            match Address::read(recipient) {
                None => refused.push((recipient, 553, "5.1.3 this is no address")),
                Some(a) if self.blocked.contains(&a) => {
                    refused.push((recipient, 550, "5.1.1 no such user here"));
                }
                Some(address) => reached.push(address),
            }
        }
        let refusals: Vec<Refusal> = refused
            .iter()
            .map(|(to, code, text)| Refusal {
                to: (*to).to_owned(),
                code: *code,
                text: (*text).to_owned(),
            })
            .collect();
        if reached.is_empty() {
            let (code, text) = refused.first().map_or((503, "5.5.1 to nobody"), |r| (r.1, r.2));
            return answer(code, text, true, refusals).into();
        }
        let mut hooks = Vec::new();
        for to in reached {
            self.show(taken.line(&to, now));
            hooks.push(self.arrive(&compose::delivered(&self.address, &to, &taken, now), now));
            self.sent.push(Sent {
                taken: taken.clone(),
                to,
                read: false,
            });
        }
        let surplus = self.sent.len().saturating_sub(PHONE_LINES_MAX);
        self.sent.drain(..surplus);
        let text = format!("2.0.0 queued as {}", self.count);
        Exchange {
            response: answer(250, &text, false, refusals),
            hooks,
        }
    }

    fn is_signed(&self, request: &Request, facts: &[&str], body: &[u8]) -> bool {
        let given = header_credential(request, relay::SIGNATURE).unwrap_or_default();
        relay::is_signed(&self.secrets, given, facts, body)
    }

    /// A mail comes into our mailbox.
    fn arrive(&mut self, mail: &[u8], now: Millis) -> Hook {
        self.count += 1;
        let id = format!("m{}", self.count);
        let mail = Bytes::copy_from_slice(mail);
        self.kept.push_back((id.clone(), mail.clone()));
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        let key = format!("{}{id}", relay::KEPT);
        Hook::now(relay::arrived(&self.webhook_url, &self.secret, now.0, &key, mail))
    }

    fn show(&mut self, line: PhoneLine) {
        self.lines.push(line);
        let surplus = self.lines.len().saturating_sub(PHONE_LINES_MAX);
        self.lines.drain(..surplus);
    }

    fn say(&mut self, action: &Action, now: Millis) -> Result<Hook, CannotAct> {
        let Action::Say {
            from,
            name,
            text,
            attachment,
            location,
            reply_to,
        } = action
        else {
            return Err(cannot("this is not something to say"));
        };
        if location.is_some() {
            return Err(cannot("a mail holds no places"));
        }
        let from = customer(from.as_deref())?;
        let name = name.clone().unwrap_or_else(|| match from.text() {
            CUSTOMER => CUSTOMER_NAME.to_owned(),
            other => other.to_owned(),
        });
        let last = self.sent.iter().rev().find(|s| match reply_to {
            Some(id) => s.taken.id == *id,
            None => s.to == from,
        });
        if reply_to.is_some() && last.is_none() {
            return Err(cannot("there is no such mail"));
        }
        let id = format!("c{}.{}@{}", self.count + 1, now.0, from.domain());
        let part = attachment.as_ref().map(|a| Part {
            name: a.name.clone(),
            mime: a.mime.clone(),
            content: a.content.clone().into_bytes(),
        });
        let mail = Mail {
            id: id.clone(),
            from: from.clone(),
            name: name.clone(),
            to: self.address.clone(),
            text: text.clone(),
            answers: last.map(|s| s.taken.clone()),
            attachment: part,
        };
        let raw = mail.written(now);
        self.show(PhoneLine {
            customer: from.text().to_owned(),
            name,
            id,
            from_gateway: false,
            text: text.clone(),
            extras: attachment.iter().map(|a| a.name.clone()).collect(),
            buttons: Vec::new(),
            reactions: Vec::new(),
            at: now,
        });
        Ok(self.arrive(&raw, now))
    }

    fn read(&mut self, from: Option<&str>, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let reader = customer(from)?;
        let mut reports = Vec::new();
        for sent in self.sent.iter_mut().filter(|s| s.to == reader && !s.read) {
            sent.read = true;
            reports.push(compose::displayed(&self.address, &reader, &sent.taken, now));
        }
        if reports.is_empty() {
            return Err(cannot("there is nothing unread"));
        }
        Ok(reports.iter().map(|r| self.arrive(r, now)).collect())
    }
}

impl Emulator for Sandbox {
    fn handle(&mut self, request: &Request, now: Millis) -> Exchange {
        let url = request.url.split('?').next().unwrap_or_default();
        if let Some((_, id)) = url.rsplit_once(relay::RAW) {
            if !self.is_signed(request, &[id], b"") {
                return unsigned().into();
            }
            let found = self.kept.iter().find(|(key, _)| key == id);
            return match found {
                Some((_, mail)) => Response {
                    status: 200,
                    headers: Headers::default().with("content-type", "message/rfc822"),
                    body: mail.clone(),
                }
                .into(),
                None => Response::json(404, "{\"error\":\"there is no such mail\"}").into(),
            };
        }
        match request.method {
            Method::Post if url.ends_with(relay::SUBMIT) => self.submit(request, now),
            Method::Get if url.ends_with(relay::CHECK) => {
                if self.is_signed(request, &[], b"") {
                    Response::json(200, "{\"ok\":true}").into()
                } else {
                    unsigned().into()
                }
            }
            _ => Response::json(404, "{\"error\":\"a relay knows submit, check and raw\"}").into(),
        }
    }

    fn act(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say { .. } => self.say(action, now).map(|hook| vec![hook]),
            Action::Read { from } => self.read(from.as_deref(), now),
            Action::Block { from } => {
                self.blocked.insert(customer(from.as_deref())?);
                Ok(Vec::new())
            }
            Action::Unblock { from } => {
                self.blocked.remove(&customer(from.as_deref())?);
                Ok(Vec::new())
            }
            Action::Press { .. } => Err(cannot("a mail has no buttons: answer in words")),
            Action::React { .. } => Err(cannot("mail knows no reactions")),
            Action::Edit { .. } => Err(cannot("a mail that was sent cannot be changed")),
        }
    }

    fn phone(&self) -> Vec<PhoneLine> {
        self.lines.clone()
    }

    fn reset(&mut self) {
        self.lines.clear();
        self.sent.clear();
        self.blocked.clear();
        self.kept.clear();
    }
}

fn cannot(why: &str) -> CannotAct {
    CannotAct(why.to_owned())
}

fn customer(from: Option<&str>) -> Result<Address, CannotAct> {
    let from = from.unwrap_or(CUSTOMER);
    Address::read(from).ok_or_else(|| cannot("this is no e-mail address"))
}

fn bytes_of(body: &Body) -> Bytes {
    match body {
        Body::Raw(bytes) => bytes.clone(),
        Body::Json(text) => Bytes::from(text.clone()),
        Body::Empty | Body::Form(_) | Body::Multipart(_) => Bytes::new(),
    }
}

fn unsigned() -> Response {
    Response::json(401, "{\"error\":\"the signature is missing or wrong\"}")
}

fn answer(code: u16, text: &str, before_data: bool, refused: Vec<Refusal>) -> Response {
    let answer = Answer {
        code,
        text: text.to_owned(),
        before_data,
        refused,
    };
    Response::json(200, serde_json::to_string(&answer).unwrap_or_default())
}
