//! What a template may be made of, and in which languages it is tried.

use crate::error::Refused;
use crate::model::{Outgoing, Template};
use crate::whatsapp::config::Settings;

/// Refuses templates that cannot be right in any language.
pub fn check(
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
    use crate::whatsapp::config::sandbox_settings;
    use serde_json::{Value, json};

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
