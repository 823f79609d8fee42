//! Dead letters: the record as it came, with what went wrong in its headers (KIP-1034).

use std::error::Error;
use std::fmt::{self, Display};

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

/// An error with what it came from, one after the other. A cause that its error has named already isn't repeated.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("the order can't be read")]
        Order(#[source] Box<Failed>),
        #[error("line {0}: {1}")]
        Line(usize, #[source] std::num::ParseIntError),
    }

    #[test]
    fn a_message_has_the_causes_of_its_error() {
        let number = "x".parse::<i32>().unwrap_err();
        let failed = Failed::Order(Box::new(Failed::Line(3, number)));
        let said = Chain(&failed).to_string();
        assert_eq!(said, "the order can't be read: line 3: invalid digit found in string");
    }
}
