//! One ingress with everything behind it, driven by `oneshot` requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use ingress::auth::{PasswordSettings, Role, TokenSettings};
use ingress::limits::Tier;
use ingress::{AppState, Parts, Settings};
use log::embedded::EmbeddedLog;
use log::{Cleanup, Log, TopicSpec};
use read_model::seal::Sealer;
use read_model::webhook_target::TargetPolicy;
use read_model::{Database, DatabaseOptions};
use schemas::avro::{Local, SchemaSource};
use schemas::{Micros, UserId, topics};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::backend::Backend;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const GUIDE: &str = "123e4567-e89b-12d3-a456-426614174000";
/// 2027-01-15T08:00:00Z.
const START: i64 = 1_800_000_000_000_000;

pub(crate) struct Harness {
    pub(crate) state: AppState,
    pub(crate) backend: Backend,
    router: Router,
    clock: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks the status and shows the body if it is another.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// Checks for a problem document with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{}",
            answer.text
        );
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "detail", "trace_id"] {
            assert!(problem[member].is_string(), "{member} in {problem}");
        }
        problem
    }
}

pub(crate) fn settings() -> Settings {
    let mut settings = Settings::new(TokenSettings::new(SECRET), [7; 32]);
    settings.passwords = PasswordSettings { memory_kib: 64, passes: 1, concurrency: 2 };
    settings.limits.enabled = false;
    settings.webhook_targets = TargetPolicy::parse("127.0.0.1:9099").unwrap();
    settings.cors_origins = vec!["https://shop.example".to_owned()];
    settings
}

pub(crate) fn memory_log() -> Arc<dyn Log> {
    let log = EmbeddedLog::in_memory().unwrap();
    let specs: Vec<TopicSpec> = topics::ALL
        .iter()
        .map(|topic| TopicSpec {
            name: topic.name.to_owned(),
            partitions: 3,
            replication: 1,
            cleanup: Cleanup::Keep,
        })
        .collect();
    log.admin().unwrap().ensure_topics(&specs).unwrap();
    Arc::new(log)
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::with(settings()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::with_log(settings, memory_log()).await
    }

    pub(crate) async fn with_log(settings: Settings, log: Arc<dyn Log>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        let database = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        Self::on(settings, log, database, None, folder).await
    }

    /// On this database and, if there is one, this Redis.
    pub(crate) async fn on(
        settings: Settings,
        log: Arc<dyn Log>,
        database: Database,
        redis_url: Option<String>,
        folder: tempfile::TempDir,
    ) -> Self {
        database.migrate().await.unwrap();
        let schemas: Arc<dyn SchemaSource> = Local::source();
        let backend = Backend::start(Arc::clone(&log), Arc::clone(&schemas), database.clone());
        let clock = Arc::new(AtomicI64::new(START));
        let time = Arc::clone(&clock);
        let parts = Parts {
            settings,
            log,
            schemas,
            database,
            redis_url,
            sealer: Sealer::new(&[9; 32]),
            clock: Arc::new(move || Micros(time.fetch_add(1, Ordering::Relaxed))),
        };
        let state = AppState::start(parts).await.unwrap();
        while !state.following() {
            tokio::task::yield_now().await;
        }
        Self { router: ingress::app(state.clone()), state, backend, clock, folder }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }

    /// Microseconds since the start; each look at the clock takes one.
    pub(crate) fn looked(&self) -> i64 {
        self.clock.load(Ordering::Relaxed) - START
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn token(&self, user: &str, role: Role, tier: Tier) -> String {
        self.state
            .tokens()
            .issue(user.parse::<UserId>().unwrap(), role, tier, None, self.state.now())
            .unwrap()
    }

    pub(crate) fn customer(&self) -> String {
        self.token(GUIDE, Role::Customer, Tier::Standard)
    }

    pub(crate) fn admin(&self) -> String {
        self.token("00000000-0000-4000-8000-00000000000a", Role::Admin, Tier::Enterprise)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// A request with an optional token, headers and JSON body.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(
            request
                .body(body.map_or_else(Body::empty, |body| Body::from(body.to_owned())))
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, Some(token), &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.call("POST", path, Some(token), &[], Some(&body.to_string())).await
    }

    /// Places the guide's order for the guide's customer; its id.
    pub(crate) async fn placed(&self) -> String {
        let answer = self
            .call("POST", "/api/v1/orders/", Some(&self.customer()), &[], Some(GUIDE_BODY))
            .await
            .expect(201);
        answer.json()["order_id"].as_str().unwrap().to_owned()
    }
}

/// The guide's test body, word for word (R293).
pub(crate) const GUIDE_BODY: &str = r#"{
    "user_id": "123e4567-e89b-12d3-a456-426614174000",
    "items": [{"product_id": "prod-1", "quantity": 2, "price": 29.99}],
    "total_amount": 59.98,
    "shipping_address": {"street": "123 Main St", "city": "New York", "state": "NY", "zip": "10001"},
    "payment_method": "CREDIT_CARD"
}"#;

/// The guide's body with changes.
pub(crate) fn body(change: impl FnOnce(&mut Value)) -> Value {
    let mut body: Value = serde_json::from_str(GUIDE_BODY).unwrap();
    change(&mut body);
    body
}
