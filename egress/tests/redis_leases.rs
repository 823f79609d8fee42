//! Five sockets per user over all instances, where `REDIS_URL` says where the
//! instances meet.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use egress::websocket::{Leases as _, RedisLeases};
use schemas::UserId;
use uuid::Uuid;

async fn instance(url: &str) -> RedisLeases {
    let client = redis::Client::open(url).unwrap();
    RedisLeases::new(client.get_connection_manager().await.unwrap())
}

#[tokio::test]
async fn the_sixth_socket_is_refused_whichever_instance_it_comes_to() {
    let Ok(url) = std::env::var("REDIS_URL") else {
        eprintln!("not tested on Redis: set REDIS_URL (compose/dev/up starts a server)");
        return;
    };
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
