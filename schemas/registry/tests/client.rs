//! The client against the embedded server, over a socket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use schema_registry::{
    ClientOptions, MemoryStorage, Registry, RegistryClient, register_all, server,
};
use schemas::avro::{Decoder, Encoder, Message, SchemaSource};
use schemas::messages::StockLow;
use schemas::{samples, topics};
use tokio::net::TcpListener;

fn registry() -> Arc<Registry> {
    Arc::new(Registry::open(Box::new(MemoryStorage::default())).unwrap())
}

/// Serves on a thread of its own, so that the tests may block.
fn serve_at(address: SocketAddr, registry: Arc<Registry>) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind(address).await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, server::router(registry)).await.unwrap();
        });
    });
    receiver.recv().unwrap()
}

fn serve(registry: Arc<Registry>) -> SocketAddr {
    serve_at(([127, 0, 0, 1], 0).into(), registry)
}

fn client(address: SocketAddr, patience: Duration) -> RegistryClient {
    let url = format!("http://{address}/");
    let timeout = Duration::from_secs(5);
    RegistryClient::start(&ClientOptions { url, timeout, patience }).unwrap()
}

/// An address where nobody listens now.
fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn what_one_process_writes_another_reads() {
    let registry = registry();
    let address = serve(registry.clone());
    let writer = client(address, Duration::ZERO);
    register_all(&writer).unwrap();
    assert_eq!(registry.subjects().len(), topics::ALL.len() - 1);

    let encoder = Encoder::for_topic(&topics::ORDER_EVENTS, &writer).unwrap();
    let event = samples::order_event(3);
    let bytes = encoder.encode_to_vec(&event).unwrap();
    let reader = Arc::new(client(address, Duration::ZERO));
    let decoder = Decoder::for_topic(&topics::ORDER_EVENTS, reader).unwrap();
    assert_eq!(decoder.decode(&bytes).unwrap(), event);
}

#[test]
fn a_foreign_writers_schema_is_fetched_by_its_id() {
    let registry = registry();
    let client = Arc::new(client(serve(registry.clone()), Duration::ZERO));
    let decoder = Decoder::for_topic(&topics::STOCK_LOW, client.clone()).unwrap();
    let newer = StockLow::schema()
        .text()
        .replace(r#""fields":["#, r#""fields":[{"name":"shelf","type":"string","default":""},"#);
    let id = registry.register("stock_low-value", &newer).unwrap();
    assert_eq!(client.schema(id).unwrap().as_deref(), Some(&*newer));

    let encoder = Encoder::for_topic(&topics::STOCK_LOW, client.as_ref()).unwrap();
    let ours = encoder.encode_to_vec(&samples::stock_low()).unwrap();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&id.to_be_bytes());
    bytes.extend_from_slice(b"\x04A1");
    bytes.extend_from_slice(&ours[5..]);
    assert_eq!(decoder.decode(&bytes).unwrap(), samples::stock_low());
}

#[test]
fn an_unknown_id_is_none_and_a_refused_schema_is_named() {
    let registry = registry();
    let subject = topics::STOCK_LOW.subject();
    registry.register(&subject, r#"{"type":"record","name":"Other","fields":[]}"#).unwrap();
    let client = client(serve(registry), Duration::ZERO);
    assert_eq!(client.schema(12_345).unwrap(), None);
    let error = client.id_of(&subject, StockLow::schema()).unwrap_err();
    assert!(!error.retriable);
    assert!(error.message.contains("refuses the schema of subject stock_low-value"), "{error}");
    assert!(error.message.contains("incompatible"), "{error}");
}

#[test]
fn a_registry_that_is_down_is_named_with_its_variable() {
    let address = free_address();
    let client = client(address, Duration::from_millis(120));
    let error = register_all(&client).unwrap_err();
    assert!(error.retriable);
    assert!(error.message.contains(&address.to_string()), "{error}");
    assert!(error.message.contains("SCHEMA_REGISTRY_URL"), "{error}");
}

#[test]
fn a_registry_that_starts_late_is_waited_for() {
    let address = free_address();
    let waiting = std::thread::spawn(move || {
        let client = client(address, Duration::from_secs(30));
        register_all(&client)
    });
    serve_at(address, registry());
    assert!(waiting.join().unwrap().is_ok());
}

#[tokio::test]
async fn a_client_may_be_used_inside_a_runtime() {
    let client = client(serve(registry()), Duration::ZERO);
    assert_eq!(client.schema(1).unwrap(), None);
}
