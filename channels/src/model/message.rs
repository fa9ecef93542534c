//! What a message is made of, inbound and outbound.

use super::ids::{MessageId, Millis};
use super::mail::MailHead;
use serde::{Deserialize, Serialize};

/// What kind of thing an attachment is, as far as a person is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentKind {
    /// A still picture.
    Image,
    /// A film, round ones and short loops included.
    Video,
    /// Sound: music or a recording.
    Audio,
    /// A voice note, recorded in the platform's app.
    Voice,
    /// A sticker.
    Sticker,
    /// Anything else.
    File,
}

impl AttachmentKind {
    /// The name under which the kind is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Voice => "voice",
            Self::Sticker => "sticker",
            Self::File => "file",
        }
    }

    /// The kind that a MIME type suggests; [`AttachmentKind::File`] when it suggests none.
    pub fn from_mime(mime: &str) -> Self {
        match mime.split(['/', ';']).next().unwrap_or_default().trim() {
            "image" => Self::Image,
            "video" => Self::Video,
            "audio" => Self::Audio,
            _ => Self::File,
        }
    }
}

/// Where the bytes of an inbound attachment are to be had. Opaque outside its channel, and never
/// shown to anyone: it may carry a secret or a link that is only good with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRef {
    /// The platform's id of the file, or its link.
    pub reference: String,
    /// The message or account that the reference belongs to, where the platform wants it named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl MediaRef {
    /// A reference that needs nothing beside itself.
    pub fn new(reference: impl Into<String>) -> Self {
        Self {
            reference: reference.into(),
            scope: None,
        }
    }
}

/// An attachment that a platform announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// What it is.
    pub kind: AttachmentKind,
    /// The file name that the sender gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The MIME type that the platform stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// Size in bytes that the platform stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Where to get it. `None` when the platform announced it but will not hand it out (too big).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaRef>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees, north positive.
    pub latitude: f64,
    /// Degrees, east positive.
    pub longitude: f64,
    /// What the place is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Location {
    /// Whether the coordinates are numbers on the globe.
    pub fn is_valid(&self) -> bool {
        (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude)
    }

    /// The place as text, for platforms that know no places: name, address, then a map link.
    pub fn as_text(&self) -> String {
        let mut lines: Vec<String> = Vec::with_capacity(3);
        lines.extend(self.name.clone());
        lines.extend(self.address.clone());
        lines.push(format!(
            "https://maps.google.com/?q={},{}",
            self.latitude, self.longitude
        ));
        lines.join("\n")
    }
}

/// A contact card.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContactCard {
    /// The name as shown.
    pub name: String,
    /// Given name, where it is known apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Family name, where it is known apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Telephone numbers as written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// Company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
}

impl ContactCard {
    /// The card as text, for platforms that know no cards: name, then a line per number and address.
    pub fn as_text(&self) -> String {
        let mut lines = vec![self.name.clone()];
        lines.extend(self.organisation.clone());
        lines.extend(self.phones.iter().cloned());
        lines.extend(self.emails.iter().cloned());
        lines.join("\n")
    }
}

/// A structured answer of a person: a pressed button, a chosen row, a filled form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Structured {
    /// What the bot put behind the button: id or payload.
    pub payload: String,
    /// What the person saw on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The platform id of the message that carried the button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
}

/// A choice offered to a person: a quick reply or a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What the person sees.
    pub title: String,
    /// What comes back when it is chosen; the title where none was given.
    pub payload: String,
    /// Opens this link instead of answering.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A parameter of a template: by position, or by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateText {
    /// The parameter's name, for templates with named parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its text; for a header of a picture, film or document its link.
    pub text: String,
}

/// A message that the platform has approved beforehand, sent by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The template's name.
    pub name: String,
    /// Languages in the order in which they are tried.
    pub languages: Vec<String>,
    /// Parameters of the header.
    #[serde(default)]
    pub header: Vec<TemplateText>,
    /// Parameters of the body.
    #[serde(default)]
    pub body: Vec<TemplateText>,
    /// Parameters of the buttons, in the order of the buttons.
    #[serde(default)]
    pub buttons: Vec<TemplateText>,
}

