//! The content of each type of message, read strictly.

use super::{Fault, Message, Press, header_of, limit};
use crate::model::{Choice, ContactCard, Location, OutgoingAttachment};
use crate::whatsapp::plan;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    body: String,
    #[serde(rename = "preview_url")]
    _preview: Option<bool>,
}

impl Text {
    pub fn into_message(self, message: &mut Message) -> Result<(), Fault> {
        if self.body.trim().is_empty() {
            return Err(Fault::missing("text.body"));
        }
        if !plan::TEXT.fits(&self.body) {
            return Err(Fault::invalid("text.body has at most 4096 characters"));
        }
        message.text = self.body;
        Ok(())
    }
}

fn web(url: &str, place: &str) -> Result<(), Fault> {
    let good = url::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
    if good {
        Ok(())
    } else {
        Err(Fault::value(&format!("{place} is no http or https link")))
    }
}

/// Where a file comes from: a link or an upload, not both.
fn source(
    link: Option<String>,
    id: Option<String>,
    kind: &str,
    message: &mut Message,
) -> Result<(), Fault> {
    match (link, id) {
        (Some(link), None) => {
            web(&link, &format!("{kind}.link"))?;
            // The platform fetches later and looks at the type then; a known extension tells it now.
            let file = OutgoingAttachment::new("", &link);
            let takes = plan::capabilities()
                .media
                .iter()
                .find(|m| m.kind.name() == kind)
                .map(|m| m.mimes);
            let unknown = file.mime == "application/octet-stream";
            message.fetch_fails =
                !unknown && takes.is_some_and(|mimes| !mimes.contains(&file.mime.as_str()));
            message.extras.push(link);
            Ok(())
        }
        (None, Some(id)) => {
            message.extras.push(format!("{kind} {id}"));
            message.media_id = Some(id);
            Ok(())
        }
        _ => Err(Fault::invalid(&format!("{kind}: either link or id is required"))),
    }
}

/// Pictures, films and documents.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visual {
    link: Option<String>,
    id: Option<String>,
    caption: Option<String>,
    filename: Option<String>,
}

impl Visual {
    pub fn has_caption(&self) -> bool {
        self.caption.is_some()
    }

    pub fn into_message(self, kind: &str, message: &mut Message) -> Result<(), Fault> {
        source(self.link, self.id, kind, message)?;
        if self.filename.is_some() && kind != "document" {
            return Err(Fault::invalid(&format!("{kind}: only documents have a filename")));
        }
        if let Some(caption) = self.caption {
            if !plan::CAPTION.fits(&caption) {
                return Err(Fault::invalid(&format!("{kind}.caption has at most 1024 characters")));
            }
            message.text = caption;
        }
        message.extras.extend(self.filename);
        Ok(())
    }
}

/// Sound and stickers: no caption.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    link: Option<String>,
    id: Option<String>,
    voice: Option<bool>,
}

