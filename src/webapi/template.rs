//! Templates: WhatsApp's approved ones as the seeds write them, and the text around a text message.

use super::args::Args;
use super::error::ApiError;
use super::target::To;
use serde_json::Value;
use switchboard_channels::model::{Template, TemplateText};

/// Reads the template of `whatsapp-send-template`: name, languages, and parameters as three texts
/// with commas between the values: header, body, buttons.
pub fn read(args: &Args) -> Result<Template, ApiError> {
    let name = args.str("template_name")?;
    let mut languages: Vec<String> = args.opt_str("language")?.into_iter().collect();
    for language in args.strings("template_languages")? {
        if !languages.contains(&language) {
            languages.push(language);
        }
    }
    if languages.is_empty() {
        // The language that every new account's first template has.
        languages.push("en_US".to_owned());
    }
    let merge = Merge {
        url: args
            .opt_text("conversation_url_parameter")?
            .unwrap_or_default(),
        name: args.opt_text("user_name")?.unwrap_or_default(),
        email: args.opt_text("user_email")?.unwrap_or_default(),
    };
    let groups = args.array("parameters")?;
    if groups.len() > 3 {
        return Err(ApiError::invalid(
            "`parameters`: expected at most three texts: of the header, the body, the buttons",
        ));
    }
    let group = |index: usize| -> Result<Vec<TemplateText>, ApiError> {
        match groups.get(index) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(value) => texts(value, &merge),
        }
    };
    Ok(Template {
        name,
        languages,
        header: group(0)?,
        body: group(1)?,
        buttons: group(2)?,
    })
}

struct Merge {
    url: String,
    name: String,
    email: String,
}

impl Merge {
    fn apply(&self, text: &str) -> String {
        text.replace("{conversation_url_parameter}", &self.url)
            .replace("{recipient_name}", &self.name)
            .replace("{recipient_email}", &self.email)
    }
}

/// One group: `"A,B"`, or a real list of texts or of `{"name", "text"}`.
fn texts(value: &Value, merge: &Merge) -> Result<Vec<TemplateText>, ApiError> {
    let wrong = || ApiError::invalid("`parameters`: expected texts with commas, or lists of texts");
    let text = |t: &str| TemplateText {
        name: None,
        text: merge.apply(t.trim()),
    };
    match value {
        Value::String(s) if s.trim().is_empty() => Ok(Vec::new()),
        Value::String(s) => Ok(s.split(',').map(text).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(s) => Ok(text(s)),
                Value::Object(map) => {
                    let named = map.get("name").and_then(Value::as_str).map(str::to_owned);
                    let content = map.get("text").and_then(Value::as_str).ok_or_else(wrong)?;
                    Ok(TemplateText {
                        name: named,
                        text: merge.apply(content),
                    })
                }
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

/// The text around a text message: `{message}` and `{conversation_url_parameter}` are filled in.
pub fn sms(template: &str, message: &str, to: &To) -> String {
    if message.is_empty() {
        return String::new();
    }
    let conversation = match to {
        To::Platform {
            conversation: Some(id),
            ..
        }
        | To::Ticket { conversation: id } => {
            format!("?conversation={id}")
        }
        To::Platform { .. } => String::new(),
    };
    // The message is filled in last, so that nothing in it is taken for a placeholder.
    template
        .replace("{conversation_url_parameter}", &conversation)
        .replace("{message}", message)
        .trim()
        .to_owned()
}
