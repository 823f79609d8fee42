//! What the states of several sliding logs mean for one request. Pure, and
//! shared by the in-process and the Redis implementation, so that they can't
//! differ in anything but where the stamps are kept.

/// One limit that applies to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Where the log is kept: `ratelimit:{<identity>}:<endpoint>:<window>`, the
    /// braces literal. All scopes of one request share the identity.
    pub key: String,
    /// Name in `RateLimit-Policy`.
    pub policy: &'static str,
    /// Requests per window, at least 1.
    pub limit: u32,
    /// Length of the window in milliseconds.
    pub window_ms: i64,
}

/// One log as the decision found it (refused) or left it (allowed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// Requests in the window, this one included if it was allowed.
    pub count: u32,
    /// The oldest of them, ms; meaningless where there is none.
    pub oldest_ms: i64,
    /// The request that has to leave the window before one more fits, ms; only
    /// where the scope refused.
    pub blocker_ms: Option<i64>,
}

/// Where a caller stands in the scope the headers describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Index into the request's scopes.
    pub scope: usize,
    /// Requests left.
    pub remaining: u32,
    /// When one more fits (refused) or the oldest leaves (allowed): ms since 1970.
    pub reset_ms: i64,
}

/// The verdict on one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// All scopes allow it.
    pub allowed: bool,
    /// What the headers describe: the scope that denied, else the one with least
    /// left (ties: the longest window). None without scopes.
    pub standing: Option<Standing>,
    /// Waiting this long is enough and less is not; 0 if allowed.
    pub retry_after_ms: i64,
    /// The clock the decision was made by, ms: Redis' own where Redis decided.
    pub now_ms: i64,
}

impl Decision {
    /// The verdict on a request no limit applies to.
    #[must_use]
    pub fn unlimited(now_ms: i64) -> Self {
        Self { allowed: true, standing: None, retry_after_ms: 0, now_ms }
    }
}

/// Draws the conclusion. `states` belong to `scopes` in order.
#[must_use]
pub fn conclude(scopes: &[Scope], states: &[LogState], now_ms: i64) -> Decision {
    let allowed = states.iter().all(|state| state.blocker_ms.is_none());
    let standings = scopes.iter().zip(states).enumerate();
    if allowed {
        let standing = standings
            .map(|(index, (scope, state))| Standing {
                scope: index,
                remaining: scope.limit.saturating_sub(state.count),
                reset_ms: state.oldest_ms + scope.window_ms,
            })
            .min_by_key(|standing| {
                (standing.remaining, std::cmp::Reverse(scopes[standing.scope].window_ms))
            });
        return Decision { allowed, standing, retry_after_ms: 0, now_ms };
    }
    let standing = standings
        .filter_map(|(index, (scope, state))| {
            state.blocker_ms.map(|blocker| Standing {
                scope: index,
                remaining: 0,
                reset_ms: blocker + scope.window_ms,
            })
        })
        .max_by_key(|standing| standing.reset_ms);
    let retry_after_ms = standing.map_or(0, |standing| (standing.reset_ms - now_ms).max(1));
    Decision { allowed, standing, retry_after_ms, now_ms }
}
