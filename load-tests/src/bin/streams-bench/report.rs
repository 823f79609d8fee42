//! The line of JSON that a run prints: the fields of `ks-bench`.

use load_tests::process::{Snapshot, load_average, peak_mib};
use serde_json::{Map, Value, json};

use crate::options::Options;

/// What was run, and the load before it.
pub(crate) fn describe(options: &Options) -> Map<String, Value> {
    let fields = json!({
        "engine": format!("orders {}", env!("CARGO_PKG_VERSION")),
        "mode": options.mode.name(),
        "n": options.records,
        "keys": options.keys,
        "payload": options.payload,
        "partitions": options.partitions,
        "threads": options.threads,
        "guarantee": "exactly_once_v2",
        "commit_interval_ms": options.commit_interval_ms,
        "load_before": load_average(),
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What it cost, up to now. `began`: the process; `first`: the first record.
pub(crate) fn add_cost(
    fields: &mut Map<String, Value>,
    records: u64,
    began: &Snapshot,
    first: &Snapshot,
) {
    let end = Snapshot::now();
    let (wall, cpu_from_first) = (end.seconds_since(first), end.cpu() - first.cpu());
    let cost = json!({
        "records": records,
        "wall_s": rounded(wall),
        "wall_from_start_s": rounded(end.seconds_since(began)),
        "cpu_s": rounded(end.cpu()),
        "cpu_user_s": rounded(end.user),
        "cpu_sys_s": rounded(end.system),
        "cpu_from_first_record_s": rounded(cpu_from_first),
        "peak_rss_mib": rounded(peak_mib(std::process::id())),
        "rec_per_s": (records as f64 / wall).round(),
        "rec_per_cpu_s": (records as f64 / end.cpu()).round(),
        "rec_per_cpu_s_from_first": (records as f64 / cpu_from_first).round(),
        "load_after": load_average(),
    });
    if let Value::Object(mut cost) = cost {
        fields.append(&mut cost);
    }
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
