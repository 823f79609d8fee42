//! A store as the program that runs the worker sees it: with its codecs, and what is here only, as the owner's or, where
//! the program allows that, as a standby's.

use std::cell::Cell;
use std::ops::{ControlFlow, RangeInclusive};
use std::time::{Duration, Instant};

use operators::{Direction, Materialized, StoreInfo};
use state_stores::{CodecError, CommittedRow, Decoder, Encoder, Keys, RowTime, Select, StoreError};

use super::answer::StandbyLag;
use super::read::parts;
use super::request::{Asked, Stale};
use super::{Queries, QueryError};

/// Typed queries of the partitions of one store that this member owns, or keeps standbys of (Q01). Holds codecs and
/// scratch, no rows.
pub struct TypedQuery<'q, K: ?Sized, V: ?Sized> {
    queries: &'q Queries,
    info: &'q StoreInfo,
    key_encoder: Box<dyn Encoder<K>>,
    key_decoder: Box<dyn Decoder<K>>,
    value_decoder: Box<dyn Decoder<V>>,
    stale: Stale,
    standby: Option<StandbyLag>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TypedQuery<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedQuery").field(&self.info.spec.name).finish()
    }
}

impl Queries {
    /// The store of this name, with these codecs.
    ///
    /// # Errors
    /// There is no such store, or its formats are others.
    pub fn typed<K: ?Sized + 'static, V: ?Sized + 'static>(
        &self,
        store: &Materialized<K, V>,
    ) -> Result<TypedQuery<'_, K, V>, QueryError> {
        let info = self.store(store.name())?;
        let (key, value) = (store.key(), store.value());
        if (key.format(), value.format()) != (&info.key, &info.value) {
            let (name, is_key, is_value) = (store.name(), &info.key, &info.value);
            let text = format!(
                "store `{name}` holds {is_key} and {is_value}, not {} and {}",
                key.format(),
                value.format()
            );
            return Err(QueryError::Invalid(text));
        }
        Ok(TypedQuery {
            queries: self,
            info,
            key_encoder: key.encoder(),
            key_decoder: key.decoder(),
            value_decoder: value.decoder(),
            stale: Stale::Never,
            standby: None,
        })
    }
}

impl<K: ?Sized, V: ?Sized> TypedQuery<'_, K, V> {
    /// Whether this member's standbys may answer (never): with [`Stale::Allow`] for what it doesn't own, with
    /// [`Stale::Prefer`] for what it keeps. Other members aren't asked.
    #[must_use]
    pub fn stale(self, stale: Stale) -> Self {
        Self { stale, ..self }
    }

    /// How old the rows of the last read may be; none where all of them were the owner's. Of several partitions, the one
    /// that is furthest behind.
    #[must_use]
    pub fn standby(&self) -> Option<&StandbyLag> {
        self.standby.as_ref()
    }

    /// Calls `visit` with each committed value of a key: one, or one per window or session in `times`, in their order.
    ///
    /// # Errors
    /// [`QueryError::NoOwner`] where this member doesn't own the key's partition, nor may answer as its standby; what was
    /// visited doesn't count then. See also [`Queries::ask`].
    pub fn fetch(
        &mut self,
        key: &K,
        times: RangeInclusive<i64>,
        mut visit: impl FnMut(Option<RowTime>, &V),
    ) -> Result<(), QueryError> {
        let mut bytes = Vec::new();
        let encoded = self.key_encoder.encode(key, &mut bytes);
        encoded.map_err(|source| codec(self.info, source))?;
        let count = self.count()?;
        let partitions = match self.info.partition_of(&bytes, count) {
            Some(own) => own..own + 1,
            None => 0..count,
        };
        let select = Select { keys: Keys::One(bytes), times, direction: Direction::Forward };
        let mut furthest = None;
        for partition in partitions {
            self.visit(partition, &select, |_, time, value| {
                visit(time, value);
                ControlFlow::Continue(())
            })?;
            let lags = [furthest, self.standby.take()].into_iter().flatten();
            furthest = lags.max_by_key(|lag| lag.behind_ms);
        }
        self.standby = furthest;
        Ok(())
    }

    /// A copy of the committed value of a key.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn get(&mut self, key: &K) -> Result<Option<V::Owned>, QueryError>
    where
        V: ToOwned,
    {
        let mut found = None;
        self.fetch(key, i64::MIN..=i64::MAX, |_, value| found = Some(value.to_owned()))?;
        Ok(found)
    }

    /// Visits the committed rows of one partition until `visit` breaks: key, window or session, value.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn visit(
        &mut self,
        partition: u32,
        select: &Select,
        mut visit: impl FnMut(&K, Option<RowTime>, &V) -> ControlFlow<()>,
    ) -> Result<(), QueryError> {
        let asked = Asked {
            select: select.clone(),
            limit: usize::MAX,
            partitions: None,
            after: Vec::new(),
            wait: Duration::ZERO,
            until: Instant::now(),
            within: Duration::MAX,
            deadline: None,
            stale: self.stale,
        };
        self.standby = None;
        let Self { queries, info, key_decoder, value_decoder, .. } = self;
        let queries: &Queries = queries;
        let has_visited = Cell::new(false);
        let mut row = |row: CommittedRow<'_>| {
            has_visited.set(true);
            let parts = parts(info, row.value)?;
            let key = key_decoder.decode(row.key).map_err(|source| codec(info, source))?;
            for bytes in parts.values {
                let value = value_decoder.decode(bytes).map_err(|source| codec(info, source))?;
                if visit(key, row.time, value).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        let as_standby: &[bool] = match self.stale {
            Stale::Never => &[false],
            Stale::Allow => &[false, true],
            Stale::Prefer => &[true, false],
        };
        for as_standby in as_standby {
            let read = if *as_standby {
                queries.visit_standby(info, partition, &asked, &mut row).map(|(_, lag)| lag)
            } else {
                queries.visit_here(info, partition, &asked, &mut row).map(|_| None)
            };
            match read {
                Err(QueryError::NoOwner { .. } | QueryError::NoStandby { .. }) => {}
                read => {
                    self.standby = read?;
                    return Ok(());
                }
            }
            // The other one would visit rows again.
            if has_visited.get() {
                break;
            }
        }
        Err(queries.no_owner(info, partition))
    }

    fn count(&self) -> Result<u32, QueryError> {
        let count = self.queries.partition_count(self.info);
        count.ok_or_else(|| QueryError::Starting { application: self.queries.application().into() })
    }
}

fn codec(info: &StoreInfo, source: CodecError) -> QueryError {
    QueryError::State(StoreError::Codec { store: info.spec.name.to_string(), source })
}
