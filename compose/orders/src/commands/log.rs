//! `orders topics …`: what is on the log.

use anyhow::Result;
use comfy_table::CellAlignment;
use log::{Isolation, TopicPartition};

use crate::config::Config;
use crate::output::say;
use crate::parts;
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
