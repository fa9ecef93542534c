//! The only file that reaches out, through [`Ctx`].

mod media;

pub use media::fetch_media;

use super::classify::{self, NO_SUCH_TEMPLATE};
use super::config::{Account, Settings};
use super::plan;
use super::render::{render, render_fallback, render_read};
use crate::error::{Class, SendError, SetupScope};
use crate::kit::http::{Auth, Ctx, Request, Response};
use crate::kit::status::transport_error;
use crate::model::{Effect, Health, Part, PartBody, Receipt};
use serde::Deserialize;


async fn call(request: Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answer = ctx.transport.call(request).await;
    answer.map_err(|error| transport_error(&error))
}

async fn send(request: Request, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    classify::classify(&call(request, ctx).await?)
}

/// Sends a part: a template in the first of its languages that exists; a text, where the window has
/// closed and a fallback template is set, as that template, once.
pub async fn deliver(account: &Account, part: &Part, ctx: &Ctx<'_>) -> Result<Receipt, SendError> {
    if let PartBody::Template { template } = &part.body {
        return deliver_template(account, part, plan::languages(template, &account.settings), ctx)
            .await;
    }
    if let PartBody::Album { .. } = &part.body {
        return Err(SendError::new(Class::Content, "album", "WhatsApp carries no albums"));
    }
    let outcome = send(render(part, account, ""), ctx).await;
    match (&outcome, &part.body, account.settings.fallback()) {
        // The platform refused the text whole, so nothing is sent twice.
        (Err(error), PartBody::Text { text }, Some(template)) if error.class == Class::Window => {
            send(render_fallback(part, account, text, template), ctx).await
        }
        _ => outcome,
    }
}

/// Tries the languages in order, going on only when the template does not exist in one.
async fn deliver_template(
    account: &Account,
    part: &Part,
    languages: Vec<String>,
    ctx: &Ctx<'_>,
) -> Result<Receipt, SendError> {
    let mut outcome = Err(no_language());
    for language in &languages {
        outcome = send(render(part, account, language), ctx).await;
        let missing = |e: &SendError| e.words.as_ref().is_some_and(|w| w.code == NO_SUCH_TEMPLATE);
        if !outcome.as_ref().is_err_and(missing) {
            break;
        }
    }
    outcome
}

/// The configured languages went away between plan and delivery.
fn no_language() -> SendError {
    let scope = SetupScope::Message;
    let words = "no language is named, and the channel has no template_language_chain";
    SendError::new(Class::Setup { scope }, NO_SUCH_TEMPLATE, words)
}

fn authorised(account: &Account, request: Request) -> Request {
    request.with_auth(Auth::Bearer(account.settings.access_token.clone()))
}

/// The number as Meta shows it.
#[derive(Deserialize)]
struct Number {
    display_phone_number: Option<String>,
    verified_name: Option<String>,
}

