//! Chains through the rows of each key of a window or session store.
//!
//! A join looks for the rows of one key with each record, and mostly there are none. A chain tells that with one look into
//! a hash table, where the order takes an insertion for each row and a search through all of them for each scan.
//!
//! Invariant: from the head of a key its chain leads through all its rows, latest first, of the rows that are known.

use std::hash::BuildHasher;
use std::iter::successors;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{HASHER, Row, place};
use crate::keys;

/// Ends a chain.
const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Chains {
    /// The latest row of each key.
    heads: HashTable<u32>,
    /// Of each row that is known, the one of its key that came before it.
    before: Vec<u32>,
}

/// What comes before the times, and its hash; rows of stores without times have none.
fn key_of(row: &Row) -> Option<(&[u8], u64)> {
    let key = keys::with_mark(&row.key)?;
    Some((key, HASHER.hash_one(key)))
}

impl Chains {
    /// Rows that are in the chains; those after came since.
    pub(super) fn known(&self) -> usize {
        self.before.len()
    }

    pub(super) fn extend(&mut self, rows: &[Row]) {
        let hash_of = |at: &u32| key_of(&rows[*at as usize]).map_or(0, |(_, hash)| hash);
        for (at, row) in rows.iter().enumerate().skip(self.before.len()) {
            let Some((key, hash)) = key_of(row) else {
                self.before.push(NONE);
                continue;
            };
            let is_it = |head: &u32| rows[*head as usize].key.starts_with(key);
            let before = match self.heads.entry(hash, is_it, hash_of) {
                Entry::Occupied(mut head) => std::mem::replace(head.get_mut(), place(at)),
                Entry::Vacant(vacant) => {
                    vacant.insert(place(at));
                    NONE
                }
            };
            self.before.push(before);
        }
    }

    /// The known rows of `key`, latest first.
    pub(super) fn places(&self, key: &[u8], rows: &[Row]) -> impl Iterator<Item = u32> {
        let is_it = |head: &u32| rows[*head as usize].key.starts_with(key);
        let head = self.heads.find(HASHER.hash_one(key), is_it).copied();
        successors(head, |at| Some(self.before[*at as usize]).filter(|before| *before != NONE))
    }

    /// `row` was the last one, and now only `left` are there.
    pub(super) fn remove_last(&mut self, row: &Row, left: usize) {
        if self.before.len() <= left {
            return;
        }
        let before = self.before.pop().unwrap_or(NONE);
        let Some((_, hash)) = key_of(row) else { return };
        let last = place(left);
        if let Ok(mut head) = self.heads.find_entry(hash, |head| *head == last) {
            if before == NONE {
                head.remove();
            } else {
                *head.get_mut() = before;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.heads.clear();
        self.before.clear();
    }
}
