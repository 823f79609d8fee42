//! The same system on real Kafka, PostgreSQL and Redis, each role a process of
//! its own, workers killed with -9 in the middle of a replay.
//!
//! One test, because there is one set of topics: a story in chapters. It may be
//! told again on the same servers: it has keys of its own, so that it knows no
//! earlier order, and counts only what came after its beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use log::kafka::{KafkaLog, KafkaOptions};
use log::{Isolation, Log, NewRecord, TopicPartition, Visibility};
use serde_json::{Value, json};
use system_tests::api::{HAPPY_PATH, guide_order};
use system_tests::replay::{check_totals, day, independent_totals};
use system_tests::{Feed, Servers, System, apps, queries, until};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_system_on_real_servers() -> Result<()> {
    let mut system = System::start(Servers::from_environment()?).await?;
    let told = story(&mut system).await;
    told.with_context(|| system.outputs())
}

async fn story(system: &mut System) -> Result<()> {
    the_topics_are_listed(system).await?;
    an_order_is_delivered_on_both_feeds(system).await?;
    workers_are_killed_during_a_replay(system).await?;
    stores_are_asked_at_any_process(system).await?;
    an_application_begins_anew(system).await?;
    webhooks_survive_their_sender(system).await?;
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
    let (_, order) = api.get(&format!("/api/v1/orders/{id}")).await?;
    order["created_at"].as_str().context("created_at")?.clone_into(&mut system.began);
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
            (system.placed(&api).await.ok()?.len() >= placed).then_some(())
        })
        .await?;
        system.restart_killed(victim).await?;
    }
    check_totals(&replay.await??, &expected)
}

/// Q01-Q05: two processes of the lifecycle answer for each other.
async fn stores_are_asked_at_any_process(system: &mut System) -> Result<()> {
    let api = system.process("ingress")?.api(&["--admin"]).await?;
    let ids: Vec<String> = system.placed(&api).await?.into_iter().take(6).collect();
    queries::any_process_answers(system, &ids).await
}

/// L04: from another machine, so that the worker's own state folder is still of before the reset.
async fn an_application_begins_anew(system: &mut System) -> Result<()> {
    let person = system.role(&["app"])?;
    let told = apps::settled(&person, "order-analytics").await?;
    ensure!(told["members"].as_array().is_some_and(|all| all.len() == 1), "{told:#}");
    ensure!(told["members"][0]["address"].is_string(), "{told:#}");
    let said = apps::refused(&person, &["app", "reset", "order-analytics", "--execute"]).await?;
    ensure!(said.contains("order-analytics has members"), "{said}");
    let revenue = until("all money is counted", 60, || async {
        let told = apps::described(&person, "order-analytics").await.ok()?;
        let inputs = told["tasks"].as_array()?.iter().filter_map(|task| task["inputs"].as_array());
        let most = inputs.flatten().filter_map(|input| input["lag"].as_i64()).max()?;
        let rows = apps::revenue(&person).await.ok()?;
        // What lies behind the last records, markers and aborted ones, is read with what comes next.
        (most <= 20 && !rows.is_empty()).then_some(rows)
    })
    .await?;
    let worker = system.process("order-analytics")?;
    ensure!(worker.stop().await? == Some(0), "{}", worker.output());
    apps::reset_analytics(&person).await?;
    system.process("order-analytics")?.start()?;
    until("the same money is counted anew", 120, || async {
        apps::revenue(&person).await.ok().filter(|rows| *rows == revenue)
    })
    .await?;
    let said = system.process("order-analytics")?.output();
    ensure!(said.contains("from before a reset"), "the old state was kept: {said}");
    Ok(())
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
    let api = system.process("ingress")?.api(&["--admin"]).await?;
    let placed: BTreeSet<String> = system.placed(&api).await?.into_iter().collect();
    // 127 of the replay, one watched, two with webhooks, six among the poison.
    ensure!(placed.len() == 136, "{} orders", placed.len());
    let mut delivered: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in String::from_utf8(read.stdout)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let member = |name: &str| {
            let order = record.pointer("/value/event").or_else(|| record.get("value"))?;
            order.get(name)?.as_str().map(str::to_owned)
        };
        let (Some(id), Some("delivered")) = (member("order_id"), member("status").as_deref())
        else {
            continue;
        };
        if placed.contains(&id) {
            let topic = record["topic"].as_str().unwrap_or_default().to_owned();
            *delivered.entry((topic, id)).or_default() += 1;
        }
    }
    ensure!(delivered.values().all(|count| *count == 1), "delivered twice: {delivered:?}");
    for topic in ["order_events", "orders", "user_feed"] {
        let count = delivered.keys().filter(|(name, _)| name == topic).count();
        ensure!(count == placed.len(), "{topic}: {count} of {} delivered", placed.len());
    }
    Ok(())
}

