//! What no body may hold, wherever it stands in the document.
//!
//! * Card data is refused at the door (T25, PCI DSS 3.3.1 and 3.5.1): no number
//!   that could be a card number and no verification code ever reaches the log,
//!   the database, a trace or an answer.
//! * What a database can't keep is refused too: U+0000, numbers of absurd size,
//!   nesting without end. The log would take it, the order would run, and nobody
//!   could ever read it.
//!
//! Invariants: errors name the path, never the value; the cost of a walk grows
//! with the size of the document and nothing else.

use schemas::pan::contains_card_number;
use serde_json::Value;

use super::fields::FieldErrors;
use super::place::Place;

/// Member names that only ever carry card data.
const NAMES: [&str; 8] =
    ["card", "card_number", "cardnumber", "cvv", "cvv2", "cvc", "cvc2", "security_code"];
/// Objects and arrays within each other.
const DEEPEST: usize = 32;
/// Digits of a number, and its largest power of ten. PostgreSQL keeps far more;
/// nothing that is counted or paid comes near.
const MOST: usize = 100;

/// Reports every place of a document that holds what it may not.
pub fn refuse(document: &Value, errors: &mut FieldErrors) {
    visit(document, &Place::DOCUMENT, errors);
}

fn visit(value: &Value, place: &Place<'_>, errors: &mut FieldErrors) {
    if errors.is_full() {
        return;
    }
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::String(text) if contains_card_number(text) => card(place, errors),
        Value::String(text) if text.contains('\0') => {
            errors.add(place.text(), "control_character", "must not contain U+0000");
        }
        Value::String(_) => {}
        Value::Number(number) if contains_card_number(number.as_str()) => card(place, errors),
        Value::Number(number) if !is_moderate(number.as_str()) => errors.add(
            place.text(),
            "out_of_range",
            format!("expected at most {MOST} digits and an exponent from -{MOST} to {MOST}"),
        ),
        Value::Number(_) => {}
        Value::Array(_) | Value::Object(_) if place.depth() >= DEEPEST => {
            let message = format!("expected at most {DEEPEST} objects and arrays in each other");
            errors.add(place.text(), "too_deep", message);
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, &place.item(index), errors);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                member(name, value, place, errors);
            }
        }
    }
}

fn member(name: &str, value: &Value, place: &Place<'_>, errors: &mut FieldErrors) {
    if contains_card_number(name) {
        card(place, errors);
    } else if name.contains('\0') {
        errors.add(place.text(), "control_character", "names must not contain U+0000");
    } else if NAMES.iter().any(|card| card.eq_ignore_ascii_case(name)) {
        card(&place.member(name), errors);
    } else {
        visit(value, &place.member(name), errors);
    }
}

fn card(place: &Place<'_>, errors: &mut FieldErrors) {
    errors.add(
        place.text(),
        "card_data",
        "card numbers and verification codes are never accepted; send a payment_token",
    );
}

/// True if a JSON number's text has at most [`MOST`] digits and a power of ten
/// within ± [`MOST`].
fn is_moderate(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let power = exponent.trim_start_matches(['+', '-']).trim_start_matches('0');
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    digits <= MOST && power.len() <= 3 && power.parse().unwrap_or(0) <= MOST
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::super::place::tests::BUILT;
    use super::*;

    fn problem(text: &str) -> String {
        let mut errors = FieldErrors::default();
        refuse(&json::parse(text.as_bytes()).unwrap(), &mut errors);
        errors.finish().map_or_else(|error| format!("{error:?}"), |()| String::new())
    }

    #[test]
    fn every_place_of_a_document_is_searched_and_nothing_is_quoted() {
        let problem = problem(
            r#"{"metadata": {"note": ["ok", "4111111111111111"], "CVV": "123"},
                "number": 4111111111111111, "4111111111111111": 1}"#,
        );
        for path in ["metadata.note[1]", "metadata.CVV", "\"number\""] {
            assert!(problem.contains(path), "{problem}");
        }
        assert!(!problem.contains("4111"), "{problem}");
    }

    #[test]
    fn what_a_database_cannot_keep_is_refused_by_name() {
        for (text, path, code) in [
            (r#"{"a": {"b": ["x\u0000"]}}"#, "\"a.b[0]\"", "control_character"),
            (r#"{"a": {"b\u0000": 1}}"#, "\"a\"", "control_character"),
            (r#"{"a": 1e999999}"#, "\"a\"", "out_of_range"),
            (r#"{"a": [1E-101]}"#, "\"a[0]\"", "out_of_range"),
            (r#"{"a": 1e99999999999999999999}"#, "\"a\"", "out_of_range"),
            (&format!("{{\"a\": {}}}", "1".repeat(101)), "\"a\"", "out_of_range"),
            (&format!("{{\"a\": 0.{}}}", "1".repeat(100)), "\"a\"", "out_of_range"),
            (&format!("{{\"a\": {}{}}}", "[".repeat(32), "]".repeat(32)), "[0]", "too_deep"),
        ] {
            let problem = problem(text);
            assert!(problem.contains(path) && problem.contains(code), "{text}: {problem}");
        }
        for text in [
            r#"{"a": [1e100, -1e-100, 1E+0000000100, 0, -0.5], "b": "tab\tand é"}"#,
            &format!("{{\"a\": {}}}", "1".repeat(100)),
            &format!("{{\"a\": {}{}}}", "[".repeat(31), "]".repeat(31)),
        ] {
            assert_eq!(problem(text), "", "{text}");
        }
    }

    #[test]
    fn a_long_name_above_many_values_is_not_copied_for_each() {
        let body = |item: &str| {
            let items = vec![item; 300_000].join(",");
            format!("{{\"{}\":[{items}]}}", "n".repeat(400_000))
        };
        BUILT.with(|built| built.set(0));
        assert_eq!(problem(&body("0")), "");
        assert_eq!(BUILT.with(std::cell::Cell::get), 0, "no error, no path");
        let problem = problem(&body("\"\\u0000\""));
        assert!(BUILT.with(std::cell::Cell::get) <= 100 * 200, "a path per listed error");
        assert!(problem.len() < 64 * 1024, "{} bytes", problem.len());
    }
}
