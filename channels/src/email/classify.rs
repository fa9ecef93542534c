//! What a mail server's answer means. The enhanced code (RFC 3463) is read first: it says what the
//! three digits only hint at. Words decide where there is no code for it, in one table.

use crate::error::{Class, LimitScope, SendError, SetupScope};
use crate::kit::mail::{MailError, SmtpReply, Stage};
use std::time::Duration;

/// A greylisting server takes the second try after some minutes (usually five).
const GREYLISTED: Duration = Duration::from_secs(300);
/// "Slow down" without a number: five minutes are what large providers ask for at least.
const SLOW_DOWN: Duration = Duration::from_secs(300);
/// A day's quota is used up. It comes back bit by bit, so asking every hour is enough.
const QUOTA: Duration = Duration::from_secs(3600);

/// Words of servers that limit without a code of their own.
const LIMIT_WORDS: [&str; 7] = [
    "rate limit", "ratelimit", "too many", "throttl", "try again later", "too fast", "slow down",
];
/// Words of greylisting servers.
const GREYLIST_WORDS: [&str; 3] = ["greylist", "graylist", "grey list"];
/// Words of servers that refuse a 550 or 554 for what it says or where it comes from.
const POLICY_WORDS: [&str; 6] = ["spam", "blocked", "policy", "blacklist", "blocklist", "reputation"];

/// An enhanced status code.
pub type Enhanced = (u8, u16, u16);

/// The outcome of a submission that nobody's mail survived.
pub fn failed(error: &MailError) -> SendError {
    match error {
        MailError::NotSent(text) => SendError::new(Class::Retry, "not-sent", text),
        MailError::NoAnswer(text) => SendError::new(Class::Unsure, "no-answer", text),
        MailError::Refused {
            stage,
            reply,
            recipients,
        } => {
            // Where one of several may be reached later, the mail is worth another try.
            let answers = recipients.iter().map(|(_, reply)| refused(*stage, reply));
            let first = refused(*stage, reply);
            answers.fold(first, |best, other| {
                let later = |e: &SendError| matches!(e.class, Class::Retry | Class::Limited { .. });
                if later(&best) || !later(&other) {
                    best
                } else {
                    other
                }
            })
        }
    }
}

/// A refusal at a stage.
pub fn refused(stage: Stage, reply: &SmtpReply) -> SendError {
    let class = class(stage, reply.code, reply.enhanced(), &reply.text);
    let code = match reply.enhanced() {
        Some((a, b, c)) => format!("{} {a}.{b}.{c}", reply.code),
        None => reply.code.to_string(),
    };
    SendError::new(class, code, &reply.text)
}

/// What a delivery report's status means. A report of a failure is final, whatever its first digit.
pub fn reported(status: Option<Enhanced>, text: &str) -> Class {
    let status = status.map(|(_, subject, detail)| (5, subject, detail));
    match class(Stage::Data, 550, status, text) {
        Class::Recipient => Class::Recipient,
        Class::Setup { .. } => Class::Setup {
            scope: SetupScope::Message,
        },
        _ => Class::Content,
    }
}

/// The class of an answer.
pub fn class(stage: Stage, code: u16, enhanced: Option<Enhanced>, text: &str) -> Class {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let limited = |after, scope| Class::Limited {
        after: Some(after),
        scope,
    };
    if code < 400 {
        // No answer that a server may give here: what became of the message is unknown once it was
        // sent, and nothing before.
        return if stage == Stage::Data {
            Class::Unsure
        } else {
            Class::Retry
        };
    }
    if matches!(code, 530 | 534 | 535 | 538) {
        return Class::Credentials;
    }
    if matches!(enhanced, Some((5, 4, 5))) {
        return limited(QUOTA, LimitScope::Lane);
    }
    if matches!(enhanced, Some((4 | 5, 7, 28))) {
        return limited(SLOW_DOWN, LimitScope::Lane);
    }
    if (400..500).contains(&code) {
        return if says(&GREYLIST_WORDS) {
            limited(GREYLISTED, LimitScope::Recipient)
        } else if code != 454 && limits(enhanced, says(&LIMIT_WORDS), &text) {
            limited(SLOW_DOWN, LimitScope::Lane)
        } else {
            Class::Retry
        };
    }
    match enhanced {
        Some((5, subject, detail)) => permanent(stage, subject, detail),
        // A permanent answer with a transient code: the code is the more careful of the two.
        Some((4, _, _)) => Class::Retry,
        _ => basic(stage, code, says(&POLICY_WORDS), &text),
    }
}

