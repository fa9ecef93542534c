//! The shared floor under every `classify.rs`: what an HTTP status means when the platform says
//! nothing better.

use super::http::{Headers, Response, TransportError};
use crate::error::{Class, LimitScope, SendError, SetupScope};
use std::time::Duration;

/// The class of an answer that the platform's own codes do not explain. A 5xx is `Unsure`: the
/// request was written, and a proxy in front of the platform may have answered after it was passed
/// on; 503 is the exception, since it says that it was not processed.
pub fn default_class(status: u16, headers: &Headers) -> Class {
    match status {
        408 | 425 | 503 => Class::Retry,
        429 => Class::Limited {
            after: retry_after(headers),
            scope: LimitScope::Lane,
        },
        401 | 403 => Class::Credentials,
        404 | 405 | 410 => Class::Setup {
            scope: SetupScope::Account,
        },
        400..=499 => Class::Content,
        // A success or redirection that the adapter could not read, or 5xx: it may have been done.
        _ => Class::Unsure,
    }
}

/// An error from [`default_class`] with the beginning of the body as words.
pub fn default_error(response: &Response) -> SendError {
    SendError::new(
        default_class(response.status, &response.headers),
        response.status.to_string(),
        response.text(),
    )
}

/// The class of a request that got no answer.
pub fn transport_error(error: &TransportError) -> SendError {
    let class = match error {
        TransportError::NotSent(_) => Class::Retry,
        TransportError::NoAnswer(_) | TransportError::TooLarge(_) => Class::Unsure,
        TransportError::Blocked(_) => Class::Content,
    };
    let code = match error {
        TransportError::NotSent(_) => "not-sent",
        TransportError::NoAnswer(_) => "no-answer",
        TransportError::TooLarge(_) => "answer-too-large",
        TransportError::Blocked(_) => "address-refused",
    };
    SendError::new(class, code, error.to_string())
}

/// Seconds from a `Retry-After` header. The date form is not used by any of our platforms.
pub fn retry_after(headers: &Headers) -> Option<Duration> {
    headers
        .get("retry-after")?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        let headers = Headers::default().with("Retry-After", "7");
        for status in 100..=599 {
            let class = default_class(status, &headers);
            if status == 429 {
                let after = Some(Duration::from_secs(7));
                assert_eq!(
                    class,
                    Class::Limited {
                        after,
                        scope: LimitScope::Lane
                    }
                );
            }
            assert_eq!(
                class == Class::Credentials,
                matches!(status, 401 | 403),
                "{status}"
            );
        }
        assert_eq!(default_class(500, &headers), Class::Unsure);
        assert_eq!(default_class(503, &headers), Class::Retry);
    }
}
