//! The two implementations of the limits against each other and against the
//! definition, on generated traffic with a hand-moved clock.
//!
//! The Redis half needs `REDIS_URL` (`compose/dev/up`), except with `RINGS=fast`.

use ingress::limits::redis::{Clock, RedisLogs, connect};
use ingress::limits::{InProcess, Limiter, Scope};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::AsyncCommands as _;

use crate::servers;

/// The definition, naively: every admitted request, never forgotten.
#[derive(Default)]
struct Truth(Vec<(String, i64)>);

impl Truth {
    fn has_room(&self, scopes: &[Scope], now: i64) -> bool {
        let count = |scope: &Scope| {
            self.0
                .iter()
                .filter(|(key, at)| *key == scope.key && *at + scope.window_ms > now)
                .count()
        };
        scopes.iter().all(|scope| count(scope) < scope.limit as usize)
    }

    fn allows(&mut self, scopes: &[Scope], now: i64) -> bool {
        let allowed = self.has_room(scopes, now);
        if allowed {
            self.0.extend(scopes.iter().map(|scope| (scope.key.clone(), now)));
        }
        allowed
    }
}

/// Steps of time in ms, long compared with a run: Redis forgets keys by its own
/// clock, and which scopes the request has.
fn traffic() -> impl Strategy<Value = Vec<(i64, u8)>> {
    prop::collection::vec(
        (prop_oneof![Just(0_i64), 1..4_000_i64, 20_000..200_000_i64], 1..4_u8),
        1..120,
    )
}

fn scopes(run: &str, which: u8) -> Vec<Scope> {
    let scope = |name: &'static str, limit, window_ms| Scope {
        key: format!("ratelimit:{{u:{run}}}:{name}:1"),
        policy: name,
        limit,
        window_ms,
    };
    let all = [scope("tier", 9, 100_000), scope("endpoint", 4, 70_000)];
    all.into_iter()
        .enumerate()
        .filter(|(index, _)| which & (1 << index) != 0)
        .map(|(_, scope)| scope)
        .collect()
}

#[test]
fn in_process_decisions_are_the_definitions() {
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&traffic(), |traffic| {
            let (logs, mut truth, mut now) = (InProcess::default(), Truth::default(), 0);
            for (step, which) in traffic {
                now += step;
                let scopes = scopes("x", which);
                let decision = logs.decide(&scopes, now);
                prop_assert_eq!(decision.allowed, truth.allows(&scopes, now));
                if !decision.allowed {
                    let wait = decision.retry_after_ms;
                    prop_assert!(
                        truth.has_room(&scopes, now + wait),
                        "waiting that long is enough"
                    );
                    prop_assert!(!truth.has_room(&scopes, now + wait - 1), "and less is not");
                    prop_assert_eq!(decision.standing.unwrap().reset_ms, now + wait);
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_clock_that_steps_back_does_not_open_the_gate() {
    let logs = InProcess::default();
    let scope = scopes("z", 2);
    for _ in 0..4 {
        assert!(logs.decide(&scope, 10_000).allowed);
    }
    assert!(!logs.decide(&scope, 1).allowed);
}

#[test]
fn redis_decides_as_the_process_does() {
    let Some(url) = servers::address("REDIS_URL") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime.block_on(async { RedisLogs::new(connect(&url).unwrap()) });
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&traffic(), |traffic| {
            let run = uuid::Uuid::new_v4().to_string();
            let (logs, mut now) = (InProcess::default(), 1_000_000);
            for (step, which) in traffic {
                now += step;
                let scopes = scopes(&run, which);
                let theirs = runtime.block_on(redis.decide(&scopes, Clock::At(now))).unwrap();
                prop_assert_eq!(theirs, logs.decide(&scopes, now));
            }
            Ok(())
        })
        .unwrap();
}

/// R131 and R133: totals by INCR, logs that live as long as their window.
#[tokio::test]
async fn redis_counts_what_was_admitted_and_forgets_with_the_window() {
    let Some(url) = servers::address("REDIS_URL") else { return };
    let logs = RedisLogs::new(connect(&url).unwrap());
    let scopes = scopes(&uuid::Uuid::new_v4().to_string(), 3);
    let mut admitted = 0;
    for _ in 0..6 {
        admitted += i64::from(logs.decide(&scopes, Clock::Server).await.unwrap().allowed);
    }
    assert_eq!(admitted, 4, "the tighter scope decides");
    let mut redis =
        redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    for scope in &scopes {
        let total = format!("{}:total", scope.key);
        assert_eq!(redis.get::<_, i64>(&total).await.unwrap(), admitted);
        let day: i64 = redis.ttl(&total).await.unwrap();
        assert!((1..=86_400).contains(&day), "totals live a day, not {day} s");
        let left: i64 = redis.pttl(&scope.key).await.unwrap();
        assert!((1..=scope.window_ms).contains(&left), "{left} of {} ms", scope.window_ms);
        assert!(left > scope.window_ms - 60_000, "the window begins with the newest request");
    }
}

#[tokio::test]
async fn without_redis_the_process_limits_by_itself_and_says_so() {
    // Nothing listens on the discard port.
    let limiter = Limiter::new(Some(RedisLogs::new(connect("redis://127.0.0.1:9/").unwrap())));
    let scope = scopes("down", 2);
    let mut allowed = 0;
    for _ in 0..10 {
        allowed += usize::from(limiter.decide(&scope, "none", 0).await.allowed);
    }
    assert_eq!(allowed, 4, "the limit holds");
    assert!(limiter.degraded());
}
