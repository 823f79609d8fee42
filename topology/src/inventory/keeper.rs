//! The processor that reads the rows a command touches, lets
//! [`warehouse`](super::warehouse) decide, and writes back what changed.
//!
//! Stores: `stock` by `<warehouse>/<product>`, `holds` by
//! `<warehouse>/<order>`, `adjustments` by `<warehouse>/<request>`. One durable
//! timer per hold, first for its expiry, then for forgetting it, and one per
//! adjustment for forgetting it.

use std::collections::BTreeMap;

use operators::{
    BoxError, Headers, KeyValueDef, KeyValueStore, Processor, ProcessorContext, ProcessorStores,
    Record, StoreDef, Utf8,
};
use schemas::messages::{StockCommand, StockCommandKind, StockLevel, StockLow, StockResult};
use schemas::{Micros, Sku};

use super::warehouse::{self, Adjustment, HoldRow, Shelf, Stage, StockRow};
use crate::traced::{self, headers};
use crate::{FlowSettings, wire};

/// Tells the timers of adjustments from those of holds.
const ADJUSTMENT: &str = "adjustment:";

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The answer to a command.
    Result(StockResult),
    /// A product's stock changed.
    Level(StockLevel),
    /// A product's stock fell below the threshold.
    Low(StockLow),
}

/// Names and codecs of the stores.
pub(super) struct Stores {
    stock: KeyValueDef<str, StockRow>,
    holds: KeyValueDef<str, HoldRow>,
    adjustments: KeyValueDef<str, Adjustment>,
}

impl Stores {
    pub(super) fn new() -> Self {
        Self {
            stock: KeyValueDef::new("stock", Utf8, wire::state::<StockRow>("stock-row", 1)),
            holds: KeyValueDef::new("holds", Utf8, wire::state::<HoldRow>("hold-row", 1)),
            adjustments: KeyValueDef::new(
                "adjustments",
                Utf8,
                wire::state::<Adjustment>("adjustment", 1),
            ),
        }
    }

    pub(super) fn defs(&self) -> [StoreDef; 4] {
        [self.stock.def(), self.holds.def(), self.adjustments.def(), StoreDef::timers()]
    }

    pub(super) fn keeper(&self, stores: &ProcessorStores, settings: &FlowSettings) -> Keeper {
        Keeper {
            stock: stores.key_value(&self.stock),
            holds: stores.key_value(&self.holds),
            adjustments: stores.key_value(&self.adjustments),
            hold_memory_ms: settings.hold_memory_ms,
            adjustment_memory_ms: settings.adjustment_memory_ms,
            low: settings.stock_low_threshold,
        }
    }
}

pub(super) struct Keeper {
    stock: KeyValueStore<str, StockRow>,
    holds: KeyValueStore<str, HoldRow>,
    adjustments: KeyValueStore<str, Adjustment>,
    hold_memory_ms: i64,
    adjustment_memory_ms: i64,
    low: i64,
}

type Context<'a> = ProcessorContext<'a, str, Said>;

impl Processor<str, StockCommand, str, Said> for Keeper {
    fn process(
        &mut self,
        record: Record<'_, str, StockCommand>,
        ctx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let Some(command) = record.value else { return Ok(()) };
        let place = command.warehouse.as_str();
        let keys = Keys::of(command);
        let hold = match &keys.hold {
            Some(key) => self.holds.get(ctx.state(), key)?,
            None => None,
        };
        let adjustment = match &keys.adjustment {
            Some(key) => self.adjustments.get(ctx.state(), key)?,
            None => None,
        };
        let named = command.lines.iter().chain(hold.iter().flat_map(|hold| &hold.lines));
        let products: Vec<Sku> = named.map(|line| line.product_id.clone()).collect();
        let before = Shelf { stock: self.rows(place, &products, ctx)?, hold, adjustment };
        let mut shelf = before.clone();
        let result = warehouse::apply(&mut shelf, command);
        if before.hold != shelf.hold
            && let Some(hold) = &mut shelf.hold
        {
            hold.trace = traced::of_record(record.headers);
        }
        let key = match command.order_id {
            Some(order) => order.to_string(),
            None => command.lines.first().map_or_else(String::new, |l| l.product_id.to_string()),
        };
        self.remember(&keys, &before, &shelf, ctx)?;
        self.write(place, keys.hold.as_deref(), &before, shelf, record.headers, ctx)?;
        forward(&key, &Said::Result(result), record.headers, ctx);
        Ok(())
    }

