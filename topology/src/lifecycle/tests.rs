//! One order and a desk where everybody's answers can be handed in.

mod after;
mod checks;
mod commands;
mod details;
mod money;
mod schedules;
mod terms;

use schemas::messages::{
    Actor, ActorKind, AmendOrder, CancelOrder, Check, CommandOutcome, FailureReason, FieldError,
    FulfillmentCommandKind, FulfillmentEvent, FulfillmentEventKind, OrderEvent, OrderEventType,
    OrderValidation, PaymentCommandKind, PaymentEvent, PaymentEventKind, PaymentStatus, SetStatus,
    StockCommandKind, StockResult, StockResultKind,
};
use schemas::{Currency, Micros, Sku, transitions};

use super::*;
use crate::samples;

use FailureReason as Why;
use FulfillmentEventKind as Parcel;
use OrderStatus as Is;
use PaymentEventKind as Paid;
use StockResultKind as Goods;

/// An order, its clock and all it said.
struct Desk {
    settings: FlowSettings,
    state: Option<OrderState>,
    now: i64,
    deadline: Option<i64>,
    said: Vec<Output>,
    next_command: u32,
}

impl Desk {
    fn new() -> Self {
        Self::with(FlowSettings { cancel_grace_ms: 1_000, ..FlowSettings::default() })
    }

    fn with(settings: FlowSettings) -> Self {
        let said = Vec::new();
        Self { settings, state: None, now: 10_000, deadline: None, said, next_command: 0 }
    }

    /// A desk with a placed order.
    fn placed() -> Self {
        let mut desk = Self::new();
        desk.place();
        desk
    }

    /// A desk with an order that came along the happy path to `status`.
    fn at(status: OrderStatus) -> Self {
        let mut desk = Self::new();
        if status == Is::Validated {
            desk.settings.payment_delay_ms = 500;
        }
        desk.place();
        for (upto, act) in HAPPY_PATH {
            if desk.status() == status {
                break;
            }
            let _ = upto;
            act(&mut desk);
        }
        assert_eq!(desk.status(), status);
        desk
    }

    fn input(&mut self, input: Input) -> Vec<Output> {
        let step = step(&self.settings, self.state.as_ref(), input, self.now);
        if let Some(state) = step.state {
            self.state = Some(state);
        }
        self.deadline = step.deadline;
        self.said.extend(step.outputs.clone());
        step.outputs
    }

    fn command(&mut self, command: OrderCommand) -> CommandOutcome {
        let outputs = self.input(Input::Command(Box::new(command)));
        let mut outcomes = outputs.into_iter().filter_map(|output| match output {
            Output::Outcome(outcome) => Some(outcome),
            _ => None,
        });
        let outcome = outcomes.next().expect("every command is answered");
        assert_eq!(outcomes.next(), None, "once");
        outcome
    }

    fn place(&mut self) -> CommandOutcome {
        let lines = [("a", 2, 2_999)];
        self.command(samples::place(
            "place",
            samples::order_id(1),
            samples::user_id(1),
            &lines,
            None,
        ))
    }

    fn next(&mut self, kind: CommandKind) -> OrderCommand {
        self.next_command += 1;
        let id = format!("c{}", self.next_command);
        samples::command(&id, samples::order_id(1), samples::user_id(1), kind)
    }

    fn cancel_as(&mut self, kind: ActorKind) -> CommandOutcome {
        self.cancel_on(kind, CancelOrder::default())
    }

    /// Cancels for the usual reason, on these terms.
    fn cancel_on(&mut self, kind: ActorKind, terms: CancelOrder) -> CommandOutcome {
        let mut command = self.next(CommandKind::Cancel);
        command.actor = Actor { kind, id: "somebody".to_owned() };
        command.cancel = Some(CancelOrder { reason: "customer".to_owned(), ..terms });
        self.command(command)
    }

    fn cancel(&mut self) -> CommandOutcome {
        self.cancel_as(ActorKind::Admin)
    }

    fn amend(&mut self, body: AmendOrder) -> CommandOutcome {
        let mut command = self.next(CommandKind::Amend);
        command.amend = Some(body);
        self.command(command)
    }

