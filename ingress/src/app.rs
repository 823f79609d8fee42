//! All routes and all layers, in the order a request meets them.
//!
//! Invariant: every route of the public port stands in [`ROUTES`], from which the
//! router is built, or in [`MOUNTED`]; `openapi.json` is checked against both.

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;

use crate::auth::caller::authenticate;
use crate::http::{ApiError, cors, envelope};
use crate::limits::layer::limit;
use crate::state::AppState;
use crate::{admin, auth, health, openapi, orders, products, webhooks};

/// Method and path template of every route.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/openapi.json"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/api/v1/auth/register"),
    ("POST", "/api/v1/auth/login"),
    ("POST", "/api/v1/auth/refresh"),
    ("POST", "/api/v1/auth/logout"),
    ("GET", "/api/v1/users/me"),
    ("POST", "/api/v1/users/me/password"),
    ("POST", "/api/v1/orders"),
    ("GET", "/api/v1/orders"),
    ("GET", "/api/v1/orders/{order_id}"),
    ("PATCH", "/api/v1/orders/{order_id}"),
    ("DELETE", "/api/v1/orders/{order_id}"),
    ("POST", "/api/v1/orders/{order_id}/cancel"),
    ("GET", "/api/v1/orders/{order_id}/timeline"),
    ("GET", "/api/v1/order-states"),
    ("GET", "/api/v1/products"),
    ("GET", "/api/v1/products/{product_id}"),
    ("POST", "/api/v1/webhooks"),
    ("GET", "/api/v1/webhooks"),
    ("GET", "/api/v1/webhooks/{webhook_id}"),
    ("PATCH", "/api/v1/webhooks/{webhook_id}"),
    ("DELETE", "/api/v1/webhooks/{webhook_id}"),
    ("POST", "/api/v1/webhooks/{webhook_id}/rotate"),
    ("POST", "/api/v1/webhooks/{webhook_id}/test"),
    ("POST", "/api/v1/webhooks/{webhook_id}/recover"),
    ("GET", "/api/v1/webhooks/{webhook_id}/deliveries"),
    ("POST", "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry"),
    ("GET", "/api/v1/admin/products"),
    ("GET", "/api/v1/admin/products/{product_id}"),
    ("PUT", "/api/v1/admin/products/{product_id}"),
    ("POST", "/api/v1/admin/products/{product_id}/stock-adjustments"),
    ("GET", "/api/v1/admin/users"),
    ("PATCH", "/api/v1/admin/users/{user_id}"),
    ("POST", "/api/v1/admin/orders/{order_id}/status"),
];

/// Routes of the public port that other crates answer; see [`AppState::mount`].
pub const MOUNTED: &[(&str, &str)] = &[("GET", "/asyncapi.json"), ("GET", "/api/v1/orders/stream")];

