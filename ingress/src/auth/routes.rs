//! Accounts over HTTP.
//!
//! Invariant: login and registration tell nothing about other accounts beyond
//! what registration must (409), and take the same time for known and unknown
//! users.

use axum::Json;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use schemas::UserId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::accounts::{NewUser, Role, User, new_user_id, normal_email};
use super::sessions::Refreshed;
use super::{Caller, database_error};
use crate::http::{ApiError, FieldErrors, JsonBody, Members};
use crate::limits::layer::refusal;
use crate::limits::policy::{NO_TIER, login_scopes};
use crate::state::AppState;

const PASSWORD: std::ops::RangeInclusive<usize> = 12..=128;

/// `POST /api/v1/auth/register`: 201 with tokens, 409 if the email is taken.
/// Role and tier in the body are ignored.
pub async fn register(
    State(state): State<AppState>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut errors = FieldErrors::default();
    let members = Members::of_body(&body)?;
    members.only(&["email", "password", "role", "tier"], &mut errors);
    let email = email(&members, &mut errors);
    let password = members.text("password", PASSWORD, &mut errors);
    errors.finish()?;
    let (Some(email), Some(password)) = (email, password) else { return Err(incomplete()) };
    let password_hash = state
        .passwords()
        .hash(password.to_owned())
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let user = NewUser {
        user_id: new_user_id(),
        email,
        password_hash,
        role: Role::Customer,
        created_at: state.now(),
    };
    if !state.accounts().create(&user).await.map_err(|error| database_error(&error))? {
        return Err(ApiError::conflict("email_taken", "This email has an account"));
    }
    tokens_of(&state, user.user_id, &user.password_hash)
        .await
        .map(|body| (StatusCode::CREATED, Json(body)))
}

/// `POST /api/v1/auth/login`: 200 with tokens.
pub async fn login(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let address = state.settings().trusted_proxies.client_of(&request);
    let JsonBody(body) = JsonBody::from_request(request, &state).await?;
    let mut errors = FieldErrors::default();
    let members = Members::of_body(&body)?;
    members.only(&["email", "password"], &mut errors);
    let email_text = members.text("email", 1..=254, &mut errors);
    let password = members.text("password", 1..=128, &mut errors);
    errors.finish()?;
    let (Some(email), Some(password)) = (email_text, password) else { return Err(incomplete()) };
    // What can't be an address has no account; it still costs the same.
    let email = normal_email(email).unwrap_or_default();

    let account = hex::encode(&Sha256::digest(email.as_bytes())[..8]);
    let scopes = login_scopes(&state.settings().limits, &account, address);
    if state.settings().limits.enabled {
        let decision = state.limiter().decide(&scopes, NO_TIER, state.now().as_millis()).await;
        if !decision.allowed {
            return Err(refusal(&scopes, &decision));
        }
    }
    let found = state.accounts().by_email(&email).await.map_err(|error| database_error(&error))?;
    let matches = state
        .passwords()
        .verify(password.to_owned(), found.as_ref().map(|(_, hash)| hash.clone()))
        .await
        .map_err(|error| ApiError::internal(&error))?;
    let Some((user, hash)) = found.filter(|_| matches) else { return Err(wrong_credentials()) };
    // Attempts count only while they fail.
    for scope in &scopes {
        state.limiter().forget(&scope.key).await;
    }
    tokens_of(&state, user.user_id, &hash).await.map(Json)
}

/// `POST /api/v1/auth/refresh`: rotates; a used token ends its family.
pub async fn refresh(
    State(state): State<AppState>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let token = refresh_token(&body)?;
    let now = state.now();
    let refused = || {
        ApiError::unauthorized(
            "invalid_refresh_token",
            "The refresh token is not valid; log in again",
        )
    };
    match state.sessions().refresh(&token, now).await.map_err(|error| database_error(&error))? {
        Refreshed::Next { session, user_id, token } => {
            let user = state
                .accounts()
                .get(user_id)
                .await
                .map_err(|error| database_error(&error))?
                .ok_or_else(refused)?;
            let access = state
                .tokens()
                .issue(user_id, user.role, user.tier, Some(session), now)
                .map_err(|error| ApiError::internal(&error))?;
            Ok(Json(answer(&state, user_id, &access, &token)))
        }
        Refreshed::Reused { session, user_id } => {
            tracing::warn!(%user_id, %session, "a used refresh token came again; the session is ended");
            state
                .revocations()
                .end_session(user_id, session, now)
                .await
                .map_err(|error| database_error(&error))?;
            Err(refused())
        }
        Refreshed::Refused => Err(refused()),
    }
}

