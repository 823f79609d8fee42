//! The record that passes through the graph, by reference.

use crate::headers::Headers;

/// One message: borrowed key, value and headers with their time.
///
/// It is `Copy`: handing it on costs no clone, however large the value.
pub struct Record<'a, K: ?Sized, V: ?Sized> {
    /// None is allowed until an operator needs a key.
    pub key: Option<&'a K>,
    /// None is a tombstone.
    pub value: Option<&'a V>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// Those of the record at work unless an operator set others.
    pub headers: &'a Headers,
}

impl<K: ?Sized, V: ?Sized> Clone for Record<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for Record<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for Record<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("timestamp", &self.timestamp)
            .field("headers", &self.headers)
            .finish()
    }
}

impl<'a, K: ?Sized, V: ?Sized> Record<'a, K, V> {
    /// The same with another key.
    pub fn with_key<'b, KO: ?Sized>(self, key: Option<&'b KO>) -> Record<'b, KO, V>
    where
        'a: 'b,
    {
        Record { key, value: self.value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same with another value.
    pub fn with_value<'b, VO: ?Sized>(self, value: Option<&'b VO>) -> Record<'b, K, VO>
    where
        'a: 'b,
    {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }

    /// The same at another time (milliseconds since 1970).
    pub fn with_timestamp(self, timestamp: i64) -> Self {
        Self { timestamp, ..self }
    }

    /// The same with other headers.
    pub fn with_headers(self, headers: &'a Headers) -> Self {
        Self { headers, ..self }
    }
}
