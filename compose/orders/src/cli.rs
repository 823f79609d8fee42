//! The command line: what can be asked of `orders`.

mod app;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use runtime::LetterId;

use crate::commands::topology::Format;
use crate::replay::HAPPY_PATH;
use crate::simulate::FLOWS;

pub(crate) use app::{AppCommand, ResetArgs};

/// Real-time order system: REST in, stream operators, Postgres, a realtime feed
/// and webhooks out.
///
/// Without servers everything runs embedded, with data in ./data. Setting
/// KAFKA_BOOTSTRAP_SERVERS, DATABASE_URL, REDIS_URL or SCHEMA_REGISTRY_URL
/// switches that part to the real service.
#[derive(Debug, Parser)]
#[command(name = "orders", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Cli {
    /// Read NAME=value lines first; variables that are set already win.
    #[arg(long, global = true, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the whole system in one process.
    Run,
    /// Start the REST API.
    Ingress,
    /// Start one application of the topology.
    Worker {
        /// order-lifecycle, order-validator, inventory-worker, payment-worker,
        /// fulfillment-worker, order-feed or order-analytics.
        application: String,
    },
    /// Start the WebSocket server.
    Websocket,
    /// Start the webhook dispatcher, reset it, or receive webhooks.
    Webhooks {
        #[command(subcommand)]
        command: Option<WebhooksCommand>,
    },
    /// Start the SQL sink, or rebuild what it wrote.
    Sink {
        #[command(subcommand)]
        command: Option<SinkCommand>,
    },
    /// Start the embedded schema registry on its own.
    Registry,
    /// Create or show topics.
    Topics {
        #[command(subcommand)]
        command: TopicsCommand,
    },
    /// List, show, replay or discard records that couldn't be processed.
    ///
    /// The embedded log belongs to one process: stop `orders run` first, or use Kafka.
    Dlq {
        #[command(subcommand)]
        command: DlqCommand,
    },
    /// List or let go keys whose records wait behind one that failed.
    ///
    /// The embedded log belongs to one process: stop `orders run` first, or use Kafka.
    Parked {
        #[command(subcommand)]
        command: ParkedCommand,
    },
    /// Show what an application of the topology is doing, or let it begin anew.
    App {
        #[command(subcommand)]
        command: AppCommand,
    },
    /// Ask a store of an application for what is committed in it.
    ///
    /// Any process of the application can be asked: it passes the query on to the owner of the key. Secrets and card
    /// numbers are hidden.
    Query(QueryArgs),
    /// Show the order flow.
    Topology {
        #[command(subcommand)]
        command: TopologyCommand,
    },
    /// Place, read, watch or cancel orders through the API.
    Order {
        #[command(subcommand)]
        command: OrderCommand,
        #[command(flatten)]
        target: Target,
    },
    /// Send a shop's days (Online Retail CSV files) through the API.
    Replay(ReplayArgs),
    /// Look for schedules of crashes and faults that lose, double or mix up anything.
    ///
    /// Several members run on a log in memory; everything they do follows from the seed. Exit code 1 at a violation, which
    /// is printed with its shortest schedule.
    Simulate(SimulateArgs),
    /// Ask a running process how it is; exit code 0 = healthy.
    Healthcheck {
        /// What to ask.
        #[arg(long, default_value = "http://127.0.0.1:8000/health")]
        url: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print an access token (development, or with JWT_SECRET_KEY).
    Token {
        /// The customer of the guide's example request.
        #[arg(long, conflicts_with_all = ["admin", "user"])]
        guide: bool,
        /// An administrator.
        #[arg(long, conflicts_with = "user")]
        admin: bool,
        /// A user by id.
        #[arg(long, value_name = "UUID")]
        user: Option<uuid::Uuid>,
        /// Print JSON: the token and when it ends.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Receive, verify and print webhooks.
    Listen {
        /// Where to listen; must be in WEBHOOK_ALLOW_HOSTS.
        #[arg(long, default_value = "127.0.0.1:9099")]
        addr: std::net::SocketAddr,
        /// The endpoint's secret (whsec_…). Without it signatures are shown,
        /// not checked.
        #[arg(long, env = "ORDERS_WEBHOOK_SECRET", hide_env_values = true)]
        secret: Option<String>,
        /// One JSON object per line.
        #[arg(long)]
        json: bool,
    },
    /// Go on from the end of the log, after it was replaced or ran out.
    ///
    /// Deliveries that are pending stay pending; events that happened since the
    /// dispatcher last ran are not sent. Stop the dispatcher first.
    Reset {
        /// Don't ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SinkCommand {
    /// Empty the projections and read the log again from its start.
    Rebuild,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Create every topic that is missing (R274-R278).
    Create,
    /// List topics with partitions and ends.
    List {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List open dead letters, oldest first.
    List {
        /// Only of this application.
        #[arg(long)]
        application: Option<String>,
        /// Only records of this topic.
        #[arg(long)]
        topic: Option<String>,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one with its headers and its value.
    Show {
        /// As `list` shows it: partition:offset.
        id: LetterId,
        /// Print JSON, the whole value in hexadecimal digits.
        #[arg(long)]
        json: bool,
    },
    /// Send records back to the end of the topics they came from, once.
    ///
    /// Every reader of such a topic gets them again, not only the one that failed.
    Replay {
        #[command(flatten)]
        choice: DlqChoice,
    },
    /// Put records away for good.
    Discard {
        #[command(flatten)]
        choice: DlqChoice,
    },
}

/// Which dead letters.
#[derive(Args, Clone, Debug)]
pub(crate) struct DlqChoice {
    /// As `list` shows them: partition:offset.
    #[arg(required_unless_present = "all")]
    pub ids: Vec<LetterId>,
    /// All there are.
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// With --all: only of this application.
    #[arg(long, requires = "all")]
    pub application: Option<String>,
    /// With --all: only records of this topic.
    #[arg(long, requires = "all")]
    pub topic: Option<String>,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// List parked keys, and why they are parked.
    List {
        /// Only of this application.
        #[arg(long)]
        application: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the records of keys go on, in order, up to the first that fails again; each command works once.
    Release {
        #[command(flatten)]
        choice: ParkedChoice,
    },
    /// Drop the records of keys for good.
    Discard {
        #[command(flatten)]
        choice: ParkedChoice,
    },
}

/// Which parked keys.
#[derive(Args, Clone, Debug)]
pub(crate) struct ParkedChoice {
    /// As `list` shows them.
    #[arg(required_unless_present = "all")]
    pub keys: Vec<String>,
    /// All that wait.
    #[arg(long, conflicts_with = "keys")]
    pub all: bool,
    /// Only of this application.
    #[arg(long)]
    pub application: Option<String>,
    /// Only of this `park_key`.
    #[arg(long)]
    pub parking: Option<String>,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopologyCommand {
    /// Print an application's topology, or all of them.
    Show {
        /// All when absent.
        application: Option<String>,
        /// How.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
        /// Short for --format mermaid.
        #[arg(long, conflicts_with_all = ["json", "format"])]
        mermaid: bool,
        /// Short for --format json.
        #[arg(long, conflicts_with = "format")]
        json: bool,
    },
}

/// `orders query`.
#[derive(Args, Clone, Debug)]
pub(crate) struct QueryArgs {
    /// APPLICATION/STORE, e.g. order-feed/numbers.
    #[arg(required_unless_present = "list")]
    pub store: Option<String>,
    /// The row or windows of this key; without it, all rows, by key.
    #[arg(conflicts_with_all = ["from", "to", "prefix"])]
    pub key: Option<String>,
    /// List the stores of the asked process.
    #[arg(long, conflicts_with = "store")]
    pub list: bool,
    /// Rows from this key on.
    #[arg(long, conflicts_with = "prefix")]
    pub from: Option<String>,
    /// Rows up to this key, itself too.
    #[arg(long, conflicts_with = "prefix")]
    pub to: Option<String>,
    /// Rows whose keys begin so.
    #[arg(long)]
    pub prefix: Option<String>,
    /// Windows that start, sessions that lie, between two times (RFC 3339 or ms); either may be missing.
    #[arg(long, value_name = "FROM..TO")]
    pub window: Option<String>,
    /// At most so many rows, 1-1000 [default: 100].
    #[arg(long)]
    pub limit: Option<usize>,
    /// The last rows first.
    #[arg(long)]
    pub reverse: bool,
    /// Wait until the store covers this record of its input; may be repeated.
    #[arg(long, value_name = "TOPIC[PARTITION]@OFFSET")]
    pub after: Vec<String>,
    /// How long to wait for that, 0-10000 ms [default: 1000].
    #[arg(long, requires = "after")]
    pub wait_ms: Option<u64>,
    /// Let a standby answer where the owner can't; `prefer`: the asked member's own standby rather than the owner.
    #[arg(long, value_name = "allow|prefer", num_args = 0..=1, require_equals = true, default_missing_value = "allow")]
    #[arg(value_parser = ["allow", "prefer"])]
    pub stale: Option<String>,
    /// Admin endpoint to ask; absent: on Kafka a member of the application, else ADMIN_ADDR.
    #[arg(long, value_name = "HOST:PORT")]
    pub at: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which API, as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The API.
    #[arg(long, global = true, default_value = "http://127.0.0.1:8000", env = "ORDERS_URL")]
    pub url: String,
    /// The WebSocket server.
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8001", env = "ORDERS_WS_URL")]
    pub ws_url: String,
    /// Access token; in development the guide's customer when absent.
    #[arg(long, global = true, env = "ORDERS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// Place an order.
    Create {
        /// PRODUCT=QUANTITY@PRICE, e.g. prod-1=2@29.99; may be repeated.
        #[arg(long = "item", value_name = "ITEM", default_value = "prod-1=2@29.99")]
        items: Vec<String>,
        #[arg(long, default_value = "USD")]
        currency: String,
        #[arg(long, default_value = "CREDIT_CARD")]
        payment_method: String,
        /// pm_card_ok, pm_card_declined, pm_slow, …: the README lists what each does.
        #[arg(long)]
        payment_token: Option<String>,
        /// Makes a repeat harmless.
        #[arg(long)]
        idempotency_key: Option<String>,
        /// A body from a file in place of the options above.
        #[arg(long, value_name = "JSON")]
        file: Option<PathBuf>,
    },
    /// Show an order.
    Get { order_id: uuid::Uuid },
    /// List own orders, newest first.
    List {
        #[arg(long, default_value_t = 10)]
        limit: u32,
        #[arg(long)]
        status: Vec<String>,
    },
    /// Follow the realtime feed.
    Watch {
        /// Only this order; ends when it is terminal.
        order_id: Option<uuid::Uuid>,
    },
    /// Cancel an order.
    Cancel {
        order_id: uuid::Uuid,
        #[arg(long)]
        reason: Option<String>,
    },
}

/// `orders replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Online Retail CSV files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[arg(long, default_value = "http://127.0.0.1:8000", env = "ORDERS_URL")]
    pub url: String,
    /// An administrator's token; in development one is made when absent.
    #[arg(long, env = "ORDERS_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Requests in flight.
    #[arg(long, default_value_t = 32)]
    pub concurrency: usize,
    /// Orders per second at most.
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Apply the catalogue's prices and the fraud limit.
    #[arg(long)]
    pub enforce: bool,
    /// Wait until orders have this status (or failed).
    #[arg(long, default_value = "delivered", value_parser = PossibleValuesParser::new(HAPPY_PATH))]
    pub until: String,
    /// Seconds to wait for it.
    #[arg(long, default_value_t = 300)]
    pub timeout: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `orders simulate`.
#[derive(Args, Debug)]
pub(crate) struct SimulateArgs {
    /// The first seed; one that nobody chose when absent.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many seeds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Steps of a schedule; what suits the flow when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: Option<u32>,
    /// Only these flows; may be repeated.
    #[arg(long = "flow", value_parser = PossibleValuesParser::new(FLOWS))]
    pub flows: Vec<String>,
    /// Print JSON, one object per flow.
    #[arg(long)]
    pub json: bool,
}

/// A number of orders per second.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    // Below that, the pause between two orders is longer than anybody waits.
    if rate.is_finite() && rate >= 0.000_1 {
        Ok(rate)
    } else {
        Err("expected orders per second, at least 0.0001".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["orders", "replay", "day.csv"], arguments].concat())
    }

    #[test]
    fn a_replay_refuses_what_it_could_not_do() {
        for good in [["--until", "shipped"], ["--rate", "0.5"]] {
            assert!(parse(&good).is_ok(), "{good:?}");
        }
        for bad in [
            ["--until", "shiped"],
            ["--until", "failed"],
            ["--rate", "0"],
            ["--rate", "NaN"],
            ["--rate", "inf"],
            ["--rate", "1e-300"],
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
    }
}
