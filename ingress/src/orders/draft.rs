//! From JSON to an order's contents: everything the body alone shows is checked
//! here, and all errors are reported at once.
//!
//! Invariant: amounts are exact. Σ quantity × price = total in minor units, or
//! the request is refused; nothing is rounded.

use std::collections::BTreeMap;

use schemas::messages::{Address, PlaceLine};
use schemas::{Currency, Sku, json_money};
use serde_json::Value;

use crate::http::{FieldErrors, Members, Unknown};

/// Most lines of one order.
pub const MAX_LINES: usize = 1_000;
const MAX_QUANTITY: i64 = 1_000_000;
const MAX_METADATA: usize = 50;
const MAX_METADATA_BYTES: usize = 16 * 1024;

/// Lines and their checked total.
#[derive(Debug)]
pub struct Goods {
    /// 1–1,000 lines.
    pub items: Vec<PlaceLine>,
    /// Minor units, = Σ lines.
    pub total_minor: i64,
    /// True if a line has `price_override`.
    pub overrides: bool,
}

/// Reads `items` and `total_amount`.
pub fn goods(
    members: &Members<'_>,
    currency: Option<Currency>,
    unknown: Unknown,
    errors: &mut FieldErrors,
) -> Option<Goods> {
    let total = amount(members, "total_amount", currency, errors);
    if total == Some(0) {
        errors.add(members.path("total_amount"), "out_of_range", "must be more than zero");
    }
    let items = lines(members, currency, unknown, errors);
    let (items, total_minor) = (items?, total?);
    let sum = items
        .iter()
        .try_fold(0_i64, |sum, line| sum.checked_add(line.quantity.checked_mul(line.unit_price)?));
    match (sum, currency) {
        (Some(sum), Some(currency)) if sum != total_minor => {
            let message = format!("the lines sum to {}", json_money::print(sum, currency));
            errors.add(members.path("total_amount"), "total_mismatch", message);
            return None;
        }
        (None, _) => {
            errors.add(
                members.path("items"),
                "too_large",
                "the lines sum to more than an amount can hold",
            );
            return None;
        }
        _ => {}
    }
    let overrides = items.iter().any(|line| line.price_override);
    Some(Goods { items, total_minor, overrides })
}

fn lines(
    members: &Members<'_>,
    currency: Option<Currency>,
    unknown: Unknown,
    errors: &mut FieldErrors,
) -> Option<Vec<PlaceLine>> {
    let Value::Array(values) = members.required("items", errors)? else {
        errors.add(members.path("items"), "wrong_type", "expected an array");
        return None;
    };
    if values.is_empty() || values.len() > MAX_LINES {
        errors.add(members.path("items"), "length", format!("expected 1 to {MAX_LINES} lines"));
        return None;
    }
    let count = values.len();
    let read: Vec<PlaceLine> = values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| {
            line(value, &format!("{}[{index}]", members.path("items")), currency, unknown, errors)
        })
        .collect();
    (read.len() == count).then_some(read)
}

fn line(
    value: &Value,
    path: &str,
    currency: Option<Currency>,
    unknown: Unknown,
    errors: &mut FieldErrors,
) -> Option<PlaceLine> {
    let line = Members::of(value, path, errors)?;
    if unknown == Unknown::Refused {
        line.only(&["product_id", "quantity", "price", "price_override", "line_id"], errors);
    }
    let product_id = line.text("product_id", 1..=100, errors);
    let quantity = line.integer("quantity", 1..=MAX_QUANTITY, errors);
    let unit_price = amount(&line, "price", currency, errors);
    let price_override = line.optional_bool("price_override", errors).unwrap_or(false);
    Some(PlaceLine {
        product_id: Sku::new(product_id?),
        quantity: quantity?,
        unit_price: unit_price?,
        price_override,
    })
}

/// A decimal JSON number, exact in the currency, not negative.
pub fn amount(
    members: &Members<'_>,
    name: &str,
    currency: Option<Currency>,
    errors: &mut FieldErrors,
) -> Option<i64> {
    let Value::Number(number) = members.required(name, errors)? else {
        errors.add(members.path(name), "wrong_type", "expected a number");
        return None;
    };
    match json_money::from_number(number, currency?) {
        Ok(minor) if minor < 0 => {
            errors.add(members.path(name), "out_of_range", "must not be negative");
            None
        }
        Ok(minor) => Some(minor),
        Err(json_money::AmountError::NotANumber(_)) => {
            errors.add(members.path(name), "wrong_type", "expected a number");
            None
        }
        Err(error) => {
            errors.add(members.path(name), "invalid_amount", error.to_string());
            None
        }
    }
}

