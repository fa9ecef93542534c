//! Looks at a message as Google did: one fault at a time, named by its place.

use super::Fault;
use crate::google_business_messages::parse::LIVE_AGENT;
use crate::google_business_messages::plan::{
    CAPTION, CARD_SUGGESTIONS_MAX, CAROUSEL_MAX, POSTBACK_MAX, SUGGESTIONS_MAX, TEXT, TITLE_MAX,
    e164,
};
use serde_json::{Map, Value};
use url::Url;

/// The title of a card, in characters.
const CARD_TITLE_MAX: usize = 200;

/// An id that we give: a UUID, or something as short.
const ID_MAX: usize = 64;

/// What can be pressed on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub title: String,
    pub payload: String,
    /// What comes back when it is pressed.
    pub kind: OfferKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferKind {
    Reply,
    Action,
    LiveAgent,
}

/// What of a message stands on a phone.
#[derive(Debug)]
pub struct Content {
    pub id: String,
    pub text: String,
    pub extras: Vec<String>,
    pub offers: Vec<Offer>,
}

type Fields = Map<String, Value>;

/// Checks a message.
pub fn message(fields: &Fields) -> Result<Content, Fault> {
    let all = [
        "messageId", "name", "representative", "text", "image", "richCard", "fallback",
        "suggestions", "containsRichText",
    ];
    known(fields, &all, "message")?;
    let id = word(fields, "messageId", "message")?.unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(plain) {
        return Err(Fault::argument("message.messageId must be set to an id of 1 to 64 characters"));
    }
    representative(fields.get("representative"))?;
    if word(fields, "fallback", "message")?.is_some_and(|fallback| !TEXT.fits(fallback)) {
        return Err(Fault::argument("message.fallback has more than 3072 characters"));
    }
    let mut content = Content {
        id: id.to_owned(),
        text: String::new(),
        extras: Vec::new(),
        offers: Vec::new(),
    };
    let of = |name: &str| fields.get(name).and_then(Value::as_object);
    let text = word(fields, "text", "message")?;
    match (text, of("image"), of("richCard")) {
        (Some(text), None, None) => {
            if text.trim().is_empty() || !TEXT.fits(text) {
                return Err(Fault::argument("message.text must have 1 to 3072 characters"));
            }
            text.clone_into(&mut content.text);
        }
        (None, Some(image), None) => {
            known(image, &["contentInfo"], "message.image")?;
            content.extras.push(content_info(image, "message.image")?);
        }
        (None, None, Some(rich)) => rich_card(rich, &mut content)?,
        _ => {
            return Err(Fault::argument("message must have one of text, image and richCard"));
        }
    }
    let offers = suggestions(fields, "message", SUGGESTIONS_MAX)?;
    content.offers.extend(offers);
    Ok(content)
}

/// Fields that there are, and no others.
pub fn known(fields: &Fields, names: &[&str], place: &str) -> Result<(), Fault> {
    match fields.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => {
            let words = format!("Unknown name \"{key}\" at '{place}': Cannot find field.");
            Err(Fault::argument(words))
        }
        None => Ok(()),
    }
}

/// As whom a message is sent.
pub fn representative(given: Option<&Value>) -> Result<(), Fault> {
    let missing = || Fault::argument("message.representative.representativeType must be set");
    let fields = given.and_then(Value::as_object).ok_or_else(missing)?;
    known(fields, &["representativeType", "displayName", "avatarImage"], "message.representative")?;
    let kind = fields.get("representativeType").and_then(Value::as_str);
    if !matches!(kind, Some("BOT" | "HUMAN")) {
        return Err(missing());
    }
    let avatar = word(fields, "avatarImage", "message.representative")?;
    if avatar.is_some_and(|link| !is_link(link, &["https"])) {
        return Err(Fault::argument("message.representative.avatarImage must be a https link"));
    }
    Ok(())
}

/// A text that may be absent.
fn word<'a>(fields: &'a Fields, name: &str, place: &str) -> Result<Option<&'a str>, Fault> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Fault::argument(format!("Invalid value at '{place}.{name}' (TYPE_STRING)"))),
    }
}

fn is_link(link: &str, schemes: &[&str]) -> bool {
    Url::parse(link).is_ok_and(|url| schemes.contains(&url.scheme()) && url.has_host())
}

/// Where a picture is to be had.
fn content_info(fields: &Fields, place: &str) -> Result<String, Fault> {
    let place = format!("{place}.contentInfo");
    let info = fields.get("contentInfo").and_then(Value::as_object);
    let info = info.ok_or_else(|| Fault::argument(format!("{place} must be set")))?;
    known(info, &["fileUrl", "thumbnailUrl", "altText", "forceRefresh"], &place)?;
    let file = word(info, "fileUrl", &place)?.unwrap_or_default();
    let thumbnail = word(info, "thumbnailUrl", &place)?;
    if !is_link(file, &["https"]) || thumbnail.is_some_and(|link| !is_link(link, &["https"])) {
        return Err(Fault::argument(format!("{place}.fileUrl must be a https link")));
    }
    word(info, "altText", &place)?;
    Ok(format!("image: {file}"))
}

