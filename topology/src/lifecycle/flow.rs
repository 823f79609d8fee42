//! The lifecycle's flow: five kinds of input, one state machine per order,
//! and everything it says, sorted into topics.

use operators::{Headers, KStream, MachineContext, StreamsBuilder, Topology};
use schemas::messages::{OrderEvent, OrderEventType};
use schemas::topics;

use super::durations::Durations;
use super::{Input, OrderState, Output, step};
use crate::traced::{Traced, headers, trace_of};
use crate::wire::{self, Wire};
use crate::{FlowError, FlowSettings};

/// `order-lifecycle`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(settings: &FlowSettings, wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("order-lifecycle");
    let inputs = inputs(&builder, wire)?;

    let settings = settings.clone();
    let said = inputs.state_machine(
        "orders",
        wire::state("order-state", 1),
        move |_, state, input, ctx| decide(&settings, state, input, ctx),
    );

    let events = said.flat_map_values::<OrderEvent>(|said, emit| {
        if let Output::Event(event) = said {
            emit(event);
        }
    });
    let of_types = OrderEventType::ALL.map(topics::of_event);
    let of_types = of_types.iter().map(|topic| wire.on(topic)).collect::<Result<Vec<_>, _>>()?;
    events.to(&wire.on(&topics::ORDER_EVENTS)?);
    events.to_one_of(&of_types, |_, event| Some(event.event_type.topic()));
    events
        .select_key::<str>(|_, event| event.user_id.to_string())
        .to(&wire.on(&topics::USER_EVENTS)?);
    events
        .flat_map_values(|event: &OrderEvent, emit| emit(&event.order))
        .to(&wire.on(&topics::ORDERS)?);

    said.flat_map_values(|said, emit| {
        if let Output::Outcome(outcome) = said {
            emit(outcome);
        }
    })
    .to(&wire.on(&topics::ORDER_COMMAND_OUTCOMES)?);
    said.flat_map::<str, _>(|_, said, emit| {
        if let Output::Stock(command) = said {
            emit(&command.warehouse, command);
        }
    })
    .to(&wire.on(&topics::STOCK_COMMANDS)?);
    said.flat_map_values(|said, emit| {
        if let Output::Payment(command) = said {
            emit(command);
        }
    })
    .to(&wire.on(&topics::PAYMENT_COMMANDS)?);
    said.flat_map_values(|said, emit| {
        if let Output::Fulfillment(command) = said {
            emit(command);
        }
    })
    .to(&wire.on(&topics::FULFILLMENT_COMMANDS)?);

    Ok(builder.build()?)
}

/// All that can happen to an order, as one stream keyed by order.
fn inputs(builder: &StreamsBuilder, wire: &Wire) -> Result<KStream<str, Input>, FlowError> {
    let commands = builder
        .stream(&wire.on(&topics::ORDER_COMMANDS)?)
        .map_values(|command| Input::Command(Box::new(command.clone())));
    let verdicts = builder
        .stream(&wire.on(&topics::ORDER_VALIDATIONS)?)
        .map_values(|verdict| Input::Validation(verdict.clone()));
    let goods = builder
        .stream(&wire.on(&topics::STOCK_RESULTS)?)
        .filter(|_, result| result.order_id.is_some())
        .map_values(|result| Input::Stock(result.clone()));
    let money = builder
        .stream(&wire.on(&topics::PAYMENT_EVENTS)?)
        .map_values(|event| Input::Payment(event.clone()));
    let parcels = builder
        .stream(&wire.on(&topics::FULFILLMENT_EVENTS)?)
        .map_values(|event| Input::Fulfillment(event.clone()));
    Ok(commands.merge(&verdicts).merge(&goods).merge(&money).merge(&parcels))
}

fn decide(
    settings: &FlowSettings,
    kept: Option<&Traced<OrderState>>,
    input: operators::Input<'_, Input>,
    ctx: &mut MachineContext<'_, Traced<OrderState>, Output>,
) {
    let input = match input {
        operators::Input::Message(input) => input.clone(),
        operators::Input::Timer(_) => Input::Timer,
    };
    let trace = trace_of(ctx.headers(), kept);
    let step = step(settings, kept.map(|kept| &kept.state), input, ctx.now());
    let mut durations = Durations::of(kept.map(|kept| &kept.state));
    for output in step.outputs {
        let mut headers = headers(trace.as_deref());
        let mut timestamp = ctx.now();
        if let Output::Event(event) = &output {
            timestamp = event.occurred_at.as_millis();
            durations
                .observe(event, |metric, label, value| ctx.observe(metric, Some(label), value));
            name_event(&mut headers, event);
        }
        ctx.emit(output).at(timestamp).headers(headers);
    }
    if let Some(state) = step.state {
        ctx.set(Traced { trace, state });
    }
    ctx.deadline(step.deadline);
}

/// What a reader may want to know before it decodes the value.
fn name_event(headers: &mut Headers, event: &OrderEvent) {
    headers.push("event-type", event.event_type.as_str().as_bytes());
    headers.push("event-id", event.event_id.as_bytes());
}
