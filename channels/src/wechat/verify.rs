//! Signatures and handshakes, all of them in the query; and the opening of encrypted bodies.
//!
//! `signature` covers token, time and nonce, but nothing of the body: whoever has seen one callback
//! could send others with it. `msg_signature` covers the encrypted text too, which is why only the
//! encrypted copy of a message is read unless the operator chose the mode `plaintext`.

use super::config::{Mode, Settings};
use super::crypt::{open, signature};
use super::xml;
use crate::error::Rejected;
use crate::kit::http::{Inbound, Method, Reply};
use crate::kit::sign::same;
use crate::model::Millis;

/// How far a callback's time may be from ours: our own rule. WeChat's three tries take 15 seconds.
const MAX_AGE_MILLIS: i64 = 5 * 60 * 1000;

/// Answers the check of the URL: the echo when the signature holds, else 403. WeChat only ever
/// posts events, so every GET is such a check, also without anything to echo.
pub fn handshake(settings: &Settings, request: &Inbound) -> Option<Reply> {
    if request.method != Method::Get {
        return None;
    }
    let echo = request.query_value("echostr");
    Some(match (signed(settings, request), echo) {
        (Ok(_), Some(echo)) => Reply::text(200, echo),
        _ => Reply::empty(403),
    })
}

/// Checks the signatures of a callback.
///
/// # Errors
/// When one is missing, of another form or made with another token; when the callback is too old,
/// is not encrypted although the mode says so, or does not open with any of our keys.
pub fn verify(settings: &Settings, request: &Inbound) -> Result<(), Rejected> {
    let time = signed(settings, request)?;
    let age = request.received_at.since(Millis::from_seconds(time));
    if !(-MAX_AGE_MILLIS..=MAX_AGE_MILLIS).contains(&age) {
        return Err(Rejected::Mismatch);
    }
    if !is_encrypted(request) {
        return match settings.mode {
            Mode::Plaintext => Ok(()),
            Mode::Compat | Mode::Safe => Err(Rejected::Missing),
        };
    }
    let given = hex_value(request, "msg_signature")?;
    let encrypted = encrypted(&request.body).ok_or(Rejected::Missing)?;
    let values = [
        request.query_value("timestamp").unwrap_or_default(),
        request.query_value("nonce").unwrap_or_default(),
        encrypted.clone(),
    ];
    if !is_signature(settings, &given, &values) {
        return Err(Rejected::Mismatch);
    }
    opened(settings, &encrypted).map(drop).ok_or(Rejected::Mismatch)
}

/// The body to be read: the encrypted copy where there is one. `None`: it does not open.
pub fn body(settings: &Settings, request: &Inbound) -> Option<Vec<u8>> {
    if !is_encrypted(request) {
        return Some(request.body.to_vec());
    }
    opened(settings, &encrypted(&request.body)?)
}

/// Checks `signature` and gives the time that it covers, in seconds.
fn signed(settings: &Settings, request: &Inbound) -> Result<i64, Rejected> {
    let given = hex_value(request, "signature")?;
    let time = request.query_value("timestamp").ok_or(Rejected::Missing)?;
    let nonce = request.query_value("nonce").ok_or(Rejected::Missing)?;
    if !is_signature(settings, &given, &[time.clone(), nonce]) {
        return Err(Rejected::Mismatch);
    }
    let digits = time.bytes().all(|b| b.is_ascii_digit());
    let seconds = time.parse().ok().filter(|_| digits);
    seconds.ok_or(Rejected::Malformed)
}

/// Whether one of our tokens signs these values so. Each is tried, also after a match, so that the
/// time does not tell which one it was.
fn is_signature(settings: &Settings, given: &str, values: &[String]) -> bool {
    settings.token.iter().fold(false, |found, token| {
        let mut all: Vec<&str> = values.iter().map(String::as_str).collect();
        all.push(token.expose());
        same(given.as_bytes(), signature(&all).as_bytes()) | found
    })
}

/// A parameter that holds a SHA-1.
fn hex_value(request: &Inbound, name: &str) -> Result<String, Rejected> {
    let given = request.query_value(name).ok_or(Rejected::Missing)?;
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    match given.len() {
        0 => Err(Rejected::Missing),
        40 if given.bytes().all(is_hex) => Ok(given),
        _ => Err(Rejected::Malformed),
    }
}

/// Whether the query says that the body is encrypted.
fn is_encrypted(request: &Inbound) -> bool {
    let kind = request.query_value("encrypt_type");
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("aes"))
}

/// The text of `Encrypt`.
fn encrypted(body: &[u8]) -> Option<String> {
    let document = xml::document(body).ok()?;
    document.word("Encrypt").map(str::to_owned)
}

