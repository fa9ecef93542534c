//! Message -> parts: what goes with what, where text is cut, and what is refused.

use super::config::Settings;
use crate::error::Refused;
use crate::kit::split::split;
use crate::model::{
    AttachmentKind, Capabilities, Choice, Idempotency, IdentityScope, MediaLimit, Outgoing, Pacing,
    Part, PartBody, Recipient, Support, Template, TextLimit, Unit,
};

const MIB: u64 = 1024 * 1024;

/// Attachments (page "Media", read November 2026). A type that is not listed goes as a document.
const MEDIA: &[MediaLimit] = &[
    MediaLimit {
        kind: AttachmentKind::Image,
        mimes: &["image/jpeg", "image/png"],
        max_bytes: 5 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Video,
        mimes: &["video/mp4", "video/3gpp"],
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Audio,
        mimes: &["audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"],
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Voice,
        mimes: &["audio/ogg"],
        max_bytes: 16 * MIB,
    },
    MediaLimit {
        kind: AttachmentKind::Sticker,
        mimes: &["image/webp"],
        max_bytes: 500 * 1024,
    },
    MediaLimit {
        kind: AttachmentKind::File,
        mimes: &[],
        max_bytes: 100 * MIB,
    },
];

const fn chars(max: usize) -> TextLimit {
    TextLimit {
        max,
        unit: Unit::Chars,
    }
}

/// Text of one message.
pub const TEXT: TextLimit = chars(4096);
/// Text with an attachment.
pub const CAPTION: TextLimit = chars(1024);
/// Text above buttons or a list.
pub const INTERACTIVE: TextLimit = chars(1024);
/// Reply buttons of one message.
pub const BUTTONS_MAX: usize = 3;
/// Rows of one list, over all its sections.
pub const ROWS_MAX: usize = 10;
/// Title of a button.
const BUTTON_TITLE: TextLimit = chars(20);
/// Payload of a button.
const BUTTON_ID: TextLimit = chars(256);
/// Title of a row.
const ROW_TITLE: TextLimit = chars(24);
/// Payload of a row.
const ROW_ID: TextLimit = chars(200);
/// Choices that go as a numbered text: as many as a person would read on a phone. Our own limit.
const CHOICES_MAX: usize = 30;
/// What a numbered list may take of a text, so that there is always room for text above it.
const NUMBERED: TextLimit = chars(3072);

/// What a channel of this kind can do.
pub fn capabilities() -> Capabilities {
    Capabilities {
        text: TEXT,
        caption: Some(CAPTION),
        media: MEDIA,
        album: 1,
        location: Support::Native,
        contact: Support::Native,
        reply: Support::Native,
        choices: Support::Native,
        max_choices: CHOICES_MAX,
        template: Support::Native,
        statuses: &["sent", "delivered", "read", "failed"],
        inbound: &[
            "message", "status", "edit", "delete", "reaction", "user", "notice", "unknown",
        ],
        window_hours: Some(24),
        idempotency: Idempotency::None,
        identity: IdentityScope::Phone,
        pacing: Pacing {
            // Meta takes 80 per second, inbound included (page "Throughput", read November 2026).
            rate_per_second: 70.0,
            rate_burst: 80,
            rate_per_recipient_per_second: Some(1.0 / 6.0),
            recipient_burst: 10,
            max_in_flight: 32,
        },
    }
}

/// Whom a message goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A telephone number: digits with the country code, no plus.
    Phone(String),
    /// A business-scoped user id.
    User(String),
    /// A group.
    Group(String),
}

/// What marks a group's id in an address.
pub const GROUP: &str = "group:";

