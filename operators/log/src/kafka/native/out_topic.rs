//! A topic that records are sent to, looked up once.

use std::ffi::{CString, c_void};
use std::mem;
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_vtype_t as Field;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, OwnedHeaders};
use rdkafka::producer::{Producer, ProducerContext};

use super::super::outgoing::{headers_of, timestamp_of};
use super::Served;
use crate::record::NewRecord;

/// librdkafka's handle of a topic, which keeps its producer alive.
pub(in crate::kafka) struct OutTopic<C: ProducerContext + 'static> {
    native: *mut native::rd_kafka_topic_t,
    producer: Arc<Served<C>>,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl<C: ProducerContext + 'static> Send for OutTopic<C> {}

impl<C: ProducerContext<DeliveryOpaque = usize> + 'static> OutTopic<C> {
    pub(in crate::kafka) fn open(
        producer: &Arc<Served<C>>,
        topic: &str,
    ) -> Result<Self, KafkaError> {
        let name = CString::new(topic)?;
        let rk = producer.client().native_ptr();
        // SAFETY: `rk` lives as long as the producer, which is kept; null is "the default settings".
        let native = unsafe { native::rd_kafka_topic_new(rk, name.as_ptr(), ptr::null_mut()) };
        if native.is_null() {
            // SAFETY: says why the last call of this thread failed.
            let why = unsafe { native::rd_kafka_last_error() };
            return Err(KafkaError::MessageProduction(why.into()));
        }
        Ok(Self { native, producer: Arc::clone(producer) })
    }

    /// Copies the record into the producer's queue; `opaque` comes back with its delivery.
    pub(in crate::kafka) fn send(
        &self,
        partition: i32,
        record: &NewRecord<'_>,
        opaque: usize,
    ) -> Result<(), Code> {
        let headers = headers_of(record);
        let list: *const BorrowedHeaders =
            headers.as_ref().map_or(ptr::null(), |headers| ptr::from_ref(headers.as_borrowed()));
        let (key, key_len) = parts(record.key);
        let (value, value_len) = parts(record.value);
        // SAFETY: a list of pairs as `rd_kafka_producev` wants them; what the pointers lead to lives
        // for the call, which copies key and value. A `&BorrowedHeaders` is librdkafka's own pointer.
        let code = unsafe {
            native::rd_kafka_producev(
                self.producer.client().native_ptr(),
                Field::RD_KAFKA_VTYPE_RKT,
                self.native,
                Field::RD_KAFKA_VTYPE_PARTITION,
                partition,
                Field::RD_KAFKA_VTYPE_MSGFLAGS,
                native::RD_KAFKA_MSG_F_COPY,
                Field::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Field::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Field::RD_KAFKA_VTYPE_OPAQUE,
                opaque as *mut c_void,
                Field::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp_of(record),
                Field::RD_KAFKA_VTYPE_HEADERS,
                list,
                Field::RD_KAFKA_VTYPE_END,
            )
        };
        match Code::from(code) {
            Code::NoError => {
                mem::forget::<Option<OwnedHeaders>>(headers); // librdkafka's now
                Ok(())
            }
            code => Err(code),
        }
    }
}

fn parts(bytes: Option<&[u8]>) -> (*const c_void, usize) {
    bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr().cast(), bytes.len()))
}

impl<C: ProducerContext + 'static> Drop for OutTopic<C> {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once, before the producer.
        unsafe { native::rd_kafka_topic_destroy(self.native) }
    }
}
