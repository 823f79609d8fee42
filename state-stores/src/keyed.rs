//! What stores with one row a key have in common (S01): writes that look first, and scans by key.
//!
//! Macros, because the stores differ in what a row is: a value, a value with a timestamp, a list.

/// Writes that look at the old row. `$row` is a row as it is put, with the lifetime `'r`; `$copy` is one as it is given.
macro_rules! keyed_writes {
    ($store:ident, row: $row:ty, copy: $copy:ty) => {
        impl<K: ?Sized + 'static, V: ?Sized + 'static> $store<K, V> {
            /// Puts a row for `key` if there is none; gives what there was.
            pub fn put_if_absent<'r>(
                &mut self,
                state: &mut $crate::TaskState,
                key: &K,
                row: $row,
            ) -> Result<Option<$copy>, $crate::StoreError>
            where
                V: ToOwned,
            {
                let old = self.get(state, key)?;
                if old.is_none() {
                    self.put(state, key, Some(row))?;
                }
                Ok(old)
            }

            /// Puts or deletes (`None`) many rows, in their order.
            pub fn put_all<'r>(
                &mut self,
                state: &mut $crate::TaskState,
                rows: impl IntoIterator<Item = (&'r K, Option<$row>)>,
            ) -> Result<(), $crate::StoreError> {
                rows.into_iter().try_for_each(|(key, row)| self.put(state, key, row))
            }

            /// Deletes the row of `key`; gives what it was.
            pub fn delete(
                &mut self,
                state: &mut $crate::TaskState,
                key: &K,
            ) -> Result<Option<$copy>, $crate::StoreError>
            where
                V: ToOwned,
            {
                let old = self.get(state, key)?;
                if old.is_some() {
                    self.put(state, key, None)?;
                }
                Ok(old)
            }
        }
    };
}

/// Scans over keys, through the store's own `scan`. `$visit` is what the caller passes.
macro_rules! keyed_scans {
    ($store:ident, $($visit:tt)+) => {
        impl<K: ?Sized + 'static, V: ?Sized + 'static> $store<K, V> {
            /// Visits the rows of a range of keys, by the order of the keys' bytes: `"a"..="c"` with both ends, `"a"..`
            /// from one on, `..` all. An end before the beginning is an empty range.
            pub fn range<'k>(
                &mut self,
                state: &$crate::TaskState,
                keys: impl std::ops::RangeBounds<&'k K>,
                visit: impl $($visit)+,
            ) -> Result<(), $crate::StoreError> {
                let span = self.coder.plain_span(state, keys)?;
                self.scan(state, &span, $crate::Direction::Forward, visit)
            }

            /// As [`range`](Self::range), the largest key first.
            pub fn reverse_range<'k>(
                &mut self,
                state: &$crate::TaskState,
                keys: impl std::ops::RangeBounds<&'k K>,
                visit: impl $($visit)+,
            ) -> Result<(), $crate::StoreError> {
                let span = self.coder.plain_span(state, keys)?;
                self.scan(state, &span, $crate::Direction::Reverse, visit)
            }

            /// Visits all rows, by the order of the keys' bytes.
            pub fn all(
                &mut self,
                state: &$crate::TaskState,
                visit: impl $($visit)+,
            ) -> Result<(), $crate::StoreError> {
                self.range(state, .., visit)
            }

            /// Visits all rows, the largest key first.
            pub fn reverse_all(
                &mut self,
                state: &$crate::TaskState,
                visit: impl $($visit)+,
            ) -> Result<(), $crate::StoreError> {
                self.reverse_range(state, .., visit)
            }

            /// Visits the rows whose keys' bytes begin with those that `codec` makes of `prefix`, in order.
            pub fn prefix_scan<P: ?Sized + 'static>(
                &mut self,
                state: &$crate::TaskState,
                prefix: &P,
                codec: &impl $crate::Codec<P>,
                visit: impl $($visit)+,
            ) -> Result<(), $crate::StoreError> {
                let span = self.coder.prefix_span(state, prefix, codec)?;
                self.scan(state, &span, $crate::Direction::Forward, visit)
            }

            /// The number of keys with a row. Exact, and so it reads them all.
            pub fn approximate_num_entries(
                &self,
                state: &$crate::TaskState,
            ) -> Result<usize, $crate::StoreError> {
                state.count(self.coder.store)
            }
        }
    };
}

pub(crate) use {keyed_scans, keyed_writes};
