//! Messages: what every one has, and the content of each type.

use super::{Error, Raw};
use serde::Deserialize;

/// A message, inbound or (as an echo) written by hand on our side.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// The platform's id.
    pub id: Option<String>,
    /// Unix seconds, as a string.
    #[serde(borrow)]
    pub timestamp: Option<Raw<'a>>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Number of the author; absent when withheld.
    pub from: Option<String>,
    /// Business-scoped id of the author.
    pub from_user_id: Option<String>,
    /// Number of the recipient, in echoes.
    pub to: Option<String>,
    /// Business-scoped id of the recipient, in echoes.
    pub to_user_id: Option<String>,
    /// The group, for group chats.
    pub group_id: Option<String>,
    /// What it answers or where it comes from.
    #[serde(borrow)]
    pub context: Option<Context<'a>>,
    /// The advertisement that brought the person.
    #[serde(borrow)]
    pub referral: Option<Raw<'a>>,
    /// Why it could not be shown.
    #[serde(borrow)]
    pub errors: Option<Vec<Error<'a>>>,
    /// Our own reference, should an echo carry one.
    pub biz_opaque_callback_data: Option<String>,
    /// `type: text`
    pub text: Option<Text>,
    /// `type: image`
    pub image: Option<MediaObject>,
    /// `type: video`
    pub video: Option<MediaObject>,
    /// `type: audio`
    pub audio: Option<MediaObject>,
    /// `type: voice`, which older versions send for voice notes.
    pub voice: Option<MediaObject>,
    /// `type: document`
    pub document: Option<MediaObject>,
    /// `type: sticker`
    pub sticker: Option<MediaObject>,
    /// `type: location`
    pub location: Option<Place>,
    /// `type: contacts`
    pub contacts: Option<Vec<Card>>,
    /// `type: reaction`
    pub reaction: Option<ReactionObject>,
    /// `type: interactive`
    #[serde(borrow)]
    pub interactive: Option<Interactive<'a>>,
    /// `type: button`
    pub button: Option<Button>,
    /// `type: order`
    #[serde(borrow)]
    pub order: Option<Raw<'a>>,
    /// `type: system`
    pub system: Option<System>,
    /// With `system` of an identity change.
    pub identity: Option<Identity>,
    /// `type: edit`
    #[serde(borrow)]
    pub edit: Option<EditObject<'a>>,
    /// `type: revoke`
    pub revoke: Option<Revoke>,
    /// `type: unsupported`
    pub unsupported: Option<Unsupported>,
}

/// What a message refers to.
#[derive(Debug, Deserialize)]
pub struct Context<'a> {
    /// The message that is quoted.
    pub id: Option<String>,
    /// Passed on from another chat.
    pub forwarded: Option<bool>,
    /// Passed on many times.
    pub frequently_forwarded: Option<bool>,
    /// The product that was asked about.
    #[serde(borrow)]
    pub referred_product: Option<Raw<'a>>,
}

/// Text.
#[derive(Debug, Deserialize)]
pub struct Text {
    /// The text.
    pub body: Option<String>,
}

/// Any kind of file. The link that newer versions put beside the id is not read: the id gives one
/// that is known to come from the platform.
#[derive(Debug, Deserialize)]
pub struct MediaObject {
    /// The platform's id of the file.
    pub id: Option<String>,
    /// MIME type, with parameters.
    pub mime_type: Option<String>,
    /// Text shown with it.
    pub caption: Option<String>,
    /// File name, of documents.
    pub filename: Option<String>,
    /// Whether a sound is a voice note.
    pub voice: Option<bool>,
    /// Whether a sticker moves.
    pub animated: Option<bool>,
}

/// A place.
#[derive(Debug, Deserialize)]
pub struct Place {
    /// Degrees, north positive.
    pub latitude: Option<f64>,
    /// Degrees, east positive.
    pub longitude: Option<f64>,
    /// What the place is called.
    pub name: Option<String>,
    /// Where it is, in words.
    pub address: Option<String>,
    /// The place's page.
    pub url: Option<String>,
}

