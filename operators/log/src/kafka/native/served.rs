//! A producer and the thread that takes its deliveries.
//!
//! In place of rdkafka's `ThreadedProducer`, whose thread polls for 100 ms at a time and spends the last of them in a loop
//! without a pause, because what is left rounds down to 0 ms: 1 % of a core for each producer, busy or idle.
//!
//! Invariants: the thread sleeps while librdkafka's queue is empty, and nothing stays in the queue while it sleeps;
//! whatever was sent has its delivery told, at the latest while this is dropped.

use std::ffi::c_void;
use std::io;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext, PurgeConfig};

use super::{millis, raise};
use crate::signal::{Signal, deadline_after};

/// The thread looks for the end this often, though it is told.
const LOOKS: Duration = Duration::from_secs(60);

/// How long a drop waits for the deliveries of what it gave up; they need no broker, only their thread.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// A [`BaseProducer`] that needs no polling.
pub(in crate::kafka) struct Served<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    arrived: Arc<Signal>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Served<C> {
    pub(in crate::kafka) fn connect(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let producer = Arc::new(BaseProducer::from_config_and_context(config, context)?);
        let (arrived, over) = (Arc::new(Signal::default()), Arc::new(AtomicBool::new(false)));
        let reports = Reports::open(&producer, &arrived);
        let ended = Arc::clone(&over);
        let thread = thread::Builder::new()
            .name("deliveries".to_owned())
            .spawn(move || reports.serve(&ended))
            .map_err(|error: io::Error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, arrived, over, thread: Some(thread) })
    }

    /// Waits until nothing is unacknowledged.
    pub(in crate::kafka) fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        // SAFETY: the native client lives as long as the producer, and rd_kafka_flush may be called from any thread.
        let result = unsafe { native::rd_kafka_flush(self.client().native_ptr(), millis(timeout)) };
        match Code::from(result) {
            Code::NoError => Ok(()),
            code => Err(KafkaError::Flush(code)),
        }
    }
}

impl<C: ProducerContext + 'static> Deref for Served<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Served<C> {
    fn drop(&mut self) {
        let thread = self.thread.take();
        // The last to let go may have been a delivery. Its thread can't wait for itself, and what it doesn't come to is told
        // by the drop of rdkafka's producer, on that thread.
        let is_own = |it: &JoinHandle<()>| it.thread().id() == thread::current().id();
        let waits_for_itself = thread.as_ref().is_some_and(is_own);
        if !waits_for_itself {
            // Here and not by rdkafka's drop, which comes when the thread has ended and gives up after half a second.
            self.producer.purge(PurgeConfig::default().queue().inflight());
            if let Err(error) = self.flush(GIVEN_UP) {
                tracing::error!(%error, "not every delivery of a producer that ends was told");
            }
        }
        self.over.store(true, Ordering::Release);
        self.arrived.raise();
        if !waits_for_itself && thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that takes a producer's deliveries panicked");
        }
    }
}

/// librdkafka's queue of what a producer is told.
struct Reports<C: ProducerContext + 'static> {
    native: *mut native::rd_kafka_queue_t,
    /// Raised from librdkafka's threads while the queue is open.
    arrived: Arc<Signal>,
    /// Outlives the queue.
    producer: Arc<BaseProducer<C>>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl<C: ProducerContext + 'static> Send for Reports<C> {}

impl<C: ProducerContext + 'static> Reports<C> {
    /// `arrived` is raised whenever the queue stops being empty.
    fn open(producer: &Arc<BaseProducer<C>>, arrived: &Arc<Signal>) -> Self {
        let (producer, arrived) = (Arc::clone(producer), Arc::clone(arrived));
        let opaque = Arc::as_ptr(&arrived).cast_mut().cast::<c_void>();
        // SAFETY: the client lives as long as the producer, which is kept; the queue is ours until it is destroyed at the
        // drop, which disables the call first; until then the signal is kept.
        let queue = unsafe {
            let queue = native::rd_kafka_queue_get_main(producer.client().native_ptr());
            native::rd_kafka_queue_cb_event_enable(queue, Some(raise), opaque);
            queue
        };
        Self { native: queue, arrived, producer }
    }

    /// Until the producer is dropped; then what has arrived is still taken.
    fn serve(&self, over: &AtomicBool) {
        loop {
            let seen = self.arrived.seen();
            let ends = over.load(Ordering::Acquire);
            // SAFETY: the queue is ours.
            while unsafe { native::rd_kafka_queue_length(self.native) } > 0 {
                self.producer.poll(Duration::ZERO);
            }
            if ends {
                return;
            }
            self.arrived.wait(seen, deadline_after(LOOKS));
        }
    }
}

impl<C: ProducerContext + 'static> Drop for Reports<C> {
    fn drop(&mut self) {
        // SAFETY: no call of `raise` begins after the first line; the queue is ours, and destroyed once.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.native, None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.native);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::sync::mpsc::{Sender, channel};

    use parking_lot::Mutex;
    use rdkafka::client::ClientContext;
    use rdkafka::message::DeliveryResult;
    use rdkafka::producer::BaseRecord;

    use super::*;

    /// Tells of each delivery, after it has let go of what it is to let go of.
    struct Told {
        to: Mutex<Sender<usize>>,
        last: Arc<Mutex<Option<Box<dyn Any + Send>>>>,
    }

    impl ClientContext for Told {}

    impl ProducerContext for Told {
        type DeliveryOpaque = usize;

        fn delivery(&self, _: &DeliveryResult<'_>, number: usize) {
            drop(self.last.lock().take());
            self.to.lock().send(number).unwrap();
        }
    }

    /// Nobody listens there.
    fn nowhere() -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("message.timeout.ms", "300");
        config
    }

    #[test]
    fn a_drop_tells_every_delivery_once() {
        let (to, told) = channel();
        let context = Told { to: Mutex::new(to), last: Arc::default() };
        let mut config = nowhere();
        config.set("message.timeout.ms", "300000");
        let producer = Served::connect(&config, context).unwrap();
        for number in 0..3_000 {
            let topic = ["a", "b", "c"][number % 3];
            let record = BaseRecord::<str, str, usize>::with_opaque_to(topic, number).payload("v");
            assert!(producer.send(record).is_ok());
        }
        drop(producer);
        let mut numbers: Vec<usize> = told.try_iter().collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..3_000));
    }

    #[test]
    fn a_delivery_may_be_the_last_to_let_go_of_its_producer() {
        let (to, told) = channel();
        let last = Arc::default();
        let context = Told { to: Mutex::new(to), last: Arc::clone(&last) };
        let producer = Served::connect(&nowhere(), context).unwrap();
        for number in 0..2 {
            let record = BaseRecord::<str, str, usize>::with_opaque_to("a", number).payload("v");
            assert!(producer.send(record).is_ok());
        }
        *last.lock() = Some(Box::new(producer));
        for _ in 0..2 {
            told.recv_timeout(Duration::from_secs(60)).expect("nobody waits for itself");
        }
        assert!(told.recv_timeout(Duration::from_secs(60)).is_err(), "its thread has ended");
    }
}
