//! The feed's flow: one counter per user. The lifecycle writes its events by
//! user too (`user_events`), which saves this flow a repartition and every
//! order a hop.

use operators::{I64Be, Input, StreamsBuilder, Topology};
use schemas::topics;

use super::entry;
use crate::FlowError;
use crate::wire::Wire;

/// `order-feed`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("order-feed");
    builder
        .stream(&wire.on(&topics::USER_EVENTS)?)
        .state_machine("numbers", I64Be, |_, last: Option<&i64>, input, ctx| {
            let Input::Message(event) = input else { return };
            let entry = entry(last.copied().unwrap_or_default(), event);
            ctx.set(entry.number);
            let at = ctx.timestamp();
            ctx.emit(entry).at(at);
        })
        .to(&wire.on(&topics::USER_FEED)?);
    Ok(builder.build()?)
}
