//! `orders app …`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    /// Show members, tasks and who holds them, lag, state and how far a restore is.
    Describe {
        /// Such as order-lifecycle; `orders topology show` lists them.
        application: String,
        /// Admin endpoint to ask; absent: on Kafka all members, else ADMIN_ADDR.
        #[arg(long, value_name = "HOST:PORT")]
        at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget an application's state and what it has read, so that it begins anew. Shows what would be changed; --execute
    /// does it.
    ///
    /// All its members must be stopped. What it wrote to topics of others stays, and it writes that again. Running it
    /// again goes on with a reset that was interrupted; until then no member starts. State folders of other machines are
    /// recognised and emptied at their next start.
    Reset(ResetArgs),
}

/// `orders app reset`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ResetArgs {
    /// Such as order-analytics.
    pub application: String,
    /// Read inputs from their first record. Without any --to-…: as on the first day, as each source says.
    #[arg(long, group = "to")]
    pub to_earliest: bool,
    /// Read only what comes from now on.
    #[arg(long, group = "to")]
    pub to_latest: bool,
    /// Read from this time on (RFC 3339 or ms since 1970).
    #[arg(long, group = "to", value_name = "TIME")]
    pub to_datetime: Option<String>,
    /// Do it.
    #[arg(long, visible_alias = "yes")]
    pub execute: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