/// `POST /api/v1/auth/logout`: 204; the session's tokens of both kinds die.
pub async fn logout(
    State(state): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    let token = refresh_token(&body)?;
    let now = state.now();
    let named = state
        .sessions()
        .session_of(&token, caller.user_id)
        .await
        .map_err(|error| database_error(&error))?;
    for session in named.into_iter().chain(caller.session) {
        state.sessions().end(session, now).await.map_err(|error| database_error(&error))?;
        state
            .revocations()
            .end_session(caller.user_id, session, now)
            .await
            .map_err(|error| database_error(&error))?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/users/me`.
pub async fn me(State(state): State<AppState>, caller: Caller) -> Result<Json<Value>, ApiError> {
    let user =
        state.accounts().get(caller.user_id).await.map_err(|error| database_error(&error))?;
    user.map(|user| Json(shown(&user)))
        .ok_or_else(|| ApiError::not_found("This account no longer exists"))
}

/// `POST /api/v1/users/me/password`: 204; all other sessions end.
pub async fn change_password(
    State(state): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, ApiError> {
    let mut errors = FieldErrors::default();
    let members = Members::of_body(&body)?;
    members.only(&["current_password", "new_password"], &mut errors);
    let current = members.text("current_password", 1..=128, &mut errors);
    let new = members.text("new_password", PASSWORD, &mut errors);
    errors.finish()?;
    let (Some(current), Some(new)) = (current, new) else { return Err(incomplete()) };
    let account =
        state.accounts().with_hash(caller.user_id).await.map_err(|error| database_error(&error))?;
    let stored = account.map(|(_, hash)| hash);
    if !state
        .passwords()
        .verify(current.to_owned(), stored)
        .await
        .map_err(|error| ApiError::internal(&error))?
    {
        return Err(ApiError::forbidden("The current password is wrong"));
    }
    let hash =
        state.passwords().hash(new.to_owned()).await.map_err(|error| ApiError::internal(&error))?;
    state
        .accounts()
        .set_password(caller.user_id, &hash)
        .await
        .map_err(|error| database_error(&error))?;
    let now = state.now();
    for session in state
        .sessions()
        .end_others(caller.user_id, caller.session, now)
        .await
        .map_err(|error| database_error(&error))?
    {
        state
            .revocations()
            .end_session(caller.user_id, session, now)
            .await
            .map_err(|error| database_error(&error))?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// An account as its owner and administrators see it.
#[must_use]
pub fn shown(user: &User) -> Value {
    json!({
        "user_id": user.user_id,
        "email": user.email,
        "role": user.role,
        "tier": user.tier,
        "created_at": user.created_at.to_rfc3339(),
    })
}

/// Begins a session for the user whose password fitted `hash`.
///
/// Role, tier and hash are read again once the session exists: a change made
/// before is seen here, and one made later finds the session and what it issued
/// (no younger than `now`) and ends them. So no login in progress outlives a
/// demotion or a new password.
async fn tokens_of(state: &AppState, user_id: UserId, hash: &str) -> Result<Value, ApiError> {
    let now = state.now();
    let (session, refresh) =
        state.sessions().begin(user_id, now).await.map_err(|error| database_error(&error))?;
    let current =
        state.accounts().with_hash(user_id).await.map_err(|error| database_error(&error))?;
    let Some((user, _)) = current.filter(|(_, stored)| stored == hash) else {
        state.sessions().end(session, now).await.map_err(|error| database_error(&error))?;
        return Err(wrong_credentials());
    };
    let access = state
        .tokens()
        .issue(user_id, user.role, user.tier, Some(session), now)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(answer(state, user_id, &access, &refresh))
}

fn wrong_credentials() -> ApiError {
    ApiError::unauthorized("wrong_credentials", "Email or password is wrong")
}

fn answer(state: &AppState, user_id: UserId, access: &str, refresh: &str) -> Value {
    json!({
        "user_id": user_id,
        "access_token": access,
        "refresh_token": refresh,
        "token_type": "bearer",
        "expires_in": state.tokens().lifetime(),
    })
}

fn email(members: &Members<'_>, errors: &mut FieldErrors) -> Option<String> {
    let text = members.text("email", 3..=254, errors)?;
    let email = normal_email(text);
    if email.is_none() {
        errors.add("email", "invalid", "expected an email address");
    }
    email
}

fn refresh_token(body: &Value) -> Result<String, ApiError> {
    let mut errors = FieldErrors::default();
    let members = Members::of_body(body)?;
    members.only(&["refresh_token"], &mut errors);
    let token = members.text("refresh_token", 1..=200, &mut errors);
    errors.finish()?;
    token.map(ToOwned::to_owned).ok_or_else(incomplete)
}

fn incomplete() -> ApiError {
    ApiError::invalid_field("", "invalid", "the request is incomplete")
}