/// A contact card.
#[derive(Debug, Deserialize)]
pub struct Card {
    /// The name and its pieces.
    pub name: Option<CardName>,
    /// Telephone numbers.
    pub phones: Option<Vec<CardPhone>>,
    /// E-mail addresses.
    pub emails: Option<Vec<CardEmail>>,
    /// Where the person works.
    pub org: Option<CardOrg>,
    /// `contact_request` when it answers our question for the number.
    pub origin: Option<String>,
}

/// The name on a card.
#[derive(Debug, Default, Deserialize)]
pub struct CardName {
    /// As shown.
    pub formatted_name: Option<String>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
}

/// A number on a card.
#[derive(Debug, Deserialize)]
pub struct CardPhone {
    /// As written.
    pub phone: Option<String>,
    /// As WhatsApp knows it, digits only.
    pub wa_id: Option<String>,
}

/// An address on a card.
#[derive(Debug, Deserialize)]
pub struct CardEmail {
    /// The address.
    pub email: Option<String>,
}

/// An employer on a card.
#[derive(Debug, Deserialize)]
pub struct CardOrg {
    /// The company.
    pub company: Option<String>,
}

/// A reaction.
#[derive(Debug, Deserialize)]
pub struct ReactionObject {
    /// What it is put on.
    pub message_id: Option<String>,
    /// The emoji; absent or empty when taken off.
    pub emoji: Option<String>,
}

/// A press, a choice, a filled form.
#[derive(Debug, Deserialize)]
pub struct Interactive<'a> {
    /// Which of them.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A pressed reply button.
    pub button_reply: Option<Reply>,
    /// A chosen row of a list.
    pub list_reply: Option<Reply>,
    /// A filled form.
    #[serde(borrow)]
    pub nfm_reply: Option<Form<'a>>,
}

/// A pressed button or chosen row.
#[derive(Debug, Deserialize)]
pub struct Reply {
    /// What we put behind it.
    pub id: Option<String>,
    /// What stood on it.
    pub title: Option<String>,
    /// What stood below the title of a row.
    pub description: Option<String>,
}

/// A filled form.
#[derive(Debug, Deserialize)]
pub struct Form<'a> {
    /// What kind of form.
    pub name: Option<String>,
    /// What the chat shows.
    pub body: Option<String>,
    /// The fields: JSON inside a string.
    #[serde(borrow)]
    pub response_json: Option<Raw<'a>>,
}

/// A pressed button of a template.
#[derive(Debug, Deserialize)]
pub struct Button {
    /// What we put behind it.
    pub payload: Option<String>,
    /// What stood on it.
    pub text: Option<String>,
}

/// An order from the catalogue.
#[derive(Debug, Deserialize)]
pub struct Order<'a> {
    /// What the person wrote with it.
    pub text: Option<String>,
    /// What is ordered.
    #[serde(borrow)]
    pub product_items: Option<Vec<Item<'a>>>,
}

/// One line of an order.
#[derive(Debug, Deserialize)]
pub struct Item<'a> {
    /// The article.
    pub product_retailer_id: Option<String>,
    /// How many.
    #[serde(borrow)]
    pub quantity: Option<Raw<'a>>,
    /// Price of one.
    #[serde(borrow)]
    pub item_price: Option<Raw<'a>>,
    /// Currency of the price.
    pub currency: Option<String>,
}

/// News about the person's account.
#[derive(Debug, Deserialize)]
pub struct System {
    /// What changed.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The new number.
    pub wa_id: Option<String>,
    /// The new number, as older versions name it.
    pub new_wa_id: Option<String>,
    /// The new business-scoped id.
    pub user_id: Option<String>,
    /// The business-scoped id before.
    pub previous_user_id: Option<String>,
}

/// The person's encryption key changed.
#[derive(Debug, Deserialize)]
pub struct Identity {
    /// Names the key.
    pub hash: Option<String>,
}

/// A changed message.
#[derive(Debug, Deserialize)]
pub struct EditObject<'a> {
    /// Which message.
    pub original_message_id: Option<String>,
    /// What it says now.
    #[serde(borrow)]
    pub message: Option<Raw<'a>>,
}

/// A message taken back.
#[derive(Debug, Deserialize)]
pub struct Revoke {
    /// Which message.
    pub original_message_id: Option<String>,
}

/// What the platform does not hand on.
#[derive(Debug, Deserialize)]
pub struct Unsupported {
    /// The platform's name for it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}
