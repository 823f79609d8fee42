//! HTTP in: accounts, orders, products, webhooks and limits in front of the log.
//!
//! A changing request is checked for what it shows by itself, appended to the
//! log, and answered when its outcome has come back on a topic and the read
//! model shows it. Reading requests are answered from the read model.
//!
//! * [`app`]: every route and layer, in the order a request meets them.
//! * [`AppState::start`]: puts the parts together; [`serve`] runs until told to stop.
//! * [`auth`]: accounts, sessions, access tokens ([`auth::Verifier`] is also what
//!   the WebSocket server asks).
//! * [`limits`]: exact sliding logs, in process or in Redis.
//! * [`orders`], [`products`], [`webhooks`], [`admin`], [`health`]: the resources.
//! * [`http`]: strict JSON, field errors, problem documents, headers.
//!
//! It is not: a place where orders are decided (that is `topology`), nor a writer
//! of the read model (that is `egress`). Of the database it owns the account
//! tables only.
//!
//! ```
//! use ingress::limits::{InProcess, Scope};
//!
//! // Two requests a minute: the third is refused until the first has left the window.
//! let logs = InProcess::default();
//! let scope = [Scope { key: "ratelimit:{u:1}:*:60".to_owned(), policy: "tier", limit: 2, window_ms: 60_000 }];
//! assert!(logs.decide(&scope, 0).allowed);
//! assert!(logs.decide(&scope, 10_000).allowed);
//! let refused = logs.decide(&scope, 20_000);
//! assert_eq!((refused.allowed, refused.retry_after_ms), (false, 40_000));
//! assert!(logs.decide(&scope, 60_000).allowed);
//! ```

pub mod admin;
mod app;
pub mod auth;
pub mod commands;
pub mod cursor;
pub mod health;
pub mod http;
pub mod limits;
pub mod openapi;
pub mod orders;
pub mod products;
mod serve;
mod settings;
mod start;
mod state;
pub mod webhooks;

pub use app::{MOUNTED, ROUTES, app};
pub use serve::{Drain, serve};
pub use settings::{DataKey, Settings};
pub use start::{Parts, StartFailure, Topics};
pub use state::{AppState, Clock};
