//! The whole flow as one Mermaid diagram: applications and the topics between
//! them. The README's copy is held equal by a test.

use std::collections::BTreeSet;
use std::fmt::Write;

use schemas::messages::OrderEventType;

use crate::Application;

/// Applications as boxes, topics as edges; topics that no application reads
/// are gathered per writer.
#[must_use]
pub fn mermaid(applications: &[Application]) -> String {
    let flows: Vec<Flow> = applications.iter().map(Flow::of).collect();
    let mut text = String::from("flowchart LR\n  outside([callers, provider, carrier])\n");
    for flow in &flows {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {}[{}]", flow.id, flow.id);
    }
    for reader in &flows {
        for topic in &reader.reads {
            let mut written = false;
            for writer in flows.iter().filter(|writer| writer.writes.contains(topic)) {
                written = true;
                let _ = writeln!(text, "  {} -- {topic} --> {}", writer.id, reader.id);
            }
            if !written || *topic == "stock_commands" {
                let _ = writeln!(text, "  outside -- {topic} --> {}", reader.id);
            }
        }
    }
    for writer in &flows {
        let read: BTreeSet<&str> = flows.iter().flat_map(|flow| flow.reads.clone()).collect();
        let (of_types, mut unread): (Vec<&str>, Vec<&str>) = writer
            .writes
            .difference(&read)
            .partition(|topic| OrderEventType::ALL.iter().any(|kind| kind.topic() == **topic));
        if !of_types.is_empty() {
            unread.push("one topic per event type");
        }
        if !unread.is_empty() {
            let id = writer.id;
            let _ = writeln!(text, "  {id} --> {id}-out[/\"{}\"/]", unread.join("<br>"));
        }
    }
    text
}

struct Flow<'a> {
    id: &'a str,
    reads: BTreeSet<&'a str>,
    writes: BTreeSet<&'a str>,
}

impl<'a> Flow<'a> {
    fn of(application: &'a Application) -> Self {
        let parts = application.topology.subtopologies();
        let globals = application.topology.global_tables().iter().map(|table| &*table.topic);
        let own = |topic: &&str| !topic.starts_with(application.id);
        let reads = parts.iter().flat_map(|part| &part.sources).map(|topic| &**topic);
        let writes = parts.iter().flat_map(|part| &part.sinks).map(|topic| &**topic);
        Self {
            id: application.id,
            reads: reads.chain(globals).filter(own).collect(),
            writes: writes.filter(own).collect(),
        }
    }
}
