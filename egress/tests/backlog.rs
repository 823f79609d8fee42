//! Sockets that are behind: when it is nobody's fault, and when the client's.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/sockets.rs"]
mod sockets;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, entries, entry, eventually, order, user};
use egress::feed::{FeedEvent, Hub, TooSlow, Topic};
use egress::websocket::WebSocketSettings;
use schemas::messages::UserFeedEntry;
use serde_json::{Value, json};
use sockets::{Server, Socket, server, server_on, server_with};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// A hub that holds about twenty events.
fn forgetful() -> Hub {
    let [one] = entries(user(1), order(1), 1, 1).try_into().unwrap();
    Hub::new(20 * FeedEvent::new(&one).size())
}

/// Publishes in one go: on a runtime of one thread no socket gets a turn between
/// two events, as on a machine without a free core.
fn burst(hub: &Hub, entries: impl IntoIterator<Item = UserFeedEntry>) {
    for entry in entries {
        hub.publish(&Arc::new(FeedEvent::new(&entry)));
    }
}

/// A socket that certainly follows its user.
async fn following(server: &Server) -> Socket {
    let mut socket = server.user(1).await;
    socket.say("ping").await;
    assert_eq!(socket.next().await, Message::text("pong"));
    socket
}

#[tokio::test]
async fn who_reads_is_not_cut_off_however_many_events_come_at_once() {
    let server = server().await;
    let mut socket = following(&server).await;
    burst(&server.hub, entries(user(1), order(1), 1, 3_000));
    for offset in 1..=3_000 {
        assert_eq!(socket.json().await["offset"], offset);
    }
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off_and_can_resume() {
    /// More than both ends of the connection buffer.
    const EVENTS: i64 = 20_000;
    let settings = WebSocketSettings {
        send_within: Duration::from_millis(100),
        ..WebSocketSettings::default()
    };
    let server = server_with(settings).await;
    let mut stuck = following(&server).await;
    burst(&server.hub, entries(user(1), order(1), 1, EVENTS));
    eventually("cut off", || async { server.hub.subscriptions() == 0 }).await;
    let mut last = 0;
    // A client that reads too late for the close frame finds a broken line.
    while let Some(message) = stuck.rest().await {
        if let Message::Close(frame) = message {
            assert_eq!(u16::from(frame.unwrap().code), 4408);
            break;
        }
        let event: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        last += 1;
        assert_eq!(event["offset"], last);
    }
    assert!(last < EVENTS, "the machine's buffers took everything");
    let mut again = server.user(1).await;
    let position = json!({"epoch": server.hub.epoch(), "offset": last});
    let topic = Topic::User(user(1)).to_string();
    let resumed =
        again.subscribe(json!({"type": "subscribe", "topic": topic, "position": position})).await;
    assert_eq!(resumed["recovered"], true);
    for offset in last + 1..=EVENTS {
        assert_eq!(again.json().await["offset"], offset);
    }
}

#[tokio::test]
async fn who_is_behind_what_is_held_is_cut_off() {
    let server = server_on(forgetful(), WebSocketSettings::default()).await;
    let mut socket = following(&server).await;
    burst(&server.hub, entries(user(1), order(1), 1, 10));
    for offset in 1..=10 {
        assert_eq!(socket.json().await["offset"], offset);
    }
    burst(&server.hub, entries(user(1), order(1), 11, 110));
    assert_eq!(socket.closed().await, 4408);
}

#[test]
fn what_was_not_for_a_follower_does_not_put_it_behind() {
    let hub = Arc::new(forgetful());
    let follower = hub.follower();
    follower.follow(Topic::Order(order(2)), user(1));
    burst(&hub, entries(user(1), order(1), 1, 100));
    burst(&hub, [entry(user(1), 101, order(2), 1)]);
    let taken = follower.take(10).unwrap();
    assert_eq!(taken.iter().map(|followed| followed.event.number).collect::<Vec<_>>(), [101]);
    burst(&hub, [entry(user(1), 102, order(2), 2)]);
    burst(&hub, entries(user(1), order(1), 103, 200));
    assert_eq!(follower.take(10).unwrap_err(), TooSlow, "its own event is gone");
}

#[tokio::test]
async fn topics_take_turns_and_news_last_until_all_is_taken() {
    const EACH: i64 = 50;
    let hub = Arc::new(Hub::default());
    let follower = hub.follower();
    for n in 1..=3 {
        follower.follow(Topic::User(user(n)), user(n));
        burst(&hub, entries(user(n), order(n), 1, EACH));
    }
    let mut seen = HashMap::new();
    for _ in 0..EACH * 3 / 10 {
        timeout(PATIENCE, follower.news()).await.expect("news");
        let taken = follower.take(10).unwrap();
        assert_eq!(taken.len(), 10);
        for followed in taken {
            let last: &mut i64 = seen.entry(followed.topic).or_default();
            assert_eq!(followed.event.number, *last + 1);
            *last += 1;
        }
        let ahead = seen.values().max().unwrap() - seen.values().min().unwrap();
        assert!(seen.len() < 3 || ahead <= 10, "{seen:?}");
    }
    assert!(follower.take(10).unwrap().is_empty());
    follower.unfollow(Topic::User(user(1)));
    assert_eq!(hub.subscriptions(), 2);
    drop(follower);
    assert_eq!(hub.subscriptions(), 0);
}
