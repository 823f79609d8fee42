//! Keeps a trace going over timers: a state remembers the trace context of the
//! last record that changed it, and what a timer says later carries it on.

use operators::Headers;
use serde::{Deserialize, Serialize};

/// The W3C trace context's header.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// A state and the trace it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traced<S> {
    /// `traceparent` of the last record that changed the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<String>,
    /// The state.
    pub(crate) state: S,
}

/// The trace of the record at work; a timer's is the one its state kept.
pub(crate) fn trace_of<S>(headers: &Headers, state: Option<&Traced<S>>) -> Option<String> {
    of_record(headers).or_else(|| state.and_then(|state| state.trace.clone()))
}

/// The trace a record belongs to.
pub(crate) fn of_record(headers: &Headers) -> Option<String> {
    let trace = std::str::from_utf8(headers.get(TRACEPARENT)?);
    trace.ok().map(str::to_owned)
}

/// The headers of a record that says what happened: its trace and nothing of
/// what the record at work carried besides.
pub(crate) fn headers(trace: Option<&str>) -> Headers {
    let mut headers = Headers::new();
    if let Some(trace) = trace {
        headers.push(TRACEPARENT, trace.as_bytes());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_goes_on_with_the_kept_trace() {
        let kept = Traced { trace: Some("00-a-b-01".to_owned()), state: () };
        assert_eq!(trace_of(&Headers::new(), Some(&kept)).as_deref(), Some("00-a-b-01"));
        let newer = headers(Some("00-c-d-01"));
        assert_eq!(trace_of(&newer, Some(&kept)).as_deref(), Some("00-c-d-01"));
        assert_eq!(trace_of::<()>(&Headers::new(), None), None);
        assert!(headers(None).is_empty());
    }
}
