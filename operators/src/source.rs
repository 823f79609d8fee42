//! Where bytes become typed records.

use state_stores::{CodecError, Decoder};

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::headers::Headers;
use crate::process::{Edge, Process};
use crate::record::Record;

/// A record as it lies in the task's buffer.
#[derive(Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
}

/// Why a source could not hand a record on.
pub(crate) enum SourceFailure {
    /// The bytes are not what the topic is said to hold.
    Decode { part: &'static str, error: CodecError },
    /// A node further down failed.
    Downstream(Failure),
}

pub(crate) trait SourceProcess: Send {
    fn process(&mut self, raw: RawRecord<'_>, ctx: &mut TaskContext) -> Result<(), SourceFailure>;
}

pub(crate) struct Source<K: ?Sized, V: ?Sized> {
    pub(crate) key: Box<dyn Decoder<K>>,
    pub(crate) value: Box<dyn Decoder<V>>,
    pub(crate) next: Edge<K, V>,
}

impl<K: ?Sized, V: ?Sized> SourceProcess for Source<K, V> {
    fn process(&mut self, raw: RawRecord<'_>, ctx: &mut TaskContext) -> Result<(), SourceFailure> {
        let key = raw.key.map(|bytes| self.key.decode(bytes)).transpose();
        let key = key.map_err(|error| SourceFailure::Decode { part: "key", error })?;
        let value = raw.value.map(|bytes| self.value.decode(bytes)).transpose();
        let value = value.map_err(|error| SourceFailure::Decode { part: "value", error })?;
        let record = Record { key, value, timestamp: raw.timestamp, headers: raw.headers };
        self.next.process(record, ctx).map_err(SourceFailure::Downstream)
    }
}
