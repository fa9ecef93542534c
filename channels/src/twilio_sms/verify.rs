//! Whether a webhook is Twilio's: the classic signature, its variant for JSON, and the SharedKey scheme.

use super::config::Settings;
use super::wire::{Params, Shape};
use crate::error::Rejected;
use crate::kit::http::Inbound;
use crate::kit::secret::Secret;
use crate::kit::sign;

/// The header of the signature.
pub const SIGNATURE: &str = "x-twilio-signature";
/// The header that names key and algorithm in the SharedKey scheme.
pub const SETTINGS: &str = "x-twilio-webhooks-signature-settings";
/// The parameter that Twilio appends to the query when it posts JSON.
const BODY_HASH: &str = "bodySHA256";

/// The digest of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// Classic, and the SharedKey scheme's `HMAC_SHA1`.
    Sha1,
    /// The SharedKey scheme's `HMAC_SHA256`.
    Sha256,
}

/// Signs a URL and the decoded parameters that go with it; base64, as the header has it.
pub fn sign(digest: Digest, key: &Secret, url: &str, params: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = params.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut chunks = vec![url.as_bytes()];
    for (name, value) in sorted {
        chunks.push(name.as_bytes());
        chunks.push(value.as_bytes());
    }
    let key = key.expose().as_bytes();
    sign::base64(&match digest {
        Digest::Sha1 => sign::hmac_sha1(key, &chunks),
        Digest::Sha256 => sign::hmac_sha256(key, &chunks),
    })
}

/// Checks a webhook.
///
/// # Errors
/// When the signature is missing, malformed, or made with another key or over other bytes.
pub fn verify(request: &Inbound, settings: &Settings) -> Result<(), Rejected> {
    let signature = request.headers.get(SIGNATURE).ok_or(Rejected::Missing)?;
    let (digest, keys) = scheme(request, settings)?;
    let length = match digest {
        Digest::Sha1 => 20,
        Digest::Sha256 => 32,
    };
    if sign::from_base64(signature).is_none_or(|mac| mac.len() != length) {
        return Err(Rejected::Malformed);
    }
    let params = match Shape::of(request) {
        // The URL alone is signed. A body would be bytes that nobody vouches for.
        Shape::Query if !request.body.is_empty() => return Err(Rejected::Mismatch),
        Shape::Query => Params::default(),
        Shape::Json => {
            check_hash(request)?;
            Params::default()
        }
        // Twilio signs what it decoded from UTF-8; of anything else nobody knows what was signed.
        Shape::Form if std::str::from_utf8(&request.body).is_err() => {
            return Err(Rejected::Malformed);
        }
        Shape::Form => Params::read(&request.body),
    };
    let urls = candidates(&request.url);
    let matches = |key: &Secret| {
        urls.iter().any(|url| {
            let expected = sign(digest, key, url, params.pairs());
            sign::same(expected.as_bytes(), signature.as_bytes())
        })
    };
    if keys.into_iter().any(matches) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// The digest and the keys that may have signed. A channel that has no auth token knows the
/// SharedKey scheme only: without its header there is no key, and nothing matches.
fn scheme<'a>(
    request: &Inbound,
    settings: &'a Settings,
) -> Result<(Digest, Vec<&'a Secret>), Rejected> {
    let header = request.headers.get(SETTINGS).unwrap_or_default();
    let field = |name: &str| {
        let mut fields = header.split(',').filter_map(|f| f.split_once('='));
        fields.find_map(|(n, value)| (n.trim() == name).then_some(value.trim()))
    };
    let digest = match field("algorithm") {
        None => return Ok((Digest::Sha1, settings.signing_tokens().collect())),
        Some("HMAC_SHA1") => Digest::Sha1,
        Some("HMAC_SHA256") => Digest::Sha256,
        Some(_) => return Err(Rejected::Malformed),
    };
    let id = field("key").ok_or(Rejected::Malformed)?;
    let key = settings.webhook_shared_keys.get(id);
    Ok((digest, key.into_iter().collect()))
}

/// JSON is signed through its hash in the query; a JSON body without one is signed by nobody.
fn check_hash(request: &Inbound) -> Result<(), Rejected> {
    // The last one: Twilio appends it to whatever query was configured.
    let stated = form_urlencoded::parse(request.query.as_bytes())
        .filter(|(name, _)| name == BODY_HASH)
        .last()
        .map(|(_, value)| value.into_owned())
        .ok_or(Rejected::Missing)?;
    if sign::same(
        sign::sha256_hex(&request.body).as_bytes(),
        stated.as_bytes(),
    ) {
        Ok(())
    } else {
        Err(Rejected::Mismatch)
    }
}

