//! The REST subset, answer by answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use schema_registry::{MemoryStorage, Registry, register_all, server};
use serde_json::{Value, json};
use tower::ServiceExt;

fn registry() -> Arc<Registry> {
    Arc::new(Registry::open(Box::new(MemoryStorage::default())).unwrap())
}

async fn call(registry: &Arc<Registry>, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(path)
        .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) })
        .unwrap();
    let response = server::router(registry.clone()).oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn schema(text: &str) -> Value {
    json!({"schema": text, "schemaType": "AVRO"})
}

const V1: &str = r#"{"type":"record","name":"R","fields":[]}"#;
const V2: &str =
    r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"],"default":null}]}"#;
const BAD: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;

#[tokio::test]
async fn versions_count_up_and_ids_are_shared_between_subjects() {
    let registry = registry();
    let (status, one) = call(&registry, "POST", "/subjects/s-value/versions", schema(V1)).await;
    assert_eq!(status, 200);
    let id = one["id"].as_u64().unwrap();
    let spaced = V1.replace(',', " , ");
    let again = call(&registry, "POST", "/subjects/s-value/versions", schema(&spaced)).await;
    assert_eq!(again, (200, json!({"id": id})));
    let other = call(&registry, "POST", "/subjects/t%2F1/versions", schema(V1)).await;
    assert_eq!(other, (200, json!({"id": id})));
    call(&registry, "POST", "/subjects/s-value/versions", schema(V2)).await;

    assert_eq!(call(&registry, "GET", "/subjects", Value::Null).await.1, json!(["s-value", "t/1"]));
    let versions = call(&registry, "GET", "/subjects/s-value/versions", Value::Null).await.1;
    assert_eq!(versions, json!([1, 2]));
    let latest = call(&registry, "GET", "/subjects/s-value/versions/latest", Value::Null).await.1;
    assert_eq!((&latest["version"], &latest["schema"]), (&json!(2), &json!(V2)));
    let first = call(&registry, "GET", "/subjects/s-value/versions/1", Value::Null).await.1;
    assert_eq!(first, json!({"subject": "s-value", "version": 1, "id": id, "schema": V1}));
    let text = call(&registry, "GET", "/subjects/s-value/versions/1/schema", Value::Null).await.1;
    assert_eq!(text["name"], "R");
}

#[tokio::test]
async fn a_schema_is_found_by_id_and_by_text() {
    let registry = registry();
    let id = registry.register("s-value", V1).unwrap();
    let path = format!("/schemas/ids/{id}?deleted=true&fetchMaxId=false&subject=s-value");
    assert_eq!(call(&registry, "GET", &path, Value::Null).await, (200, json!({"schema": V1})));
    let path = format!("/schemas/ids/{id}/versions");
    assert_eq!(
        call(&registry, "GET", &path, Value::Null).await.1,
        json!([{"subject": "s-value", "version": 1}])
    );
    let path = format!("/schemas/ids/{id}/subjects");
    assert_eq!(call(&registry, "GET", &path, Value::Null).await.1, json!(["s-value"]));
    let (status, found) = call(&registry, "POST", "/subjects/s-value", schema(V1)).await;
    assert_eq!((status, &found["id"]), (200, &json!(id)));
}

#[tokio::test]
async fn refusals_have_confluents_codes() {
    let registry = registry();
    registry.register("s-value", V1).unwrap();
    let unsupported = json!({"schema": "{}", "schemaType": "PROTOBUF"});
    let references =
        json!({"schema": V1, "references": [{"name": "x", "subject": "y", "version": 1}]});
    let table = [
        ("GET", "/subjects/none/versions", Value::Null, 404, 40401),
        ("GET", "/subjects/none/versions/latest", Value::Null, 404, 40401),
        ("POST", "/subjects/none", schema(V1), 404, 40401),
        ("GET", "/subjects/s-value/versions/7", Value::Null, 404, 40402),
        ("GET", "/subjects/s-value/versions/0", Value::Null, 422, 42202),
        ("GET", "/subjects/s-value/versions/x", Value::Null, 422, 42202),
        ("GET", "/schemas/ids/1", Value::Null, 404, 40403),
        ("GET", "/schemas/ids/x", Value::Null, 404, 40403),
        ("POST", "/subjects/s-value", schema(V2), 404, 40403),
        ("POST", "/subjects/s-value/versions", schema("{"), 422, 42201),
        ("POST", "/subjects/s-value/versions", schema(r#"{"type":"nope"}"#), 422, 42201),
        ("POST", "/subjects/s-value/versions", unsupported, 422, 42201),
        ("POST", "/subjects/s-value/versions", references, 422, 42201),
        ("POST", "/subjects/s-value/versions", schema(BAD), 409, 409),
        ("POST", "/subjects/s-value/versions", json!("text"), 400, 400),
        ("PUT", "/config", json!({"compatibility": "SIDEWAYS"}), 422, 42203),
        ("GET", "/config/s-value", Value::Null, 404, 40408),
        ("GET", "/associations/resources/-/s", Value::Null, 404, 404),
        ("DELETE", "/subjects/s-value", Value::Null, 405, 405),
    ];
    for (method, path, body, status, code) in table {
        let (got, answer) = call(&registry, method, path, body).await;
        assert_eq!(
            (got, &answer["error_code"]),
            (status, &json!(code)),
            "{method} {path}: {answer}"
        );
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert_eq!(registry.versions("s-value").unwrap(), [1], "a refusal registers nothing");
}

#[tokio::test]
async fn compatibility_is_checked_and_configured() {
    let registry = registry();
    registry.register("s-value", V1).unwrap();
    let path = "/compatibility/subjects/s-value/versions/latest";
    assert_eq!(call(&registry, "POST", path, schema(V2)).await.1, json!({"is_compatible": true}));
    assert_eq!(call(&registry, "POST", path, schema(BAD)).await.1, json!({"is_compatible": false}));
    let verbose = format!("{path}?verbose=true");
    let answer = call(&registry, "POST", &verbose, schema(BAD)).await.1;
    assert!(answer["messages"][0].as_str().unwrap().contains('a'), "{answer}");

    assert_eq!(
        call(&registry, "GET", "/config", Value::Null).await.1,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    let none = json!({"compatibility": "NONE"});
    assert_eq!(call(&registry, "PUT", "/config/s-value", none.clone()).await.1, none);
    let inherited = call(&registry, "GET", "/config/t?defaultToGlobal=true", Value::Null).await.1;
    assert_eq!(inherited, json!({"compatibilityLevel": "BACKWARD"}));
    assert_eq!(call(&registry, "POST", "/subjects/s-value/versions", schema(BAD)).await.0, 200);
    assert_eq!(call(&registry, "PUT", "/config", none).await.0, 200);
    assert_eq!(
        call(&registry, "GET", "/config", Value::Null).await.1,
        json!({"compatibilityLevel": "NONE"})
    );
}

#[tokio::test]
async fn our_catalogue_is_served() {
    let registry = registry();
    let count = register_all(registry.as_ref()).unwrap();
    let subjects = call(&registry, "GET", "/subjects", Value::Null).await.1;
    assert_eq!(subjects.as_array().unwrap().len(), count);
    let latest =
        call(&registry, "GET", "/subjects/order_events-value/versions/latest", Value::Null).await.1;
    assert!(latest["schema"].as_str().unwrap().contains("\"namespace\":\"orders.v1\""));
}
