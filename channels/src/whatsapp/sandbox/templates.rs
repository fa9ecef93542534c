//! The templates that the emulated account has.

use super::check::Fault;
use crate::model::Choice;
use serde::Deserialize;
use serde_json::Value;

struct Known {
    name: &'static str,
    languages: &'static [&'static str],
    body: &'static str,
    parameters: usize,
    /// Whether the header takes a picture.
    picture: bool,
    /// Kind and title of the buttons.
    buttons: &'static [(&'static str, &'static str)],
}

const TEMPLATES: [Known; 3] = [
    Known {
        name: "hello_world",
        languages: &["en_US"],
        body: "Hello World",
        parameters: 0,
        picture: false,
        buttons: &[],
    },
    Known {
        name: "order_update",
        languages: &["pt_BR", "en"],
        body: "Order of {1}: arriving {2}",
        parameters: 2,
        picture: true,
        buttons: &[("quick_reply", "Confirm"), ("url", "Track")],
    },
    Known {
        name: "late_answer",
        languages: &["en"],
        body: "Our answer: {1}",
        parameters: 1,
        picture: false,
        buttons: &[],
    },
];

/// A template as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    name: String,
    language: Language,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    code: String,
    policy: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    #[serde(rename = "type")]
    kind: String,
    sub_type: Option<String>,
    index: Option<String>,
    #[serde(default)]
    parameters: Vec<Parameter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    payload: Option<String>,
    image: Option<Value>,
    #[serde(rename = "parameter_name")]
    _name: Option<String>,
}

/// What the customer sees of a template.
pub struct Shown {
    /// The body with its parameters.
    pub text: String,
    /// The header.
    pub extras: Vec<String>,
    /// The buttons that answer.
    pub choices: Vec<Choice>,
}

/// Fills a template in.
pub fn fill(sent: &Sent) -> Result<Shown, Fault> {
    let Some(known) = TEMPLATES
        .iter()
        .find(|t| t.name == sent.name && t.languages.contains(&sent.language.code.as_str()))
    else {
        return Err(Fault::no_template(&sent.name, &sent.language.code));
    };
    if sent.language.policy.as_deref().is_some_and(|p| p != "deterministic") {
        return Err(Fault::value("language.policy must be deterministic"));
    }
    let of_kind = |kind: &str| {
        sent.components
            .iter()
            .filter(|c| c.kind == kind)
            .flat_map(|c| &c.parameters)
            .collect::<Vec<_>>()
    };
    let (header, body) = (of_kind("header"), of_kind("body"));
    let pictures = usize::from(known.picture);
    if body.len() != known.parameters || header.len() > pictures {
        return Err(Fault::parameter_count());
    }
    let mut shown = Shown {
        text: known.body.to_owned(),
        extras: Vec::new(),
        choices: Vec::new(),
    };
    for (place, parameter) in (1..).zip(body) {
        let text = parameter.text.as_deref().unwrap_or_default();
        let bad = text.is_empty() || text.contains(['\n', '\t']) || text.contains("     ");
        if parameter.kind != "text" || bad {
            return Err(Fault::parameter_format());
        }
        shown.text = shown.text.replace(&format!("{{{place}}}"), text);
    }
    for parameter in header {
        let link = parameter.image.as_ref().and_then(|i| i.get("link"));
        match (parameter.kind.as_str(), link.and_then(Value::as_str)) {
            ("image", Some(link)) => shown.extras.push(link.to_owned()),
            _ => return Err(Fault::parameter_format()),
        }
    }
    fill_buttons(sent, known, &mut shown)?;
    Ok(shown)
}

fn fill_buttons(sent: &Sent, known: &Known, shown: &mut Shown) -> Result<(), Fault> {
    let button = |index: usize| {
        let index = index.to_string();
        sent.components
            .iter()
            .find(|c| c.kind == "button" && c.index.as_ref() == Some(&index))
    };
    let foreign = sent.components.iter().any(|c| match c.kind.as_str() {
        "header" | "body" => c.index.is_some() || c.sub_type.is_some(),
        "button" => {
            let index: Option<usize> = c.index.as_deref().and_then(|i| i.parse().ok());
            let known = index.and_then(|i| known.buttons.get(i));
            known.map(|(kind, _)| *kind) != c.sub_type.as_deref()
        }
        _ => true,
    });
    if foreign {
        return Err(Fault::parameter_format());
    }
    for (index, (kind, title)) in (0..).zip(known.buttons) {
        let parameter = button(index).and_then(|c| c.parameters.first());
        let given = match (*kind, parameter) {
            // The button as it was approved.
            (_, None) => (*title).to_lowercase(),
            ("quick_reply", Some(p)) if p.kind == "payload" => p.payload.clone().unwrap_or_default(),
            ("url", Some(p)) if p.kind == "text" => p.text.clone().unwrap_or_default(),
            _ => return Err(Fault::parameter_format()),
        };
        if given.is_empty() {
            return Err(Fault::parameter_format());
        }
        let url = (*kind == "url").then(|| format!("https://shop.example/{given}"));
        shown.choices.push(Choice {
            title: (*title).to_owned(),
            payload: given,
            url,
        });
    }
    Ok(())
}
