//! Key layouts of window and session stores.
//!
//! ```text
//! window   escaped key | 00 01 | start                 (8 bytes)
//!          escaped key | 00 01 | start | sequence      (with duplicates: 8 + 14 bytes)
//! session  escaped key | 00 01 | end | start           (8 + 8 bytes)
//! ```
//!
//! In an escaped key each `00` is written `00 FF`. As the end mark `00 01` sorts before `00 FF`, and can't occur inside
//! an escaped key, no key is a prefix of another and keys order as their bytes do: the rows of one key lie together,
//! by time, and a range of one key never meets another key's rows. Times are big-endian with the sign bit flipped, so
//! that negative ones come first.

/// Bytes of a time.
pub const TIME_LEN: usize = 8;

/// The end mark of a key.
pub(crate) const END: [u8; 2] = [0x00, 0x01];

/// Tells apart the rows of one key and start. Derived from the input, never from a counter, so that a replay after a
/// crash gives the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence {
    /// Which of the task's sources the record came from.
    pub source: u16,
    /// Its offset there.
    pub offset: i64,
    /// Which of the records derived from it this is.
    pub index: u32,
}

impl Sequence {
    /// Bytes of a sequence in a key.
    pub const LEN: usize = 2 + TIME_LEN + 4;

    /// Appends it, order-preserving.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.source.to_be_bytes());
        time(self.offset, out);
        out.extend_from_slice(&self.index.to_be_bytes());
    }
}

/// Appends the escaped key and its end mark: the prefix of all its rows.
pub fn prefix(key: &[u8], out: &mut Vec<u8>) {
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&END);
}

/// Appends a time in an order-preserving form.
pub fn time(time: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&ordered(time));
}

/// The order-preserving form of a time.
pub fn ordered(time: i64) -> [u8; TIME_LEN] {
    (time.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The time of an order-preserving form.
pub fn from_ordered(bytes: [u8; TIME_LEN]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
}

/// Appends the full key of a window.
pub fn window(key: &[u8], start: i64, sequence: Option<Sequence>, out: &mut Vec<u8>) {
    prefix(key, out);
    time(start, out);
    if let Some(sequence) = sequence {
        sequence.write(out);
    }
}

/// Appends the full key of a session.
pub fn session(key: &[u8], start: i64, end: i64, out: &mut Vec<u8>) {
    prefix(key, out);
    time(end, out);
    time(start, out);
}

/// The time that ends `skip` bytes before the end of a full key.
pub fn time_before(full: &[u8], skip: usize) -> Option<i64> {
    let head = full.get(..full.len().checked_sub(skip)?)?;
    head.last_chunk().copied().map(from_ordered)
}

/// Undoes [`prefix`]: the key of a full key whose last `suffix` bytes are times and sequence. `None` if damaged.
pub fn unescape<'a>(full: &[u8], suffix: usize, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let escaped = full.get(..full.len().checked_sub(suffix)?)?.strip_suffix(&END)?;
    scratch.clear();
    let mut bytes = escaped.iter();
    while let Some(byte) = bytes.next() {
        scratch.push(*byte);
        if *byte == 0 && bytes.next() != Some(&0xFF) {
            return None;
        }
    }
    Some(scratch)
}

/// A full key of which it isn't known what stands behind the key: both parts. `None` if damaged.
pub fn split<'f, 's>(full: &'f [u8], scratch: &'s mut Vec<u8>) -> Option<(&'s [u8], &'f [u8])> {
    // The mark can't occur inside an escaped key.
    let mark = full.windows(END.len()).position(|bytes| bytes == END)?;
    let (key, rest) = full.split_at(mark + END.len());
    Some((unescape(key, 0, scratch)?, rest))
}

/// Of a full key: everything up to the end mark of its key, if it has one. No such part begins another one, so rows that
/// share it lie together.
pub(crate) fn with_mark(full: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(full, &END)?;
    full.get(..end + END.len())
}

/// The smallest key above all keys that begin with `prefix`; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(key: &[u8], start: i64) -> Vec<u8> {
        let mut out = Vec::new();
        window(key, start, None, &mut out);
        out
    }

    /// Short keys over the bytes that matter to the escape.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 0x61, 0xFE, 0xFF]), 0..5)
    }

    proptest! {
        #[test]
        fn full_keys_order_by_key_then_time(a in key(), b in key(), s: i64, t: i64) {
            prop_assert_eq!(full(&a, s).cmp(&full(&b, t)), (a, s).cmp(&(b, t)));
        }

        #[test]
        fn parts_come_back(k in key(), s: i64, e: i64, source: u16, offset: i64, index: u32) {
            let mut scratch = Vec::new();
            let window_key = full(&k, s);
            prop_assert_eq!(unescape(&window_key, TIME_LEN, &mut scratch), Some(&k[..]));
            prop_assert_eq!(split(&window_key, &mut scratch), Some((&k[..], &ordered(s)[..])));
            prop_assert_eq!(time_before(&window_key, 0), Some(s));
            let mut session_key = Vec::new();
            session(&k, s, e, &mut session_key);
            prop_assert_eq!(unescape(&session_key, 2 * TIME_LEN, &mut scratch), Some(&k[..]));
            prop_assert_eq!(time_before(&session_key, 0), Some(s));
            prop_assert_eq!(time_before(&session_key, TIME_LEN), Some(e));
            let mut duplicate = Vec::new();
            window(&k, s, Some(Sequence { source, offset, index }), &mut duplicate);
            prop_assert_eq!(time_before(&duplicate, Sequence::LEN), Some(s));
        }

        #[test]
        fn after_prefix_is_the_supremum(p in key(), rest in key()) {
            let inside = [&p[..], &rest].concat();
            match after_prefix(&p) {
                Some(after) => prop_assert!(inside < after && !after.starts_with(&p)),
                None => prop_assert!(p.iter().all(|byte| *byte == 0xFF)),
            }
        }
    }

    #[test]
    fn damaged_keys_are_noticed() {
        let mut scratch = Vec::new();
        assert_eq!(unescape(b"", 8, &mut scratch), None);
        assert_eq!(unescape(b"a\x00\x02\x00\x01", 0, &mut scratch), None);
        assert_eq!(split(b"a\x00\xFF\x01", &mut scratch), None);
        assert_eq!(time_before(b"short", 0), None);
    }
}
