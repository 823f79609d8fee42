//! Every message survives the wire, and its schema says what its type says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::fmt::Debug;

use proptest::prelude::*;
use schemas::avro::{Decoder, Encoder, Local, Message, SchemaSource};
use schemas::messages::{Order, OrderEvent, OrderStatus};
use schemas::topics::{self, Topic};
use schemas::{Micros, Sku, samples};

fn survives<V: Message + PartialEq + Debug>(topic: &Topic<V>, value: &V) {
    let source = Local::source();
    let encoder = Encoder::for_topic(topic, source.as_ref()).unwrap();
    let bytes = encoder.encode_to_vec(value).unwrap();
    let decoder = Decoder::for_topic(topic, source).unwrap();
    assert_eq!(&decoder.decode(&bytes).unwrap(), value, "{}", topic.name());
    assert_eq!(bytes[5..], written_by_apache_avro(value), "{}", topic.name());
    read_by_a_newer_reader(topic, value, &bytes);
}

/// The reference implementation's bytes.
fn written_by_apache_avro<V: Message>(value: &V) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(V::schema().text()).unwrap();
    let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_ser_to_vec(value).unwrap()
}

/// The same bytes under an id whose schema has one field more: Avro's
/// resolution instead of the direct path.
fn read_by_a_newer_reader<V: Message + PartialEq + Debug>(
    topic: &Topic<V>,
    value: &V,
    bytes: &[u8],
) {
    let local = Local::new();
    let other = with_extra_field(V::schema().text());
    let id = local.add(&other);
    let mut foreign = vec![0];
    foreign.extend_from_slice(&id.to_be_bytes());
    foreign.extend_from_slice(&bytes[5..]);
    foreign.push(2);
    foreign.extend_from_slice(b"\x06new");
    let decoder = Decoder::for_topic(topic, std::sync::Arc::new(local)).unwrap();
    assert_eq!(&decoder.decode(&foreign).unwrap(), value, "{} resolved", topic.name());
}

fn with_extra_field(text: &str) -> String {
    let mut schema: serde_json::Value = serde_json::from_str(text).unwrap();
    let extra = serde_json::json!({"name": "extra", "type": ["null", "string"], "default": null});
    schema["fields"].as_array_mut().unwrap().push(extra);
    schema.to_string()
}

#[test]
fn every_message_survives_the_wire() {
    survives(&topics::ORDER_COMMANDS, &samples::order_command());
    survives(&topics::ORDER_COMMAND_OUTCOMES, &samples::command_outcome());
    survives(&topics::ORDER_EVENTS, &samples::order_event(3));
    survives(&topics::ORDERS, &samples::order(3));
    survives(&topics::ORDER_VALIDATIONS, &samples::order_validation());
    survives(&topics::STOCK_COMMANDS, &samples::stock_command());
    survives(&topics::STOCK_RESULTS, &samples::stock_result());
    survives(&topics::STOCK_LEVELS, &samples::stock_level());
    survives(&topics::STOCK_LOW, &samples::stock_low());
    survives(&topics::PRODUCT_COMMANDS, &samples::product_command());
    survives(&topics::PRODUCTS, &samples::product());
    survives(&topics::PAYMENT_COMMANDS, &samples::payment_command());
    survives(&topics::PAYMENT_CALLBACKS, &samples::payment_callback());
    survives(&topics::PAYMENT_EVENTS, &samples::payment_event());
    survives(&topics::LEDGER, &samples::ledger_entry());
    survives(&topics::FULFILLMENT_COMMANDS, &samples::fulfillment_command());
    survives(&topics::FULFILLMENT_EVENTS, &samples::fulfillment_event());
    survives(&topics::USER_FEED, &samples::user_feed_entry());
    survives(&topics::REVENUE_BY_MINUTE, &samples::revenue_by_minute());
    survives(&topics::WEBHOOK_ENDPOINTS, &samples::webhook_endpoint());
    survives(&topics::WEBHOOK_COMMANDS, &samples::webhook_command());
}

#[test]
fn every_symbol_of_every_status_survives() {
    let source = Local::source();
    let encoder = Encoder::for_topic(&topics::ORDERS, source.as_ref()).unwrap();
    let decoder = Decoder::for_topic(&topics::ORDERS, source).unwrap();
    for status in OrderStatus::ALL {
        let order = Order { status, ..samples::order(1) };
        let bytes = encoder.encode_to_vec(&order).unwrap();
        assert_eq!(decoder.decode(&bytes).unwrap().status, status);
    }
}

#[test]
fn every_field_is_documented_and_every_schema_is_a_record_of_our_namespace() {
    for topic in topics::ALL {
        let Some(schema) = topic.schema() else { continue };
        assert!(schema.name().starts_with("orders.v1."), "{}", schema.name());
        let json: serde_json::Value = serde_json::from_str(schema.text()).unwrap();
        for field in json["fields"].as_array().unwrap() {
            assert!(field["doc"].as_str().is_some_and(|doc| !doc.is_empty()), "{field}");
        }
    }
}

#[test]
fn encoding_appends_to_a_reused_buffer() {
    let encoder = Encoder::for_topic(&topics::PRODUCTS, Local::source().as_ref()).unwrap();
    let mut out = b"before".to_vec();
    encoder.encode(&samples::product(), &mut out).unwrap();
    assert_eq!(&out[..7], b"before\0");
    assert_eq!(out[7..11], encoder.id().to_be_bytes());
}

#[test]
fn local_ids_are_those_of_the_schemas_texts() {
    let local = Local::new();
    let schema = OrderEvent::schema();
    assert_eq!(local.id_of("any-value", schema).unwrap(), schema.content_id());
    assert_eq!(local.schema(schema.content_id()).unwrap().as_deref(), Some(schema.text()));
    assert_eq!(local.schema(1).unwrap(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_order_survives(
        version in any::<i64>(),
        created_at in any::<i64>(),
        street in any::<String>(),
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..5),
        products in prop::collection::vec((any::<String>(), any::<i64>(), any::<i64>()), 0..40),
        failure_detail in any::<Option<String>>(),
    ) {
        let mut order = samples::order(products.len());
        for (line, (product, quantity, price)) in order.items.iter_mut().zip(products) {
            line.product_id = Sku::new(product);
            line.quantity = quantity;
            line.unit_price = price;
        }
        order.version = version;
        order.created_at = Micros(created_at);
        order.shipping_address.street = street;
        order.metadata = metadata;
        order.failure_detail = failure_detail;
        survives(&topics::ORDERS, &order);
    }
}
