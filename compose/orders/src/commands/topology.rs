//! `orders topology show`: the flow as text and as pictures.

use anyhow::Result;
use clap::ValueEnum;
use serde_json::Value;
use topology::{Application, diagram, hops};

use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::roles::workers::choose;

/// How the flow is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// As Kafka Streams describes a topology.
    Text,
    /// A Mermaid flowchart; of all applications: which topics lie between them.
    Mermaid,
    /// For Graphviz: one graph per application.
    Dot,
    /// For other programs: an array of applications.
    Json,
}

/// Prints one application's topology, or all of them.
pub(crate) fn show(config: &Config, application: Option<&str>, format: Format) -> Result<()> {
    let source = schemas::avro::Local::source();
    let shown = match application {
        Some(name) => vec![choose(config, source, name)?],
        None => topology::applications(&parts::flow_settings(config), source)?,
    };
    match format {
        Format::Json => {
            let all = shown.iter().map(described).collect::<Result<Vec<_>>>()?;
            say!("{}", serde_json::to_string_pretty(&all)?);
        }
        Format::Mermaid if application.is_none() => say!("{}", diagram::mermaid(&shown)),
        Format::Mermaid => {
            for one in &shown {
                say!("{}", one.topology.mermaid());
            }
        }
        Format::Dot => {
            for one in &shown {
                say!("{}", one.topology.dot());
            }
        }
        Format::Text => text(&shown, application.is_none())?,
    }
    Ok(())
}

fn text(shown: &[Application], all: bool) -> Result<()> {
    for application in shown {
        say!("{}: {}\n{}", application.id, application.about, application.topology);
    }
    let topologies: Vec<_> = shown.iter().map(|application| &application.topology).collect();
    if let Some(count) = hops::post_to_validated(&topologies).filter(|_| all) {
        say!("POST to `validated` on the feed: {count} transactional hops");
    }
    Ok(())
}

/// The topology's own JSON, with what the application is for.
fn described(application: &Application) -> Result<Value> {
    let mut picture: Value = serde_json::from_str(&application.topology.json())?;
    picture["about"] = application.about.into();
    Ok(picture)
}
