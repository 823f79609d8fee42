//! The same system on real Kafka, PostgreSQL and Redis, each role a process of
//! its own, workers killed with -9 in the middle of a replay.
//!
//! One test, because there is one set of topics: a story in chapters.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use log::kafka::{KafkaLog, KafkaOptions};
use log::{Isolation, Log, NewRecord, TopicPartition, Visibility};
use serde_json::Value;
use system_tests::api::guide_order;
use system_tests::replay::{check_totals, day, independent_totals};
use system_tests::{Feed, Orders, Servers, until};
use tokio::process::Command;

const APPLICATIONS: [&str; 7] = [
    "order-lifecycle",
    "order-validator",
    "inventory-worker",
    "payment-worker",
    "fulfillment-worker",
    "order-feed",
    "order-analytics",
];

struct System {
    servers: Servers,
    processes: BTreeMap<String, Orders>,
}

impl System {
    fn role(&self, arguments: &[&str]) -> Result<Orders> {
        Ok(Orders::new(arguments)?
            .with("KAFKA_BOOTSTRAP_SERVERS", &self.servers.kafka)
            .with("DATABASE_URL", &self.servers.database)
            .with("REDIS_URL", &self.servers.redis)
            .with("JWT_SECRET_KEY", "0123456789abcdef0123456789abcdef")
            .with("DATA_ENCRYPTION_KEY", &"ab".repeat(32))
            .with("RATE_LIMIT_ENABLED", "false"))
    }

    async fn start(servers: Servers) -> Result<Self> {
        let mut system = Self { servers, processes: BTreeMap::new() };
        system.role(&["topics"])?.run(&["topics", "create"]).await?;
        for application in APPLICATIONS {
            system.add(application, &["worker", application])?;
        }
        system.add("sink", &["sink"])?;
        system.add("websocket-1", &["websocket"])?;
        system.add("websocket-2", &["websocket"])?;
        system.add("webhooks", &["webhooks"])?;
        let mut ingress = system.role(&["ingress"])?;
        ingress.start_ready().await?;
        system.processes.insert("ingress".to_owned(), ingress);
        Ok(system)
    }

