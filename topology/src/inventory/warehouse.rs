//! What a warehouse does with a command: pure, on the rows it touches.
//!
//! Invariants: `held` of a product is the sum of its active holds; a hold is
//! granted for all lines or for none, and only from what is available; a
//! command repeated with its id gets its first answer and changes nothing.
//! A count by hand (`set_on_hand`) is the truth even when it is below what is
//! promised: nothing more is held until it is above.

use std::collections::BTreeMap;

use schemas::messages::{StockCommand, StockCommandKind, StockLine, StockResult, StockResultKind};
use schemas::{OrderId, Sku};
use serde::{Deserialize, Serialize};

/// How many answers a hold keeps for repeated commands.
const ANSWERS_KEPT: usize = 8;

/// One product in one warehouse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockRow {
    /// In the building.
    pub on_hand: i64,
    /// Promised to orders.
    pub held: i64,
    /// Counts changes from 1.
    pub version: i64,
    /// The request that made this version.
    pub request_id: String,
}

/// An adjustment that was made, kept for a while under its request's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// What was done.
    pub kind: StockCommandKind,
    /// By how much, or to what.
    pub lines: Vec<StockLine>,
    /// Why.
    pub reason: Option<String>,
}

/// What became of an order's goods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Counted in `held`.
    Active,
    /// Never held, given back or run out.
    Gone,
    /// Left the building.
    Committed,
}

/// An order's hold, kept for a while after its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Whose.
    pub order_id: OrderId,
    /// The command that asked for it.
    pub request_id: String,
    /// Where it stands.
    pub stage: Stage,
    /// One line per product.
    pub lines: Vec<StockLine>,
    /// `traceparent` of the command that changed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// When it runs out, ms; none = when committed or released.
    pub expires_at: Option<i64>,
    /// The latest answers, for repeats.
    pub answers: Vec<StockResult>,
    /// The timer that is set for this row, ms.
    pub due: Option<i64>,
}

/// The rows a command touches, read before and written after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Products of the command and of the order's hold.
    pub stock: BTreeMap<Sku, StockRow>,
    /// The order's hold.
    pub hold: Option<HoldRow>,
    /// What was adjusted under the command's id.
    pub adjustment: Option<Adjustment>,
}

impl Adjustment {
    fn of(command: &StockCommand) -> Self {
        let StockCommand { kind, lines, reason, .. } = command.clone();
        Self { kind, lines, reason }
    }
}

impl StockRow {
    /// What can be promised.
    #[must_use]
    pub fn available(&self) -> i64 {
        self.on_hand - self.held
    }

    fn touched(&mut self, request_id: &str) {
        self.version += 1;
        request_id.clone_into(&mut self.request_id);
    }
}

/// Quantities per product: lines of the same product are summed.
#[must_use]
pub fn summed(lines: &[StockLine]) -> BTreeMap<Sku, i64> {
    let mut sums = BTreeMap::new();
    for line in lines {
        let sum: &mut i64 = sums.entry(line.product_id.clone()).or_default();
        *sum = sum.saturating_add(line.quantity);
    }
    sums
}

/// Executes a command on its rows; returns the answer.
pub fn apply(shelf: &mut Shelf, command: &StockCommand) -> StockResult {
    match command.kind {
        StockCommandKind::SetOnHand | StockCommandKind::Adjust => adjust(shelf, command),
        _ => {
            let hold = shelf.hold.as_ref();
            let known = |hold: &HoldRow| {
                hold.answers.iter().find(|a| a.request_id == command.request_id).cloned()
            };
            if let Some(answer) = hold.and_then(known) {
                return answer;
            }
            let answer = on_hold(shelf, command);
            if let Some(hold) = &mut shelf.hold {
                if hold.answers.len() == ANSWERS_KEPT {
                    hold.answers.remove(0);
                }
                hold.answers.push(answer.clone());
            }
            answer
        }
    }
}

/// The hold's time has come: gives it back if it is still active and due.
pub fn expire(shelf: &mut Shelf, warehouse: &str, now_ms: i64) -> Option<StockResult> {
    let hold = shelf.hold.as_ref()?;
    let due = hold.expires_at.is_some_and(|at| at <= now_ms);
    if hold.stage != Stage::Active || !due {
        return None;
    }
    let request_id = hold.request_id.clone();
    let order_id = hold.order_id;
    give_back(shelf, &request_id, Stage::Gone);
    Some(StockResult {
        request_id,
        warehouse: warehouse.to_owned(),
        kind: StockResultKind::HoldExpired,
        order_id: Some(order_id),
        short: Vec::new(),
    })
}

