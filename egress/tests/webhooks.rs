//! The webhook contract (`contract.md` §3) against a receiver, with a clock
//! moved by hand.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod common;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use common::{World, entries, entry, eventually, order, user};
use egress::clock::Clock;
use egress::webhooks::signature::{Secret, verify};
use egress::webhooks::{WebhookParts, WebhookSettings, run_webhooks};
use futures::future::BoxFuture;
use read_model::deliveries::{DeliveryRow, DeliveryStatus};
use read_model::seal::Sealer;
use read_model::webhook_target::TargetPolicy;
use schemas::messages::{WebhookCommand, WebhookCommandKind, WebhookEndpoint};
use schemas::{Micros, topics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const START: i64 = 1_700_000_100_000_000;
const KEY: [u8; 32] = [7; 32];

/// Moves only when told.
struct HandClock {
    now: AtomicI64,
    moved: watch::Sender<i64>,
}

impl HandClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(START), moved: watch::Sender::new(START) })
    }

    fn advance(&self, seconds: i64) {
        let now = self.now.fetch_add(seconds * 1_000_000, Ordering::SeqCst) + seconds * 1_000_000;
        self.moved.send_replace(now);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Micros {
        Micros(self.now.load(Ordering::SeqCst))
    }

    fn sleep_until(&self, at: Micros) -> BoxFuture<'static, ()> {
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            if moved.wait_for(|now| *now >= at.0).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[derive(Clone, Debug)]
struct Hit {
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Hit {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Status, and a header with its value.
type Answer = (u16, &'static str, String);

/// A receiver that answers what it is told, 204 when told nothing.
#[derive(Clone, Default)]
struct Receiver {
    hits: Arc<Mutex<Vec<Hit>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// Answers only when released.
    hold: Option<CancellationToken>,
}

impl Receiver {
    async fn start(self) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new().fallback(any(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (self, address)
    }

    fn answer(&self, status: u16, header: &'static str, value: impl Into<String>) {
        self.answers.lock().unwrap().push_back((status, header, value.into()));
    }

    fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    async fn reached(&self, count: usize) -> Vec<Hit> {
        eventually(&format!("{count} requests"), || async { self.hits().len() >= count }).await;
        self.hits()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver.hits.lock().unwrap().push(Hit { headers, body: body.to_vec() });
    if let Some(hold) = &receiver.hold {
        hold.cancelled().await;
    }
    let answer = receiver.answers.lock().unwrap().pop_front();
    match answer {
        None => StatusCode::NO_CONTENT.into_response(),
        Some((status, header, value)) => {
            let status = StatusCode::from_u16(status).unwrap();
            if header.is_empty() {
                status.into_response()
            } else {
                (status, [(header, value)]).into_response()
            }
        }
    }
}

struct Stage {
    world: World,
    clock: Arc<HandClock>,
    receiver: Receiver,
    address: String,
}

impl Stage {
    async fn new() -> Self {
        let (receiver, address) = Receiver::default().start().await;
        Self { world: World::new().await, clock: HandClock::new(), receiver, address }
    }

    fn settings(&self, allowed: &[&str]) -> WebhookSettings {
        let mut settings = WebhookSettings::new("test");
        settings.targets = TargetPolicy::parse(&allowed.join(",")).unwrap();
        settings.chance = Arc::new(|| 0.5);
        settings
    }

    fn run_with(&self, settings: WebhookSettings) -> JoinHandle<Result<(), egress::EgressError>> {
        let parts = WebhookParts {
            log: Arc::clone(&self.world.log),
            database: self.world.database.clone(),
            codecs: self.world.codecs.clone(),
            sealer: Sealer::new(&KEY),
            clock: Some(Arc::clone(&self.clock) as Arc<dyn Clock>),
        };
        tokio::spawn(run_webhooks(parts, settings, self.world.shutdown.clone()))
    }

    fn run(&self) -> JoinHandle<Result<(), egress::EgressError>> {
        self.run_with(self.settings(&[&self.address]))
    }

    fn endpoint(&self, id: &str, url: &str) -> WebhookEndpoint {
        let sealer = Sealer::new(&KEY);
        let seal = |text: &str| sealer.seal(id, text.as_bytes()).unwrap();
        WebhookEndpoint {
            webhook_id: id.to_owned(),
            user_id: user(1),
            all_users: false,
            url: url.to_owned(),
            events: vec!["order.*".to_owned()],
            description: None,
            ordered: false,
            sealed_secrets: vec![seal(SECRET), seal(OLD_SECRET)],
            sealed_headers: Some(seal(r#"{"x-shop":"7"}"#)),
            enabled: true,
            disabled_reason: None,
            created_at: Micros(0),
        }
    }

    async fn register(&self, endpoint: &WebhookEndpoint) {
        self.world.append(&topics::WEBHOOK_ENDPOINTS, &endpoint.webhook_id, endpoint).await;
    }

    async fn register_here(&self, id: &str) {
        self.register(&self.endpoint(id, &format!("http://{}/hook", self.address))).await;
    }

    async fn command(
        &self,
        n: u32,
        kind: WebhookCommandKind,
        delivery_id: Option<String>,
        since: Option<i64>,
    ) {
        let command = WebhookCommand {
            command_id: format!("command-{n}"),
            webhook_id: "hook".to_owned(),
            kind,
            delivery_id,
            since: since.map(Micros),
            created_at: self.clock.now(),
        };
        self.world.append(&topics::WEBHOOK_COMMANDS, "hook", &command).await;
    }

    async fn deliveries(&self, webhook: &str) -> Vec<DeliveryRow> {
        self.world.database.deliveries(webhook, None, 100).await.unwrap()
    }

    /// Waits until the newest delivery has had so many attempts; returns it.
    async fn attempted(&self, webhook: &str, attempts: usize) -> DeliveryRow {
        let enough = || async {
            self.deliveries(webhook).await.first().is_some_and(|row| row.attempts.len() >= attempts)
        };
        eventually(&format!("{attempts} attempts noted"), enough).await;
        self.deliveries(webhook).await.remove(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_arrives_signed_by_every_secret() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    stage.world.feed(&[entry(user(2), 1, order(2), 1), entry(user(1), 1, order(1), 4)]).await;
    let hits = stage.receiver.reached(1).await;
    let hit = &hits[0];
    let body = hit.json();
    assert_eq!((&body["type"], &body["sequence"]), (&"order.paid".into(), &4.into()));
    assert_eq!(body["timestamp"], "2023-11-14T22:13:20.000004Z");
    assert_eq!(body["data"]["total_amount"].to_string(), "59.98");
    assert_eq!(hit.header("x-shop"), "7");
    let (id, at) = (hit.header("webhook-id"), hit.header("webhook-timestamp"));
    assert_eq!(at, (START / 1_000_000).to_string());
    for secret in [SECRET, OLD_SECRET] {
        let secret = Secret::parse(secret).unwrap();
        verify(&secret, id, at, hit.header("webhook-signature"), &hit.body, START / 1_000_000)
            .unwrap();
    }
    let done = stage.attempted("hook", 1).await;
    assert_eq!(
        (done.status, done.delivery_id.to_string().as_str()),
        (DeliveryStatus::Delivered, id)
    );
    assert_eq!((done.attempts[0].status_code, done.next_attempt_at), (Some(204), None));
    assert_eq!(
        stage.deliveries("hook").await.len(),
        1,
        "the other user's event is not this endpoint's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_follow_the_schedule_with_the_same_id_and_bytes() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    for (status, header, value) in
        [(500, "", ""), (302, "location", "http://127.0.0.1:1/"), (429, "retry-after", "1000")]
    {
        stage.receiver.answer(status, header, value);
    }
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    stage.receiver.reached(1).await;
    let first = stage.attempted("hook", 1).await;
    assert_eq!(first.next_attempt_at, Some(START + 5_000_000), "5 s after the first failure");
    stage.clock.advance(5);
    let second = stage.attempted("hook", 2).await;
    assert_eq!(second.attempts[1].error.as_deref(), Some("redirects are not followed"));
    assert_eq!(second.next_attempt_at, Some(START + 305_000_000));
    stage.clock.advance(300);
    let third = stage.attempted("hook", 3).await;
    assert_eq!(
        third.next_attempt_at,
        Some(START + 305_000_000 + 1_800_000_000),
        "the schedule is later than Retry-After"
    );
    stage.clock.advance(1_800);
    let fourth = stage.attempted("hook", 4).await;
    assert_eq!((fourth.status, fourth.attempts.len()), (DeliveryStatus::Delivered, 4));
    let hits = stage.receiver.hits();
    assert_eq!(hits.len(), 4);
    for hit in &hits[1..] {
        assert_eq!(
            (hit.header("webhook-id"), &hit.body),
            (hits[0].header("webhook-id"), &hits[0].body)
        );
        assert_ne!(hit.header("webhook-timestamp"), hits[0].header("webhook-timestamp"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_and_the_last_failure_is_final() {
    let stage = Stage::new().await;
    let mut settings = stage.settings(&[&stage.address]);
    settings.schedule = egress::webhooks::Schedule::parse("0,5").unwrap();
    let _running = stage.run_with(settings);
    stage.register_here("hook").await;
    stage.receiver.answer(503, "retry-after", "60");
    stage.receiver.answer(500, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    let first = stage.attempted("hook", 1).await;
    assert_eq!(first.next_attempt_at, Some(START + 60_000_000));
    stage.clock.advance(60);
    let second = stage.attempted("hook", 2).await;
    assert_eq!((second.status, second.next_attempt_at), (DeliveryStatus::Failed, None));

    let failed = second.delivery_id.to_string();
    stage.command(1, WebhookCommandKind::Recover, None, Some(START)).await;
    let third = stage.attempted("hook", 3).await;
    assert_eq!(third.status, DeliveryStatus::Delivered);
    stage.command(2, WebhookCommandKind::Retry, Some(failed.clone()), None).await;
    stage.attempted("hook", 4).await;
    assert!(stage.receiver.hits().iter().all(|hit| hit.header("webhook-id") == failed), "one id");
    stage.command(3, WebhookCommandKind::Test, None, None).await;
    let hits = stage.receiver.reached(5).await;
    assert_eq!(hits[4].json()["type"], "webhook.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_the_endpoint() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    stage.receiver.answer(410, "", "");
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    assert_eq!(stage.attempted("hook", 1).await.status, DeliveryStatus::Failed);
    let admin = stage.world.log.admin().unwrap();
    let places: Vec<_> = (0..3).map(|n| log::TopicPartition::new("webhook_endpoints", n)).collect();
    let written = || async {
        let ends = admin.end_offsets(&places, log::Isolation::ReadUncommitted).unwrap();
        ends.iter().sum::<i64>() == 2
    };
    eventually("the endpoint is written as disabled", written).await;
    stage.world.feed(&[entry(user(1), 2, order(1), 2), entry(user(3), 1, order(3), 1)]).await;
    stage
        .register(&WebhookEndpoint {
            user_id: user(3),
            ..stage.endpoint("other", &format!("http://{}/", stage.address))
        })
        .await;
    stage.world.feed(&[entry(user(3), 2, order(3), 2)]).await;
    stage.attempted("other", 1).await;
    assert_eq!(stage.deliveries("hook").await.len(), 1, "nothing for the disabled one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_owed_when_the_process_died_is_sent_by_the_next() {
    let mut stage = Stage::new().await;
    let mut settings = stage.settings(&[&stage.address]);
    settings.drain = Duration::ZERO;
    let hold = CancellationToken::new();
    let (held, address) =
        Receiver { hold: Some(hold.clone()), ..Receiver::default() }.start().await;
    settings.targets = TargetPolicy::parse(&address).unwrap();
    let running = stage.run_with(settings.clone());
    stage.register(&stage.endpoint("hook", &format!("http://{address}/"))).await;
    stage.world.feed(&entries(user(1), order(1), 1, 3)).await;
    held.reached(3).await;
    // Sent, not answered, not noted: as good as killed.
    stage.world.shutdown.cancel();
    running.await.unwrap().unwrap();
    assert!(stage.deliveries("hook").await.iter().all(|row| row.status == DeliveryStatus::Pending));
    hold.cancel();
    stage.world.shutdown = CancellationToken::new();
    let _again = stage.run_with(settings);
    let all = || async {
        stage.deliveries("hook").await.iter().all(|row| row.status == DeliveryStatus::Delivered)
    };
    eventually("all three delivered", all).await;
    let hits = held.hits();
    assert_eq!(hits.len(), 6);
    let ids: std::collections::BTreeSet<_> =
        hits.iter().map(|hit| hit.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 3, "repeated with the same ids");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_does_not_hold_up_a_healthy_one() {
    let stage = Stage::new().await;
    let (hole, address) =
        Receiver { hold: Some(CancellationToken::new()), ..Receiver::default() }.start().await;
    let mut settings = stage.settings(&[&stage.address, &address]);
    settings.per_endpoint = 2;
    settings.concurrency = 4;
    let _running = stage.run_with(settings);
    stage.register(&stage.endpoint("hole", &format!("http://{address}/"))).await;
    stage.register_here("hook").await;
    stage.world.feed(&entries(user(1), order(1), 1, 200)).await;
    stage.receiver.reached(200).await;
    assert_eq!(hole.hits().len(), 2, "as many as it has slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_endpoint_gets_each_order_in_sequence() {
    let stage = Stage::new().await;
    let _running = stage.run();
    let ordered = WebhookEndpoint {
        ordered: true,
        ..stage.endpoint("hook", &format!("http://{}/", stage.address))
    };
    stage.register(&ordered).await;
    stage.receiver.answer(500, "", "");
    stage.world.feed(&entries(user(1), order(1), 1, 5)).await;
    stage.receiver.reached(1).await;
    let refused =
        || async { stage.deliveries("hook").await.iter().any(|row| row.attempts.len() == 1) };
    eventually("the first attempt is noted", refused).await;
    stage.world.feed(&[entry(user(1), 6, order(2), 1)]).await;
    let hits = stage.receiver.reached(2).await;
    assert_eq!(hits[1].json()["data"]["order_id"], order(2).to_string(), "another order flows on");
    stage.clock.advance(5);
    let hits = stage.receiver.reached(7).await;
    let sequence: Vec<_> =
        hits[2..].iter().map(|hit| hit.json()["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn private_targets_are_never_connected_to() {
    let stage = Stage::new().await;
    let _running = stage.run_with(stage.settings(&[]));
    let port = stage.address.rsplit(':').next().unwrap().to_owned();
    let hosts =
        ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "localhost.localdomain."];
    for (n, host) in hosts.into_iter().enumerate() {
        stage
            .register(&stage.endpoint(&format!("hook-{n}"), &format!("http://{host}:{port}/")))
            .await;
    }
    stage.world.feed(&[entry(user(1), 1, order(1), 1)]).await;
    for n in 0..hosts.len() {
        let row = stage.attempted(&format!("hook-{n}"), 1).await;
        assert_eq!(
            (row.attempts[0].status_code, row.status),
            (None, DeliveryStatus::Pending),
            "{row:?}"
        );
        assert!(row.attempts[0].error.is_some());
    }
    assert!(stage.receiver.hits().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_order_comes_without_its_items() {
    let stage = Stage::new().await;
    let _running = stage.run();
    stage.register_here("hook").await;
    let mut large = entry(user(1), 1, order(1), 1);
    let line = large.event.order.items[0].clone();
    large.event.order.items = (0..1_000)
        .map(|n| schemas::messages::Line { line_id: n.to_string(), ..line.clone() })
        .collect();
    stage.world.feed(&[large]).await;
    let hits = stage.receiver.reached(1).await;
    assert!(hits[0].body.len() <= 20_000);
    let data = &hits[0].json()["data"];
    assert_eq!((data.get("items"), &data["items_truncated"]), (None, &true.into()));
}
