//! State as people may see it: Avro and JSON readable, secrets and card numbers hidden.
//!
//! Invariant: what leaves here holds no value of a field in `SECRETS`, and no card number in any text or number.

use schemas::avro::{SchemaSource, to_json};
use schemas::pan::{contains_card_number, is_issued_card_number};
use serde_json::Value;

/// Fields whose values nobody is shown, wherever they are.
const SECRETS: [&str; 8] = [
    "token",
    "payment_token",
    "secret",
    "password",
    "card",
    "card_number",
    "cvv",
    "idempotency_key",
];

const HIDDEN: &str = "(hidden)";

/// A value of an Avro format; `None`: it is of another format or can't be read.
#[must_use]
pub fn avro(format: &str, bytes: &[u8], source: &dyn SchemaSource) -> Option<Value> {
    to_json(format.strip_prefix("avro-")?, bytes, source).ok()
}

/// The value without what nobody is shown.
#[must_use]
pub fn without_secrets(value: Value) -> Value {
    match value {
        Value::String(text) if contains_card_number(&text) => HIDDEN.into(),
        Value::Number(number) if is_issued_card_number(&number.to_string()) => HIDDEN.into(),
        Value::Array(items) => items.into_iter().map(without_secrets).collect(),
        Value::Object(fields) => {
            let shown = fields.into_iter().map(|(name, value)| {
                let is_secret = !value.is_null() && SECRETS.contains(&name.to_lowercase().as_str());
                let value = if is_secret { HIDDEN.into() } else { without_secrets(value) };
                (if contains_card_number(&name) { HIDDEN.to_owned() } else { name }, value)
            });
            Value::Object(shown.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_and_card_numbers_are_hidden_wherever_they_are() {
        let state = json!({
            "state": {"order": {"payment_token": "pm_card_ok", "note": "my card 4111 1111 1111 1111"}},
            "lines": [{"sku": "prod-1", "Token": "x", "quantity": 2}],
            "4111111111111111": 1, "number": 4_111_111_111_111_111_u64, "secret": null,
        });
        let hidden = json!({
            "state": {"order": {"payment_token": "(hidden)", "note": "(hidden)"}},
            "lines": [{"sku": "prod-1", "Token": "(hidden)", "quantity": 2}],
            "(hidden)": 1, "number": "(hidden)", "secret": null,
        });
        assert_eq!(without_secrets(state), hidden);
    }

    #[test]
    fn times_are_shown_though_one_in_ten_passes_for_a_card_number_by_its_digits() {
        for micros in (1_700_000_000_000_000_u64..).step_by(1_234_567).take(1_000) {
            let times = json!({"micros": micros, "millis": micros / 1_000});
            assert_eq!(without_secrets(times.clone()), times);
        }
        assert_eq!(without_secrets(json!(5_555_555_555_554_444_u64)), "(hidden)");
    }
}