    fn set_status(&mut self, status: OrderStatus, tracking: Option<&str>) -> CommandOutcome {
        let mut command = self.next(CommandKind::SetStatus);
        command.actor = Actor { kind: ActorKind::Admin, id: "admin".to_owned() };
        command.set_status = Some(SetStatus {
            status,
            reason: None,
            tracking_number: tracking.map(str::to_owned),
            carrier: None,
        });
        self.command(command)
    }

    fn verdict(&mut self, check: Check, failures: &[FailureReason]) {
        let version = self.state().checks.version;
        self.verdict_on(version, check, failures);
    }

    fn verdict_on(&mut self, version: i64, check: Check, failures: &[FailureReason]) {
        let error = |failure: &FailureReason| FieldError {
            field: "items[0].price".to_owned(),
            code: super::checks::failure_code(*failure).to_owned(),
            message: "wrong".to_owned(),
        };
        self.input(Input::Validation(OrderValidation {
            order_id: samples::order_id(1),
            version,
            check,
            passed: failures.is_empty(),
            failures: failures.to_vec(),
            errors: failures.iter().map(error).collect(),
        }));
    }

    /// The warehouse answers the latest command that `kind` can answer.
    fn goods(&mut self, kind: StockResultKind) -> StockResult {
        let asked = match kind {
            Goods::Held | Goods::Refused | Goods::HoldExpired => StockCommandKind::Hold,
            Goods::Extended | Goods::NoHold => StockCommandKind::Extend,
            Goods::Committed => StockCommandKind::Commit,
            _ => StockCommandKind::Release,
        };
        let request_id = self.last(|output| match output {
            Output::Stock(command) if command.kind == asked => Some(command.request_id.clone()),
            _ => None,
        });
        let short = schemas::messages::StockLine { product_id: Sku::new("a"), quantity: 1 };
        let result = StockResult {
            request_id,
            warehouse: "main".to_owned(),
            kind,
            order_id: Some(samples::order_id(1)),
            short: if kind == Goods::Refused { vec![short] } else { Vec::new() },
        };
        self.input(Input::Stock(result.clone()));
        result
    }

    fn pay(&mut self, kind: PaymentEventKind) -> PaymentEvent {
        let asked = match kind {
            Paid::Captured => PaymentCommandKind::Capture,
            Paid::Voided => PaymentCommandKind::Void,
            Paid::Refunded | Paid::RefundFailed => PaymentCommandKind::Refund,
            _ => PaymentCommandKind::Authorize,
        };
        let request_id = self.last(|output| match output {
            Output::Payment(command) if command.kind == asked => Some(command.request_id.clone()),
            _ => None,
        });
        let event = PaymentEvent {
            request_id,
            order_id: samples::order_id(1),
            kind,
            amount: schemas::Money { minor: 5_998, currency: Currency::USD },
            attempt: 1,
            occurred_at: Micros(0),
            detail: None,
        };
        self.input(Input::Payment(event.clone()));
        event
    }

    fn parcel(&mut self, kind: FulfillmentEventKind) {
        let asked = match kind {
            Parcel::Packed => FulfillmentCommandKind::Fulfill,
            Parcel::Stopped => FulfillmentCommandKind::Cancel,
            _ => FulfillmentCommandKind::Ship,
        };
        let request_id = self.last(|output| match output {
            Output::Fulfillment(command) if command.kind == asked => {
                Some(command.request_id.clone())
            }
            _ => None,
        });
        self.input(Input::Fulfillment(FulfillmentEvent {
            request_id,
            order_id: samples::order_id(1),
            kind,
            carrier: Some("simulated".to_owned()),
            tracking_number: Some("SIM1".to_owned()),
            occurred_at: Micros(0),
        }));
    }

    fn last<T>(&self, pick: impl Fn(&Output) -> Option<T>) -> T {
        self.said.iter().rev().find_map(pick).expect("it was asked before")
    }

    /// Moves the clock to the order's deadline.
    fn wait(&mut self) -> Vec<Output> {
        self.now = self.now.max(self.deadline.expect("a deadline"));
        self.input(Input::Timer)
    }

