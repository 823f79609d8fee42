//! Checking the members of a JSON object and collecting everything that is
//! wrong, so that a caller sees all errors at once (`contract.md` §1.2).
//!
//! Invariant: messages say what is expected; they never quote the value, which
//! could be a card number or a password.

use std::ops::RangeInclusive;

use schemas::messages::FieldError;
use schemas::pan::contains_card_number;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::place::LONGEST;

/// What was wrong with one request: everything, up to [`FieldErrors::MOST`].
#[derive(Debug, Default)]
pub struct FieldErrors {
    list: Vec<FieldError>,
    /// Errors found, the same one twice included.
    found: usize,
}

/// What to do with members nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// POST orders.
    Ignored,
    /// Everywhere else.
    Refused,
}

impl FieldErrors {
    /// Most errors of one answer, which may not be larger than its request.
    pub const MOST: usize = 100;

    /// Adds one error, unless it is known or the list is full. `field` is a path
    /// such as `items[2].price`; what doesn't fit an answer is cut off.
    pub fn add(&mut self, field: impl Into<String>, code: &str, message: impl Into<String>) {
        if self.is_full() {
            return;
        }
        self.found += 1;
        let mut field = field.into();
        // Unknown names are the caller's text. Asked before the cut: the first
        // digits of a card number are no number to be found any more.
        if contains_card_number(&field) {
            "(hidden)".clone_into(&mut field);
        }
        field.truncate(field.floor_char_boundary(LONGEST));
        if !self.list.iter().any(|known| known.field == field && known.code == code) {
            self.list.push(FieldError { field, code: code.to_owned(), message: message.into() });
        }
    }

    /// True when no more errors are taken: a walk may stop here.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.found >= Self::MOST
    }

    /// True while nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// # Errors
    /// 422 with everything collected, if anything was.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.list.is_empty() { Ok(()) } else { Err(ApiError::invalid(self.list)) }
    }
}

