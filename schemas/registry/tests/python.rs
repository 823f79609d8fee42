//! A reader in another language: Python with `confluent-kafka` from PyPI reads
//! what our encoders wrote, through our registry.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use schema_registry::{
    ClientOptions, MemoryStorage, Registry, RegistryClient, register_all, server,
};
use schemas::avro::{Encoder, Message, SchemaSource};
use schemas::messages::Order;
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

fn line<V: Message>(source: &dyn SchemaSource, topic: &Topic<V>, value: &V) -> String {
    let bytes = Encoder::for_topic(topic, source).unwrap().encode_to_vec(value).unwrap();
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

/// What [`written`] wrote, as Python must read it.
fn check(records: &[Value], refused: &str) {
    let event = samples::order_event(2);
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

/// Four values in the wire format, and one whose schema nobody knows.
fn written(source: &dyn SchemaSource) -> (String, String) {
    let lines = line(source, &topics::ORDER_EVENTS, &samples::order_event(2))
        + &line(source, &topics::ORDERS, &samples::order(3))
        + &line(source, &topics::ORDER_COMMANDS, &samples::order_command())
        + &line(source, &topics::STOCK_LEVELS, &samples::stock_level());
    (lines, format!("orders 00{:08x}00\n", 12_345))
}

fn is_fast() -> bool {
    // Ring 5: needs Python and PyPI.
    std::env::var("RINGS").is_ok_and(|rings| rings == "fast")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_reads_what_we_write() {
    if is_fast() {
        return;
    }
    let registry = Arc::new(Registry::open(Box::new(MemoryStorage::default())).unwrap());
    register_all(registry.as_ref()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = server::router(registry.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let (lines, garbage) = written(registry.as_ref());
    let (records, refused) = tokio::task::spawn_blocking(move || {
        let python = python();
        (read(&python, &url, &lines).unwrap(), read(&python, &url, &garbage).unwrap_err())
    })
    .await
    .unwrap();
    check(&records, &refused);
}

/// The same through somebody else's registry, where there is one: Confluent's
/// own or a compatible one, at `SCHEMA_REGISTRY_TEST_URL` (CONTRIBUTING).
#[test]
fn python_reads_what_we_write_through_another_registry() {
    let Ok(url) = std::env::var("SCHEMA_REGISTRY_TEST_URL") else {
        eprintln!("not judged: SCHEMA_REGISTRY_TEST_URL names no registry");
        return;
    };
    let writer = RegistryClient::start(&ClientOptions::new(&url)).unwrap();
    assert_eq!(register_all(&writer).unwrap(), register_all(&writer).unwrap());
    let (lines, garbage) = written(&writer);
    let python = python();
    check(&read(&python, &url, &lines).unwrap(), &read(&python, &url, &garbage).unwrap_err());

    // A process that registered nothing decodes by the registry's ids alone.
    let id = writer.id_of("orders-value", <Order as Message>::schema()).unwrap();
    let reader = RegistryClient::start(&ClientOptions::new(&url)).unwrap();
    assert!(reader.schema(id).unwrap().unwrap().contains("shipping_address"));
    assert_eq!(reader.schema(2_000_000_000).unwrap(), None);
}
