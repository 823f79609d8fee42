//! The WebSocket contract (`contract.md` §2), line by line, with a client of
//! another make.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;
#[path = "common/sockets.rs"]
mod sockets;

use std::time::Duration;

use common::{entries, entry, eventually, order, user};
use egress::websocket::WebSocketSettings;
use serde_json::{Value, json};
use sockets::{connect_at, instance, server, server_with};
use tokio_tungstenite::tungstenite::Message;

fn topic(n: u128) -> String {
    format!("user:{}", user(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_before_the_upgrade() {
    let settings = WebSocketSettings {
        allowed_origins: vec!["https://shop".to_owned()],
        ..WebSocketSettings::default()
    };
    let server = server_with(settings).await;
    let bearer = ("authorization", "Bearer token-1");
    assert_eq!(
        server.connect("/ws/orders", &[("authorization", "Bearer nobody")]).await.err(),
        Some(401)
    );
    assert_eq!(
        server
            .connect("/ws/orders", &[("sec-websocket-protocol", "orders.v1, bearer.nobody")])
            .await
            .err(),
        Some(401)
    );
    assert_eq!(
        server.connect(&format!("/ws/orders/{}", user(2)), &[bearer]).await.err(),
        Some(403)
    );
    assert_eq!(
        server.connect("/ws/orders", &[bearer, ("origin", "https://evil")]).await.err(),
        Some(403)
    );
    assert_eq!(server.connect("/ws/orders/me", &[bearer]).await.err(), Some(404));
    assert!(server.connect("/ws/orders", &[bearer, ("origin", "https://shop")]).await.is_ok());
    assert!(server.connect(&format!("/ws/orders/{}", user(1)), &[bearer]).await.is_ok());
    assert!(
        server
            .connect(&format!("/ws/orders/{}", user(1)), &[("authorization", "Bearer admin")])
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_by_subprotocol_and_by_first_message() {
    let settings =
        WebSocketSettings { auth_within: Duration::from_secs(3), ..WebSocketSettings::default() };
    let server = server_with(settings).await;
    let mut by_protocol = server
        .connect("/ws/orders", &[("sec-websocket-protocol", "orders.v1, bearer.token-1")])
        .await
        .ok()
        .unwrap();
    by_protocol.say("ping").await;
    assert_eq!(by_protocol.next().await, Message::text("pong"));

    let mut first = server.connect("/ws/orders?token=token-1", &[]).await.ok().unwrap();
    first.say("ping").await;
    assert_eq!(first.next().await, Message::text("pong"), "before the token too");
    first.say(r#"{"type":"auth","token":"token-1"}"#).await;
    assert_eq!(first.json().await, json!({"type": "authenticated", "user_id": user(1)}));

    let mut late = server.connect("/ws/orders?token=token-1", &[]).await.ok().unwrap();
    assert_eq!(late.closed().await, 4401, "the query doesn't count");
    let mut bad = server.connect("/ws/orders", &[]).await.ok().unwrap();
    bad.say(r#"{"type":"auth","token":"nobody"}"#).await;
    assert_eq!(bad.closed().await, 4401);
    let mut foreign = server.connect(&format!("/ws/orders/{}", user(2)), &[]).await.ok().unwrap();
    foreign.say(r#"{"type":"auth","token":"token-1"}"#).await;
    assert_eq!(foreign.closed().await, 4403);
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_follows_the_own_orders() {
    let server = server().await;
    let mut socket = server.user(1).await;
    socket.say("ping").await;
    assert_eq!(socket.next().await, Message::text("pong"));
    server.world.feed(&[entry(user(2), 1, order(2), 1), entry(user(1), 1, order(1), 4)]).await;
    let event = socket.json().await;
    assert_eq!(event["type"], "event");
    assert_eq!(event["topic"], topic(1));
    assert_eq!(
        (&event["offset"], &event["sequence"], &event["version"]),
        (&json!(1), &json!(4), &json!(4))
    );
    assert_eq!((&event["event_type"], &event["status"]), (&json!("order.paid"), &json!("paid")));
    assert_eq!(event["occurred_at"], "2023-11-14T22:13:20.000004Z");
    assert_eq!(event["data"]["order_id"], json!(order(1)));
    assert_eq!(event["data"]["total_amount"].to_string(), "59.98");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_then_deltas_then_resume_without_a_gap() {
    let server = server().await;
    server.world.feed_and_apply(&entries(user(1), order(1), 1, 5)).await;
    let mut socket = server.user(1).await;
    let subscribed =
        socket.subscribe(json!({"type": "subscribe", "topic": topic(1), "snapshot": true})).await;
    assert_eq!(
        (&subscribed["type"], &subscribed["recovered"]),
        (&json!("subscribed"), &json!(false))
    );
    assert_eq!(subscribed["position"]["offset"], 5);
    assert_eq!(subscribed["snapshot"][0]["version"], 5);
    server.world.feed(&entries(user(1), order(1), 6, 6)).await;
    let event = socket.json().await;
    assert_eq!(event["offset"], 6);
    drop(socket);

    server.world.feed_and_apply(&entries(user(1), order(1), 7, 9)).await;
    let mut again = server.user(1).await;
    let position = json!({"epoch": subscribed["position"]["epoch"], "offset": 6});
    let wish =
        json!({"type": "subscribe", "topic": topic(1), "snapshot": true, "position": position});
    let resumed = again.subscribe(wish).await;
    assert_eq!((&resumed["recovered"], &resumed["position"]), (&json!(true), &position));
    assert!(resumed.get("snapshot").is_none());
    for offset in 7..=9 {
        assert_eq!(again.json().await["offset"], offset);
    }
    let foreign = json!({"epoch": "another", "offset": 6});
    let wish =
        json!({"type": "subscribe", "topic": topic(1), "snapshot": true, "position": foreign});
    let reload = again.subscribe(wish).await;
    assert_eq!((&reload["recovered"], &reload["position"]["offset"]), (&json!(false), &json!(9)));
    assert_eq!(reload["snapshot"][0]["version"], 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_numbered_by_its_version() {
    let server = server().await;
    let mut rows = entries(user(1), order(1), 1, 3);
    rows.push(entry(user(1), 4, order(2), 1));
    server.world.feed_and_apply(&rows).await;
    let mut socket = server.user(1).await;
    let name = format!("order:{}", order(2));
    let subscribed =
        socket.subscribe(json!({"type": "subscribe", "topic": name, "snapshot": true})).await;
    assert_eq!(subscribed["position"]["offset"], 1);
    assert_eq!(subscribed["snapshot"][0]["order_id"], json!(order(2)));
    server.world.feed(&[entry(user(1), 5, order(1), 4), entry(user(1), 6, order(2), 2)]).await;
    let event = socket.json().await;
    assert_eq!(
        (&event["topic"], &event["offset"]),
        (&json!(name), &json!(2)),
        "the explicit one replaced the silent one"
    );
    let missing = socket
        .subscribe(json!({"type": "subscribe", "topic": format!("order:{}", order(77))}))
        .await;
    assert_eq!((&missing["type"], &missing["code"]), (&json!("error"), &json!("not_found")));
    socket.say(json!({"type": "unsubscribe", "topic": name}).to_string()).await;
    let resumed = json!({"type": "subscribe", "topic": name, "position": {"epoch": subscribed["position"]["epoch"], "offset": 1}});
    assert_eq!(socket.subscribe(resumed).await["recovered"], true, "unsubscribing was silent");
    assert_eq!(socket.json().await["offset"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_yours() {
    let server = server().await;
    server.world.feed_and_apply(&[entry(user(2), 1, order(2), 1)]).await;
    for foreign in [topic(2), format!("order:{}", order(2))] {
        let mut socket = server.user(1).await;
        let refused = socket.subscribe(json!({"type": "subscribe", "topic": foreign})).await;
        assert_eq!(refused["code"], "forbidden");
        assert_eq!(socket.closed().await, 4403);
    }
    let mut admin =
        server.connect("/ws/orders", &[("authorization", "Bearer admin")]).await.ok().unwrap();
    let allowed =
        admin.subscribe(json!({"type": "subscribe", "topic": topic(2), "snapshot": true})).await;
    assert_eq!(allowed["snapshot"][0]["user_id"], json!(user(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_get_an_error_and_the_socket_lives() {
    let server = server().await;
    let mut socket = server.user(1).await;
    for (message, code) in [
        ("{", "malformed"),
        (r#"{"type":"dance"}"#, "unknown_type"),
        (r#"{"type":"subscribe","topic":"all"}"#, "bad_topic"),
        (
            r#"{"type":"subscribe","topic":"user:00000000-0000-0000-0000-000000000001","position":5}"#,
            "bad_position",
        ),
    ] {
        socket.say(message).await;
        let answer = socket.json().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{message}"
        );
    }
    socket.say("ping").await;
    assert_eq!(socket.next().await, Message::text("pong"));
    socket.say("x".repeat(64 * 1024)).await;
    assert_eq!(socket.json().await["code"], "malformed", "64 KiB pass");
    socket.say("x".repeat(64 * 1024 + 1)).await;
    assert_eq!(socket.closed().await, 1009);
    let mut huge = server.user(1).await;
    huge.say("x".repeat(200 * 1024)).await;
    assert_eq!(huge.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_one_client() {
    let server =
        server_with(WebSocketSettings { max_subscriptions: 2, ..WebSocketSettings::default() })
            .await;
    let rows: Vec<_> = (1..=3).map(|n| entry(user(1), n, order(n as u128), 1)).collect();
    server.world.feed_and_apply(&rows).await;
    let mut socket = server.user(1).await;
    for n in 1..=2 {
        let name = format!("order:{}", order(n));
        assert_eq!(
            socket.subscribe(json!({"type": "subscribe", "topic": name})).await["type"],
            "subscribed"
        );
    }
    let third = socket
        .subscribe(json!({"type": "subscribe", "topic": format!("order:{}", order(3))}))
        .await;
    assert_eq!(third["code"], "too_many_subscriptions");
    assert_eq!(socket.closed().await, 4429);

    let mut talker = server.user(2).await;
    for _ in 0..301 {
        talker.say("ping").await;
    }
    assert_eq!(talker.closed().await, 4429);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_sockets_and_no_sixth() {
    let server = server().await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(server.user(1).await);
    }
    let bearer = [("authorization", "Bearer token-1")];
    assert_eq!(server.connect("/ws/orders", &bearer).await.err(), Some(429));
    let mut late = server.connect("/ws/orders", &[]).await.ok().unwrap();
    late.say(r#"{"type":"auth","token":"token-1"}"#).await;
    assert_eq!(late.closed().await, 4429);
    open.pop();
    eventually("the place is free again", || async {
        server.connect("/ws/orders", &bearer).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_end_are_refreshed_and_are_revoked() {
    let settings = WebSocketSettings {
        verify_every: Duration::from_millis(20),
        ..WebSocketSettings::default()
    };
    let server = server_with(settings).await;
    server.tokens.give("short", user(1), false, 2);
    let mut expiring =
        server.connect("/ws/orders", &[("authorization", "Bearer short")]).await.ok().unwrap();
    let mut refreshed =
        server.connect("/ws/orders", &[("authorization", "Bearer short")]).await.ok().unwrap();
    refreshed.say(r#"{"type":"refresh","token":"token-1"}"#).await;
    assert_eq!(refreshed.json().await["type"], "authenticated");
    assert_eq!(expiring.closed().await, 4401);
    refreshed.say("ping").await;
    assert_eq!(refreshed.next().await, Message::text("pong"), "outlives its first token");
    server.tokens.revoke("token-1");
    assert_eq!(refreshed.closed().await, 4401);
    let mut stranger = server.user(2).await;
    stranger.say(r#"{"type":"refresh","token":"token-3"}"#).await;
    assert_eq!(stranger.closed().await, 4403, "a socket keeps its user");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_administrator_keeps_no_feed_of_others() {
    let server = server().await;
    let admin = [("authorization", "Bearer admin")];
    server.tokens.give("demoted", user(100), false, 3_600);
    let refresh = r#"{"type":"refresh","token":"demoted"}"#;
    let mut others = server.connect("/ws/orders", &admin).await.ok().unwrap();
    others.subscribe(json!({"type": "subscribe", "topic": topic(2)})).await;
    others.say(refresh).await;
    assert_eq!(others.closed().await, 4403);
    let path = format!("/ws/orders/{}", user(2));
    let mut silent = server.connect(&path, &admin).await.ok().unwrap();
    silent.say(refresh).await;
    assert_eq!(silent.closed().await, 4403, "the silent subscription too");
    let mut own = server.connect("/ws/orders", &admin).await.ok().unwrap();
    own.say(refresh).await;
    assert_eq!(own.json().await["type"], "authenticated");
    let refused = own.subscribe(json!({"type": "subscribe", "topic": topic(2)})).await;
    assert_eq!(refused["code"], "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_refused_leaves_the_one_before() {
    let server = server().await;
    server.world.feed_and_apply(&entries(user(1), order(1), 1, 2)).await;
    let mut socket = server.user(1).await;
    let wish = json!({"type": "subscribe", "topic": topic(1), "snapshot": true});
    assert_eq!(socket.subscribe(wish.clone()).await["position"]["offset"], 2);
    server.world.database.close().await;
    let refused = socket.subscribe(wish).await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("unavailable")));
    server.world.feed(&entries(user(1), order(1), 3, 3)).await;
    assert_eq!(socket.json().await["offset"], 3, "still followed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_instance_says_so_and_another_one_goes_on() {
    let server = server().await;
    let other = instance(
        &server.world,
        &server.tokens,
        WebSocketSettings::default(),
        &server.world.shutdown,
    )
    .await;
    let bearer = [("authorization", "Bearer token-1")];
    let mut here = server.user(1).await;
    let mut there = connect_at(other, "/ws/orders", &bearer).await.ok().unwrap();
    for socket in [&mut here, &mut there] {
        socket.say("ping").await;
        assert_eq!(socket.next().await, Message::text("pong"));
    }
    server.world.feed_and_apply(&entries(user(1), order(1), 1, 2)).await;
    for socket in [&mut here, &mut there] {
        assert_eq!(
            (&socket.json().await["offset"], &socket.json().await["offset"]),
            (&json!(1), &json!(2))
        );
    }
    let position =
        here.subscribe(json!({"type": "subscribe", "topic": topic(1)})).await["position"].clone();
    server.stop.cancel();
    assert_eq!(here.closed().await, 1012);
    server.world.feed(&entries(user(1), order(1), 3, 4)).await;
    let mut moved = connect_at(other, "/ws/orders", &bearer).await.ok().unwrap();
    let resumed = moved
        .subscribe(json!({"type": "subscribe", "topic": topic(1), "position": position}))
        .await;
    assert_eq!(resumed["recovered"], true, "{resumed}");
    assert_eq!(
        (&moved.json().await["offset"], &moved.json().await["offset"]),
        (&json!(3), &json!(4))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drops_again_and_again_misses_nothing_and_sees_nothing_twice() {
    const EVENTS: i64 = 300;
    let server = server().await;
    let writer = async {
        for batch in 0..EVENTS / 10 {
            server
                .world
                .feed_and_apply(&entries(user(1), order(1), batch * 10 + 1, batch * 10 + 10))
                .await;
        }
    };
    let reader = async {
        let (mut seen, mut position) = (0, Value::Null);
        let mut patience = 1;
        while seen < EVENTS {
            let mut socket = server.user(1).await;
            let wish = json!({"type": "subscribe", "topic": topic(1), "snapshot": true, "position": position});
            let subscribed = socket.subscribe(wish).await;
            position = subscribed["position"].clone();
            let offset = position["offset"].as_i64().unwrap();
            assert!(subscribed["recovered"] == false || offset == seen);
            seen = offset;
            // Stay for 1, 2, 3, … events, then drop the line.
            for _ in 0..patience {
                if seen == EVENTS {
                    break;
                }
                let event = socket.json().await;
                assert_eq!(event["offset"], seen + 1);
                seen += 1;
            }
            position["offset"] = json!(seen);
            patience = patience % 17 + 1;
        }
    };
    tokio::join!(writer, reader);
}
