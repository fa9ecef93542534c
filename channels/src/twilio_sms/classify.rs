//! What Twilio's answers and error codes mean. The same table serves errors of the API and the
//! `ErrorCode` of a status: the two ranges do not overlap, but for 21610.

use super::wire::{ApiError, Message};
use crate::error::{Class, LimitScope, SendError, SetupScope, Words};
use crate::kit::http::Response;
use crate::kit::{json, status};
use crate::model::Receipt;
use std::time::Duration;

/// The recipient has said STOP.
pub const OPTED_OUT: u32 = 21610;

/// There is no MMS from our number: the same message can go with links instead.
const NO_MMS: [u32; 2] = [21621, 21622];

/// Daily caps end with the day; the next one begins within this time.
const NEXT_DAY: Duration = Duration::from_secs(86_400);

const ACCOUNT: Class = Class::Setup {
    scope: SetupScope::Account,
};
const MESSAGE: Class = Class::Setup {
    scope: SetupScope::Message,
};
const BUSY: Class = Class::Limited {
    after: None,
    scope: LimitScope::Lane,
};
/// The carrier's daily cap counts its own subscribers: others are still reached.
const CAPPED: Class = Class::Limited {
    after: Some(NEXT_DAY),
    scope: LimitScope::Recipient,
};

/// The answer to a request that sends.
///
/// # Errors
/// When it was not taken, or what was answered cannot be read.
pub fn classify(response: &Response) -> Result<Receipt, SendError> {
    if !response.is_success() {
        return Err(error(response));
    }
    let message: Message = match serde_json::from_slice(&response.body) {
        Ok(message) => message,
        Err(_) => return Err(status::default_error(response)),
    };
    if message.sid.is_empty() {
        return Err(status::default_error(response));
    }
    match message.status.as_deref() {
        // Taken and given up in the same breath.
        Some(given_up @ ("failed" | "undelivered" | "canceled")) => {
            let code = message.error_code;
            Err(SendError {
                class: failed(given_up, code),
                words: Some(Words::new(
                    code.map_or(given_up.to_owned(), |c| c.to_string()),
                    message.error_message.as_deref().unwrap_or(given_up),
                )),
                opted_out: code == Some(OPTED_OUT),
            })
        }
        _ => Ok(Receipt {
            platform_ids: vec![message.sid],
            answer: json::answer_text(&response.body),
            alias: None,
        }),
    }
}

/// An answer that is no success, whatever was asked.
pub fn error(response: &Response) -> SendError {
    let Ok(said) = serde_json::from_slice::<ApiError>(&response.body) else {
        let mut error = status::default_error(response);
        error.class = by_status(response).unwrap_or(error.class);
        return error;
    };
    let default = status::default_class(response.status, &response.headers);
    let class = by_status(response)
        .or_else(|| class_of(said.code))
        .unwrap_or(match response.status {
            // These say more than the range that an unlisted code lies in.
            401 | 403 | 404 => default,
            _ => by_range(said.code).unwrap_or(default),
        });
    let error = SendError::new(class, said.code.to_string(), said.message);
    if said.code == OPTED_OUT {
        return error.with_opt_out();
    }
    error
}

/// Statuses that decide whatever the code says.
fn by_status(response: &Response) -> Option<Class> {
    match response.status {
        // Never processed; no Retry-After is promised, but one is obeyed.
        429 => Some(Class::Limited {
            after: status::retry_after(&response.headers),
            scope: LimitScope::Lane,
        }),
        // Twilio knows no idempotency key and promises nothing about what was done, 503 included.
        500..=599 => Some(Class::Unsure),
        _ => None,
    }
}

/// Whether the same message may go once more with links instead of media.
pub fn wants_links(error: &SendError) -> bool {
    let code = error.words.as_ref().map(|w| w.code.as_str());
    NO_MMS.iter().any(|c| code == Some(c.to_string().as_str()))
}

/// Why a message of ours ended as `undelivered`, `failed` or `canceled`.
pub fn failed(status: &str, code: Option<u32>) -> Class {
    match code {
        Some(code) => class_of(code)
            .or_else(|| by_range(code))
            .unwrap_or(Class::Content),
        // Taken back by somebody on our side.
        None if status == "canceled" => MESSAGE,
        None if status == "undelivered" => Class::Recipient,
        // As unexplained as 30008.
        None => Class::Retry,
    }
}

/// Codes that are not listed: 21xxx refuse what was asked, 30xxx are the carriers' reports.
const fn by_range(code: u32) -> Option<Class> {
    match code {
        21000..=21999 => Some(Class::Content),
        30000..=30999 => Some(Class::Recipient),
        _ => None,
    }
}

