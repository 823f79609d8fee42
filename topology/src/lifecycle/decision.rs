//! One decision in the making: the state being changed and what it emits.
//!
//! Invariant: a status changes only through [`Decision::enter`], which checks
//! the transition table; each event raises the version by one and is later
//! than the one before.

use schemas::messages::{
    Actor, ActorKind, CommandOutcome, FieldError, FulfillmentCommand, Order, OrderEvent,
    OrderEventType, OrderStatus, OutcomeKind, PaymentCommand, Reason, StockCommand,
};
use schemas::{Micros, OrderId, transitions};
use uuid::Uuid;

use super::requests;
use super::state::{OrderState, Request, RequestKind, request_id};
use crate::FlowSettings;

/// Namespace of event ids; random, fixed for ever.
const EVENT_IDS: Uuid = Uuid::from_u128(0x6b0f_8f0c_3d58_4a53_9a61_5d0a_0d1b_7f42);

/// What a step says to the outside, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// To the journal, the event's own topic, the user's events and `orders`.
    Event(Box<OrderEvent>),
    /// The answer to a command.
    Outcome(CommandOutcome),
    /// To the warehouse.
    Stock(StockCommand),
    /// To the payment worker.
    Payment(PaymentCommand),
    /// To the fulfilment worker.
    Fulfillment(FulfillmentCommand),
}

/// Who and what caused the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) actor: Actor,
    pub(super) command_id: Option<String>,
}

impl Cause {
    pub(super) fn system(application: &str) -> Self {
        Self::of(ActorKind::System, application)
    }

    pub(super) fn timer() -> Self {
        Self::of(ActorKind::Timer, "order-lifecycle")
    }

    pub(super) fn of(kind: ActorKind, id: &str) -> Self {
        Self { actor: Actor { kind, id: id.to_owned() }, command_id: None }
    }
}

/// The state being changed and what it emits.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) settings: &'a FlowSettings,
    pub(super) state: OrderState,
    /// The task's clock.
    pub(super) now_ms: i64,
    pub(super) cause: Cause,
    pub(super) outputs: Vec<Output>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(
        settings: &'a FlowSettings,
        state: OrderState,
        now_ms: i64,
        cause: Cause,
    ) -> Self {
        Self { settings, state, now_ms, cause, outputs: Vec::new() }
    }

    pub(super) fn status(&self) -> OrderStatus {
        self.state.order.status
    }

    /// When the next event happens: now, but later than the last one.
    pub(super) fn moment(&self) -> Micros {
        later_than(self.state.order.updated_at, self.now_ms)
    }

    /// Moves the order along the table and emits the event of it.
    pub(super) fn enter(
        &mut self,
        to: OrderStatus,
        event: OrderEventType,
        reason: Option<Reason>,
        fill: impl FnOnce(&mut OrderEvent),
    ) {
        let from = self.status();
        debug_assert!(transitions::is_allowed(from, to), "{from:?} → {to:?} is not in the table");
        self.state.order.status = to;
        self.state.status_due = None;
        self.emit(event, Some(from), reason, fill);
    }

    /// Emits an event that leaves the status as it is.
    pub(super) fn note(
        &mut self,
        event: OrderEventType,
        reason: Option<Reason>,
        fill: impl FnOnce(&mut OrderEvent),
    ) {
        let status = self.status();
        self.emit(event, Some(status), reason, fill);
    }

    fn emit(
        &mut self,
        event_type: OrderEventType,
        previous_status: Option<OrderStatus>,
        reason: Option<Reason>,
        fill: impl FnOnce(&mut OrderEvent),
    ) {
        let moment = self.moment();
        if previous_status != Some(self.status()) {
            self.state.status_since = Some(moment);
        }
        let order = &mut self.state.order;
        order.version += 1;
        order.updated_at = moment;
        let mut event = event_of(order, event_type, &self.cause);
        event.previous_status = previous_status;
        event.reason = reason;
        fill(&mut event);
        self.outputs.push(Output::Event(Box::new(event)));
    }

    /// Asks a participant something new: next attempt of its kind.
    pub(super) fn ask(&mut self, kind: RequestKind) {
        self.ask_until(kind, None);
    }

    /// As [`Self::ask`], with the expiry of a hold.
    pub(super) fn ask_until(&mut self, kind: RequestKind, expires_at: Option<Micros>) {
        let due = self.now_ms;
        self.ask_at(kind, expires_at, due);
        self.send_due();
    }

    /// Puts a new request down for later; the timer sends it.
    pub(super) fn ask_at(&mut self, kind: RequestKind, expires_at: Option<Micros>, due: i64) {
        let attempt = self.state.next_attempt(kind);
        let id = request_id(&self.state.order, kind, attempt);
        self.state.settle(kind);
        self.state.requests.push(Request { id, kind, attempt, sends: 0, due, expires_at });
    }

    /// Sends what is due, again or for the first time, same id each time.
    pub(super) fn send_due(&mut self) {
        let (settings, now) = (self.settings, self.now_ms);
        for request in self.state.requests.iter_mut().filter(|request| request.due <= now) {
            request.sends += 1;
            request.due = now + settings.backoff_ms(settings.resend_after_ms, request.sends);
            self.outputs.push(requests::command(&self.state.order, request));
        }
    }

    /// Answers the command and remembers the answer.
    pub(super) fn answer(&mut self, kind: OutcomeKind, detail: Option<String>) {
        let Some(command_id) = self.cause.command_id.clone() else { return };
        let outcome = outcome(&self.state.order, command_id, kind, detail);
        self.state.remember(outcome.clone());
        self.outputs.push(Output::Outcome(outcome));
    }

    /// Answers that the table forbids it.
    pub(super) fn refuse(&mut self, detail: &str) {
        self.answer(OutcomeKind::NotAllowed, Some(detail.to_owned()));
    }
}

