//! How many sockets a user has, over all instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use schemas::UserId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Sockets of one user, at most.
pub(crate) const MAX_SOCKETS: usize = 5;

/// How often leases are renewed; they end three times that later, so the
/// sockets of a killed instance count for at most a minute.
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(20);

/// Counts sockets.
pub trait Leases: Send + Sync {
    /// True if the user may have this socket; it then counts until released.
    fn acquire(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, bool>;
    /// The socket is gone.
    fn release(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, ()>;
    /// Everything this process holds goes on.
    fn renew(&self) -> BoxFuture<'_, ()>;
}

/// Counts the sockets of this process.
#[derive(Debug, Default)]
pub struct LocalLeases(Mutex<HashMap<UserId, Vec<Uuid>>>);

impl LocalLeases {
    fn users(&self) -> MutexGuard<'_, HashMap<UserId, Vec<Uuid>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, user: UserId, socket: Uuid) -> bool {
        let mut users = self.users();
        let sockets = users.entry(user).or_default();
        let free = sockets.len() < MAX_SOCKETS;
        if free {
            sockets.push(socket);
        }
        free
    }

    pub(crate) fn give_back(&self, user: UserId, socket: Uuid) {
        let mut users = self.users();
        if let Some(sockets) = users.get_mut(&user) {
            sockets.retain(|other| *other != socket);
            if sockets.is_empty() {
                users.remove(&user);
            }
        }
    }

    pub(crate) fn all(&self) -> Vec<(UserId, Vec<Uuid>)> {
        self.users().iter().map(|(user, sockets)| (*user, sockets.clone())).collect()
    }
}

impl Leases for LocalLeases {
    fn acquire(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, bool> {
        let taken = self.take(user, socket);
        Box::pin(async move { taken })
    }

    fn release(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, ()> {
        self.give_back(user, socket);
        Box::pin(async {})
    }

    fn renew(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Renews until shutdown.
pub(crate) async fn keep(leases: Arc<dyn Leases>, shutdown: CancellationToken) {
    while tokio::time::timeout(RENEW_EVERY, shutdown.cancelled()).await.is_err() {
        leases.renew().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_socket_of_a_user_is_refused_until_one_goes() {
        let leases = LocalLeases::default();
        let (user, other) = (UserId::new(Uuid::from_u128(1)), UserId::new(Uuid::from_u128(2)));
        for n in 0..5 {
            assert!(leases.take(user, Uuid::from_u128(n)));
        }
        assert!(!leases.take(user, Uuid::from_u128(9)));
        assert!(leases.take(other, Uuid::from_u128(9)));
        leases.give_back(user, Uuid::from_u128(3));
        assert!(leases.take(user, Uuid::from_u128(9)));
    }
}
