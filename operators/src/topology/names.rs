//! Names that become names on the log: which of them are possible, and which belong to the topology itself.
//!
//! The rule is Kafka's, whatever log a flow runs on: what builds can move there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TopologyError;
use crate::graph::{Graph, NodeId, NodeKind};

/// Characters of a topic's name at most.
const TOPIC_MAX: usize = 249;

/// Of an application id: the runtime adds up to nine (`-manifest`).
const APPLICATION_MAX: usize = TOPIC_MAX - 9;

/// What is wrong with a topic's name, if anything.
pub(crate) fn problem(name: &str) -> Option<String> {
    longer_than(name, TOPIC_MAX)
}

fn longer_than(name: &str, most: usize) -> Option<String> {
    let is_legal = |c: &char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(c);
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if name == "." || name == ".." {
        return Some("is that of a folder".to_owned());
    }
    if let Some(other) = name.chars().find(|c| !is_legal(c)) {
        return Some(format!("contains {other:?}"));
    }
    (name.len() > most).then(|| format!("has {} characters, more than {most}", name.len()))
}

/// The id that begins every internal topic's name.
pub(super) fn check_application_id(id: &str) -> Result<(), TopologyError> {
    match longer_than(id, APPLICATION_MAX) {
        Some(problem) => Err(TopologyError::IllegalApplicationId { id: id.to_owned(), problem }),
        None => Ok(()),
    }
}

/// Every topic that is read, written or made has a name that a log takes, and the topology's own are left alone.
pub(super) fn check(graph: &Graph) -> Result<(), TopologyError> {
    let own = own_topics(graph);
    for (topic, made) in &own {
        if let Some(problem) = problem(topic) {
            let (name, topic) = (made.name.to_string(), topic.to_string());
            return Err(TopologyError::IllegalName { name, topic, problem });
        }
    }
    for (topic, reader) in reads(graph) {
        legal(topic, &reader)?;
        if let Some(made) = own.get(topic) {
            let (topic, what, remedy) = (topic.to_string(), made.to_string(), made.kind.instead());
            return Err(TopologyError::ReadsOwnTopic { reader, topic, what, remedy });
        }
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        let NodeKind::Sink(topics) = &node.kind else { continue };
        for topic in topics {
            let Some(made) = own.get(topic) else {
                legal(topic, &format!("`{}`", node.name))?;
                continue;
            };
            // A command is a record like any other, whoever writes it.
            if made.writer != Some(NodeId(id)) && made.kind != Kind::Control {
                let (writer, topic) = (node.name.to_string(), topic.to_string());
                return Err(TopologyError::WritesOwnTopic {
                    writer,
                    topic,
                    what: made.to_string(),
                });
            }
        }
    }
    Ok(())
}

fn legal(topic: &str, user: &str) -> Result<(), TopologyError> {
    match problem(topic) {
        Some(problem) => {
            let (topic, user) = (topic.to_owned(), user.to_owned());
            Err(TopologyError::IllegalTopic { topic, user, problem })
        }
        None => Ok(()),
    }
}

/// What the user reads, and in words where.
fn reads(graph: &Graph) -> impl Iterator<Item = (&Arc<str>, String)> {
    let streams = graph.read.iter().map(|topic| (topic, format!("`source-{topic}`")));
    let table =
        |table: &'_ crate::graph::GlobalTable| format!("the global table `{}`", table.store);
    streams.chain(graph.globals.iter().map(move |global| (&global.topic, table(global))))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Changelog,
    Repartition,
    Control,
}

impl Kind {
    /// What to read in place of such a topic.
    fn instead(self) -> &'static str {
        match self {
            Self::Changelog => "go on from the table itself, with `to_stream`",
            Self::Repartition => "go on from the stream that comes out of it",
            Self::Control => "read the commands where they come from",
        }
    }
}

/// An internal topic.
struct Own {
    kind: Kind,
    /// What it is named after.
    name: Arc<str>,
    /// The sink that writes it, if one does.
    writer: Option<NodeId>,
}

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            Kind::Changelog => "changelog",
            Kind::Repartition => "repartition topic",
            Kind::Control => "control topic",
        };
        write!(f, "the {kind} of `{}`", self.name)
    }
}

/// The topology's internal topics, by their names.
fn own_topics(graph: &Graph) -> BTreeMap<Arc<str>, Own> {
    let named = |topic: &Arc<str>, suffix: &str| {
        let behind = topic.get(graph.application_id.len() + 1..).unwrap_or_default();
        Arc::from(behind.strip_suffix(suffix).unwrap_or(behind))
    };
    let changelogs = graph.stores.iter().map(|store| {
        let name = Arc::clone(&store.name);
        (graph.changelog_topic(&name), Own { kind: Kind::Changelog, name, writer: None })
    });
    let repartitions = graph.repartitions.iter().map(|repartition| {
        let (topic, writer) = (Arc::clone(&repartition.topic), Some(repartition.writer));
        let name = named(&topic, "-repartition");
        (topic, Own { kind: Kind::Repartition, name, writer })
    });
    let controls = graph.controls.iter().map(|topic| {
        let name = named(topic, "-control");
        (Arc::clone(topic), Own { kind: Kind::Control, name, writer: None })
    });
    changelogs.chain(repartitions).chain(controls).collect()
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn a_topic_may_be_named_as_in_kafka() {
        let longest = "x".repeat(249);
        for name in ["a", "A.b_c-9", "...", "__consumer_offsets", &longest] {
            assert_eq!(problem(name), None, "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "ä", "a:b", &"x".repeat(250)] {
            assert!(problem(name).is_some(), "{name}");
        }
    }
}
