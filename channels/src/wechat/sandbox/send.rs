//! Messages of ours.

use super::api::{Done, Fault, ok};
use super::customer::tagged;
use super::{Line, Sandbox, TAP_MILLIS, WINDOW_MILLIS};
use crate::kit::emulator::{Exchange, Hook};
use crate::kit::http::Response;
use crate::model::Millis;
use serde_json::{Map, Value, json};

/// The most bytes of a text.
const TEXT_MAX_BYTES: usize = 2048;

/// A JSON object.
type Fields = Map<String, Value>;

/// What a message shows.
#[derive(Default)]
struct Shown {
    text: String,
    extras: Vec<String>,
    menu: Vec<(String, String)>,
}

impl Sandbox {
    /// A custom message.
    pub fn send(&mut self, fields: &Fields, now: Millis) -> Done {
        let to = text(fields, "touser").ok_or(Fault::OPENID)?;
        let kind = text(fields, "msgtype").ok_or(Fault(40008, "invalid message type"))?;
        let known = |name: &String| {
            ["touser", "msgtype", "customservice", kind].contains(&name.as_str())
        };
        if !fields.keys().all(known) {
            return Err(Fault::BROKEN);
        }
        self.reachable(to)?;
        let empty = Fields::new();
        let content = fields.get(kind).and_then(Value::as_object).unwrap_or(&empty);
        let shown = self.shown(kind, content, now)?;
        self.spend(to, now)?;
        let mut line = self.line(to, true, now);
        line.text = shown.text;
        line.extras = shown.extras;
        line.buttons = shown.menu.iter().map(|(_, title)| title.clone()).collect();
        self.keep(Line {
            shown: line,
            menu: shown.menu,
        });
        Ok(ok().into())
    }

    /// What a message of this kind shows, if it is one.
    fn shown(&self, kind: &str, content: &Fields, now: Millis) -> Result<Shown, Fault> {
        let file = |kind: &str| {
            let id = text(content, "media_id").ok_or(Fault(41006, "media_id missing"))?;
            self.file(id, kind, now).map(|file| file.name.clone())
        };
        let extra = |words: String| Shown {
            extras: vec![words],
            ..Shown::default()
        };
        match kind {
            "text" => Ok(Shown {
                text: words(content, "content")?.ok_or(Fault(44004, "empty content"))?,
                ..Shown::default()
            }),
            "image" | "voice" => Ok(extra(format!("{kind}: {}", file(kind)?))),
            "video" => {
                let name = file(kind)?;
                let title = words(content, "title")?.unwrap_or(name);
                Ok(extra(format!("video: {title}")))
            }
            "news" => {
                let articles = content.get("articles").and_then(Value::as_array);
                let one = match articles.map(Vec::as_slice) {
                    Some([one]) => one.as_object(),
                    _ => return Err(Fault(45008, "article size out of limit")),
                };
                let one = one.ok_or(Fault::BROKEN)?;
                let title = words(one, "title")?.ok_or(Fault(45003, "title missing"))?;
                let url = words(one, "url")?.unwrap_or_default();
                Ok(extra(format!("{title}: {url}")))
            }
            "msgmenu" => {
                let head = words(content, "head_content")?.unwrap_or_default();
                let list = content.get("list").and_then(Value::as_array);
                let list = list.filter(|list| !list.is_empty()).ok_or(Fault::BROKEN)?;
                let item = |item: &Value| {
                    let item = item.as_object()?;
                    Some((text(item, "id")?.to_owned(), text(item, "content")?.to_owned()))
                };
                let menu: Option<Vec<_>> = list.iter().map(item).collect();
                Ok(Shown {
                    text: head,
                    menu: menu.ok_or(Fault::BROKEN)?,
                    ..Shown::default()
                })
            }
            _ => Err(Fault(40008, "invalid message type")),
        }
    }

    /// A template: the sandbox takes every one as approved, except those whose id begins with
    /// `unknown`.
    pub fn template(&mut self, fields: &Fields, now: Millis) -> Done {
        let to = text(fields, "touser").ok_or(Fault::OPENID)?.to_owned();
        let template = text(fields, "template_id").unwrap_or_default();
        if template.is_empty() || template.starts_with("unknown") {
            return Err(Fault(40037, "invalid template_id"));
        }
        self.reachable(&to)?;
        let broken = Fault(47003, "argument invalid!");
        let data = fields.get("data").and_then(Value::as_object).ok_or(broken)?;
        let row = |(name, value): (&String, &Value)| {
            Some(format!("{name}: {}", value.get("value")?.as_str()?))
        };
        let rows: Option<Vec<String>> = data.iter().map(row).collect();
        let mut line = self.line(&to, true, now);
        line.text = rows.ok_or(broken)?.join("\n");
        line.extras = vec![format!("template {template}")];
        line.extras.extend(text(fields, "url").map(str::to_owned));
        let id: i64 = line.id.parse().unwrap_or_default();
        self.keep(Line {
            shown: line,
            menu: Vec::new(),
        });
        let elements = format!("<MsgID>{id}</MsgID>{}", tagged("Status", "success"));
        let hook: Hook = self.happened(&to, "TEMPLATESENDJOBFINISH", &elements, now);
        let body = json!({"errcode": 0, "errmsg": "ok", "msgid": id});
        Ok(Exchange {
            response: Response::json(200, body.to_string()),
            hooks: vec![hook],
        })
    }

    /// Whether somebody is there and follows.
    fn reachable(&self, to: &str) -> Result<(), Fault> {
        match self.customers.get(to) {
            Some(customer) if customer.follows => Ok(()),
            Some(_) => Err(Fault(43004, "require subscribe")),
            None => Err(Fault::OPENID),
        }
    }

    /// Takes one of the messages that the person's last action allows.
    fn spend(&mut self, to: &str, now: Millis) -> Result<(), Fault> {
        let customer = self.customers.get_mut(to).ok_or(Fault::OPENID)?;
        let allowances = [
            (customer.wrote.as_mut(), WINDOW_MILLIS),
            (customer.tapped.as_mut(), TAP_MILLIS),
        ];
        let mut open = false;
        for (allowance, millis) in allowances {
            let Some(allowance) = allowance.filter(|a| a.is_open(now, millis)) else {
                continue;
            };
            open = true;
            if allowance.left > 0 {
                allowance.left -= 1;
                return Ok(());
            }
        }
        Err(if open {
            Fault(45047, "out of response count limit")
        } else {
            Fault(45015, "response out of time limit or subscription is canceled")
        })
    }
}

/// A word that is there and not empty.
fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    let text = fields.get(name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

/// Text that may be missing, but may not be too long or anything else.
fn words(fields: &Fields, name: &str) -> Result<Option<String>, Fault> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() > TEXT_MAX_BYTES => {
            Err(Fault(45002, "content size out of limit"))
        }
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Fault::BROKEN),
    }
}
