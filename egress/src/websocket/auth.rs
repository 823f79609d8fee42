//! Who is on the other end.

use futures::future::BoxFuture;
use schemas::UserId;

/// A verified caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject.
    pub user_id: UserId,
    /// May follow everybody.
    pub admin: bool,
    /// The token's end, seconds since 1970.
    pub expires_at: i64,
}

/// Why a token doesn't count. Never holds the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// Malformed, foreign, expired or revoked.
    #[error("the token is not valid")]
    Invalid,
    /// It could not be found out whether it is revoked.
    #[error("the token could not be verified: {0}")]
    Unavailable(String),
}

/// Verifies access tokens, revocation included. The composition root passes
/// the ingress's rules in.
pub trait TokenVerifier: Send + Sync {
    /// The caller that the token stands for.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, TokenRefused>>;
}
