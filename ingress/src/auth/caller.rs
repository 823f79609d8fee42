//! The layer that reads the token once, and what handlers take as arguments.
//!
//! Invariant: a handler that takes a [`Caller`] can't run without a good token,
//! one that takes an [`Admin`] can't run for anybody else; routes without either
//! are public by the look of their signature.

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use schemas::UserId;
use schemas::messages::{Actor, ActorKind};
use uuid::Uuid;

use super::accounts::Role;
use super::tokens::TokenError;
use crate::http::ApiError;
use crate::limits::Tier;
use crate::state::AppState;

/// The user behind a good token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user_id: UserId,
    /// What the user may do.
    pub role: Role,
    /// What the user pays for.
    pub tier: Tier,
    /// The login the token came from.
    pub session: Option<Uuid>,
}

/// An administrator.
#[derive(Clone, Debug)]
pub struct Admin(pub Caller);

/// What the layer found.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// No token.
    Anonymous,
    /// A token that is no good.
    Refused(TokenError),
    /// A good token.
    Caller(Caller),
}

impl Caller {
    /// True for administrators.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Who did it, for the order's history.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let kind = if self.is_admin() { ActorKind::Admin } else { ActorKind::Customer };
        Actor { kind, id: self.user_id.to_string() }
    }
}

/// The layer; stands before the limits, which count by user.
pub async fn authenticate(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    // Owned: a borrowed request can't be held while the database is asked.
    let token = bearer(request.headers()).map(|token| token.map(ToOwned::to_owned));
    let found = match token {
        None => Authentication::Anonymous,
        Some(Err(error)) => Authentication::Refused(error),
        Some(Ok(token)) => {
            match state.verifier().verify_or_unavailable(&token, state.now()).await {
                Ok(Ok(claims)) => Authentication::Caller(Caller {
                    user_id: claims.sub,
                    role: claims.role,
                    tier: claims.tier,
                    session: claims.sid,
                }),
                Ok(Err(error)) => Authentication::Refused(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot read revoked tokens");
                    return ApiError::unavailable(
                        "accounts_unavailable",
                        "Sessions can't be checked at the moment",
                    )
                    .into_response();
                }
            }
        }
    };
    request.extensions_mut().insert(found);
    next.run(request).await
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, TokenError>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(TokenError::Invalid));
    }
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(token.map(|(_, token)| token.trim()).ok_or(TokenError::Invalid))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match parts.extensions.get::<Authentication>() {
            Some(Authentication::Caller(caller)) => Ok(caller.clone()),
            Some(Authentication::Refused(error)) => {
                let code = match error {
                    TokenError::Invalid => "invalid_token",
                    TokenError::Expired => "expired_token",
                    TokenError::Revoked => "revoked_token",
                };
                Err(ApiError::unauthorized(code, error.to_string()))
            }
            Some(Authentication::Anonymous) | None => Err(ApiError::unauthorized(
                "missing_token",
                "This needs an access token: Authorization: Bearer …",
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if caller.is_admin() {
            Ok(Self(caller))
        } else {
            Err(ApiError::forbidden("This is for administrators"))
        }
    }
}
