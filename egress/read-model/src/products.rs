//! The catalogue with its stock.

use std::str::FromStr;

use schemas::{Currency, Money, Sku};
use sqlx::QueryBuilder;

use crate::database::Database;
use crate::dialect::on_reader;
use crate::error::ReadModelError;

/// A product and how many there are over all warehouses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductRow {
    /// Which product.
    pub product_id: Sku,
    /// Its name.
    pub name: String,
    /// Price of one.
    pub price: Money,
    /// Counts changes from 1.
    pub version: i64,
    /// In the buildings.
    pub on_hand: i64,
    /// Of that, promised to orders.
    pub held: i64,
}

impl ProductRow {
    /// What can still be sold: on hand − held.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.on_hand - self.held
    }
}

#[derive(sqlx::FromRow)]
struct RawProduct {
    product_id: String,
    name: String,
    price_minor: i64,
    currency: String,
    version: i64,
    on_hand: i64,
    held: i64,
}

impl TryFrom<RawProduct> for ProductRow {
    type Error = ReadModelError;

    fn try_from(raw: RawProduct) -> Result<Self, ReadModelError> {
        let currency =
            Currency::from_str(&raw.currency).map_err(|error| ReadModelError::Corrupt {
                table: "products",
                what: format!("{}: {error}", raw.product_id),
            })?;
        Ok(Self {
            product_id: Sku::new(raw.product_id),
            name: raw.name,
            price: Money { minor: raw.price_minor, currency },
            version: raw.version,
            on_hand: raw.on_hand,
            held: raw.held,
        })
    }
}

const SELECT: &str = "SELECT p.product_id, p.name, p.price_minor, CAST(p.currency AS TEXT) AS currency, p.version, \
     CAST(COALESCE((SELECT SUM(s.on_hand) FROM stock_levels s WHERE s.product_id = p.product_id), 0) AS BIGINT) AS on_hand, \
     CAST(COALESCE((SELECT SUM(s.held) FROM stock_levels s WHERE s.product_id = p.product_id), 0) AS BIGINT) AS held \
     FROM products p";

impl Database {
    /// One product; none if the catalogue doesn't have it.
    pub async fn product(&self, product_id: &Sku) -> Result<Option<ProductRow>, ReadModelError> {
        let raw: Option<RawProduct> = on_reader!(self, |pool, _dialect| {
            QueryBuilder::<Db>::new(SELECT)
                .push(" WHERE p.product_id = ")
                .push_bind(product_id.as_str())
                .build_query_as()
                .fetch_optional(pool)
                .await?
        });
        raw.map(ProductRow::try_from).transpose()
    }

    /// Products by id, behind `after`, at most `limit`.
    pub async fn products(
        &self,
        after: Option<&Sku>,
        limit: u32,
    ) -> Result<Vec<ProductRow>, ReadModelError> {
        let raw: Vec<RawProduct> = on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(SELECT);
            if let Some(after) = after {
                query.push(" WHERE p.product_id > ").push_bind(after.as_str());
            }
            query.push(" ORDER BY p.product_id LIMIT ").push_bind(i64::from(limit));
            query.build_query_as().fetch_all(pool).await?
        });
        raw.into_iter().map(ProductRow::try_from).collect()
    }
}
