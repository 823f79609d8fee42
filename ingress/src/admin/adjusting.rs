//! Keyed stock adjustments that this process waits for.
//!
//! Invariant: all who wait for one request id sent the same command. An answer
//! names the id, not the body, so a waiter with another body would take the
//! answer for its own.

use std::collections::HashMap;

use parking_lot::Mutex;
use schemas::messages::StockCommand;

use crate::http::ApiError;

/// Adjustments being waited for, with the number of their waiters.
#[derive(Debug, Default)]
pub(crate) struct Adjustments(Mutex<HashMap<String, (StockCommand, usize)>>);

/// One waiter; it counts until dropped.
#[derive(Debug)]
pub(crate) struct Adjusting<'a> {
    place: &'a Adjustments,
    request_id: String,
}

impl Adjustments {
    /// Enters a waiter, before its command is appended.
    ///
    /// # Errors
    /// 409 while another command is waited for under the same id.
    pub(crate) fn enter(&self, command: &StockCommand) -> Result<Adjusting<'_>, ApiError> {
        let mut waited = self.0.lock();
        let request_id = command.request_id.clone();
        let (known, waiters) =
            waited.entry(request_id.clone()).or_insert_with(|| (command.clone(), 0));
        if known != command {
            return Err(ApiError::key_in_flight());
        }
        *waiters += 1;
        Ok(Adjusting { place: self, request_id })
    }
}

impl Drop for Adjusting<'_> {
    fn drop(&mut self) {
        let mut waited = self.place.0.lock();
        if let Some((_, waiters)) = waited.get_mut(&self.request_id) {
            *waiters -= 1;
            if *waiters == 0 {
                waited.remove(&self.request_id);
            }
        }
    }
}
