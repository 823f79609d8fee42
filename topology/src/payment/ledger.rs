//! Double entry: where every authorised unit of money went.
//!
//! Invariants, at every offset of the topic: an entry's postings sum to zero;
//! Σ authorised = open + captured + voided + expired; Σ captured = kept +
//! refunded. The account `captured` shows what is kept.

use schemas::messages::{LedgerEntry, LedgerPosting, PaymentEvent, PaymentEventKind};

/// The entry an answer of the provider makes; none where no money moved.
#[must_use]
pub fn entry(event: &PaymentEvent) -> Option<LedgerEntry> {
    let (from, to) = match event.kind {
        PaymentEventKind::Authorized => ("customer", "customer_authorized"),
        PaymentEventKind::Captured => ("customer_authorized", "captured"),
        PaymentEventKind::Voided => ("customer_authorized", "voided"),
        PaymentEventKind::Expired => ("customer_authorized", "expired"),
        PaymentEventKind::Refunded => ("captured", "refunded"),
        PaymentEventKind::Declined
        | PaymentEventKind::InsufficientFunds
        | PaymentEventKind::RefundFailed => return None,
    };
    let minor = event.amount.minor;
    let posting = |account: &str, minor| LedgerPosting { account: account.to_owned(), minor };
    Some(LedgerEntry {
        entry_id: format!("{}:{to}", event.request_id),
        order_id: event.order_id,
        currency: event.amount.currency.to_string(),
        postings: vec![posting(from, -minor), posting(to, minor)],
        occurred_at: event.occurred_at,
    })
}

/// Balances by account, in minor units of one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    /// Authorised in all.
    pub authorized: i64,
    /// Authorised and neither captured nor given back.
    pub open: i64,
    /// Captured and not refunded.
    pub kept: i64,
    /// Given back unused.
    pub voided: i64,
    /// Ran out unused.
    pub expired: i64,
    /// Captured and sent back.
    pub refunded: i64,
}

impl Balances {
    /// Adds an entry.
    ///
    /// # Errors
    /// The entry's postings don't sum to zero, or an account is unknown.
    pub fn add(&mut self, entry: &LedgerEntry) -> Result<(), String> {
        let sum: i64 = entry.postings.iter().map(|posting| posting.minor).sum();
        if sum != 0 {
            return Err(format!("entry {} sums to {sum}, not to 0", entry.entry_id));
        }
        for posting in &entry.postings {
            match posting.account.as_str() {
                "customer" => self.authorized -= posting.minor,
                "customer_authorized" => self.open += posting.minor,
                "captured" => self.kept += posting.minor,
                "voided" => self.voided += posting.minor,
                "expired" => self.expired += posting.minor,
                "refunded" => self.refunded += posting.minor,
                other => return Err(format!("entry {}: account {other}?", entry.entry_id)),
            }
        }
        Ok(())
    }

    /// True if no money was made or lost and no account is overdrawn.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let parts = [self.open, self.kept, self.voided, self.expired, self.refunded];
        parts.iter().all(|part| *part >= 0) && self.authorized == parts.iter().sum::<i64>()
    }
}
