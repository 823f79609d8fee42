//! `group_by_key`, `group_by`, `windowed_by`: streams on the way to an aggregation.
//!
//! Grouping does nothing by itself. If the key may have changed, the
//! aggregation repartitions under its own name first.

use crate::stream::KStream;
use crate::windows::{SessionWindows, TimeWindows};

/// A stream whose records are to be combined by key.
#[derive(Debug)]
pub struct KGroupedStream<K: ?Sized, V: ?Sized> {
    pub(crate) stream: KStream<K, V>,
}

/// A grouped stream cut into windows of fixed size.
#[derive(Debug)]
pub struct TimeWindowedKStream<K: ?Sized, V: ?Sized> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) windows: TimeWindows,
}

/// A grouped stream cut into sessions of activity.
#[derive(Debug)]
pub struct SessionWindowedKStream<K: ?Sized, V: ?Sized> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) windows: SessionWindows,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Groups by the key as it is.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        KGroupedStream { stream: self.clone() }
    }

    /// Groups by a key made of the old one (if there is one) and the value.
    pub fn group_by<KO: ?Sized + ToOwned + 'static>(
        &self,
        select: impl Fn(Option<&K>, &V) -> KO::Owned + Send + Sync + 'static,
    ) -> KGroupedStream<KO, V> {
        KGroupedStream { stream: self.select_key(select) }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KGroupedStream<K, V> {
    /// Combines per key and time window.
    pub fn windowed_by(self, windows: TimeWindows) -> TimeWindowedKStream<K, V> {
        TimeWindowedKStream { stream: self.stream, windows }
    }

    /// Combines per key and session.
    pub fn windowed_by_sessions(self, windows: SessionWindows) -> SessionWindowedKStream<K, V> {
        SessionWindowedKStream { stream: self.stream, windows }
    }
}
