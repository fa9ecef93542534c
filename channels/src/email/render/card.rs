//! Contact cards as files (RFC 6350).

use crate::model::ContactCard;

/// A card.
pub fn vcard(contact: &ContactCard) -> String {
    let mut lines = vec![
        "BEGIN:VCARD".to_owned(),
        "VERSION:4.0".to_owned(),
        format!("FN:{}", escaped(&contact.name)),
    ];
    if contact.first_name.is_some() || contact.last_name.is_some() {
        let part = |name: &Option<String>| escaped(name.as_deref().unwrap_or_default());
        let (last, first) = (part(&contact.last_name), part(&contact.first_name));
        lines.push(format!("N:{last};{first};;;"));
    }
    lines.extend(contact.organisation.as_deref().map(|o| format!("ORG:{}", escaped(o))));
    lines.extend(contact.phones.iter().map(|p| format!("TEL:{}", escaped(p))));
    lines.extend(contact.emails.iter().map(|e| format!("EMAIL:{}", escaped(e))));
    lines.push("END:VCARD".to_owned());
    lines.join("\r\n") + "\r\n"
}

/// A value in which nothing separates and nothing ends the line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_cannot_hold_a_line_of_its_own() {
        let contact = ContactCard {
            name: "Anna; Berg\r\nEND:VCARD".to_owned(),
            last_name: Some("Berg".to_owned()),
            phones: vec!["+46701234567".to_owned()],
            ..ContactCard::default()
        };
        assert_eq!(
            vcard(&contact),
            "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Anna\\; Berg\\nEND:VCARD\r\nN:Berg;;;;\r\n\
             TEL:+46701234567\r\nEND:VCARD\r\n"
        );
    }
}