/// What one of our keys opens. After a change of the key WeChat goes on with the one before.
fn opened(settings: &Settings, encrypted: &str) -> Option<Vec<u8>> {
    settings
        .keys()
        .find_map(|key| open(&key, encrypted, &settings.app_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::http::Headers;
    use crate::wechat::crypt::{key, seal};
    use serde_json::{Value, json};

    const NOW: i64 = 1_795_000_100;
    const KEY: &str = "Zm9yVGVzdE9ubHlLZXkwMTIzNDU2Nzg5QWJDZEVmR2h";
    const OTHER: &str = "U2FuZGJveEtleU9mVGhlV2VDaGF0RW11bGF0b3IwMDE";
    const APP: &str = "wx0123456789abcdef";

    fn settings(changes: Value) -> Settings {
        let mut value = json!({"app_id": APP, "app_secret": "s", "token": "demoToken2026",
            "encoding_aes_key": KEY});
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        Settings::read(value).unwrap()
    }

    fn request(method: Method, query: String, body: String) -> Inbound {
        Inbound {
            via: crate::kit::http::Via::Web,
            method,
            url: format!("https://gw.example.net/webhooks/desk?{query}"),
            query,
            headers: Headers::default(),
            body: body.into(),
            received_at: Millis(NOW * 1000),
        }
    }

    fn query(time: i64) -> String {
        let signature = signature(&["demoToken2026", &time.to_string(), "77"]);
        format!("signature={signature}&timestamp={time}&nonce=77&openid=o1")
    }

    fn encrypted(time: i64, with: &str, app: &str) -> Inbound {
        let sealed = seal(&key(with).unwrap(), [1; 16], b"<xml/>", app);
        let signature = signature(&["demoToken2026", &time.to_string(), "77", &sealed]);
        let query = format!("{}&encrypt_type=aes&msg_signature={signature}", query(time));
        request(Method::Post, query, format!("<xml><Encrypt>{sealed}</Encrypt></xml>"))
    }

    #[test]
    fn the_url_is_confirmed_by_its_echo() {
        let query = "signature=14a6587edeca94d53812a19bc92278ec262247c6&timestamp=1767225600\
                     &nonce=918273645&echostr=5299418760142536087";
        let settings = settings(json!({}));
        let ask = |query: &str| {
            handshake(&settings, &request(Method::Get, query.into(), String::new())).unwrap()
        };
        let reply = ask(query);
        assert_eq!((reply.status, reply.body.as_str()), (200, "5299418760142536087"));
        assert_eq!(ask(&query.replace("14a6", "14a7")).status, 403);
        assert_eq!(ask(query.split("&echostr").next().unwrap()).status, 403);
        assert_eq!(ask("").status, 403);
        let post = request(Method::Post, query.into(), String::new());
        assert_eq!(handshake(&settings, &post), None);
    }

    #[test]
    fn each_mode_takes_what_it_promises() {
        let plain = request(Method::Post, query(NOW), "<xml/>".into());
        let mut raw = plain.clone();
        raw.query.push_str("&encrypt_type=raw");
        for (mode, expected) in [
            ("plaintext", Ok(())),
            ("compat", Err(Rejected::Missing)),
            ("safe", Err(Rejected::Missing)),
        ] {
            let settings = settings(json!({"mode": mode}));
            assert_eq!(verify(&settings, &plain), expected, "{mode}");
            assert_eq!(verify(&settings, &raw), expected, "{mode}");
            assert_eq!(verify(&settings, &encrypted(NOW, KEY, APP)), Ok(()), "{mode}");
        }
        let keyless = settings(json!({"mode": "plaintext", "encoding_aes_key": null}));
        assert_eq!(verify(&keyless, &encrypted(NOW, KEY, APP)), Err(Rejected::Mismatch));
    }

    #[test]
    fn only_our_token_key_and_account_are_believed() {
        let changing = settings(json!({"token": ["newToken", "demoToken2026"]}));
        assert_eq!(verify(&changing, &encrypted(NOW, KEY, APP)), Ok(()), "the token before");
        let strange = settings(json!({"token": "newToken"}));
        assert_eq!(verify(&strange, &encrypted(NOW, KEY, APP)), Err(Rejected::Mismatch));
        let settings = settings(json!({"previous_encoding_aes_key": OTHER}));
        let check = |request: &Inbound| verify(&settings, request);
        assert_eq!(check(&encrypted(NOW, OTHER, APP)), Ok(()), "the key before");
        assert_eq!(
            body(&settings, &encrypted(NOW, OTHER, APP)).unwrap(),
            b"<xml/>"
        );
        let strangers = "x".repeat(43);
        assert_eq!(check(&encrypted(NOW, &strangers, APP)), Err(Rejected::Mismatch));
        assert_eq!(
            check(&encrypted(NOW, KEY, "wx0123456789abcdee")),
            Err(Rejected::Mismatch)
        );

        let good = encrypted(NOW, KEY, APP);
        let changed = |from: &str, to: &str| {
            let mut request = good.clone();
            request.query = request.query.replace(from, to);
            check(&request)
        };
        let cases = [
            ("&msg_signature=", "&msg_signature=0", Rejected::Malformed),
            ("&msg_signature=", "&x=", Rejected::Missing),
            ("msg_signature", "msg_signature=&y", Rejected::Missing),
            ("signature=", "signature=z", Rejected::Malformed),
            ("nonce=77", "nonce=78", Rejected::Mismatch),
            ("nonce=77", "", Rejected::Missing),
            ("timestamp=", "t=", Rejected::Missing),
            ("timestamp=1", "timestamp=2", Rejected::Mismatch),
        ];
        for (from, to, expected) in cases {
            assert_eq!(changed(from, to), Err(expected), "{from} -> {to}");
        }
        let mut other_text = good.clone();
        other_text.body = String::from_utf8_lossy(&good.body).replace("<Encrypt>", "<Encrypt>A").into();
        assert_eq!(check(&other_text), Err(Rejected::Mismatch));
        let mut empty = good;
        empty.body = "".into();
        assert_eq!(check(&empty), Err(Rejected::Missing));
    }

    #[test]
    fn old_callbacks_are_not_believed_again() {
        let settings = settings(json!({}));
        for (time, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(Rejected::Mismatch)),
            (NOW + 301, Err(Rejected::Mismatch)),
        ] {
            assert_eq!(verify(&settings, &encrypted(time, KEY, APP)), expected, "{time}");
        }
        let odd = signature(&["demoToken2026", "+5", "77"]);
        let odd = format!("signature={odd}&timestamp=%2B5&nonce=77");
        let odd = request(Method::Post, odd, String::new());
        assert_eq!(verify(&settings, &odd), Err(Rejected::Malformed));
    }
}
