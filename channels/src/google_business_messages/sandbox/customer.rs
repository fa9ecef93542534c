//! The person with the phone: what they do, and the webhooks that tell of it.

use super::check::{Offer, OfferKind};
use super::{CUSTOMER, CUSTOMERS_MAX, FILES_MAX, Line, Sandbox, StoredFile};
use crate::google_business_messages::dates;
use crate::google_business_messages::plan;
use crate::google_business_messages::render::MEDIA_PATH;
use crate::google_business_messages::verify::{SIGNATURE_HEADER, sign};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::kit::http::Request;
use crate::model::Millis;
use serde_json::{Map, Value, json};

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

impl Sandbox {
    /// Does it, and tells of it.
    pub fn customer_acts(&mut self, action: &Action, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        match action {
            Action::Say {
                from,
                name,
                text,
                attachment,
                location,
                reply_to,
            } => {
                if reply_to.is_some() {
                    return cannot("here nobody can answer a certain message");
                }
                if location.is_some() {
                    return cannot("people send no places here, only text and pictures");
                }
                let who = self.customer(from.as_deref(), name.as_deref())?;
                self.says(&who, text, attachment.as_ref(), now)
            }
            Action::Press { from, button } => {
                let who = self.customer(from.as_deref(), None)?;
                self.presses(&who, button, now)
            }
            Action::Read { from } => {
                let who = self.customer(from.as_deref(), None)?;
                self.reads(&who, now)
            }
            Action::Block { from } => self.blocks(from.as_deref(), true),
            Action::Unblock { from } => self.blocks(from.as_deref(), false),
            Action::React { .. } => cannot("Google Business Messages has no reactions"),
            Action::Edit { .. } => cannot("messages cannot be changed here"),
        }
    }

    /// The person who acts; whoever is not there yet comes upon the agent.
    fn customer(&mut self, from: Option<&str>, name: Option<&str>) -> Result<String, CannotAct> {
        let id = from.unwrap_or(CUSTOMER);
        let id = plan::recipient(id).map_err(|refused| CannotAct(refused.reason))?.address;
        if !self.customers.contains_key(&id) && self.customers.len() >= CUSTOMERS_MAX {
            return cannot("there are too many people here already");
        }
        let customer = self.customers.entry(id.clone()).or_default();
        if customer.blocked {
            return cannot("has blocked the agent: take that back first");
        }
        if let Some(name) = name {
            name.clone_into(&mut customer.name);
        }
        Ok(id)
    }

    fn says(
        &mut self,
        who: &str,
        text: &str,
        attachment: Option<&ActionAttachment>,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        // Pictures have no captions: the words are a message of their own.
        let mut said: Vec<(String, String, Vec<String>)> = Vec::new();
        if let Some(file) = attachment {
            if !matches!(file.mime.as_str(), "image/jpeg" | "image/png") {
                return cannot("people send text and pictures (JPEG, PNG) here, nothing else");
            }
            let link = self.keep_file(file);
            said.push((link, String::new(), vec![format!("image: {}", file.name)]));
        }
        if !text.trim().is_empty() {
            said.push((text.to_owned(), text.to_owned(), Vec::new()));
        }
        if said.is_empty() {
            return cannot("there is nothing to say");
        }
        let hooks = said.into_iter().map(|(sent, shown, extras)| {
            let id = self.next_id();
            let mut line = self.line(who, &id, false, now);
            line.text = shown;
            line.extras = extras;
            self.keep(Line {
                shown: line,
                offers: Vec::new(),
                read: false,
            });
            let name = format!("conversations/{who}/messages/{id}");
            let message = json!({"name": name, "messageId": id, "text": sent,
                "createTime": dates::write(now)});
            self.happened(who, "message", message, now)
        });
        Ok(hooks.collect())
    }

    /// Keeps a file; its link is what Google hands out in place of it.
    fn keep_file(&mut self, file: &ActionAttachment) -> String {
        let id = self.next_id();
        let encoded: String = form_urlencoded::byte_serialize(file.name.as_bytes()).collect();
        let path = format!("{MEDIA_PATH}{id}/{encoded}");
        let link = format!("{}{path}", self.base);
        self.files.push_back(StoredFile {
            path,
            mime: file.mime.clone(),
            bytes: file.content.clone().into(),
        });
        while self.files.len() > FILES_MAX {
            self.files.pop_front();
        }
        link
    }