/// Whether this is a business-scoped user id: country, a full stop, letters and digits; the form of a
/// parent portfolio has `ENT.` between.
pub fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Whether this is a number as WhatsApp writes it: E.164 without the plus.
pub fn is_wa_id(text: &str) -> bool {
    (7..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

impl Address {
    /// Reads an address: a number in any usual spelling, a user id, or `group:` and a group's id.
    ///
    /// # Errors
    /// When it is none of them; says why.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        let text = text.trim();
        if let Some(group) = text.strip_prefix(GROUP) {
            return if group.is_empty() || group.contains(char::is_whitespace) {
                Err(Refused::new("to", "group: must be followed by the group's id"))
            } else {
                Ok(Self::Group(group.to_owned()))
            };
        }
        if is_user_id(text) {
            return Ok(Self::User(text.to_owned()));
        }
        let separator = |c: char| c.is_whitespace() || matches!(c, '-' | '(' | ')' | '.' | '/');
        let bare: String = text.chars().filter(|c| !separator(*c)).collect();
        let digits = bare
            .strip_prefix('+')
            .or_else(|| bare.strip_prefix("00"))
            .unwrap_or(&bare);
        let why = if digits.is_empty() {
            "there is no number"
        } else if !digits.bytes().all(|b| b.is_ascii_digit()) {
            "it is neither a telephone number nor a WhatsApp user id"
        } else if digits.starts_with('0') {
            "the number must begin with the country code, not with 0"
        } else if !is_wa_id(digits) {
            "a telephone number has 7 to 15 digits with the country code"
        } else {
            return Ok(Self::Phone(digits.to_owned()));
        };
        Err(Refused::new("to", why))
    }

    /// The address as it is kept.
    pub fn recipient(self) -> Recipient {
        match self {
            Self::Phone(digits) => Recipient {
                phone: Some(format!("+{digits}")),
                ids: vec![digits.clone()],
                address: digits,
                email: None,
                thread: None,
                extra: None,
            },
            Self::User(id) => Recipient {
                phone: None,
                ids: vec![id.clone()],
                address: id,
                email: None,
                thread: None,
                extra: None,
            },
            Self::Group(id) => Recipient {
                address: format!("{GROUP}{id}"),
                ids: Vec::new(),
                phone: None,
                email: None,
                thread: Some(id),
                extra: None,
            },
        }
    }
}

/// The form in which choices go: the richest that shows every title whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Reply buttons.
    Buttons,
    /// One button that opens a link.
    Link,
    /// A list that opens on a press.
    List,
    /// Numbered lines below the text.
    Numbered,
}

/// The form in which these choices go.
pub fn offer(choices: &[Choice]) -> Offer {
    if let [only] = choices
        && only.url.is_some()
    {
        return if BUTTON_TITLE.fits(&only.title) {
            Offer::Link
        } else {
            Offer::Numbered
        };
    }
    let plain = choices.iter().all(|c| c.url.is_none());
    let fit = |title: TextLimit, id: TextLimit| {
        choices
            .iter()
            .all(|c| title.fits(&c.title) && id.fits(payload(c)))
    };
    // Both platform and person tell buttons apart by title; the answer tells them apart by payload.
    let distinct = (1..).zip(choices).all(|(next, choice)| {
        choices
            .iter()
            .skip(next)
            .all(|c| c.title != choice.title && payload(c) != payload(choice))
    });
    if !plain || !distinct {
        Offer::Numbered
    } else if choices.len() <= BUTTONS_MAX && fit(BUTTON_TITLE, BUTTON_ID) {
        Offer::Buttons
    } else if choices.len() <= ROWS_MAX && fit(ROW_TITLE, ROW_ID) {
        Offer::List
    } else {
        Offer::Numbered
    }
}

/// What comes back when a choice is made.
pub fn payload(choice: &Choice) -> &str {
    if choice.payload.is_empty() {
        &choice.title
    } else {
        &choice.payload
    }
}

/// The choices as lines: what goes below the text when they fit no button.
pub fn numbered(choices: &[Choice]) -> String {
    let mut lines = String::from("\n");
    for (number, choice) in (1..).zip(choices) {
        lines.push_str(&format!("\n{number}. {}", choice.title));
        if let Some(url) = &choice.url {
            lines.push_str(&format!(": {url}"));
        }
    }
    lines
}

/// Whether this kind of attachment can be shown with text.
pub fn has_caption(kind: AttachmentKind) -> bool {
    matches!(
        kind,
        AttachmentKind::Image | AttachmentKind::Video | AttachmentKind::File
    )
}