/// The class of a code; read November 2026 in Twilio's error dictionary.
pub const fn class_of(code: u32) -> Option<Class> {
    Some(match code {
        // ---- answers of the API ----
        20001 => Class::Content,     // unknown or invalid parameters
        20003 => Class::Credentials, // authentication failed
        20005 => Class::Credentials, // account not active
        20006 => Class::Credentials, // access denied
        20008 => ACCOUNT,            // test credentials used for what they cannot do
        20404 => ACCOUNT,            // no such resource: the account SID of the path
        20409 => Class::Retry,       // conflict with another request
        20422 => Class::Content,     // invalid parameter
        20429 => BUSY,               // too many concurrent requests, never processed
        20500 => Class::Unsure,      // internal error: may have been done
        20503 => Class::Unsure,      // unavailable: may have been done
        21211 => Class::Recipient,   // To is no valid number
        21212 => ACCOUNT,            // From is no valid number, and it is configured
        21214 => Class::Recipient,   // To cannot be reached
        21217 => Class::Recipient,   // To does not look like a number
        21408 => MESSAGE,            // the recipient's country is not enabled; others are
        21601 => ACCOUNT,            // From cannot do SMS
        21602 => Class::Content,     // neither Body nor MediaUrl
        21603 => ACCOUNT,            // no sender
        21605 => Class::Content,     // Body too long
        21606 => ACCOUNT,            // From is not ours, or cannot send messages
        21607 => ACCOUNT,            // From is not verified (trial account)
        21608 => MESSAGE,            // To is not verified (trial account); others are
        21609 => ACCOUNT,            // StatusCallback: our public URL is not one
        OPTED_OUT => Class::Recipient,
        21611 => BUSY,             // the sender's queue is full
        21612 => Class::Recipient, // To cannot be reached from this From
        21614 => Class::Recipient, // To is no mobile number
        21616 => ACCOUNT,          // From matches several numbers
        21617 => Class::Content,   // Body longer than 1600 characters
        21618 => Class::Content,   // the carrier refuses the body
        21619 => Class::Content,   // the body of an update is refused
        21620 => Class::Content,   // MediaUrl is no URL
        21621 => MESSAGE,          // From cannot do MMS
        21622 => MESSAGE,          // MMS is not enabled for this pair
        21623 => Class::Content,   // more than ten media
        21624 => MESSAGE,          // ValidityPeriod not accepted
        21635 => Class::Recipient, // To is a landline
        21654..=21656 => Class::Content, // content template: missing, variables, not approved
        21660 => ACCOUNT,          // From belongs to another account
        21701..=21705 | 21709 | 21712 => ACCOUNT, // messaging service: missing, empty, not ours
        // ---- reports of the carriers ----
        30001 => BUSY,               // the sender's queue overflowed
        30002 => Class::Credentials, // account suspended
        30003 => Class::Recipient,   // handset off or out of reach
        30004 => Class::Recipient,   // blocked
        30005 => Class::Recipient,   // unknown handset
        30006 => Class::Recipient,   // landline, or a carrier that is not reached
        30007 => Class::Content,     // filtered as unwanted
        30008 => Class::Retry,       // unknown error
        30010 => MESSAGE,            // dearer than the price cap
        30011 => Class::Recipient,   // no MMS at this recipient
        30017 => Class::Retry,       // the carrier's network is congested
        30018 => MESSAGE,            // the recipient's carrier wants a registered sender id
        30019 => Class::Content,     // too large for the carrier
        30020 | 30021 => Class::Retry, // internal failures
        30022 => BUSY,               // faster than the 10DLC registration allows
        30023 | 30027 => CAPPED,     // the day's messages to this carrier are used up
        30024 => MESSAGE,            // numeric sender id not provisioned at this carrier
        30032 => ACCOUNT,            // toll-free number not verified
        30034 => ACCOUNT,            // number not registered for 10DLC
        30036 => Class::Recipient,   // the validity period ended
        30410 => Class::Retry,       // the provider did not answer in time
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of Twilio's that we know of, by what it means to us.
    const EXPECTED: &[(&str, &[u32])] = &[
        ("retry", &[20409, 30008, 30017, 30020, 30021, 30410]),
        ("unsure", &[20500, 20503]),
        (
            "limited",
            &[20429, 21611, 30001, 30022, 30023, 30027],
        ),
        ("credentials", &[20003, 20005, 20006, 30002]),
        (
            "recipient",
            &[
                21211, 21214, 21217, 21610, 21612, 21614, 21635, 30003, 30004, 30005, 30006, 30011,
                30036,
            ],
        ),
        (
            "content",
            &[
                20001, 20422, 21602, 21605, 21617, 21618, 21619, 21620, 21623, 21654, 21655, 21656,
                30007, 30019,
            ],
        ),
        (
            "setup",
            &[
                20008, 20404, 21212, 21408, 21601, 21603, 21606, 21607, 21608, 21609, 21616, 21621,
                21622, 21624, 21660, 21701, 21702, 21703, 21704, 21705, 21709, 21712, 30010, 30018,
                30024, 30032, 30034,
            ],
        ),
    ];

    #[test]
    fn every_code_has_its_class_and_no_other_has_one() {
        let mut known = Vec::new();
        for (name, codes) in EXPECTED {
            for code in *codes {
                assert_eq!(class_of(*code).map(Class::name), Some(*name), "{code}");
                known.push(*code);
            }
        }
        for code in 0..70_000 {
            assert_eq!(class_of(code).is_some(), known.contains(&code), "{code}");
        }
    }

    #[test]
    fn reports_without_a_listed_code() {
        let cases = [
            ("undelivered", None, "recipient"),
            ("failed", None, "retry"),
            ("canceled", None, "setup"),
            ("failed", Some(30999), "recipient"),
            ("failed", Some(21999), "content"),
            ("failed", Some(12), "content"),
        ];
        for (status, code, expected) in cases {
            assert_eq!(failed(status, code).name(), expected, "{status} {code:?}");
        }
    }
}