/// R274-R277: the topics are on the broker, with the partitions that were asked for.
async fn the_topics_are_listed(system: &System) -> Result<()> {
    let topics = system.role(&["topics"])?;
    let listed: Value = serde_json::from_str(&topics.run(&["topics", "list", "--json"]).await?)?;
    for name in ["order_created", "order_validated", "order_payment_processed", "dead_letters"] {
        let found = listed
            .as_array()
            .and_then(|rows| rows.iter().find(|row| row["topic"] == name))
            .with_context(|| format!("{name} is not in {listed}"))?;
        let ends = found["ends"].as_array().map(Vec::len);
        ensure!(found["partitions"] == 3 && ends == Some(3), "{found}");
    }
    Ok(())
}

/// One order while the receiver listens; one whose first attempts fail before
/// the sender is killed: a new sender knows what is still to be delivered.
async fn webhooks_survive_their_sender(system: &mut System) -> Result<()> {
    let api = system.process("ingress")?.api(&["--guide"]).await?;
    system.receiver.register(&api).await?;
    system.receiver.listen().await?;
    let heard = api.place(&guide_order()).await?;
    system.receiver.has_all(&heard, &HAPPY_PATH, 60).await?;

    system.receiver.stop().await?;
    let missed = api.place(&guide_order()).await?;
    api.reaches(&missed, "delivered", 60).await?;
    let path = format!("/api/v1/webhooks/{}/deliveries", system.receiver.webhook_id);
    until("a delivery fails", 30, || async {
        let (_, page) = api.get(&path).await.ok()?;
        let failed = |delivery: &&Value| {
            delivery["order_id"] == json!(missed)
                && delivery["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
        };
        page["data"].as_array()?.iter().find(failed).map(|_| ())
    })
    .await?;
    system.process("webhooks")?.kill().await?;
    system.receiver.listen().await?;
    system.process("webhooks")?.start()?;
    system.receiver.has_all(&missed, &HAPPY_PATH, 90).await
}

async fn poison_becomes_dead_letters(system: &mut System) -> Result<()> {
    let log = KafkaLog::new(KafkaOptions::new(system.servers.kafka.clone()));
    let before = dead_letter_ends(&log)?;
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
    let buried = dead_letters(&log, &before)?;
    ensure!(buried.len() == 6, "{buried:?}");
    ensure!(buried.iter().all(|headers| headers.contains("order_commands")), "{buried:?}");
    dead_letters_are_settled(system).await
}

/// One is sent back and buried again, then all are put away.
async fn dead_letters_are_settled(system: &mut System) -> Result<()> {
    let orders = system.process("ingress")?;
    let list = || async {
        let listed = orders.run(&["dlq", "list", "--topic", "order_commands", "--json"]).await?;
        let letters: Vec<Value> = serde_json::from_str(&listed)?;
        anyhow::Ok(letters)
    };
    let before = list().await?;
    ensure!(before.len() >= 6, "{before:#?}");
    let first = &before[0];
    ensure!(first["application"] == "order-lifecycle", "{first:#}");
    let id = first["id"].as_str().context("id")?;
    let shown = orders.run(&["dlq", "show", id]).await?;
    ensure!(shown.contains("garbage") || shown.contains("0x007f"), "{shown}");
    orders.run(&["dlq", "replay", id, "--yes"]).await?;
    until("the replayed record is buried again", 60, || async {
        let now = list().await.ok()?;
        let gone = now.iter().all(|letter| letter["id"] != first["id"]);
        (gone && now.len() == before.len()).then_some(())
    })
    .await?;
    ensure!(orders.run(&["dlq", "replay", id, "--yes"]).await.is_err(), "{id} is replayed twice");
    orders.run(&["dlq", "discard", "--all", "--topic", "order_commands", "--yes"]).await?;
    let left = list().await?;
    ensure!(left.is_empty(), "{left:#?}");
    Ok(())
}

fn dead_letter_ends(log: &dyn Log) -> Result<Vec<(TopicPartition, i64)>> {
    let all: Vec<TopicPartition> =
        (0..3).map(|partition| TopicPartition::new("dead_letters", partition)).collect();
    let ends = log.admin()?.end_offsets(&all, Isolation::ReadCommitted)?;
    Ok(all.into_iter().zip(ends).collect())
}

/// The headers of the dead letters from these offsets on, as text.
fn dead_letters(log: &dyn Log, from: &[(TopicPartition, i64)]) -> Result<Vec<String>> {
    let ends = dead_letter_ends(log)?;
    let mut reader = log.reader("judge", Isolation::ReadCommitted, Visibility::Durable)?;
    reader.assign(from)?;
    let mut found = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !ends.iter().all(|(at, end)| reader.reached(at, *end)) {
        ensure!(Instant::now() < deadline, "dead_letters is not read to its end within 30 s");
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
