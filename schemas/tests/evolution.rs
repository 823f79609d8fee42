//! How a schema may change: what `schemas/README.md` allows works, what it
//! forbids is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use schemas::avro::{AvroError, Decoder, Encoder, Local, Message, can_read};
use schemas::messages::{OrderEvent, Product, StockLow};
use schemas::{samples, topics};
use serde_json::{Value, json};

fn edited(text: &str, edit: impl FnOnce(&mut Vec<Value>)) -> String {
    let mut schema: Value = serde_json::from_str(text).unwrap();
    edit(schema["fields"].as_array_mut().unwrap());
    schema.to_string()
}

#[test]
fn every_schema_reads_itself() {
    for schema in topics::ALL.iter().filter_map(|topic| topic.schema()) {
        assert_eq!(can_read(schema.text(), schema.text()).unwrap(), Ok(()), "{}", schema.name());
    }
}

#[test]
fn an_optional_field_may_be_added_to_every_schema() {
    for schema in topics::ALL.iter().filter_map(|topic| topic.schema()) {
        let v2 = edited(schema.text(), |fields| {
            fields.push(json!({"name": "v2", "type": ["null", "long"], "default": null}));
        });
        assert_eq!(can_read(schema.text(), &v2).unwrap(), Ok(()), "backward {}", schema.name());
        assert_eq!(can_read(&v2, schema.text()).unwrap(), Ok(()), "forward {}", schema.name());
    }
}

#[test]
fn a_required_field_or_another_type_may_not() {
    let v1 = Product::schema().text();
    let required = edited(v1, |fields| fields.push(json!({"name": "v2", "type": "long"})));
    assert!(can_read(v1, &required).unwrap().is_err());
    let retyped = edited(v1, |fields| fields[1]["type"] = json!("long"));
    assert!(can_read(v1, &retyped).unwrap().is_err());
    assert!(can_read(v1, "{").is_err());
}

/// Reads `body` as written with `writer`.
fn read<V: Message>(topic: &topics::Topic<V>, writer: &str, body: &[u8]) -> Result<V, AvroError> {
    let local = Local::new();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&local.add(writer).to_be_bytes());
    bytes.extend_from_slice(body);
    Decoder::for_topic(topic, Arc::new(local)).unwrap().decode(&bytes)
}

#[test]
fn an_older_writers_values_get_the_defaults() {
    let v0 = r#"{"type": "record", "name": "StockCommand", "namespace": "orders.v1", "fields": [
        {"name": "request_id", "type": "string"},
        {"name": "warehouse", "type": "string"},
        {"name": "kind", "type": {"type": "enum", "name": "StockCommandKind", "symbols": ["adjust"]}},
        {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "StockLine",
            "fields": [{"name": "product_id", "type": "string"}, {"name": "quantity", "type": "int"}]}}}
    ]}"#;
    let body = b"\x06r-1\x08main\x00\x02\x0cprod-1\x05\x00";
    let command = read(&topics::STOCK_COMMANDS, v0, body).unwrap();
    assert_eq!(command.kind, schemas::messages::StockCommandKind::Adjust);
    assert_eq!(command.lines[0].quantity, -3, "int is promoted to long");
    assert_eq!((command.order_id, command.reason), (None, None));
}

#[test]
fn a_field_with_a_default_of_its_own_gets_it() {
    // `errors` and `changed` of an event are lists with default [].
    let v0 = edited(OrderEvent::schema().text(), |fields| {
        fields.retain(|field| field["name"] != "changed");
    });
    let event = OrderEvent { changed: Vec::new(), ..samples::order_event(1) };
    let local = Local::source();
    let encoder = Encoder::for_topic(&topics::ORDER_EVENTS, local.as_ref()).unwrap();
    let bytes = encoder.encode_to_vec(&event).unwrap();
    let one_more = OrderEvent { changed: vec![String::new()], ..event.clone() };
    let one_more = encoder.encode_to_vec(&one_more).unwrap();
    // The empty list of `changed` is one byte, where the two begin to differ.
    let at = bytes.iter().zip(&one_more).position(|(a, b)| a != b).unwrap();
    let body = [&bytes[5..at], &bytes[at + 1..]].concat();
    assert_eq!(read(&topics::ORDER_EVENTS, &v0, &body).unwrap(), event);
}

#[test]
fn a_broken_value_of_another_version_names_its_field() {
    let v2 = edited(Product::schema().text(), |fields| {
        fields.insert(0, json!({"name": "shelf", "type": "string", "default": ""}));
    });
    let error = read(&topics::PRODUCTS, &v2, b"\x04A1\x0cprod-1\x06Mu").unwrap_err().to_string();
    assert!(error.contains("field Product.name, byte 15: 3 bytes needed, 2 left"), "{error}");
}

#[test]
fn a_writer_without_a_required_field_is_unreadable_once_and_for_all() {
    let v0 = edited(StockLow::schema().text(), |fields| {
        fields.retain(|field| field["name"] != "available");
    });
    let error = read(&topics::STOCK_LOW, &v0, b"").unwrap_err();
    assert!(matches!(error, AvroError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("available"), "{error}");
}

#[test]
fn documentation_changes_nothing() {
    let reworded = Product::schema().text().replace("Price of one.", "The price.");
    assert_ne!(reworded, Product::schema().text());
    let local = Local::source();
    let encoder = Encoder::for_topic(&topics::PRODUCTS, local.as_ref()).unwrap();
    let bytes = encoder.encode_to_vec(&samples::product()).unwrap();
    assert_eq!(read(&topics::PRODUCTS, &reworded, &bytes[5..]).unwrap(), samples::product());
}
