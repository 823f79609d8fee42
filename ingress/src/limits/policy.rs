//! Which limits apply to a request (R123–R130, T2, T27).
//!
//! Invariant: a request is counted either by user or by address, never by both,
//! so that all its keys share one hash tag; the endpoint is the route's template,
//! never the path.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Method;
use schemas::UserId;
use serde::{Deserialize, Serialize};

use super::decision::Scope;
use crate::http::address::limit_key;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

/// What a user pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// 50 requests a minute.
    Free,
    /// 100 requests a minute; what everybody starts with.
    #[default]
    Standard,
    /// 500 requests a minute.
    Premium,
    /// By agreement: no limits here.
    Enterprise,
}

impl Tier {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Standard => "standard",
            Self::Premium => "premium",
            Self::Enterprise => "enterprise",
        }
    }
}

impl FromStr for Tier {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Free, Self::Standard, Self::Premium, Self::Enterprise]
            .into_iter()
            .find(|tier| tier.as_str() == text)
            .ok_or(())
    }
}

/// The numbers, from the environment.
#[derive(Clone, Debug)]
pub struct LimitSettings {
    /// `RATE_LIMIT_ENABLED`.
    pub enabled: bool,
    /// Requests per minute of the free tier.
    pub free_per_minute: u32,
    /// `RATE_LIMIT_PER_MINUTE`: the standard tier.
    pub standard_per_minute: u32,
    /// Requests per minute of the premium tier.
    pub premium_per_minute: u32,
    /// Requests per minute of one address without a valid token.
    pub address_per_minute: u32,
    /// `POST /api/v1/orders` per minute.
    pub place_per_minute: u32,
    /// `GET /api/v1/orders` per minute.
    pub list_per_minute: u32,
    /// `GET /api/v1/orders/{id}` per minute.
    pub read_per_minute: u32,
    /// `POST /api/v1/webhooks` per hour.
    pub webhooks_per_hour: u32,
    /// Failed logins per account and address in 15 minutes.
    pub login_failures: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            free_per_minute: 50,
            standard_per_minute: 100,
            premium_per_minute: 500,
            address_per_minute: 200,
            place_per_minute: 20,
            list_per_minute: 100,
            read_per_minute: 100,
            webhooks_per_hour: 10,
            login_failures: 10,
        }
    }
}

/// Who is counted.
#[derive(Clone, Copy, Debug)]
pub enum Counted {
    /// A valid token's user.
    User(UserId, Tier),
    /// No token or a bad one.
    Address(IpAddr),
}

/// What stands for the tier of those that have none.
pub const NO_TIER: &str = "none";

impl Counted {
    /// The tier's name, [`NO_TIER`] for an address.
    #[must_use]
    pub fn tier(self) -> &'static str {
        match self {
            Self::User(_, tier) => tier.as_str(),
            Self::Address(_) => NO_TIER,
        }
    }
}

impl LimitSettings {
    /// The scopes of a request to `route` (its template; none where no route
    /// matched). Empty = not limited.
    #[must_use]
    pub fn scopes(&self, counted: Counted, method: &Method, route: Option<&str>) -> Vec<Scope> {
        let route =
            route.map(|route| if route.len() > 1 { route.trim_end_matches('/') } else { route });
        if !self.enabled
            || method == Method::OPTIONS
            || matches!(route, Some("/health" | "/health/live" | "/health/ready"))
        {
            return Vec::new();
        }
        match counted {
            Counted::User(_, Tier::Enterprise) => Vec::new(),
            Counted::User(user, tier) => {
                let identity = format!("u:{user}");
                let limit = match tier {
                    Tier::Free => self.free_per_minute,
                    Tier::Premium => self.premium_per_minute,
                    Tier::Standard | Tier::Enterprise => self.standard_per_minute,
                };
                let mut scopes = vec![scope(&identity, "*", "tier", limit, MINUTE_MS)];
                scopes.extend(route.and_then(|route| self.endpoint(&identity, method, route)));
                scopes
            }
            Counted::Address(address) => {
                let identity = format!("ip:{}", limit_key(address));
                vec![scope(&identity, "*", "address", self.address_per_minute, MINUTE_MS)]
            }
        }
    }

