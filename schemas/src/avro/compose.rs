//! Self-contained schemas from files that name shared types.
//!
//! Each shared record or enum of `schemas/avro/` is written once. Where a
//! message names one for the first time its definition is put in place; later
//! uses stay names, as Avro wants it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Namespace of all schemas.
const NAMESPACE: &str = "orders.v1";

macro_rules! shared {
    ($($name:literal => $file:literal),* $(,)?) => {
        /// Shared types by name. Files of messages are here where other
        /// messages contain them.
        const SHARED: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../avro/", $file)))),*];
    };
}

shared! {
    "Actor" => "actor.avsc",
    "Address" => "address.avsc",
    "AmendOrder" => "amend_order.avsc",
    "CancelOrder" => "cancel_order.avsc",
    "CheckResult" => "check_result.avsc",
    "FailureReason" => "failure_reason.avsc",
    "FieldError" => "field_error.avsc",
    "HeldGoods" => "held_goods.avsc",
    "LedgerPosting" => "ledger_posting.avsc",
    "Line" => "line.avsc",
    "Money" => "money.avsc",
    "Order" => "order.avsc",
    "OrderBefore" => "order_before.avsc",
    "OrderEvent" => "order_event.avsc",
    "OrderStatus" => "order_status.avsc",
    "Payment" => "payment.avsc",
    "PlaceLine" => "place_line.avsc",
    "PlaceOrder" => "place_order.avsc",
    "Reason" => "reason.avsc",
    "Refund" => "refund.avsc",
    "SetStatus" => "set_status.avsc",
    "Shipment" => "shipment.avsc",
    "ShipmentLine" => "shipment_line.avsc",
    "StockLine" => "stock_line.avsc",
}

/// The text of a schema with every shared type it names written out.
pub(crate) fn compose(avsc: &str) -> Result<String, String> {
    let mut schema: Value = serde_json::from_str(avsc).map_err(|e| e.to_string())?;
    put_in_place(&mut schema, &mut BTreeSet::new())?;
    Ok(sorted(&schema))
}

/// JSON text with sorted members and no spaces: equal for equal schemas.
///
/// # Errors
/// The text is not JSON.
pub fn normalize(schema: &str) -> Result<String, serde_json::Error> {
    serde_json::from_str(schema).map(|value| sorted(&value))
}

/// Doesn't rely on the order of `serde_json`'s maps, which a feature that any
/// crate of the build may turn on changes.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, &Value> = members.iter().collect();
            let member = |(name, value): (&String, &Value)| {
                format!("{}:{}", Value::from(name.as_str()), sorted(value))
            };
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

/// Walks the positions of types in document order, which is the order in
/// which Avro defines names.
fn put_in_place(schema: &mut Value, defined: &mut BTreeSet<String>) -> Result<(), String> {
    match schema {
        Value::String(name) => {
            let short = name.strip_prefix(NAMESPACE).map_or(&**name, |rest| &rest[1..]).to_owned();
            if let Some((_, text)) = SHARED.iter().find(|(name, _)| *name == short)
                && !defined.contains(&short)
            {
                *schema = serde_json::from_str(text).map_err(|e| format!("{short}: {e}"))?;
                put_in_place(schema, defined)?;
            }
            Ok(())
        }
        Value::Array(variants) => {
            variants.iter_mut().try_for_each(|variant| put_in_place(variant, defined))
        }
        Value::Object(members) => definition(members, defined),
        _ => Err(format!("{schema} is not a schema")),
    }
}

fn definition(
    members: &mut Map<String, Value>,
    defined: &mut BTreeSet<String>,
) -> Result<(), String> {
    if let Some(Value::String(name)) = members.get("name") {
        defined.insert(name.clone());
    }
    if let Some(Value::Array(fields)) = members.get_mut("fields") {
        for field in fields {
            check_field(field)?;
            let kind = field.get_mut("type").ok_or("a field has no type")?;
            put_in_place(kind, defined)?;
        }
        return Ok(());
    }
    for position in ["type", "items", "values"] {
        if let Some(inner) = members.get_mut(position) {
            put_in_place(inner, defined)?;
        }
    }
    Ok(())
}

/// What the decoder's reading by name relies on: a missing field is either
/// none, or an error.
fn check_field(field: &Value) -> Result<(), String> {
    let name = &field["name"];
    let is_nullable = field["type"].as_array().is_some_and(|types| types.contains(&"null".into()));
    if is_nullable && field.get("default") != Some(&Value::Null) {
        return Err(format!("field {name} may be null: its default must be null"));
    }
    match field.get("aliases") {
        Some(_) => Err(format!("field {name} has aliases: fields can't be renamed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_use_is_a_definition_and_the_second_a_name() {
        let text = compose(
            r#"{"type": "record", "name": "Two", "namespace": "orders.v1", "fields": [
                {"name": "a", "type": ["null", "orders.v1.Money"], "default": null},
                {"name": "b", "type": {"type": "array", "items": "Money"}}]}"#,
        )
        .unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(schema["fields"][0]["type"][1]["name"], "Money");
        assert_eq!(schema["fields"][1]["type"]["items"], "Money");
        crate::avro::schema::parse(&text).unwrap();
    }

    #[test]
    fn an_optional_field_without_the_default_null_is_refused() {
        let record = |field: &str| {
            format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", {field}}}]}}"#)
        };
        let error = compose(&record(r#""type": ["null", "long"]"#)).unwrap_err();
        assert!(error.contains("default must be null"), "{error}");
        let error = compose(&record(r#""type": "long", "aliases": ["b"]"#)).unwrap_err();
        assert!(error.contains("can't be renamed"), "{error}");
    }

    #[test]
    fn normalized_text_has_no_spaces_and_one_order() {
        assert_eq!(
            normalize(r#"{ "type": "map", "values" : "long" }"#).unwrap(),
            normalize(r#"{"values":"long","type":"map"}"#).unwrap()
        );
    }
}
