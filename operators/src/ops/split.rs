//! `split`: each record goes to the first branch whose predicate it satisfies.

use std::sync::{Arc, Mutex, PoisonError};

use super::filter::{Predicate, over_both};
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::graph::NodeKind;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;

/// Predicates of the branches so far; shared with the factory of the node.
type Predicates<K, V> = Arc<Mutex<Vec<Predicate<K, V>>>>;

/// A split in the making: each call adds a branch, tried in the order of the calls.
///
/// A record that satisfies none and finds no default branch is dropped.
pub struct Split<K: ?Sized, V: ?Sized> {
    /// The stream at the split node.
    stream: KStream<K, V>,
    predicates: Predicates<K, V>,
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for Split<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Split").field("stream", &self.stream).finish_non_exhaustive()
    }
}

struct SplitNode<K: ?Sized, V: ?Sized>(Vec<(Predicate<K, V>, Edge<K, V>)>);

impl<K: ?Sized, V: ?Sized> Process<K, V> for SplitNode<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        match self.0.iter_mut().find(|(matches, _)| matches(record)) {
            Some((_, branch)) => branch.process(record, ctx),
            None => Ok(()),
        }
    }
}

struct Branch<K: ?Sized, V: ?Sized>(Edge<K, V>);

impl<K: ?Sized, V: ?Sized> Process<K, V> for Branch<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.process(record, ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Begins a split; add branches to what it returns.
    pub fn split(&self) -> Split<K, V> {
        let predicates: Predicates<K, V> = Arc::default();
        let recorded = Arc::clone(&predicates);
        let build = move |assembly: &mut crate::assembly::Assembly<'_>, id| {
            let predicates = recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let branches = predicates.into_iter().zip(assembly.children::<K, V>(id)).collect();
            assembly.install::<K, V>(id, SplitNode(branches));
        };
        let node = self.flow.borrow_mut().add(
            None,
            NodeKind::Operator("split"),
            &[self.node],
            Box::new(build),
        );
        Split { stream: self.at(node), predicates }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Split<K, V> {
    /// Records that satisfy `matches` and no branch before. One without key or value doesn't.
    pub fn branch(
        &self,
        name: &str,
        matches: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.add(name, over_both(matches))
    }

    /// As [`Self::branch`], seeing all records, null keys and values too.
    pub fn branch_records(
        &self,
        name: &str,
        matches: impl for<'a> Fn(Record<'a, K, V>) -> bool + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.add(name, Arc::new(matches))
    }

    /// All that satisfied no branch; ends the split.
    pub fn default_branch(self, name: &str) -> KStream<K, V> {
        self.add(name, Arc::new(|_: Record<'_, K, V>| true))
    }

    fn add(&self, name: &str, matches: Predicate<K, V>) -> KStream<K, V> {
        self.predicates.lock().unwrap_or_else(PoisonError::into_inner).push(matches);
        self.stream.at(self.stream.then("branch", Some(name), |_, next| Branch(next)))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{SAMPLE, numbers, pair};
    use crate::{Headers, StreamsBuilder, TopologyTestDriver};

    #[test]
    fn the_first_match_wins_and_the_default_takes_the_rest() {
        let builder = StreamsBuilder::new("test");
        let split = builder.stream(&numbers("in")).split();
        split.branch("low", |_, n| *n < 2).to(&numbers("low"));
        split.branch("any", |_, _| true).to(&numbers("any"));
        split.default_branch("rest").to(&numbers("rest"));
        let driver = TopologyTestDriver::new(&builder.build().unwrap());
        for (key, value) in SAMPLE {
            driver.input(&numbers("in")).try_pipe(key, value.as_ref(), 0, &Headers::new()).unwrap();
        }
        assert_eq!(driver.output(&numbers("low")).read_key_values(), [pair("a", 1)]);
        assert_eq!(driver.output(&numbers("any")).read_key_values(), [pair("b", 2)]);
        assert_eq!(driver.output(&numbers("rest")).read_key_values().len(), 3);
    }
}
