//! One order's payments: what was asked, what the provider is working on and
//! what it answered. Pure: time is an argument.
//!
//! Invariants: a request id is carried out once, its answer repeated as often
//! as it is asked; money moves only in the direction the present stage allows,
//! so an answer that comes twice or too late moves none.

use schemas::messages::{
    LedgerEntry, PaymentCallback, PaymentCommand, PaymentCommandKind, PaymentEvent,
    PaymentEventKind,
};
use schemas::{Micros, Money, OrderId};
use serde::{Deserialize, Serialize};

use super::ledger;
use super::provider::{Token, callback_kind};

/// Where the authorisation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The provider was asked.
    Asked,
    /// The amount is reserved.
    Open,
    /// The amount is ours.
    Captured,
    /// Given back, or called off before the provider answered.
    Voided,
    /// Ran out.
    Expired,
    /// Refused.
    Declined,
}

/// A call the provider has not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    request_id: String,
    kind: PaymentCommandKind,
    amount: Money,
    attempt: i32,
    /// When the simulator answers, ms; none = only a callback can.
    due: Option<i64>,
}

/// One order's payments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    order_id: OrderId,
    token: Option<String>,
    stage: Stage,
    authorize_id: String,
    amount: Money,
    attempt: i32,
    refunded_minor: i64,
    refunds_refused: u32,
    expires_at: Option<i64>,
    calls: Vec<Call>,
    answers: Vec<PaymentEvent>,
}

/// What can happen to an order's payments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The lifecycle asks.
    Command(PaymentCommand),
    /// A provider answers.
    Callback(PaymentCallback),
    /// The time a former step named has come.
    Timer,
}

/// What one input leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The new state; none = as it was.
    pub account: Option<Account>,
    /// Answers, in order.
    pub events: Vec<PaymentEvent>,
    /// Money that moved.
    pub entries: Vec<LedgerEntry>,
    /// When [`Input::Timer`] is due, ms.
    pub deadline: Option<i64>,
}

/// Carries out `input` at `now_ms`; `step_ms` is the simulator's usual time.
#[must_use]
pub fn step(account: Option<&Account>, input: Input, now_ms: i64, step_ms: i64) -> Step {
    let known = account.cloned().or_else(|| match &input {
        Input::Command(command) => Some(Account::new(command)),
        _ => None,
    });
    // A callback about an order that never asked.
    let Some(mut new) = known else { return Step::default() };
    let mut said = Vec::new();
    match input {
        Input::Command(command) => new.command(command, now_ms, step_ms, &mut said),
        Input::Callback(callback) => new.callback(&callback, now_ms, &mut said),
        Input::Timer => new.timer(now_ms, &mut said),
    }
    let mut step = Step { deadline: new.deadline(), ..Step::default() };
    for (event, moved) in said {
        if moved {
            step.entries.extend(ledger::entry(&event));
        }
        step.events.push(event);
    }
    step.account = (account != Some(&new)).then_some(new);
    step
}

/// An answer, and whether money moved with it.
type Said = Vec<(PaymentEvent, bool)>;

