//! Webhooks on a stage: a receiver that answers what it is told and a clock
//! moved by hand.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use egress::clock::Clock;
use egress::webhooks::{WebhookParts, WebhookSettings, run_webhooks};
use futures::future::BoxFuture;
use read_model::deliveries::DeliveryRow;
use read_model::seal::Sealer;
use read_model::webhook_target::TargetPolicy;
use schemas::messages::{WebhookCommand, WebhookCommandKind, WebhookEndpoint};
use schemas::{Micros, topics};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::{World, eventually, user};

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const START: i64 = 1_700_000_100_000_000;
pub(crate) const KEY: [u8; 32] = [7; 32];

/// Moves only when told.
pub(crate) struct HandClock {
    pub(crate) now: AtomicI64,
    pub(crate) moved: watch::Sender<i64>,
}

impl HandClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { now: AtomicI64::new(START), moved: watch::Sender::new(START) })
    }

    pub(crate) fn advance(&self, seconds: i64) {
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
pub(crate) struct Hit {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Hit {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Status, and a header with its value.
pub(crate) type Answer = (u16, &'static str, String);

/// A receiver that answers what it is told, 204 when told nothing.
#[derive(Clone, Default)]
pub(crate) struct Receiver {
    pub(crate) hits: Arc<Mutex<Vec<Hit>>>,
    pub(crate) answers: Arc<Mutex<VecDeque<Answer>>>,
    /// Answers only when released.
    pub(crate) hold: Option<CancellationToken>,
}

impl Receiver {
    pub(crate) async fn start(self) -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let app = Router::new().fallback(any(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (self, address)
    }

    pub(crate) fn answer(&self, status: u16, header: &'static str, value: impl Into<String>) {
        self.answers.lock().unwrap().push_back((status, header, value.into()));
    }

    pub(crate) fn hits(&self) -> Vec<Hit> {
        self.hits.lock().unwrap().clone()
    }

    pub(crate) async fn reached(&self, count: usize) -> Vec<Hit> {
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

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) receiver: Receiver,
    pub(crate) address: String,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::on(World::new().await).await
    }

    pub(crate) async fn on(world: World) -> Self {
        let (receiver, address) = Receiver::default().start().await;
        Self { world, clock: HandClock::new(), receiver, address }
    }

    pub(crate) fn settings(&self, allowed: &[&str]) -> WebhookSettings {
        let mut settings = WebhookSettings::new("test");
        settings.targets = TargetPolicy::parse(&allowed.join(",")).unwrap();
        settings.chance = Arc::new(|| 0.5);
        settings
    }

    pub(crate) fn run_with(
        &self,
        settings: WebhookSettings,
    ) -> JoinHandle<Result<(), egress::EgressError>> {
        self.run_until(settings, self.world.shutdown.clone())
    }

    pub(crate) fn run_until(
        &self,
        settings: WebhookSettings,
        shutdown: CancellationToken,
    ) -> JoinHandle<Result<(), egress::EgressError>> {
        let parts = WebhookParts {
            log: Arc::clone(&self.world.log),
            database: self.world.database.clone(),
            codecs: self.world.codecs.clone(),
            sealer: Sealer::new(&KEY),
            clock: Some(Arc::clone(&self.clock) as Arc<dyn Clock>),
        };
        tokio::spawn(run_webhooks(parts, settings, shutdown))
    }

    pub(crate) fn run(&self) -> JoinHandle<Result<(), egress::EgressError>> {
        self.run_with(self.settings(&[&self.address]))
    }

    pub(crate) fn endpoint(&self, id: &str, url: &str) -> WebhookEndpoint {
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

    pub(crate) async fn register(&self, endpoint: &WebhookEndpoint) {
        self.world.append(&topics::WEBHOOK_ENDPOINTS, &endpoint.webhook_id, endpoint).await;
    }

    pub(crate) async fn register_here(&self, id: &str) {
        self.register(&self.endpoint(id, &format!("http://{}/hook", self.address))).await;
    }

    pub(crate) async fn command(
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

    /// How many records `webhook_endpoints` has.
    pub(crate) fn endpoint_records(&self) -> i64 {
        let places: Vec<_> =
            (0..3).map(|n| log::TopicPartition::new("webhook_endpoints", n)).collect();
        let admin = self.world.log.admin().unwrap();
        admin.end_offsets(&places, log::Isolation::ReadUncommitted).unwrap().iter().sum()
    }

    pub(crate) async fn deliveries(&self, webhook: &str) -> Vec<DeliveryRow> {
        self.world.database.deliveries(webhook, None, 100).await.unwrap()
    }

    /// Waits until the newest delivery has had so many attempts; returns it.
    pub(crate) async fn attempted(&self, webhook: &str, attempts: usize) -> DeliveryRow {
        let enough = || async {
            self.deliveries(webhook).await.first().is_some_and(|row| row.attempts.len() >= attempts)
        };
        eventually(&format!("{attempts} attempts noted"), enough).await;
        self.deliveries(webhook).await.remove(0)
    }
}
