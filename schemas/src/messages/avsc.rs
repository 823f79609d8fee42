//! Each message's schema file.

use super::*;
use crate::avro_message;

macro_rules! messages {
    ($($type:ident => $file:literal),* $(,)?) => {
        $(avro_message!($type, include_str!(concat!("../../avro/", $file)));)*
    };
}

messages! {
    CommandOutcome => "command_outcome.avsc",
    FulfillmentCommand => "fulfillment_command.avsc",
    FulfillmentEvent => "fulfillment_event.avsc",
    LedgerEntry => "ledger_entry.avsc",
    Order => "order.avsc",
    OrderCommand => "order_command.avsc",
    OrderEvent => "order_event.avsc",
    OrderValidation => "order_validation.avsc",
    PaymentCallback => "payment_callback.avsc",
    PaymentCommand => "payment_command.avsc",
    PaymentEvent => "payment_event.avsc",
    Product => "product.avsc",
    ProductCommand => "product_command.avsc",
    RevenueByMinute => "revenue_by_minute.avsc",
    StockCommand => "stock_command.avsc",
    StockLevel => "stock_level.avsc",
    StockLow => "stock_low.avsc",
    StockResult => "stock_result.avsc",
    UserFeedEntry => "user_feed_entry.avsc",
    WebhookCommand => "webhook_command.avsc",
    WebhookEndpoint => "webhook_endpoint.avsc",
}
