//! What handlers share: the parts behind the routes, one accessor each.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::FromRef;
use log::Log;
use parking_lot::Mutex;
use read_model::Database;
use read_model::seal::Sealer;
use schemas::messages::{CommandOutcome, StockResult};
use schemas::{Micros, OrderId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::admin::adjusting::Adjustments;
use crate::auth::{Accounts, Passwords, Revocations, Sessions, Tokens, Verifier};
use crate::commands::{Follower, Replies, Sender};
use crate::cursor::Cursors;
use crate::http::Patience;
use crate::limits::Limiter;
use crate::settings::Settings;
use crate::start::Topics;
use crate::webhooks::Endpoints;

/// The wall clock, as an argument.
pub type Clock = Arc<dyn Fn() -> Micros + Send + Sync>;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) database: Database,
    pub(crate) limiter: Limiter,
    pub(crate) tokens: Tokens,
    pub(crate) verifier: Verifier,
    pub(crate) revocations: Revocations,
    pub(crate) accounts: Accounts,
    pub(crate) sessions: Sessions,
    pub(crate) passwords: Passwords,
    pub(crate) sender: Sender,
    pub(crate) topics: Topics,
    pub(crate) outcomes: Replies<CommandOutcome>,
    pub(crate) stock_answers: Replies<StockResult>,
    pub(crate) endpoints: Endpoints,
    pub(crate) sealer: Sealer,
    pub(crate) cursors: Cursors,
    pub(crate) order_key: [u8; 32],
    pub(crate) placing: Mutex<HashSet<OrderId>>,
    pub(crate) adjustments: Adjustments,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) draining: AtomicBool,
    pub(crate) preparing: AtomicBool,
    pub(crate) followers: Vec<Follower>,
    pub(crate) mounted: OnceLock<axum::Router>,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("draining", &self.draining()).finish_non_exhaustive()
    }
}

impl FromRef<AppState> for Patience {
    fn from_ref(state: &AppState) -> Self {
        Self(state.settings().read_within)
    }
}

impl AppState {
    /// Serves [`crate::MOUNTED`] too, behind the same layers. Before
    /// [`crate::app`]; the first call counts.
    pub fn mount(&self, routes: axum::Router) {
        let _first_counts = self.0.mounted.set(routes);
    }

    /// Settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The wall clock now.
    #[must_use]
    pub fn now(&self) -> Micros {
        (self.0.clock)()
    }

    /// The read model.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Rate limits.
    #[must_use]
    pub fn limiter(&self) -> &Limiter {
        &self.0.limiter
    }

    /// Signs access tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Checks access tokens.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.0.verifier
    }

    /// Kills access tokens.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Users.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// Logins.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Hashes passwords.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// The producer.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// The topics the ingress writes.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.0.topics
    }

    /// Waiters for outcomes of order commands.
    #[must_use]
    pub fn outcomes(&self) -> &Replies<CommandOutcome> {
        &self.0.outcomes
    }

    /// Waiters for the warehouse's answers to adjustments.
    #[must_use]
    pub fn stock_answers(&self) -> &Replies<StockResult> {
        &self.0.stock_answers
    }

    /// Registered webhooks.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.0.endpoints
    }

    /// Seals secrets.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.0.sealer
    }

    /// Signs cursors.
    #[must_use]
    pub fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }

    /// The key of order ids derived from idempotency keys.
    #[must_use]
    pub fn order_key(&self) -> &[u8; 32] {
        &self.0.order_key
    }

    /// A place among the requests in flight; none if there are too many.
    pub(crate) fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }

    /// Keyed orders being placed by this process.
    #[must_use]
    pub(crate) fn placing(&self) -> &Mutex<HashSet<OrderId>> {
        &self.0.placing
    }

    /// Keyed stock adjustments that this process waits for.
    #[must_use]
    pub(crate) fn adjustments(&self) -> &Adjustments {
        &self.0.adjustments
    }

    /// The log, for readiness.
    #[must_use]
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        Arc::clone(&self.0.log)
    }

    /// True while all followed topics can be read and the registrations made
    /// before the start are known.
    #[must_use]
    pub fn following(&self) -> bool {
        self.0.followers.iter().all(|follower| follower.healthy() && follower.caught_up())
    }

    /// While true, readiness says `starting`: requests are answered, but not everything is there yet.
    pub fn prepare(&self, preparing: bool) {
        self.0.preparing.store(preparing, Ordering::Relaxed);
    }

    /// As last told to [`Self::prepare`].
    #[must_use]
    pub fn preparing(&self) -> bool {
        self.0.preparing.load(Ordering::Relaxed)
    }

    /// Readiness fails from here on; requests are still answered.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// True after [`Self::drain`].
    #[must_use]
    pub fn draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }
}