/// The URLs that Twilio may have signed: it writes the default port or leaves it out, as it likes. A
/// port of our own is tried, and left out, too.
fn candidates(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    // In `[::1]:443` only what follows the bracket can be a port.
    let after_bracket = authority.rfind(']').map_or(0, |i| i + 1);
    let (address, host_and_port) = authority.split_at(after_bracket);
    let (name, port) = match host_and_port.rsplit_once(':') {
        Some((name, port)) => (name, port),
        None if scheme.eq_ignore_ascii_case("http") => (host_and_port, "80"),
        None => (host_and_port, "443"),
    };
    vec![
        format!("{scheme}://{address}{name}{tail}"),
        format!("{scheme}://{address}{name}:{port}{tail}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::{Headers, Method};
    use crate::model::Millis;
    use serde_json::{Value, json};

    #[test]
    fn both_forms_of_a_url() {
        let cases = [
            ("https://a.b/c?d=e:9/f", "https://a.b:443/c?d=e:9/f"),
            ("http://a.b?c", "http://a.b:80?c"),
            ("https://[::1]/c", "https://[::1]:443/c"),
            ("https://a.b", "https://a.b:443"),
        ];
        for (without, with) in cases {
            assert_eq!(candidates(without), [without, with]);
            assert_eq!(candidates(with), [without, with]);
        }
        let own = ["https://a.b/c", "https://a.b:8443/c"];
        assert_eq!(candidates("https://a.b:8443/c"), own);
        assert_eq!(candidates("nonsense"), ["nonsense"]);
    }

    fn request(signature: &str, header: &str) -> Inbound {
        let mut headers = Headers::default().with("X-Twilio-Signature", signature);
        if !header.is_empty() {
            headers.push(SETTINGS, header);
        }
        Inbound {
            via: crate::kit::http::Via::Web,
            method: Method::Post,
            url: "https://gw.example.net/t".to_owned(),
            query: String::new(),
            headers,
            body: "Body=hi&From=%2B15005550006".into(),
            received_at: Millis(0),
        }
    }

    fn settings(change: impl FnOnce(&mut Value)) -> Settings {
        let mut settings = super::super::sandbox_settings();
        settings["auth_token"] = json!("f0e1d2c3b4a5968778695a4b3c2d1e0f");
        settings["webhook_shared_keys"] = json!({"k1": "shared secret"});
        change(&mut settings);
        Settings::read(settings).unwrap()
    }

    /// Made by Twilio's own library over the request above.
    const CLASSIC: &str = "gBpuMI8l1RGwo034HF3ZEFpNilg=";

    #[test]
    fn tokens_that_are_being_changed_are_all_accepted() {
        let all = [
            settings(|_| {}),
            settings(|s| {
                s["auth_token_previous"] = s["auth_token"].clone();
                s["auth_token"] = json!("new");
            }),
            settings(|s| s["auth_token"] = json!(["new", "f0e1d2c3b4a5968778695a4b3c2d1e0f"])),
        ];
        for settings in all {
            assert_eq!(verify(&request(CLASSIC, ""), &settings), Ok(()));
        }
        let other = settings(|s| s["auth_token"] = json!("new"));
        let refused = verify(&request(CLASSIC, ""), &other);
        assert_eq!(refused, Err(Rejected::Mismatch));
    }

    #[test]
    fn shared_keys_cannot_be_talked_out_of() {
        let only_shared = settings(|s| {
            s["auth_token"] = Value::Null;
            s["api_key_sid"] = json!("SK1");
            s["api_key_secret"] = json!("x");
        });
        let params = Params::read(b"Body=hi&From=%2B15005550006");
        let url = "https://gw.example.net/t";
        let key = Secret::new("shared secret");
        let sha1 = sign(Digest::Sha1, &key, url, params.pairs());
        let sha256 = sign(Digest::Sha256, &key, url, params.pairs());
        let cases = [
            (sha256.as_str(), "key=k1,algorithm=HMAC_SHA256", Ok(())),
            (sha1.as_str(), "key=k1, algorithm=HMAC_SHA1", Ok(())),
            (sha1.as_str(), "key=k1,algorithm=HMAC_SHA256", Err(Rejected::Malformed)),
            (sha256.as_str(), "key=k2,algorithm=HMAC_SHA256", Err(Rejected::Mismatch)),
            (sha256.as_str(), "algorithm=HMAC_SHA256", Err(Rejected::Malformed)),
            (sha256.as_str(), "key=k1,algorithm=NONE", Err(Rejected::Malformed)),
            (sha1.as_str(), "key=k1", Err(Rejected::Mismatch)),
            (CLASSIC, "", Err(Rejected::Mismatch)),
        ];
        for (signature, header, expected) in cases {
            let found = verify(&request(signature, header), &only_shared);
            assert_eq!(found, expected, "{header}");
        }
    }

    #[test]
    fn a_get_has_no_body() {
        let settings = settings(|_| {});
        let token = settings.signing_tokens().next().unwrap().clone();
        let mut request = request("", "");
        request.method = Method::Get;
        let signature = sign(Digest::Sha1, &token, &request.url, &[]);
        request.headers = Headers::default().with(SIGNATURE, signature);
        assert_eq!(verify(&request, &settings), Err(Rejected::Mismatch));
        request.body = bytes::Bytes::new();
        assert_eq!(verify(&request, &settings), Ok(()));
    }
}
