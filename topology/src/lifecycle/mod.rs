//! `order-lifecycle`: the single writer of every order.
//!
//! [`step`] is the whole of it: a pure function from what is known of an order
//! and one input to what is known then and what is said to the outside. It
//! reads no clock and does no I/O; [`flow`] wires it to topics.
//!
//! Invariants: a status changes only along `schemas::transitions`; every
//! status that isn't an end, and every request without an answer, has a
//! deadline; results that come late, twice or out of order change nothing,
//! except that money and goods which arrive for an order that is over go back.

mod admin;
mod amend;
mod cancel;
mod checks;
mod decision;
mod durations;
pub mod flow;
mod goods;
mod lines;
mod money;
mod parcels;
mod place;
mod requests;
mod size;
mod state;
mod timing;

use schemas::messages::{
    ActorKind, CommandKind, CommandOutcome, OrderCommand, OrderStatus, OutcomeKind,
};

use crate::FlowSettings;
use decision::{Cause, Decision};

pub use decision::{Output, event_id};
pub use state::{Checks, Hold, Input, Money, OrderState, Request, RequestKind, Verdict};

/// What one input leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The new state; none = as it was.
    pub state: Option<OrderState>,
    /// What is said to the outside, in order.
    pub outputs: Vec<Output>,
    /// When [`Input::Timer`] is due, in ms of the task's clock; none = never.
    pub deadline: Option<i64>,
}

/// Decides what `input` does to an order at `now_ms` (the task's clock).
#[must_use]
pub fn step(
    settings: &FlowSettings,
    state: Option<&OrderState>,
    input: Input,
    now_ms: i64,
) -> Step {
    let Some(before) = state else {
        return match input {
            Input::Command(command) => unknown_order(settings, *command, now_ms),
            // Answers about an order that nobody placed.
            _ => Step { state: None, outputs: Vec::new(), deadline: None },
        };
    };
    let mut decision = Decision::new(settings, before.clone(), now_ms, cause_of(&input));
    match input {
        Input::Command(command) => on_command(&mut decision, *command),
        Input::Validation(verdict) => checks::on_validation(&mut decision, verdict),
        Input::Stock(result) => goods::on_result(&mut decision, &result),
        Input::Payment(event) => money::on_event(&mut decision, &event),
        Input::Fulfillment(event) => parcels::on_event(&mut decision, event),
        Input::Timer => timing::on_timer(&mut decision),
    }
    let deadline = decision.state.deadline();
    let changed = decision.state != *before;
    Step { state: changed.then_some(decision.state), outputs: decision.outputs, deadline }
}

fn cause_of(input: &Input) -> Cause {
    match input {
        Input::Command(command) => {
            Cause { actor: command.actor.clone(), command_id: Some(command.command_id.clone()) }
        }
        Input::Validation(_) => Cause::system("order-validator"),
        Input::Stock(_) => Cause::system("inventory-worker"),
        Input::Payment(_) => Cause::system("payment-worker"),
        Input::Fulfillment(_) => Cause::system("fulfillment-worker"),
        Input::Timer => Cause::timer(),
    }
}

fn unknown_order(settings: &FlowSettings, command: OrderCommand, now_ms: i64) -> Step {
    match command.kind {
        CommandKind::Place => place::place(settings, command, now_ms),
        _ => answered(nothing_here(&command, OutcomeKind::NotFound, None)),
    }
}

/// A step that only answers.
fn answered(outcome: CommandOutcome) -> Step {
    Step { state: None, outputs: vec![Output::Outcome(outcome)], deadline: None }
}

/// An answer that tells nothing of an order.
fn nothing_here(
    command: &OrderCommand,
    kind: OutcomeKind,
    detail: Option<String>,
) -> CommandOutcome {
    CommandOutcome {
        command_id: command.command_id.clone(),
        order_id: command.order_id,
        kind,
        version: 0,
        status: None,
        allowed: Vec::new(),
        detail,
    }
}

fn on_command(decision: &mut Decision<'_>, command: OrderCommand) {
    if let Some(answer) = decision.state.answer_to(&command.command_id) {
        let again = answer.clone();
        decision.outputs.push(Output::Outcome(again));
        return;
    }
    if command.kind == CommandKind::Place {
        return place::place_again(decision, &command);
    }
    if !sees(&decision.state, &command) {
        let outcome = nothing_here(&command, OutcomeKind::NotFound, None);
        return decision.outputs.push(Output::Outcome(outcome));
    }
    let already_off =
        command.kind == CommandKind::Cancel && decision.status() == OrderStatus::Cancelled;
    let version = decision.state.order.version;
    if command.expected_version.is_some_and(|expected| expected != version) && !already_off {
        return decision.answer(
            OutcomeKind::VersionMismatch,
            Some(format!("the order is at version {version}")),
        );
    }
    match (command.kind, command.cancel, command.amend, command.set_status) {
        (CommandKind::Cancel, Some(body), _, _) => cancel::on_command(decision, body),
        (CommandKind::Amend, _, Some(body), _) => amend::on_command(decision, body),
        (CommandKind::SetStatus, _, _, Some(body)) => admin::on_command(decision, body),
        _ => decision.answer(OutcomeKind::Invalid, Some("the command has no body".to_owned())),
    }
}

/// True if the caller may know that this order exists.
fn sees(state: &OrderState, command: &OrderCommand) -> bool {
    command.actor.kind != ActorKind::Customer || command.user_id == state.order.user_id
}

#[cfg(test)]
mod tests;