impl Account {
    fn new(command: &PaymentCommand) -> Self {
        Self {
            order_id: command.order_id,
            token: None,
            stage: Stage::Declined,
            authorize_id: String::new(),
            amount: Money { minor: 0, currency: command.amount.currency },
            attempt: 0,
            refunded_minor: 0,
            refunds_refused: 0,
            expires_at: None,
            calls: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn deadline(&self) -> Option<i64> {
        let expiry = self.expires_at.filter(|_| self.stage == Stage::Open);
        self.calls.iter().filter_map(|call| call.due).chain(expiry).min()
    }

    fn token(&self) -> Token {
        Token::parse(self.token.as_deref())
    }

    fn command(&mut self, command: PaymentCommand, now: i64, step_ms: i64, said: &mut Said) {
        if let Some(answer) = self.answers.iter().find(|a| a.request_id == command.request_id) {
            return said.push((answer.clone(), false));
        }
        if self.calls.iter().any(|call| call.request_id == command.request_id) {
            return;
        }
        match (command.kind, self.stage) {
            (PaymentCommandKind::Authorize, Stage::Voided | Stage::Expired | Stage::Declined) => {
                self.token = command.payment_token;
                self.stage = Stage::Asked;
                self.authorize_id.clone_from(&command.request_id);
                self.amount = command.amount;
                self.attempt = command.attempt;
            }
            // Nothing is reserved yet: the authorisation is called off.
            (PaymentCommandKind::Void, Stage::Asked) => {
                self.calls.retain(|call| call.kind != PaymentCommandKind::Authorize);
                self.stage = Stage::Voided;
            }
            _ => {}
        }
        let delay = self.token().latency_ms(command.kind, step_ms);
        let call = Call {
            request_id: command.request_id,
            kind: command.kind,
            amount: command.amount,
            attempt: command.attempt,
            due: delay.map(|delay| now + delay),
        };
        if delay == Some(0) {
            self.answer(call, now, said);
        } else {
            self.calls.push(call);
        }
    }

    /// The simulator's answer to a call.
    fn answer(&mut self, call: Call, now: i64, said: &mut Said) {
        let kind = match call.kind {
            PaymentCommandKind::Authorize => self.token().authorize(),
            PaymentCommandKind::Capture => PaymentEventKind::Captured,
            PaymentCommandKind::Void => PaymentEventKind::Voided,
            PaymentCommandKind::Refund => self.token().refund(self.refunds_refused),
        };
        self.settle(call, kind, now, said);
    }

    fn callback(&mut self, callback: &PaymentCallback, now: i64, said: &mut Said) {
        let Some(kind) = callback_kind(&callback.result) else { return };
        let id = callback.request_id.as_str();
        let answered = |call: &Call| call.request_id == id && can_answer(kind, call.kind);
        if let Some(index) = self.calls.iter().position(answered) {
            let call = self.calls.remove(index);
            return self.settle(call, kind, now, said);
        }
        if id != self.authorize_id {
            return;
        }
        match (kind, self.stage) {
            (PaymentEventKind::Expired, Stage::Open) => self.expire(now, said),
            // It was called off unanswered and succeeded after all: whoever
            // called it off hears of it and voids it.
            (PaymentEventKind::Authorized, Stage::Voided) if self.unanswered(id) => {
                self.stage = Stage::Open;
                self.say(id.to_owned(), kind, self.amount, self.attempt, now, true, said);
            }
            _ => {}
        }
    }

    fn unanswered(&self, id: &str) -> bool {
        !self.answers.iter().any(|answer| answer.request_id == id)
    }

    fn timer(&mut self, now: i64, said: &mut Said) {
        while let Some(index) = self.next_due(now) {
            let call = self.calls.remove(index);
            self.answer(call, now, said);
        }
        if self.stage == Stage::Open && self.expires_at.is_some_and(|at| at <= now) {
            self.expire(now, said);
        }
    }

    fn next_due(&self, now: i64) -> Option<usize> {
        let due = self.calls.iter().enumerate().filter_map(|(i, c)| Some((c.due?, i)));
        due.filter(|(at, _)| *at <= now).min().map(|(_, index)| index)
    }

    /// Books an answer as far as the stage allows; what it doesn't allow is
    /// answered with what is the case.
    fn settle(&mut self, call: Call, kind: PaymentEventKind, now: i64, said: &mut Said) {
        use PaymentEventKind as Kind;
        let (kind, moved) = match (kind, self.stage) {
            (Kind::Authorized, Stage::Asked) => {
                self.stage = Stage::Open;
                self.expires_at = self.token().authorization_ms().map(|ms| now + ms);
                (Kind::Authorized, true)
            }
            (Kind::Declined | Kind::InsufficientFunds, Stage::Asked) => {
                self.stage = Stage::Declined;
                (kind, false)
            }
            // A refused capture leaves the authorisation open.
            (Kind::Declined | Kind::InsufficientFunds, Stage::Open) => (kind, false),
            // There is nothing to give back, which is what was wanted.
            (Kind::Voided, Stage::Declined) => (kind, false),
            (Kind::Captured, Stage::Open) => {
                self.stage = Stage::Captured;
                (Kind::Captured, true)
            }
            (Kind::Voided, Stage::Open) => {
                self.stage = Stage::Voided;
                (Kind::Voided, true)
            }
            (Kind::Expired, Stage::Open) => {
                self.stage = Stage::Expired;
                (Kind::Expired, true)
            }
            (Kind::Refunded, Stage::Captured) if self.refundable(call.amount.minor) => {
                self.refunded_minor += call.amount.minor;
                (Kind::Refunded, true)
            }
            (Kind::RefundFailed | Kind::Refunded, _) => {
                self.refunds_refused += 1;
                (Kind::RefundFailed, false)
            }
            (_, stage) => (as_it_is(stage), false),
        };
        // Part of an authorisation can't be captured or voided.
        let amount = if kind == Kind::Refunded { call.amount } else { self.amount };
        self.say(call.request_id, kind, amount, call.attempt, now, moved, said);
    }

    fn refundable(&self, minor: i64) -> bool {
        minor > 0 && self.refunded_minor + minor <= self.amount.minor
    }

    /// The authorisation ran out: whoever waits for its capture hears of it.
    fn expire(&mut self, now: i64, said: &mut Said) {
        self.stage = Stage::Expired;
        let capture = self.calls.iter().position(|c| c.kind == PaymentCommandKind::Capture);
        let id = match capture {
            Some(index) => self.calls.remove(index).request_id,
            None => self.authorize_id.clone(),
        };
        let kind = PaymentEventKind::Expired;
        self.say(id, kind, self.amount, self.attempt, now, true, said);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    fn say(
        &mut self,
        request_id: String,
        kind: PaymentEventKind,
        amount: Money,
        attempt: i32,
        now: i64,
        moved: bool,
        said: &mut Said,
    ) {
        let event = PaymentEvent {
            request_id,
            order_id: self.order_id,
            kind,
            amount,
            attempt,
            occurred_at: Micros::from_millis(now),
            detail: detail(kind).map(str::to_owned),
        };
        self.answers.retain(|answer| answer.request_id != event.request_id);
        self.answers.push(event.clone());
        said.push((event, moved));
    }
}

/// True if a provider can answer a call of this kind so.
fn can_answer(answer: PaymentEventKind, call: PaymentCommandKind) -> bool {
    use PaymentEventKind as Kind;
    match call {
        PaymentCommandKind::Authorize => matches!(
            answer,
            Kind::Authorized | Kind::Declined | Kind::InsufficientFunds | Kind::Expired
        ),
        PaymentCommandKind::Capture => matches!(
            answer,
            Kind::Captured | Kind::Declined | Kind::InsufficientFunds | Kind::Expired
        ),
        PaymentCommandKind::Void => matches!(answer, Kind::Voided | Kind::Expired),
        PaymentCommandKind::Refund => matches!(answer, Kind::Refunded | Kind::RefundFailed),
    }
}

fn as_it_is(stage: Stage) -> PaymentEventKind {
    match stage {
        Stage::Asked | Stage::Declined => PaymentEventKind::Declined,
        Stage::Open => PaymentEventKind::Authorized,
        Stage::Captured => PaymentEventKind::Captured,
        Stage::Voided => PaymentEventKind::Voided,
        Stage::Expired => PaymentEventKind::Expired,
    }
}

fn detail(kind: PaymentEventKind) -> Option<&'static str> {
    match kind {
        PaymentEventKind::Declined => Some("the card was declined"),
        PaymentEventKind::InsufficientFunds => Some("insufficient funds"),
        PaymentEventKind::Expired => Some("the authorisation ran out"),
        PaymentEventKind::RefundFailed => Some("the provider refused the refund"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
