//! "The read model shows it": waiters for what the sink has written.
//!
//! A waiter is registered *before* the command is appended, so that the sink
//! can't be faster. Nobody polls per order: the sink's process tells its own
//! waiters after each commit, and on Postgres every other process hears it by
//! `NOTIFY` (see [`crate::listen`](crate::listen())).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use read_model::{Applied, AppliedBatch};
//! use schemas::OrderId;
//!
//! let applied = Applied::default();
//! let order = OrderId::new(uuid::Uuid::from_u128(7));
//! let mut watch = applied.watch_order(order);           // 1. register
//! // 2. append the command; 3. the sink commits, some time later:
//! applied.publish(&AppliedBatch { orders: vec![(order, 1)], requests: vec![] });
//! let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
//! assert_eq!(watch.reached(1, deadline).await, Ok(1));  // 4. wait
//! # });
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::OrderId;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// What one commit of the sink made visible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedBatch {
    /// Orders and the version now in the read model.
    pub orders: Vec<(OrderId, i64)>,
    /// `Product::command_id` and `StockLevel::request_id` of every record
    /// read, superseded ones included.
    pub requests: Vec<String>,
}

/// The read model didn't show it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the read model did not show it before the deadline")]
pub struct NotApplied;

/// Where waiters register. Cheap to clone; clones are the same place.
#[derive(Clone, Debug, Default)]
pub struct Applied(Arc<Registered>);

#[derive(Debug, Default)]
struct Registered {
    orders: Mutex<HashMap<OrderId, Watched<i64>>>,
    requests: Mutex<HashMap<String, Watched<bool>>>,
}

#[derive(Debug)]
struct Watched<T> {
    sender: watch::Sender<T>,
    watchers: usize,
}

/// A registered waiter for one order. Sees every version applied since it was
/// made; what was applied before is in the database already.
#[derive(Debug)]
pub struct OrderWatch {
    place: Applied,
    order_id: OrderId,
    receiver: watch::Receiver<i64>,
}

/// A registered waiter for one request to the catalogue or a warehouse.
#[derive(Debug)]
pub struct RequestWatch {
    place: Applied,
    request_id: String,
    receiver: watch::Receiver<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are changed by single inserts and removes, whole at any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Applied {
    /// Registers for an order, before the command is appended.
    #[must_use]
    pub fn watch_order(&self, order_id: OrderId) -> OrderWatch {
        let mut orders = lock(&self.0.orders);
        let watched = orders
            .entry(order_id)
            .or_insert_with(|| Watched { sender: watch::Sender::new(0), watchers: 0 });
        watched.watchers += 1;
        OrderWatch { place: self.clone(), order_id, receiver: watched.sender.subscribe() }
    }

    /// Registers for a `ProductCommand::command_id` or
    /// `StockCommand::request_id`, before the command is appended.
    #[must_use]
    pub fn watch_request(&self, request_id: &str) -> RequestWatch {
        let mut requests = lock(&self.0.requests);
        let watched = requests
            .entry(request_id.to_owned())
            .or_insert_with(|| Watched { sender: watch::Sender::new(false), watchers: 0 });
        watched.watchers += 1;
        RequestWatch {
            place: self.clone(),
            request_id: request_id.to_owned(),
            receiver: watched.sender.subscribe(),
        }
    }

    /// Wakes the waiters. The sink calls it after its commit.
    pub fn publish(&self, batch: &AppliedBatch) {
        let orders = lock(&self.0.orders);
        for (order, version) in &batch.orders {
            if let Some(watched) = orders.get(order) {
                watched.sender.send_if_modified(|seen| {
                    let newer = *version > *seen;
                    *seen = (*seen).max(*version);
                    newer
                });
            }
        }
        drop(orders);
        let requests = lock(&self.0.requests);
        for request in &batch.requests {
            if let Some(watched) = requests.get(request) {
                watched.sender.send_replace(true);
            }
        }
    }

    /// What is being waited for: asked in one query after a reconnect.
    #[must_use]
    pub fn waiting(&self) -> (Vec<OrderId>, Vec<String>) {
        (
            lock(&self.0.orders).keys().copied().collect(),
            lock(&self.0.requests).keys().cloned().collect(),
        )
    }
}

impl OrderWatch {
    /// Returns the version once it is `version` or later.
    pub async fn reached(&mut self, version: i64, deadline: Instant) -> Result<i64, NotApplied> {
        match timeout_at(deadline, self.receiver.wait_for(|seen| *seen >= version)).await {
            Ok(Ok(seen)) => Ok(*seen),
            Ok(Err(_)) | Err(_) => Err(NotApplied),
        }
    }

    /// Highest version applied since this waiter was made; 0 = none.
    #[must_use]
    pub fn seen(&self) -> i64 {
        *self.receiver.borrow()
    }
}

impl RequestWatch {
    /// Returns once the request's effect is in the read model.
    pub async fn applied(&mut self, deadline: Instant) -> Result<(), NotApplied> {
        match timeout_at(deadline, self.receiver.wait_for(|seen| *seen)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(NotApplied),
        }
    }
}

impl Drop for OrderWatch {
    fn drop(&mut self) {
        let mut orders = lock(&self.place.0.orders);
        if let Some(watched) = orders.get_mut(&self.order_id) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                orders.remove(&self.order_id);
            }
        }
    }
}

impl Drop for RequestWatch {
    fn drop(&mut self) {
        let mut requests = lock(&self.place.0.requests);
        if let Some(watched) = requests.get_mut(&self.request_id) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                requests.remove(&self.request_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn order(n: u128) -> OrderId {
        OrderId::new(uuid::Uuid::from_u128(n))
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[tokio::test]
    async fn a_write_between_registering_and_waiting_is_not_missed() {
        let applied = Applied::default();
        let mut watch = applied.watch_order(order(1));
        applied.publish(&AppliedBatch {
            orders: vec![(order(1), 3), (order(2), 9)],
            requests: vec![],
        });
        assert_eq!(watch.reached(2, soon()).await, Ok(3));
    }

    #[tokio::test]
    async fn an_older_version_does_not_take_a_newer_one_back() {
        let applied = Applied::default();
        let watch = applied.watch_order(order(1));
        for version in [5, 2] {
            applied.publish(&AppliedBatch { orders: vec![(order(1), version)], requests: vec![] });
        }
        assert_eq!(watch.seen(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_wait_and_nothing_stays_behind() {
        let applied = Applied::default();
        let mut watch = applied.watch_order(order(1));
        let mut request = applied.watch_request("r");
        assert_eq!(watch.reached(1, soon()).await, Err(NotApplied));
        assert_eq!(request.applied(soon()).await, Err(NotApplied));
        assert_eq!(applied.waiting(), (vec![order(1)], vec!["r".to_owned()]));
        drop((watch, request));
        assert_eq!(applied.waiting(), (vec![], vec![]));
    }
}
