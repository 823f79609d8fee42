//! A topic of the log with the types of its keys and values.

use std::sync::Arc;

use state_stores::{Codec, Serde};

/// A topic's name with the codecs of its keys and values. It stands for no connection: flows, tests and the runtime
/// make as many as they like.
pub struct Topic<K: ?Sized, V: ?Sized> {
    name: Arc<str>,
    key: Serde<K>,
    value: Serde<V>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Topic<K, V> {
    /// Describes the topic `name` (1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`); creating it is the runtime's business. Codecs: [`crate::codec`],
    /// [`codec_fn`](crate::codec_fn) for types of one's own.
    pub fn new(
        name: impl Into<Arc<str>>,
        key: impl IntoSerde<K>,
        value: impl IntoSerde<V>,
    ) -> Self {
        Self { name: name.into(), key: key.into_serde(), value: value.into_serde() }
    }

    /// The name on the log.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The codec of the keys.
    pub fn key(&self) -> &Serde<K> {
        &self.key
    }

    /// The codec of the values.
    pub fn value(&self) -> &Serde<V> {
        &self.value
    }
}

impl<K: ?Sized, V: ?Sized> Clone for Topic<K, V> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            key: Arc::clone(&self.key),
            value: Arc::clone(&self.value),
        }
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for Topic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// A built-in codec, or a shared codec of any kind: what goes where a serde is asked for.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no codec of `{T}`",
    label = "expected a codec of `{T}`",
    note = "built in are `Utf8` (`str`, `String`), `I64Be`, `I32Be`, `U64Be`, `U32Be`, `RawBytes` (`[u8]`, `Vec<u8>`) and \
            `Unit`; of your own: an `Arc` of what implements `Codec<{T}>`"
)]
pub trait IntoSerde<T: ?Sized> {
    /// The shared codec.
    fn into_serde(self) -> Serde<T>;
}

impl<T: ?Sized> IntoSerde<T> for Serde<T> {
    fn into_serde(self) -> Serde<T> {
        self
    }
}

impl<T: ?Sized> IntoSerde<T> for &Serde<T> {
    fn into_serde(self) -> Serde<T> {
        Arc::clone(self)
    }
}

impl<T: ?Sized, C: Codec<T>> IntoSerde<T> for Arc<C> {
    fn into_serde(self) -> Serde<T> {
        self
    }
}

macro_rules! built_in {
    ($($codec:ident: $type:ty),*) => {$(
        impl IntoSerde<$type> for state_stores::$codec {
            fn into_serde(self) -> Serde<$type> {
                Arc::new(self)
            }
        }
    )*};
}

built_in!(Utf8: str, Utf8: String, RawBytes: [u8], RawBytes: Vec<u8>, Unit: (), I64Be: i64, I32Be: i32, U64Be: u64, U32Be: u32);
