//! OAuth 1.0a (RFC 5849) with HMAC-SHA1, as X wants it: query and form are signed, JSON and
//! multipart bodies are not, and there is no `oauth_body_hash`.

use super::config::Settings;
use crate::kit::http::{Body, Method, Request};
use crate::kit::sign::{base64, hmac_sha1};
use std::fmt::Write;
use url::Url;

/// What makes one signature differ from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Used once.
    pub nonce: String,
    /// Unix seconds.
    pub timestamp: i64,
}

/// The value of the `Authorization` header of a request.
pub fn authorization(settings: &Settings, request: &Request, stamp: &Stamp) -> String {
    let mut fields = vec![
        ("oauth_consumer_key", settings.api_key.expose().to_owned()),
        ("oauth_nonce", stamp.nonce.clone()),
        ("oauth_signature_method", "HMAC-SHA1".to_owned()),
        ("oauth_timestamp", stamp.timestamp.to_string()),
        ("oauth_token", settings.access_token.expose().to_owned()),
        ("oauth_version", "1.0".to_owned()),
    ];
    let signature = signature(settings, request, &fields);
    fields.push(("oauth_signature", signature));
    fields.sort();
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", encode(value)))
        .collect();
    format!("OAuth {}", pairs.join(", "))
}

/// The signature of a request with these OAuth parameters, in base64.
pub fn signature(settings: &Settings, request: &Request, oauth: &[(&str, String)]) -> String {
    let key = format!(
        "{}&{}",
        encode(settings.api_secret.expose()),
        encode(settings.access_token_secret.expose())
    );
    let base = base_string(request, oauth);
    base64(&hmac_sha1(key.as_bytes(), &[base.as_bytes()]))
}

/// What is signed: method, URL without query, and all parameters in order.
fn base_string(request: &Request, oauth: &[(&str, String)]) -> String {
    let method = match request.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
        Method::Head => "HEAD",
    };
    let mut parameters: Vec<(String, String)> = oauth
        .iter()
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    let without_query = match Url::parse(&request.url) {
        Ok(mut url) => {
            for (name, value) in url.query_pairs() {
                parameters.push((encode(&name), encode(&value)));
            }
            url.set_query(None);
            url.set_fragment(None);
            url.to_string()
        }
        Err(_) => request.url.clone(),
    };
    if let Body::Form(fields) = &request.body {
        let encoded = fields.iter().map(|(name, value)| (encode(name), encode(value)));
        parameters.extend(encoded);
    }
    parameters.sort();
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{method}&{}&{}",
        encode(&without_query),
        encode(&pairs.join("&"))
    )
}

/// Percent-encoding of RFC 3986: everything but the unreserved characters, in upper-case
/// hexadecimal.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            write!(out, "%{byte:02X}").unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        Settings::read(json!({
            "api_key": "ckEXAMPLE0001",
            "api_secret": "xk9ConsumerSecretExample0001",
            "access_token": "1000000000000000001-atEXAMPLE",
            "access_token_secret": "atsEXAMPLE0001",
            "user_id": "1000000000000000001",
        }))
        .unwrap()
    }

    fn signed(request: &Request) -> String {
        let stamp = Stamp {
            nonce: "n0nceEXAMPLE01".into(),
            timestamp: 1_795_219_200,
        };
        authorization(&settings(), request, &stamp)
    }

    /// Both vectors were made with oauthlib.
    #[test]
    fn vectors() {
        let url = "https://api.x.com/2/dm_conversations/with/1000000000000000002/messages";
        let post = signed(&Request::post_json(url, r#"{"text":"hi"}"#.into()));
        assert_eq!(
            post,
            "OAuth oauth_consumer_key=\"ckEXAMPLE0001\", oauth_nonce=\"n0nceEXAMPLE01\", \
             oauth_signature=\"M1SCSDbacRs4tZQkREoSXQ5Hprs%3D\", \
             oauth_signature_method=\"HMAC-SHA1\", oauth_timestamp=\"1795219200\", \
             oauth_token=\"1000000000000000001-atEXAMPLE\", oauth_version=\"1.0\""
        );
        let url =
            "https://api.x.com/2/dm_events?dm_event.fields=id,text,sender_id&max_results=50";
        let get = signed(&Request::get(url));
        assert!(get.contains("oauth_signature=\"EI%2B3zeB%2BwY3n7WJ62Ee1WNYMhWA%3D\""), "{get}");
    }

    #[test]
    fn forms_are_signed_and_other_bodies_are_not() {
        let url = "https://api.x.com/2/x";
        let json = |body: &str| signed(&Request::post_json(url, body.into()));
        assert_eq!(json("{}"), json("[]"));
        let form = |value: &str| {
            let fields = vec![("a".to_owned(), value.to_owned())];
            signed(&Request::post_form(url, fields))
        };
        assert_ne!(form("1"), form("2"));
    }

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(encode("aZ09-._~"), "aZ09-._~");
        assert_eq!(encode("a b+c&d=é"), "a%20b%2Bc%26d%3D%C3%A9");
    }
}
