//! In which form choices go.

use super::{Platform, button_text_limit, is_web, text_limit, utf16};
use crate::error::Refused;
use crate::model::{Choice, Outgoing, TextLimit};

/// Quick replies of one message ("Quick replies", read November 2026).
pub const QUICK_REPLIES_MAX: usize = 13;
/// Buttons of one message ("Button template").
pub const BUTTONS_MAX: usize = 3;
/// Title of a quick reply or button: 20 characters.
pub const TITLE: TextLimit = utf16(20);
/// Payload of a quick reply or button: 1000 characters.
pub const PAYLOAD: TextLimit = utf16(1000);
/// Choices that go as numbered lines: as many as a person would read on a phone. Our own limit.
pub const CHOICES_MAX: usize = 30;

/// What numbered lines may take of a text, so that there is always room for text above them.
const fn numbered_limit(platform: Platform) -> TextLimit {
    let limit = text_limit(platform);
    TextLimit {
        max: limit.max / 4 * 3,
        unit: limit.unit,
    }
}

/// The form in which choices go: the richest that shows every title whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Quick replies above the keyboard.
    QuickReplies,
    /// Buttons below the text, of which some open a link.
    Buttons,
    /// Numbered lines below the text.
    Numbered,
}

/// The form in which these choices go; `None` where there are none.
pub fn offer(choices: &[Choice]) -> Option<Offer> {
    if choices.is_empty() {
        return None;
    }
    let fit = choices
        .iter()
        .all(|choice| TITLE.fits(&choice.title) && PAYLOAD.fits(payload(choice)));
    let links = choices.iter().any(|choice| choice.url.is_some());
    Some(match links {
        _ if !fit => Offer::Numbered,
        true if choices.len() <= BUTTONS_MAX => Offer::Buttons,
        false if choices.len() <= QUICK_REPLIES_MAX => Offer::QuickReplies,
        _ => Offer::Numbered,
    })
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

/// The room for the text under which these choices stand.
pub fn room(choices: &[Choice], platform: Platform) -> TextLimit {
    let limit = text_limit(platform);
    match offer(choices) {
        None | Some(Offer::QuickReplies) => limit,
        Some(Offer::Buttons) => button_text_limit(platform),
        Some(Offer::Numbered) => TextLimit {
            max: limit.max.saturating_sub(limit.unit.len(&numbered(choices))),
            unit: limit.unit,
        },
    }
}

/// Refuses choices that no form carries.
pub fn check(message: &Outgoing, platform: Platform) -> Result<(), Refused> {
    let refuse = |reason: String| Err(Refused::new("quick_replies", reason));
    let Some(offer) = offer(&message.choices) else {
        return Ok(());
    };
    if message.choices.len() > CHOICES_MAX {
        return refuse(format!("at most {CHOICES_MAX} choices"));
    }
    for choice in &message.choices {
        if choice.title.trim().is_empty() {
            return refuse("a choice without a title".to_owned());
        }
        if choice.url.as_ref().is_some_and(|url| !is_web(url)) {
            return refuse(format!("{}: the link is not http or https", choice.title));
        }
    }
    let has_text = !message.text.trim().is_empty()
        || message.location.is_some()
        || !message.contacts.is_empty();
    let needs_text = offer != Offer::QuickReplies || platform == Platform::Instagram;
    if needs_text && !has_text {
        let what = match platform {
            Platform::Instagram => "on Instagram choices stand under a text",
            Platform::Messenger => "links, long titles and many choices stand under a text",
        };
        return refuse(format!("{what}, and there is none"));
    }
    let lines = numbered(&message.choices);
    if offer == Offer::Numbered && !numbered_limit(platform).fits(&lines) {
        return refuse("the choices together are too long".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MessageId;

    fn choice(title: &str) -> Choice {
        Choice {
            title: title.to_owned(),
            payload: format!("id-{title}"),
            url: None,
        }
    }

    fn link(title: &str, url: &str) -> Choice {
        Choice {
            url: Some(url.to_owned()),
            ..choice(title)
        }
    }

    #[test]
    fn choices_take_the_richest_form_that_shows_them_whole() {
        let all = |n: usize| {
            (0..n)
                .map(|i| choice(&format!("Choice {i}")))
                .collect::<Vec<_>>()
        };
        let shop = "https://shop.example/";
        let long = Choice {
            payload: "x".repeat(1001),
            ..choice("Yes")
        };
        let cases = [
            (vec![], None),
            (all(1), Some(Offer::QuickReplies)),
            (all(13), Some(Offer::QuickReplies)),
            (all(14), Some(Offer::Numbered)),
            (
                vec![choice("twenty characters ok")],
                Some(Offer::QuickReplies),
            ),
            (vec![choice("twenty-one characters")], Some(Offer::Numbered)),
            (vec![long], Some(Offer::Numbered)),
            (vec![link("Open", shop)], Some(Offer::Buttons)),
            (
                vec![link("Open", shop), choice("No"), choice("Yes")],
                Some(Offer::Buttons),
            ),
            (
                [vec![link("Open", shop)], all(3)].concat(),
                Some(Offer::Numbered),
            ),
        ];
        for (choices, expected) in cases {
            assert_eq!(offer(&choices), expected, "{choices:?}");
        }
    }

    #[test]
    fn what_no_form_carries_is_refused() {
        let refused = |choices: Vec<Choice>| {
            let mut message = Outgoing::new(MessageId(1), "7300000000000011");
            message.text = "Which?".into();
            message.choices = choices;
            check(&message, Platform::Messenger).err().map(|r| r.reason)
        };
        assert_eq!(refused(vec![choice("Yes")]), None);
        assert!(
            refused(vec![choice(" ")])
                .unwrap()
                .contains("without a title")
        );
        assert!(
            refused(vec![link("Open", "ftp://x")])
                .unwrap()
                .contains("not http")
        );
        assert!(
            refused(vec![choice("x"); 31])
                .unwrap()
                .contains("at most 30")
        );
        assert!(
            refused(vec![choice(&"x".repeat(1600))])
                .unwrap()
                .contains("too long")
        );
    }
}
