//! Which rows of the base have expired, told to the engine so that it can drop them while it does something else.
//!
//! Invariant: a horizon follows from a stream time that the base holds durably. So whatever a crash leaves, no row is
//! gone that the state it goes back to could still see.

use std::collections::HashMap;

use parking_lot::RwLock;

use crate::StoreKind;
use crate::base::Place;

/// The horizons of all stores whose rows expire (R07: what is older than the retention is dropped in bulk).
#[derive(Debug, Default)]
pub struct Horizons {
    by_place: RwLock<HashMap<Place, (StoreKind, i64)>>,
}

impl Horizons {
    /// True for a key of the engine whose row nobody will read again.
    pub fn is_expired(&self, key: &[u8]) -> bool {
        let Some((place, row)) = Place::of_row(key) else { return false };
        let by_place = self.by_place.read();
        let Some((kind, horizon)) = by_place.get(&place) else { return false };
        kind.row_time(row).is_some_and(|time| time <= *horizon)
    }

    /// True while nothing expires.
    pub fn is_empty(&self) -> bool {
        self.by_place.read().is_empty()
    }

    /// Rows of a store expire up to and including `horizon`.
    pub(crate) fn set(&self, place: Place, kind: StoreKind, horizon: i64) {
        self.by_place.write().insert(place, (kind, horizon));
    }

    /// The rows of a store are about to be built anew, with older ones first.
    pub(crate) fn forget(&self, place: Place) {
        self.by_place.write().remove(&place);
    }
}
