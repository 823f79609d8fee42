//! How the egress reads the topics, built once per process from the schema
//! registry (or [`schemas::avro::Local`] in tests).

use std::sync::Arc;

use schemas::avro::{AvroError, Decoder, Encoder, Message, SchemaSource};
use schemas::messages::{
    Order, OrderEvent, Product, RevenueByMinute, StockLevel, UserFeedEntry, WebhookCommand,
    WebhookEndpoint,
};
use schemas::topics::{self, Topic};

use crate::error::EgressError;

/// Decoders of everything the egress reads. Cheap to clone.
#[derive(Clone)]
pub struct Codecs {
    pub(crate) user_feed: Arc<Decoder<UserFeedEntry>>,
    pub(crate) orders: Arc<Decoder<Order>>,
    pub(crate) events: Arc<Decoder<OrderEvent>>,
    pub(crate) products: Arc<Decoder<Product>>,
    pub(crate) stock_levels: Arc<Decoder<StockLevel>>,
    pub(crate) revenue: Arc<Decoder<RevenueByMinute>>,
    pub(crate) endpoints: Arc<Decoder<WebhookEndpoint>>,
    pub(crate) commands: Arc<Decoder<WebhookCommand>>,
    pub(crate) endpoint_writer: Arc<Encoder<WebhookEndpoint>>,
}

impl std::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codecs(…)")
    }
}

impl Codecs {
    /// Asks `source` for the id of each schema. Blocks while a registry is
    /// asked.
    pub fn new(source: &Arc<dyn SchemaSource>) -> Result<Self, EgressError> {
        Self::build(source).map_err(EgressError::Codecs)
    }

    fn build(source: &Arc<dyn SchemaSource>) -> Result<Self, AvroError> {
        Ok(Self {
            user_feed: decoder(&topics::USER_FEED, source)?,
            orders: decoder(&topics::ORDERS, source)?,
            events: decoder(&topics::ORDER_EVENTS, source)?,
            products: decoder(&topics::PRODUCTS, source)?,
            stock_levels: decoder(&topics::STOCK_LEVELS, source)?,
            revenue: decoder(&topics::REVENUE_BY_MINUTE, source)?,
            endpoints: decoder(&topics::WEBHOOK_ENDPOINTS, source)?,
            commands: decoder(&topics::WEBHOOK_COMMANDS, source)?,
            endpoint_writer: Arc::new(Encoder::for_topic(
                &topics::WEBHOOK_ENDPOINTS,
                source.as_ref(),
            )?),
        })
    }
}

fn decoder<V: Message>(
    topic: &Topic<V>,
    source: &Arc<dyn SchemaSource>,
) -> Result<Arc<Decoder<V>>, AvroError> {
    Decoder::for_topic(topic, Arc::clone(source)).map(Arc::new)
}