fn on_hold(shelf: &mut Shelf, command: &StockCommand) -> StockResult {
    let active = shelf.hold.as_ref().is_some_and(|hold| hold.stage == Stage::Active);
    let kind = match command.kind {
        StockCommandKind::Hold => return hold(shelf, command),
        StockCommandKind::Extend if active => {
            if let Some(hold) = &mut shelf.hold {
                hold.expires_at = command.expires_at.map(schemas::Micros::as_millis);
            }
            StockResultKind::Extended
        }
        StockCommandKind::Commit if active => {
            give_back(shelf, &command.request_id, Stage::Committed);
            StockResultKind::Committed
        }
        StockCommandKind::Commit | StockCommandKind::Extend => StockResultKind::NoHold,
        _ => {
            if active {
                give_back(shelf, &command.request_id, Stage::Gone);
            }
            StockResultKind::Released
        }
    };
    answer(command, kind)
}

/// Holds all lines or none. A hold the order already has is replaced: its
/// goods count as available to the new one.
fn hold(shelf: &mut Shelf, command: &StockCommand) -> StockResult {
    let Some(order_id) = command.order_id else {
        return answer(command, StockResultKind::Refused);
    };
    let earlier = shelf.hold.take();
    let answers = earlier.as_ref().map(|hold| hold.answers.clone()).unwrap_or_default();
    let due = earlier.as_ref().and_then(|hold| hold.due);
    if earlier.is_some_and(|hold| {
        let active = hold.stage == Stage::Active;
        shelf.hold = Some(hold);
        active
    }) {
        give_back(shelf, &command.request_id, Stage::Gone);
    }
    let wanted = summed(&command.lines);
    let missing = |(sku, quantity): (&Sku, &i64)| {
        let available = shelf.stock.get(sku).map_or(0, StockRow::available);
        let short = StockLine { product_id: sku.clone(), quantity: available.max(0) };
        (*quantity <= 0 || available < *quantity).then_some(short)
    };
    let short: Vec<_> = wanted.iter().filter_map(missing).collect();
    let refused = !short.is_empty() || wanted.is_empty();
    let mut lines = Vec::new();
    for (product_id, quantity) in wanted {
        if !refused && let Some(row) = shelf.stock.get_mut(&product_id) {
            row.held += quantity;
            row.touched(&command.request_id);
            lines.push(StockLine { product_id, quantity });
        }
    }
    shelf.hold = Some(HoldRow {
        order_id,
        trace: None,
        request_id: command.request_id.clone(),
        stage: if refused { Stage::Gone } else { Stage::Active },
        lines,
        expires_at: command.expires_at.map(schemas::Micros::as_millis),
        answers,
        due,
    });
    let kind = if refused { StockResultKind::Refused } else { StockResultKind::Held };
    StockResult { short, ..answer(command, kind) }
}

/// Ends an active hold; committed goods also leave the building.
fn give_back(shelf: &mut Shelf, request_id: &str, end: Stage) {
    let Some(hold) = &mut shelf.hold else { return };
    hold.stage = end;
    hold.expires_at = None;
    for line in &hold.lines {
        if let Some(row) = shelf.stock.get_mut(&line.product_id) {
            row.held -= line.quantity;
            if end == Stage::Committed {
                // Below zero only if somebody counted less than was promised.
                row.on_hand = (row.on_hand - line.quantity).max(0);
            }
            row.touched(request_id);
        }
    }
}

/// Sets or changes what is on hand, of all lines or of none. A refusal isn't
/// remembered: the same request may succeed later.
fn adjust(shelf: &mut Shelf, command: &StockCommand) -> StockResult {
    let adjustment = Adjustment::of(command);
    if let Some(known) = &shelf.adjustment {
        let same = *known == adjustment;
        let kind = if same { StockResultKind::Adjusted } else { StockResultKind::AdjustConflict };
        return answer(command, kind);
    }
    let sums = summed(&command.lines);
    let relative = command.kind == StockCommandKind::Adjust;
    let target = |row: &StockRow, quantity: i64| {
        if relative { row.on_hand.saturating_add(quantity) } else { quantity }
    };
    let too_few = |(sku, quantity): (&Sku, &i64)| {
        let row = shelf.stock.get(sku).cloned().unwrap_or_default();
        let on_hand = target(&row, *quantity);
        let short = StockLine { product_id: sku.clone(), quantity: row.available().max(0) };
        (on_hand < 0 || (relative && *quantity < 0 && on_hand < row.held)).then_some(short)
    };
    let short: Vec<_> = sums.iter().filter_map(too_few).collect();
    if !short.is_empty() {
        return StockResult { short, ..answer(command, StockResultKind::AdjustRefused) };
    }
    for (sku, quantity) in sums {
        let row = shelf.stock.entry(sku).or_default();
        row.on_hand = target(row, quantity);
        row.touched(&command.request_id);
    }
    shelf.adjustment = Some(adjustment);
    answer(command, StockResultKind::Adjusted)
}

fn answer(command: &StockCommand, kind: StockResultKind) -> StockResult {
    StockResult {
        request_id: command.request_id.clone(),
        warehouse: command.warehouse.clone(),
        kind,
        order_id: command.order_id,
        short: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
