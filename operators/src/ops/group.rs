//! `group_by_key`, `group_by`, `windowed_by`: streams on the way to an aggregation.
//!
//! Grouping does nothing by itself. If the key may have changed, the
//! aggregation repartitions under its own name first.

use crate::stream::KStream;
use crate::window_kinds::{Closes, EmitStrategy, Windows};
use crate::windows::{SessionWindows, TimeWindows};

/// A stream whose records are to be combined by key.
#[derive(Debug)]
pub struct KGroupedStream<K: ?Sized, V: ?Sized> {
    pub(crate) stream: KStream<K, V>,
}

/// A grouped stream cut into windows: tumbling, hopping, sliding or unlimited.
#[derive(Debug)]
pub struct TimeWindowedKStream<K: ?Sized, V: ?Sized, W = TimeWindows> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) windows: W,
    pub(crate) emit: EmitStrategy,
}

/// A grouped stream cut into sessions of activity.
#[derive(Debug)]
pub struct SessionWindowedKStream<K: ?Sized, V: ?Sized> {
    pub(crate) stream: KStream<K, V>,
    pub(crate) windows: SessionWindows,
    pub(crate) emit: EmitStrategy,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Groups by the key as it is (D10): nothing is repartitioned unless an operator before may have changed it.
    pub fn group_by_key(&self) -> KGroupedStream<K, V> {
        KGroupedStream { stream: self.clone() }
    }

    /// Groups by a key made of the old one (if there is one) and the value (D10). The aggregation that follows sends
    /// the records through a topic `<application.id>-<its name>-repartition`; that needs the codec of the values, and
    /// drops and counts records without value.
    pub fn group_by<KO: ?Sized + ToOwned + 'static>(
        &self,
        select: impl Fn(Option<&K>, &V) -> KO::Owned + Send + Sync + 'static,
    ) -> KGroupedStream<KO, V> {
        KGroupedStream { stream: self.select_key(select) }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KGroupedStream<K, V> {
    /// Combines per key and window (W01, W04, W06): [`TimeWindows`], [`SlidingWindows`](crate::SlidingWindows) or
    /// [`UnlimitedWindows`](crate::UnlimitedWindows).
    pub fn windowed_by<W: Into<Windows>>(self, windows: W) -> TimeWindowedKStream<K, V, W> {
        TimeWindowedKStream { stream: self.stream, windows, emit: EmitStrategy::default() }
    }

    /// Combines per key and session of activity (W05).
    pub fn windowed_by_sessions(self, windows: SessionWindows) -> SessionWindowedKStream<K, V> {
        SessionWindowedKStream { stream: self.stream, windows, emit: EmitStrategy::default() }
    }
}

impl<K: ?Sized, V: ?Sized, W: Closes> TimeWindowedKStream<K, V, W> {
    /// When results are emitted (W08, W09); with every update unless set.
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        Self { emit, ..self }
    }
}

impl<K: ?Sized, V: ?Sized> SessionWindowedKStream<K, V> {
    /// When results are emitted (W08, W09); with every update unless set.
    pub fn emit_strategy(self, emit: EmitStrategy) -> Self {
        Self { emit, ..self }
    }
}
