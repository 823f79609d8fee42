//! Strict JSON: bytes to a value, and a value to the canonical bytes that a
//! fingerprint is taken of.
//!
//! Invariant: numbers keep the text they came with (money is parsed from that
//! text, never from a float), and an object with two members of one name is
//! refused, because readers disagree on which one counts (RFC 8259 §4).

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use sha2::{Digest, Sha256};

/// Why bytes are not a JSON document. Answers 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON: {0}")]
pub struct NotJson(String);

/// Reads one document.
///
/// # Errors
/// Invalid UTF-8, bad syntax, trailing bytes, duplicate members, nesting deeper
/// than 128. The message never quotes the document.
pub fn parse(bytes: &[u8]) -> Result<Value, NotJson> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| NotJson(format!("invalid UTF-8 after byte {}", error.valid_up_to())))?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader).map_err(without_content)?;
    reader.end().map_err(without_content)?;
    Ok(value)
}

/// SHA-256 of the canonical form, hex: equal for documents that are equal up to
/// the order of members and white space.
#[must_use]
pub fn fingerprint(value: &Value) -> String {
    let mut text = String::with_capacity(512);
    canonical(value, &mut text);
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Members sorted by name, no white space, numbers as they came.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_unstable();
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                canonical(&members[name], out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// serde_json's messages may quote member names; only ours (no content) and the
/// position may reach the caller.
fn without_content(error: serde_json::Error) -> NotJson {
    let (line, column) = (error.line(), error.column());
    let what = if error.to_string().starts_with(DUPLICATE) { DUPLICATE } else { "syntax error" };
    NotJson(format!("{what} at line {line} column {column}"))
}

const DUPLICATE: &str = "duplicate member";

/// How serde_json hands over a number whose text is kept (`arbitrary_precision`).
const NUMBER_TOKEN: &str = "$serde_json::private::Number";

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Strict)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == NUMBER_TOKEN {
                let text: String = members.next_value()?;
                return text.parse::<Number>().map(Value::Number).map_err(de::Error::custom);
            }
            let value = members.next_value_seed(Strict)?;
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom(DUPLICATE));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let value =
            parse(br#"{"a": 59.980, "b": 123456789012345678901234567890.10, "c": -0}"#).unwrap();
        assert_eq!(value["a"].to_string(), "59.980");
        assert_eq!(value["b"].to_string(), "123456789012345678901234567890.10");
    }

    #[test]
    fn duplicate_members_are_refused_at_any_depth_without_quoting_them() {
        let error = parse(br#"{"a": [{"secret": 1, "secret": 2}]}"#).unwrap_err().to_string();
        assert!(error.contains("duplicate member"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn bytes_that_are_not_json_are_refused() {
        for bytes in [&b"{"[..], b"", b"{} {}", b"\"\xff\"", b"{'a':1}", b"[1,]", b"01", b"NaN"] {
            assert!(parse(bytes).is_err(), "{bytes:?}");
        }
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn fingerprints_ignore_member_order_and_space_only() {
        let one = parse(br#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#).unwrap();
        let same = parse(br#" { "b" : {"d":"x","c":[1, 2]}, "a":1 } "#).unwrap();
        let other = parse(br#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#).unwrap();
        assert_eq!(fingerprint(&one), fingerprint(&same));
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