    fn on_timer(&mut self, key: &[u8], due: i64, ctx: &mut Context<'_>) -> Result<(), BoxError> {
        let key = std::str::from_utf8(key)?;
        if let Some(key) = key.strip_prefix(ADJUSTMENT) {
            self.adjustments.put(ctx.state(), key, None)?;
            return Ok(());
        }
        let Some(hold) = self.holds.get(ctx.state(), key)? else { return Ok(()) };
        if hold.due != Some(due) {
            return Ok(());
        }
        if hold.stage != Stage::Active {
            self.holds.put(ctx.state(), key, None)?;
            return Ok(());
        }
        let (place, order) = key.rsplit_once('/').unwrap_or(("", key));
        let products: Vec<Sku> = hold.lines.iter().map(|line| line.product_id.clone()).collect();
        let headers = headers(hold.trace.as_deref());
        let stock = self.rows(place, &products, ctx)?;
        let before = Shelf { stock, hold: Some(hold), adjustment: None };
        let mut shelf = before.clone();
        let expired = warehouse::expire(&mut shelf, place, ctx.now());
        self.write(place, Some(key), &before, shelf, &headers, ctx)?;
        if let Some(result) = expired {
            forward(order, &Said::Result(result), &headers, ctx);
        }
        Ok(())
    }
}

/// Keys of the rows that a command touches beside the products'.
struct Keys {
    hold: Option<String>,
    adjustment: Option<String>,
}

impl Keys {
    fn of(command: &StockCommand) -> Self {
        use StockCommandKind::{Adjust, SetOnHand};
        let place = &command.warehouse;
        let adjusts = matches!(command.kind, SetOnHand | Adjust);
        Self {
            hold: command.order_id.map(|order| format!("{place}/{order}")),
            adjustment: adjusts.then(|| format!("{place}/{}", command.request_id)),
        }
    }
}

impl Keeper {
    fn rows(
        &mut self,
        place: &str,
        products: &[Sku],
        ctx: &mut Context<'_>,
    ) -> Result<BTreeMap<Sku, StockRow>, BoxError> {
        let mut rows = BTreeMap::new();
        for sku in products {
            if let Some(row) = self.stock.get(ctx.state(), &format!("{place}/{sku}"))? {
                rows.insert(sku.clone(), row);
            }
        }
        Ok(rows)
    }

    /// Keeps an adjustment that was made, until its timer.
    fn remember(
        &mut self,
        keys: &Keys,
        before: &Shelf,
        shelf: &Shelf,
        ctx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        let (Some(key), Some(made)) = (&keys.adjustment, &shelf.adjustment) else { return Ok(()) };
        if before.adjustment.is_some() {
            return Ok(());
        }
        self.adjustments.put(ctx.state(), key, Some(made))?;
        let due = ctx.now() + self.adjustment_memory_ms;
        ctx.timer(format!("{ADJUSTMENT}{key}").as_bytes(), due);
        Ok(())
    }

    /// Writes rows that changed, announces stock that changed, and moves the
    /// hold's timer.
    fn write(
        &mut self,
        place: &str,
        hold_key: Option<&str>,
        before: &Shelf,
        shelf: Shelf,
        headers: &Headers,
        ctx: &mut Context<'_>,
    ) -> Result<(), BoxError> {
        for (sku, row) in &shelf.stock {
            let old = before.stock.get(sku);
            if old == Some(row) {
                continue;
            }
            let key = format!("{place}/{sku}");
            self.stock.put(ctx.state(), &key, Some(row))?;
            forward(&key, &Said::Level(level(place, sku, row)), headers, ctx);
            let fell = old.is_some_and(|old| old.available() >= self.low);
            if fell && row.available() < self.low {
                let low = StockLow {
                    product_id: sku.clone(),
                    warehouse: place.to_owned(),
                    available: row.available(),
                    threshold: self.low,
                    occurred_at: Micros::from_millis(ctx.now()),
                };
                forward(sku.as_str(), &Said::Low(low), headers, ctx);
            }
        }
        let (Some(key), Some(mut hold)) = (hold_key, shelf.hold) else { return Ok(()) };
        if before.hold.as_ref() == Some(&hold) {
            return Ok(());
        }
        let due = match hold.stage {
            Stage::Active => hold.expires_at,
            Stage::Gone | Stage::Committed => Some(ctx.now() + self.hold_memory_ms),
        };
        if due != hold.due {
            if let Some(old) = hold.due {
                ctx.cancel_timer(key.as_bytes(), old);
            }
            if let Some(due) = due {
                ctx.timer(key.as_bytes(), due);
            }
            hold.due = due;
        }
        self.holds.put(ctx.state(), key, Some(&hold))?;
        Ok(())
    }
}

fn level(place: &str, sku: &Sku, row: &StockRow) -> StockLevel {
    StockLevel {
        warehouse: place.to_owned(),
        product_id: sku.clone(),
        on_hand: row.on_hand,
        held: row.held,
        version: row.version,
        request_id: row.request_id.clone(),
    }
}

/// Says something now, with these headers.
fn forward(key: &str, said: &Said, headers: &Headers, ctx: &mut Context<'_>) {
    let timestamp = ctx.now();
    ctx.forward(Record { key: Some(key), value: Some(said), timestamp, headers });
}
