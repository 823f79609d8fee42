//! The stream library: a flow is written as data, cut into tasks, and run by whoever has records.
//!
//! Pure and synchronous: no tokio, no Kafka, no clock. [`StreamsBuilder`] records a typed graph,
//! [`Topology`] is its validated value, a [`Task`] runs one part of it on one partition: bytes go in,
//! bytes and changelog rows come out. What moves the bytes is the runtime's business, or that of
//! [`TopologyTestDriver`], which runs the same tasks in a test.
//!
//! Names and semantics are Kafka Streams'; `README.md` lists the differences.
//!
//! | to | look at |
//! |---|---|
//! | learn it, from word count to a processor of your own | [`tutorial`] |
//! | begin a flow | [`StreamsBuilder`], [`Topic`], [`KStream`], [`KTable`] |
//! | keep state | [`KGroupedStream`], [`Materialized`]; [`KStream::state_machine`], [`KStream::process`] |
//! | cut time | [`TimeWindows`], [`SlidingWindows`], [`SessionWindows`], [`EmitStrategy`], [`Suppressed`] |
//! | combine | [`KStream::join`], [`KStream::join_stream`] and [`JoinWindows`], [`KTable::join`], [`KStream::merge`] |
//! | say what happens to bad data | [`ErrorPolicy`] |
//! | test | [`TopologyTestDriver`] |
//! | run it on a log | the crate `operators_runtime` |
//!
//! # Word count
//!
//! ```
//! use operators::{I64Be, Materialized, StreamsBuilder, Topic, TopologyTestDriver, Utf8};
//!
//! # fn main() -> Result<(), operators::TopologyError> {
//! let lines = Topic::<str, str>::new("lines", Utf8, Utf8);
//! let counts = Topic::<str, i64>::new("word_counts", Utf8, I64Be);
//!
//! let builder = StreamsBuilder::new("word-count");
//! builder
//!     .stream(&lines)
//!     .flat_map_values::<str>(|line, emit| line.split_whitespace().for_each(emit))
//!     .with_value_serde(Utf8)
//!     .group_by(|_, word| word.to_lowercase())
//!     .count(&Materialized::as_("counts", Utf8, I64Be))
//!     .to_stream()
//!     .to(&counts);
//! let topology = builder.build()?;
//!
//! let driver = TopologyTestDriver::new(&topology);
//! driver.input(&lines).pipe("line 1", "Hello streams");
//! driver.input(&lines).pipe("line 2", "hello again");
//! let counted = driver.output(&counts).read_key_values();
//! assert_eq!(counted[2], (Some("hello".to_owned()), Some(2)));
//!
//! // A restart loses nothing: the state comes back from its changelog.
//! driver.restart();
//! driver.input(&lines).pipe("line 3", "HELLO");
//! assert_eq!(driver.output(&counts).read_values().last(), Some(&3));
//! # Ok(())
//! # }
//! ```
//!
//! # Calls to services
//!
//! A call waits in a store until its answer is committed, so a crash repeats it under the same id and never doubles a
//! result ([`KStream::map_async`]). The flow says what to ask; who asks is the runtime's business (`Worker::on_call`), or
//! a test's. The [tutorial], step 10, has one.
//!
//! # What fails
//!
//! Each operator has its [`ErrorPolicy`]: fail, skip, or dead letter. Where the order of a key matters more than its
//! progress, [`KStream::park_key`] keeps the record that failed and all that follow under its key, until somebody who has
//! mended the cause says so ([tutorial], steps 5 and 6).

mod aggregate_result;
mod assembly;
mod builder;
mod calls;
mod change;
mod consumed;
mod context;
mod driver;
mod failure;
mod gate;
mod globals;
mod graph;
mod headers;
mod join_windows;
mod joined;
pub mod manifest;
mod materialized;
mod observed;
mod ops;
mod outputs;
mod parked;
mod process;
mod punctuation;
mod record;
mod repartitioned;
mod row_layout;
mod source;
mod stream;
mod stream_time;
mod suppressed;
mod table;
mod task;
#[cfg(test)]
mod testing;
mod timers;
mod topic;
mod topology;
mod view;
mod window_kinds;
mod windowed;
mod windows;

#[cfg(any(doc, doctest))]
#[doc = include_str!("../TUTORIAL.md")]
pub mod tutorial {}

pub use state_stores::codec::{self, *};
pub use state_stores::{
    Direction, KeyValueStore, ListStore, Session, SessionStore, StoreError, StoreIndex, StoreKind,
    TaskState, TimestampedKeyValueStore, VersionedKeyValueStore, WindowStore,
};

pub use self::aggregate_result::AggregateResult;
pub use self::builder::StreamsBuilder;
pub use self::calls::{AsyncCall, Call, CallError, CallInFlight};
pub use self::consumed::{Consumed, OffsetReset, TimestampExtractor};
pub use self::context::Dropped;
pub use self::driver::{
    DriverOptions, TestCall, TestInputTopic, TestOutputTopic, TestRecord, TopologyTestDriver,
};
pub use self::failure::{BoxError, ErrorPolicy};
pub use self::globals::Globals;
pub use self::headers::Headers;
pub use self::join_windows::JoinWindows;
pub use self::joined::Joined;
pub use self::manifest::{Manifest, Verdict};
pub use self::materialized::Materialized;
pub use self::observed::Observation;
pub use self::ops::{
    CogroupedKStream, Emit, EmitRecord, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord,
    GlobalView, Input, KGroupedStream, KGroupedTable, KeyValueDef, ListDef, MachineContext,
    Parking, Partitions, Processor, ProcessorContext, ProcessorStores, Produced, RecordMetadata,
    SessionDef, SessionWindowedCogroupedKStream, SessionWindowedKStream, Settle, Split,
    StoreBuilder, StoreDef, TimeWindowedCogroupedKStream, TimeWindowedKStream, TimestampedDef,
    TypedDef, VersionedDef, WindowDef,
};
pub use self::outputs::{OutputRecord, Outputs};
pub use self::parked::{ParkedKey, ParkedKeys};
pub use self::punctuation::{Punctuation, PunctuationType};
pub use self::record::Record;
pub use self::repartitioned::Repartitioned;
pub use self::row_layout::{RowLayout, RowParts};
pub use self::stream::KStream;
pub use self::suppressed::{BufferConfig, Eager, Strict, Suppressed};
pub use self::table::{GlobalKTable, KTable};
pub use self::task::{
    DEAD_LETTERS, FailedAt, Figures, InputRecord, Ran, Task, TaskError, WaitingCalls, WaitingKeys,
};
pub use self::topic::{IntoSerde, Topic};
pub use self::topology::{
    GlobalTable, InternalTopic, InternalTopicKind, NodeInfo, ParkingTopics, StoreInfo, SubTopology,
    TaskId, Topology, TopologyError,
};
pub use self::window_kinds::{Closes, EmitStrategy, SlidingWindows, UnlimitedWindows, Windows};
pub use self::windowed::Windowed;
pub use self::windows::{SessionWindows, TimeWindows, Window};
