//! Cleanup of left-over state: of tasks that have been elsewhere for long, and of stores that no topology has any more.
//!
//! Invariant: what somebody has is never touched, and of a place all goes or nothing: its mark and its rows leave in one
//! batch. A crash before the next flush brings both back. What is removed too soon costs a restore, never a row: the
//! changelog has it all.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{self, Place};
use crate::holder::Holder;
use crate::shelf::Shelf;
use crate::state_dir::Shared;
use crate::{Durability, StoreError, WriteBatch};

/// Removes what nobody has and nobody has known to be its changelog's for longer than `limit_ms`; of how many places.
///
/// The caller holds the write-back lock, and the lock under which shelves are given out.
pub(crate) fn remove(
    shared: &Shared,
    shelves: &BTreeMap<Place, Arc<Shelf>>,
    now_ms: i64,
    limit_ms: i64,
) -> Result<usize, StoreError> {
    let is_old = |as_of_ms: i64| now_ms.saturating_sub(as_of_ms) > limit_ms;
    let mut removed = 0;
    for (place, mark) in base::marks(&*shared.engine)? {
        match shelves.get(&place) {
            Some(shelf) => {
                let nobody = Holder(Holder::NOBODY);
                if !shelf.is_held_by(nobody) || !shelf.as_of_ms().is_some_and(is_old) {
                    continue;
                }
                shelf.clear(nobody, shared)?;
            }
            None if is_old(mark.as_of_ms) => {
                let mut batch = WriteBatch::new();
                place.clear(&mut batch);
                shared.engine.write(&batch, Durability::None)?;
            }
            None => continue,
        }
        removed += 1;
    }
    Ok(removed)
}
