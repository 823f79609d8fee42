//! The catalogue as everybody sees it.

use axum::Json;
use axum::extract::{Path, State};
use read_model::ProductRow;
use schemas::{Sku, json_money};
use serde_json::{Value, json};

use crate::http::error::database_failed;
use crate::http::query::Query;
use crate::http::{ApiError, FieldErrors};
use crate::state::AppState;

/// `GET /api/v1/products`.
pub async fn list(State(state): State<AppState>, query: Query) -> Result<Json<Value>, ApiError> {
    page(&state, &query, "products", shown).await.map(Json)
}

/// `GET /api/v1/products/{product_id}`.
pub async fn read(
    State(state): State<AppState>,
    Path(product_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    find(&state, &product_id).await.map(|product| Json(shown(&product)))
}

/// The product.
///
/// # Errors
/// 404.
pub(crate) async fn find(state: &AppState, product_id: &str) -> Result<ProductRow, ApiError> {
    let found = state
        .database()
        .product(&Sku::new(product_id))
        .await
        .map_err(|error| database_failed(&error))?;
    found.ok_or_else(|| ApiError::not_found("Product not found"))
}

/// A page of products by id.
pub(crate) async fn page(
    state: &AppState,
    query: &Query,
    list: &str,
    show: fn(&ProductRow) -> Value,
) -> Result<Value, ApiError> {
    let mut errors = FieldErrors::default();
    query.only(&["limit", "cursor"], &[], &mut errors);
    let limit = query.integer("limit", 1..=100, &mut errors).unwrap_or(50);
    errors.finish()?;
    let limit = usize::try_from(limit).unwrap_or(50);
    let cursor = query.get("cursor").filter(|cursor| !cursor.is_empty());
    let after = cursor.map(|cursor| state.cursors().open(list, cursor)).transpose()?.map(Sku::new);
    let mut rows = state
        .database()
        .products(after.as_ref(), limit as u32 + 1)
        .await
        .map_err(|error| database_failed(&error))?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = has_more
        .then(|| rows.last().map(|last| state.cursors().seal(list, last.product_id.as_str())))
        .flatten();
    Ok(
        json!({"data": rows.iter().map(show).collect::<Vec<_>>(), "has_more": has_more, "next_cursor": next}),
    )
}

fn shown(product: &ProductRow) -> Value {
    json!({
        "product_id": product.product_id,
        "name": product.name,
        "price": json_money::to_number(product.price.minor, product.price.currency),
        "currency": product.price.currency,
        "available": product.available(),
    })
}