/// `now`, or one microsecond after `last` if that is later.
fn later_than(last: Micros, now_ms: i64) -> Micros {
    Micros::from_millis(now_ms).max(Micros(last.0 + 1))
}

/// The event's id: the same however often it is derived.
#[must_use]
pub fn event_id(order: OrderId, version: i64) -> Uuid {
    Uuid::new_v5(&EVENT_IDS, format!("{order}:{version}").as_bytes())
}

/// The answer to a command about an order.
pub(super) fn outcome(
    order: &Order,
    command_id: String,
    kind: OutcomeKind,
    detail: Option<String>,
) -> CommandOutcome {
    CommandOutcome {
        command_id,
        order_id: order.order_id,
        kind,
        version: order.version,
        status: Some(order.status),
        allowed: transitions::allowed_from(order.status).to_vec(),
        detail,
    }
}

/// The event of the order as it now is.
pub(super) fn event_of(order: &Order, event_type: OrderEventType, cause: &Cause) -> OrderEvent {
    OrderEvent {
        event_id: event_id(order.order_id, order.version).to_string(),
        event_type,
        order_id: order.order_id,
        user_id: order.user_id,
        status: order.status,
        previous_status: None,
        version: order.version,
        total_amount: order.total(),
        items: order.items.clone(),
        timestamp: order.created_at,
        occurred_at: order.updated_at,
        actor: cause.actor.clone(),
        command_id: cause.command_id.clone(),
        reason: None,
        order: order.clone(),
        idempotency_key_hash: None,
        payment_attempt: None,
        payment: None,
        shipment: None,
        delivered_at: None,
        failure_reason: None,
        errors: Vec::new(),
        changed: Vec::new(),
        refund: None,
        holds: Vec::new(),
        checks: Vec::new(),
        lines: Vec::new(),
        cancel: None,
        before: None,
    }
}

/// A field error of the lifecycle's own.
pub(super) fn field_error(field: String, code: &str, message: String) -> FieldError {
    FieldError { field, code: code.to_owned(), message }
}
