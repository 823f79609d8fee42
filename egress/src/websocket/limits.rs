//! How many sockets a user has, over all instances.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use schemas::UserId;
use tokio::runtime::Handle;
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
    /// Whoever drops the future before it ends must release as well.
    fn acquire(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, bool>;
    /// The socket is gone.
    fn release(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, ()>;
    /// Everything this process holds goes on.
    fn renew(&self) -> BoxFuture<'_, ()>;
}

/// A place that counts until it is given back: in order by
/// [`Place::give_back`], or by itself when its holder is dropped.
pub(crate) struct Place {
    leases: Arc<dyn Leases>,
    user: UserId,
    socket: Uuid,
    held: bool,
}

impl Place {
    /// None where the user has as many as allowed.
    pub(crate) async fn take(leases: &Arc<dyn Leases>, user: UserId) -> Option<Self> {
        // Made before it is asked for: a client that leaves meanwhile ends
        // this future, and what was counted by then is given back.
        let mut place =
            Self { leases: Arc::clone(leases), user, socket: Uuid::new_v4(), held: true };
        place.held = place.leases.acquire(user, place.socket).await;
        place.held.then_some(place)
    }

    pub(crate) async fn give_back(mut self) {
        self.held = false;
        self.leases.release(self.user, self.socket).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.held, Handle::try_current()) {
            let (leases, user, socket) = (Arc::clone(&self.leases), self.user, self.socket);
            runtime.spawn(async move { leases.release(user, socket).await });
        }
    }
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

/// Renews what this process holds until shutdown.
pub async fn keep_leases(leases: Arc<dyn Leases>, shutdown: CancellationToken) {
    while tokio::time::timeout(RENEW_EVERY, shutdown.cancelled()).await.is_err() {
        leases.renew().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts, and then never answers.
    #[derive(Default)]
    struct Silent(LocalLeases);

    impl Leases for Silent {
        fn acquire(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, bool> {
            assert!(self.0.take(user, socket));
            Box::pin(std::future::pending())
        }
        fn release(&self, user: UserId, socket: Uuid) -> BoxFuture<'_, ()> {
            self.0.release(user, socket)
        }
        fn renew(&self) -> BoxFuture<'_, ()> {
            self.0.renew()
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_it_is_counted_gives_its_place_back() {
        let silent = Arc::new(Silent::default());
        let leases: Arc<dyn Leases> = silent.clone();
        let user = UserId::new(Uuid::from_u128(1));
        let mut asking = Box::pin(Place::take(&leases, user));
        assert!(futures::poll!(asking.as_mut()).is_pending());
        assert_eq!(silent.0.all().len(), 1);
        drop(asking);
        while !silent.0.all().is_empty() {
            tokio::task::yield_now().await;
        }
    }

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
