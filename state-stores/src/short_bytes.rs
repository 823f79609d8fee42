//! Bytes that lie in their row while they are few: most keys and counts need no memory of their own, and are compared
//! without going there.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::ops::Deref;

/// A byte string that never changes, inline up to this length (< 256). Compares as its bytes do.
#[derive(Clone)]
pub(crate) struct ShortBytes<const INLINE: usize>(Repr<INLINE>);

#[derive(Clone)]
enum Repr<const INLINE: usize> {
    Inline { length: u8, bytes: [u8; INLINE] },
    Boxed(Box<[u8]>),
}

impl<const INLINE: usize> From<&[u8]> for ShortBytes<INLINE> {
    fn from(from: &[u8]) -> Self {
        if from.len() > INLINE {
            return Self(Repr::Boxed(from.into()));
        }
        let mut bytes = [0; INLINE];
        bytes[..from.len()].copy_from_slice(from);
        Self(Repr::Inline { length: from.len() as u8, bytes })
    }
}

impl<const INLINE: usize> Deref for ShortBytes<INLINE> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Repr::Boxed(bytes) => bytes,
        }
    }
}

impl<const INLINE: usize> Borrow<[u8]> for ShortBytes<INLINE> {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl<const INLINE: usize> PartialEq for ShortBytes<INLINE> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const INLINE: usize> Eq for ShortBytes<INLINE> {}

impl<const INLINE: usize> PartialOrd for ShortBytes<INLINE> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<const INLINE: usize> Ord for ShortBytes<INLINE> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<const INLINE: usize> std::fmt::Debug for ShortBytes<INLINE> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_comes_back_and_orders_as_bytes() {
        let long = [7; 25];
        let all: Vec<ShortBytes<22>> = (0..25).map(|length| long[..length].into()).collect();
        assert!(all.iter().enumerate().all(|(length, bytes)| **bytes == long[..length]));
        assert!(all.is_sorted());
        assert_eq!(size_of::<Option<ShortBytes<22>>>(), 24);
    }
}
