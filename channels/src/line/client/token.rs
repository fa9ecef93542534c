//! Authorised calls, and access tokens that LINE issues to us.

use super::harmless;
use crate::error::{Class, SendError};
use crate::kit::http::{Ctx, Request, Response, TransportError};
use crate::kit::jwt::BadKey;
use crate::kit::secret::Secret;
use crate::kit::status::{default_error, transport_error};
use crate::kit::tokens::{Refresh, Token};
use crate::line::render::{Api, authorised};
use crate::line::wire::IssuedToken;
use std::time::Duration;

/// One authorised call. Where the token was issued to us and has ended before its time, once more
/// with a fresh one: LINE refuses before it does anything.
pub async fn call(api: &Api, request: &Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let by_hand = api.settings().channel_access_token.as_ref();
    let issued = api.issue(ctx.now).map_err(unsigned)?;
    let Some(issue) = issued else {
        // `validate` has seen to it that there is one.
        let token = by_hand.cloned().unwrap_or_else(|| Secret::new(""));
        return exchange(&authorised(request, &token), ctx).await;
    };
    let token = match ctx.tokens.get(&api.token_name).await {
        Some(token) => token,
        None => refreshed(api, &issue, None, ctx).await?,
    };
    let response = exchange(&authorised(request, &token.value), ctx).await?;
    if response.status != 401 {
        return Ok(response);
    }
    let token = refreshed(api, &issue, Some(token.version), ctx).await?;
    exchange(&authorised(request, &token.value), ctx).await
}

/// A fresh token: another worker's, or one that LINE issues to us now.
async fn refreshed(
    api: &Api,
    issue: &Request,
    failed: Option<i64>,
    ctx: &Ctx<'_>,
) -> Result<Token, SendError> {
    match ctx.tokens.refresh(&api.token_name, failed).await {
        Refresh::Newer(token) => Ok(token),
        Refresh::Busy => {
            let words = "another worker is fetching an access token";
            Err(SendError::new(Class::Retry, "token-busy", words))
        }
        Refresh::Yours => {
            let issued = match exchange(issue, ctx).await {
                Ok(response) => read_token(&response),
                Err(error) => Err(harmless(error)),
            };
            match issued {
                Ok(token) => {
                    // A fifth of its life is left, so that it ends in nobody's hands.
                    let lives = Duration::from_secs(token.expires_in / 5 * 4);
                    let value = Secret::new(token.access_token);
                    Ok(ctx.tokens.keep(&api.token_name, value, lives).await)
                }
                Err(error) => {
                    // Else nobody could try again.
                    ctx.tokens.give_up(&api.token_name).await;
                    Err(error)
                }
            }
        }
    }
}

/// The token in the answer of the token endpoint.
fn read_token(response: &Response) -> Result<IssuedToken, SendError> {
    let token: Option<IssuedToken> = serde_json::from_slice(&response.body).ok();
    let usable = |token: &IssuedToken| {
        response.is_success() && token.access_token.bytes().all(|b| b.is_ascii_graphic())
    };
    token.filter(usable).ok_or_else(|| {
        let mut error = harmless(default_error(response));
        if (400..404).contains(&response.status) {
            // Channel id, secret or key are wrong, or 30 tokens are out.
            error.class = Class::Credentials;
        }
        error
    })
}

/// One exchange.
async fn exchange(request: &Request, ctx: &Ctx<'_>) -> Result<Response, SendError> {
    let answer: Result<Response, TransportError> = ctx.transport.call(request.clone()).await;
    answer.map_err(|error| transport_error(&error))
}

/// `validate` has tried the key; should it fail all the same, it is the operator's to mend.
fn unsigned(error: BadKey) -> SendError {
    SendError::new(Class::Credentials, "assertion", error.to_string())
}

