//! Card data is refused at the door (T25, PCI DSS 3.3.1 and 3.5.1): no number
//! that could be a card number and no verification code ever reaches the log,
//! the database, a trace or an answer.
//!
//! Invariant: errors name the path, never the value.

use schemas::pan::contains_card_number;
use serde_json::Value;

use super::fields::FieldErrors;

/// Member names that only ever carry card data.
const NAMES: [&str; 8] =
    ["card", "card_number", "cardnumber", "cvv", "cvv2", "cvc", "cvc2", "security_code"];

/// Reports every place of a document that could hold card data.
pub fn refuse(document: &Value, errors: &mut FieldErrors) {
    visit(document, "", errors);
}

fn visit(value: &Value, path: &str, errors: &mut FieldErrors) {
    match value {
        Value::String(text) if contains_card_number(text) => report(path, errors),
        Value::Number(number) if contains_card_number(&number.to_string()) => report(path, errors),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &format!("{path}[{index}]"), errors);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                if contains_card_number(name) {
                    report(path, errors);
                    continue;
                }
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if NAMES.contains(&name.to_ascii_lowercase().as_str()) {
                    report(&path, errors);
                } else {
                    visit(member, &path, errors);
                }
            }
        }
        _ => {}
    }
}

fn report(path: &str, errors: &mut FieldErrors) {
    errors.add(
        path,
        "card_data",
        "card numbers and verification codes are never accepted; send a payment_token",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_a_document_is_searched_and_nothing_is_quoted() {
        let document = serde_json::json!({
            "metadata": {"note": ["ok", "4111111111111111"], "cvv": "123"},
            "number": 4_111_111_111_111_111_i64,
            "4111111111111111": 1,
        });
        let mut errors = FieldErrors::default();
        refuse(&document, &mut errors);
        let problem = format!("{:?}", errors.finish().unwrap_err());
        for path in ["metadata.note[1]", "metadata.cvv", "\"number\""] {
            assert!(problem.contains(path), "{problem}");
        }
        assert!(!problem.contains("4111"), "{problem}");
    }
}
