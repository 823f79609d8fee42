//! `orders topics …` and `orders topology …`: what is on the log, and the flow.

use anyhow::Result;
use comfy_table::CellAlignment;
use log::{Isolation, TopicPartition};
use topology::{Application, diagram, hops};

use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::roles::workers::choose;
use crate::table::table;

/// Creates every topic that is missing (R274–R278).
pub(crate) fn create_topics(config: &Config) -> Result<()> {
    let specs = parts::topic_specs(config);
    parts::log(config, true)?.admin()?.ensure_topics(&specs)?;
    say!("Topics created successfully!");
    Ok(())
}

/// Lists our topics with their ends.
pub(crate) fn list_topics(config: &Config, json: bool) -> Result<()> {
    let log = parts::log(config, true)?;
    let admin = log.admin()?;
    let names: Vec<String> = parts::topic_specs(config).into_iter().map(|spec| spec.name).collect();
    let found = admin.describe(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut rows = Vec::new();
    for (name, found) in names.iter().zip(found) {
        let ends = match &found {
            Some(topic) => {
                let all: Vec<_> =
                    (0..topic.partitions).map(|p| TopicPartition::new(name.as_str(), p)).collect();
                admin.end_offsets(&all, Isolation::ReadCommitted)?
            }
            None => Vec::new(),
        };
        rows.push((name, found.map(|topic| topic.partitions), ends));
    }
    if json {
        let value: Vec<_> = rows
            .iter()
            .map(|(name, partitions, ends)| serde_json::json!({"topic": name, "partitions": partitions, "ends": ends}))
            .collect();
        say!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    let mut table = table();
    table.set_header(["topic", "partitions", "end offsets"]);
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, partitions, ends) in rows {
        let partitions = partitions.map_or_else(|| "missing".to_owned(), |count| count.to_string());
        let ends = ends.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        table.add_row([name.clone(), partitions, ends]);
    }
    say!("{table}");
    Ok(())
}

/// Prints the flow.
pub(crate) fn show_topology(
    config: &Config,
    application: Option<&str>,
    mermaid: bool,
    json: bool,
) -> Result<()> {
    let source = schemas::avro::Local::source();
    let shown = match application {
        Some(name) => vec![choose(config, source, name)?],
        None => topology::applications(&parts::flow_settings(config), source)?,
    };
    if json {
        let all: Vec<_> = shown.iter().map(described).collect();
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    if mermaid && application.is_none() {
        say!("{}", diagram::mermaid(&shown));
        return Ok(());
    }
    for application in &shown {
        if mermaid {
            say!("{}", application.topology.mermaid());
        } else {
            say!("{}: {}\n{}", application.id, application.about, application.topology);
        }
    }
    if application.is_none() {
        let topologies: Vec<_> = shown.iter().map(|application| &application.topology).collect();
        if let Some(count) = hops::post_to_validated(&topologies) {
            say!("POST to `validated` on the feed: {count} transactional hops");
        }
    }
    Ok(())
}

/// An application as JSON.
fn described(application: &Application) -> serde_json::Value {
    let subtopologies: Vec<_> = application
        .topology
        .subtopologies()
        .iter()
        .map(|sub| {
            let sources: Vec<&str> = sub.sources.iter().map(|topic| &**topic).collect();
            let sinks: Vec<&str> = sub.sinks.iter().map(|topic| &**topic).collect();
            let stores: Vec<&str> = sub.stores.iter().map(|store| &*store.name).collect();
            serde_json::json!({"sources": sources, "sinks": sinks, "stores": stores})
        })
        .collect();
    serde_json::json!({
        "application": application.id, "about": application.about, "subtopologies": subtopologies,
    })
}
