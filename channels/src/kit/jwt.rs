//! JSON Web Tokens signed with RS256, with which a service account asks for an access token.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
// PKCS#1 v1.5 signatures are the same every time; the generator only blinds the computation against
// somebody who measures it, so nothing that leaves this function is random.
use ring::rand as blinding;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::Value;

/// A private key that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RSA private key in PEM (PKCS#8 or PKCS#1) of 2048 bits or more")]
pub struct BadKey;

/// Checks that a private key can sign.
///
/// # Errors
/// When it is no RSA key in PEM, or a weak one.
pub fn check_key(pem: &str) -> Result<(), BadKey> {
    key(pem).map(drop)
}

/// The token of this header and these claims, signed with RS256 (RFC 7515, RFC 7518 section 3.3).
/// `alg` is set here.
///
/// # Errors
/// When the key cannot be used.
pub fn rs256(mut header: Value, claims: &Value, pem: &str) -> Result<String, BadKey> {
    if let Some(header) = header.as_object_mut() {
        header.insert("alg".into(), Value::from("RS256"));
    }
    let encode = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let key = key(pem)?;
    let mut signature = vec![0; key.public().modulus_len()];
    let random = blinding::SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
        .map_err(|ring::error::Unspecified| BadKey)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The key in a PEM text; line breaks may be real or written `\n`, as in Google's JSON files.
fn key(pem: &str) -> Result<RsaKeyPair, BadKey> {
    let pem = pem.replace("\\n", "\n");
    let block = |label: &str| {
        let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let base64: String = body.split_whitespace().collect();
        STANDARD.decode(base64).ok()
    };
    let pair = match (block("PRIVATE KEY"), block("RSA PRIVATE KEY")) {
        (Some(pkcs8), _) => RsaKeyPair::from_pkcs8(&pkcs8),
        (None, Some(pkcs1)) => RsaKeyPair::from_der(&pkcs1),
        (None, None) => return Err(BadKey),
    };
    pair.map_err(|ring::error::KeyRejected { .. }| BadKey)
}
