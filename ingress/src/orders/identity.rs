//! Which order a request is about before it exists: idempotency keys and order
//! ids derived from them.
//!
//! Invariants: the same user, route and key give the same order id on every
//! instance and for ever, so a retry always reaches the same single writer; the
//! id tells nothing about the key.

use axum::http::HeaderMap;
use schemas::OrderId;
use uuid::{Builder, Uuid};

use crate::cursor::keyed_hash;
use crate::http::ApiError;
use crate::state::AppState;

/// A caller's key: 1–255 printable ASCII characters; the bytes are the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Reads `Idempotency-Key`.
    ///
    /// # Errors
    /// 422 if it came twice, is empty, too long or not printable ASCII.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let bad = || {
            ApiError::invalid_field(
                "header.Idempotency-Key",
                "invalid",
                "expected one value of 1 to 255 printable ASCII characters",
            )
        };
        let mut values = headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().map_err(|_| bad())?;
        let printable = text.bytes().all(|b| (0x20..=0x7e).contains(&b));
        if values.next().is_some() || !(1..=255).contains(&text.len()) || !printable {
            return Err(bad());
        }
        if schemas::pan::contains_card_number(text) {
            return Err(ApiError::invalid_field(
                "header.Idempotency-Key",
                "card_data",
                "card numbers are never accepted",
            ));
        }
        Ok(Some(Self(text.to_owned())))
    }

    /// The bytes as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The order this key stands for: a keyed hash in UUIDv4 layout.
    #[must_use]
    pub fn order_id(&self, order_key: &[u8; 32], user: &str, route: &str) -> OrderId {
        let hash =
            keyed_hash(order_key, &[b"id", user.as_bytes(), route.as_bytes(), self.0.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        OrderId::new(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// What the order's history shows of the key.
    #[must_use]
    pub fn hash(&self, order_key: &[u8; 32], user: &str, route: &str) -> String {
        hex::encode(keyed_hash(
            order_key,
            &[b"key", user.as_bytes(), route.as_bytes(), self.0.as_bytes()],
        ))
    }
}

/// An id for an order without a key: time-ordered.
#[must_use]
pub fn new_order_id() -> OrderId {
    OrderId::new(Uuid::now_v7())
}

/// A keyed order this process is placing; another request with the key is told
/// so instead of waiting behind it.
#[derive(Debug)]
pub struct InFlight {
    state: AppState,
    order_id: OrderId,
}

impl InFlight {
    /// Enters the order.
    ///
    /// # Errors
    /// 409 while another request with the same key is being handled.
    pub fn enter(state: &AppState, order_id: OrderId) -> Result<Self, ApiError> {
        if !state.placing().lock().insert(order_id) {
            return Err(ApiError::key_in_flight());
        }
        Ok(Self { state: state.clone(), order_id })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.placing().lock().remove(&self.order_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_user_route_and_key_and_look_like_version_4() {
        let key = IdempotencyKey("k".to_owned());
        let id = key.order_id(&[1; 32], "ada", "POST /api/v1/orders");
        assert_eq!(id, key.order_id(&[1; 32], "ada", "POST /api/v1/orders"));
        assert_ne!(id, key.order_id(&[1; 32], "bob", "POST /api/v1/orders"));
        assert_ne!(id, key.order_id(&[1; 32], "ada", "POST /other"));
        assert_ne!(id, key.order_id(&[2; 32], "ada", "POST /api/v1/orders"));
        assert_eq!(id.uuid().get_version_num(), 4);
    }

    #[test]
    fn keys_are_printable_ascii() {
        let read = |value: &'static [u8]| {
            let headers = HeaderMap::from_iter([(
                "idempotency-key".parse().unwrap(),
                axum::http::HeaderValue::from_bytes(value).unwrap(),
            )]);
            IdempotencyKey::from_headers(&headers)
        };
        assert_eq!(
            read(b"\"a b\"").unwrap().unwrap().as_str(),
            "\"a b\"",
            "quotes are part of the key"
        );
        assert!(read(b"").is_err());
        assert!(read(b"caf\xe9").is_err());
        assert!(read(&[b'x'; 256]).is_err());
        assert!(read(&[b'x'; 255]).is_ok());
    }
}
