//! What all typed stores have: how they are opened, and how they are shown.

use crate::{Serde, StoreIndex};

/// A typed view of the rows of one store. It holds codecs and scratch, no rows: each call borrows the task's state, so
/// that one processor can use several stores.
pub trait TypedStore {
    /// What rows are found by.
    type Key: ?Sized + 'static;
    /// What they hold.
    type Value: ?Sized + 'static;

    /// The store at `store` of a task, with these codecs.
    fn open(store: StoreIndex, keys: &Serde<Self::Key>, values: &Serde<Self::Value>) -> Self;
}

/// What all typed stores have: how they are made, and how they are shown.
macro_rules! typed_store {
    ($name:ident { $($scratch:ident),* }) => {
        impl<K: ?Sized, V: ?Sized> std::fmt::Debug for $name<K, V> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.coder.store).finish()
            }
        }

        impl<K: ?Sized + 'static, V: ?Sized + 'static> $name<K, V> {
            /// The store at `store` of a task, with these codecs.
            pub fn new(store: $crate::StoreIndex, keys: &$crate::Serde<K>, values: &$crate::Serde<V>) -> Self {
                Self { coder: $crate::coder::Coder::new(store, keys, values), $($scratch: Default::default()),* }
            }
        }

        impl<K: ?Sized + 'static, V: ?Sized + 'static> $crate::TypedStore for $name<K, V> {
            type Key = K;
            type Value = V;

            fn open(store: $crate::StoreIndex, keys: &$crate::Serde<K>, values: &$crate::Serde<V>) -> Self {
                Self::new(store, keys, values)
            }
        }
    };
}
pub(crate) use typed_store;
