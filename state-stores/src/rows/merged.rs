//! Several layers as one, by their order.

use std::collections::btree_map;
use std::ops::Bound;

use super::{Key, Row, Sorted, Upper};
use crate::Direction;

/// The rows of `[from, to)` of one layer, one ahead.
struct Cursor<'a> {
    rows: &'a [Row],
    range: btree_map::Range<'a, Key, u32>,
    direction: Direction,
    /// Where it ends, in its direction.
    end: Option<&'a [u8]>,
    /// Its key, and the row's place.
    head: Option<(&'a [u8], u32)>,
}

impl<'a> Cursor<'a> {
    /// `from` must be below `to`.
    ///
    /// Only the end at which it begins is looked for; the other one shows when it gets there, which is cheaper for the few
    /// rows of a usual scan.
    fn new(
        rows: &'a Sorted<'_>,
        from: &'a [u8],
        to: Option<&'a [u8]>,
        direction: Direction,
    ) -> Self {
        let (bounds, end) = match direction {
            Direction::Forward => ((Bound::Included(from), Bound::Unbounded), to),
            Direction::Reverse => {
                ((Bound::Unbounded, to.map_or(Bound::Unbounded, Bound::Excluded)), Some(from))
            }
        };
        let range = rows.order.sorted.range::<[u8], _>(bounds);
        let mut cursor = Self { rows: rows.rows, range, direction, end, head: None };
        cursor.advance();
        cursor
    }

    fn advance(&mut self) {
        let next = match self.direction {
            Direction::Forward => self.range.next(),
            Direction::Reverse => self.range.next_back(),
        };
        let inside = |key: &[u8]| match self.direction {
            Direction::Forward => self.end.is_none_or(|to| key < to),
            Direction::Reverse => self.end.is_none_or(|from| key >= from),
        };
        self.head = next.map(|(key, place)| (&**key, *place)).filter(|(key, _)| inside(key));
    }

    fn value(&self, place: u32) -> Option<&'a [u8]> {
        self.rows[place as usize].value.as_deref()
    }
}

/// Several layers as one, the first on top.
pub(crate) struct Merged<'a, const N: usize> {
    cursors: [Cursor<'a>; N],
    direction: Direction,
    next: Option<&'a [u8]>,
}

impl<'a, const N: usize> Merged<'a, N> {
    pub(crate) fn new(
        layers: [&'a Sorted<'_>; N],
        from: &'a [u8],
        to: Option<&'a [u8]>,
        direction: Direction,
    ) -> Self {
        let cursors = layers.map(|rows| Cursor::new(rows, from, to, direction));
        let heads = cursors.iter().filter_map(|cursor| cursor.head.map(|(key, _)| key));
        let next = heads.reduce(|a, b| first(direction, a, b));
        Self { cursors, direction, next }
    }
}

impl<'a, const N: usize> Upper<'a> for Merged<'a, N> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.next
    }

    fn pop(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let (popped, direction) = (self.next?, self.direction);
        let (mut top, mut next) = (None, None::<&[u8]>);
        for cursor in &mut self.cursors {
            let Some((key, place)) = cursor.head else { continue };
            if std::ptr::eq(key, popped) || key == popped {
                top = top.or_else(|| Some((key, cursor.value(place))));
                cursor.advance();
            }
            if let Some((key, _)) = cursor.head {
                next = Some(next.map_or(key, |next| first(direction, next, key)));
            }
        }
        self.next = next;
        top
    }
}

/// Of two keys the one that comes first.
fn first<'a>(direction: Direction, a: &'a [u8], b: &'a [u8]) -> &'a [u8] {
    match direction {
        Direction::Forward => a.min(b),
        Direction::Reverse => a.max(b),
    }
}
