//! Orders whose events the feed no longer holds, from the compacted `orders`.
//!
//! Rows carry the order's version, and a later version is never overwritten by
//! an earlier one, so the feed may be read afterwards, before, or twice.

use std::time::Duration;

use log::{Admin, Isolation, Reader, TopicPartition};
use read_model::Batch;
use schemas::topics;
use tokio_util::sync::CancellationToken;

use crate::codecs::Codecs;
use crate::error::EgressError;
use crate::reading;

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(200);

/// Reads `orders` from its beginning to where it ends now; hands batches on.
pub(super) fn load(
    admin: &dyn Admin,
    reader: &mut dyn Reader,
    codecs: &Codecs,
    shutdown: &CancellationToken,
    apply: &mut dyn FnMut(&Batch) -> Result<(), EgressError>,
) -> Result<(), EgressError> {
    let name = topics::ORDERS.name();
    let starts = reading::extent(admin, &[name])?.starts;
    let starts: Vec<(TopicPartition, i64)> = starts
        .iter()
        .map(|start| {
            (
                TopicPartition::new(name, u32::try_from(start.partition).unwrap_or_default()),
                start.next_offset,
            )
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
        let visited = reader.poll(WAIT, BATCH, &mut |record| {
            let Some(value) = record.value else { return };
            match codecs.orders.decode(value) {
                Ok(order) => batch.order(&order, &order.to_json(), 0),
                Err(error) => tracing::warn!(
                    topic = record.topic, partition = record.partition, offset = record.offset, %error,
                    "order skipped while loading"
                ),
            }
        })?;
        if visited > 0 {
            apply(&batch)?;
        }
        if places.iter().zip(&ends).all(|(place, end)| reader.reached(place, *end)) {
            return Ok(());
        }
    }
}
