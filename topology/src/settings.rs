//! What an operator of the flow can turn: times and limits, with units.
//!
//! Invariant: nothing in the flow reads the environment; `compose/orders` fills
//! this struct once at the start.

/// Settings of all applications of the flow.
///
/// ```
/// let settings = topology::FlowSettings { simulation_step_ms: 200, ..Default::default() };
/// assert_eq!(settings.validation_timeout_ms, 30_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowSettings {
    /// How long an order may stay `pending` before it fails with
    /// `validation_timeout`. Milliseconds, > 0.
    pub validation_timeout_ms: i64,
    /// How long `validated` lasts before the payment is asked for.
    /// Milliseconds; 0 = in the same step.
    pub payment_delay_ms: i64,
    /// How long an order may stay `processing` before it fails with
    /// `payment_timeout`. Milliseconds, > 0.
    pub payment_timeout_ms: i64,
    /// A hold outlives the order's own deadlines by this much, so that the
    /// deadline has one owner. Milliseconds, > 0.
    pub hold_margin_ms: i64,
    /// First wait before an unanswered request is sent again, same id; doubles
    /// each time. Milliseconds, > 0.
    pub resend_after_ms: i64,
    /// The longest wait between two sends. Milliseconds.
    pub resend_at_most_ms: i64,
    /// First wait before a refused refund is tried again; doubles each time.
    /// Milliseconds, > 0.
    pub refund_retry_ms: i64,
    /// After so many refusals `order.refund_failed` is written; the retries go
    /// on at `resend_at_most_ms`.
    pub refund_attempts: i32,
    /// How long after `paid` a customer may still cancel
    /// (`CANCEL_GRACE_SECONDS`). Milliseconds.
    pub cancel_grace_ms: i64,
    /// Where an order can be held: the first is tried first, the next one when
    /// it refuses. At least one.
    pub warehouses: Vec<String>,
    /// A customer's session total at which an order fails `fraud_limit`
    /// (`FRAUD_WINDOW_LIMIT`). Whole units of the order's currency.
    pub fraud_window_limit: i64,
    /// A customer's session ends after this much record time without an order.
    /// Milliseconds.
    pub fraud_session_gap_ms: i64,
    /// How much later than newer orders an order may reach the fraud check and
    /// still count. Milliseconds of record time.
    pub fraud_grace_ms: i64,
    /// Time the built-in provider and the built-in warehouse take per step
    /// (`SIMULATION_STEP_MS`). Milliseconds; 0 = at once.
    pub simulation_step_ms: i64,
    /// Time the built-in carrier takes (`CARRIER_DELIVERY_SECONDS`).
    /// Milliseconds; `None` = only the carrier's API or an administrator
    /// delivers.
    pub carrier_delivery_ms: Option<i64>,
    /// How long a warehouse remembers a finished hold, so that a repeated
    /// command gets the same answer. Milliseconds.
    pub hold_memory_ms: i64,
    /// How long a warehouse remembers a stock adjustment, so that a repeated
    /// one is made once and its id can't stand for another. Milliseconds.
    pub adjustment_memory_ms: i64,
    /// `stock.low` is written when available falls below this.
    pub stock_low_threshold: i64,
}

impl Default for FlowSettings {
    fn default() -> Self {
        const SECOND: i64 = 1_000;
        const HOUR: i64 = 3_600 * SECOND;
        Self {
            validation_timeout_ms: 30 * SECOND,
            payment_delay_ms: 0,
            payment_timeout_ms: 60 * SECOND,
            hold_margin_ms: 60 * SECOND,
            resend_after_ms: 5 * SECOND,
            resend_at_most_ms: HOUR,
            refund_retry_ms: SECOND,
            refund_attempts: 8,
            cancel_grace_ms: 0,
            warehouses: vec!["main".to_owned()],
            fraud_window_limit: 2_000,
            fraud_session_gap_ms: HOUR,
            fraud_grace_ms: 24 * HOUR,
            simulation_step_ms: 0,
            carrier_delivery_ms: Some(10 * SECOND),
            hold_memory_ms: 7 * 24 * HOUR,
            adjustment_memory_ms: 24 * HOUR,
            stock_low_threshold: 0,
        }
    }
}

impl FlowSettings {
    /// The warehouse to try after one refused; none after the last.
    #[must_use]
    pub fn warehouse_after(&self, refused: &str) -> Option<&str> {
        let place = self.warehouses.iter().position(|name| name == refused)?;
        self.warehouses.get(place + 1).map(String::as_str)
    }

    /// The wait before send number `sends + 1`: doubled each time, capped.
    #[must_use]
    pub fn backoff_ms(&self, first_ms: i64, sends: u32) -> i64 {
        let doublings = sends.saturating_sub(1).min(30);
        first_ms.saturating_mul(1_i64 << doublings).min(self.resend_at_most_ms.max(first_ms))
    }
}