/// The currency, or the one meant where it is `absent`; none (and reported) if
/// it isn't an ISO 4217 code.
pub fn currency(
    members: &Members<'_>,
    absent: Currency,
    errors: &mut FieldErrors,
) -> Option<Currency> {
    match members.get("currency") {
        None => Some(absent),
        Some(_) => {
            members.optional_parsed("currency", "an ISO 4217 currency code such as USD", errors)
        }
    }
}

/// `shipping_address`, which must be whole.
pub fn address(
    value: &Value,
    path: &str,
    unknown: Unknown,
    errors: &mut FieldErrors,
) -> Option<Address> {
    let address = Members::of(value, path, errors)?;
    if unknown == Unknown::Refused {
        address.only(&["street", "city", "state", "zip", "country"], errors);
    }
    let street = address.text("street", 1..=200, errors);
    let city = address.text("city", 1..=100, errors);
    let state = address.text("state", 1..=100, errors);
    let zip = address.text("zip", 1..=20, errors);
    let country = address.optional_text("country", 2..=60, errors);
    Some(Address {
        street: street?.to_owned(),
        city: city?.to_owned(),
        state: state?.to_owned(),
        zip: zip?.to_owned(),
        country: country.map(ToOwned::to_owned),
    })
}

/// The caller's own members as JSON text each; null removes (merge patch).
pub fn metadata(
    value: &Value,
    errors: &mut FieldErrors,
) -> Option<BTreeMap<String, Option<String>>> {
    let Value::Object(members) = value else {
        errors.add("metadata", "wrong_type", "expected an object");
        return None;
    };
    if members.len() > MAX_METADATA {
        errors.add("metadata", "length", format!("expected at most {MAX_METADATA} members"));
        return None;
    }
    let mut bytes = 0;
    let mut read = BTreeMap::new();
    for (name, value) in members {
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            errors.add(
                "metadata",
                "invalid_name",
                "names have 1 to 100 characters, none of them control characters",
            );
            return None;
        }
        let text = (!value.is_null()).then(|| value.to_string());
        bytes += name.len() + text.as_ref().map_or(0, String::len);
        read.insert(name.clone(), text);
    }
    if bytes > MAX_METADATA_BYTES {
        errors.add("metadata", "too_large", format!("expected at most {MAX_METADATA_BYTES} bytes"));
        return None;
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json;

    fn read(text: &str) -> Result<Goods, String> {
        let body = json::parse(text.as_bytes()).unwrap();
        let mut errors = FieldErrors::default();
        let goods = goods(
            &Members::of_body(&body).unwrap(),
            Some(Currency::USD),
            Unknown::Ignored,
            &mut errors,
        );
        errors.finish().map_err(|error| format!("{error:?}")).map(|()| goods.unwrap())
    }

    #[test]
    fn the_guides_body_adds_up() {
        let goods = read(r#"{"items":[{"product_id":"prod-1","quantity":2,"price":29.99}],"total_amount":59.98}"#).unwrap();
        assert_eq!((goods.total_minor, goods.items[0].unit_price), (5998, 2999));
    }

    #[test]
    fn totals_are_compared_to_the_cent() {
        let error =
            read(r#"{"items":[{"product_id":"a","quantity":3,"price":0.10}],"total_amount":0.31}"#)
                .unwrap_err();
        assert!(error.contains("total_mismatch") && error.contains("0.30"), "{error}");
    }

    #[test]
    fn each_bad_line_is_named() {
        let error = read(
            r#"{"items":[{"product_id":"a","quantity":0,"price":1},{"quantity":1,"price":59.979999},{"product_id":"c","quantity":1.5,"price":-1},7],"total_amount":"59.98"}"#,
        )
        .unwrap_err();
        for path in [
            "items[0].quantity",
            "items[1].product_id",
            "items[1].price",
            "items[2].quantity",
            "items[2].price",
            "items[3]",
            "total_amount",
        ] {
            assert!(error.contains(&format!("\"{path}\"")), "{path} in {error}");
        }
    }

    #[test]
    fn sums_that_overflow_are_refused() {
        let error = read(r#"{"items":[{"product_id":"a","quantity":1000000,"price":92233720368547}],"total_amount":1}"#).unwrap_err();
        assert!(error.contains("too_large"), "{error}");
    }
}
