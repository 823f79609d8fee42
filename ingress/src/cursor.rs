//! Opaque, signed positions in lists.
//!
//! Invariant: a cursor opens only for the list, caller and filters it was made
//! for; anything else is refused as a whole, so no part of it needs trust.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::http::ApiError;

const TAG: usize = 16;

/// Signs positions with a key of its own.
#[derive(Clone)]
pub struct Cursors([u8; 32]);

impl std::fmt::Debug for Cursors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cursors(…)")
    }
}

impl Cursors {
    /// With a key derived from the data key.
    #[must_use]
    pub fn new(data_key: &[u8; 32]) -> Self {
        Self(derive(data_key, "cursors"))
    }

    /// A cursor for `position` in the list that `scope` names: resource, caller
    /// and filters.
    #[must_use]
    pub fn seal(&self, scope: &str, position: &str) -> String {
        let mut bytes = self.tag(scope, position).to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position, if the cursor belongs to the scope.
    ///
    /// # Errors
    /// 400.
    pub fn open(&self, scope: &str, cursor: &str) -> Result<String, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ApiError::bad_cursor())?;
        let (tag, position) = bytes.split_at_checked(TAG).ok_or_else(ApiError::bad_cursor)?;
        let position = std::str::from_utf8(position).map_err(|_| ApiError::bad_cursor())?;
        let ours = self.tag(scope, position);
        if bool::from(subtle::ConstantTimeEq::ct_eq(&ours[..], tag)) {
            Ok(position.to_owned())
        } else {
            Err(ApiError::bad_cursor())
        }
    }

    fn tag(&self, scope: &str, position: &str) -> [u8; TAG] {
        let whole = keyed_hash(&self.0, &[scope.as_bytes(), position.as_bytes()]);
        let mut tag = [0; TAG];
        tag.copy_from_slice(&whole[..TAG]);
        tag
    }
}

/// A key for one purpose from the data key.
#[must_use]
pub fn derive(data_key: &[u8; 32], purpose: &str) -> [u8; 32] {
    keyed_hash(data_key, &[b"orders-ingress", purpose.as_bytes()])
}

/// HMAC-SHA-256 over parts, each preceded by its length so that no two lists of
/// parts collide.
#[must_use]
pub fn keyed_hash(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_where_it_was_made() {
        let cursors = Cursors::new(&[7; 32]);
        let cursor = cursors.seal("orders ada status=paid", "17");
        assert_eq!(cursors.open("orders ada status=paid", &cursor).unwrap(), "17");
        assert!(cursors.open("orders ada", &cursor).is_err());
        assert!(cursors.open("orders bob status=paid", &cursor).is_err());
        assert!(Cursors::new(&[8; 32]).open("orders ada status=paid", &cursor).is_err());
        let mut changed = cursor.into_bytes();
        *changed.last_mut().unwrap() ^= 1;
        assert!(
            cursors.open("orders ada status=paid", std::str::from_utf8(&changed).unwrap()).is_err()
        );
        for text in ["", "x", "!!", "AAAA"] {
            assert!(cursors.open("orders ada", text).is_err(), "{text}");
        }
    }
}
