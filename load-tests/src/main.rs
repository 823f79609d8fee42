//! Measurements of a running system, printed as JSON for `RESULTS.md`.
//!
//! * `latency`: POST → `order.validated` on the WebSocket at a fixed rate
//!   (open loop: a late answer doesn't delay the next order, and time counts
//!   from when an order was due, not from when there was time to send it).
//!   Orders that the system refused are told apart from events that were lost.
//! * `cpu`: CPU seconds and peak memory of all `orders` processes while a
//!   command runs.

mod cpu;
mod feed;
mod latency;
mod outcomes;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Latency from POST to `order.validated` on the feed.
    Latency(latency::Options),
    /// CPU of all `orders` processes while a command runs.
    Cpu {
        /// The command and its arguments.
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Latency(options) => latency::run(options).await,
        Command::Cpu { command } => cpu::run(&command),
    }
}
