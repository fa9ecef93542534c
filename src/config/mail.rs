//! `[mail]`: what holds for every mail server.

use super::value::{self, Text};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Certification authorities that mail servers may be certified by beside the public ones, in
    /// PEM.
    #[serde(deserialize_with = "trusted")]
    pub trusted_ca: String,
}

/// Certificates in PEM, or nothing.
struct Certificates(String);

impl Text for Certificates {
    const ALLOWED: &'static str = "file: and the path of a file with certificates in PEM";

    fn read(text: &str) -> Option<Self> {
        let mut found = 0;
        for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
            certificate.ok()?;
            found += 1;
        }
        (found > 0 || text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn found(text: &str) -> String {
        // It may be a key that was mixed up with its certificate.
        format!("{} bytes that hold no certificate", text.len())
    }
}

fn trusted<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    value::text(deserializer).map(|Certificates(text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_from_other_things() {
        assert!(Certificates::read("").is_some());
        let pem = |what: &str| format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n");
        assert!(Certificates::read(&pem("CERTIFICATE")).is_some());
        for wrong in ["/etc/ssl/ca.pem".to_owned(), pem("PRIVATE KEY")] {
            assert!(Certificates::read(&wrong).is_none(), "{wrong}");
        }
    }
}
