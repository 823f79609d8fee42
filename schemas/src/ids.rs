//! Identities, parsed once at the edge, and how ids are derived.
//!
//! Invariant: a derived id is a function of what it is derived from alone, so
//! that whoever repeats a step after a crash gets the same id.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = Uuid;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a UUID as text")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Uuid, E> {
                        Uuid::try_parse(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text).map(Self)
            }
        }
    };
}

uuid_id! {
    /// Identity of an order.
    OrderId
}

uuid_id! {
    /// Identity of a user.
    UserId
}

/// Namespace of all derived ids (a random UUID, fixed for ever).
const EVENTS: Uuid = Uuid::from_u128(0x6f64_1c0f_3a55_5dc3_a0ab_8f6e_2d4b_91e7);

/// A keyed hash (HMAC-SHA-256) as 32 bytes; parts are length-prefixed, so that
/// no two lists of parts collide.
#[must_use]
pub fn keyed_hash(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Lower-case hex of [`keyed_hash`]: `idempotency_key_hash` of events.
#[must_use]
pub fn keyed_hash_hex(secret: &[u8], parts: &[&[u8]]) -> String {
    use fmt::Write;
    keyed_hash(secret, parts).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl OrderId {
    /// The id of an order placed with an `Idempotency-Key`: a keyed hash of
    /// (user, route, key) in UUIDv4 layout, so that a repeated request meets
    /// the order's single writer, and nobody without `secret` can tell which
    /// key an order was placed with.
    #[must_use]
    pub fn from_idempotency_key(secret: &[u8], user: UserId, route: &str, key: &[u8]) -> Self {
        let hash = keyed_hash(secret, &[user.0.as_bytes(), route.as_bytes(), key]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        Self(uuid::Builder::from_random_bytes(id).into_uuid())
    }

    /// The id of the event that made this version of the order: UUIDv5 of
    /// (order, version).
    #[must_use]
    pub fn event_id(self, version: i64) -> Uuid {
        self.derived(&format!("event/{version}"))
    }

    /// An id for a step of the order (`payment/authorize/1`): what retries of
    /// the step are recognised by.
    #[must_use]
    pub fn derived(self, step: &str) -> Uuid {
        let mut name = Vec::with_capacity(16 + step.len());
        name.extend_from_slice(self.0.as_bytes());
        name.extend_from_slice(step.as_bytes());
        Uuid::new_v5(&EVENTS, &name)
    }
}

impl UserId {
    /// A user known by a name elsewhere (a customer number of an import): the
    /// same name always gives the same user.
    #[must_use]
    pub fn from_external(system: &str, name: &str) -> Self {
        Self(Uuid::new_v5(&EVENTS, format!("user/{system}/{name}").as_bytes()))
    }
}

/// Identity of a product: the `product_id` of the interfaces. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(Arc<str>);

impl Sku {
    /// Wraps a product id as it is.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Sku {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sku {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Sku;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a product id")
            }

            // One allocation, not the two of `Arc<str>` by way of `String`.
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Sku, E> {
                Ok(Sku::new(text))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        "123e4567-e89b-12d3-a456-426614174000".parse().unwrap()
    }

    #[test]
    fn order_ids_of_keys_are_stable_and_look_random() {
        let id = |key: &[u8]| OrderId::from_idempotency_key(b"secret", user(), "POST /o", key);
        assert_eq!(id(b"k-1"), id(b"k-1"));
        assert_eq!(id(b"k-1").to_string(), "0b6e6543-5c69-4337-a2fc-edf2396047b3");
        assert_ne!(id(b"k-1"), id(b"k-2"));
        assert_ne!(id(b"k-1"), OrderId::from_idempotency_key(b"other", user(), "POST /o", b"k-1"));
        assert_eq!(id(b"k-1").uuid().get_version_num(), 4);
        assert_eq!(id(b"k-1").uuid().get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn parts_don_t_run_into_each_other() {
        assert_ne!(keyed_hash(b"s", &[b"ab", b"c"]), keyed_hash(b"s", &[b"a", b"bc"]));
        assert_eq!(keyed_hash_hex(b"s", &[b"ab"]).len(), 64);
    }

    #[test]
    fn event_ids_are_a_function_of_order_and_version() {
        let order: OrderId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        assert_eq!(order.event_id(1), order.event_id(1));
        assert_eq!(order.event_id(1).to_string(), "7fd26ee4-b8de-57b8-81c2-3a65f0420553");
        assert_ne!(order.event_id(1), order.event_id(2));
        assert_ne!(order.event_id(1), order.derived("payment/1"));
        assert_eq!(order.event_id(1).get_version_num(), 5);
    }

    #[test]
    fn an_id_is_its_text() {
        let text = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(user().to_string(), text);
        assert_eq!(serde_json::to_string(&user()).unwrap(), format!("{text:?}"));
        assert_eq!(serde_json::from_str::<UserId>(&format!("{text:?}")).unwrap(), user());
        assert!("not-a-uuid".parse::<OrderId>().is_err());
    }
}
