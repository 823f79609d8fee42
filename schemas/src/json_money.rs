//! Decimal JSON numbers ↔ minor units, exactly (T3).
//!
//! Invariant: works on the number's text, never on a float. Reading what
//! [`print()`] wrote gives the same amount.

use std::str::FromStr;

use crate::money::Currency;

/// Why a number is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a JSON number.
    #[error("{0:?} is not a decimal number")]
    NotANumber(String),
    /// More decimals than the currency has.
    #[error("too many decimals: {currency} has {exponent}")]
    TooManyDecimals {
        /// The currency.
        currency: Currency,
        /// How many it has.
        exponent: u32,
    },
    /// Beyond ±9,223,372,036,854,775,807 minor units.
    #[error("amount is too large")]
    TooLarge,
}

/// Minor units of a JSON number's text (RFC 8259 grammar: sign, decimals and
/// exponent allowed, `1e2` = 100). Zeros beyond the currency's decimals are
/// accepted, as they change nothing.
///
/// # Errors
/// [`AmountError`]. Negative amounts are not refused here.
///
/// ```
/// use schemas::{Currency, json_money};
/// assert_eq!(json_money::parse("59.98", Currency::USD), Ok(5998));
/// assert!(json_money::parse("59.979999", Currency::USD).is_err());
/// ```
pub fn parse(text: &str, currency: Currency) -> Result<i64, AmountError> {
    let exponent = currency.exponent();
    let number = Decimal::read(text).ok_or_else(|| AmountError::NotANumber(shown(text)))?;
    number.minor(exponent).map_err(|wrong| match wrong {
        Wrong::Decimals => AmountError::TooManyDecimals { currency, exponent },
        Wrong::Large => AmountError::TooLarge,
    })
}

/// [`parse`] of a JSON number; exact because `serde_json` keeps its text
/// (feature `arbitrary_precision`).
///
/// # Errors
/// [`AmountError`].
pub fn from_number(number: &serde_json::Number, currency: Currency) -> Result<i64, AmountError> {
    parse(number.as_str(), currency)
}

/// The amount as decimal text with all of the currency's decimals: `59.90`.
#[must_use]
pub fn print(minor: i64, currency: Currency) -> String {
    let exponent = currency.exponent() as usize;
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = exponent + 1);
    let (whole, decimals) = digits.split_at(digits.len() - exponent);
    if decimals.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{decimals}") }
}

/// The amount as a JSON number, printed as [`print()`] does.
#[must_use]
pub fn to_number(minor: i64, currency: Currency) -> serde_json::Number {
    serde_json::Number::from_str(&print(minor, currency)).unwrap_or_else(|_| minor.into())
}

enum Wrong {
    Decimals,
    Large,
}

/// ± digits × 10^scale, digits without leading and trailing zeros.
struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    decimals: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, decimals) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading_zero || !digits(whole) || !digits(decimals) {
            return None;
        }
        Some(Self { negative, whole, decimals, exponent })
    }

    /// Σ of the digits, shifted by the number's exponent and the currency's.
    fn minor(&self, currency_exponent: u32) -> Result<i64, Wrong> {
        let shift = self.exponent.saturating_add(i64::from(currency_exponent));
        let mut amount: i128 = 0;
        let all = self.whole.bytes().chain(self.decimals.bytes()).map(|b| i128::from(b - b'0'));
        let last = i64::try_from(self.whole.len()).map_err(|_| Wrong::Large)?.saturating_add(shift);
        for (index, digit) in (0_i64..).zip(all) {
            if index >= last {
                if digit != 0 {
                    return Err(Wrong::Decimals);
                }
                continue;
            }
            amount = amount * 10 + digit;
            if amount > i128::from(i64::MAX) {
                return Err(Wrong::Large);
            }
        }
        let read =
            i64::try_from(self.whole.len() + self.decimals.len()).map_err(|_| Wrong::Large)?;
        for _ in read..last {
            if amount == 0 {
                break;
            }
            amount *= 10;
            if amount > i128::from(i64::MAX) {
                return Err(Wrong::Large);
            }
        }
        let amount = i64::try_from(amount).map_err(|_| Wrong::Large)?;
        Ok(if self.negative { -amount } else { amount })
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Thousands of zeros are as far out as 10^9.
    let value = digits.parse::<i64>().unwrap_or(1_000_000_000).min(1_000_000_000);
    Some(if negative { -value } else { value })
}

/// At most 40 characters, so that an error never repeats a megabyte.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USD: Currency = Currency::USD;

    #[test]
    fn amounts_are_read_exactly() {
        let jpy = "JPY".parse().unwrap();
        let bhd = "BHD".parse().unwrap();
        for (text, currency, minor) in [
            ("59.98", USD, 5998),
            ("59.9", USD, 5990),
            ("59", USD, 5900),
            ("59.980000", USD, 5998),
            ("0.07", USD, 7),
            ("-0.07", USD, -7),
            ("-0", USD, 0),
            ("1e2", USD, 10_000),
            ("1E+2", USD, 10_000),
            ("5998e-2", USD, 5998),
            ("0.5998e2", USD, 5998),
            ("0e999999999999", USD, 0),
            ("0e-999999999999", USD, 0),
            ("100", jpy, 100),
            ("1.234", bhd, 1234),
            ("92233720368547758.07", USD, i64::MAX),
            ("-92233720368547758.07", USD, -i64::MAX),
        ] {
            assert_eq!(parse(text, currency), Ok(minor), "{text} {currency}");
        }
    }

    #[test]
    fn too_many_decimals_are_refused() {
        let jpy = "JPY".parse().unwrap();
        for (text, currency) in [("59.979999", USD), ("0.001", USD), ("1e-3", USD), ("1.5", jpy)] {
            let wrong = parse(text, currency).unwrap_err();
            assert!(wrong.to_string().starts_with("too many decimals"), "{text}: {wrong}");
        }
        assert_eq!(parse("1.005", USD).unwrap_err().to_string(), "too many decimals: USD has 2");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", "-", ".5", "5.", "01", "1e", "1e+", "+1", "NaN", "1,5", " 1", "0x10", "1e1.0"]
        {
            assert!(matches!(parse(text, USD), Err(AmountError::NotANumber(_))), "{text}");
        }
        for text in ["92233720368547758.08", "1e999999999999", "1e30", "99999999999999999999"] {
            assert_eq!(parse(text, USD), Err(AmountError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_json_number_keeps_its_text() {
        let number: serde_json::Number = serde_json::from_str("59.979999999999999999999").unwrap();
        assert!(from_number(&number, USD).is_err());
        let number: serde_json::Number = serde_json::from_str("9007199254740993.01").unwrap();
        assert_eq!(from_number(&number, USD), Ok(900_719_925_474_099_301));
        assert_eq!(serde_json::to_string(&to_number(5990, USD)).unwrap(), "59.90");
        let value = serde_json::to_value(to_number(-5, USD)).unwrap();
        assert_eq!(value.to_string(), "-0.05");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(minor in -i64::MAX.., code in 0..3_usize) {
            let currency = ["USD", "JPY", "BHD"][code].parse().unwrap();
            prop_assert_eq!(parse(&print(minor, currency), currency), Ok(minor));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eE]{0,12}") {
            // The oracle for small numbers is a float, rounded.
            if let Ok(minor) = parse(&text, USD) {
                let float: f64 = text.parse().unwrap();
                prop_assert!((float * 100.0 - minor as f64).abs() <= float.abs() * 1e-10);
            }
        }
    }
}
