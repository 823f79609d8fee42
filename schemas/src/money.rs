//! Exact money: integer minor units with a currency (T3). No floats anywhere.
//!
//! Invariant: arithmetic is checked; amounts of two currencies never meet;
//! what is allocated sums to what there was.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::json_money::{self, AmountError};

/// An ISO 4217 code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// An amount in minor units of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units, signed.
    pub minor: i64,
    /// ISO 4217.
    pub currency: Currency,
}

/// Active ISO 4217 codes with two decimals, sorted.
const TWO_DECIMALS: &str = "\
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF \
CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL \
HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT \
MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB \
SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH \
USD UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG";
/// … with none.
const NO_DECIMALS: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
/// … with three.
const THREE_DECIMALS: &str = "BHD IQD JOD KWD LYD OMR TND";

impl Currency {
    /// US dollar, the default of the interfaces.
    pub const USD: Self = Self(*b"USD");
    /// Pound sterling.
    pub const GBP: Self = Self(*b"GBP");

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimals amounts have: 2 for USD, 0 for JPY, 3 for BHD.
    #[must_use]
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"USD" | b"GBP" | b"EUR" => 2,
            _ if listed(NO_DECIMALS, self.0) => 0,
            _ if listed(THREE_DECIMALS, self.0) => 3,
            _ => 2,
        }
    }
}

fn listed(codes: &str, code: [u8; 3]) -> bool {
    codes.as_bytes().chunks(4).any(|entry| entry.starts_with(&code))
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a code this system knows.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown currency {0:?}: expected an ISO 4217 code such as USD")]
pub struct UnknownCurrency(
    /// What was given, at most 16 characters of it.
    pub String,
);

impl std::str::FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code == Self::USD.0 || code == Self::GBP.0 => Ok(Self(code)),
            Ok(code)
                if listed(TWO_DECIMALS, code)
                    || listed(NO_DECIMALS, code)
                    || listed(THREE_DECIMALS, code) =>
            {
                Ok(Self(code))
            }
            _ => Err(UnknownCurrency(text.chars().take(16).collect())),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl serde::de::Visitor<'_> for Code {
            type Value = Currency;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 currency code")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Currency, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Code)
    }
}

/// Why two amounts can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Amounts of two currencies.
    #[error("cannot combine {0} and {1}")]
    MixedCurrencies(Currency, Currency),
    /// Beyond 64 bits of minor units.
    #[error("amount overflows")]
    Overflow,
    /// Nothing to allocate by: no weights, a negative one, or all zero.
    #[error("weights must not be negative and must sum to more than zero")]
    BadWeights,
}

impl Money {
    /// An amount of minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// From decimal text, exactly: `"29.99"`.
    ///
    /// # Errors
    /// [`AmountError`], e.g. too many decimals for the currency.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        json_money::parse(text, currency).map(|minor| Self { minor, currency })
    }

    /// Sum.
    ///
    /// # Errors
    /// Mixed currencies, overflow.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Difference.
    ///
    /// # Errors
    /// Mixed currencies, overflow.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        let minor = self.minor.checked_sub(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// A price times a quantity.
    ///
    /// # Errors
    /// Overflow.
    pub fn checked_mul(self, quantity: i64) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_mul(quantity).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Splits the amount by weights so that the parts sum to it exactly: each
    /// part is rounded towards zero, then the largest remainders get one unit
    /// each, earlier parts first where they are equal.
    ///
    /// # Errors
    /// [`MoneyError::BadWeights`].
    ///
    /// ```
    /// use schemas::{Currency, Money};
    /// let parts = Money::new(100, Currency::USD).allocate(&[1, 1, 1])?;
    /// let minor: Vec<_> = parts.iter().map(|part| part.minor).collect();
    /// assert_eq!(minor, [34, 33, 33]);
    /// # Ok::<(), schemas::money::MoneyError>(())
    /// ```
    pub fn allocate(self, weights: &[i64]) -> Result<Vec<Self>, MoneyError> {
        let total: i128 = weights.iter().map(|&weight| i128::from(weight)).sum();
        if total <= 0 || weights.iter().any(|&weight| weight < 0) {
            return Err(MoneyError::BadWeights);
        }
        let amount = i128::from(self.minor);
        let share = |&weight: &i64| amount * i128::from(weight);
        let mut parts: Vec<i128> = weights.iter().map(|weight| share(weight) / total).collect();
        let left = (amount - parts.iter().sum::<i128>()).unsigned_abs();

        let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
        let remainder = |index: usize| (share(&weights[index]) % total).unsigned_abs();
        by_remainder.sort_by_key(|&index| std::cmp::Reverse(remainder(index)));
        let left = usize::try_from(left).unwrap_or(weights.len());
        for &index in by_remainder.iter().take(left) {
            parts[index] += amount.signum();
        }
        parts
            .into_iter()
            .map(|part| i64::try_from(part).map_err(|_| MoneyError::Overflow))
            .map(|minor| minor.map(|minor| Self { minor, ..self }))
            .collect()
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::MixedCurrencies(self.currency, other.currency))
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", json_money::print(self.minor, self.currency), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn currencies_are_iso_4217() {
        for (code, exponent) in [("USD", 2), ("JPY", 0), ("BHD", 3), ("ZWG", 2), ("AED", 2)] {
            assert_eq!(code.parse::<Currency>().unwrap().exponent(), exponent, "{code}");
        }
        for wrong in ["usd", "XXX", "US", "USDT", "", "D A", " AE"] {
            assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn amounts_of_two_currencies_never_meet() {
        let usd = Money::new(1, Currency::USD);
        let gbp = Money::new(1, Currency::GBP);
        assert_eq!(usd.checked_add(gbp).unwrap_err().to_string(), "cannot combine USD and GBP");
        assert!(usd.checked_sub(gbp).is_err());
        assert_eq!(Money::new(i64::MAX, Currency::USD).checked_add(usd), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MAX, Currency::USD).checked_mul(2), Err(MoneyError::Overflow));
        assert_eq!(usd.checked_mul(5998).unwrap().to_string(), "59.98 USD");
    }

    #[test]
    fn nothing_is_allocated_without_weights() {
        let one = Money::new(1, Currency::USD);
        for weights in [&[][..], &[0, 0], &[2, -1]] {
            assert_eq!(one.allocate(weights), Err(MoneyError::BadWeights));
        }
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole_and_are_fair(
            minor in any::<i64>(),
            weights in prop::collection::vec(0_i64..1_000_000, 1..20),
        ) {
            prop_assume!(weights.iter().sum::<i64>() > 0);
            let parts = Money::new(minor, Currency::USD).allocate(&weights).unwrap();
            let sum: i128 = parts.iter().map(|part| i128::from(part.minor)).sum();
            prop_assert_eq!(sum, i128::from(minor));
            let total: i128 = weights.iter().map(|&w| i128::from(w)).sum();
            for (part, &weight) in parts.iter().zip(&weights) {
                let exact = i128::from(minor) * i128::from(weight);
                let error = (i128::from(part.minor) * total - exact).abs();
                prop_assert!(error < total, "a part is less than one unit off its share");
            }
        }
    }
}