    fn endpoint(&self, identity: &str, method: &Method, route: &str) -> Option<Scope> {
        let (policy, limit, window) = match (method, route) {
            (&Method::POST, "/api/v1/orders") => ("place-order", self.place_per_minute, MINUTE_MS),
            (&Method::GET | &Method::HEAD, "/api/v1/orders") => {
                ("list-orders", self.list_per_minute, MINUTE_MS)
            }
            (&Method::GET | &Method::HEAD, "/api/v1/orders/{order_id}") => {
                ("read-order", self.read_per_minute, MINUTE_MS)
            }
            (&Method::POST, "/api/v1/webhooks") => {
                ("register-webhook", self.webhooks_per_hour, HOUR_MS)
            }
            _ => return None,
        };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        Some(scope(identity, &format!("{method} {route}"), policy, limit, window))
    }
}

/// The scopes of a login attempt: by account and address, and by account alone.
/// `account` is a hash, so that no address book ends up in Redis.
#[must_use]
pub fn login_scopes(settings: &LimitSettings, account: &str, address: IpAddr) -> Vec<Scope> {
    let identity = format!("login:{account}");
    let from = format!("POST /api/v1/auth/login@{}", limit_key(address));
    vec![
        scope(&identity, &from, "login-failures", settings.login_failures, 15 * MINUTE_MS),
        scope(
            &identity,
            "POST /api/v1/auth/login",
            "login-failures-account",
            settings.login_failures.saturating_mul(10),
            HOUR_MS,
        ),
    ]
}

fn scope(
    identity: &str,
    endpoint: &str,
    policy: &'static str,
    limit: u32,
    window_ms: i64,
) -> Scope {
    Scope {
        key: format!("ratelimit:{{{identity}}}:{endpoint}:{}", window_ms / 1000),
        policy,
        limit: limit.max(1),
        window_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        "123e4567-e89b-12d3-a456-426614174000".parse().unwrap()
    }

    #[test]
    fn keys_have_the_format_of_the_contract() {
        let settings = LimitSettings::default();
        let keys =
            |scopes: Vec<Scope>| scopes.into_iter().map(|scope| scope.key).collect::<Vec<_>>();
        assert_eq!(
            keys(settings.scopes(
                Counted::User(user(), Tier::Standard),
                &Method::POST,
                Some("/api/v1/orders/")
            )),
            [
                "ratelimit:{u:123e4567-e89b-12d3-a456-426614174000}:*:60",
                "ratelimit:{u:123e4567-e89b-12d3-a456-426614174000}:POST /api/v1/orders:60"
            ]
        );
        assert_eq!(
            keys(settings.scopes(
                Counted::Address("203.0.113.7".parse().unwrap()),
                &Method::POST,
                None
            )),
            ["ratelimit:{ip:203.0.113.7}:*:60"]
        );
    }

    #[test]
    fn tiers_have_their_numbers_and_enterprise_has_none() {
        let settings = LimitSettings::default();
        let limits = |tier, method, route| {
            settings
                .scopes(Counted::User(user(), tier), &method, Some(route))
                .iter()
                .map(|scope| scope.limit)
                .collect::<Vec<_>>()
        };
        assert_eq!(limits(Tier::Free, Method::GET, "/api/v1/users/me"), [50]);
        assert_eq!(limits(Tier::Standard, Method::POST, "/api/v1/webhooks"), [100, 10]);
        assert_eq!(limits(Tier::Premium, Method::GET, "/api/v1/orders/{order_id}"), [500, 100]);
        assert!(limits(Tier::Enterprise, Method::POST, "/api/v1/orders").is_empty());
    }

    #[test]
    fn health_and_preflight_are_never_limited() {
        let settings = LimitSettings::default();
        let anyone = Counted::Address("203.0.113.7".parse().unwrap());
        assert!(settings.scopes(anyone, &Method::GET, Some("/health/ready")).is_empty());
        assert!(settings.scopes(anyone, &Method::OPTIONS, Some("/api/v1/orders")).is_empty());
    }
}
