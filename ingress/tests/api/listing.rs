//! Lists: `skip`/`limit`, cursors, filters.

use ingress::auth::Role;
use ingress::limits::Tier;
use schemas::messages::OrderStatus;
use serde_json::Value;

use crate::harness::{GUIDE, Harness};

fn ids(list: &Value) -> Vec<String> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|order| order["order_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn five(harness: &Harness) -> Vec<String> {
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(harness.placed().await);
    }
    placed.reverse();
    placed
}

#[tokio::test]
async fn skip_and_limit_give_a_bare_array_newest_first() {
    let harness = Harness::start().await;
    let placed = five(&harness).await;
    let token = harness.customer();
    for path in ["/api/v1/orders", "/api/v1/orders/"] {
        assert_eq!(ids(&harness.get(path, &token).await.expect(200).json()), placed);
    }
    assert_eq!(
        ids(&harness.get("/api/v1/orders?skip=1&limit=2", &token).await.expect(200).json()),
        placed[1..3]
    );
    assert_eq!(
        ids(&harness.get("/api/v1/orders?skip=9", &token).await.expect(200).json()),
        Vec::<String>::new()
    );
    assert_eq!(
        ids(&harness
            .get(&format!("/api/v1/orders?user_id={GUIDE}"), &token)
            .await
            .expect(200)
            .json()),
        placed
    );
    for bad in [
        "skip=-1",
        "limit=0",
        "limit=101",
        "limit=x",
        "status=sent",
        "user_id=x",
        "created_after=x",
        "page=1",
        "limit=1&limit=2",
        "cursor=&skip=1",
    ] {
        harness.get(&format!("/api/v1/orders?{bad}"), &token).await.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn cursors_walk_the_list_while_orders_are_placed() {
    let harness = Harness::start().await;
    let placed = five(&harness).await;
    let token = harness.customer();
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = harness
            .get(&format!("/api/v1/orders?limit=2&cursor={cursor}"), &token)
            .await
            .expect(200)
            .json();
        walked.extend(ids(&page["data"]));
        if page["has_more"] == false {
            assert_eq!(page["next_cursor"], Value::Null);
            break;
        }
        cursor = page["next_cursor"].as_str().unwrap().to_owned();
        harness.placed().await;
    }
    assert_eq!(walked, placed);
}

#[tokio::test]
async fn foreign_changed_and_misused_cursors_are_400() {
    let harness = Harness::start().await;
    five(&harness).await;
    let token = harness.customer();
    let page = harness.get("/api/v1/orders?limit=2&cursor=", &token).await.expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    harness.get(&format!("/api/v1/orders?limit=3&cursor={cursor}"), &token).await.expect(200);
    let stranger =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Standard);
    harness
        .get(&format!("/api/v1/orders?cursor={cursor}"), &stranger)
        .await
        .problem(400, "invalid_cursor");
    harness
        .get(&format!("/api/v1/orders?status=paid&cursor={cursor}"), &token)
        .await
        .problem(400, "invalid_cursor");
    harness
        .get(&format!("/api/v1/products?cursor={cursor}"), &token)
        .await
        .problem(400, "invalid_cursor");
    let mut changed = cursor.into_bytes();
    changed[3] = if changed[3] == b'A' { b'B' } else { b'A' };
    harness
        .get(&format!("/api/v1/orders?cursor={}", String::from_utf8(changed).unwrap()), &token)
        .await
        .problem(400, "invalid_cursor");
}

#[tokio::test]
async fn filters_narrow_and_other_users_are_403() {
    let harness = Harness::start().await;
    let placed = five(&harness).await;
    let token = harness.customer();
    harness.backend.advance(&placed[0], OrderStatus::Validated).await;
    harness.backend.advance(&placed[1], OrderStatus::Paid).await;
    assert_eq!(
        ids(&harness
            .get("/api/v1/orders?status=validated&status=paid", &token)
            .await
            .expect(200)
            .json()),
        placed[..2]
    );
    let middle =
        harness.get(&format!("/api/v1/orders/{}", placed[2]), &token).await.json()["created_at"]
            .as_str()
            .unwrap()
            .to_owned();
    assert_eq!(
        ids(&harness
            .get(&format!("/api/v1/orders?created_after={middle}"), &token)
            .await
            .expect(200)
            .json()),
        placed[..3]
    );
    assert_eq!(
        ids(&harness
            .get(&format!("/api/v1/orders?created_before={middle}"), &token)
            .await
            .expect(200)
            .json()),
        placed[3..]
    );
    let stranger =
        harness.token("00000000-0000-4000-8000-000000000001", Role::Customer, Tier::Standard);
    assert_eq!(
        ids(&harness.get("/api/v1/orders", &stranger).await.expect(200).json()),
        Vec::<String>::new()
    );
    harness
        .get(&format!("/api/v1/orders?user_id={GUIDE}"), &stranger)
        .await
        .problem(403, "forbidden");
    assert_eq!(
        ids(&harness
            .get(&format!("/api/v1/orders?user_id={GUIDE}"), &harness.admin())
            .await
            .expect(200)
            .json()),
        placed
    );
    assert_eq!(
        ids(&harness.get("/api/v1/orders", &harness.admin()).await.expect(200).json()),
        placed
    );
}
