//! The service outside: it answers late, out of order, sometimes with a failure, and of some requests not at all before
//! its cause is mended.

use std::sync::mpsc;
use std::time::Duration;

use log::NewRecord;
use log::contract::Scene;
use operators::{Call, CallError};
use runtime::{Completion, Worker};

use crate::flow::{Mended, number, score};
use crate::script::PARTITIONS;

/// How long calls are collected before they are answered, the last one first.
const LATE: Duration = Duration::from_millis(10);

/// Calls that were made: request, id, and the attempt as a header.
pub(crate) const ASKED: &str = "asked";

/// What it says in the end.
pub(crate) fn reply(request: &str) -> String {
    format!("scored {}", number(request) % 10)
}

/// Whether it has no answer to this as long as its cause isn't mended.
fn is_stuck(request: &str) -> bool {
    number(request) % 60 == 2
}

struct Open {
    call: Call,
    request: String,
    completion: Completion<str>,
}

/// Lets a worker's calls be answered, and writes them down.
pub(crate) fn attach(worker: &mut Worker, scene: &Scene, mended: Mended) {
    let (sender, receiver) = mpsc::channel::<Open>();
    let (book, topic) = (scene.log.appender("service").unwrap(), scene.name(ASKED));
    worker.on_call(&score(), move |call, request, completion| {
        let attempt = call.attempt.to_be_bytes();
        let record = NewRecord {
            key: Some(request.as_bytes()),
            value: Some(call.id.as_bytes()),
            timestamp: system_tests::member::now_ms(),
            headers: &[("attempt", &attempt)],
        };
        let partition = Some(number(request) as u32 % PARTITIONS);
        book.append(&topic, partition, record, Box::new(|written| assert!(written.is_ok())));
        let (call, request) = (call.clone(), request.to_owned());
        // A service that is gone fails the call.
        drop(sender.send(Open { call, request, completion }));
    });
    std::thread::spawn(move || {
        let mut open = Vec::new();
        loop {
            match receiver.recv_timeout(LATE) {
                Ok(call) => open.push(call),
                Err(mpsc::RecvTimeoutError::Timeout) => answer(&mut open, mended()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    });
}

fn answer(open: &mut Vec<Open>, mended: bool) {
    let (now, later) =
        std::mem::take(open).into_iter().partition(|it| mended || !is_stuck(&it.request));
    *open = later;
    let now: Vec<Open> = now;
    for Open { call, request, completion } in now.into_iter().rev() {
        match call.attempt == 1 && number(&request).is_multiple_of(3) {
            true => completion.complete(Err(CallError::Failed("busy".to_owned()))),
            false => completion.complete(Ok(&reply(&request))),
        }
    }
}
