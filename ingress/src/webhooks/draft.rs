//! From JSON to a registration's members.

use axum::http::{HeaderName, HeaderValue};
use read_model::webhook_target::TargetPolicy;
use schemas::messages::OrderEventType;
use serde_json::{Map, Value};

use super::target;
use crate::http::{ApiError, FieldErrors, Members, contents};

/// What a body sets; none where the member is absent.
#[derive(Debug, Default)]
pub struct Draft {
    /// Checked.
    pub url: Option<String>,
    /// 1–50 names, no duplicates.
    pub events: Option<Vec<String>>,
    /// Some(None) removes it.
    pub description: Option<Option<String>>,
    /// Per-order ordering.
    pub ordered: Option<bool>,
    /// Some(None) removes them.
    pub headers: Option<Option<Map<String, Value>>>,
    /// Only when changing.
    pub enabled: Option<bool>,
}

/// Headers that are the dispatcher's own.
const RESERVED: [&str; 11] = [
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "traceparent",
];

/// Reads a body. `create` makes `url` and `events` required.
///
/// # Errors
/// 422 with everything that is wrong.
pub async fn read(body: &Value, create: bool, targets: &TargetPolicy) -> Result<Draft, ApiError> {
    let mut errors = FieldErrors::default();
    contents::refuse(body, &mut errors);
    let members = Members::of_body(body)?;
    let known: &[&str] = if create {
        &["url", "events", "description", "ordering", "headers"]
    } else {
        &["url", "events", "description", "ordering", "headers", "status"]
    };
    members.only(known, &mut errors);
    if create {
        members.required("url", &mut errors);
        members.required("events", &mut errors);
    } else {
        for name in ["url", "events", "ordering", "status"] {
            if members.raw(name).is_some_and(Value::is_null) {
                errors.add(name, "required", "can be replaced, not removed");
            }
        }
    }
    let url = match members.optional_text("url", 1..=2_048, &mut errors) {
        Some(text) => match target::check(text, targets).await {
            Ok(url) => Some(url.to_string()),
            Err((code, message)) => {
                errors.add("url", code, message);
                None
            }
        },
        None => None,
    };
    let draft = Draft {
        url,
        events: members.get("events").and_then(|value| events(value, &mut errors)),
        description: members.raw("description").map(|_| {
            members.optional_text("description", 0..=500, &mut errors).map(ToOwned::to_owned)
        }),
        ordered: one_of(&members, "ordering", ("order", "none"), &mut errors),
        headers: members
            .raw("headers")
            .map(|value| if value.is_null() { None } else { headers(value, &mut errors) }),
        enabled: one_of(&members, "status", ("enabled", "disabled"), &mut errors),
    };
    errors.finish()?;
    Ok(draft)
}

/// True for the first name, false for the second.
fn one_of(
    members: &Members<'_>,
    name: &str,
    (yes, no): (&str, &str),
    errors: &mut FieldErrors,
) -> Option<bool> {
    let value = members.get(name)?;
    match value.as_str() {
        Some(text) if text == yes => Some(true),
        Some(text) if text == no => Some(false),
        _ => {
            errors.add(name, "invalid", format!("expected \"{yes}\" or \"{no}\""));
            None
        }
    }
}

fn events(value: &Value, errors: &mut FieldErrors) -> Option<Vec<String>> {
    let Value::Array(names) = value else {
        errors.add("events", "wrong_type", "expected an array");
        return None;
    };
    if names.is_empty() || names.len() > 50 {
        errors.add("events", "length", "expected 1 to 50 filters");
        return None;
    }
    let mut read: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name.as_str().and_then(public_name) else {
            errors.add(
                format!("events[{index}]"),
                "unknown_event",
                "expected an event name such as order.paid, order.* or *",
            );
            continue;
        };
        if read.iter().any(|earlier| earlier == name) {
            errors.add(
                format!("events[{index}]"),
                "duplicate",
                "is there twice; order.payment_processed and order.paid are one",
            );
            continue;
        }
        read.push(name.to_owned());
    }
    Some(read)
}

/// The name as webhooks use it; the alias becomes the name.
fn public_name(name: &str) -> Option<&'static str> {
    match name {
        "*" => Some("*"),
        "order.*" => Some("order.*"),
        _ => OrderEventType::ALL
            .into_iter()
            .find(|event| event.public_name() == name || event.as_str() == name)
            .map(OrderEventType::public_name),
    }
}

fn headers(value: &Value, errors: &mut FieldErrors) -> Option<Map<String, Value>> {
    let Value::Object(members) = value else {
        errors.add("headers", "wrong_type", "expected an object");
        return None;
    };
    if members.len() > 20 {
        errors.add("headers", "length", "expected at most 20 headers");
        return None;
    }
    let mut read = Map::new();
    for (name, value) in members {
        let lower = name.to_ascii_lowercase();
        let field = format!("headers.{name}");
        if HeaderName::try_from(&lower).is_err() || name.len() > 100 {
            errors.add(field, "invalid", "is not a header name");
        } else if lower.starts_with("webhook-") || RESERVED.contains(&lower.as_str()) {
            errors.add(field, "reserved", "is set by the sender itself");
        } else if !value
            .as_str()
            .is_some_and(|text| text.len() <= 1_000 && HeaderValue::from_str(text).is_ok())
        {
            errors.add(field, "invalid", "expected a header value of at most 1,000 characters");
        } else if read.insert(lower, value.clone()).is_some() {
            errors.add(field, "duplicate", "is there twice");
        }
    }
    Some(read)
}