/// What answers a route; none for what isn't in [`ROUTES`].
fn handler(method: &str, path: &str) -> Option<MethodRouter<AppState>> {
    Some(match (method, path) {
        ("GET", "/") => get(health::root),
        ("GET", "/health" | "/health/live") => get(health::live),
        ("GET", "/health/ready") => get(health::ready),
        ("GET", "/openapi.json") => get(openapi::document),
        ("GET", "/.well-known/jwks.json") => get(jwks),

        ("POST", "/api/v1/auth/register") => post(auth::routes::register),
        ("POST", "/api/v1/auth/login") => post(auth::routes::login),
        ("POST", "/api/v1/auth/refresh") => post(auth::routes::refresh),
        ("POST", "/api/v1/auth/logout") => post(auth::routes::logout),
        ("GET", "/api/v1/users/me") => get(auth::routes::me),
        ("POST", "/api/v1/users/me/password") => post(auth::routes::change_password),

        ("POST", "/api/v1/orders") => post(orders::place::place),
        ("GET", "/api/v1/orders") => get(orders::list::list),
        ("GET", "/api/v1/orders/{order_id}") => get(orders::read::read),
        ("PATCH", "/api/v1/orders/{order_id}") => patch(orders::amend::amend),
        ("DELETE", "/api/v1/orders/{order_id}") => delete(orders::cancel::cancel),
        ("POST", "/api/v1/orders/{order_id}/cancel") => post(orders::cancel::cancel),
        ("GET", "/api/v1/orders/{order_id}/timeline") => get(orders::read::timeline),
        ("GET", "/api/v1/order-states") => get(orders::status::states),

        ("GET", "/api/v1/products") => get(products::list),
        ("GET", "/api/v1/products/{product_id}") => get(products::read),

        ("POST", "/api/v1/webhooks") => post(webhooks::routes::create),
        ("GET", "/api/v1/webhooks") => get(webhooks::routes::list),
        ("GET", "/api/v1/webhooks/{webhook_id}") => get(webhooks::routes::read),
        ("PATCH", "/api/v1/webhooks/{webhook_id}") => patch(webhooks::routes::change),
        ("DELETE", "/api/v1/webhooks/{webhook_id}") => delete(webhooks::routes::delete),
        ("POST", "/api/v1/webhooks/{webhook_id}/rotate") => post(webhooks::routes::rotate),
        ("POST", "/api/v1/webhooks/{webhook_id}/test") => post(webhooks::deliveries::test),
        ("POST", "/api/v1/webhooks/{webhook_id}/recover") => post(webhooks::deliveries::recover),
        ("GET", "/api/v1/webhooks/{webhook_id}/deliveries") => get(webhooks::deliveries::list),
        ("POST", "/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry") => {
            post(webhooks::deliveries::retry)
        }

        ("GET", "/api/v1/admin/products") => get(admin::products::list),
        ("GET", "/api/v1/admin/products/{product_id}") => get(admin::products::read),
        ("PUT", "/api/v1/admin/products/{product_id}") => put(admin::products::put),
        ("POST", "/api/v1/admin/products/{product_id}/stock-adjustments") => {
            post(admin::products::adjust)
        }
        ("GET", "/api/v1/admin/users") => get(admin::users::list),
        ("PATCH", "/api/v1/admin/users/{user_id}") => patch(admin::users::change),
        ("POST", "/api/v1/admin/orders/{order_id}/status") => post(orders::status::set),
        _ => return None,
    })
}

/// The HTTP surface.
pub fn app(state: AppState) -> Router {
    let (mut health, mut routes) = (Router::new(), Router::new());
    for &(method, path) in ROUTES {
        let Some(handler) = handler(method, path) else { continue };
        if path.starts_with("/health") {
            health = health.route(path, handler);
            continue;
        }
        routes = routes.route(path, handler.clone());
        // R296: the seed's clients send a slash.
        if path == "/api/v1/orders" {
            routes = routes.route("/api/v1/orders/", handler);
        }
    }
    if let Some(mounted) = state.0.mounted.get() {
        routes = routes.merge(mounted.clone().with_state(()));
    }
    let cors = cors::layer(&state.settings().cors_origins);
    // `layer` wraps what is above it: read from the bottom up, a request meets
    // the envelope first and the limits last. Health meets neither the cap nor
    // the token nor the limits: a busy process is not a dead one.
    routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), limit))
        .layer(from_fn_with_state(state.clone(), authenticate))
        .layer(from_fn_with_state(state.clone(), shed))
        .merge(health.method_not_allowed_fallback(no_method))
        .layer(cors)
        .layer(CatchPanicLayer::custom(envelope::panicked))
        .layer(from_fn(envelope::envelope))
        .with_state(state)
}

/// The global safety cap: refuses at once instead of queueing without bound.
async fn shed(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Some(_place) = state.enter() else {
        return ApiError::unavailable(
            "overloaded",
            "Too many requests are being handled; try again in a moment",
        )
        .into_response();
    };
    next.run(request).await
}

async fn no_route() -> ApiError {
    ApiError::not_found("There is nothing here; /openapi.json lists what there is")
}

async fn no_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This resource does not have this method; see Allow",
    )
}

/// HS256 has no public keys; the document exists so that clients need not care.
async fn jwks() -> Json<serde_json::Value> {
    Json(serde_json::json!({"keys": []}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_route_has_a_handler() {
        for (method, path) in ROUTES {
            assert!(handler(method, path).is_some(), "{method} {path}");
        }
    }
}