fn is_web(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

/// Cuts a message into parts.
///
/// # Errors
/// When WhatsApp cannot carry it; names the argument.
pub fn plan(
    message: &Outgoing,
    settings: &Settings,
    capabilities: &Capabilities,
) -> Result<Vec<Part>, Refused> {
    Address::parse(&message.to)?;
    if message.is_empty() {
        return Err(Refused::new("message", "there is nothing to send"));
    }
    if let Some(template) = &message.template {
        check_template(message, template, settings)?;
        let template = template.clone();
        return Ok(Part::sequence(message, vec![PartBody::Template { template }]));
    }
    check_choices(message)?;
    let mut bodies = attachments(message, capabilities)?;
    if let Some(location) = &message.location {
        if !location.is_valid() {
            let reason = "latitude must be within -90..90 and longitude within -180..180";
            return Err(Refused::new("location", reason));
        }
        let location = location.clone();
        bodies.push(PartBody::Location { location });
    }
    for contact in &message.contacts {
        if contact.name.trim().is_empty() {
            return Err(Refused::new("contacts", "WhatsApp takes no card without a name"));
        }
        let contact = contact.clone();
        bodies.push(PartBody::Contact { contact });
    }
    texts(message, &mut bodies);
    Ok(Part::sequence(message, bodies))
}

/// The attachments, one part each. A single one takes the text as its caption where that fits.
fn attachments(
    message: &Outgoing,
    capabilities: &Capabilities,
) -> Result<Vec<PartBody>, Refused> {
    let mut bodies = Vec::with_capacity(message.attachments.len() + 1);
    for attachment in &message.attachments {
        if !is_web(&attachment.url) {
            let reason = format!("the link of {} is no http or https link", attachment.name);
            return Err(Refused::new("attachments", reason));
        }
        let Some(kind) = capabilities.carried_as(attachment.kind, &attachment.mime) else {
            let reason = format!("WhatsApp carries no {}", attachment.mime);
            return Err(Refused::new("attachments", reason));
        };
        let mut attachment = attachment.clone();
        attachment.kind = kind;
        bodies.push(PartBody::Media {
            attachment,
            caption: None,
        });
    }
    Ok(bodies)
}

/// The text: as the caption of a single attachment, or as parts of its own after the rest, the last one
/// with the choices.
fn texts(message: &Outgoing, bodies: &mut Vec<PartBody>) {
    let text = message.text.as_str();
    if text.trim().is_empty() {
        return;
    }
    let offered = (!message.choices.is_empty()).then(|| offer(&message.choices));
    // Above buttons an attachment is a header; lists and numbered lines have none.
    let headed = matches!(offered, None | Some(Offer::Buttons | Offer::Link));
    // Choices go on the last part, so there an attachment must be the only one.
    let single = message.attachments.len() == 1 && (offered.is_none() || bodies.len() == 1);
    if let Some(PartBody::Media { attachment, caption }) = bodies.first_mut()
        && single
        && headed
        && has_caption(attachment.kind)
        && CAPTION.fits(text)
    {
        *caption = Some(text.to_owned());
        return;
    }
    let last = match offered {
        None => TEXT,
        Some(Offer::Numbered) => {
            chars(TEXT.max.saturating_sub(TEXT.unit.len(&numbered(&message.choices))))
        }
        Some(Offer::Buttons | Offer::Link | Offer::List) => INTERACTIVE,
    };
    let pieces = split_ending(text, last);
    bodies.extend(pieces.into_iter().map(|text| PartBody::Text { text }));
}

/// Splits at the limit of texts, but so that the last piece fits `last`.
fn split_ending(text: &str, last: TextLimit) -> Vec<String> {
    let mut pieces = seen(split(text, TEXT), TEXT);
    if let Some(end) = pieces.pop_if(|p| !last.fits(p)) {
        let mut ends = seen(split(&end, last), last);
        let tail = ends.pop().unwrap_or_default();
        pieces.extend([ends.concat(), tail]);
    }
    pieces
}

/// Pieces in each of which there is something to see: the platform refuses blank ones. A blank piece
/// takes the last word of the one before; where that is no help (thousands of spaces) it is left out,
/// since nobody would miss it.
fn seen(pieces: Vec<&str>, limit: TextLimit) -> Vec<String> {
    let mut out: Vec<String> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if !piece.trim().is_empty() {
            out.push(piece.to_owned());
            continue;
        }
        let Some(before) = out.last_mut() else {
            continue;
        };
        let words = before.trim_end();
        let word = words.rfind(char::is_whitespace).filter(|at| {
            words.get(..*at).is_some_and(|head| !head.trim().is_empty())
        });
        let Some(at) = word else { continue };
        let moved = before.split_off(at) + piece;
        if limit.fits(&moved) {
            out.push(moved);
        } else {
            let back = moved.strip_suffix(piece).unwrap_or(&moved);
            before.push_str(back);
        }
    }
    out
}

