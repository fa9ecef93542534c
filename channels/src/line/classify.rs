//! LINE's answers: a receipt, or what the error means.
//!
//! LINE's errors have no code beside the HTTP status, so some are told apart by the beginning of
//! their `message`, in one table. Read in the Messaging API reference ("Error responses", "Common
//! properties", November 2026).

use super::wire::{Failure, Sent};
use crate::error::{Class, SendError, SetupScope, Words};
use crate::kit::http::Response;
use crate::kit::json::answer_text;
use crate::kit::status::default_error;
use crate::model::Receipt;

/// The id of the request that LINE accepted under the retry key before.
const ACCEPTED_REQUEST: &str = "x-line-accepted-request-id";

/// This message refers to something that is not set up; others may go.
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};

/// The whole account is affected.
const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};

/// What a refusal means, by its status and the beginning of its words in lower case. The first that
/// fits counts; what is not here has the meaning of its status.
const REFUSALS: &[(u16, &str, Class)] = &[
    // The event's token was used or is older than a minute. Nothing was done: `deliver` pushes.
    (400, "invalid reply token", Class::Window),
    // Not an id of LINE's, or not of this provider.
    (400, "the property, 'to', in the request body is invalid", Class::Recipient),
    // The person does not exist, or has never had to do with the account.
    (400, "failed to send messages", Class::Recipient),
    // Malformed, or where none is taken: our own mistake, which repeating does not mend.
    (400, "the retry key", MESSAGE),
    (400, "invalid retry key", MESSAGE),
    (400, "retry key", MESSAGE),
    // "The request body has 2 error(s)", "The property, … is invalid": what is in the message.
    (400, "", Class::Content),
    // Token expired, revoked or mistyped.
    (401, "", Class::Credentials),
    // The plan, or a permission of the channel, does not include this.
    (403, "", ACCOUNT),
    // `api_base` is not LINE's API, or the API is no longer there.
    (404, "", ACCOUNT),
    (410, "", ACCOUNT),
    // More than 2 MB.
    (413, "", Class::Content),
    // Something between us and LINE changes the content type.
    (415, "", MESSAGE),
    // Until next month or another plan. Not the account's end: replies are free and still go.
    (429, "you have reached your monthly limit", MESSAGE),
];

/// A receipt, or what the error means.
///
/// # Errors
/// Whatever is not the acceptance of a message, now or at an earlier attempt.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    let accepted = response.is_success() || was_accepted(response);
    let sent: Option<Sent> = serde_json::from_slice(&response.body).ok();
    let sent = sent.filter(|_| accepted);
    let ids = sent.into_iter().flat_map(|sent| sent.sent_messages);
    let mut platform_ids: Vec<String> = ids.map(|m| m.id).filter(|id| !id.is_empty()).collect();
    if platform_ids.is_empty() && was_accepted(response) {
        // It arrived; which ids it has LINE no longer says.
        let request = response.headers.get(ACCEPTED_REQUEST);
        platform_ids.extend(request.map(|id| format!("request:{id}")));
    }
    if platform_ids.is_empty() {
        return Err(error(response));
    }
    Ok(Receipt {
        platform_ids,
        answer: answer_text(&response.body),
        alias: None,
    })
}

/// Whether this says that an earlier attempt with the same retry key was accepted.
fn was_accepted(response: &Response) -> bool {
    let said = || failure(response).is_some_and(|f| is(&f, "the retry key is already accepted"));
    response.status == 409 && (response.headers.get(ACCEPTED_REQUEST).is_some() || said())
}

/// The error of an answer that is not taken for a receipt.
pub fn error(response: &Response) -> SendError {
    // `None`: a proxy's page or half an answer, of which the status alone speaks.
    let failure = failure(response).filter(|_| !response.is_success());
    let fits = |words: &str| {
        let said = failure.as_ref().is_some_and(|f| is(f, words));
        words.is_empty() || said
    };
    let row = REFUSALS
        .iter()
        .find(|(status, words, _)| *status == response.status && fits(words));
    let mut error = default_error(response);
    if let Some((.., class)) = row {
        error.class = *class;
    } else if was_accepted(response) {
        // Accepted before, but nothing names it: asking again with the same key does no harm.
        error.class = Class::Unsure;
    }
    if let Some(failure) = &failure {
        error.words = Some(words(response, failure));
    }
    error
}

/// Whether the event's token was refused, so that nothing was sent with it.
pub fn reply_token_refused(response: &Response) -> bool {
    response.status == 400 && failure(response).is_some_and(|f| is(&f, "invalid reply token"))
}

/// Whether the quote alone was refused, so that the rest may go without it.
pub fn quote_refused(response: &Response) -> bool {
    let about_quote = |failure: Failure| {
        let details = failure.details.unwrap_or_default();
        let named = |text: &Option<String>| {
            let text = text.as_deref().unwrap_or_default().to_lowercase();
            text.contains("quotetoken") || text.contains("quote token")
        };
        let only = !details.is_empty()
            && details.iter().all(|d| named(&d.property) || named(&d.message));
        only || named(&Some(failure.message))
    };
    response.status == 400 && failure(response).is_some_and(about_quote)
}

/// The body as LINE writes it.
fn failure(response: &Response) -> Option<Failure> {
    serde_json::from_slice(&response.body).ok()
}

fn is(failure: &Failure, beginning: &str) -> bool {
    failure.message.trim_start().to_lowercase().starts_with(beginning)
}

/// LINE's words with the details that make them understandable.
fn words(response: &Response, failure: &Failure) -> Words {
    let mut message = failure.message.clone();
    for detail in failure.details.iter().flatten() {
        let property = detail.property.as_deref().unwrap_or_default();
        let text = detail.message.as_deref().unwrap_or_default();
        message.push_str(&format!("; {property}: {text}"));
    }
    Words::new(response.status.to_string(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_the_quote_is_sent_without_it() {
        let of = |body: &str| quote_refused(&Response::json(400, body));
        let details = |property: &str| {
            of(&format!(
                r#"{{"message":"The request body has 1 error(s)",
                   "details":[{{"message":"Invalid","property":"{property}"}}]}}"#
            ))
        };
        assert!(details("messages[0].quoteToken"));
        assert!(!details("messages[0].text"));
        assert!(of(r#"{"message":"Invalid quote token"}"#));
        assert!(!of(r#"{"message":"Invalid reply token"}"#));
        assert!(!of(
            r#"{"message":"The request body has 2 error(s)","details":[
               {"message":"Invalid","property":"messages[0].quoteToken"},
               {"message":"May not be empty","property":"messages[0].text"}]}"#
        ));
        assert!(!of("<html>quoteToken</html>"));
    }

    #[test]
    fn the_details_are_told() {
        let body = r#"{"message":"The request body has 1 error(s)","details":[
            {"message":"May not be empty","property":"messages[0].text"}]}"#;
        let error = classify(&Response::json(400, body)).unwrap_err();
        assert_eq!(
            error.words.unwrap().message,
            "The request body has 1 error(s); messages[0].text: May not be empty"
        );
    }
}
