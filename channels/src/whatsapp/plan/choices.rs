//! In which form choices go.

use super::{chars, is_web};
use crate::error::Refused;
use crate::model::{Choice, Outgoing, TextLimit};

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
pub const CHOICES_MAX: usize = 30;
/// What a numbered list may take of a text, so that there is always room for text above it.
const NUMBERED: TextLimit = chars(3072);

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

/// Refuses choices that no form carries.
pub fn check(message: &Outgoing) -> Result<(), Refused> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(title: &str) -> Choice {
        Choice {
            title: title.to_owned(),
            payload: format!("id-{title}"),
            url: None,
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
}
