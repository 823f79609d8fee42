//! Five sockets per user over all instances, which meet in Redis.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "../read-model/tests/common/servers.rs"]
mod servers;

use egress::websocket::{Leases as _, RedisLeases};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use schemas::UserId;
use uuid::Uuid;

async fn instance(url: &str) -> RedisLeases {
    let client = redis::Client::open(url).unwrap();
    RedisLeases::new(client.get_connection_manager().await.unwrap())
}

#[tokio::test]
async fn the_sixth_socket_is_refused_whichever_instance_it_comes_to() {
    let Some(url) = servers::address(&["REDIS_URL"]) else { return };
    let (here, there) = (instance(&url).await, instance(&url).await);
    let user = UserId::new(Uuid::new_v4());
    let sockets: Vec<Uuid> = (0..6).map(|_| Uuid::new_v4()).collect();
    for (n, socket) in sockets.iter().take(5).enumerate() {
        let instance = if n % 2 == 0 { &here } else { &there };
        assert!(instance.acquire(user, *socket).await, "socket {n}");
    }
    assert!(!there.acquire(user, sockets[5]).await);
    assert!(!here.acquire(user, sockets[5]).await);
    here.renew().await;
    here.release(user, sockets[0]).await;
    assert!(there.acquire(user, sockets[5]).await);
    assert!(!here.acquire(user, Uuid::new_v4()).await);
}

#[tokio::test]
async fn without_redis_each_process_counts_its_own() {
    let nowhere = redis::Client::open("redis://127.0.0.1:1/").unwrap();
    let leases = RedisLeases::new(
        ConnectionManager::new_lazy_with_config(nowhere, ConnectionManagerConfig::new()).unwrap(),
    );
    let user = UserId::new(Uuid::new_v4());
    for n in 0..5 {
        assert!(leases.acquire(user, Uuid::new_v4()).await, "socket {n}");
    }
    assert!(!leases.acquire(user, Uuid::new_v4()).await);
}
