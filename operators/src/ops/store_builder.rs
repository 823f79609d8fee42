//! Stores of a processor: the kinds there are, and users' own, through one trait (S12).
//!
//! Invariant: whatever the store, its rows live in the task's state under its name, so they commit, abort, move and
//! come back from their changelog with the task.

use std::sync::Arc;

use state_stores::{
    KeyValueStore, ListStore, Serde, SessionStore, StoreIndex, StoreKind, TimestampedKeyValueStore,
    TypedStore, VersionedKeyValueStore, WindowStore,
};

use super::processor_stores::{Def, StoreDef};
use crate::graph::StoreDecl;
use crate::row_layout::RowLayout;
use crate::topic::IntoSerde;

/// Declares a store of a processor and opens it in each task.
///
/// The library's stores have theirs: [`KeyValueDef`], [`TimestampedDef`], [`VersionedDef`], [`WindowDef`],
/// [`SessionDef`], [`ListDef`]. For a store of your own implement this trait: it gets rows of bytes in the
/// [`TaskState`](crate::TaskState), with transactions, changelog and restore.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use operators::{
///     BoxError, Direction, I64Be, Processor, ProcessorContext, Record, StoreBuilder, StoreError,
///     StoreIndex, StreamsBuilder, TaskState, Topic, TopologyTestDriver, Utf8,
/// };
///
/// /// Who was on a page: one row a visitor, `page 00 visitor`.
/// struct Visitors(StoreIndex);
///
/// impl Visitors {
///     fn add(&self, state: &mut TaskState, page: &str, visitor: &str) -> Result<i64, StoreError> {
///         state.put(self.0, format!("{page}\0{visitor}").as_bytes(), Some(&[]));
///         let (from, to) = (format!("{page}\0"), format!("{page}\x01"));
///         let mut visitors = 0;
///         let count = &mut |_row: &[u8], _value: &[u8]| {
///             visitors += 1;
///             ControlFlow::Continue(())
///         };
///         state.scan(self.0, from.as_bytes(), Some(to.as_bytes()), Direction::Forward, count)?;
///         Ok(visitors)
///     }
/// }
///
/// struct VisitorsDef;
///
/// impl StoreBuilder for VisitorsDef {
///     type Store = Visitors;
///     fn name(&self) -> &str {
///         "visitors"
///     }
///     fn formats(&self) -> (&str, &str) {
///         ("page and visitor, utf8", "unit")
///     }
///     fn build(&self, store: StoreIndex) -> Visitors {
///         Visitors(store)
///     }
/// }
///
/// struct Count(Visitors);
///
/// impl Processor<str, str, str, i64> for Count {
///     fn process(
///         &mut self,
///         record: Record<'_, str, str>,
///         ctx: &mut ProcessorContext<'_, str, i64>,
///     ) -> Result<(), BoxError> {
///         let (page, visitor) = (record.key.ok_or("no page")?, record.value.ok_or("no visitor")?);
///         let visitors = self.0.add(ctx.state(), page, visitor)?;
///         ctx.forward(record.with_value(Some(&visitors)));
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<(), operators::TopologyError> {
/// let views = Topic::<str, str>::new("views", Utf8, Utf8);
/// let counts = Topic::<str, i64>::new("counts", Utf8, I64Be);
/// let builder = StreamsBuilder::new("pages");
/// let counted = builder.stream(&views).process("count", &[VisitorsDef.def()], |stores| {
///     Box::new(Count(stores.open(&VisitorsDef)))
/// });
/// counted.with_key_serde(Utf8).to(&counts);
///
/// let driver = TopologyTestDriver::new(&builder.build()?);
/// for visitor in ["anna", "bob", "anna"] {
///     driver.restart(); // the store comes back from its changelog
///     driver.input(&views).pipe("/home", visitor);
/// }
/// assert_eq!(driver.output(&counts).read_values(), [1, 2, 2]);
/// # Ok(())
/// # }
/// ```
pub trait StoreBuilder {
    /// The view of the store in one task. It holds no rows: each of its calls borrows the task's state.
    type Store;

    /// The user's name for it; its changelog is named after it.
    fn name(&self) -> &str;

    /// What the keys mean and so what expires: rows of windows and sessions have the keys of
    /// [`state_stores::keys`]. Unless told otherwise nothing expires.
    fn kind(&self) -> StoreKind {
        StoreKind::KeyValue
    }

    /// Names of the formats of keys and values, for the manifest: another name means that old rows can't be read.
    fn formats(&self) -> (&str, &str);

    /// What a row is to those who query the store; unless told otherwise it is shown as bytes.
    fn rows(&self) -> RowLayout {
        RowLayout::Opaque
    }

    /// The store in one task, where it is kept at `store`.
    fn build(&self, store: StoreIndex) -> Self::Store;

    /// The declaration, for [`KStream::process`](crate::KStream::process).
    fn def(&self) -> StoreDef {
        let (key, value) = self.formats();
        let (name, formats) = (Arc::from(self.name()), (key.to_owned(), value.to_owned()));
        let (kind, rows) = (self.kind(), self.rows());
        StoreDef(Def::Store(StoreDecl { name, kind, formats, rows, unpartitioned: None }))
    }
}

/// Declares a store of the library. Known by the names of its kinds, such as [`KeyValueDef`].
pub struct TypedDef<S: TypedStore> {
    name: Arc<str>,
    kind: StoreKind,
    keys: Serde<S::Key>,
    values: Serde<S::Value>,
    /// Of a row: the codec's, marked where a row is more or less than a value.
    format: Arc<str>,
    rows: RowLayout,
}

/// Declares a [`KeyValueStore`].
pub type KeyValueDef<K, V> = TypedDef<KeyValueStore<K, V>>;
/// Declares a [`TimestampedKeyValueStore`].
pub type TimestampedDef<K, V> = TypedDef<TimestampedKeyValueStore<K, V>>;
/// Declares a [`VersionedKeyValueStore`].
pub type VersionedDef<K, V> = TypedDef<VersionedKeyValueStore<K, V>>;
/// Declares a [`WindowStore`].
pub type WindowDef<K, V> = TypedDef<WindowStore<K, V>>;
/// Declares a [`SessionStore`].
pub type SessionDef<K, V> = TypedDef<SessionStore<K, V>>;
/// Declares a [`ListStore`].
pub type ListDef<K, V> = TypedDef<ListStore<K, V>>;

impl<S: TypedStore> TypedDef<S> {
    fn of(
        name: impl Into<Arc<str>>,
        (kind, mark, rows): (StoreKind, &str, RowLayout),
        keys: impl IntoSerde<S::Key>,
        values: impl IntoSerde<S::Value>,
    ) -> Self {
        let (keys, values) = (keys.into_serde(), values.into_serde());
        let format = format!("{mark}{}", values.format()).into();
        Self { name: name.into(), kind, keys, values, format, rows }
    }

    /// The declaration, for [`KStream::process`](crate::KStream::process).
    pub fn def(&self) -> StoreDef {
        StoreBuilder::def(self)
    }
}

impl<S: TypedStore> StoreBuilder for TypedDef<S> {
    type Store = S;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> StoreKind {
        self.kind
    }

    fn formats(&self) -> (&str, &str) {
        (self.keys.format(), &self.format)
    }

    fn rows(&self) -> RowLayout {
        self.rows
    }

    fn build(&self, store: StoreIndex) -> S {
        S::open(store, &self.keys, &self.values)
    }
}

/// The ways to declare a store: what it takes beside name and codecs, the kind that makes, and what marks its rows among
/// those of that kind.
macro_rules! declared_by {
    ($def:ident, $(#[$doc:meta])+ $new:ident($($time:ident)?) => $kind:expr $(, $mark:literal)?) => {
        impl<K: ?Sized + 'static, V: ?Sized + 'static> $def<K, V> {
            $(#[$doc])+
            pub fn $new(
                name: impl Into<Arc<str>>,
                $($time: i64,)?
                keys: impl IntoSerde<K>,
                values: impl IntoSerde<V>,
            ) -> Self {
                let (kind, mark) = ($kind, concat!($($mark)?));
                Self::of(name, (kind, mark, RowLayout::marked(kind, mark)), keys, values)
            }
        }
    };
}

declared_by!(KeyValueDef, /// A store of this name.
    new() => StoreKind::KeyValue);
declared_by!(TimestampedDef, /// A store of this name.
    new() => StoreKind::KeyValue, "timestamped-");
declared_by!(ListDef, /// A store of this name.
    new() => StoreKind::KeyValue, "list-");
declared_by!(VersionedDef, /// A store of this name. Older values are known for so long after they were valid, and as late may
    /// a new one be (ms of stream time, > 0).
    new(history_retention_ms) => StoreKind::Versioned { history_retention_ms });
declared_by!(WindowDef, /// A store of this name. Windows are kept for so long after their start (ms of stream time, > 0).
    new(retention_ms) => StoreKind::Window { retention_ms, duplicates: false });
declared_by!(WindowDef, /// As [`new`](Self::new), with several rows for one key and start, told apart by a
    /// [`Sequence`](state_stores::keys::Sequence).
    with_duplicates(retention_ms) => StoreKind::Window { retention_ms, duplicates: true });
declared_by!(SessionDef, /// A store of this name. Sessions are kept for so long after their end (ms of stream time, > 0).
    new(retention_ms) => StoreKind::Session { retention_ms });

impl<S: TypedStore> Clone for TypedDef<S> {
    fn clone(&self) -> Self {
        let (keys, values) = (Arc::clone(&self.keys), Arc::clone(&self.values));
        let (name, format) = (Arc::clone(&self.name), Arc::clone(&self.format));
        Self { name, kind: self.kind, keys, values, format, rows: self.rows }
    }
}

impl<S: TypedStore> std::fmt::Debug for TypedDef<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TypedDef").field("name", &self.name).field("kind", &self.kind).finish()
    }
}