fn check_choices(message: &Outgoing) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    if message.choices.is_empty() {
        return Ok(());
    }
    if message.text.trim().is_empty() {
        return refuse("WhatsApp shows choices only below a text".to_owned());
    }
    if message.choices.len() > CHOICES_MAX {
        return refuse(format!("at most {CHOICES_MAX} choices"));
    }
    for choice in &message.choices {
        if choice.title.trim().is_empty() {
            return refuse("a choice has no title".to_owned());
        }
        if choice.url.as_ref().is_some_and(|u| !is_web(u)) {
            return refuse(format!("the link of {} is no http or https link", choice.title));
        }
    }
    if offer(&message.choices) == Offer::Numbered && !NUMBERED.fits(&numbered(&message.choices)) {
        return refuse("the choices together are too long".to_owned());
    }
    Ok(())
}

fn check_template(
    message: &Outgoing,
    template: &Template,
    settings: &Settings,
) -> Result<(), Refused> {
    let refuse = |reason: &str| Err(Refused::new("template", reason));
    let alone = message.text.trim().is_empty()
        && message.attachments.is_empty()
        && message.location.is_none()
        && message.contacts.is_empty();
    if !alone {
        return refuse("a template goes alone: its text and pictures are its parameters");
    }
    if !message.choices.is_empty() {
        let reason = "a template brings its own buttons";
        return Err(Refused::new("quick_replies", reason));
    }
    let name = &template.name;
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() || name.len() > 512 || !name.bytes().all(in_name) {
        return refuse("a template's name is made of lower-case letters, digits and underscores");
    }
    if languages(template, settings).is_empty() {
        return refuse("no language is named, and the channel has no template_language_chain");
    }
    if template.header.len() > 1 {
        return refuse("a header takes one parameter");
    }
    let named = template.body.iter().filter(|p| p.name.is_some()).count();
    if named != 0 && named != template.body.len() {
        return refuse("either all parameters of the body have a name or none has");
    }
    let mut shown = template.header.iter().chain(&template.body);
    if shown.any(|p| p.text.trim().is_empty()) {
        return refuse("a parameter is empty");
    }
    Ok(())
}

