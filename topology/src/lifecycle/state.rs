//! What the lifecycle remembers of one order.
//!
//! Invariant: everything a decision needs is in here; the topics are never
//! read back. The record stays for ever, because an order id derived from an
//! idempotency key must never be born twice.

use serde::{Deserialize, Serialize};

use schemas::Micros;
use schemas::messages::{
    CancelOrder, CommandOutcome, FailureReason, FieldError, FulfillmentEvent, Order, OrderCommand,
    OrderValidation, PaymentEvent, StockResult,
};

/// How many answers to commands are kept for redelivered ones.
const ANSWERS_KEPT: usize = 16;

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A caller asks.
    Command(Box<OrderCommand>),
    /// A check answered.
    Validation(OrderValidation),
    /// The warehouse answered.
    Stock(StockResult),
    /// The payment worker answered.
    Payment(PaymentEvent),
    /// The fulfilment worker or the carrier reported.
    Fulfillment(FulfillmentEvent),
    /// The time a former [`Step`](super::Step) named has come.
    Timer,
}

/// One order, as its single writer knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderState {
    /// What everybody sees.
    pub order: Order,
    /// The command that placed it.
    pub placed_by: String,
    /// Fingerprint of that command's body.
    pub fingerprint: Option<String>,
    /// Verdicts so far.
    pub checks: Checks,
    /// Where the goods are.
    pub hold: Hold,
    /// Where the money is.
    pub money: Money,
    /// Requests without a final answer; each is sent again when due.
    pub requests: Vec<Request>,
    /// Highest attempt used per kind of request.
    pub attempts: Vec<(RequestKind, i32)>,
    /// When the present status began; none in rows from before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_since: Option<Micros>,
    /// When the present status ends by itself, in ms.
    pub status_due: Option<i64>,
    /// When the money was captured.
    pub paid_at: Option<Micros>,
    /// How often a refund was refused.
    pub refunds_refused: i32,
    /// On which terms it was called off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<CancelOrder>,
    /// Answers to the latest commands.
    pub answers: Vec<CommandOutcome>,
}

/// Verdicts on one version of a pending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// The order's version the validator was asked about.
    pub version: i64,
    /// Products and prices.
    pub pricing: Option<Verdict>,
    /// The customer's session total.
    pub fraud: Option<Verdict>,
    /// The hold.
    pub stock: Option<Verdict>,
}

/// What one check said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Nothing was wrong.
    pub passed: bool,
    /// What was wrong, most important first.
    pub failures: Vec<FailureReason>,
    /// Everything that was wrong.
    pub errors: Vec<FieldError>,
}

/// Where an order's goods are, as far as its writer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Asked for.
    Asked,
    /// Held until the hold's own expiry.
    Held,
    /// Held until committed or released.
    Kept,
    /// Nothing is held: refused, run out, released.
    Gone,
    /// Off the books: the goods left.
    Committed,
}

/// Where an order's money is, as far as its writer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Money {
    /// Nothing was asked.
    Untouched,
    /// Authorisation asked for.
    Authorizing,
    /// Reserved.
    Authorized,
    /// Capture asked for.
    Capturing,
    /// Ours.
    Captured,
    /// Void asked for.
    Voiding,
    /// Refund asked for.
    Refunding,
    /// Went back.
    Refunded,
    /// Declined, voided or expired: there is no authorisation.
    Gone,
}

/// What participants are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Warehouse: hold all lines.
    Hold,
    /// Warehouse: the hold no longer expires.
    Extend,
    /// Warehouse: the goods left.
    Commit,
    /// Warehouse: give the hold back.
    Release,
    /// Payment: reserve the total.
    Authorize,
    /// Payment: take it.
    Capture,
    /// Payment: give the authorisation back.
    Void,
    /// Payment: send the money back.
    Refund,
    /// Fulfilment: pick and pack.
    Fulfill,
    /// Fulfilment: hand over to the carrier. Stands until delivered.
    Ship,
    /// Fulfilment: nothing must leave any more.
    Stop,
}

