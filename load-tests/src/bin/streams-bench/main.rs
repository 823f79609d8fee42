//! Measures the runtime on a real Kafka broker, to be held against Kafka Streams (`bench/kafka-streams`: `ks-bench`) and
//! against the bare client. `load-tests/streams-compare` runs the contenders in turn.
//!
//! Same options, same topologies and same JSON fields as `ks-bench`, on the input topics that `ks-bench load` fills.
//! Invariant: a run is over when every input record is processed and its offset is committed, as the broker says.

mod bare;
mod count_changelog;
mod latency;
mod memory;
mod options;
mod orders;
mod progress;
mod report;
mod restore;
mod run;
mod stages;
mod timed;
mod topics;
mod topologies;

use allocator as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use load_tests::process::Snapshot;

use options::{Mode, Options};

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one topology over its input, or one cold start (restore), and prints one line of JSON.
    Run(Options),
    /// Writes the changelog that `run --mode restore` reads: the rows that `ks-bench load` wrote, in our format.
    Load(Options),
    /// From production to a read_committed reader behind one or more exactly-once stages.
    Latency(latency::Options),
}

fn main() -> Result<ExitCode> {
    let began = Snapshot::now();
    let report = match Cli::parse().command {
        Command::Run(options) => match options.mode {
            Mode::Restore => restore::run(&options, &began)?,
            Mode::Bare => bare::run(&options, &began)?,
            _ => run::run(&options, &began)?,
        },
        Command::Load(options) => count_changelog::write(&options)?,
        Command::Latency(options) => latency::run(&options)?,
    };
    println!("{report}");
    let complete = report.get("complete").and_then(serde_json::Value::as_bool).unwrap_or(true);
    Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
