//! Catalogue and stock. The inventory application decides; this waits until the
//! read model shows what it decided.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use read_model::ProductRow;
use schemas::messages::{
    ProductCommand, StockCommand, StockCommandKind, StockLine, StockResultKind,
};
use schemas::{Currency, Money, Sku, json_money};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::auth::Admin;
use crate::http::error::database_failed;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors, JsonBody, Members, RequestContext, contents};
use crate::orders::draft;
use crate::orders::identity::IdempotencyKey;
use crate::products::{find, page};
use crate::state::AppState;

/// The only warehouse of this issue.
const WAREHOUSE: &str = "main";
const MOST: i64 = 1_000_000_000;
/// How long a keyed adjustment that the warehouse confirmed may take to show.
const SHOWN_WITHIN: Duration = Duration::from_millis(50);

/// `GET /api/v1/admin/products`.
pub async fn list(
    State(state): State<AppState>,
    _admin: Admin,
    query: Query,
) -> Result<Json<Value>, ApiError> {
    page(&state, &query, "admin-products", shown).await.map(Json)
}

/// `GET /api/v1/admin/products/{product_id}`.
pub async fn read(
    State(state): State<AppState>,
    _admin: Admin,
    Path(product_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find(&state, &product_id).await.map(|product| Json(shown(&product)))
}

/// `PUT /api/v1/admin/products/{product_id}`: 200 when the read model shows it.
/// Name and currency that aren't given stay what they are.
pub async fn put(
    State(state): State<AppState>,
    _admin: Admin,
    Path(product_id): Path<String>,
    axum::Extension(context): axum::Extension<RequestContext>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, ApiError> {
    let product_id = product_path(&product_id)?;
    let command = proposal(&state, product_id.clone(), &body).await?;
    let on_hand = command.on_hand;
    let stock = stock_command(StockCommandKind::SetOnHand, &product_id, on_hand, None);

    let deadline = Instant::now() + state.settings().confirm_within;
    let mut product_shown = state.database().applied().watch_request(&command.command_id);
    let mut stock_shown = state.database().applied().watch_request(&stock.request_id);
    let headers = [("traceparent", context.traceparent.as_bytes())];
    let now = state.now();
    let product_sent = state.sender().send(
        &state.topics().products,
        product_id.as_str(),
        Some(&command),
        &headers,
        now,
    );
    let stock_sent =
        state.sender().send(&state.topics().stock, WAREHOUSE, Some(&stock), &headers, now);
    tokio::try_join!(product_sent, stock_sent)?;
    if product_shown.applied(deadline).await.is_err()
        || stock_shown.applied(deadline).await.is_err()
    {
        return Err(unconfirmed());
    }
    find(&state, product_id.as_str()).await.map(|product| Json(shown(&product)))
}

/// What a body makes of a product.
async fn proposal(
    state: &AppState,
    product_id: Sku,
    body: &Value,
) -> Result<ProductCommand, ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(body, &mut errors);
    let members = Members::of_body(body)?;
    members.only(&["name", "price", "currency", "stock"], &mut errors);
    let existing = if members.get("name").is_none() || members.get("currency").is_none() {
        let found = state.database().product(&product_id).await;
        found.map_err(|error| database_failed(&error))?
    } else {
        None
    };
    let usual = existing.as_ref().map_or(Currency::USD, |product| product.price.currency);
    let currency = draft::currency(&members, usual, &mut errors);
    let name = members.optional_text("name", 1..=200, &mut errors).map(ToOwned::to_owned);
    let price = draft::amount(&members, "price", currency, &mut errors);
    let stock = members.integer("stock", 0..=MOST, &mut errors);
    errors.finish()?;
    let (Some(currency), Some(minor), Some(on_hand)) = (currency, price, stock) else {
        return Err(ApiError::invalid_field("", "invalid", "the request is incomplete"));
    };
    let name =
        name.or(existing.map(|product| product.name)).unwrap_or_else(|| product_id.to_string());
    Ok(ProductCommand {
        command_id: Uuid::now_v7().to_string(),
        product_id,
        name,
        price: Money { minor, currency },
        on_hand,
    })
}

/// `POST /api/v1/admin/products/{product_id}/stock-adjustments`: 201 with the
/// product, 409 if it would go below zero available. With an `Idempotency-Key`
/// the warehouse recognises a repeat for a day; another body under the key is 422,
/// and 409 while the first is being handled.
pub async fn adjust(
    State(state): State<AppState>,
    Admin(admin): Admin,
    Path(product_id): Path<String>,
    axum::Extension(context): axum::Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let product_id = product_path(&product_id)?;
    let key = IdempotencyKey::from_headers(&headers)?;
    let mut errors = FieldErrors::default();
    contents::refuse(&body, &mut errors);
    let members = Members::of_body(&body)?;
    members.only(&["delta", "reason"], &mut errors);
    let delta = members.integer("delta", -MOST..=MOST, &mut errors);
    if delta == Some(0) {
        errors.add("delta", "out_of_range", "must not be zero");
    }
    let reason = members.text("reason", 1..=200, &mut errors);
    errors.finish()?;
    let (Some(delta), Some(reason)) = (delta, reason) else {
        return Err(ApiError::invalid_field("", "invalid", "the request is incomplete"));
    };
    find(&state, product_id.as_str()).await?;
    let mut command =
        stock_command(StockCommandKind::Adjust, &product_id, delta, Some(reason.to_owned()));
    if let Some(key) = &key {
        let route = format!("stock-adjustments/{product_id}");
        command.request_id =
            key.order_id(state.order_key(), &admin.user_id.to_string(), &route).to_string();
    }

    let _adjusting = state.adjustments().enter(&command)?;
    let deadline = Instant::now() + state.settings().confirm_within;
    let mut applied = state.database().applied().watch_request(&command.request_id);
    let mut answered = state.stock_answers().expect(&command.request_id);
    let headers = [("traceparent", context.traceparent.as_bytes())];
    state
        .sender()
        .send(&state.topics().stock, WAREHOUSE, Some(&command), &headers, state.now())
        .await?;
    tokio::select! {
        done = applied.applied(deadline) => done.map_err(|_| unconfirmed())?,
        Some(result) = answered.by(deadline) => {
            if result.kind == StockResultKind::AdjustRefused {
                let available = result.short.first().map_or(0, |line| line.quantity);
                return Err(ApiError::conflict("below_zero", "This would leave less than nothing available").with_member("available", available.into()));
            }
            if result.kind == StockResultKind::AdjustConflict {
                return Err(ApiError::key_reused());
            }
            // A repeat was applied long ago and won't show again, so its wait is short.
            let shown_by = if key.is_some() { Instant::now() + SHOWN_WITHIN } else { deadline };
            if applied.applied(shown_by).await.is_err() && key.is_none() {
                return Err(unconfirmed());
            }
        }
    }
    find(&state, product_id.as_str())
        .await
        .map(|product| (StatusCode::CREATED, Json(shown(&product))))
}

fn stock_command(
    kind: StockCommandKind,
    product_id: &Sku,
    quantity: i64,
    reason: Option<String>,
) -> StockCommand {
    StockCommand {
        request_id: Uuid::now_v7().to_string(),
        warehouse: WAREHOUSE.to_owned(),
        kind,
        order_id: None,
        lines: vec![StockLine { product_id: product_id.clone(), quantity }],
        expires_at: None,
        reason,
    }
}

fn product_path(text: &str) -> Result<Sku, ApiError> {
    let fits = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if !fits || schemas::pan::contains_card_number(text) {
        return Err(ApiError::invalid_field(
            "path.product_id",
            "invalid",
            "expected 1 to 100 characters, not a card number",
        ));
    }
    Ok(Sku::new(text))
}

/// The commands are in the log; repeating is harmless for PUT.
fn unconfirmed() -> ApiError {
    ApiError::unavailable(
        "not_confirmed",
        "The change was recorded but does not show yet; read the product in a moment",
    )
}

fn shown(product: &ProductRow) -> Value {
    json!({
        "product_id": product.product_id,
        "name": product.name,
        "price": json_money::to_number(product.price.minor, product.price.currency),
        "currency": product.price.currency,
        "version": product.version,
        "on_hand": product.on_hand,
        "held": product.held,
        "available": product.available(),
    })
}
