//! Whose mail is believed. Mail is signed by nobody: what our own mailbox loop fetched is what lies in
//! the mailbox, and that is all there is to know. Nothing that comes over HTTP is mail, except from the
//! relay of the sandbox, which signs.

use super::config::{Settings, Way};
use super::wire::relay;
use crate::error::Rejected;
use crate::kit::http::{Inbound, Via};
use crate::kit::mail::headers;

/// Lets in what the mailbox loop brought, and what a configured relay signed.
///
/// # Errors
/// For everything else.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let secrets = match (request.via, &settings.way) {
        (Via::Mailbox, _) => return Ok(()),
        (Via::Web, Way::Smtp(_)) => return Err(Rejected::Missing),
        (Via::Web, Way::Relay { secrets, .. }) => secrets,
    };
    let header = |name| request.headers.get(name).unwrap_or_default();
    let given = header(relay::SIGNATURE);
    if given.is_empty() {
        return Err(Rejected::Missing);
    }
    if !given.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Rejected::Malformed);
    }
    let facts = [headers::INTERNAL_DATE, headers::MAILBOX, headers::KEPT].map(header);
    if relay::is_signed(secrets, given, &facts, &request.body) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{sandbox_settings, tests::common};
    use super::*;
    use crate::kit::http::{Headers, Method};
    use crate::model::Millis;
    use serde_json::json;

    fn request(via: Via, headers: Headers) -> Inbound {
        Inbound {
            via,
            method: Method::Post,
            url: common().webhook_url,
            query: String::new(),
            headers,
            body: "From: a@x.se\r\n\r\nhi".into(),
            received_at: Millis(0),
        }
    }

    #[test]
    fn only_the_mailbox_brings_mail() {
        let value = json!({"smtp_url": "smtps://u:p@x.se", "address": "s@x.se"});
        let settings = Settings::read(&common(), value).unwrap();
        let verify = |via| verify(&settings, &request(via, Headers::default()));
        assert_eq!(verify(Via::Mailbox), Ok(()));
        assert_eq!(verify(Via::Web), Err(Rejected::Missing));
    }

    #[test]
    fn a_relay_signs_the_mail_and_what_is_said_of_it() {
        let settings = Settings::read(&common(), sandbox_settings()).unwrap();
        let Way::Relay { secrets, .. } = &settings.way else {
            panic!("the sandbox is no relay");
        };
        let mail = request(Via::Web, Headers::default()).body;
        let hook = relay::arrived("http://x", secrets.first().unwrap(), 17, "relay:1", mail);
        let good = request(Via::Web, hook.headers);
        assert_eq!(verify(&settings, &good), Ok(()));
        let mut other = good.clone();
        other.body = "From: b@x.se\r\n\r\nhi".into();
        assert_eq!(verify(&settings, &other), Err(Rejected::Mismatch));
        for name in [headers::INTERNAL_DATE, headers::MAILBOX, headers::KEPT] {
            let mut other = good.clone();
            other.headers = Headers::default().with(name, "1");
            for (n, v) in good.headers.iter().filter(|(n, _)| *n != name) {
                other.headers.push(n, v);
            }
            assert_eq!(verify(&settings, &other), Err(Rejected::Mismatch), "{name}");
        }
        let odd = Headers::default().with(relay::SIGNATURE, "no hex");
        assert_eq!(verify(&settings, &request(Via::Web, odd)), Err(Rejected::Malformed));
    }
}
