//! Do the products exist, and at these prices?
//!
//! Invariant: `unknown_product` and `price_mismatch` are exact. The catalogue
//! may lag behind the orders, so the flow holds a refused order back until the
//! catalogue has caught up and asks again.

use schemas::messages::{Check, FailureReason, FieldError, Line, OrderEvent, OrderValidation};
use schemas::{Money, Sku};

/// The verdict on all lines, given the catalogue's prices as they are now;
/// `price` is none for an unknown product.
pub fn verdict(
    event: &OrderEvent,
    mut price: impl FnMut(&Sku) -> Option<Money>,
) -> OrderValidation {
    let mut failures = Vec::new();
    let mut errors = Vec::new();
    for (index, line) in event.items.iter().enumerate() {
        if let Some((failure, error)) = line_problem(event, index, line, price(&line.product_id)) {
            failures.push(failure);
            errors.push(error);
        }
    }
    if let Some(error) = total_problem(event) {
        failures.push(FailureReason::PriceMismatch);
        errors.push(error);
    }
    failures.sort_unstable();
    failures.dedup();
    OrderValidation {
        order_id: event.order_id,
        version: event.version,
        check: Check::Pricing,
        passed: failures.is_empty(),
        failures,
        errors,
    }
}

fn line_problem(
    event: &OrderEvent,
    index: usize,
    line: &Line,
    price: Option<Money>,
) -> Option<(FailureReason, FieldError)> {
    let sku = &line.product_id;
    let currency = event.total_amount.currency;
    let Some(price) = price else {
        let message = format!("{sku} is not in the catalogue");
        let field = format!("items[{index}].product_id");
        return Some((FailureReason::UnknownProduct, problem(field, "unknown_product", message)));
    };
    let message = if price.currency != currency {
        format!("{sku} is priced in {}, the order is in {currency}", price.currency)
    } else if !line.price_override && price.minor != line.unit_price {
        format!("{sku} costs {} minor units, not {}", price.minor, line.unit_price)
    } else {
        return None;
    };
    let field = format!("items[{index}].price");
    Some((FailureReason::PriceMismatch, problem(field, "price_mismatch", message)))
}

/// The stateless check: the lines sum to the total.
fn total_problem(event: &OrderEvent) -> Option<FieldError> {
    let sum = event.items.iter().try_fold(0_i64, |sum, line| {
        line.quantity.checked_mul(line.unit_price).and_then(|minor| sum.checked_add(minor))
    });
    (sum != Some(event.total_amount.minor)).then(|| {
        let message = "the lines do not sum to the total".to_owned();
        problem("total_amount".to_owned(), "price_mismatch", message)
    })
}

fn problem(field: String, code: &str, message: String) -> FieldError {
    FieldError { field, code: code.to_owned(), message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn judge(event: &OrderEvent, prices: &[(&str, i64, &str)]) -> Vec<FailureReason> {
        let price = |sku: &Sku| {
            let known = prices.iter().find(|(id, _, _)| *id == sku.as_str());
            known.map(|(_, minor, code)| Money { minor: *minor, currency: code.parse().unwrap() })
        };
        verdict(event, price).failures
    }

    #[test]
    fn the_catalogue_decides() {
        let event = samples::created(&[("a", 2, 100), ("b", 1, 50)]);
        use FailureReason::{PriceMismatch, UnknownProduct};
        let (a, b) = (("a", 100, "USD"), ("b", 50, "USD"));
        for (catalogue, expected) in [
            (vec![a, b], vec![]),
            (vec![a], vec![UnknownProduct]),
            (vec![a, ("b", 51, "USD")], vec![PriceMismatch]),
            (vec![a, ("b", 50, "GBP")], vec![PriceMismatch]),
            (vec![("b", 51, "USD")], vec![UnknownProduct, PriceMismatch]),
        ] {
            assert_eq!(judge(&event, &catalogue), expected);
        }
    }

    #[test]
    fn an_agreed_price_is_not_compared_but_the_product_must_exist() {
        let mut event = samples::created(&[("a", 1, 70)]);
        event.items[0].price_override = true;
        assert_eq!(judge(&event, &[("a", 100, "USD")]), []);
        assert_eq!(judge(&event, &[]), [FailureReason::UnknownProduct]);
        assert_eq!(judge(&event, &[("a", 70, "EUR")]), [FailureReason::PriceMismatch]);
    }

    #[test]
    fn a_total_that_is_not_the_sum_is_a_mismatch() {
        let mut event = samples::created(&[("a", 2, 100)]);
        event.total_amount.minor = 199;
        let judged = judge(&event, &[("a", 100, "USD")]);
        assert_eq!(judged, [FailureReason::PriceMismatch]);
    }
}
