//! `/topology`: the flow with what goes through it now.

use std::collections::BTreeMap;

use operators::Topology;
use serde_json::{Value, json};

use crate::lag::InputLag;
use crate::pace::NodePace;
use crate::worker::WorkerStatus;

/// Records and rate of each node, by place, over all tasks of the application in this process.
fn by_place(topology: &Topology, workers: &[WorkerStatus]) -> BTreeMap<usize, NodePace> {
    let mut sums: BTreeMap<usize, NodePace> = BTreeMap::new();
    let own = workers.iter().filter(|it| it.application == topology.application_id());
    for pace in own.flat_map(|worker| &worker.tasks).flat_map(|task| &task.pace.nodes) {
        let sum = sums.entry(pace.place).or_default();
        sum.place = pace.place;
        sum.records += pace.records;
        sum.per_second += pace.per_second;
    }
    sums
}

/// The topology in Mermaid's language, with rates.
pub(crate) fn mermaid(topology: &Topology, workers: &[WorkerStatus]) -> String {
    let paces = by_place(topology, workers);
    topology.mermaid_with_rates(&|place| paces.get(&place).map(|pace| pace.per_second))
}

/// The topology's own JSON; its nodes have `records` and `per_second` more, and there are the `tasks` of this process.
pub(crate) fn json(topology: &Topology, workers: &[WorkerStatus], lags: &[InputLag]) -> Value {
    let mut picture: Value = serde_json::from_str(&topology.json()).unwrap_or_default();
    let (paces, nodes) = (by_place(topology, workers), topology.nodes());
    let by_name: BTreeMap<&str, &NodePace> = nodes
        .iter()
        .enumerate()
        .filter_map(|(at, it)| Some((&*it.name, paces.get(&at)?)))
        .collect();
    let parts = picture["subtopologies"].as_array_mut().into_iter().flatten();
    for node in parts.flat_map(|part| part["nodes"].as_array_mut().into_iter().flatten()) {
        let pace = node["name"].as_str().and_then(|name| by_name.get(name));
        node["records"] = pace.map_or(0, |pace| pace.records).into();
        node["per_second"] = pace.map_or(0.0, |pace| pace.per_second).into();
    }
    let application = topology.application_id();
    let lag = |input: &str| {
        let same = |lag: &&InputLag| {
            lag.application == application && format!("{}[{}]", lag.topic, lag.partition) == input
        };
        lags.iter().find(same).map(|lag| lag.records)
    };
    let mut tasks = Vec::new();
    for worker in workers.iter().filter(|worker| worker.application == application) {
        for task in &worker.tasks {
            let node = |pace: &NodePace| {
                let name = nodes.get(pace.place).map(|node| node.name.to_string());
                let pace = json!({"records": pace.records, "per_second": pace.per_second});
                (name.unwrap_or_default(), pace)
            };
            let input = |(at, committed): &(String, i64)| json!({"input": at, "committed": committed, "lag": lag(at)});
            tasks.push(json!({
                "id": task.id,
                "thread": worker.thread,
                "records": task.pace.records,
                "per_second": task.pace.per_second,
                "latency_ms": task.pace.latency_ms,
                "latency_max_ms": task.pace.latency_max_ms,
                "dropped": task.pace.dropped,
                "inputs": task.inputs.iter().map(input).collect::<Vec<_>>(),
                "nodes": task.pace.nodes.iter().map(node).collect::<serde_json::Map<_, _>>(),
            }));
        }
    }
    picture["tasks"] = tasks.into();
    picture
}
