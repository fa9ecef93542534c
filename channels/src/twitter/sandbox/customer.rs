//! What the emulated customers do, and the events that follow from it.

use super::upload::media;
use super::{CUSTOMER, CUSTOMERS_MAX, Customer, Sandbox, Stored};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::model::{Location, Millis};
use crate::twitter::config::is_user_id;
use serde_json::{Value, json};

fn cannot<T>(words: impl Into<String>) -> Result<T, CannotAct> {
    Err(CannotAct(words.into()))
}

impl Sandbox {
    /// Lets a customer do something.
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
                    return cannot("X does not tell which message is answered");
                }
                if text.chars().count() > 10_000 {
                    return cannot("X takes 10000 characters");
                }
                let id = self.customer(from.as_deref(), name.as_deref())?;
                let attachment = self.attached(attachment.as_ref(), location.as_ref(), now)?;
                if text.trim().is_empty() && attachment.is_none() {
                    return cannot("there is nothing to say");
                }
                let stored = Stored {
                    customer: id,
                    id: self.next_id(now),
                    from_us: false,
                    text: text.clone(),
                    attachment,
                    read: true,
                    at: now,
                };
                self.keep(stored.clone());
                Ok(vec![self.message_event(&stored, now)])
            }
            Action::Press { .. } => cannot("direct messages of X have no buttons: say it"),
            Action::Read { from } => self.reads(from.as_deref(), now),
            Action::React { .. } => cannot("X does not tell of reactions"),
            Action::Edit { .. } => cannot("direct messages of X cannot be changed"),
            Action::Block { from } => self.block(from.as_deref(), true),
            Action::Unblock { from } => self.block(from.as_deref(), false),
        }
    }

    /// The id of a customer who writes: known, or new.
    fn customer(&mut self, from: Option<&str>, name: Option<&str>) -> Result<String, CannotAct> {
        let id = from.map_or(CUSTOMER, str::trim);
        if !is_user_id(id) || id == self.settings.user_id {
            return cannot("a customer of X is a numeric id");
        }
        if self.customers.len() >= CUSTOMERS_MAX && !self.customers.contains_key(id) {
            return cannot("too many customers: start over");
        }
        let customer = self.customers.entry(id.to_owned()).or_insert_with(|| Customer {
            name: format!("Customer {id}"),
            username: format!("customer{id}"),
            blocked: false,
        });
        if customer.blocked {
            return cannot("this customer has blocked the account: unblock it first");
        }
        if let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) {
            name.clone_into(&mut customer.name);
        }
        Ok(id.to_owned())
    }

    /// What hangs on a message: X takes one file or one place.
    fn attached(
        &mut self,
        file: Option<&ActionAttachment>,
        place: Option<&Location>,
        now: Millis,
    ) -> Result<Option<Value>, CannotAct> {
        match (file, place) {
            (Some(_), Some(_)) => cannot("X takes one attachment per message"),
            (Some(file), None) => {
                let (kind, extension) = match file.mime.as_str() {
                    "image/jpeg" => ("photo", "jpg"),
                    "image/png" => ("photo", "png"),
                    "image/gif" => ("animated_gif", "mp4"),
                    "video/mp4" => ("video", "mp4"),
                    other => return cannot(format!("X carries no {other}: pictures and films only")),
                };
                let mime = if kind == "photo" { file.mime.as_str() } else { "video/mp4" };
                let bytes = file.content.clone().into();
                let link = self.keep_file(mime, extension, bytes, now);
                let id = self.next_id(now).to_string();
                Ok(Some(media(kind, &id, &link)))
            }
            (None, Some(place)) if place.is_valid() => Ok(Some(json!({
                "type": "location",
                "location": {
                    "type": "shared_coordinate",
                    "shared_coordinate": {"coordinates": {
                        "type": "Point", "coordinates": [place.longitude, place.latitude],
                    }},
                },
            }))),
            (None, Some(_)) => cannot("no such place"),
            (None, None) => Ok(None),
        }
    }

    /// Reads everything that was sent to the customer.
    fn reads(&mut self, from: Option<&str>, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        let id = self.customer(from, None)?;
        let mut last = None;
        for stored in &mut self.messages {
            if stored.customer == id && stored.from_us && !stored.read {
                stored.read = true;
                last = Some(stored.id);
            }
        }
        let Some(last) = last else {
            return cannot("there is nothing to read");
        };
        let payload = json!({"direct_message_mark_read_events": [{
            "created_timestamp": now.0.to_string(),
            "sender_id": id,
            "target": {"recipient_id": self.settings.user_id},
            "last_read_event_id": last.to_string(),
        }]});
        Ok(vec![self.event("dm.read", &payload, now)])
    }

    /// X tells nobody of being blocked.
    fn block(&mut self, from: Option<&str>, blocked: bool) -> Result<Vec<Hook>, CannotAct> {
        let id = from.map_or(CUSTOMER, str::trim);
        let Some(customer) = self.customers.get_mut(id) else {
            return cannot("no such customer");
        };
        if customer.blocked == blocked {
            return cannot("that changes nothing");
        }
        customer.blocked = blocked;
        Ok(Vec::new())
    }
}
