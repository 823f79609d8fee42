//! Reading the query string: repeatable names, exact values, all errors at once.
//!
//! Invariant: a parameter that is not understood is reported, never ignored, so
//! a misspelt filter can't widen a result.

use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use schemas::Micros;

use super::error::ApiError;
use super::fields::FieldErrors;

/// The parameters in the order they came.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl Query {
    /// Parses `application/x-www-form-urlencoded` text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Reports names outside `known` and names that came twice outside `repeatable`.
    pub fn only(&self, known: &[&str], repeatable: &[&str], errors: &mut FieldErrors) {
        for (index, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                errors.add(
                    format!("query.{name}"),
                    "unknown_parameter",
                    "is not a parameter of this request",
                );
            } else if !repeatable.contains(&name.as_str())
                && self.0[..index].iter().any(|(earlier, _)| earlier == name)
            {
                errors.add(format!("query.{name}"), "duplicate", "must be given once");
            }
        }
    }

    /// The first value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// All values of a name.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// A value that parses as `T`; `expected` completes "expected …".
    pub fn parsed<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
        errors: &mut FieldErrors,
    ) -> Option<T> {
        let parsed = self.get(name)?.parse().ok();
        if parsed.is_none() {
            errors.add(format!("query.{name}"), "invalid", format!("expected {expected}"));
        }
        parsed
    }

    /// A whole number in `range`.
    pub fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        errors: &mut FieldErrors,
    ) -> Option<i64> {
        let text = self.get(name)?;
        let plain =
            !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit());
        let number =
            plain.then(|| text.parse().ok()).flatten().filter(|number| range.contains(number));
        if number.is_none() {
            let expected = if *range.end() == i64::MAX {
                format!("expected a whole number from {}", range.start())
            } else {
                format!("expected a whole number from {} to {}", range.start(), range.end())
            };
            errors.add(format!("query.{name}"), "out_of_range", expected);
        }
        number
    }

    /// An RFC 3339 time.
    pub fn time(&self, name: &str, errors: &mut FieldErrors) -> Option<Micros> {
        let text = self.get(name)?;
        let time = Micros::parse_rfc3339(text).ok();
        if time.is_none() {
            errors.add(
                format!("query.{name}"),
                "invalid",
                "expected an RFC 3339 time such as 2026-02-17T12:00:00Z",
            );
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_repeated_and_malformed_parameters_are_reported_together() {
        let query = Query::parse("limit=0&limit=5&stauts=paid&skip=-1&created_after=yesterday");
        let mut errors = FieldErrors::default();
        query.only(&["limit", "skip", "created_after"], &[], &mut errors);
        assert_eq!(query.integer("limit", 1..=100, &mut errors), None);
        assert_eq!(query.integer("skip", 0..=i64::MAX, &mut errors), None);
        assert_eq!(query.time("created_after", &mut errors), None);
        let text = format!("{:?}", errors.finish().unwrap_err());
        for part in
            ["query.limit", "duplicate", "query.stauts", "query.skip", "query.created_after"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