/// Whether a 4xx is a limit on how fast we send.
fn limits(enhanced: Option<Enhanced>, words: bool, text: &str) -> bool {
    match enhanced {
        Some((4, 2, 1)) => text.contains("rate"),
        // 4.2.2 and the like say what is wrong; "try again later" is courtesy there.
        Some((4, 1..=2, _)) => false,
        Some((4, 3, 1..=2) | (4, 5, 3)) | None => words,
        _ => words,
    }
}

/// A permanent refusal by its enhanced code.
fn permanent(stage: Stage, subject: u16, detail: u16) -> Class {
    match (subject, detail) {
        (1, 7 | 8) => setup(stage),
        (1, _) | (2, 0 | 1 | 2 | 4) => Class::Recipient,
        (2, _) | (3, 4) => Class::Content,
        (3, _) => Class::Retry,
        (4, 6) => Class::Setup {
            scope: SetupScope::Message,
        },
        (4, _) => Class::Recipient,
        (5, 3) => Class::Setup {
            scope: SetupScope::Message,
        },
        (5, _) => setup(stage),
        (6, _) => Class::Content,
        (7, 8 | 9 | 13 | 14) => Class::Credentials,
        (7, 25..=29) => setup(stage),
        (7, _) => Class::Content,
        _ => Class::Content,
    }
}

/// A permanent refusal by its three digits.
fn basic(stage: Stage, code: u16, policy: bool, text: &str) -> Class {
    match code {
        500..=504 => setup(stage),
        521 | 554 if matches!(stage, Stage::Greeting | Stage::Hello) => setup(stage),
        521 | 551 | 556 => Class::Recipient,
        550 if policy => Class::Content,
        550 if stage == Stage::Data => Class::Content,
        550 => Class::Recipient,
        553 if text.contains("sender") => setup(stage),
        553 => Class::Recipient,
        _ => Class::Content,
    }
}

