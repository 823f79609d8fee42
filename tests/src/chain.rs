//! A flow whose output shows every record that went in: each key has a chain, each record adds a link, and the chain as it
//! is then goes out. What is lost, doubled or out of order breaks the chain there.
//!
//! Between the input and the chains lies a repartition topic, so there are two hops and two kinds of task.

use std::collections::BTreeMap;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};

/// The chains of each key, in the order they went out.
pub type Chains = BTreeMap<String, Vec<i64>>;

/// So many different keys.
const KEYS: u64 = 97;
/// The low bits of a chain are its length.
const LENGTH_BITS: u32 = 24;

/// The store of the chains.
pub const STORE: &str = "chains";

/// Each line is a [`line()`].
///
/// # Panics
/// The flow isn't one.
#[must_use]
pub fn topology(application: String, lines: String, counts: String) -> Topology {
    let builder = StreamsBuilder::new(application);
    builder
        .stream::<str, str>(&Topic::new(lines, Utf8, Utf8))
        .select_key::<str>(|_, line| key_and_id(line).0.to_owned())
        .group_by_key()
        .aggregate(
            &Materialized::as_(STORE, Utf8, I64Be),
            || 0_i64,
            |_, line, chain| link(*chain, key_and_id(line).1),
        )
        .to_stream()
        .to(&Topic::new(counts, Utf8, I64Be));
    builder.build().expect("the flow is whole")
}

/// The record of an id: its key, which says nothing of what came before, and the id.
#[must_use]
pub fn line(id: u64) -> String {
    format!("key-{} {id}", id.wrapping_mul(id) % 7919 % KEYS)
}

/// Key and id of a [`line()`].
#[must_use]
pub fn key_and_id(line: &str) -> (&str, u64) {
    let (key, id) = line.split_once(' ').unwrap_or((line, ""));
    (key, id.parse().unwrap_or_default())
}

/// The partition of the input for a key: one, so that its records keep their order on the way.
#[must_use]
pub fn partition(key: &str, partitions: u32) -> u32 {
    key.bytes().map(u32::from).sum::<u32>() % partitions
}

/// The chain with one link more.
#[must_use]
pub fn link(chain: i64, id: u64) -> i64 {
    let chain = chain.cast_unsigned();
    let mixed = ((chain >> LENGTH_BITS) ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> LENGTH_BITS;
    ((mixed << LENGTH_BITS) | (length(chain.cast_signed()) + 1)).cast_signed()
}

/// How many links a chain has.
#[must_use]
pub fn length(chain: i64) -> u64 {
    chain.cast_unsigned() & ((1 << LENGTH_BITS) - 1)
}

/// The chains that these lines, in order within each key, lead to.
#[must_use]
pub fn chains<'l>(lines: impl IntoIterator<Item = &'l str>) -> Chains {
    let mut chains = Chains::new();
    for (key, id) in lines.into_iter().map(key_and_id) {
        let known = chains.entry(key.to_owned()).or_default();
        known.push(link(known.last().copied().unwrap_or(0), id));
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_shows_what_is_lost_doubled_or_out_of_order() {
        let of = |ids: &[u64]| ids.iter().fold(0, |chain, id| link(chain, *id));
        let whole = of(&[1, 2, 3]);
        assert_eq!(length(whole), 3);
        for other in [&[1, 3][..], &[1, 2, 2, 3], &[2, 1, 3], &[1, 2, 4]] {
            assert_ne!(of(other), whole, "{other:?}");
        }
        let lines: Vec<String> = (0..500).map(line).collect();
        let chains = chains(lines.iter().map(String::as_str));
        assert!(chains.len() > 20 && chains.values().map(Vec::len).sum::<usize>() == 500);
    }
}
