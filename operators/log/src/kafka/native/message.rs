//! A consumed message, as librdkafka holds it.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ptr;
use std::slice;

use rdkafka::bindings as native;
use rdkafka::error::RDKafkaErrorCode;

/// Borrows a message for as long as its queue's batch.
#[derive(Clone, Copy)]
pub(in crate::kafka) struct Fetched<'b>(&'b native::rd_kafka_message_t);

impl<'b> Fetched<'b> {
    /// # Safety
    /// `message` came from librdkafka and isn't destroyed before `'b` ends.
    pub(super) unsafe fn new(message: &'b native::rd_kafka_message_t) -> Self {
        Self(message)
    }

    pub(in crate::kafka) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Milliseconds since 1970; −1 where the log has none.
    pub(in crate::kafka) fn timestamp(&self) -> i64 {
        // SAFETY: a message of librdkafka; null is allowed for the kind of timestamp.
        unsafe { native::rd_kafka_message_timestamp(self.0, ptr::null_mut()) }
    }

    pub(in crate::kafka) fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: `key_len` bytes at `key`, kept as long as the message; null is no key.
        (!self.0.key.is_null())
            .then(|| unsafe { slice::from_raw_parts(self.0.key.cast(), self.0.key_len) })
    }

    pub(in crate::kafka) fn value(&self) -> Option<&'b [u8]> {
        // SAFETY: `len` bytes at `payload`, kept as long as the message; null is no value.
        (!self.0.payload.is_null())
            .then(|| unsafe { slice::from_raw_parts(self.0.payload.cast(), self.0.len) })
    }

    pub(in crate::kafka) fn headers(&self) -> Headers<'b> {
        let mut list = ptr::null_mut();
        // SAFETY: a message of librdkafka, which keeps the list of headers with it.
        let found = unsafe { native::rd_kafka_message_headers(self.0, &raw mut list) };
        let found = RDKafkaErrorCode::from(found) == RDKafkaErrorCode::NoError;
        Headers { list: if found { list } else { ptr::null() }, next: 0, message: PhantomData }
    }
}

/// Names and values of headers, as they are on the log.
pub(in crate::kafka) struct Headers<'b> {
    /// Null: there are none.
    list: *const native::rd_kafka_headers_t,
    next: usize,
    message: PhantomData<&'b ()>,
}

impl<'b> Iterator for Headers<'b> {
    type Item = (&'b [u8], Option<&'b [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.list.is_null() {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: a list that lives as long as its message; the call writes to the three locals.
        let result = unsafe {
            native::rd_kafka_header_get_all(
                self.list,
                self.next,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            )
        };
        if RDKafkaErrorCode::from(result) != RDKafkaErrorCode::NoError || name.is_null() {
            return None;
        }
        self.next += 1;
        // SAFETY: librdkafka ends names with a zero byte and keeps them as long as the list.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        // SAFETY: `size` bytes at `value`, kept as long as the list; null is no value.
        let value =
            (!value.is_null()).then(|| unsafe { slice::from_raw_parts(value.cast(), size) });
        Some((name, value))
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{BorrowedHeaders, Header, OwnedHeaders};

    use super::*;

    #[test]
    fn headers_are_read_in_order_with_and_without_values() {
        let owned = OwnedHeaders::new()
            .insert(Header { key: "a", value: Some("1") })
            .insert(Header { key: "", value: Some("") })
            .insert(Header::<&str> { key: "a", value: None });
        let borrowed: *const BorrowedHeaders = owned.as_borrowed();
        // A `&BorrowedHeaders` is librdkafka's own pointer under another type.
        let headers = Headers { list: borrowed.cast(), next: 0, message: PhantomData };
        assert_eq!(
            headers.collect::<Vec<_>>(),
            [(&b"a"[..], Some(&b"1"[..])), (&b""[..], Some(&b""[..])), (&b"a"[..], None)]
        );
    }
}
