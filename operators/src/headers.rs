//! Record headers in one flat buffer, so that a task can reuse it.
//!
//! Invariant: names are UTF-8, may repeat, and keep the order they came in.

use std::fmt;

/// Where one header lies in the flat buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    name: u32,
    value: u32,
    end: u32,
}

/// The headers of one record: names with bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    bounds: Vec<Bounds>,
}

/// No headers; what records without any point to.
pub(crate) static NO_HEADERS: Headers = Headers::new();

impl Headers {
    /// No headers; allocates nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), bounds: Vec::new() }
    }

    /// Appends one; earlier ones of the same name stay.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name.as_bytes());
        let middle = self.bytes.len() as u32;
        self.bytes.extend_from_slice(value);
        self.bounds.push(Bounds { name: start, value: middle, end: self.bytes.len() as u32 });
    }

    /// Replaces all of this name by one.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        if self.get(name).is_some() {
            let old = std::mem::take(self);
            for (other, bytes) in old.iter().filter(|(other, _)| *other != name) {
                self.push(other, bytes);
            }
        }
        self.push(name, value);
    }

    /// The last one of this name, as Kafka's `lastHeader`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.bounds.iter().rev().find_map(|at| {
            (&self.bytes[at.name as usize..at.value as usize] == name.as_bytes())
                .then(|| &self.bytes[at.value as usize..at.end as usize])
        })
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.bounds.iter().map(|at| {
            let name = std::str::from_utf8(&self.bytes[at.name as usize..at.value as usize]);
            (name.expect("pushed as str"), &self.bytes[at.value as usize..at.end as usize])
        })
    }

    /// Memory they take, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.bounds.capacity() * size_of::<Bounds>()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.bounds.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// Forgets all; keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bounds.clear();
    }

    /// Appends `number (4 bytes) | length (4 bytes), name, length, bytes …`, big-endian.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.bounds.len() as u32).to_be_bytes());
        for (name, value) in self.iter() {
            for part in [name.as_bytes(), value] {
                out.extend_from_slice(&(part.len() as u32).to_be_bytes());
                out.extend_from_slice(part);
            }
        }
    }

    /// Undoes [`Self::write`]; also gives what follows.
    pub(crate) fn read(row: &[u8]) -> Option<(Self, &[u8])> {
        fn part(row: &[u8]) -> Option<(&[u8], &[u8])> {
            let (length, rest) = row.split_first_chunk()?;
            rest.split_at_checked(u32::from_be_bytes(*length) as usize)
        }
        let (number, mut row) = row.split_first_chunk()?;
        let mut headers = Self::new();
        for _ in 0..u32::from_be_bytes(*number) {
            let (name, rest) = part(row)?;
            let (value, rest) = part(rest)?;
            headers.push(std::str::from_utf8(name).ok()?, value);
            row = rest;
        }
        Some((headers, row))
    }

    /// Becomes a copy of `other` in the buffer it has.
    pub(crate) fn copy_from(&mut self, other: &Headers) {
        self.bytes.clone_from(&other.bytes);
        self.bounds.clone_from(&other.bounds);
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a [u8])>>(headers: I) -> Self {
        let mut all = Self::new();
        for (name, value) in headers {
            all.push(name, value);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_from_bytes() {
        let mut headers = Headers::new();
        headers.push("a", b"1");
        headers.push("", b"");
        headers.push("a", &[0, 255]);
        let mut row = Vec::new();
        headers.write(&mut row);
        row.extend_from_slice(b"rest");
        assert_eq!(Headers::read(&row), Some((headers, &b"rest"[..])));
        assert_eq!(Headers::read(&row[..9]), None);
    }

    #[test]
    fn the_last_of_a_name_wins_and_set_leaves_one() {
        let mut headers = Headers::new();
        headers.push("a", b"1");
        headers.push("b", b"2");
        headers.push("a", b"3");
        assert_eq!(headers.get("a"), Some(&b"3"[..]));
        headers.set("a", b"4");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("b", &b"2"[..]), ("a", &b"4"[..])]);
        assert_eq!(headers.get("c"), None);
    }
}
