//! The fulfilment worker's flow: commands and carriers' notices move one state
//! machine per order.

use operators::{Input as At, MachineContext, StreamsBuilder, Topology};
use schemas::messages::FulfillmentEvent;
use schemas::topics;

use super::parcel::{Input, Pace, Parcel, step};
use crate::traced::{Traced, headers, trace_of};
use crate::wire::{self, Wire};
use crate::{FlowError, FlowSettings};

/// `fulfillment-worker`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(settings: &FlowSettings, wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("fulfillment-worker");
    let notices = builder
        .stream(&wire.on(&topics::CARRIER_EVENTS)?)
        .map_values(|notice| Input::Carrier(notice.clone()));
    let pace =
        Pace { step_ms: settings.simulation_step_ms, delivery_ms: settings.carrier_delivery_ms };
    builder
        .stream(&wire.on(&topics::FULFILLMENT_COMMANDS)?)
        .map_values(|command| Input::Command(command.clone()))
        .merge(&notices)
        .state_machine("parcels", wire::state("parcel", 1), move |_, kept, input, ctx| {
            run(kept, input, pace, ctx);
        })
        .to(&wire.on(&topics::FULFILLMENT_EVENTS)?);
    Ok(builder.build()?)
}

fn run(
    kept: Option<&Traced<Parcel>>,
    input: At<'_, Input>,
    pace: Pace,
    ctx: &mut MachineContext<'_, Traced<Parcel>, FulfillmentEvent>,
) {
    let input = match input {
        At::Message(input) => input.clone(),
        At::Timer(_) => Input::Timer,
    };
    let trace = trace_of(ctx.headers(), kept);
    let step = step(kept.map(|kept| &kept.state), input, ctx.now(), pace);
    for event in step.events {
        ctx.emit(event).headers(headers(trace.as_deref()));
    }
    if let Some(state) = step.parcel {
        ctx.set(Traced { trace, state });
    }
    ctx.deadline(step.deadline);
}
