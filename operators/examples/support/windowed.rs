//! Flows whose results are numbers by window.

use operators::{
    I64Be, KTable, StreamsBuilder, Topic, Topology, TopologyError, TopologyTestDriver, Window,
    Windowed,
};

/// A flow with the topic of its results.
#[derive(Debug)]
pub(crate) struct WindowedFlow {
    pub(crate) topology: Topology,
    results: Topic<Windowed<str>, i64>,
}

impl WindowedFlow {
    /// The flow that writes the table to the topic `results`.
    pub(crate) fn of(
        builder: StreamsBuilder,
        table: &KTable<Windowed<str>, i64>,
        results: &str,
    ) -> Result<Self, TopologyError> {
        let keys = table.key_serde().expect("a windowed table knows how its keys are written");
        let results = Topic::new(results, keys, I64Be);
        table.to_stream().to(&results);
        Ok(Self { topology: builder.build()?, results })
    }

    /// What has come out since it was read last: key, window and number.
    pub(crate) fn read(&self, driver: &TopologyTestDriver) -> Vec<(String, Window, i64)> {
        let records = driver.output(&self.results).read_records().into_iter();
        let row = |(key, number): (Windowed<str>, i64)| (key.key().to_owned(), key.window, number);
        records.filter_map(|record| record.key.zip(record.value)).map(row).collect()
    }
}
