//! Verdicts on a pending order, and what follows from all of them.
//!
//! Invariant: verdicts are counted by kind, not by number, and only those on
//! the version that was asked about: a repeated PASS never stands in for a
//! missing one.

use schemas::messages::{
    Check, CheckResult, FailureReason, FieldError, HeldGoods, OrderEventType, OrderStatus,
    OrderValidation, Payment, StockResult,
};

use super::decision::{Decision, field_error};
use super::goods;
use super::money;
use super::requests::all_lines;
use super::size::MOST_ERRORS;
use super::state::{Checks, Money, RequestKind, Verdict};

/// Pricing or fraud answered.
pub(super) fn on_validation(decision: &mut Decision<'_>, answer: OrderValidation) {
    let checks = &mut decision.state.checks;
    if decision.state.order.status != OrderStatus::Pending || answer.version != checks.version {
        return;
    }
    let slot = match answer.check {
        Check::Pricing => &mut checks.pricing,
        Check::Fraud => &mut checks.fraud,
    };
    if slot.is_none() {
        *slot = Some(Verdict {
            passed: answer.passed,
            failures: answer.failures,
            errors: answer.errors,
        });
        decide(decision);
    }
}

/// The warehouse answered; `short` is empty when the goods are held.
pub(super) fn on_hold(decision: &mut Decision<'_>, result: &StockResult, held: bool) {
    let mut verdict = Verdict { passed: held, ..Verdict::default() };
    if !held {
        verdict.failures.push(FailureReason::OutOfStock);
        verdict.errors = shortages(decision, result);
    }
    decision.state.checks.stock = Some(verdict);
    decide(decision);
}

fn shortages(decision: &Decision<'_>, result: &StockResult) -> Vec<FieldError> {
    let items = &decision.state.order.items;
    let short = result.short.iter().map(|line| {
        let index = items.iter().position(|item| item.product_id == line.product_id);
        let asked: i64 = items
            .iter()
            .filter(|item| item.product_id == line.product_id)
            .map(|item| item.quantity)
            .sum();
        field_error(
            format!("items[{}].quantity", index.unwrap_or_default()),
            "out_of_stock",
            format!("{}: {asked} asked, {} available", line.product_id, line.quantity),
        )
    });
    short.collect()
}

fn decide(decision: &mut Decision<'_>) {
    if !decision.state.checks.complete() {
        return;
    }
    if decision.state.checks.verdicts().all(|verdict| verdict.passed) {
        validated(decision);
    } else {
        refused(decision);
    }
}

fn validated(decision: &mut Decision<'_>) {
    let (holds, checks) = (held_goods(decision), results(&decision.state.checks));
    decision.enter(OrderStatus::Validated, OrderEventType::Validated, None, |event| {
        event.holds = holds;
        event.checks = checks;
    });
    let delay = decision.settings.payment_delay_ms;
    if delay > 0 {
        decision.state.status_due = Some(decision.now_ms + delay);
    } else {
        start_payment(decision);
    }
}

fn held_goods(decision: &Decision<'_>) -> Vec<HeldGoods> {
    let order = &decision.state.order;
    let hold = decision.state.hold_id().map(|hold_id| HeldGoods {
        hold_id,
        warehouse: order.warehouse.clone(),
        lines: all_lines(order),
    });
    hold.into_iter().collect()
}

fn results(checks: &Checks) -> Vec<CheckResult> {
    let result = |(name, verdict): (&str, Option<&Verdict>)| {
        let Verdict { passed, failures, .. } = verdict?.clone();
        Some(CheckResult { check: name.to_owned(), passed, failures })
    };
    checks.by_name().into_iter().filter_map(result).collect()
}

/// Validated → processing: the payment is asked for.
pub(super) fn start_payment(decision: &mut Decision<'_>) {
    let total = decision.state.order.total();
    decision.state.money = Money::Authorizing;
    decision.ask(RequestKind::Authorize);
    let moment = decision.moment();
    let request = decision.state.request(RequestKind::Authorize);
    let Some((payment_id, attempt)) = request.map(|r| (r.id.clone(), r.attempt)) else { return };
    decision.state.order.payments.push(Payment {
        payment_id,
        attempt,
        amount: total,
        status: "requested".to_owned(),
        updated_at: moment,
    });
    decision.enter(OrderStatus::Processing, OrderEventType::Processing, None, |event| {
        event.payment_attempt = Some(attempt);
    });
    decision.state.status_due = Some(decision.now_ms + decision.settings.payment_timeout_ms);
}

