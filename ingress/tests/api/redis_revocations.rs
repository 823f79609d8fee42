//! Revoked tokens reach other instances through Redis, before they read the
//! database again.
//!
//! Needs `REDIS_URL` (`compose/dev/up`), except with `RINGS=fast`.

use std::time::Duration;

use ingress::auth::{Revocations, Role};
use ingress::limits::Tier;
use ingress::limits::redis::connect;

use crate::harness::Harness;
use crate::servers;

#[tokio::test]
async fn a_revocation_holds_where_only_redis_is_shared() {
    let Some(url) = servers::address("REDIS_URL") else { return };
    let (ours, theirs) = (Harness::start().await, Harness::start().await);
    let instance = |harness: &Harness| {
        Revocations::new(harness.state.database().clone(), Some(connect(&url).unwrap()), 900)
    };
    let (here, there) = (instance(&ours), instance(&theirs));
    let user = uuid::Uuid::new_v4().to_string();
    let token = ours.token(&user, Role::Customer, Tier::Standard);
    let mut now = ours.state.now();
    let claims = ours.state.tokens().verify(&token, now).unwrap();
    assert!(!there.contains(&claims, now).await.unwrap());
    // A Redis that is slow for a moment is passed over, so it is told and asked
    // until it has heard; the clock moves on for the pauses in between.
    let heard = async {
        loop {
            now.0 += 1_000_000;
            here.end_tokens_of(claims.sub, now).await.unwrap();
            if there.contains(&claims, now).await.unwrap() {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard).await.expect("it never heard of it");
}