    fn add(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut process = self.role(arguments)?;
        process.start()?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    fn process(&mut self, name: &str) -> Result<&mut Orders> {
        self.processes.get_mut(name).with_context(|| format!("no process {name}"))
    }

    async fn restart_killed(&mut self, name: &str) -> Result<()> {
        let process = self.process(name)?;
        process.kill().await?;
        process.start()
    }

    fn outputs(&self) -> String {
        self.processes
            .iter()
            .map(|(name, process)| format!("--- {name}\n{}\n", process.output()))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_system_on_real_servers() -> Result<()> {
    let mut system = System::start(Servers::from_environment()?).await?;
    let told = story(&mut system).await;
    told.with_context(|| system.outputs())
}

async fn story(system: &mut System) -> Result<()> {
    an_order_is_delivered_on_both_feeds(system).await?;
    workers_are_killed_during_a_replay(system).await?;
    poison_becomes_dead_letters(system).await?;
    a_reader_in_another_language_understands_our_topics(system).await
}

async fn an_order_is_delivered_on_both_feeds(system: &mut System) -> Result<()> {
    let api = system.process("ingress")?.api(&["--guide"]).await?;
    let mut feeds = Vec::new();
    for name in ["websocket-1", "websocket-2"] {
        let port = system.process(name)?.ports().websocket;
        let feed =
            until("the feed listens", 30, || async { Feed::connect(port, api.token()).await.ok() })
                .await?;
        feeds.push(feed);
    }
    for feed in &mut feeds {
        feed.subscribe("user:123e4567-e89b-12d3-a456-426614174000").await?;
    }
    until("the first products exist", 60, || async {
        api.get("/api/v1/products/prod-1").await.ok().filter(|(status, _)| *status == 200)
    })
    .await?;
    let id = api.place(&guide_order()).await?;
    let (first, rest) = feeds.split_first_mut().context("two feeds")?;
    let seen = first.until(&id, "delivered").await?;
    for feed in rest {
        ensure!(
            feed.until(&id, "delivered").await? == seen,
            "two websocket processes told different stories"
        );
    }
    Ok(())
}

async fn workers_are_killed_during_a_replay(system: &mut System) -> Result<()> {
    let expected = independent_totals().await?;
    let file = day().display().to_string();
    let url = format!("http://127.0.0.1:{}", system.process("ingress")?.ports().ingress);
    let runner = system.role(&["replay"])?;
    let arguments = [
        "replay",
        &file,
        "--url",
        &url,
        "--json",
        "--until",
        "delivered",
        "--timeout",
        "240",
        "--rate",
        "15",
    ];
    let replay = tokio::spawn({
        let arguments = arguments.map(str::to_owned);
        async move { runner.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await }
    });
    let api = system.process("ingress")?.api(&["--admin"]).await?;
    for (placed, victim) in [
        (10, "order-lifecycle"),
        (30, "inventory-worker"),
        (50, "payment-worker"),
        (70, "order-feed"),
        (90, "sink"),
    ] {
        until(&format!("{placed} orders are placed"), 120, || async {
            let (_, page) = api.get("/api/v1/orders?limit=100&cursor=").await.ok()?;
            (page["data"].as_array()?.len() >= placed).then_some(())
        })
        .await?;
        system.restart_killed(victim).await?;
    }
    check_totals(&replay.await??, &expected)
}

/// Python's `confluent-kafka` with Avro, over the embedded registry's HTTP.
async fn a_reader_in_another_language_understands_our_topics(system: &mut System) -> Result<()> {
    system.add("registry", &["registry"])?;
    let url = format!("http://127.0.0.1:{}", system.process("registry")?.ports().registry);
    let http = reqwest::Client::new();
    until("the registry answers", 30, || async {
        http.get(format!("{url}/subjects")).send().await.ok()
    })
    .await?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = Command::new(scripts.join("venv")).arg(&folder).output().await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = Command::new(String::from_utf8(made.stdout)?.trim())
        .arg(scripts.join("read_topics.py"))
        .args([
            "--registry",
            &url,
            "--bootstrap",
            &system.servers.kafka,
            "order_events",
            "orders",
            "user_feed",
            "ledger",
        ])
        .output()
        .await?;
    ensure!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for line in String::from_utf8(read.stdout)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let status =
            record.pointer("/value/status").or_else(|| record.pointer("/value/event/status"));
        if status.and_then(Value::as_str) == Some("delivered") {
            *delivered
                .entry(record["topic"].as_str().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
    }
    // 127 of the replay, one watched, six among the poison.
    let expected = ["order_events", "orders", "user_feed"].map(|topic| (topic.to_owned(), 134));
    ensure!(delivered == BTreeMap::from(expected), "{delivered:?}");
    Ok(())
}

async fn poison_becomes_dead_letters(system: &mut System) -> Result<()> {
    let log = KafkaLog::new(KafkaOptions::new(system.servers.kafka.clone()));
    let appender = log.appender("poison")?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let unknown_schema = [&[0_u8, 0x7f, 0xff, 0xff, 0xff][..], b"whatever"].concat();
    for partition in 0..3 {
        for value in [&b"garbage"[..], &unknown_schema] {
            let (send, receive) = mpsc::channel();
            let record = NewRecord {
                key: Some(b"poison"),
                value: Some(value),
                timestamp: now,
                headers: &[],
            };
            appender.append(
                "order_commands",
                Some(partition),
                record,
                Box::new(move |done| drop(send.send(done))),
            );
            receive.recv_timeout(Duration::from_secs(10))??;
        }
    }
    let api = system.process("ingress")?.api(&["--guide"]).await?;
    for _ in 0..6 {
        let id = api.place(&guide_order()).await?;
        api.reaches(&id, "delivered", 60).await?;
    }
    let buried = dead_letters(&log)?;
    ensure!(buried.len() == 6, "{buried:?}");
    ensure!(buried.iter().all(|headers| headers.contains("order_commands")), "{buried:?}");
    Ok(())
}

/// The headers of all dead letters, as text.
fn dead_letters(log: &dyn Log) -> Result<Vec<String>> {
    let all: Vec<TopicPartition> =
        (0..3).map(|partition| TopicPartition::new("dead_letters", partition)).collect();
    let ends = log.admin()?.end_offsets(&all, Isolation::ReadCommitted)?;
    let mut reader = log.reader("judge", Isolation::ReadCommitted, Visibility::Durable)?;
    reader.assign(&all.iter().cloned().map(|at| (at, 0)).collect::<Vec<_>>())?;
    let mut found = Vec::new();
    while !all.iter().zip(&ends).all(|(at, end)| reader.reached(at, *end)) {
        reader.poll(Duration::from_millis(100), 100, &mut |record| {
            let headers = record
                .headers
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            found.push(headers.collect::<Vec<_>>().join(" "));
        })?;
    }
    Ok(found)
}
