//! `orders`: the one binary. Reads the configuration, sets up telemetry, then
//! runs the role or command that was asked for.

mod admin;
mod api;
mod cli;
mod commands;
mod config;
mod data_dir;
mod insight;
mod output;
mod parts;
mod progress;
mod queries;
mod replay;
mod roles;
mod secrets;
mod simulate;
mod table;
mod telemetry;

use allocator as _;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser as _;

use cli::{Cli, Command, ReplayArgs, SinkCommand, TopicsCommand, TopologyCommand, WebhooksCommand};
use commands::token::For;
use commands::topology::Format;
use config::{Config, Env};
use output::{ReaderGone, say};
use roles::until_signal;
use roles::workers::Unfit;

/// A start that only a person can help (EX_CONFIG of sysexits.h): a supervisor needn't try again.
const EXIT_UNFIT: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orders: {error:#}");
            if error.is::<Unfit>() { ExitCode::from(EXIT_UNFIT) } else { ExitCode::FAILURE }
        }
    }
}

fn start(cli: Cli) -> Result<()> {
    let mut env = Env::of_process();
    if let Some(path) = &cli.env_file {
        env.add_file(path)?;
    }
    let config = Config::read(&env)?;
    let is_role = matches!(
        cli.command,
        Command::Run
            | Command::Ingress
            | Command::Worker { .. }
            | Command::Websocket
            | Command::Webhooks { command: None }
            | Command::Sink { command: None }
            | Command::Registry
    );
    telemetry::start(config.json_logs, if is_role { "info" } else { "warn" });
    if is_role {
        admin::install_metrics()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(dispatch(cli.command, &config))
}

async fn dispatch(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::Run => until_signal(|stop| roles::everything::run(config, stop)).await,
        Command::Ingress => until_signal(|stop| roles::api::run(config, stop)).await,
        Command::Worker { application } => {
            until_signal(|stop| roles::workers::run(config, &application, stop)).await
        }
        Command::Websocket => {
            until_signal(|stop| roles::egress::run_websocket_alone(config, stop)).await
        }
        Command::Webhooks { command: None } => {
            until_signal(|stop| roles::egress::run_webhooks_alone(config, stop)).await
        }
        Command::Webhooks { command: Some(WebhooksCommand::Listen { addr, secret, json }) } => {
            until_signal(|stop| commands::listen::run(addr, secret.as_deref(), json, stop)).await
        }
        Command::Webhooks { command: Some(WebhooksCommand::Reset { yes }) } => {
            reset_webhooks(config, yes).await
        }
        Command::Sink { command: None } => {
            until_signal(|stop| roles::egress::run_sink_alone(config, stop)).await
        }
        Command::Sink { command: Some(SinkCommand::Rebuild) } => rebuild_sink(config).await,
        Command::Registry => until_signal(|stop| roles::registry(config, stop)).await,
        Command::Topics { command } => tokio::task::block_in_place(|| match command {
            TopicsCommand::Create => commands::log::create_topics(config),
            TopicsCommand::List { json } => commands::log::list_topics(config, json),
        }),
        Command::Dlq { command } => {
            tokio::task::block_in_place(|| commands::dlq::run(config, command))
        }
        Command::Parked { command } => {
            tokio::task::block_in_place(|| commands::parked::run(config, command))
        }
        Command::App { command } => commands::app::run(config, command).await,
        Command::Query(args) => commands::query::run(config, args).await,
        Command::Topology {
            command: TopologyCommand::Show { application, format, mermaid, json },
        } => {
            let format = match (mermaid, json) {
                (true, _) => Format::Mermaid,
                (_, true) => Format::Json,
                _ => format,
            };
            commands::topology::show(config, application.as_deref(), format)
        }
        Command::Order { command, target } => {
            let token = match &target.token {
                Some(token) => token.clone(),
                None => commands::token::token(config, For::Guide)?,
            };
            commands::order::run(command, &target, token).await
        }
        Command::Replay(args) => replay(args, config).await,
        Command::Simulate(args) => tokio::task::block_in_place(|| simulate::run(&args)),
        Command::Healthcheck { url, json } => healthcheck(&url, json).await,
        Command::Token { guide: _, admin, user, json } => {
            let whom = match user {
                Some(id) => For::User(id),
                None if admin => For::Admin,
                None => For::Guide,
            };
            commands::token::print(config, whom, json)
        }
    }
}

async fn reset_webhooks(config: &Config, yes: bool) -> Result<()> {
    commands::confirm("webhook events since the dispatcher last ran will not be sent", yes)?;
    roles::egress::reset_webhooks(config).await?;
    say!("the dispatcher goes on from the end of the log; what was pending stays pending");
    Ok(())
}

async fn rebuild_sink(config: &Config) -> Result<()> {
    let database = parts::database(config, true).await?;
    egress::sink::rebuild(&database).await?;
    say!("the projections are empty; the sink reads the log again from its start");
    Ok(())
}

async fn replay(args: ReplayArgs, config: &Config) -> Result<()> {
    let mut lines = Vec::new();
    for path in &args.files {
        lines.extend(replay::read(path)?);
    }
    let names: Vec<_> = args.files.iter().filter_map(|path| path.file_stem()?.to_str()).collect();
    let source = names.join("+");
    let plan = replay::plan(&lines);
    let token = match args.token {
        Some(token) => token,
        None => commands::token::token(config, For::Admin)?,
    };
    let api = api::Api::new(&args.url, Some(token))?;
    let options = replay::Options {
        concurrency: args.concurrency.max(1),
        enforce: args.enforce,
        rate: args.rate,
        until: args.until,
        timeout: Duration::from_secs(args.timeout),
    };
    let (report, settled) = replay::run(&api, &plan, &source, &options).await?;
    replay::print(&plan, &report, settled.is_ok(), args.json)?;
    settled
}

async fn healthcheck(url: &str, json: bool) -> Result<()> {
    let answer = reqwest::Client::new().get(url).timeout(Duration::from_secs(3)).send().await?;
    let status = answer.status();
    if json {
        let body: serde_json::Value = answer.json().await.unwrap_or_default();
        let said = serde_json::json!({
            "url": url, "healthy": status.is_success(), "status": status.as_u16(), "body": body,
        });
        say!("{said}");
    }
    if !status.is_success() {
        bail!("{url} answered {status}");
    }
    Ok(())
}
