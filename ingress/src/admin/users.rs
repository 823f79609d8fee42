//! Users, their tiers and roles.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemas::UserId;
use serde_json::{Value, json};

use crate::auth::routes::shown;
use crate::auth::{Admin, Role};
use crate::http::error::database_failed;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors, JsonBody, Members, RequestContext};
use crate::limits::Tier;
use crate::state::AppState;
use crate::webhooks::changes;

/// `GET /api/v1/admin/users`.
pub async fn list(
    State(state): State<AppState>,
    _admin: Admin,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    const LIST: &str = "admin-users";
    let mut errors = FieldErrors::default();
    query.only(&["limit", "cursor"], &[], &mut errors);
    let limit = query.integer("limit", 1..=100, &mut errors).unwrap_or(50);
    errors.finish()?;
    let limit = usize::try_from(limit).unwrap_or(50);
    let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| state.cursors().open(LIST, cursor)).transpose()?;
    let after: Option<UserId> =
        after.map(|id| id.parse().map_err(|_| ApiError::bad_cursor())).transpose()?;
    let mut users = state
        .accounts()
        .list(after, limit as u32 + 1)
        .await
        .map_err(|error| database_failed(&error))?;
    let has_more = users.len() > limit;
    users.truncate(limit);
    let next = has_more
        .then(|| users.last().map(|last| state.cursors().seal(LIST, &last.user_id.to_string())))
        .flatten();
    Ok(Json(
        json!({"data": users.iter().map(shown).collect::<Vec<_>>(), "has_more": has_more, "next_cursor": next}),
    ))
}

/// `PATCH /api/v1/admin/users/{user_id}`: the user's living access tokens die, so
/// that the change holds at once; refreshing gives new ones. Webhooks of a former
/// administrator hear of the user's own orders only.
pub async fn change(
    State(state): State<AppState>,
    Admin(caller): Admin,
    Path(user_id): Path<String>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let user_id: UserId = user_id
        .parse()
        .map_err(|_| ApiError::invalid_field("path.user_id", "invalid", "expected a UUID"))?;
    let mut errors = FieldErrors::default();
    let members = Members::of_body(&body)?;
    members.only(&["tier", "role"], &mut errors);
    let tier: Option<Tier> =
        members.optional_parsed("tier", "free, standard, premium or enterprise", &mut errors);
    let role: Option<Role> = members.optional_parsed("role", "customer or admin", &mut errors);
    if user_id == caller.user_id && role == Some(Role::Customer) {
        errors.add("role", "forbidden", "administrators can't demote themselves");
    }
    errors.finish()?;
    let user = state
        .accounts()
        .change(user_id, tier, role)
        .await
        .map_err(|error| database_failed(&error))?;
    let user = user.ok_or_else(|| ApiError::not_found("User not found"))?;
    if tier.is_some() || role.is_some() {
        state
            .revocations()
            .end_tokens_of(user_id, state.now())
            .await
            .map_err(|error| database_failed(&error))?;
    }
    if role == Some(Role::Customer) {
        changes::confine(&state, user_id, &context).await?;
    }
    Ok(Json(shown(&user)))
}