/// Asks for the number's name: works when id, token and permission do.
pub async fn probe(account: &Account, ctx: &Ctx<'_>) -> Result<Health, SendError> {
    let Settings {
        phone_number_id: id,
        ..
    } = &account.settings;
    let url = account.url(&format!("{id}?fields=display_phone_number,verified_name"));
    let answer = call(authorised(account, Request::get(url)), ctx).await?;
    if !answer.is_success() {
        return Err(classify::error_of(&answer));
    }
    let number: Number = serde_json::from_slice(&answer.body)
        .map_err(|e| SendError::new(Class::Retry, "probe", crate::kit::json::shape(&e)))?;
    let account = match (number.verified_name, number.display_phone_number) {
        (Some(name), Some(phone)) => format!("{name} ({phone})"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => id.clone(),
    };
    Ok(Health { account })
}

/// Marks as read; there is nothing else to do after an event.
pub async fn perform(account: &Account, effect: &Effect, ctx: &Ctx<'_>) -> Result<(), SendError> {
    let Effect::MarkRead { message, .. } = effect else {
        return Ok(());
    };
    let answer = call(render_read(message, account), ctx).await?;
    if answer.is_success() {
        Ok(())
    } else {
        Err(classify::error_of(&answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Body, Transport, TransportError};
    use crate::kit::settings::Common;
    use crate::model::{Media, MessageId, Millis, Outgoing};
    use std::sync::Mutex;

    /// Gives one answer to everything and keeps the last body.
    struct One {
        answer: Result<Response, TransportError>,
        body: Mutex<String>,
    }

    #[async_trait::async_trait]
    impl Transport for One {
        async fn call(&self, request: Request) -> Result<Response, TransportError> {
            if let Body::Json(text) = request.body {
                *self.body.lock().unwrap() = text;
            }
            self.answer.clone()
        }

        async fn fetch_public(&self, _: &str, max: usize) -> Result<Media, TransportError> {
            Err(TransportError::TooLarge(max))
        }
    }

    fn account() -> Account {
        let common = Common {
            id: "wa".to_owned(),
            api_base: None,
            webhook_url: String::new(),
        };
        Account::read(&common, crate::whatsapp::sandbox_settings()).unwrap()
    }

    fn with<T>(
        answer: Result<Response, TransportError>,
        what: impl AsyncFnOnce(&Account, &Ctx<'_>) -> T,
    ) -> (T, String) {
        let transport = One {
            answer,
            body: Mutex::default(),
        };
        let ctx = Ctx { max_media_bytes: 10, ..Ctx::new(&transport, Millis(0)) };
        let run = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let outcome = run.block_on(what(&account(), &ctx));
        let body = transport.body.lock().unwrap().clone();
        (outcome, body)
    }

    #[test]
    fn the_probe_names_the_number() {
        let named = |body: &str| {
            let answer = Ok(Response::json(200, body));
            with(answer, async |a, ctx| probe(a, ctx).await).0
        };
        let both = r#"{"verified_name":"Shop","display_phone_number":"+1 555","id":"1"}"#;
        assert_eq!(named(both).unwrap().account, "Shop (+1 555)");
        assert_eq!(named(r#"{"verified_name":"Shop"}"#).unwrap().account, "Shop");
        assert_eq!(named("{}").unwrap().account, "310987654321098");
        assert_eq!(named("[").unwrap_err().class, Class::Retry);
        let expired = Response::json(401, r#"{"error":{"code":190,"message":"expired"}}"#);
        let (error, _) = with(Ok(expired), async |a, ctx| probe(a, ctx).await);
        assert_eq!(error.unwrap_err().class, Class::Credentials);
    }

    #[test]
    fn a_message_is_marked_as_read() {
        let effect = Effect::MarkRead {
            message: "wamid.X".to_owned(),
            address: "15550142233".to_owned(),
        };
        let done = Ok(Response::json(200, r#"{"success":true}"#));
        let (outcome, body) = with(done, async |a, ctx| perform(a, &effect, ctx).await);
        assert_eq!(outcome, Ok(()));
        let expected = r#"{"message_id":"wamid.X","messaging_product":"whatsapp","status":"read"}"#;
        assert_eq!(body, expected);
        let nothing = Effect::FetchProfile {
            user: "x".to_owned(),
        };
        let (outcome, body) = with(Ok(Response::empty(500)), async |a, ctx| {
            perform(a, &nothing, ctx).await
        });
        assert_eq!((outcome, body.as_str()), (Ok(()), ""));
    }

    #[test]
    fn a_request_without_an_answer_is_in_doubt_only_when_it_went_out() {
        let message = Outgoing::new(MessageId(1), "15550142233");
        let text = "hello".to_owned();
        let part = Part::sequence(&message, vec![PartBody::Text { text }]).remove(0);
        let class = |error| {
            let (outcome, _) = with(Err(error), async |a, ctx| deliver(a, &part, ctx).await);
            outcome.unwrap_err().class
        };
        let refused = TransportError::NotSent("refused".to_owned());
        assert_eq!(class(refused), Class::Retry);
        let reset = TransportError::NoAnswer("reset".to_owned());
        assert_eq!(class(reset), Class::Unsure);
    }
}
