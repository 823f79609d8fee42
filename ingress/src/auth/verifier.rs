//! What every edge that accepts tokens asks: is it good, and whose is it?

use schemas::Micros;

use super::revocations::Revocations;
use super::tokens::{Claims, TokenError, Tokens};

/// Checks tokens: signature, age and revocation. Used by the HTTP layer and, in
/// its own process, by the WebSocket server.
#[derive(Clone, Debug)]
pub struct Verifier {
    tokens: Tokens,
    revocations: Revocations,
}

impl Verifier {
    /// Checks with these.
    #[must_use]
    pub fn new(tokens: Tokens, revocations: Revocations) -> Self {
        Self { tokens, revocations }
    }

    /// What the token says, if it is good now.
    ///
    /// # Errors
    /// [`TokenError`]. A database that doesn't answer counts as revoked only
    /// where nothing is known: see [`Self::verify_or_unavailable`].
    pub async fn verify(&self, token: &str, now: Micros) -> Result<Claims, TokenError> {
        self.verify_or_unavailable(token, now).await.unwrap_or(Err(TokenError::Revoked))
    }

    /// The same, telling apart a bad token and a database that doesn't answer.
    ///
    /// # Errors
    /// The outer one: revocations can't be read.
    pub async fn verify_or_unavailable(
        &self,
        token: &str,
        now: Micros,
    ) -> Result<Result<Claims, TokenError>, read_model::ReadModelError> {
        let claims = match self.tokens.verify(token, now) {
            Ok(claims) => claims,
            Err(error) => return Ok(Err(error)),
        };
        if self.revocations.contains(&claims, now).await? {
            Ok(Err(TokenError::Revoked))
        } else {
            Ok(Ok(claims))
        }
    }
}