    fn state(&self) -> &OrderState {
        self.state.as_ref().expect("placed")
    }

    fn status(&self) -> OrderStatus {
        self.state().order.status
    }

    fn events(&self) -> Vec<&OrderEvent> {
        let events = self.said.iter().filter_map(|output| match output {
            Output::Event(event) => Some(&**event),
            _ => None,
        });
        events.collect()
    }

    fn event_types(&self) -> Vec<OrderEventType> {
        self.events().iter().map(|event| event.event_type).collect()
    }

    fn asked(&self, kind: RequestKind) -> usize {
        let same = |output: &&Output| match output {
            Output::Stock(c) => c.request_id.contains(&format!(":{}:", kind.as_str())),
            Output::Payment(c) => c.request_id.contains(&format!(":{}:", kind.as_str())),
            Output::Fulfillment(c) => c.request_id.contains(&format!(":{}:", kind.as_str())),
            _ => false,
        };
        self.said.iter().filter(same).count()
    }
}

type Act = fn(&mut Desk);

/// What happens, in order, when all goes well.
const HAPPY_PATH: [(&str, Act); 10] = [
    ("pricing", |d| d.verdict(Check::Pricing, &[])),
    ("fraud", |d| d.verdict(Check::Fraud, &[])),
    ("held", |d| drop(d.goods(Goods::Held))),
    ("authorized", |d| drop(d.pay(Paid::Authorized))),
    ("extended", |d| drop(d.goods(Goods::Extended))),
    ("captured", |d| drop(d.pay(Paid::Captured))),
    ("packed", |d| d.parcel(Parcel::Packed)),
    ("shipped", |d| d.parcel(Parcel::Shipped)),
    ("committed", |d| drop(d.goods(Goods::Committed))),
    ("delivered", |d| d.parcel(Parcel::Delivered)),
];

#[test]
fn the_happy_path_emits_the_seven_events_once_each() {
    let desk = Desk::at(Is::Delivered);
    let expected: Vec<_> = OrderEventType::ALL.into_iter().take(7).collect();
    assert_eq!(desk.event_types(), expected);
    let events = desk.events();
    for (event, version) in events.iter().zip(1..) {
        assert_eq!((event.version, event.order.version), (version, version));
        assert_eq!(event.event_id, event_id(event.order_id, version).to_string());
        assert_eq!(event.timestamp, event.order.created_at);
        assert_eq!(event.occurred_at, event.order.updated_at);
    }
    for pair in events.windows(2) {
        assert!(pair[0].occurred_at < pair[1].occurred_at);
        assert_eq!(pair[1].previous_status, Some(pair[0].status));
        assert!(transitions::is_allowed(pair[0].status, pair[1].status));
    }
    assert_eq!(desk.deadline, None, "nothing is left to do");
    let order = &desk.state().order;
    assert_eq!(order.payment_status, PaymentStatus::Paid);
    assert_eq!((order.payments.len(), order.shipments.len()), (1, 1));
    assert_eq!(desk.state().hold, Hold::Committed);
}

#[test]
fn every_answer_may_come_twice() {
    let mut twice = Desk::placed();
    for (name, act) in HAPPY_PATH {
        act(&mut twice);
        let before = (twice.state().clone(), twice.said.len());
        if name != "pricing" && name != "fraud" {
            act(&mut twice);
        }
        assert_eq!((twice.state().clone(), twice.said.len()), before, "{name}");
    }
    assert_eq!(twice.status(), Is::Delivered);
}

#[test]
fn no_status_that_is_not_an_end_is_without_a_deadline() {
    for status in OrderStatus::ALL {
        if !matches!(status, Is::Cancelled | Is::Failed | Is::Delivered) {
            assert!(Desk::at(status).deadline.is_some(), "{status:?}");
        }
    }
}

#[test]
fn the_capture_waits_for_the_hold_to_be_kept() {
    let mut desk = Desk::at(Is::Processing);
    desk.pay(Paid::Authorized);
    assert_eq!(desk.asked(RequestKind::Capture), 0);
    desk.goods(Goods::Extended);
    assert_eq!(desk.asked(RequestKind::Capture), 1);
}