/// An attachment to be sent: a name and a link, as the chat backend gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutgoingAttachment {
    /// The file name shown to the recipient.
    pub name: String,
    /// Public `http(s)` link of the bytes.
    pub url: String,
    /// What it is, guessed from name and link when the attachment was accepted.
    pub kind: AttachmentKind,
    /// MIME type guessed from name and link.
    pub mime: String,
}

impl OutgoingAttachment {
    /// An attachment whose kind and type follow from the extension of its name, or else of its link.
    pub fn new(name: impl Into<String>, url: impl Into<String>) -> Self {
        let (name, url) = (name.into(), url.into());
        let path = url::Url::parse(&url)
            .map(|u| u.path().to_owned())
            .unwrap_or_default();
        let mime = mime_guess::from_path(&name)
            .first()
            .or_else(|| mime_guess::from_path(&path).first())
            .map_or_else(
                || "application/octet-stream".to_owned(),
                |m| m.essence_str().to_owned(),
            );
        let kind = AttachmentKind::from_mime(&mime);
        let name = if name.trim().is_empty() {
            path.rsplit('/')
                .find(|s| !s.is_empty())
                .unwrap_or("file")
                .to_owned()
        } else {
            name
        };
        Self {
            name,
            url,
            kind,
            mime,
        }
    }
}

/// Whom a message goes to, in the terms of one platform. Made by `Channel::recipient` from what a
/// caller wrote, or kept on the conversation from what the person last sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// What `render` writes into the request.
    pub address: String,
    /// The platform's ids of this person, the best first. Empty for groups.
    pub ids: Vec<String>,
    /// Telephone number in E.164 (`+` and digits), where the address is one.
    pub phone: Option<String>,
    /// E-mail address, where the address is one.
    pub email: Option<String>,
    /// Set where the conversation is not simply "with this person": a group, a topic, a mail thread.
    pub thread: Option<String>,
    /// What the seeds' clients find in the conversation's `extra` (Telegram: the chat id).
    pub extra: Option<String>,
}

/// In whose name a message goes out, for platforms that show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// The name.
    pub name: String,
    /// Public link of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// A message on its way out, before it is cut into parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Our id of the message.
    pub id: MessageId,
    /// Whom it goes to: [`Recipient::address`].
    pub to: String,
    /// The text, possibly empty.
    pub text: String,
    /// Attachments in order.
    pub attachments: Vec<OutgoingAttachment>,
    /// A place to be sent.
    pub location: Option<Location>,
    /// Contact cards to be sent.
    pub contacts: Vec<ContactCard>,
    /// The platform's id of the message that this one answers.
    pub reply_to: Option<String>,
    /// Choices offered with the message.
    pub choices: Vec<Choice>,
    /// An approved template instead of text.
    pub template: Option<Template>,
    /// After this the message is worthless; platforms that can be told are told.
    pub expires_at: Option<Millis>,
    /// In whose name it goes out, for platforms that show it.
    pub author: Option<Author>,
    /// What a mail has beside its content.
    pub mail: MailHead,
}

impl Outgoing {
    /// A message of nothing, to be filled.
    pub fn new(id: MessageId, to: impl Into<String>) -> Self {
        Self {
            id,
            to: to.into(),
            text: String::new(),
            attachments: Vec::new(),
            location: None,
            contacts: Vec::new(),
            reply_to: None,
            choices: Vec::new(),
            template: None,
            expires_at: None,
            author: None,
            mail: MailHead::default(),
        }
    }

    /// Whether there is nothing in it that a person would see.
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
            && self.attachments.is_empty()
            && self.location.is_none()
            && self.contacts.is_empty()
            && self.template.is_none()
    }
}
