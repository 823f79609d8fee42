//! What the feed no longer holds: orders from the compacted `orders`, their
//! timelines from `order_events`, which is kept.
//!
//! Rows carry the order's version, and a later version is never overwritten by
//! an earlier one, so the feed may be read afterwards, before, or twice.

use std::time::Duration;

use log::{Admin, Isolation, Reader, TopicPartition};
use read_model::Batch;
use schemas::avro::AvroError;
use schemas::topics;
use tokio_util::sync::CancellationToken;

use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(200);

type Added = Result<(), AvroError>;

/// Reads both topics from their beginnings to where they end now; hands batches
/// on.
pub(super) fn load(
    admin: &dyn Admin,
    reader: &mut dyn Reader,
    codecs: &Codecs,
    shutdown: &CancellationToken,
    apply: &mut dyn FnMut(&Batch) -> Result<(), EgressError>,
) -> Result<(), EgressError> {
    let orders = &|value: &[u8], batch: &mut Batch| {
        let order = codecs.orders.decode(value)?;
        batch.order(&order, &order.to_json(), 0);
        Ok(())
    };
    read(admin, reader, topics::ORDERS.name(), shutdown, orders, apply)?;
    let events = &|value: &[u8], batch: &mut Batch| {
        batch.event(&codecs.events.decode(value)?);
        Ok(())
    };
    read(admin, reader, topics::ORDER_EVENTS.name(), shutdown, events, apply)
}

fn read(
    admin: &dyn Admin,
    reader: &mut dyn Reader,
    topic: &'static str,
    shutdown: &CancellationToken,
    add: &dyn Fn(&[u8], &mut Batch) -> Added,
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
    loop {
        if shutdown.is_cancelled() {
            return Ok(());
        }
        let mut batch = Batch::default();
        let mut failed = None;
        let visited = reader.poll(WAIT, BATCH, &mut |record| {
            let Some(value) = record.value.filter(|_| failed.is_none()) else { return };
            let (partition, offset) = (record.partition, record.offset);
            match add(value, &mut batch) {
                Ok(()) => {}
                Err(source) if source.is_retriable() => {
                    let topic = topic.to_owned();
                    failed = Some(EgressError::Schema { topic, partition, offset, source });
                }
                Err(error) => {
                    tracing::warn!(topic, partition, offset, %error, "skipped while loading");
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if visited > 0 {
            apply(&batch)?;
        }
        if places.iter().zip(&ends).all(|(place, end)| reader.reached(place, *end)) {
            return Ok(());
        }
    }
}
