//! `orders app …`: an application of the topology as a whole.

mod describe;
mod reset;

use anyhow::Result;

use crate::cli::AppCommand;
use crate::config::Config;

/// Shows an application, or lets it begin anew.
pub(crate) async fn run(config: &Config, command: AppCommand) -> Result<()> {
    match command {
        AppCommand::Describe { application, at, json } => {
            describe::run(config, &application, at, json).await
        }
        AppCommand::Reset(args) => tokio::task::block_in_place(|| reset::run(config, &args)),
    }
}
