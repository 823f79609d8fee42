//! Appending from asynchronous code: the acknowledgement as a future.
//!
//! Invariant: the record is handed to the log when [`AppendExt::appended`] is
//! called, not when the future is polled; dropping the future changes nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::{Appended, Appender, LogError, NewRecord};

/// [`Appender::append`] with a future in place of a callback.
pub trait AppendExt: Appender {
    /// Appends now; the future ends with partition and offset once the record
    /// is durable, or with why not, at the latest after the delivery timeout.
    fn appended(&self, topic: &str, partition: Option<u32>, record: NewRecord<'_>) -> Acknowledged {
        let (sender, receiver) = oneshot::channel();
        // Nobody waits any more when the receiver is gone; that is fine.
        let done = Box::new(move |appended| drop(sender.send(appended)));
        self.append(topic, partition, record, done);
        Acknowledged { receiver }
    }
}

impl<A: Appender + ?Sized> AppendExt for A {}

/// Ends when the log has answered.
#[derive(Debug)]
#[must_use = "a record that nobody waits for may be lost without notice"]
pub struct Acknowledged {
    receiver: oneshot::Receiver<Appended>,
}

impl Future for Acknowledged {
    type Output = Appended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| {
                Err(LogError::Unknown("the log ended before it answered an append".to_owned()))
            })
        })
    }
}
