//! What the feed no longer holds: orders from the compacted `orders`, their
//! timelines from `order_events`, which is kept.
//!
//! Rows carry the order's version, and a later version is never overwritten by
//! an earlier one, so the feed may be read afterwards, before, or twice.

use std::time::Duration;

use log::{Admin, Isolation, Reader, TopicPartition};
use read_model::Batch;
use schemas::avro::AvroError;
use schemas::messages::{Order, OrderEvent};
use schemas::topics;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;

use super::decoding::Decoding;

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(200);

/// What a record of these topics holds.
enum Held {
    Order(Box<Order>, Value),
    Event(Box<OrderEvent>),
}

impl Held {
    fn add_to(&self, batch: &mut Batch) {
        match self {
            Self::Order(order, document) => batch.order(order, document, 0),
            Self::Event(event) => batch.event(event),
        }
    }
}

type Decode<'a> = dyn Fn(&[u8]) -> Result<Held, AvroError> + Send + Sync + 'a;

/// Reads both topics from their beginnings to where they end now; hands batches
/// on.
pub(super) fn load(
    admin: &dyn Admin,
    reader: &mut dyn Reader,
    (codecs, decoding): (&Codecs, &Decoding),
    shutdown: &CancellationToken,
    apply: &mut dyn FnMut(&Batch) -> Result<(), EgressError>,
) -> Result<(), EgressError> {
    let orders = |value: &[u8]| {
        let order = codecs.orders.decode(value)?;
        let document = order.to_json();
        Ok(Held::Order(Box::new(order), document))
    };
    let events = |value: &[u8]| Ok(Held::Event(Box::new(codecs.events.decode(value)?)));
    let both: [(_, &Decode<'_>); 2] =
        [(topics::ORDERS.name(), &orders), (topics::ORDER_EVENTS.name(), &events)];
    both.into_iter().try_for_each(|(topic, decode)| {
        read(admin, reader, topic, shutdown, (decode, decoding), apply)
    })
}

fn read(
    admin: &dyn Admin,
    reader: &mut dyn Reader,
    topic: &'static str,
    shutdown: &CancellationToken,
    (decode, decoding): (&Decode<'_>, &Decoding),
    apply: &mut dyn FnMut(&Batch) -> Result<(), EgressError>,
) -> Result<(), EgressError> {
    let starts: Vec<_> = reading::extent(admin, &[topic])?
        .starts
        .iter()
        .map(|start| {
            let partition = u32::try_from(start.partition).unwrap_or_default();
            (TopicPartition::new(topic, partition), start.next_offset)
        })
        .collect();
    let places: Vec<_> = starts.iter().map(|(place, _)| place.clone()).collect();
    let ends = admin.end_offsets(&places, Isolation::ReadCommitted)?;
    reader.assign(&starts)?;
    while !shutdown.is_cancelled() {
        let mut values = Vec::new();
        let visited = reader.poll(WAIT, BATCH, &mut |record| {
            let at = (record.partition, record.offset);
            values.extend(record.value.map(|value| (at, value.to_vec())));
        })?;
        let mut batch = Batch::default();
        for ((partition, offset), held) in decoding.map(values, |(at, value)| (at, decode(&value)))
        {
            match held {
                Ok(held) => held.add_to(&mut batch),
                Err(source) if source.is_retriable() => {
                    let topic = topic.to_owned();
                    return Err(EgressError::Schema { topic, partition, offset, source });
                }
                Err(error) => {
                    tracing::warn!(topic, partition, offset, %error, "skipped while loading");
                }
            }
        }
        if visited > 0 {
            apply(&batch)?;
        }
        if places.iter().zip(&ends).all(|(place, end)| reader.reached(place, *end)) {
            break;
        }
    }
    Ok(())
}