/// The checks did not all answer in time: what is known decides.
pub(super) fn timed_out(decision: &mut Decision<'_>) {
    if decision.state.checks.verdicts().any(|verdict| !verdict.passed) {
        return refused(decision);
    }
    let checks = &decision.state.checks;
    let silent = checks.by_name().into_iter().filter(|(_, verdict)| verdict.is_none());
    let silent: Vec<_> = silent.map(|(name, _)| name).collect();
    let detail = format!("no answer in time from: {}", silent.join(", "));
    fail(decision, FailureReason::ValidationTimeout, detail, Vec::new());
}

/// At least one check failed: the first by precedence is the reason, the
/// detail names all.
fn refused(decision: &mut Decision<'_>) {
    let checks = &decision.state.checks;
    let mut failures: Vec<_> = checks.verdicts().flat_map(|v| v.failures.clone()).collect();
    let mut errors: Vec<_> = checks.verdicts().flat_map(|v| v.errors.clone()).collect();
    forget_stock_of_unknown_products(&mut failures, &mut errors);
    failures.sort_unstable();
    failures.dedup();
    // A check that failed without saying why: prices are the likeliest.
    let reason = failures.first().copied().unwrap_or(FailureReason::PriceMismatch);
    let detail = detail(&failures, &mut errors);
    fail(decision, reason, detail, errors);
}

/// Names everything that was wrong, up to a point; shortens `errors` to it.
fn detail(failures: &[FailureReason], errors: &mut Vec<FieldError>) -> String {
    let more = errors.len().saturating_sub(MOST_ERRORS);
    errors.truncate(MOST_ERRORS);
    let unexplained = failures.iter().map(|failure| failure_code(*failure));
    let unexplained = unexplained.filter(|code| errors.iter().all(|error| error.code != *code));
    let explained = errors.iter().map(|e| format!("{}: {} {}", e.code, e.field, e.message));
    let mut texts: Vec<String> = explained.chain(unexplained.map(str::to_owned)).collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

/// There is never stock of a product that doesn't exist; saying so twice helps
/// nobody.
fn forget_stock_of_unknown_products(
    failures: &mut Vec<FailureReason>,
    errors: &mut Vec<FieldError>,
) {
    let line_of = |field: &str| field.split('.').next().unwrap_or_default().to_owned();
    let unknown: Vec<_> = errors
        .iter()
        .filter(|error| error.code == "unknown_product")
        .map(|error| line_of(&error.field))
        .collect();
    errors.retain(|e| e.code != "out_of_stock" || !unknown.contains(&line_of(&e.field)));
    if !unknown.is_empty() && !errors.iter().any(|error| error.code == "out_of_stock") {
        failures.retain(|failure| *failure != FailureReason::OutOfStock);
    }
}

/// The order is over: goods and money go back.
pub(super) fn fail(
    decision: &mut Decision<'_>,
    reason: FailureReason,
    detail: String,
    errors: Vec<FieldError>,
) {
    let order = &mut decision.state.order;
    order.failure_reason = Some(reason);
    order.failure_detail = Some(detail.clone());
    goods::give_back(decision);
    money::give_back(decision);
    let why =
        schemas::messages::Reason { code: failure_code(reason).to_owned(), detail: Some(detail) };
    decision.enter(OrderStatus::Failed, OrderEventType::Failed, Some(why), |event| {
        event.failure_reason = Some(reason);
        event.errors = errors;
    });
}

/// The reason's name on the wire.
pub(super) fn failure_code(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::UnknownProduct => "unknown_product",
        FailureReason::PriceMismatch => "price_mismatch",
        FailureReason::FraudLimit => "fraud_limit",
        FailureReason::OutOfStock => "out_of_stock",
        FailureReason::PaymentDeclined => "payment_declined",
        FailureReason::InsufficientFunds => "insufficient_funds",
        FailureReason::AuthorizationExpired => "authorization_expired",
        FailureReason::ValidationTimeout => "validation_timeout",
        FailureReason::PaymentTimeout => "payment_timeout",
    }
}
