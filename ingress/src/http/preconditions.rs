//! Conditional requests: `ETag: "<version>"`, `If-Match`, `If-None-Match`
//! (RFC 9110 §13).
//!
//! Invariant: an `If-Match` that cannot be a version never matches, so a client
//! that sends one by mistake is refused rather than ignored.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::error::ApiError;

/// The strong tag of a version.
#[must_use]
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\""))
        .unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// What `If-Match` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No such header.
    Absent,
    /// `*`: whatever it is, as long as it exists.
    Any,
    /// This version.
    Version(i64),
    /// Nothing this system ever issued (weak, several, not a number).
    Never,
}

/// Reads `If-Match`.
#[must_use]
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::IF_MATCH) {
            IfMatch::Never
        } else {
            IfMatch::Absent
        };
    };
    match value.to_str().map(str::trim) {
        Ok("*") => IfMatch::Any,
        Ok(text) => version_of(text).map_or(IfMatch::Never, IfMatch::Version),
        Err(_) => IfMatch::Never,
    }
}

/// `If-Match` of a change: the version the command must meet, if one is named.
///
/// # Errors
/// 428 if it is `required` and absent; 412 if it can't match.
pub fn expected_version(headers: &HeaderMap, required: bool) -> Result<Option<i64>, ApiError> {
    match if_match(headers) {
        IfMatch::Version(version) => Ok(Some(version)),
        IfMatch::Any => Ok(None),
        IfMatch::Absent if required => Err(ApiError::new(
            StatusCode::PRECONDITION_REQUIRED,
            "if_match_required",
            "Administrators change orders with If-Match: the ETag of the order as they saw it",
        )),
        IfMatch::Absent => Ok(None),
        IfMatch::Never => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "If-Match is not an ETag of this order",
        )),
    }
}

/// True if `If-None-Match` names this version or `*` (then 304). Weak
/// comparison, lists allowed.
#[must_use]
pub fn not_modified(headers: &HeaderMap, version: i64) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || version_of(tag.strip_prefix("W/").unwrap_or(tag)) == Some(version))
}

fn version_of(tag: &str) -> Option<i64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn if_match_is_read_strictly() {
        let of = |value| if_match(&headers(header::IF_MATCH, value));
        assert_eq!(of("\"3\""), IfMatch::Version(3));
        assert_eq!(of("*"), IfMatch::Any);
        for never in ["3", "W/\"3\"", "\"3\", \"4\"", "\"-1\"", "\"x\"", ""] {
            assert_eq!(of(never), IfMatch::Never, "{never}");
        }
        assert_eq!(if_match(&HeaderMap::new()), IfMatch::Absent);
    }

    #[test]
    fn if_none_match_is_read_generously() {
        for value in ["\"3\"", "W/\"3\"", "\"2\", \"3\"", "*"] {
            assert!(not_modified(&headers(header::IF_NONE_MATCH, value), 3), "{value}");
        }
        assert!(!not_modified(&headers(header::IF_NONE_MATCH, "\"4\""), 3));
        assert!(!not_modified(&HeaderMap::new(), 3));
    }
}
