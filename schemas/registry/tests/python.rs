//! A reader in another language: Python with `confluent-kafka` from PyPI reads
//! what our encoders wrote, through our registry.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use schema_registry::{MemoryStorage, Registry, register_all, server};
use schemas::avro::{Encoder, Message};
use schemas::topics::{self, Topic};
use schemas::{OrderId, samples};
use serde_json::{Value, json};
use tokio::net::TcpListener;

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/python")
}

/// A Python with `confluent-kafka`, installed once below the target folder.
fn python() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = Command::new(scripts().join("venv")).arg(&folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

fn line<V: Message>(registry: &Registry, topic: &Topic<V>, value: &V) -> String {
    let bytes = Encoder::for_topic(topic, registry).unwrap().encode_to_vec(value).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {hex}\n", topic.name())
}

/// What Python makes of the lines.
fn read(python: &PathBuf, url: &str, lines: &str) -> Result<Vec<Value>, String> {
    let mut child = Command::new(python)
        .arg(scripts().join("read_topics.py"))
        .args(["--registry", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_what_we_write() {
    if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") {
        return; // ring 5: needs Python and PyPI
    }
    let registry = Arc::new(Registry::open(Box::new(MemoryStorage::default())).unwrap());
    register_all(registry.as_ref()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = server::router(registry.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let event = samples::order_event(2);
    let lines = line(&registry, &topics::ORDER_EVENTS, &event)
        + &line(&registry, &topics::ORDERS, &samples::order(3))
        + &line(&registry, &topics::ORDER_COMMANDS, &samples::order_command())
        + &line(&registry, &topics::STOCK_LEVELS, &samples::stock_level());
    let garbage = format!("orders 00{:08x}00\n", 12_345);
    let (records, refused) = tokio::task::spawn_blocking(move || {
        let python = python();
        (read(&python, &url, &lines).unwrap(), read(&python, &url, &garbage).unwrap_err())
    })
    .await
    .unwrap();

    let read = &records[0]["value"];
    assert_eq!(read["event_type"], "order.shipped");
    assert_eq!(read["event_id"], event.event_id);
    assert_eq!(read["order_id"], samples::order_id().to_string());
    assert_eq!(read["total_amount"], json!({"minor": 11996, "currency": "USD"}));
    assert_eq!(read["occurred_at"], event.occurred_at.to_string());
    assert_eq!(read["previous_status"], "fulfilled");
    assert_eq!(read["items"][1]["product_id"], "prod-2");
    assert_eq!(read["order"]["shipping_address"]["street"], "Kärntner Straße 1");
    assert_eq!(read["order"]["metadata"], json!({"gift": "true", "weight": "1.250"}));
    assert_eq!(records[1]["value"]["items"].as_array().unwrap().len(), 3);
    assert_eq!(records[1]["value"]["cancel_reason"], Value::Null);
    assert_eq!(records[2]["value"]["amend"]["metadata"], json!({"gone": null, "new": "1.0"}));
    assert_eq!(records[3]["value"]["on_hand"], 10);
    assert!(read["order_id"].as_str().unwrap().parse::<OrderId>().is_ok());
    assert!(refused.contains("12345") || refused.contains("40403"), "{refused}");
}
