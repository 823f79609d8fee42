//! Ranges of typed keys as ranges of full store keys.

use std::ops::{Bound, RangeBounds};

use crate::coder::Coder;
use crate::{Codec, StoreError, TaskState, keys};

/// Full store keys from `from` until before `to`; `None`: to the end.
pub(crate) struct Span {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Option<Vec<u8>>,
    /// Set: rows of lower times aren't asked for.
    pub(crate) since: Option<i64>,
}

impl Span {
    /// The full keys that begin with `prefix` and a time of `first..=last`; `None`: there are none.
    pub(crate) fn of_times(prefix: &[u8], first: i64, last: i64) -> Option<Self> {
        if first > last {
            return None;
        }
        let bound = |time: i64| [prefix, &keys::ordered(time)].concat();
        let to = match last.checked_add(1) {
            Some(after) => bound(after),
            None => keys::after_prefix(prefix)?,
        };
        Some(Self { from: bound(first), to: Some(to), since: Some(first) })
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Coder<K, V> {
    /// A range of keys where keys are as they are.
    pub(crate) fn plain_span<'k>(
        &mut self,
        state: &TaskState,
        range: impl RangeBounds<&'k K>,
    ) -> Result<Span, StoreError> {
        self.span(state, range, |key, out| out.extend_from_slice(key), |full| full.push(0))
    }

    /// A range of keys where each begins with [`keys::prefix`]. The end mark 00 01 makes way for what comes after it.
    pub(crate) fn composed_span<'k>(
        &mut self,
        state: &TaskState,
        range: impl RangeBounds<&'k K>,
    ) -> Result<Span, StoreError> {
        let after = |full: &mut Vec<u8>| full.last_mut().into_iter().for_each(|mark| *mark += 1);
        self.span(state, range, keys::prefix, after)
    }

    /// The keys that begin with a prefix, which has a codec of its own.
    pub(crate) fn prefix_span<P: ?Sized + 'static>(
        &self,
        state: &TaskState,
        prefix: &P,
        codec: &dyn Codec<P>,
    ) -> Result<Span, StoreError> {
        let mut from = Vec::new();
        let encoded = codec.encoder().encode(prefix, &mut from);
        encoded.map_err(|source| self.error(state, source))?;
        Ok(Span { to: keys::after_prefix(&from), from, since: None })
    }

    /// `after` makes a bound of what follows the key.
    fn span<'k>(
        &mut self,
        state: &TaskState,
        range: impl RangeBounds<&'k K>,
        layout: fn(&[u8], &mut Vec<u8>),
        after: fn(&mut Vec<u8>),
    ) -> Result<Span, StoreError> {
        let mut bound = |key: &K, beyond: bool| {
            let mut out = Vec::new();
            layout(self.key(state, key)?, &mut out);
            if beyond {
                after(&mut out);
            }
            Ok::<_, StoreError>(out)
        };
        let from = match range.start_bound() {
            Bound::Included(key) => bound(key, false)?,
            Bound::Excluded(key) => bound(key, true)?,
            Bound::Unbounded => Vec::new(),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => Some(bound(key, true)?),
            Bound::Excluded(key) => Some(bound(key, false)?),
            Bound::Unbounded => None,
        };
        Ok(Span { from, to, since: None })
    }
}
