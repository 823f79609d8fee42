//! `order-analytics`: captured money per minute and currency.

pub mod flow;

use schemas::messages::{OrderEvent, RevenueByMinute};
use schemas::{Currency, Micros, Money};
use serde::{Deserialize, Serialize};

/// What was captured within one window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revenue {
    /// Minor units.
    pub minor: i64,
    /// How many orders.
    pub orders: i64,
}

impl Revenue {
    /// With another paid order. Sums saturate rather than wrap.
    #[must_use]
    pub fn with(self, event: &OrderEvent) -> Self {
        Self { minor: self.minor.saturating_add(event.total_amount.minor), orders: self.orders + 1 }
    }

    /// As it goes to the topic.
    #[must_use]
    pub fn message(self, window_start_ms: i64, currency: Currency) -> RevenueByMinute {
        RevenueByMinute {
            window_start: Micros::from_millis(window_start_ms),
            revenue: Money { minor: self.minor, currency },
            orders: self.orders,
        }
    }
}