fn rich_card(rich: &Fields, content: &mut Content) -> Result<(), Fault> {
    known(rich, &["standaloneCard", "carouselCard"], "message.richCard")?;
    let of = |name: &str| rich.get(name).and_then(Value::as_object);
    match (of("standaloneCard"), of("carouselCard")) {
        (Some(card), None) => {
            known(card, &["cardContent"], "message.richCard.standaloneCard")?;
            let place = "message.richCard.standaloneCard.cardContent";
            card_content(card.get("cardContent"), place, content)
        }
        (None, Some(carousel)) => {
            let place = "message.richCard.carouselCard";
            known(carousel, &["cardWidth", "cardContents"], place)?;
            if !matches!(word(carousel, "cardWidth", place)?, Some("SMALL" | "MEDIUM")) {
                return Err(Fault::argument(format!("{place}.cardWidth must be SMALL or MEDIUM")));
            }
            let cards = carousel.get("cardContents").and_then(Value::as_array);
            let cards = cards.map_or(&[][..], Vec::as_slice);
            if !(2..=CAROUSEL_MAX).contains(&cards.len()) {
                return Err(Fault::argument(format!("{place}.cardContents must hold 2 to 10 cards")));
            }
            cards.iter().enumerate().try_for_each(|(i, card)| {
                card_content(Some(card), &format!("{place}.cardContents[{i}]"), content)
            })
        }
        _ => Err(Fault::argument("message.richCard must have one card or one carousel")),
    }
}

fn card_content(card: Option<&Value>, place: &str, content: &mut Content) -> Result<(), Fault> {
    let card = card.and_then(Value::as_object);
    let card = card.ok_or_else(|| Fault::argument(format!("{place} must be set")))?;
    known(card, &["title", "description", "media", "suggestions"], place)?;
    let title = word(card, "title", place)?.filter(|title| !title.is_empty());
    let description = word(card, "description", place)?;
    let media = card.get("media").and_then(Value::as_object);
    if title.is_none() && media.is_none() {
        return Err(Fault::argument(format!("{place} must have a title or media")));
    }
    if title.is_some_and(|title| title.chars().count() > CARD_TITLE_MAX) {
        return Err(Fault::argument(format!("{place}.title has more than 200 characters")));
    }
    if description.is_some_and(|description| !CAPTION.fits(description)) {
        return Err(Fault::argument(format!("{place}.description has more than 2000 characters")));
    }
    if let Some(media) = media {
        let place = format!("{place}.media");
        known(media, &["height", "contentInfo"], &place)?;
        if !matches!(word(media, "height", &place)?, Some("SHORT" | "MEDIUM" | "TALL")) {
            return Err(Fault::argument(format!("{place}.height must be SHORT, MEDIUM or TALL")));
        }
        content.extras.push(content_info(media, &place)?);
    }
    for words in [title, description].into_iter().flatten() {
        if !content.text.is_empty() {
            content.text.push('\n');
        }
        content.text.push_str(words);
    }
    content.offers.extend(suggestions(card, place, CARD_SUGGESTIONS_MAX)?);
    Ok(())
}

fn suggestions(fields: &Fields, place: &str, most: usize) -> Result<Vec<Offer>, Fault> {
    let place = format!("{place}.suggestions");
    let list = match fields.get("suggestions") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= most => list,
        Some(_) => return Err(Fault::argument(format!("{place} must be at most {most}"))),
    };
    let offer = |(i, value): (usize, &Value)| suggestion(value, &format!("{place}[{i}]"));
    list.iter().enumerate().map(offer).collect()
}

fn suggestion(value: &Value, place: &str) -> Result<Offer, Fault> {
    let odd = || Fault::argument(format!("{place} is of no kind"));
    let fields = value.as_object().ok_or_else(odd)?;
    let mut entries = fields.iter();
    let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
        return Err(odd());
    };
    let fields = value.as_object().ok_or_else(odd)?;
    match kind.as_str() {
        "reply" => {
            known(fields, &["text", "postbackData"], place)?;
            labelled(fields, place, OfferKind::Reply)
        }
        "action" => {
            known(fields, &["text", "postbackData", "openUrlAction", "dialAction"], place)?;
            let of = |name: &str, key: &str| {
                let action = fields.get(name)?.as_object()?;
                action.get(key)?.as_str()
            };
            let opens = of("openUrlAction", "url").map(|url| is_link(url, &["http", "https"]));
            let dials = of("dialAction", "phoneNumber");
            let dials = dials.map(|number| e164(number).as_deref() == Some(number));
            match (opens, dials) {
                (Some(true), None) | (None, Some(true)) => {
                    labelled(fields, place, OfferKind::Action)
                }
                _ => Err(Fault::argument(format!("{place}.action opens or dials nothing"))),
            }
        }
        "liveAgentRequest" => {
            known(fields, &[], place)?;
            Ok(Offer {
                title: "Live agent".to_owned(),
                payload: LIVE_AGENT.to_owned(),
                kind: OfferKind::LiveAgent,
            })
        }
        _ => Err(odd()),
    }
}

fn labelled(fields: &Fields, place: &str, kind: OfferKind) -> Result<Offer, Fault> {
    let title = word(fields, "text", place)?.unwrap_or_default();
    let payload = word(fields, "postbackData", place)?.unwrap_or_default();
    if title.trim().is_empty() || title.chars().count() > TITLE_MAX {
        return Err(Fault::argument(format!("{place}.text must have 1 to 25 characters")));
    }
    if payload.is_empty() || payload.chars().count() > POSTBACK_MAX {
        return Err(Fault::argument(format!("{place}.postbackData must have 1 to 2048 characters")));
    }
    Ok(Offer {
        title: title.to_owned(),
        payload: payload.to_owned(),
        kind,
    })
}
