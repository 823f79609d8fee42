//! The few rows of one key of several layers, put in order one by one.

use super::{Rows, Upper};
use crate::{Direction, keys};

/// Of a key with more rows in a layer the order finds those of a time sooner.
const MOST: usize = 32;

/// Rows of one key in the order of a scan.
pub(crate) struct Few<'a> {
    /// Those to come, the next one last.
    rows: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Few<'a> {
    /// The rows of `[from, to)` of layers, the first on top. `None`: the range isn't one of a single key, or one of the layers
    /// has many rows of it.
    pub(crate) fn of(
        layers: [&'a Rows; 3],
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Option<Self> {
        let key = keys::with_mark(from)?;
        let to = to.filter(|to| to.starts_with(key))?;
        let mut found = Vec::new();
        for (layer, rows) in layers.into_iter().enumerate() {
            let is_complete = rows.of_key(key, MOST, |row, value| {
                if from <= row && row < to {
                    found.push((row, layer, value));
                }
            });
            if !is_complete {
                return None;
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(b.0).then(a.1.cmp(&b.1)));
        found.dedup_by(|lower, top| lower.0 == top.0);
        if direction == Direction::Forward {
            found.reverse();
        }
        Some(Self { rows: found.into_iter().map(|(row, _, value)| (row, value)).collect() })
    }
}

impl<'a> Upper<'a> for Few<'a> {
    fn peek(&self) -> Option<&'a [u8]> {
        self.rows.last().map(|(row, _)| *row)
    }

    fn pop(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        self.rows.pop()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{Hashed, Merged, Previous};

    #[derive(Debug, Clone)]
    enum Step {
        /// Key, time, value.
        Put(u8, u8, Option<u8>),
        /// Takes back so many puts.
        Undo(usize),
        /// The open transaction becomes committed.
        Apply,
        /// The committed rows are written back.
        Freeze,
        /// A scan of this key, so that what comes later is added to chains that are there.
        Scan(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..4u8, 0..6u8, prop::option::of(any::<u8>())).prop_map(|(k, t, v)| Step::Put(k, t, v)),
            2 => (1..4usize).prop_map(Step::Undo),
            1 => Just(Step::Apply),
            1 => Just(Step::Freeze),
            3 => (0..4u8).prop_map(Step::Scan),
        ]
    }

    /// Keys that begin one another.
    fn full(key: u8, time: u8) -> Vec<u8> {
        let mut full = Vec::new();
        keys::window(&vec![0; usize::from(key)], i64::from(time), None, &mut full);
        full
    }

    fn drained<'a>(mut upper: impl Upper<'a>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        while let Some(key) = upper.peek() {
            let (popped, value) = upper.pop().expect("there is a next one");
            assert_eq!(popped, key);
            all.push((key.to_vec(), value.map(<[u8]>::to_vec)));
        }
        all
    }

    /// All scans of one key, by its chain and by the order of a copy.
    fn compare(layers: [&Rows; 3], key: u8) -> Result<(), TestCaseError> {
        let copies = layers.map(Rows::clone);
        for (first, after) in [(0, 6), (2, 4), (3, 3), (5, 1)] {
            for direction in [Direction::Forward, Direction::Reverse] {
                let (from, to) = (full(key, first), full(key, after));
                let few = Few::of(layers, &from, Some(&to), direction).expect("one key, few rows");
                let sorted = [copies[0].sorted(), copies[1].sorted(), copies[2].sorted()];
                let merged = if from < to {
                    drained(Merged::new(sorted.each_ref(), &from, Some(&to), direction))
                } else {
                    Vec::new()
                };
                prop_assert_eq!(drained(few), merged);
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_rows_of_a_key_are_those_that_the_order_has(steps in prop::collection::vec(step(), 1..60)) {
            let (mut open, mut live, mut settled) = (Rows::default(), Rows::default(), Rows::default());
            let mut undo: Vec<Previous> = Vec::new();
            for step in steps {
                match step {
                    Step::Put(key, time, value) => {
                        let value = value.map(|value| (&[value][..]).into());
                        undo.push(open.put(Hashed::new(&full(key, time)), value));
                    }
                    Step::Undo(puts) => {
                        for _ in 0..puts {
                            undo.pop().into_iter().for_each(|previous| open.undo(previous));
                        }
                    }
                    Step::Apply => {
                        undo.clear();
                        live.absorb(&mut open);
                    }
                    Step::Freeze => settled = std::mem::take(&mut live),
                    Step::Scan(key) => compare([&open, &live, &settled], key)?,
                }
            }
            for key in 0..4 {
                compare([&open, &live, &settled], key)?;
            }
            for layer in [&open, &live, &settled] {
                let mut rows = Vec::new();
                let mut collect = |key: &[u8], value: Option<&[u8]>| {
                    rows.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                    Ok::<_, ()>(())
                };
                layer.in_order(&mut collect).unwrap();
                let copy = layer.clone();
                let sorted = copy.sorted();
                let owned = |(key, value): (&[u8], Option<&[u8]>)| {
                    (key.to_vec(), value.map(<[u8]>::to_vec))
                };
                prop_assert_eq!(rows, sorted.iter().map(owned).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn many_rows_of_a_key_and_ranges_of_several_keys_are_left_to_the_order() {
        let (mut rows, none) = (Rows::default(), Rows::default());
        let few = |rows: &Rows, to: &[u8]| {
            Few::of([&none, rows, &none], &full(1, 0), Some(to), Direction::Forward).is_some()
        };
        for time in 0..MOST as u8 {
            rows.put(Hashed::new(&full(1, time)), None);
        }
        assert!(few(&rows, &full(1, 200)));
        assert!(!few(&rows, &full(2, 0)));
        rows.put(Hashed::new(&full(1, MOST as u8)), None);
        assert!(!few(&rows, &full(1, 200)));
    }
}
