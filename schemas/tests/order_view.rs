//! The order as callers see it, to the letter.

use schemas::messages::{FailureReason, Order, OrderStatus};
use schemas::samples;
use serde_json::json;

#[test]
fn members_amounts_and_times_are_the_contracts() {
    let text = serde_json::to_string(&schemas::view::OrderView::from(&samples::order(1))).unwrap();
    let order = samples::order(1);
    let expected = format!(
        concat!(
            r#"{{"order_id":"00000000-0000-4000-8000-000000000001","#,
            r#""user_id":"123e4567-e89b-12d3-a456-426614174000","status":"shipped","version":6,"#,
            r#""created_at":"2026-01-15T09:00:00.123456Z","updated_at":"2026-01-15T09:00:02.623457Z","#,
            r#""next_states":["delivered"],"currency":"USD","total_amount":59.98,"#,
            r#""items":[{{"line_id":"1","product_id":"prod-1","quantity":2,"price":29.99}}],"#,
            r#""shipping_address":{{"street":"Kärntner Straße 1","city":"Wien","state":"W","#,
            r#""zip":"1010","country":"AT"}},"payment_method":"CREDIT_CARD","#,
            r#""metadata":{{"gift":true,"weight":1.250}},"payment_status":"paid","#,
            r#""fulfillment_status":"fulfilled","payments":[{{"payment_id":"{}","attempt":1,"#,
            r#""amount":59.98,"currency":"USD","status":"captured","#,
            r#""updated_at":"2026-01-15T09:00:00.123456Z"}}],"refunds":[{{"refund_id":"{}","#,
            r#""amount":1.00,"currency":"USD","status":"settled","#,
            r#""updated_at":"2026-01-15T09:00:00.123456Z"}}],"shipments":[{{"carrier":"built-in","#,
            r#""tracking_number":"T-1","lines":[{{"line_id":"1","quantity":2}}]}}]}}"#,
        ),
        order.payments[0].payment_id, order.refunds[0].refund_id,
    );
    assert_eq!(text, expected);
}

#[test]
fn optional_members_show_when_they_are_set() {
    let order = Order {
        status: OrderStatus::Failed,
        failure_reason: Some(FailureReason::PriceMismatch),
        failure_detail: Some("prod-1 costs 30.00".to_owned()),
        cancel_reason: Some("customer".to_owned()),
        channel: Some("import".to_owned()),
        ..samples::order(7)
    };
    let json = order.to_json();
    assert_eq!(json["failure_reason"], "price_mismatch");
    assert_eq!(json["failure_detail"], "prod-1 costs 30.00");
    assert_eq!(json["cancel_reason"], "customer");
    assert_eq!(json["channel"], "import");
    assert_eq!(json["next_states"], json!([]));
    assert_eq!(json["items"][6]["price_override"], true);
    assert!(json["items"][0].get("price_override").is_none());
}

#[test]
fn the_payment_token_and_the_warehouse_never_show() {
    let text = samples::order(1).to_json().to_string();
    assert!(!text.contains("pm_card_ok") && !text.contains("warehouse"), "{text}");
}

#[test]
fn amounts_of_other_currencies_have_their_own_decimals() {
    let yen = Order { currency: "JPY".parse().unwrap(), total_minor: 500, ..samples::order(1) };
    assert_eq!(yen.to_json()["total_amount"].to_string(), "500");
}
