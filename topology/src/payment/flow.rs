//! The payment worker's flow: commands and callbacks move one state machine
//! per order.

use operators::{Input as At, MachineContext, StreamsBuilder, Topology};
use schemas::messages::{LedgerEntry, PaymentEvent};
use schemas::topics;

use super::account::{Account, Input, step};
use crate::traced::{Traced, headers, trace_of};
use crate::wire::{self, Wire};
use crate::{FlowError, FlowSettings};

/// What the machine says.
enum Said {
    Event(PaymentEvent),
    Entry(LedgerEntry),
}

/// `payment-worker`.
///
/// # Errors
/// A schema id is missing.
pub fn topology(settings: &FlowSettings, wire: &Wire) -> Result<Topology, FlowError> {
    let builder = StreamsBuilder::new("payment-worker");
    let callbacks = builder
        .stream(&wire.on(&topics::PAYMENT_CALLBACKS)?)
        .map_values(|callback| Input::Callback(callback.clone()));
    let step_ms = settings.simulation_step_ms;
    let said = builder
        .stream(&wire.on(&topics::PAYMENT_COMMANDS)?)
        .map_values(|command| Input::Command(command.clone()))
        .merge(&callbacks)
        .state_machine("accounts", wire::state("account", 1), move |_, kept, input, ctx| {
            run(kept, input, step_ms, ctx);
        });
    said.flat_map_values(|said, emit| {
        if let Said::Event(event) = said {
            emit(event);
        }
    })
    .to(&wire.on(&topics::PAYMENT_EVENTS)?);
    said.flat_map_values(|said, emit| {
        if let Said::Entry(entry) = said {
            emit(entry);
        }
    })
    .to(&wire.on(&topics::LEDGER)?);
    Ok(builder.build()?)
}

fn run(
    kept: Option<&Traced<Account>>,
    input: At<'_, Input>,
    step_ms: i64,
    ctx: &mut MachineContext<'_, Traced<Account>, Said>,
) {
    let input = match input {
        At::Message(input) => input.clone(),
        At::Timer(_) => Input::Timer,
    };
    let trace = trace_of(ctx.headers(), kept);
    let step = step(kept.map(|kept| &kept.state), input, ctx.now(), step_ms);
    let events = step.events.into_iter().map(Said::Event);
    for said in events.chain(step.entries.into_iter().map(Said::Entry)) {
        ctx.emit(said).headers(headers(trace.as_deref()));
    }
    if let Some(state) = step.account {
        ctx.set(Traced { trace, state });
    }
    ctx.deadline(step.deadline);
}
