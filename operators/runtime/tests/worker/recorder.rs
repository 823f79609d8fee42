//! Metrics as a test reads them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// By name and labels: `name label=value label=value`.
#[derive(Default)]
pub(crate) struct Metrics {
    cells: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    samples: Mutex<BTreeMap<String, Arc<Samples>>>,
}

#[derive(Default)]
struct Samples(Mutex<Vec<f64>>);

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

fn name_of(key: &Key) -> String {
    let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
    format!("{}{}", key.name(), labels.collect::<String>())
}

impl Metrics {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        self.cells.lock().unwrap().entry(name_of(key)).or_default().clone()
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.counter(name))
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        let cells = self.cells.lock().unwrap();
        let cell = cells.get(name).unwrap_or_else(|| panic!("no {name:?}: {:#?}", cells.keys()));
        cell.load(Ordering::SeqCst)
    }

    /// What a histogram was told.
    pub(crate) fn samples(&self, name: &str) -> Vec<f64> {
        let all = self.samples.lock().unwrap();
        let samples = all.get(name).unwrap_or_else(|| panic!("no {name:?}: {:#?}", all.keys()));
        samples.0.lock().unwrap().clone()
    }
}

impl Recorder for Metrics {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut all = self.samples.lock().unwrap();
        Histogram::from_arc(all.entry(name_of(key)).or_default().clone())
    }
}