impl Sound {
    pub fn into_message(self, kind: &str, message: &mut Message) -> Result<(), Fault> {
        if self.voice.is_some() && kind != "audio" {
            return Err(Fault::invalid("only audio can be a voice note"));
        }
        source(self.link, self.id, kind, message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    latitude: f64,
    longitude: f64,
    name: Option<String>,
    address: Option<String>,
}

impl Place {
    pub fn into_message(self, message: &mut Message) -> Result<(), Fault> {
        let location = Location {
            latitude: self.latitude,
            longitude: self.longitude,
            name: self.name,
            address: self.address,
        };
        if !location.is_valid() {
            return Err(Fault::value("location: not on the globe"));
        }
        message.extras.push(location.as_text());
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    name: CardName,
    #[serde(default)]
    phones: Vec<Map<String, Value>>,
    #[serde(default)]
    emails: Vec<Map<String, Value>>,
    /// We send none of these three, but Meta takes them.
    #[serde(default)]
    urls: Vec<Map<String, Value>>,
    #[serde(default)]
    addresses: Vec<Map<String, Value>>,
    birthday: Option<String>,
    org: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardName {
    formatted_name: String,
    first_name: Option<String>,
    last_name: Option<String>,
    middle_name: Option<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

impl Card {
    pub fn into_message(self, message: &mut Message) -> Result<(), Fault> {
        let name = self.name;
        let pieces = [
            &name.first_name,
            &name.last_name,
            &name.middle_name,
            &name.prefix,
            &name.suffix,
        ];
        if name.formatted_name.trim().is_empty() || pieces.iter().all(|p| p.is_none()) {
            let rule = "contacts.name: formatted_name and one further piece are required";
            return Err(Fault::missing(rule));
        }
        let texts = |list: &[Map<String, Value>], key: &str| -> Result<Vec<String>, Fault> {
            let text = |m: &Map<String, Value>| m.get(key).and_then(Value::as_str).map(str::to_owned);
            let all = list.iter().map(text).collect::<Option<Vec<_>>>();
            all.ok_or_else(|| Fault::missing(&format!("contacts: {key}")))
        };
        let company = self.org.as_ref().and_then(|o| o.get("company"));
        let card = ContactCard {
            name: name.formatted_name,
            phones: texts(&self.phones, "phone")?,
            emails: texts(&self.emails, "email")?,
            organisation: company.and_then(Value::as_str).map(str::to_owned),
            ..ContactCard::default()
        };
        message.extras.push(card.as_text());
        message.extras.extend(texts(&self.urls, "url")?);
        let lines = self.addresses.iter().map(|address| {
            let pieces = address.values().filter_map(Value::as_str);
            pieces.collect::<Vec<_>>().join(", ")
        });
        message.extras.extend(lines);
        message.extras.extend(self.birthday);
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reaction {
    message_id: String,
    emoji: String,
}

impl Reaction {
    pub fn into_message(self, message: &mut Message) {
        message.target = Some(self.message_id);
        message.emoji = Some(self.emoji).filter(|e| !e.is_empty());
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interactive {
    #[serde(rename = "type")]
    kind: String,
    header: Option<Map<String, Value>>,
    body: Body,
    footer: Option<Body>,
    action: Action,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    /// `type: button`
    buttons: Option<Vec<Button>>,
    /// `type: list`
    button: Option<String>,
    sections: Option<Vec<Section>>,
    /// `type: cta_url`
    name: Option<String>,
    parameters: Option<Link>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Button {
    #[serde(rename = "type")]
    kind: String,
    reply: Reply,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    id: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    title: Option<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    title: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    display_text: String,
    url: String,
}

fn sized(text: &str, max: usize, place: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        Err(Fault::missing(place))
    } else if !limit(max).fits(text) {
        Err(Fault::invalid(&format!("{place} has at most {max} characters")))
    } else {
        Ok(())
    }
}

impl Interactive {
    pub fn into_message(self, message: &mut Message) -> Result<(), Fault> {
        sized(&self.body.text, plan::INTERACTIVE.max, "interactive.body.text")?;
        if let Some(footer) = &self.footer {
            sized(&footer.text, 60, "interactive.footer.text")?;
        }
        message.text = self.body.text;
        let action = self.action;
        match (self.kind.as_str(), action) {
            (
                "button",
                Action {
                    buttons: Some(buttons),
                    button: None,
                    sections: None,
                    name: None,
                    parameters: None,
                },
            ) => pressable(buttons, message)?,
            (
                "list",
                Action {
                    buttons: None,
                    button: Some(button),
                    sections: Some(sections),
                    name: None,
                    parameters: None,
                },
            ) => {
                sized(&button, 20, "interactive.action.button")?;
                if self.header.as_ref().is_some_and(|h| h.get("type") != Some(&"text".into())) {
                    return Err(Fault::invalid("interactive.header: lists take text only"));
                }
                rows(sections, message)?;
            }
            (
                "cta_url",
                Action {
                    buttons: None,
                    button: None,
                    sections: None,
                    name: Some(name),
                    parameters: Some(link),
                },
            ) if name == "cta_url" => {
                sized(&link.display_text, 20, "interactive.action.parameters.display_text")?;
                web(&link.url, "interactive.action.parameters.url")?;
                message.choices.push(Choice {
                    title: link.display_text,
                    payload: String::new(),
                    url: Some(link.url),
                });
            }
            (kind, _) => {
                let details = format!("interactive.action is none of type {kind}");
                return Err(Fault::invalid(&details));
            }
        }
        match self.header {
            Some(header) => header_of(header, message),
            None => Ok(()),
        }
    }
}

fn pressable(buttons: Vec<Button>, message: &mut Message) -> Result<(), Fault> {
    if !(1..=plan::BUTTONS_MAX).contains(&buttons.len()) {
        return Err(Fault::invalid("interactive.action.buttons: 1 to 3"));
    }
    for Button { kind, reply } in buttons {
        if kind != "reply" {
            return Err(Fault::invalid("interactive.action.buttons.type must be reply"));
        }
        sized(&reply.title, 20, "interactive.action.buttons.reply.title")?;
        sized(&reply.id, 256, "interactive.action.buttons.reply.id")?;
        offer(reply.id, reply.title, message)?;
    }
    Ok(())
}

fn rows(sections: Vec<Section>, message: &mut Message) -> Result<(), Fault> {
    let several = sections.len() > 1;
    message.press = Press::Row;
    for section in sections {
        match section.title {
            Some(title) => sized(&title, 24, "interactive.action.sections.title")?,
            None if several => return Err(Fault::missing("interactive.action.sections.title")),
            None => {}
        }
        for row in section.rows {
            sized(&row.title, 24, "interactive.action.sections.rows.title")?;
            sized(&row.id, 200, "interactive.action.sections.rows.id")?;
            if let Some(description) = &row.description {
                sized(description, 72, "interactive.action.sections.rows.description")?;
            }
            offer(row.id, row.title, message)?;
        }
    }
    if !(1..=plan::ROWS_MAX).contains(&message.choices.len()) {
        return Err(Fault::invalid("interactive.action.sections: 1 to 10 rows in all"));
    }
    Ok(())
}

fn offer(id: String, title: String, message: &mut Message) -> Result<(), Fault> {
    let taken = |c: &Choice| c.payload == id || c.title == title;
    if message.choices.iter().any(taken) {
        return Err(Fault::value("ids and titles of choices must differ"));
    }
    message.choices.push(Choice {
        title,
        payload: id,
        url: None,
    });
    Ok(())
}