    fn presses(&mut self, who: &str, button: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let lines = self.lines.iter().rev();
        let mut ours = lines.filter(|line| line.shown.customer == who && line.shown.from_gateway);
        let pressed = ours.find_map(|line| {
            let mut offers = line.offers.iter();
            let offer = offers.find(|o| o.payload == button || o.title == button)?;
            Some((line.shown.id.clone(), offer.clone()))
        });
        let Some((of, Offer { title, payload, kind })) = pressed else {
            return cannot(format!("no message offers {button:?}"));
        };
        let created = dates::write(now);
        if kind == OfferKind::LiveAgent {
            let status = json!({"requestedLiveAgent": true, "createTime": created});
            return Ok(vec![self.happened(who, "userStatus", status, now)]);
        }
        let id = self.next_id();
        let mut line = self.line(who, &id, false, now);
        line.text.clone_from(&title);
        self.keep(Line {
            shown: line,
            offers: Vec::new(),
            read: false,
        });
        let kind = if kind == OfferKind::Reply { "REPLY" } else { "ACTION" };
        let response = json!({"message": format!("conversations/{who}/messages/{of}"),
            "postbackData": payload, "text": title, "createTime": created, "type": kind});
        Ok(vec![self.happened(who, "suggestionResponse", response, now)])
    }

    fn reads(&mut self, who: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let mut read = Vec::new();
        for line in &mut self.lines {
            if line.shown.customer == who && line.shown.from_gateway && !line.read {
                line.read = true;
                read.push((line.shown.id.clone(), "READ"));
            }
        }
        if read.is_empty() {
            return cannot("there is nothing to read");
        }
        Ok(vec![self.receipts(who, &read, now)])
    }

    /// Google tells nobody of being blocked.
    fn blocks(&mut self, from: Option<&str>, blocked: bool) -> Result<Vec<Hook>, CannotAct> {
        let Some(customer) = self.customers.get_mut(from.unwrap_or(CUSTOMER)) else {
            return cannot("no such person");
        };
        if customer.blocked == blocked {
            return cannot("that changes nothing");
        }
        customer.blocked = blocked;
        Ok(Vec::new())
    }

    /// News of our messages.
    pub fn receipts(&mut self, who: &str, news: &[(String, &str)], now: Millis) -> Hook {
        let receipt = |(id, kind): &(String, &str)| {
            json!({"message": format!("conversations/{who}/messages/{id}"), "receiptType": kind})
        };
        let receipts: Vec<Value> = news.iter().map(receipt).collect();
        let receipts = json!({"receipts": receipts, "createTime": dates::write(now)});
        self.webhook(who, "receipts", receipts, now)
    }

    /// Something that the person did, which opens the conversation for another 30 days.
    fn happened(&mut self, who: &str, member: &str, value: Value, now: Millis) -> Hook {
        if let Some(customer) = self.customers.get_mut(who) {
            customer.active = Some(now);
        }
        self.webhook(who, member, value, now)
    }

    /// A webhook on its way to the gateway, signed.
    fn webhook(&mut self, who: &str, member: &str, value: Value, now: Millis) -> Hook {
        let brand = self.settings.brand().unwrap_or("sandbox");
        let name = self.customers.get(who).map(|c| c.name.clone()).unwrap_or_default();
        let mut user = Map::new();
        user.insert("userDeviceLocale".into(), json!("en-US"));
        if !name.is_empty() {
            user.insert("displayName".into(), json!(name));
        }
        let mut body = json!({
            "agent": format!("brands/{brand}/agents/{}", self.settings.agent()),
            "conversationId": who,
            "requestId": self.next_id(),
            "sendTime": dates::write(now),
            "context": {"entryPoint": "MAPS", "placeId": "ChIJsandbox", "userInfo": user,
                "resolvedLocale": "en"},
        });
        if let Some(body) = body.as_object_mut() {
            body.insert(member.to_owned(), value);
        }
        let body = body.to_string();
        let key = self.settings.keys().next();
        let signature = key.map(|key| sign(key, body.as_bytes())).unwrap_or_default();
        let request = Request::post_json(&self.hook_url, body);
        Hook::now(request.with_header(SIGNATURE_HEADER, signature))
    }
}
