//! The bytes themselves: golden values and what happens to bad ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use schemas::avro::{
    AvroError, Decoder, Encoder, Local, Message, MessageSchema, SchemaSource, SourceError,
};
use schemas::messages::{OrderEvent, Product};
use schemas::{samples, topics};

/// What we wrote once must be readable for ever. A new field changes these
/// bytes: then add a version, keep the old ones, and say what an old value
/// reads as now.
const GOLDEN_V1: (&str, &str) =
    (include_str!("golden/order_event_v1.hex"), include_str!("golden/order_event_v1.avsc"));
const GOLDEN_V2: (&str, &str) =
    (include_str!("golden/order_event_v2.hex"), include_str!("golden/order_event_v2.avsc"));

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn decoder() -> &'static Decoder<OrderEvent> {
    static DECODER: LazyLock<Decoder<OrderEvent>> =
        LazyLock::new(|| Decoder::for_topic(&topics::ORDER_EVENTS, Local::source()).unwrap());
    &DECODER
}

fn encoded() -> Vec<u8> {
    let encoder = Encoder::for_topic(&topics::ORDER_EVENTS, Local::source().as_ref()).unwrap();
    encoder.encode_to_vec(&samples::order_event(2)).unwrap()
}

#[test]
fn an_event_has_these_bytes() {
    let golden = bytes_of(GOLDEN_V2.0);
    assert_eq!(encoded()[5..], golden[5..], "now: {}", hex(&encoded()));
}

fn reads_as((hex, schema): (&str, &str), expected: &OrderEvent) {
    let local = Local::new();
    let id = local.add(schema);
    let golden = bytes_of(hex);
    assert_eq!(golden[1..5], id.to_be_bytes(), "the id is the schema's: {id:08x}");
    let decoder = Decoder::for_topic(&topics::ORDER_EVENTS, Arc::new(local)).unwrap();
    assert_eq!(&decoder.decode(&golden).unwrap(), expected);
}

#[test]
fn bytes_of_every_version_are_read() {
    let event = samples::order_event(2);
    reads_as(GOLDEN_V2, &event);
    let (holds, checks, lines) = (Vec::new(), Vec::new(), Vec::new());
    reads_as(GOLDEN_V1, &OrderEvent { holds, checks, lines, cancel: None, before: None, ..event });
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_header_is_told_from_a_wrong_one() {
    let error = decoder().decode(b"").unwrap_err();
    assert!(matches!(error, AvroError::TooShort { len: 0, .. }));
    assert!(matches!(decoder().decode(&[0, 1, 2]).unwrap_err(), AvroError::TooShort { .. }));
    let error = decoder().decode(b"{\"json\": true}").unwrap_err().to_string();
    assert!(error.starts_with("order_events-value: first byte is 0x7b"), "{error}");
}

#[test]
fn an_unknown_id_is_named_and_asked_again() {
    let local = Arc::new(Local::new());
    let decoder = Decoder::for_topic(&topics::PRODUCTS, local.clone()).unwrap();
    let other = Product::schema().text().replace("Price of one.", "The price.");
    let id = schemas::avro::content_id(&other);
    let mut bytes = Encoder::for_topic(&topics::PRODUCTS, local.as_ref())
        .unwrap()
        .encode_to_vec(&samples::product())
        .unwrap();
    bytes[1..5].copy_from_slice(&id.to_be_bytes());
    let error = decoder.decode(&bytes).unwrap_err();
    assert!(matches!(error, AvroError::UnknownId { id: unknown, .. } if unknown == id));
    assert!(!error.is_retriable());
    assert_eq!(local.add(&other), id);
    assert_eq!(decoder.decode(&bytes).unwrap(), samples::product());
}

#[test]
fn a_cut_off_value_names_the_field_and_the_byte() {
    let bytes = encoded();
    let error = decoder().decode(&bytes[..60]).unwrap_err();
    let AvroError::Decode { subject, field, offset, cause, .. } = &error else { panic!("{error}") };
    assert_eq!(subject, "order_events-value");
    assert_eq!(field, "OrderEvent.order_id");
    assert_eq!(*offset, 5 + 37 + 14);
    assert!(cause.contains("cut off"), "{cause}");
}

#[test]
fn a_bad_text_names_the_field() {
    let mut bytes = encoded();
    let at = bytes.windows(5).position(|window| window == b"\x06USD\x04").unwrap();
    bytes[at + 1..at + 4].copy_from_slice(b"???");
    let error = decoder().decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("OrderEvent.total_amount.currency"), "{error}");
    assert!(error.contains("unknown currency"), "{error}");
}

#[test]
fn a_line_of_an_array_is_named() {
    let mut bytes = encoded();
    let second = bytes.windows(6).position(|window| window == b"prod-2").unwrap();
    bytes[second] = 0xff;
    let error = decoder().decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("OrderEvent.items[1].product_id"), "{error}");
    assert!(error.contains("not UTF-8"), "{error}");
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = encoded();
    let end = bytes.len();
    bytes.extend_from_slice(b"xyz");
    let error = decoder().decode(&bytes).unwrap_err();
    assert!(
        matches!(error, AvroError::TrailingBytes { offset, extra: 3, .. } if offset == end),
        "{error}"
    );
}

struct Down;

impl SchemaSource for Down {
    fn id_of(&self, _: &str, _: &MessageSchema) -> Result<u32, SourceError> {
        Ok(1)
    }

    fn schema(&self, _: u32) -> Result<Option<Arc<str>>, SourceError> {
        Err(SourceError { message: "connection refused".to_owned(), retriable: true })
    }
}

#[test]
fn a_registry_that_is_down_is_no_fault_of_the_record() {
    let decoder: Decoder<OrderEvent> =
        Decoder::for_topic(&topics::ORDER_EVENTS, Arc::new(Down)).unwrap();
    let error = decoder.decode(&encoded()).unwrap_err();
    assert!(error.is_retriable());
    assert!(error.to_string().contains("connection refused"));
}

proptest! {
    #[test]
    fn any_cut_is_an_error_that_names_a_field(cut in 5_usize..400) {
        let bytes = encoded();
        prop_assume!(cut < bytes.len());
        let error = decoder().decode(&bytes[..cut]).unwrap_err();
        prop_assert!(
            matches!(&error, AvroError::Decode { field, .. } if field.starts_with("OrderEvent")),
            "{}", error
        );
    }

    #[test]
    fn damaged_bytes_never_panic(at in 5_usize..600, byte in any::<u8>()) {
        let mut bytes = encoded();
        let at = 5 + at % (bytes.len() - 5);
        bytes[at] = byte;
        let _ = decoder().decode(&bytes);
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 5..200)) {
        bytes[0] = 0;
        bytes[1..5].copy_from_slice(&OrderEvent::schema().content_id().to_be_bytes());
        prop_assert!(decoder().decode(&bytes).is_err());
    }
}
