//! The feed as server-sent events, as a browser reads it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/sockets.rs"]
mod sockets;

use std::collections::HashMap;
use std::sync::Arc;

use common::{PATIENCE, World, entries, eventually, order, user};
use egress::sse::{StreamParts, router};
use egress::websocket::LocalLeases;
use reqwest::Response;
use serde_json::Value;
use sockets::{Tokens, hub};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

struct Server {
    world: World,
    url: String,
    stop: CancellationToken,
}

async fn server() -> Server {
    let world = World::new().await;
    world.sink();
    let tokens = Arc::new(Tokens::default());
    tokens.give("one", user(1), false, 3_600);
    let stop = world.shutdown.child_token();
    let parts = StreamParts {
        hub: hub(&world, &world.shutdown),
        database: world.database.clone(),
        verifier: tokens,
        leases: Arc::new(LocalLeases::default()),
        shutdown: stop.clone(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/orders/stream", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router(parts)).await });
    Server { world, url, stop }
}

impl Server {
    async fn open(&self, token: &str, last: Option<&str>) -> Response {
        let mut request = reqwest::Client::new().get(&self.url).bearer_auth(token);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.unwrap()
    }
}

/// Reads event by event.
struct Events(Response, String);

impl Events {
    /// Fields of the next event; none at the end.
    async fn next(&mut self) -> Option<HashMap<String, String>> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let fields: HashMap<_, _> = event
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                self.1 = rest.to_owned();
                if !fields.is_empty() {
                    return Some(fields);
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.0.chunk()).await.expect("a chunk").unwrap()?;
            self.1.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

fn data(event: &HashMap<String, String>) -> Value {
    serde_json::from_str(&event["data"]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_then_events_then_on_from_the_last_id() {
    let server = server().await;
    server.world.feed_and_apply(&entries(user(1), order(1), 1, 2)).await;
    let mut first = Events(server.open("one", None).await, String::new());
    assert_eq!(first.0.headers()["content-type"], "text/event-stream");
    assert_eq!(first.0.headers()["cache-control"], "no-store");
    let snapshot = first.next().await.unwrap();
    assert_eq!((&*snapshot["event"], &data(&snapshot)[0]["version"]), ("snapshot", &2.into()));
    server.world.feed(&entries(user(1), order(1), 3, 3)).await;
    let event = first.next().await.unwrap();
    assert_eq!((&*event["event"], &data(&event)["offset"]), ("order.processing", &3.into()));
    drop(first);

    server.world.feed_and_apply(&entries(user(1), order(1), 4, 6)).await;
    let mut again = Events(server.open("one", Some(&event["id"])).await, String::new());
    for offset in 4..=6 {
        assert_eq!(data(&again.next().await.unwrap())["offset"], offset);
    }
    server.stop.cancel();
    assert!(again.next().await.is_none(), "a stopping instance ends its streams");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_stay_out_and_the_sixth_stream_too() {
    let server = server().await;
    let refused = server.open("nobody", None).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &"Bearer".parse().unwrap())
    );
    let mut open = Vec::new();
    for _ in 0..5 {
        let stream = server.open("one", None).await;
        assert_eq!(stream.status(), 200);
        open.push(stream);
    }
    let sixth = server.open("one", None).await;
    assert_eq!((sixth.status().as_u16(), sixth.headers().contains_key("retry-after")), (429, true));
    open.pop();
    eventually("the place is free again", || async {
        server.open("one", None).await.status() == 200
    })
    .await;
}
