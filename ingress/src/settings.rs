//! Everything the ingress can be told, as plain values. The composition root
//! fills them from the environment (`contract.md` §5).

use std::time::Duration;

use read_model::webhook_target::TargetPolicy;

use crate::auth::{PasswordSettings, TokenSettings};
use crate::http::TrustedProxies;
use crate::limits::LimitSettings;

/// Settings of the HTTP ingress.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `ENVIRONMENT` is `development`: plain-text webhooks to any public host
    /// and weak secrets are accepted.
    pub development: bool,
    /// Tokens and sessions.
    pub tokens: TokenSettings,
    /// Cost of password hashes.
    pub passwords: PasswordSettings,
    /// Rate limits.
    pub limits: LimitSettings,
    /// `CORS_ALLOWED_ORIGINS`; `*` allows all without credentials.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`; none by default.
    pub trusted_proxies: TrustedProxies,
    /// `WEBHOOK_ALLOW_HOSTS`: what may be private.
    pub webhook_targets: TargetPolicy,
    /// 32 bytes from `DATA_ENCRYPTION_KEY`: cursors and derived order ids are
    /// keyed by it, so it must be the same on all instances and stay the same.
    pub data_key: DataKey,
    /// How long a request's head, and then its body, may take to arrive before
    /// the connection is closed, or 408.
    pub read_within: Duration,
    /// How long the log may take to acknowledge before 503.
    pub acknowledge_within: Duration,
    /// How long a request waits for its outcome to show before 202.
    pub confirm_within: Duration,
    /// Requests in flight over all callers before 503.
    pub max_in_flight: usize,
}

/// A secret key. Never printed.
#[derive(Clone)]
pub struct DataKey(pub [u8; 32]);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl Settings {
    /// The guide's defaults with these secrets.
    #[must_use]
    pub fn new(tokens: TokenSettings, data_key: [u8; 32]) -> Self {
        Self {
            development: false,
            tokens,
            passwords: PasswordSettings::default(),
            limits: LimitSettings::default(),
            cors_origins: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            webhook_targets: TargetPolicy::default(),
            data_key: DataKey(data_key),
            read_within: Duration::from_secs(15),
            acknowledge_within: Duration::from_secs(5),
            confirm_within: Duration::from_secs(5),
            max_in_flight: 4_096,
        }
    }
}
