//! Standard Webhooks 1.0.0, symmetric: `v1,` + base64 of HMAC-SHA256 over
//! `{id}.{timestamp}.{body}` with the decoded bytes of `whsec_…` as the key.
//!
//! ```
//! use egress::webhooks::signature::{Secret, sign, verify};
//!
//! let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
//! let header = sign(&[secret.clone()], id, 1614265330, body);
//! assert_eq!(header, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
//! assert!(verify(&secret, id, "1614265330", &header, body, 1614265330 + 299).is_ok());
//! # Ok::<(), egress::webhooks::signature::BadSecret>(())
//! ```

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Receivers refuse timestamps further off than this, in seconds.
pub const TOLERANCE: i64 = 300;

/// Padding may be missing and the last character may hold stray bits: what
/// the reference libraries accept.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Not `whsec_` and base64 of at least one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is whsec_ followed by base64")]
pub struct BadSecret;

/// A signing secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// From its text, with or without `whsec_`.
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let bytes =
            LENIENT.decode(text.strip_prefix(PREFIX).unwrap_or(text)).map_err(|_| BadSecret)?;
        if bytes.is_empty() { Err(BadSecret) } else { Ok(Self(bytes)) }
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        Some(mac)
    }
}

/// The `webhook-signature` header: one entry per secret, newest first.
#[must_use]
pub fn sign(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let entries: Vec<String> = secrets
        .iter()
        .filter_map(|secret| secret.mac(id, &timestamp, body))
        .map(|mac| format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        .collect();
    entries.join(" ")
}

/// Why a request isn't ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// `webhook-timestamp` isn't whole seconds.
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    /// Older or younger than five minutes.
    #[error("webhook-timestamp is more than five minutes off")]
    Stale,
    /// No `v1` entry matches.
    #[error("no v1 signature matches")]
    Signature,
}

/// Verifies a request at `now` (seconds), in constant time per entry.
pub fn verify(
    secret: &Secret,
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: i64,
) -> Result<(), Unverified> {
    let sent: i64 = timestamp.parse().map_err(|_| Unverified::Timestamp)?;
    if (now - sent).abs() > TOLERANCE {
        return Err(Unverified::Stale);
    }
    let matches = signatures
        .split(' ')
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .filter_map(|entry| STANDARD.decode(entry).ok())
        .any(|expected| {
            secret.mac(id, timestamp, body).is_some_and(|mac| mac.verify_slice(&expected).is_ok())
        });
    if matches { Ok(()) } else { Err(Unverified::Signature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn secret() -> Secret {
        Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()
    }

    #[test]
    fn published_vectors() {
        let rust = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            sign(&[rust], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
        let signed = |body: &[u8]| sign(&[secret()], ID, AT, body);
        assert_eq!(signed(BODY), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(signed(b""), "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A=");
        let text = r#"{"name":"Žluťoučký 🐎"}"#.as_bytes();
        assert_eq!(signed(text), "v1,AB7enE2QhAvHXZm9VOVKYf0ImMGCCVC0BHQhRRSUNaM=");
        let unpadded = Secret::parse("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr").unwrap();
        assert_eq!(
            sign(&[unpadded], ID, AT, BODY),
            "v1,yK2tMbA6BHPrMEJ1lLv7UlJJbgFoqGenJkiajZ29evg="
        );
    }

    #[test]
    fn what_a_receiver_refuses() {
        let good = sign(&[secret()], ID, AT, BODY);
        let check = |timestamp: &str, signatures: &str, body: &[u8], now| {
            verify(&secret(), ID, timestamp, signatures, body, now)
        };
        let at = AT.to_string();
        assert_eq!(check(&at, &good, BODY, AT), Ok(()));
        assert_eq!(
            check(&at, &format!("v1,AAAA v2,{} {good}", &good[3..]), BODY, AT),
            Ok(()),
            "right one in third place"
        );
        assert_eq!(check(&at, &format!("v2,{}", &good[3..]), BODY, AT), Err(Unverified::Signature));
        for bad in ["v1,", "", &good[..8]] {
            assert_eq!(check(&at, bad, BODY, AT), Err(Unverified::Signature), "{bad:?}");
        }
        assert_eq!(check(&at, &good, b"{}", AT), Err(Unverified::Signature));
        assert_eq!(check("soon", &good, BODY, AT), Err(Unverified::Timestamp));
        for now in [AT + 301, AT - 301] {
            assert_eq!(check(&at, &good, BODY, now), Err(Unverified::Stale));
        }
        assert_eq!(Secret::parse("whsec_"), Err(BadSecret));
        assert_eq!(Secret::parse(""), Err(BadSecret));
    }

    #[test]
    fn during_a_rotation_old_and_new_verify() {
        let old = Secret::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let header = sign(&[secret(), old.clone()], ID, AT, BODY);
        for key in [secret(), old] {
            assert_eq!(verify(&key, ID, &AT.to_string(), &header, BODY, AT), Ok(()));
        }
    }
}
