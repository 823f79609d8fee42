//! The counting flow, held by a test that decides itself what happens when.

use std::ops::{Deref, DerefMut};

use operators_runtime::simulation::flows::Words;
use operators_runtime::simulation::{Cluster, Faults, Scenario};

/// A cluster that counts words, and the words it was given.
pub(crate) struct Counting {
    cluster: Cluster,
    words: Words,
}

impl Deref for Counting {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Counting {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

impl Counting {
    pub(crate) fn new(seed: u64, members: usize) -> Self {
        Self::with_faults(seed, members, Faults::default())
    }

    pub(crate) fn with_faults(seed: u64, members: usize, faults: Faults) -> Self {
        let words = Words::default();
        let cluster = Cluster::new(seed, members, faults, &words.topics(), words.applications());
        Self { cluster, words }
    }

    pub(crate) fn append(&mut self, words: &[&str]) {
        self.words.append(&self.cluster.world, words);
    }

    /// True when everything that was appended is counted.
    pub(crate) fn is_counted(&mut self) -> bool {
        self.words.check(&self.cluster.world).is_settled()
    }

    /// How many words are counted.
    pub(crate) fn counted(&self) -> usize {
        Words::counted(&self.cluster.world).values().map(Vec::len).sum()
    }

    /// Runs everybody without faults until everything is counted, once.
    pub(crate) fn settle(&mut self) {
        let words = &mut self.words;
        let settled = self.cluster.settle_until(|cluster| words.check(&cluster.world).is_settled());
        assert!(settled, "{:?}, {:?}", Words::counted(&self.world), self.doing());
    }
}
