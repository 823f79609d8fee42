//! Dead letters: the record as it came, with what went wrong in its headers (KIP-1034).

use std::fmt::Display;

use crate::headers::Headers;

/// Where records go that can't be processed.
pub const DEAD_LETTERS: &str = "dead_letters";

/// Where a record was when it failed, and why.
pub(crate) struct Cause<'a> {
    pub(crate) application: &'a str,
    pub(crate) node: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    /// The record's own time; the letter's is that of its burial.
    pub(crate) timestamp: i64,
    /// The kind of failure, where Kafka Streams has the exception's class.
    pub(crate) exception: &'a str,
    pub(crate) message: &'a dyn Display,
}

/// The record's own headers and the cause.
pub(crate) fn headers(own: &Headers, cause: &Cause<'_>) -> Headers {
    let mut headers = own.clone();
    let mut set = |name: &str, value: &dyn Display| headers.set(name, value.to_string().as_bytes());
    set("__streams.errors.exception", &cause.exception);
    set("__streams.errors.message", cause.message);
    set("__streams.errors.topic", &cause.topic);
    set("__streams.errors.partition", &cause.partition);
    set("__streams.errors.offset", &cause.offset);
    set("orders.timestamp", &cause.timestamp);
    set("orders.node", &cause.node);
    set("orders.application", &cause.application);
    headers
}
