//! Utility templates of Messenger.

use super::Platform;
use crate::error::Refused;
use crate::messenger::config::Settings;
use crate::model::{Outgoing, Template};

/// The languages in which a template is tried: those that the caller named, then the channel's chain.
pub fn languages(template: &Template, settings: &Settings) -> Vec<String> {
    let mut languages: Vec<String> = Vec::new();
    let chain = settings.template_language_chain.iter();
    for language in template.languages.iter().chain(chain) {
        let language = language.trim();
        if !language.is_empty() && !languages.iter().any(|known| known == language) {
            languages.push(language.to_owned());
        }
    }
    languages
}

/// Refuses a template that Meta cannot have, or what cannot go with one.
pub fn check(
    message: &Outgoing,
    template: &Template,
    settings: &Settings,
    platform: Platform,
) -> Result<(), Refused> {
    let refuse = |reason: &str| Err(Refused::new("template", reason));
    if platform == Platform::Instagram {
        return refuse("Instagram has no templates");
    }
    if template.name.trim().is_empty() {
        return refuse("a template without a name");
    }
    if languages(template, settings).is_empty() {
        return refuse("a template exists in languages, and none is named");
    }
    let named = template
        .body
        .iter()
        .filter(|text| text.name.is_some())
        .count();
    if named != 0 && named != template.body.len() {
        return refuse("the parameters of the body are all named or all numbered");
    }
    let alone = message.text.trim().is_empty()
        && message.attachments.is_empty()
        && message.location.is_none()
        && message.contacts.is_empty();
    if !alone {
        return refuse("a template goes alone: text and attachments are part of it");
    }
    if !message.choices.is_empty() {
        let reason = "a template has its own buttons";
        return Err(Refused::new("quick_replies", reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messenger::config::sandbox_settings;
    use crate::model::{MessageId, TemplateText};

    #[test]
    fn languages_come_once_the_callers_first() {
        let mut settings = Settings::read(sandbox_settings()).unwrap();
        settings.template_language_chain = vec!["en".into(), "pt_BR".into()];
        let mut template = template();
        template.languages = vec!["sv".into(), " en ".into(), String::new()];
        assert_eq!(languages(&template, &settings), ["sv", "en", "pt_BR"]);
    }

    fn template() -> Template {
        Template {
            name: "order_update".into(),
            languages: vec!["en".into()],
            header: Vec::new(),
            body: Vec::new(),
            buttons: Vec::new(),
        }
    }

    #[test]
    fn what_cannot_be_a_template_is_refused() {
        let settings = Settings::read(sandbox_settings()).unwrap();
        let refused = |template: &Template, platform| {
            let message = Outgoing::new(MessageId(1), "7300000000000011");
            check(&message, template, &settings, platform).is_err()
        };
        assert!(!refused(&template(), Platform::Messenger));
        assert!(refused(&template(), Platform::Instagram));
        let nameless = Template {
            name: " ".into(),
            ..template()
        };
        assert!(refused(&nameless, Platform::Messenger));
        let mute = Template {
            languages: Vec::new(),
            ..template()
        };
        assert!(refused(&mute, Platform::Messenger));
        let text = |name: Option<&str>| TemplateText {
            name: name.map(str::to_owned),
            text: "x".into(),
        };
        let mixed = Template {
            body: vec![text(None), text(Some("eta"))],
            ..template()
        };
        assert!(refused(&mixed, Platform::Messenger));
    }
}
