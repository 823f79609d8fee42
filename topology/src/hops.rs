//! How many transactions lie between a command and what it shows.
//!
//! A hop is one transactional step: a task reads a topic and commits what it
//! writes. Each hop costs a commit's latency, so the number is part of the
//! design: POST → `validated` on the feed takes at most four
//! ([`post_to_validated`], held by a test).

use std::collections::BTreeSet;

use operators::{SubTopology, Topology};
use schemas::topics;

/// Transactional hops from the order command to the `validated` event in the
/// user's feed, along the slowest check.
#[must_use]
pub fn post_to_validated(topologies: &[&Topology]) -> Option<usize> {
    let (lifecycle, others): (Vec<&Topology>, Vec<&Topology>) =
        topologies.iter().partition(|t| t.application_id() == "order-lifecycle");
    let created = longest(&lifecycle, topics::ORDER_COMMANDS.name(), topics::ORDER_CREATED.name())?;
    let checked = |from: &str| longest(&others, from, topics::ORDER_VALIDATIONS.name());
    let prices = checked(topics::ORDER_CREATED.name())?;
    let fraud = checked(topics::USER_EVENTS.name())?;
    let held = longest(&others, topics::STOCK_COMMANDS.name(), topics::STOCK_RESULTS.name())?;
    let validated =
        longest(&lifecycle, topics::ORDER_VALIDATIONS.name(), topics::USER_EVENTS.name())?;
    let shown = longest(&others, topics::USER_EVENTS.name(), topics::USER_FEED.name())?;
    Some(created + prices.max(fraud).max(held) + validated + shown)
}

/// The most hops from one topic to another, each sub-topology taken once;
/// none if there is no way.
#[must_use]
pub fn longest(topologies: &[&Topology], from: &str, to: &str) -> Option<usize> {
    let parts: Vec<&SubTopology> = topologies.iter().flat_map(|t| t.subtopologies()).collect();
    walk(&parts, from, to, &mut BTreeSet::new())
}

fn walk(
    parts: &[&SubTopology],
    from: &str,
    to: &str,
    taken: &mut BTreeSet<usize>,
) -> Option<usize> {
    if from == to {
        return Some(0);
    }
    let mut most = None;
    for (number, part) in parts.iter().enumerate() {
        if !part.sources.iter().any(|source| &**source == from) || !taken.insert(number) {
            continue;
        }
        for sink in &part.sinks {
            most = most.max(walk(parts, sink, to, taken).map(|hops| hops + 1));
        }
        taken.remove(&number);
    }
    most
}
