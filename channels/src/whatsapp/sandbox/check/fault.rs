//! The errors that the emulated platform answers with: its codes, its statuses, its shape.

use crate::kit::http::Response;
use serde_json::json;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    status: u16,
    code: i64,
    subcode: Option<i64>,
    message: &'static str,
    details: String,
}

impl Fault {
    fn new(status: u16, code: i64, message: &'static str, details: impl Into<String>) -> Self {
        Self {
            status,
            code,
            subcode: None,
            message,
            details: details.into(),
        }
    }

    /// The token is missing or another.
    pub fn token() -> Self {
        Self::new(401, 190, "Invalid OAuth access token", "the access token is missing or wrong")
    }

    /// Nothing has this id, as far as the token can see.
    pub fn no_object(id: &str) -> Self {
        let details = format!("object with ID '{id}' does not exist or cannot be loaded");
        Self {
            subcode: Some(33),
            ..Self::new(400, 100, "Unsupported request", details)
        }
    }

    /// Nothing has this path.
    pub fn path(path: &str) -> Self {
        Self::new(400, 100, "Unsupported request", format!("unknown path {path}"))
    }

    /// A key that is unknown, or of the wrong type or length.
    pub fn invalid(details: &str) -> Self {
        Self::new(400, 100, "Invalid parameter", details)
    }

    /// A key that must be there.
    pub fn missing(details: &str) -> Self {
        Self::new(400, 131_008, "Required parameter is missing", details)
    }

    /// A value that cannot be.
    pub fn value(details: &str) -> Self {
        Self::new(400, 131_009, "Parameter value is not valid", details)
    }

    /// A type that does not exist.
    pub fn unsupported(kind: &str) -> Self {
        Self::new(400, 131_051, "Unsupported message type", format!("type {kind}"))
    }

    /// Not on WhatsApp.
    pub fn undeliverable() -> Self {
        Self::new(400, 131_026, "Message undeliverable", "the number is not on WhatsApp")
    }

    /// Our own number.
    pub fn ourselves() -> Self {
        let message = "Recipient cannot be sender";
        Self::new(400, 131_021, message, "to is the sender's number")
    }

    /// The customer has not written for a day, or never.
    pub fn window() -> Self {
        let details = "more than 24 hours have passed since the customer last wrote: use a template";
        Self::new(400, 131_047, "Re-engagement message", details)
    }

    /// The customer said STOP.
    pub fn blocked() -> Self {
        let message = "User has stopped marketing messages";
        Self::new(400, 131_050, message, "the customer does not want to hear from this number")
    }

    /// No such group.
    pub fn unknown_group() -> Self {
        Self::new(400, 131_041, "Group unknown", "there are no groups here")
    }

    /// No such template, or not in this language.
    pub fn no_template(name: &str, language: &str) -> Self {
        let details = format!("template name ({name}) does not exist in {language}");
        Self::new(404, 132_001, "Template name does not exist in the translation", details)
    }

    /// Too few or too many parameters.
    pub fn parameter_count() -> Self {
        let message = "Number of parameters does not match the expected number of params";
        Self::new(400, 132_000, message, "count the parameters of header and body")
    }

    /// Parameters of another form than the template's.
    pub fn parameter_format() -> Self {
        let message = "Parameter format does not match format in the created template";
        Self::new(400, 132_012, message, "check types, texts and buttons")
    }

    /// The answer.
    pub fn response(&self, trace: u64) -> Response {
        let mut error = json!({
            "message": format!("(#{}) {}", self.code, self.message),
            "type": "OAuthException",
            "code": self.code,
            "error_data": {"messaging_product": "whatsapp", "details": self.details},
            "fbtrace_id": format!("SANDBOX{trace:08}"),
        });
        if let (Some(subcode), Some(map)) = (self.subcode, error.as_object_mut()) {
            map.insert("error_subcode".to_owned(), subcode.into());
        }
        Response::json(self.status, json!({"error": error}).to_string())
    }
}