/// The languages in which a template is tried, in order: each as asked for and then without its
/// country, then the channel's own chain.
pub fn languages(template: &Template, settings: &Settings) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |language: &str| {
        if !language.is_empty() && !all.iter().any(|l| l == language) {
            all.push(language.to_owned());
        }
    };
    for language in &template.languages {
        // WhatsApp writes pt_BR; people and browsers write pt-BR.
        let language = language.trim().replace('-', "_");
        add(&language);
        add(language.split('_').next().unwrap_or_default());
    }
    for language in &settings.template_language_chain {
        add(language.trim());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MessageId;
    use crate::whatsapp::config::sandbox_settings;
    use serde_json::{Value, json};

    fn choice(title: &str) -> Choice {
        Choice {
            title: title.to_owned(),
            payload: format!("id-{title}"),
            url: None,
        }
    }

    fn planned(message: &Outgoing) -> Result<Vec<Part>, Refused> {
        let settings = Settings::read(sandbox_settings()).unwrap();
        plan(message, &settings, &capabilities())
    }

    fn texts_of(parts: &[Part]) -> Vec<usize> {
        let length = |p: &Part| match &p.body {
            PartBody::Text { text } => text.chars().count(),
            other => panic!("{other:?}"),
        };
        parts.iter().map(length).collect()
    }

    #[test]
    fn addresses_in_every_spelling() {
        let phone = |text: &str| Address::parse(text).map(Address::recipient);
        for text in ["+46 70 174-06 05", "0046701740605", "(46) 70.174/0605", "46701740605"] {
            let recipient = phone(text).unwrap();
            assert_eq!(recipient.address, "46701740605", "{text}");
            assert_eq!(recipient.phone.as_deref(), Some("+46701740605"));
            assert_eq!(recipient.ids, ["46701740605"]);
        }
        let user = phone("US.90817263544536271").unwrap();
        assert_eq!((user.address.as_str(), user.phone), ("US.90817263544536271", None));
        assert_eq!(phone("DE.ENT.abc12").unwrap().address, "DE.ENT.abc12");
        let group = phone("group:Y2FwaV9ncm91cA").unwrap();
        assert_eq!(group.thread.as_deref(), Some("Y2FwaV9ncm91cA"));
        assert!(group.ids.is_empty());
        for text in [
            "",
            " ",
            "+",
            "hello",
            "070-174 06 05",
            "123456",
            "1234567890123456",
            "+46a70174",
            "us.123",
            "US.",
            "group:",
            "group:a b",
            "4670\u{0661}740605",
        ] {
            assert_eq!(phone(text).unwrap_err().argument, "to", "{text}");
        }
    }

    #[test]
    fn choices_take_the_richest_form_that_shows_them_whole() {
        let all = |n: usize| (0..n).map(|i| choice(&format!("Choice {i}"))).collect::<Vec<_>>();
        let link = |title: &str| Choice {
            url: Some("https://shop.example/".to_owned()),
            ..choice(title)
        };
        let cases = [
            (all(1), Offer::Buttons),
            (all(3), Offer::Buttons),
            (all(4), Offer::List),
            (all(10), Offer::List),
            (all(11), Offer::Numbered),
            (vec![choice("twenty-one characters")], Offer::List),
            (vec![choice("a title of twenty-five ch.")], Offer::Numbered),
            (vec![choice("Yes"), choice("Yes")], Offer::Numbered),
            (vec![link("Open")], Offer::Link),
            (vec![link("Open the shop of shops")], Offer::Numbered),
            (vec![link("Open"), choice("No")], Offer::Numbered),
        ];
        for (choices, expected) in cases {
            assert_eq!(offer(&choices), expected, "{choices:?}");
        }
        let mut long = choice("Yes");
        long.payload = "x".repeat(257);
        assert_eq!(offer(&[long]), Offer::Numbered);
    }

    #[test]
    fn the_text_above_choices_is_short_and_what_is_before_goes_first() {
        let mut message = Outgoing::new(MessageId(1), "15550142233");
        message.choices = vec![choice("Yes"), choice("No")];
        for (length, expected) in [
            (1024, vec![1024]),
            (1025, vec![1024, 1]),
            (4096, vec![3072, 1024]),
            (4097, vec![4096, 1]),
            (9000, vec![4096, 4096, 808]),
            (10_000, vec![4096, 4096, 1024, 784]),
        ] {
            message.text = "x".repeat(length);
            assert_eq!(texts_of(&planned(&message).unwrap()), expected, "{length}");
        }
        // Numbered lines need room of their own.
        message.choices = (0..12).map(|i| choice(&format!("Choice {i}"))).collect();
        let room = 4096 - numbered(&message.choices).chars().count();
        message.text = "x".repeat(4096);
        assert_eq!(texts_of(&planned(&message).unwrap()), [room, 4096 - room]);
    }

    #[test]
    fn no_part_is_blank_and_no_text_is_lost() {
        let mut message = Outgoing::new(MessageId(1), "15550142233");
        for text in [
            format!("{} word{}", "x".repeat(4000), " ".repeat(500)),
            format!("{} last{}", "x".repeat(4091), "\n"),
            format!("{}\n\n", "x ".repeat(2048)),
        ] {
            message.text = text.clone();
            let parts = planned(&message).unwrap();
            let pieces: Vec<&str> = parts
                .iter()
                .map(|p| match &p.body {
                    PartBody::Text { text } => text.as_str(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(pieces.iter().all(|p| !p.trim().is_empty() && TEXT.fits(p)), "{pieces:?}");
            assert_eq!(pieces.concat(), text);
        }
        message.text = format!("a{}b", " ".repeat(9000));
        let parts = planned(&message).unwrap();
        assert!(texts_of(&parts).iter().all(|n| (1..=4096).contains(n)));
    }

    #[test]
    fn languages_are_tried_from_the_exact_to_the_general() {
        let settings = |chain: Value| {
            let mut value = sandbox_settings();
            value["template_language_chain"] = chain;
            Settings::read(value).unwrap()
        };
        let template = |languages: &[&str]| Template {
            name: "t".to_owned(),
            languages: languages.iter().map(|l| (*l).to_owned()).collect(),
            header: Vec::new(),
            body: Vec::new(),
            buttons: Vec::new(),
        };
        let chain = settings(json!(["en_US", "pt"]));
        assert_eq!(
            languages(&template(&["pt-BR", "es"]), &chain),
            ["pt_BR", "pt", "es", "en_US"]
        );
        assert_eq!(languages(&template(&[]), &chain), ["en_US", "pt"]);
        assert!(languages(&template(&[]), &settings(json!([]))).is_empty());
    }
}
