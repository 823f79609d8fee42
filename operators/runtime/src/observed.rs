//! The application's own histograms: what its processors and state machines observed.
//!
//! Invariant: only what is committed is told, once. What a transaction observed that was aborted goes with its tasks.

use std::collections::HashMap;

use metrics::Histogram;
use operators::Observation;

/// A histogram's name and label.
type Series = (&'static str, Option<(&'static str, &'static str)>);

/// Of one worker.
pub(crate) struct Observed {
    application: String,
    histograms: HashMap<Series, Histogram>,
}

impl Observed {
    pub(crate) fn new(application: &str) -> Self {
        Self { application: application.to_owned(), histograms: HashMap::new() }
    }

    /// A commit has ended, before which this was observed.
    pub(crate) fn committed(&mut self, observations: impl Iterator<Item = Observation>) {
        for Observation { metric, label, value } in observations {
            let application = &self.application;
            let histogram = self.histograms.entry((metric, label)).or_insert_with(|| {
                let own = label.map(|(name, value)| (name, value.to_owned()));
                let labels: Vec<_> =
                    [("application", application.clone())].into_iter().chain(own).collect();
                metrics::histogram!(metric, &labels)
            });
            histogram.record(value);
        }
    }
}
