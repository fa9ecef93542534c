//! JSON Web Tokens signed with RS256, with which a service account asks for an access token.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
// PKCS#1 v1.5 signatures are the same every time; the generator only blinds the computation against
// somebody who measures it, so nothing that leaves this function is random.
use ring::rand as blinding;
use ring::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
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
    key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .map_err(|ring::error::Unspecified| BadKey)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Header and claims of a token that the private key of this PEM text has signed; `None` for any other.
/// For emulators, which know the account's own key: times and audience are theirs to check.
pub fn read_rs256(token: &str, pem: &str) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let json = |text: &str| serde_json::from_slice::<Value>(&decode(text)?).ok();
    let header = json(header).filter(|h| h.get("alg").and_then(Value::as_str) == Some("RS256"))?;
    let key = key(pem).ok()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public.verify(signed.as_bytes(), &decode(signature)?).ok()?;
    Some((header, json(claims)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Made for this test with Python's `cryptography`, as the token below; protects nothing.
    const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC+7PDSrpdsfQru\n\
G6ntp4wk5b2n41DyhAFC4K8H07rdCX+5iI6/RWi5GtR1w0nNefc2AAK5UnfCJNrS\n\
w/Dkhs5szBeqTWGDpdy0uUlZSWVS3PKqvEN+AvN5/2YVXhUStNgnMzb7zIpH8qbY\n\
/hqA6Uc/2iK8rG+2u1x2qDA5yVPZUUs/XO8jbPdrobMTeOtN+f7ZjEtncw3JmB9k\n\
hpgIPlMoV9bm/mXdU7kWrJSQvzU9Jesv49KxcmOGMREdpwLbO1VyDD7VPik9FqTn\n\
d+b615xhTSh+/o1BeNtSyCSeD73GJUlQtbuwi+DHiS7hTuipLiTRjPQJimwaZgGs\n\
8mF118qZAgMBAAECggEABRBfRdNEKGg7ozugGvHT9YGTcXHFypzmNKolclFzFhxD\n\
oz3kPV3/rFMyGeqDWVwYCrpe2CAAFanpFOiGCeWqcXfLU+TIBpgeXbvBXokkExnR\n\
pOYn6x50a0KzKDNt3yhlSErjNTQEYeqlcsFwngUx8tdcDwGK1/+psOr+lnXIz818\n\
swPvY7tqanhGNrn4GHekZIYCJ+uoYS9N73QtlnJRjI5IJ5d+IgeUCWceipvpOt9R\n\
Tuw2qzuk8TxB3URwMqQnJ01Ya1rPnL9BRjQxx0C8XDDRcdH1HLQWjmSzWQjBI1Py\n\
CU6TBA/v8cstiHsrupn3vBkX9YYXIJnLTma8BEhL5QKBgQDmD49rYJTvu5qemwZP\n\
1rsm23Q35X2BMfLsqM9iNJyJ6+Iynahs/x3CbbIAtFXFTxJbxvtmzE1KxiGR4O1n\n\
4PIXEvjI5xeuppfOX9OzJABmFiGSb3TbIrob13rdvKbLWHAvEf1Vn2eQNq6KZbdW\n\
dUcGSCGwXWlxsm44fEt09kZ/NQKBgQDUc8l6iCWVyaAbpmhAKjkCmqlWDKVG9Gaz\n\
AhigUxymiOIUFiLfIOUjB4GQG9IQDKD9pW884rSgcdQOmvkV+h++EKcIslwXdqq5\n\
AeJIBgpDTStFjgY59QlzmeWrp8YSofpElgmu/A06ejq6VGMS2ALnl/zWOud7Y/db\n\
lsfs5p0WVQKBgQCV9s6mT+7F1qSTfro+kNquGZ9IUG/fJ5ASdHe6rFDeFsT7+Ykw\n\
g5wCgT7m9qZyV3jAGpUGDWbUtxJq5RPcAuXL5LIHQ5xMXIvYGt8EhxM7eHGp4r1p\n\
mtl2DKAqqi6PnraB+FgK2D3J49sim+tGkGwbzCkprbpuQsFWUK9fLqoFgQKBgA6I\n\
WRjjpUaIw0YA7RKukLXH5Jt5Q/kFkNzf4NVeug/+PxDGrt36fxIVWlyEOqtUYdLX\n\
9TMCAv8SqkHRggZp1LAIrZRftwL34BfFtDffCeauqa4ZV/2w8FOTDG3gjSELKXZ1\n\
mPX6UeFVKR1D1n8cfZ5f/DCfWORM40fFmalv4QD9AoGAd5MXeHk9zu1cRYb3givJ\n\
c/1WvIK67/bVG9RZX8qybeR3eNtfvu3Bs/2t6Sijy1XjgGwV1pvNu2OZqBz4Q2hu\n\
is5abdegrk3WzSWNnHMwcq9NOXAvxMcjtaTvO0BH0EwTIt37n2Bo+Fde+lvGK9Ox\n\
wFFGPatICBGyCdlmteCEb0s=\n\
-----END PRIVATE KEY-----\n";

    const TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIiwidHlwIjoiSldUIn0.eyJleHAiOjE4MDAsImlzcyI6Ijc3In0.jwWN65F2npfhrcwXPR0Z9JxaQm3TrsGPRNmRcHkwiWGE3xlYUDmMngDFvVa5fAYpxF5nRF25ZUl-Omr3xnvEF_JK88xwKRu02wrBzCDRz3EAx8GLXYNnMWRmuIj6gLKh6aureVDboxCuD7Hmg8_iHsyDlCMTZAnrByBAgZpRn-bUzUG-BXVUk5AhMh-Pwanx9GvExbVVBOvKC0G_PONKIQqOJcydFOU9aHawSG2BcWeMh2t7oaWBOYdbjGAGNpzqCma0-EqR7HJwzScSsec3S5MWe3bVh7J61xvWuI3LJo55M2zyX8vVH3CWmjCtJr7bmiPsH1MAu396-dtWyGlviQ";

    #[test]
    fn tokens_are_those_of_another_implementation() {
        let header = json!({"typ": "JWT", "kid": "k1"});
        let claims = json!({"iss": "77", "exp": 1800});
        assert_eq!(rs256(header.clone(), &claims, KEY).as_deref(), Ok(TOKEN));
        // As it stands in a JSON file that was read as text.
        let escaped = KEY.replace('\n', "\\n");
        assert_eq!(rs256(header, &claims, &escaped).as_deref(), Ok(TOKEN));
    }

    #[test]
    fn only_what_the_key_signed_is_read() {
        let (header, claims) = read_rs256(TOKEN, KEY).unwrap();
        assert_eq!(header["kid"], "k1");
        assert_eq!(claims, json!({"iss": "77", "exp": 1800}));
        let (signed, signature) = TOKEN.rsplit_once('.').unwrap();
        let other = signature.replace('j', "k");
        // `{"alg":"none"}` and nothing signed.
        let unsigned = format!("{}.e30.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#));
        for odd in [
            &format!("{signed}.{other}"),
            signed,
            &unsigned,
            "",
            "a.b.c",
            TOKEN.trim_start_matches('e'),
        ] {
            assert!(read_rs256(odd, KEY).is_none(), "{odd}");
        }
    }

    #[test]
    fn what_is_no_key_signs_nothing() {
        let (_, body) = KEY.split_once('\n').unwrap();
        let cut = KEY.replace("MII", "MIJ");
        for pem in [
            "",
            "hunter2",
            body,
            cut.as_str(),
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert_eq!(check_key(pem), Err(BadKey));
        }
        assert_eq!(check_key(KEY), Ok(()));
        assert!(!BadKey.to_string().contains("hunter"));
    }
}
