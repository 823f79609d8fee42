//! The lines of an order as a caller sent them.
//!
//! Invariant: Σ quantity × unit price = total, computed without overflow.

use schemas::messages::{Line, PlaceLine};

/// Most lines of one order.
const MOST_LINES: usize = 1_000;

/// Numbers the lines from `"1"` and checks them against the total.
pub(super) fn numbered(items: &[PlaceLine], total_minor: i64) -> Result<Vec<Line>, String> {
    if items.is_empty() || items.len() > MOST_LINES {
        return Err(format!("items: expected 1–{MOST_LINES} lines, got {}", items.len()));
    }
    let mut sum: i64 = 0;
    for (index, item) in items.iter().enumerate() {
        if item.quantity < 1 {
            return Err(format!("items[{index}].quantity: expected at least 1"));
        }
        if item.unit_price < 0 {
            return Err(format!("items[{index}].price: expected 0 or more"));
        }
        sum = item
            .quantity
            .checked_mul(item.unit_price)
            .and_then(|line| sum.checked_add(line))
            .ok_or_else(|| format!("items[{index}]: the total is too large"))?;
    }
    if sum != total_minor {
        return Err(format!(
            "total_amount: the lines sum to {sum} minor units, not to {total_minor}"
        ));
    }
    Ok(items.iter().zip(1..).map(|(item, number)| line(item, number)).collect())
}

fn line(item: &PlaceLine, number: i32) -> Line {
    Line {
        line_id: number.to_string(),
        product_id: item.product_id.clone(),
        quantity: item.quantity,
        unit_price: item.unit_price,
        price_override: item.price_override,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::Sku;

    fn item(quantity: i64, unit_price: i64) -> PlaceLine {
        PlaceLine { product_id: Sku::new("p"), quantity, unit_price, price_override: false }
    }

    #[test]
    fn lines_are_numbered_and_must_sum_to_the_total() {
        let lines = numbered(&[item(2, 2_999), item(1, 2)], 6_000).unwrap();
        assert_eq!(lines.iter().map(|l| l.line_id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert!(numbered(&[item(2, 2_999)], 5_997).unwrap_err().contains("5998"));
    }

    #[test]
    fn nonsense_is_refused_without_overflow() {
        assert!(numbered(&[], 0).is_err());
        assert!(numbered(&[item(0, 1)], 0).is_err());
        assert!(numbered(&[item(1, -1)], -1).is_err());
        assert!(numbered(&[item(i64::MAX, 2)], -2).unwrap_err().contains("too large"));
        assert!(numbered(&vec![item(1, 1); 1_001], 1_001).is_err());
    }
}