/// Something is not set up. Before the first recipient it is the account that is wrong; later it may be
/// one message or one recipient's server, which must not stop all others.
fn setup(stage: Stage) -> Class {
    let scope = match stage {
        Stage::Greeting | Stage::Hello | Stage::Auth | Stage::Sender => SetupScope::Account,
        Stage::Recipient | Stage::Data => SetupScope::Message,
    };
    Class::Setup { scope }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stage: Stage, code: u16, text: &str) -> Class {
        let text = text.to_owned();
        refused(stage, &SmtpReply { code, text }).class
    }

    const ACCOUNT: Class = Class::Setup {
        scope: SetupScope::Account,
    };
    const MESSAGE: Class = Class::Setup {
        scope: SetupScope::Message,
    };

    fn lane(after: Duration) -> Class {
        Class::Limited {
            after: Some(after),
            scope: LimitScope::Lane,
        }
    }

    #[test]
    fn basic_codes() {
        use Stage::{Auth, Data, Greeting, Hello, Recipient, Sender};
        for (stage, code, text, class) in [
            (Greeting, 421, "closing", Class::Retry),
            (Data, 421, "Service not available", Class::Retry),
            (Recipient, 450, "mailbox busy", Class::Retry),
            (Data, 451, "local error", Class::Retry),
            (Data, 452, "storage", Class::Retry),
            (Auth, 432, "password transition", Class::Retry),
            (Auth, 454, "temporary authentication failure, too many logins", Class::Retry),
            (Data, 455, "parameters", Class::Retry),
            (Sender, 555, "parameters", Class::Content),
            (Hello, 500, "syntax", ACCOUNT),
            (Hello, 501, "syntax", ACCOUNT),
            (Sender, 501, "sender syntax", ACCOUNT),
            (Recipient, 501, "syntax", MESSAGE),
            (Hello, 502, "unsupported", ACCOUNT),
            (Hello, 503, "sequence", ACCOUNT),
            (Auth, 504, "mechanism", ACCOUNT),
            (Greeting, 521, "no mail here", ACCOUNT),
            (Recipient, 521, "no mail here", Class::Recipient),
            (Recipient, 556, "null MX", Class::Recipient),
            (Sender, 530, "authentication required", Class::Credentials),
            (Auth, 534, "too weak", Class::Credentials),
            (Auth, 535, "bad credentials", Class::Credentials),
            (Auth, 538, "encryption needed", Class::Credentials),
            (Recipient, 550, "no such user", Class::Recipient),
            (Recipient, 550, "blocked by our policy", Class::Content),
            (Data, 550, "refused", Class::Content),
            (Recipient, 551, "user not local", Class::Recipient),
            (Data, 552, "too big", Class::Content),
            (Recipient, 553, "bad address", Class::Recipient),
            (Sender, 553, "sender not allowed", ACCOUNT),
            (Greeting, 554, "reputation", ACCOUNT),
            (Hello, 554, "no", ACCOUNT),
            (Data, 554, "transaction failed", Class::Content),
            (Recipient, 554, "refused", Class::Content),
            (Data, 599, "what", Class::Content),
            (Data, 354, "go on", Class::Unsure),
            (Recipient, 251, "forwarded", Class::Retry),
        ] {
            assert_eq!(of(stage, code, text), class, "{stage:?} {code} {text}");
        }
    }

    #[test]
    fn enhanced_codes_come_first() {
        use Stage::{Auth, Data, Recipient, Sender};
        for (stage, code, text, class) in [
            (Recipient, 550, "5.1.0 address", Class::Recipient),
            (Recipient, 550, "5.1.1 no such user", Class::Recipient),
            (Recipient, 550, "5.1.2 no such host", Class::Recipient),
            (Recipient, 553, "5.1.3 syntax", Class::Recipient),
            (Recipient, 550, "5.1.6 moved", Class::Recipient),
            (Recipient, 556, "5.1.10 null MX", Class::Recipient),
            (Sender, 550, "5.1.7 sender syntax", ACCOUNT),
            (Sender, 553, "5.1.8 sender domain", ACCOUNT),
            (Recipient, 550, "5.2.0 mailbox", Class::Recipient),
            (Recipient, 550, "5.2.1 disabled", Class::Recipient),
            (Data, 552, "5.2.2 full", Class::Recipient),
            (Data, 552, "5.2.3 too long", Class::Content),
            (Recipient, 550, "5.2.4 list", Class::Recipient),
            (Data, 554, "5.3.0 system", Class::Retry),
            (Data, 552, "5.3.4 too big", Class::Content),
            (Recipient, 550, "5.4.1 no answer from host", Class::Recipient),
            (Data, 550, "5.4.5 Daily user sending limit exceeded", lane(QUOTA)),
            (Data, 554, "5.4.6 loop", MESSAGE),
            (Data, 550, "5.4.7 expired", Class::Recipient),
            (Sender, 503, "5.5.1 sequence", ACCOUNT),
            (Recipient, 501, "5.5.2 syntax", MESSAGE),
            (Recipient, 550, "5.5.3 too many recipients", MESSAGE),
            (Data, 554, "5.6.0 media", Class::Content),
            (Data, 554, "5.6.1 conversion", Class::Content),
            (Data, 550, "5.7.0 refused", Class::Content),
            (Data, 550, "5.7.1 spam", Class::Content),
            (Data, 550, "5.7.25 reverse DNS", MESSAGE),
            (Sender, 550, "5.7.26 SPF and DKIM", ACCOUNT),
            (Data, 550, "5.7.27 SPF", MESSAGE),
            (Data, 550, "5.7.29 TLS", MESSAGE),
            (Data, 550, "5.7.28 rate", lane(SLOW_DOWN)),
            (Auth, 550, "5.7.8 credentials", Class::Credentials),
            (Auth, 534, "5.7.9 application password", Class::Credentials),
            (Auth, 550, "5.7.13 account disabled", Class::Credentials),
            (Auth, 550, "5.7.14 trust", Class::Credentials),
            (Data, 550, "5.9.9 of the future", Class::Content),
            (Data, 550, "4.7.0 later", Class::Retry),
        ] {
            assert_eq!(of(stage, code, text), class, "{stage:?} {code} {text}");
        }
        for subject in 0..=7 {
            for detail in [0, 1, 2, 4, 8, 10] {
                let text = format!("4.{subject}.{detail} later");
                assert_eq!(of(Recipient, 450, &text), Class::Retry, "{text}");
            }
        }
    }

    #[test]
    fn servers_that_limit_are_obeyed() {
        use Stage::{Data, Greeting, Recipient};
        let grey = Class::Limited {
            after: Some(GREYLISTED),
            scope: LimitScope::Recipient,
        };
        for (stage, code, text, class) in [
            (Recipient, 450, "4.2.0 Greylisted, see http://x", grey),
            (Recipient, 451, "4.7.1 Greylisting in action", grey),
            (Data, 421, "4.7.28 unusual rate", lane(SLOW_DOWN)),
            (Data, 450, "4.2.1 receiving mail at too high a rate", lane(SLOW_DOWN)),
            (Data, 450, "4.2.1 mailbox disabled for now", Class::Retry),
            (Data, 452, "4.2.2 full, try again later", Class::Retry),
            (Greeting, 421, "too many connections", lane(SLOW_DOWN)),
            (Data, 432, "4.3.2 concurrent limit, throttled", lane(SLOW_DOWN)),
            (Data, 452, "4.5.3 too many recipients this hour", lane(SLOW_DOWN)),
            (Data, 451, "4.3.0 try again later", lane(SLOW_DOWN)),
        ] {
            assert_eq!(of(stage, code, text), class, "{stage:?} {code} {text}");
        }
    }

    #[test]
    fn one_who_may_be_reached_later_is_worth_another_try() {
        let reply = |code, text: &str| SmtpReply {
            code,
            text: text.to_owned(),
        };
        let gone = reply(550, "5.1.1 no such user");
        let error = MailError::Refused {
            stage: Stage::Recipient,
            reply: gone.clone(),
            recipients: vec![
                ("a@x.se".to_owned(), gone),
                ("b@x.se".to_owned(), reply(450, "4.2.1 busy")),
            ],
        };
        assert_eq!(failed(&error).class, Class::Retry);
        assert_eq!(failed(&MailError::NotSent("x".to_owned())).class, Class::Retry);
        assert_eq!(failed(&MailError::NoAnswer("x".to_owned())).class, Class::Unsure);
    }

    #[test]
    fn a_report_of_a_failure_is_final() {
        for (status, text, class) in [
            (Some((5, 1, 1)), "", Class::Recipient),
            (Some((4, 4, 7)), "expired", Class::Recipient),
            (Some((5, 7, 1)), "", Class::Content),
            (Some((5, 7, 26)), "", MESSAGE),
            (Some((4, 3, 0)), "", Class::Content),
            (None, "smtp; 550 blocked", Class::Content),
        ] {
            assert_eq!(reported(status, text), class, "{status:?} {text}");
        }
    }
}
