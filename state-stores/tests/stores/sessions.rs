//! Session stores against a map of all sessions ever put.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use state_stores::{Session, SessionStore, StoreError, StoreIndex, StoreKind, TaskState};

use super::windows::RETENTION;
use super::world::Model;
use super::{KEYS, key, serdes};

/// A put (without a value: a removal): how far the end lies ahead of stream time, and the session's length.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    key: &'static [u8],
    ahead: i64,
    length: i64,
    value: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    rows: BTreeMap<(&'static [u8], Session), i64>,
    time: Option<i64>,
}

fn open(store: StoreIndex) -> SessionStore<[u8], i64> {
    let (keys, values) = serdes();
    SessionStore::new(store, &keys, &values)
}

type Seen = Vec<(Vec<u8>, Session, i64)>;

impl Sessions {
    fn visible(&self, holds: impl Fn(&[u8], Session) -> bool) -> Seen {
        let alive = |end: i64| self.time.is_some_and(|time| end > time - RETENTION);
        let rows = self.rows.iter().filter(|((key, s), _)| alive(s.end) && holds(key, *s));
        rows.map(|((key, session), value)| (key.to_vec(), *session, *value)).collect()
    }
}

impl Model for Sessions {
    type Write = Write;
    const KIND: StoreKind = StoreKind::Session { retention_ms: RETENTION };

    fn writes() -> BoxedStrategy<Write> {
        (key(), -14..4i64, 0..8i64, prop::option::weighted(0.8, any::<i64>()))
            .prop_map(|(key, ahead, length, value)| Write { key, ahead, length, value })
            .boxed()
    }

    fn examples() -> Vec<Write> {
        let write = |key, ahead, length, value| Write { key, ahead, length, value };
        vec![
            write(&b"a"[..], 0, 3, Some(1)),
            write(b"a", 2, 0, Some(2)),
            write(b"a", -4, 1, Some(3)),
            write(b"a", -4, 1, None),
        ]
    }

    fn deletions() -> Vec<Write> {
        let delete = |(ahead, length)| Write { key: &b"a"[..], ahead, length, value: None };
        [(-2, 3), (0, 0)].into_iter().map(delete).collect()
    }

    fn write(&mut self, state: &mut TaskState, store: StoreIndex, write: &Write) {
        let Write { key, ahead, length, value } = *write;
        let end = self.time.unwrap_or(9) + ahead;
        let session = Session { start: end - length, end };
        let time = self.time.unwrap_or(end).max(end);
        let mut store = open(store);
        let accepted = match &value {
            Some(value) => store.put(state, key, session, Some(value)),
            None => store.remove(state, key, session),
        };
        assert_eq!(accepted.unwrap(), end > time - RETENTION);
        if end > time - RETENTION {
            self.time = Some(time);
            match value {
                Some(value) => drop(self.rows.insert((key, session), value)),
                None => drop(self.rows.remove(&(key, session))),
            }
        }
    }

    fn check(&self, state: &TaskState, store: StoreIndex) {
        let mut store = open(store);
        let now = self.time.unwrap_or(0);
        for ((key, session), value) in &self.rows {
            let visible = session.end > now - RETENTION;
            assert_eq!(store.get(state, key, *session).unwrap(), visible.then_some(*value));
            let other = Session { start: session.start - 100, ..*session };
            assert_eq!(store.get(state, key, other).unwrap(), None);
        }
        for overlap in [i64::MIN..=i64::MAX, now - 8..=now - 3, now - 2..=now - 2, now..=now - 5] {
            let meets = |s: Session| s.end >= *overlap.start() && s.start <= *overlap.end();
            for key in KEYS {
                let mut seen = Seen::new();
                let mut visit = |session, value: &i64| {
                    seen.push((key.to_vec(), session, *value));
                    ControlFlow::Continue(())
                };
                store.find_sessions(state, key, overlap.clone(), &mut visit).unwrap();
                store.backward_find_sessions(state, key, overlap.clone(), &mut visit).unwrap();
                let found = self.visible(|k, session| k == key && meets(session));
                let expected: Seen = found.iter().chain(found.iter().rev()).cloned().collect();
                assert_eq!(seen, expected);
            }
            let mut seen = Seen::new();
            let mut visit = |key: &[u8], session, value: &i64| {
                seen.push((key.to_vec(), session, *value));
                ControlFlow::Continue(())
            };
            let to = &b"a\0"[..];
            store.find_sessions_range(state, ..=to, overlap.clone(), &mut visit).unwrap();
            store.backward_find_sessions_range(state, ..to, overlap.clone(), &mut visit).unwrap();
            let mut expected = self.visible(|key, session| key <= to && meets(session));
            let before = self.visible(|key, session| key < to && meets(session));
            expected.extend(before.into_iter().rev());
            assert_eq!(seen, expected);
        }
    }

    fn read(state: &TaskState, store: StoreIndex) -> Result<(), StoreError> {
        let all = i64::MIN..=i64::MAX;
        open(store).find_sessions(state, b"a", all, |_, _| ControlFlow::Continue(()))
    }

    fn rows(&self) -> Option<usize> {
        Some(self.visible(|_, _| true).len())
    }

    fn stream_time(&self) -> Option<i64> {
        self.time
    }
}
