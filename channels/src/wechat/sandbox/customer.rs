//! The follower: what they do, and the callbacks that tell of it.

use super::{
    Allowance, CUSTOMER, CUSTOMERS_MAX, Customer, Line, MESSAGES_AFTER_MESSAGE, MESSAGES_AFTER_TAP,
    Sandbox,
};
use crate::kit::emulator::{Action, ActionAttachment, CannotAct, Hook};
use crate::kit::http::{Body, Request};
use crate::kit::secret::Secret;
use crate::model::{Location, Millis};
use crate::wechat::config::Mode;
use crate::wechat::crypt::{seal, signature};
use crate::wechat::plan;
use crate::wechat::xml::cdata;

/// Beginning of a button that stands for an item of the account's own menu: `menu:HELP`.
const OWN_MENU: &str = "menu:";

/// An element with text in it.
pub fn tagged(name: &str, text: &str) -> String {
    format!("<{name}>{}</{name}>", cdata(text))
}

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
                    return cannot("on WeChat nobody can answer a certain message");
                }
                let who = self.customer(from.as_deref(), name.as_deref())?;
                self.says(&who, text, attachment.as_ref(), location.as_ref(), now)
            }
            Action::Press { from, button } => {
                let who = self.customer(from.as_deref(), None)?;
                self.presses(&who, button, now)
            }
            Action::Block { from } => self.follows(from.as_deref(), false, now),
            Action::Unblock { from } => self.follows(from.as_deref(), true, now),
            Action::Read { .. } => cannot("WeChat does not tell what was read"),
            Action::React { .. } => cannot("WeChat has no reactions"),
            Action::Edit { .. } => cannot("messages cannot be changed on WeChat"),
        }
    }

    /// The follower who acts; whoever is not there yet comes into being.
    fn customer(&mut self, from: Option<&str>, name: Option<&str>) -> Result<String, CannotAct> {
        let id = from.unwrap_or(CUSTOMER);
        let id = plan::recipient(id).map_err(|refused| CannotAct(refused.reason))?.address;
        if !self.customers.contains_key(&id) {
            if self.customers.len() >= CUSTOMERS_MAX {
                return cannot("there are too many people here already");
            }
            let newcomer = Customer {
                follows: true,
                ..Customer::default()
            };
            self.customers.insert(id.clone(), newcomer);
        }
        if let (Some(customer), Some(name)) = (self.customers.get_mut(&id), name) {
            customer.name = name.to_owned();
        }
        Ok(id)
    }

    /// Messages can be written by followers only.
    fn check_follows(&self, who: &str) -> Result<(), CannotAct> {
        if self.customers.get(who).is_some_and(|c| c.follows) {
            return Ok(());
        }
        cannot("has blocked the account: take that back first")
    }

    fn says(
        &mut self,
        who: &str,
        text: &str,
        attachment: Option<&ActionAttachment>,
        location: Option<&Location>,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        self.check_follows(who)?;
        // One kind of content each: WeChat's pictures have no captions.
        let mut messages: Vec<(&str, String, String, Vec<String>)> = Vec::new();
        if let Some(file) = attachment {
            let (kind, element) = self.sent_file(file, now)?;
            messages.push((kind, element, String::new(), vec![format!("{kind}: {}", file.name)]));
        }
        if !text.is_empty() {
            messages.push(("text", tagged("Content", text), text.to_owned(), Vec::new()));
        }
        if let Some(place) = location {
            let label = place.name.as_ref().or(place.address.as_ref());
            let element = format!(
                "<Location_X>{}</Location_X><Location_Y>{}</Location_Y><Scale>16</Scale>{}",
                place.latitude,
                place.longitude,
                tagged("Label", label.map_or("", String::as_str)),
            );
            messages.push(("location", element, String::new(), vec![place.as_text()]));
        }
        if messages.is_empty() {
            return cannot("there is nothing to say");
        }
        let hooks = messages.into_iter().map(|(kind, element, text, extras)| {
            let mut line = self.line(who, false, now);
            line.text = text;
            line.extras = extras;
            let id = line.id.clone();
            self.keep(Line {
                shown: line,
                menu: Vec::new(),
            });
            let element = format!("{element}<MsgId>{id}</MsgId>");
            self.callback(who, kind, &element, now)
        });
        let hooks = hooks.collect();
        self.allow(who, now, true);
        Ok(hooks)
    }

    /// A file that the follower sends: its kind and its element.
    fn sent_file(
        &mut self,
        file: &ActionAttachment,
        now: Millis,
    ) -> Result<(&'static str, String), CannotAct> {
        let kind = match file.mime.split('/').next() {
            Some("image") => "image",
            Some("audio") => "voice",
            Some("video") => "video",
            _ => return cannot("people send pictures, voice notes and films over WeChat, no files"),
        };
        let bytes = file.content.clone().into();
        let id = self.keep_file(kind, &file.name, &file.mime, bytes, now);
        let mut element = tagged("MediaId", &id);
        match kind {
            "image" => {
                let link = format!("http://pictures.example.cn/{id}/0");
                element = tagged("PicUrl", &link) + &element;
            }
            "voice" => element += &tagged("Format", "amr"),
            _ => element += &tagged("ThumbMediaId", &format!("{id}_THUMB")),
        }
        Ok((kind, element))
    }

    /// An item of a menu that we sent comes back as text with its id; one of the account's own menu
    /// (`menu:KEY`) as an event.
    fn presses(&mut self, who: &str, button: &str, now: Millis) -> Result<Vec<Hook>, CannotAct> {
        self.check_follows(who)?;
        let lines = self.lines.iter().rev();
        let mut lines = lines.filter(|line| line.shown.customer == who && line.shown.from_gateway);
        let pressed = lines.find_map(|line| {
            let mut items = line.menu.iter();
            items.find(|(id, title)| id == button || title == button).cloned()
        });
        let Some((id, title)) = pressed else {
            let Some(key) = button.strip_prefix(OWN_MENU).filter(|key| !key.is_empty()) else {
                return cannot(format!("no message offers {button:?}"));
            };
            self.allow(who, now, false);
            return Ok(vec![self.happened(who, "CLICK", &tagged("EventKey", key), now)]);
        };
        let mut line = self.line(who, false, now);
        line.text.clone_from(&title);
        let number = line.id.clone();
        self.keep(Line {
            shown: line,
            menu: Vec::new(),
        });
        let element = format!(
            "{}<MsgId>{number}</MsgId>{}",
            tagged("Content", &title),
            tagged("bizmsgmenuid", &id)
        );
        self.allow(who, now, false);
        Ok(vec![self.callback(who, "text", &element, now)])
    }

    fn follows(
        &mut self,
        from: Option<&str>,
        follows: bool,
        now: Millis,
    ) -> Result<Vec<Hook>, CannotAct> {
        let who = self.customer(from, None)?;
        if let Some(customer) = self.customers.get_mut(&who) {
            customer.follows = follows;
        }
        let event = if follows { "subscribe" } else { "unsubscribe" };
        if follows {
            self.allow(&who, now, false);
        }
        Ok(vec![self.happened(&who, event, "<EventKey></EventKey>", now)])
    }

    /// What the person did allows messages: for two days when they wrote, else for a minute.
    fn allow(&mut self, who: &str, now: Millis, wrote: bool) {
        let Some(customer) = self.customers.get_mut(who) else {
            return;
        };
        if wrote {
            customer.wrote = Some(Allowance::of(now, MESSAGES_AFTER_MESSAGE));
        } else {
            customer.tapped = Some(Allowance::of(now, MESSAGES_AFTER_TAP));
        }
    }

    /// An event on its way to the gateway.
    pub fn happened(&mut self, who: &str, event: &str, elements: &str, now: Millis) -> Hook {
        let elements = format!("{}{elements}", tagged("Event", event));
        self.callback(who, "event", &elements, now)
    }

    /// A callback on its way to the gateway: signed, and encrypted as the mode says.
    fn callback(&mut self, who: &str, kind: &str, elements: &str, now: Millis) -> Hook {
        let account = self.settings.original_id.clone();
        let account = tagged("ToUserName", account.as_deref().unwrap_or("gh_5a0db0c5a0db"));
        let seconds = now.0.div_euclid(1000);
        let fields = format!(
            "{account}{}<CreateTime>{seconds}</CreateTime>{}{elements}",
            tagged("FromUserName", who),
            tagged("MsgType", kind),
        );
        let (time, nonce) = (seconds.to_string(), self.next_id().to_string());
        let token = self.settings.token.first().map_or("", Secret::expose);
        let mut query = format!(
            "signature={}&timestamp={time}&nonce={nonce}&openid={who}",
            signature(&[token, &time, &nonce])
        );
        let plain = format!("<xml>{fields}</xml>");
        let key = self.settings.keys().next();
        let body = match (self.settings.mode, key) {
            (Mode::Compat | Mode::Safe, Some(key)) => {
                let mut random = [b'0'; 16];
                for (byte, digit) in random.iter_mut().zip(nonce.bytes().rev()) {
                    *byte = digit;
                }
                let app_id = &self.settings.app_id;
                let sealed = seal(&key, random, plain.as_bytes(), app_id);
                let signed = signature(&[token, &time, &nonce, &sealed]);
                query += &format!("&encrypt_type=aes&msg_signature={signed}");
                let open = if self.settings.mode == Mode::Compat { &fields } else { &account };
                format!("<xml>{open}{}</xml>", tagged("Encrypt", &sealed))
            }
            _ => plain,
        };
        let separator = if self.hook_url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}{query}", self.hook_url);
        let mut request = Request::post_json(url, String::new()).with_header("content-type", "text/xml");
        request.body = Body::Raw(body.into());
        Hook::now(request)
    }
}
