//! Secrets that pass through the log and the database: webhook secrets and
//! headers, sealed with XChaCha20-Poly1305 under `DATA_ENCRYPTION_KEY`.
//!
//! Format: base64 of version byte 1, 24 bytes nonce, ciphertext with tag. The
//! context (for example the webhook's id) is authenticated too, so a sealed
//! value copied to another place doesn't open.
//!
//! ```
//! use read_model::seal::Sealer;
//!
//! let sealer = Sealer::new(&[7; 32]);
//! let sealed = sealer.seal("webhook-1", b"whsec_abc")?;
//! assert_eq!(sealer.open("webhook-1", &sealed)?, b"whsec_abc");
//! assert!(sealer.open("webhook-2", &sealed).is_err());
//! # Ok::<(), read_model::seal::SealError>(())
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

const VERSION: u8 = 1;
const NONCE: usize = 24;

/// Why a value could not be sealed or opened. Never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// `DATA_ENCRYPTION_KEY` isn't 32 bytes of base64 or hex.
    #[error("DATA_ENCRYPTION_KEY: expected 32 bytes as base64 or as 64 hexadecimal digits")]
    Key,
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system")]
    Randomness,
    /// Not a sealed value, or sealed with another key or for another place.
    #[error("sealed value does not open: another DATA_ENCRYPTION_KEY, another place, or damaged")]
    Open,
}

/// A key as `DATA_ENCRYPTION_KEY` holds it: base64 or 64 hexadecimal digits.
pub fn key_from_text(text: &str) -> Result<[u8; 32], SealError> {
    let bytes = hex(text).or_else(|| STANDARD.decode(text).ok()).ok_or(SealError::Key)?;
    bytes.try_into().map_err(|_| SealError::Key)
}

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// With this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals for one place.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Randomness)?;
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        let sealed =
            self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Randomness)?;
        let mut bytes = Vec::with_capacity(1 + NONCE + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(STANDARD.encode(bytes))
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| SealError::Open)?;
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(SealError::Open) };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE>() else {
            return Err(SealError::Open);
        };
        let payload = Payload { msg: sealed, aad: context.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Open)
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_never_looks_the_same_and_a_changed_byte_does_not_open() {
        let sealer = Sealer::new(&[1; 32]);
        let (a, b) = (sealer.seal("x", b"secret").unwrap(), sealer.seal("x", b"secret").unwrap());
        assert_ne!(a, b);
        let mut bytes = STANDARD.decode(&a).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(sealer.open("x", &STANDARD.encode(bytes)), Err(SealError::Open));
        assert_eq!(Sealer::new(&[2; 32]).open("x", &b), Err(SealError::Open));
        assert_eq!(sealer.open("x", ""), Err(SealError::Open));
    }

    #[test]
    fn keys_come_as_hex_or_base64() {
        for text in ["ab".repeat(32), "AB".repeat(32), STANDARD.encode([0xab; 32])] {
            assert_eq!(key_from_text(&text), Ok([0xab; 32]), "{text}");
        }
        for text in ["", "short", &"ab".repeat(31), &"xy".repeat(32), &STANDARD.encode([0xab; 31])]
        {
            assert_eq!(key_from_text(text), Err(SealError::Key), "{text}");
        }
    }
}
