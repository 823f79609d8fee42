//! The built-in payment provider: what each token does (`contract.md` §1.4).

use schemas::messages::{PaymentCommandKind, PaymentEventKind};

/// What the simulator does with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `pm_card_ok`, absent and unknown tokens.
    Ok,
    /// `pm_card_declined`.
    Declined,
    /// `pm_card_insufficient_funds`.
    InsufficientFunds,
    /// `pm_slow`: authorises after 2 s.
    Slow,
    /// `pm_provider_down`: never answers an authorisation.
    Down,
    /// `pm_auth_expires`: the authorisation runs out after 2 s, uncaptured.
    AuthExpires,
    /// `pm_refund_fails_once`.
    RefundFailsOnce,
}

/// What `pm_slow` and `pm_auth_expires` wait, ms.
const TWO_SECONDS: i64 = 2_000;

impl Token {
    /// What callers may write.
    pub const NAMES: [(&'static str, Self); 7] = [
        ("pm_card_ok", Self::Ok),
        ("pm_card_declined", Self::Declined),
        ("pm_card_insufficient_funds", Self::InsufficientFunds),
        ("pm_slow", Self::Slow),
        ("pm_provider_down", Self::Down),
        ("pm_auth_expires", Self::AuthExpires),
        ("pm_refund_fails_once", Self::RefundFailsOnce),
    ];

    /// From the caller's text.
    #[must_use]
    pub fn parse(token: Option<&str>) -> Self {
        let known = Self::NAMES.iter().find(|(name, _)| token == Some(*name));
        known.map_or(Self::Ok, |(_, token)| *token)
    }

    /// How long the provider takes, ms; none = it never answers. `step_ms` is
    /// its usual time.
    #[must_use]
    pub fn latency_ms(self, kind: PaymentCommandKind, step_ms: i64) -> Option<i64> {
        match (self, kind) {
            (Self::Down, PaymentCommandKind::Authorize)
            | (Self::AuthExpires, PaymentCommandKind::Capture) => None,
            (Self::Slow, PaymentCommandKind::Authorize) => Some(TWO_SECONDS),
            _ => Some(step_ms),
        }
    }

    /// How long an authorisation lasts, ms; none = as long as it is needed.
    #[must_use]
    pub fn authorization_ms(self) -> Option<i64> {
        (self == Self::AuthExpires).then_some(TWO_SECONDS)
    }

    /// The answer to an authorisation.
    #[must_use]
    pub fn authorize(self) -> PaymentEventKind {
        match self {
            Self::Declined => PaymentEventKind::Declined,
            Self::InsufficientFunds => PaymentEventKind::InsufficientFunds,
            _ => PaymentEventKind::Authorized,
        }
    }

    /// The answer to a refund after `refused` earlier refusals.
    #[must_use]
    pub fn refund(self, refused: u32) -> PaymentEventKind {
        if self == Self::RefundFailsOnce && refused == 0 {
            PaymentEventKind::RefundFailed
        } else {
            PaymentEventKind::Refunded
        }
    }
}

/// The meaning of a callback's `result`.
#[must_use]
pub fn callback_kind(result: &str) -> Option<PaymentEventKind> {
    Some(match result {
        "authorized" => PaymentEventKind::Authorized,
        "captured" => PaymentEventKind::Captured,
        "declined" => PaymentEventKind::Declined,
        "insufficient_funds" => PaymentEventKind::InsufficientFunds,
        "voided" => PaymentEventKind::Voided,
        "refunded" => PaymentEventKind::Refunded,
        "refund_failed" => PaymentEventKind::RefundFailed,
        "expired" => PaymentEventKind::Expired,
        _ => return None,
    })
}
