//! An operator's stream time: the highest timestamp it has seen. Durable, so that a
//! restart doesn't let records in that were too late before it.

use state_stores::{StoreError, StoreIndex, StoreKind, TaskState};

use crate::graph::StoreDecl;

const ROW: &[u8] = b"stream-time";

/// Kept as one row of a store of its own.
pub(crate) struct StreamTime(pub(crate) StoreIndex);

impl StreamTime {
    /// `<name>-time`
    pub(crate) fn store_name(operator: &str) -> String {
        format!("{operator}-time")
    }

    pub(crate) fn declare(operator: &str) -> StoreDecl {
        let formats = ("bytes".to_owned(), "i64-be".to_owned());
        StoreDecl::internal(Self::store_name(operator), StoreKind::KeyValue, formats)
    }

    /// The stream time so far.
    pub(crate) fn known(&self, state: &TaskState) -> Result<Option<i64>, StoreError> {
        state.get_with(self.0, ROW, |row| {
            row.and_then(|row| row.try_into().ok()).map(i64::from_be_bytes)
        })
    }

    /// The stream time before and after a record of this timestamp.
    pub(crate) fn advance(
        &self,
        state: &mut TaskState,
        timestamp: i64,
    ) -> Result<Advance, StoreError> {
        let before = self.known(state)?;
        match before {
            Some(known) if known >= timestamp => Ok(Advance { before, now: known }),
            _ => {
                state.put(self.0, ROW, Some(&timestamp.to_be_bytes()));
                Ok(Advance { before, now: timestamp })
            }
        }
    }
}

/// What a record did to stream time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advance {
    /// None: it is the first.
    pub(crate) before: Option<i64>,
    pub(crate) now: i64,
}