impl RequestKind {
    /// The middle part of the request's id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Extend => "extend",
            Self::Commit => "commit",
            Self::Release => "release",
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Fulfill => "fulfill",
            Self::Ship => "ship",
            Self::Stop => "stop",
        }
    }
}

/// A request without a final answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `<order>:<kind>:<attempt>`: the participant's idempotency key.
    pub id: String,
    /// What was asked.
    pub kind: RequestKind,
    /// First attempt is 1.
    pub attempt: i32,
    /// How often it was sent.
    pub sends: u32,
    /// When it is sent again, in ms.
    pub due: i64,
    /// For holds: when the hold runs out by itself.
    pub expires_at: Option<Micros>,
}

/// A request's id: the same however often it is sent.
pub(super) fn request_id(order: &Order, kind: RequestKind, attempt: i32) -> String {
    format!("{}:{}:{attempt}", order.order_id, kind.as_str())
}

impl OrderState {
    /// The request of a kind, if one stands.
    #[must_use]
    pub fn request(&self, kind: RequestKind) -> Option<&Request> {
        self.requests.iter().find(|request| request.kind == kind)
    }

    /// True if `id` is the standing request of `kind`.
    #[must_use]
    pub fn awaits(&self, kind: RequestKind, id: &str) -> bool {
        self.request(kind).is_some_and(|request| request.id == id)
    }

    /// Forgets the request of a kind.
    pub fn settle(&mut self, kind: RequestKind) {
        self.requests.retain(|request| request.kind != kind);
    }

    /// When this order has to be looked at again, in ms; none only if nothing
    /// stands and the status is an end.
    #[must_use]
    pub fn deadline(&self) -> Option<i64> {
        self.requests.iter().map(|request| request.due).chain(self.status_due).min()
    }

    /// False if it was called off and its goods are to be written off.
    #[must_use]
    pub fn restocks(&self) -> bool {
        self.cancelled.as_ref().and_then(|terms| terms.restock).unwrap_or(true)
    }

    /// False if it was called off and captured money is to be kept.
    #[must_use]
    pub fn refunds(&self) -> bool {
        self.cancelled.as_ref().and_then(|terms| terms.refund).unwrap_or(true)
    }

    /// The request for the goods that was made last.
    #[must_use]
    pub fn hold_id(&self) -> Option<String> {
        let (_, attempt) = self.attempts.iter().find(|(kind, _)| *kind == RequestKind::Hold)?;
        Some(request_id(&self.order, RequestKind::Hold, *attempt))
    }

    /// The answer this command already got.
    #[must_use]
    pub fn answer_to(&self, command_id: &str) -> Option<&CommandOutcome> {
        self.answers.iter().find(|answer| answer.command_id == command_id)
    }

    /// Keeps an answer for a redelivered command.
    pub fn remember(&mut self, outcome: CommandOutcome) {
        if self.answers.len() == ANSWERS_KEPT {
            self.answers.remove(0);
        }
        self.answers.push(outcome);
    }

    /// The next attempt number of a kind of request, from 1.
    pub fn next_attempt(&mut self, kind: RequestKind) -> i32 {
        if let Some(entry) = self.attempts.iter_mut().find(|(used, _)| *used == kind) {
            entry.1 += 1;
            return entry.1;
        }
        self.attempts.push((kind, 1));
        1
    }
}

impl Checks {
    /// Nothing answered yet about this version.
    #[must_use]
    pub fn asked(version: i64) -> Self {
        Self { version, ..Self::default() }
    }

    /// All verdicts, if all are there.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.pricing.is_some() && self.fraud.is_some() && self.stock.is_some()
    }

    /// The verdicts there are.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.by_name().into_iter().filter_map(|(_, verdict)| verdict)
    }

    /// Each check's name and its verdict, if it is there.
    #[must_use]
    pub fn by_name(&self) -> [(&'static str, Option<&Verdict>); 3] {
        let (pricing, fraud, stock) = (&self.pricing, &self.fraud, &self.stock);
        [("pricing", pricing.as_ref()), ("fraud", fraud.as_ref()), ("stock", stock.as_ref())]
    }
}
