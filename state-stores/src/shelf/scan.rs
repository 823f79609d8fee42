//! A scan through a shelf: the rows of its layers, above those of the base.

use std::ops::ControlFlow;

use super::{Committed, Shelf};
use crate::base::{PREFIX_LEN, with_joined};
use crate::engine::Visit;
use crate::rows::{Few, Merged, Rows, Upper};
use crate::{Direction, Engine, StoreError};

impl Shelf {
    pub(super) fn scan_of(
        &self,
        inner: &Committed,
        engine: &dyn Engine,
        overlay: &Rows,
        (from, to, direction): (&[u8], Option<&[u8]>, Direction),
        since: Option<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let range = (from, to, direction);
        if let Some(mut few) = Few::of([overlay, &inner.live, &inner.settled], from, to, direction)
        {
            return self.scan_below(inner, engine, &mut few, range, since, visit);
        }
        let layers = [overlay.sorted(), inner.live.sorted(), inner.settled.sorted()];
        let mut merged = Merged::new(layers.each_ref(), from, to, direction);
        self.scan_below(inner, engine, &mut merged, range, since, visit)
    }

    /// Visits rows of the base and those of `upper`, which lie above it.
    fn scan_below<'a>(
        &self,
        inner: &Committed,
        engine: &dyn Engine,
        upper: &mut impl Upper<'a>,
        (from, to, direction): (&[u8], Option<&[u8]>, Direction),
        since: Option<i64>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut flow = ControlFlow::Continue(());
        if inner.is_below(since) {
            let (prefix, end) = (self.place.rows(), self.place.rows_end());
            let mut visit_row = |full: &[u8], value: &[u8]| {
                flow = visit_below(upper, &full[PREFIX_LEN..], value, direction, visit);
                flow
            };
            let mut scan_to = |lower: &[u8], upper: &[u8]| {
                engine.scan(lower, Some(upper), direction, &mut visit_row)
            };
            with_joined(&prefix, from, |lower| match to {
                Some(to) => with_joined(&prefix, to, |upper| scan_to(lower, upper)),
                None => scan_to(lower, &end),
            })?;
        }
        while flow.is_continue()
            && let Some((key, value)) = upper.pop()
        {
            if let Some(value) = value {
                flow = visit(key, value);
            }
        }
        Ok(())
    }
}

/// Visits the rows of the upper layers that come before `key` of the base, then `key` as the topmost layer has it.
fn visit_below<'a>(
    upper: &mut impl Upper<'a>,
    key: &[u8],
    value: &[u8],
    direction: Direction,
    visit: &mut Visit<'_>,
) -> ControlFlow<()> {
    let mut next = upper.peek();
    while let Some(above) = next {
        let order = above.cmp(key);
        let (later, hides) = match direction {
            Direction::Forward => (order.is_gt(), order.is_eq()),
            Direction::Reverse => (order.is_lt(), order.is_eq()),
        };
        if later {
            break;
        }
        if let Some((key, Some(value))) = upper.pop() {
            visit(key, value)?;
        }
        if hides {
            return ControlFlow::Continue(());
        }
        next = upper.peek();
    }
    visit(key, value)
}
