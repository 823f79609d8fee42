//! The command that a standing request stands for.
//!
//! Invariant: it derives from the order and the request alone, so a repeat is
//! the same command, byte for byte.

use schemas::messages::{
    FulfillmentCommand, FulfillmentCommandKind, Order, PaymentCommand, PaymentCommandKind,
    ShipmentLine, StockCommand, StockCommandKind, StockLine,
};

use super::decision::Output;
use super::state::{Request, RequestKind};

/// What to send for `request`.
pub(super) fn command(order: &Order, request: &Request) -> Output {
    match request.kind {
        RequestKind::Hold => stock(order, request, StockCommandKind::Hold),
        RequestKind::Extend => stock(order, request, StockCommandKind::Extend),
        RequestKind::Commit => stock(order, request, StockCommandKind::Commit),
        RequestKind::Release => stock(order, request, StockCommandKind::Release),
        RequestKind::Authorize => payment(order, request, PaymentCommandKind::Authorize),
        RequestKind::Capture => payment(order, request, PaymentCommandKind::Capture),
        RequestKind::Void => payment(order, request, PaymentCommandKind::Void),
        RequestKind::Refund => payment(order, request, PaymentCommandKind::Refund),
        RequestKind::Fulfill => fulfillment(order, request, FulfillmentCommandKind::Fulfill),
        RequestKind::Ship => fulfillment(order, request, FulfillmentCommandKind::Ship),
        RequestKind::Stop => fulfillment(order, request, FulfillmentCommandKind::Cancel),
    }
}

fn stock(order: &Order, request: &Request, kind: StockCommandKind) -> Output {
    let lines = order
        .items
        .iter()
        .map(|line| StockLine { product_id: line.product_id.clone(), quantity: line.quantity });
    Output::Stock(StockCommand {
        request_id: request.id.clone(),
        warehouse: order.warehouse.clone(),
        kind,
        order_id: Some(order.order_id),
        lines: lines.collect(),
        expires_at: request.expires_at,
        reason: None,
    })
}

fn payment(order: &Order, request: &Request, kind: PaymentCommandKind) -> Output {
    let token = (kind == PaymentCommandKind::Authorize).then(|| order.payment_token.clone());
    Output::Payment(PaymentCommand {
        request_id: request.id.clone(),
        order_id: order.order_id,
        kind,
        amount: order.total(),
        payment_token: token.flatten(),
        attempt: request.attempt,
    })
}

fn fulfillment(order: &Order, request: &Request, kind: FulfillmentCommandKind) -> Output {
    Output::Fulfillment(FulfillmentCommand {
        request_id: request.id.clone(),
        order_id: order.order_id,
        kind,
        lines: all_lines(order),
    })
}

/// Every line in full.
pub(super) fn all_lines(order: &Order) -> Vec<ShipmentLine> {
    let lines = order.items.iter();
    lines.map(|l| ShipmentLine { line_id: l.line_id.clone(), quantity: l.quantity }).collect()
}