/// The members of one object at one path.
#[derive(Debug)]
pub struct Members<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    /// The document itself, which must be an object.
    ///
    /// # Errors
    /// 422 if it is something else.
    pub fn of_body(body: &'a Value) -> Result<Self, ApiError> {
        match body {
            Value::Object(map) => Ok(Self { path: String::new(), map }),
            _ => Err(ApiError::invalid_field("", "wrong_type", "expected an object")),
        }
    }

    /// An object at a path; reports and returns none if it is something else.
    pub fn of(value: &'a Value, path: impl Into<String>, errors: &mut FieldErrors) -> Option<Self> {
        let path = path.into();
        if let Value::Object(map) = value {
            return Some(Self { path, map });
        }
        errors.add(path, "wrong_type", "expected an object");
        None
    }

    /// The path of a member.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Reports members outside `known`.
    pub fn only(&self, known: &[&str], errors: &mut FieldErrors) {
        for name in self.map.keys().filter(|name| !known.contains(&name.as_str())) {
            if errors.is_full() {
                return;
            }
            errors.add(self.path(name), "unknown_member", "is not a member of this request");
        }
    }

    /// The member as it is; null counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// The member as it is, null included.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    /// The member, which must be there.
    pub fn required(&self, name: &str, errors: &mut FieldErrors) -> Option<&'a Value> {
        let value = self.get(name);
        if value.is_none() {
            errors.add(self.path(name), "required", "is required");
        }
        value
    }

    /// Text whose length in characters is in `length`, without control
    /// characters; absent is none.
    pub fn optional_text(
        &self,
        name: &str,
        length: RangeInclusive<usize>,
        errors: &mut FieldErrors,
    ) -> Option<&'a str> {
        let value = self.get(name)?;
        let Value::String(text) = value else {
            errors.add(self.path(name), "wrong_type", "expected a string");
            return None;
        };
        let count = text.chars().count();
        if !length.contains(&count) {
            errors.add(
                self.path(name),
                "length",
                format!("expected {} to {} characters", length.start(), length.end()),
            );
            return None;
        }
        if text.chars().any(|c| c.is_control()) {
            errors.add(self.path(name), "control_character", "must not contain control characters");
            return None;
        }
        if *length.start() > 0 && text.trim().is_empty() {
            errors.add(self.path(name), "blank", "must not be blank");
            return None;
        }
        Some(text)
    }

    /// Text that must be there.
    pub fn text(
        &self,
        name: &str,
        length: RangeInclusive<usize>,
        errors: &mut FieldErrors,
    ) -> Option<&'a str> {
        self.required(name, errors)?;
        self.optional_text(name, length, errors)
    }

    /// A whole number in `range`; `2.0` and `"2"` are refused. Absent is none.
    pub fn optional_integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        errors: &mut FieldErrors,
    ) -> Option<i64> {
        let value = self.get(name)?;
        match value.as_i64().filter(|number| value.is_number() && range.contains(number)) {
            Some(number) => Some(number),
            None if value.is_number() => {
                errors.add(
                    self.path(name),
                    "out_of_range",
                    format!("expected a whole number from {} to {}", range.start(), range.end()),
                );
                None
            }
            None => {
                errors.add(self.path(name), "wrong_type", "expected a whole number");
                None
            }
        }
    }

    /// A whole number that must be there.
    pub fn integer(
        &self,
        name: &str,
        range: RangeInclusive<i64>,
        errors: &mut FieldErrors,
    ) -> Option<i64> {
        self.required(name, errors)?;
        self.optional_integer(name, range, errors)
    }

    /// True, false, or absent.
    pub fn optional_bool(&self, name: &str, errors: &mut FieldErrors) -> Option<bool> {
        let value = self.get(name)?;
        if value.as_bool().is_none() {
            errors.add(self.path(name), "wrong_type", "expected true or false");
        }
        value.as_bool()
    }

    /// Text that parses as `T`; `expected` completes "expected …".
    pub fn optional_parsed<T: std::str::FromStr>(
        &self,
        name: &str,
        expected: &str,
        errors: &mut FieldErrors,
    ) -> Option<T> {
        let value = self.get(name)?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            let code = if value.is_string() { "invalid" } else { "wrong_type" };
            errors.add(self.path(name), code, format!("expected {expected}"));
        }
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_come_at_once_with_paths() {
        let body =
            serde_json::json!({"item": {"quantity": 0, "name": "", "on": "yes"}, "extra": 1});
        let mut errors = FieldErrors::default();
        let members = Members::of_body(&body).unwrap();
        members.only(&["item"], &mut errors);
        let item = Members::of(members.get("item").unwrap(), "item", &mut errors).unwrap();
        item.integer("quantity", 1..=10, &mut errors);
        item.text("name", 1..=10, &mut errors);
        item.optional_bool("on", &mut errors);
        item.text("missing", 1..=10, &mut errors);
        let found: Vec<_> =
            errors.list.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect();
        assert_eq!(
            found,
            [
                ("extra", "unknown_member"),
                ("item.quantity", "out_of_range"),
                ("item.name", "length"),
                ("item.on", "wrong_type"),
                ("item.missing", "required")
            ]
        );
    }

    #[test]
    fn a_flood_of_errors_and_long_names_fill_one_short_list() {
        let names = (0..100_000).map(|index| (format!("{index}{}", "é".repeat(150)), Value::Null));
        let body = Value::Object(names.collect());
        let mut errors = FieldErrors::default();
        Members::of_body(&body).unwrap().only(&[], &mut errors);
        assert_eq!(errors.list.len(), FieldErrors::MOST);
        assert!(errors.list.iter().all(|error| error.field.len() <= LONGEST));
        assert!(format!("{:?}", errors.finish().unwrap_err()).contains("100 or more"));
    }

    #[test]
    fn fractions_and_texts_are_not_whole_numbers() {
        for text in ["2.0", "\"2\"", "1e0", "99999999999999999999"] {
            let body = super::super::json::parse(format!("{{\"n\":{text}}}").as_bytes()).unwrap();
            let mut errors = FieldErrors::default();
            assert_eq!(
                Members::of_body(&body).unwrap().integer("n", 1..=10, &mut errors),
                None,
                "{text}"
            );
            assert!(!errors.is_empty());
        }
    }
}
