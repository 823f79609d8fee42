//! Rows as JSON, and keys from text, by the names of the codecs' formats ([`Codec::format`](operators::Codec::format)).

use serde_json::Value;

/// Turns bytes of a format into JSON; `None`: it doesn't know the format, or the bytes aren't of it.
pub type Render = dyn Fn(&str, &[u8]) -> Option<Value> + Send + Sync;

/// The formats that are known without a schema: text, integers, the JSON of state rows.
#[must_use]
pub fn render_plain(format: &str, bytes: &[u8]) -> Option<Value> {
    match format {
        "utf8" => std::str::from_utf8(bytes).ok().map(Value::from),
        "i32-be" => Some(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        "u32-be" => Some(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        "i64-be" => Some(i64::from_be_bytes(bytes.try_into().ok()?).into()),
        "u64-be" => Some(u64::from_be_bytes(bytes.try_into().ok()?).into()),
        "unit" => Some(Value::Null),
        _ if format.starts_with("json-") => serde_json::from_slice(bytes).ok(),
        _ => None,
    }
}

/// What `render` makes of the bytes, else their digits.
pub(crate) fn shown(render: &Render, format: &str, bytes: &[u8]) -> Value {
    render(format, bytes).unwrap_or_else(|| format!("0x{}", digits(bytes)).into())
}

/// Hexadecimal digits.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a key that was given as text.
pub(crate) fn key_bytes(format: &str, text: &str) -> Result<Vec<u8>, String> {
    let number = |expected: &str| format!("key {text:?} can't be read: expected {expected}");
    match format {
        "utf8" => Ok(text.as_bytes().to_vec()),
        "i32-be" => {
            text.parse().map(i32::to_be_bytes).map(Into::into).map_err(|_| number("an i32"))
        }
        "u32-be" => text.parse().map(u32::to_be_bytes).map(Into::into).map_err(|_| number("a u32")),
        "i64-be" => {
            text.parse().map(i64::to_be_bytes).map(Into::into).map_err(|_| number("an i64"))
        }
        "u64-be" => text.parse().map(u64::to_be_bytes).map(Into::into).map_err(|_| number("a u64")),
        _ => text.strip_prefix("0x").and_then(bytes_of).ok_or_else(|| {
            format!(
                "key {text:?} can't be read: keys are {format}, expected 0x and hexadecimal digits"
            )
        }),
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_as_they_are_shown() {
        for (format, text) in
            [("utf8", "größe"), ("i64-be", "-7"), ("u32-be", "7"), ("bytes", "0x00ff")]
        {
            let bytes = key_bytes(format, text).unwrap();
            let value = shown(&render_plain, format, &bytes);
            assert_eq!(value.as_str().map_or_else(|| value.to_string(), str::to_owned), text);
        }
        for (format, text) in [("i64-be", "x"), ("bytes", "00"), ("bytes", "0x0"), ("bytes", "0xé")]
        {
            assert!(key_bytes(format, text).unwrap_err().contains("can't be read"), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_of_their_format_are_shown_as_digits() {
        assert_eq!(shown(&render_plain, "json-x-v1", b"{"), "0x7b");
        assert_eq!(shown(&render_plain, "utf8", &[0xFF]), "0xff");
        assert_eq!(shown(&render_plain, "i64-be", &[1]), "0x01");
        assert_eq!(shown(&render_plain, "json-x-v1", b"[1]"), serde_json::json!([1]));
    }
}
