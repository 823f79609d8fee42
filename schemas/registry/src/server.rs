//! The subset of Confluent's REST interface that clients use: register, look
//! up, read by id and by version, compatibility.
//!
//! Errors are `{"error_code", "message"}` with Confluent's codes. Nothing can
//! be deleted. Only Avro without references.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::compatibility::Level;
use super::error::RegistryError;
use super::registry::Registry;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

type Answer = Result<Json, RegistryError>;

/// All routes.
pub fn router(registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/", get(async || Json(json!({}))))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(lookup))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/subjects/{subject}/versions/{version}/schema", get(version_text))
        .route("/schemas/types", get(async || Json(json!(["AVRO"]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/schema", get(by_id_text))
        .route("/schemas/ids/{id}/subjects", get(subjects_of_id))
        .route("/schemas/ids/{id}/versions", get(versions_of_id))
        .route("/config", get(config).put(set_config))
        .route("/config/{subject}", get(subject_config).put(set_subject_config))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(compatibility))
        .fallback(async || refusal(StatusCode::NOT_FOUND))
        .method_not_allowed_fallback(async || refusal(StatusCode::METHOD_NOT_ALLOWED))
        .with_state(registry)
}

/// Serves on a bound listener until `shutdown`.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(registry)).with_graceful_shutdown(shutdown).await
}

/// A JSON answer of the registry's media type.
struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0.to_string()).into_response()
    }
}

impl IntoResponse for RegistryError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            tracing::error!(error = %self, "schema registry");
        }
        let body = json!({"error_code": self.code(), "message": self.to_string()});
        (status, Json(body)).into_response()
    }
}

/// What is none of the subset, as Confluent's server says it: clients of newer
/// versions ask for more and take a 404 for no.
fn refusal(status: StatusCode) -> Response {
    let message = format!("HTTP {status}");
    (status, Json(json!({"error_code": status.as_u16(), "message": message}))).into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Supplied {
    schema: String,
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Value>,
}

fn supplied(body: &[u8]) -> Result<String, RegistryError> {
    let supplied: Supplied = json_of(body)?;
    match supplied.schema_type.as_deref() {
        None | Some("AVRO") if supplied.references.is_empty() => Ok(supplied.schema),
        None | Some("AVRO") => {
            Err(RegistryError::InvalidSchema("references are not supported".to_owned()))
        }
        Some(other) => Err(RegistryError::InvalidSchema(format!(
            "schema type {other} is not supported, only AVRO is"
        ))),
    }
}

fn json_of<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(body).map_err(|cause| RegistryError::BadRequest(cause.to_string()))
}

/// Writes wait for the disk: not on a thread that serves others.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(cause) => Err(RegistryError::BadRequest(cause.to_string())),
    }
}

async fn subjects(State(registry): State<Arc<Registry>>) -> Json {
    Json(json!(registry.subjects()))
}

async fn register(
    State(registry): State<Arc<Registry>>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    let schema = supplied(&body)?;
    let id = blocking(move || registry.register(&subject, &schema)).await?;
    Ok(Json(json!({"id": id})))
}

async fn lookup(
    State(registry): State<Arc<Registry>>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    Ok(Json(json!(registry.lookup(&subject, &supplied(&body)?)?)))
}

async fn versions(State(registry): State<Arc<Registry>>, Path(subject): Path<String>) -> Answer {
    Ok(Json(json!(registry.versions(&subject)?)))
}

async fn version(
    State(registry): State<Arc<Registry>>,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    Ok(Json(json!(registry.version(&subject, &version)?)))
}

async fn version_text(
    State(registry): State<Arc<Registry>>,
    Path((subject, version)): Path<(String, String)>,
) -> Answer {
    schema_itself(&registry.version(&subject, &version)?.schema)
}

async fn by_id(
    State(registry): State<Arc<Registry>>,
    id: Result<Path<u32>, PathRejection>,
) -> Answer {
    let (_, text) = known(&registry, id)?;
    Ok(Json(json!({"schema": text})))
}

async fn by_id_text(
    State(registry): State<Arc<Registry>>,
    id: Result<Path<u32>, PathRejection>,
) -> Answer {
    let (_, text) = known(&registry, id)?;
    schema_itself(&text)
}

async fn subjects_of_id(
    State(registry): State<Arc<Registry>>,
    id: Result<Path<u32>, PathRejection>,
) -> Answer {
    let (id, _) = known(&registry, id)?;
    let subjects: Vec<String> = registry.uses(id).into_iter().map(|(subject, _)| subject).collect();
    Ok(Json(json!(subjects)))
}

async fn versions_of_id(
    State(registry): State<Arc<Registry>>,
    id: Result<Path<u32>, PathRejection>,
) -> Answer {
    let (id, _) = known(&registry, id)?;
    let uses = registry.uses(id).into_iter();
    let uses = uses.map(|(subject, version)| json!({"subject": subject, "version": version}));
    Ok(Json(uses.collect()))
}

/// What is no number is no schema's id either.
fn known(
    registry: &Registry,
    id: Result<Path<u32>, PathRejection>,
) -> Result<(u32, Arc<str>), RegistryError> {
    let Path(id) = id.map_err(|_| RegistryError::SchemaNotFound)?;
    let text = registry.text(id).ok_or(RegistryError::SchemaNotFound)?;
    Ok((id, text))
}

fn schema_itself(text: &str) -> Answer {
    json_of(text.as_bytes()).map(Json)
}

#[derive(Deserialize)]
struct Wanted {
    compatibility: String,
}

fn wanted(body: &[u8]) -> Result<Level, RegistryError> {
    let wanted: Wanted = json_of(body)?;
    Level::parse(&wanted.compatibility).ok_or(RegistryError::InvalidLevel)
}

async fn config(State(registry): State<Arc<Registry>>) -> Json {
    Json(json!({"compatibilityLevel": registry.level()}))
}

async fn set_config(State(registry): State<Arc<Registry>>, body: Bytes) -> Answer {
    let level = wanted(&body)?;
    blocking(move || registry.set_level(None, level)).await?;
    Ok(Json(json!({"compatibility": level})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Defaults {
    #[serde(default)]
    default_to_global: bool,
}

async fn subject_config(
    State(registry): State<Arc<Registry>>,
    Path(subject): Path<String>,
    Query(defaults): Query<Defaults>,
) -> Answer {
    match registry.subject_level(&subject) {
        Some(level) => Ok(Json(json!({"compatibilityLevel": level}))),
        None if defaults.default_to_global => {
            Ok(Json(json!({"compatibilityLevel": registry.level()})))
        }
        None => Err(RegistryError::NoSubjectLevel(subject)),
    }
}

async fn set_subject_config(
    State(registry): State<Arc<Registry>>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Answer {
    let level = wanted(&body)?;
    blocking(move || registry.set_level(Some(&subject), level)).await?;
    Ok(Json(json!({"compatibility": level})))
}

#[derive(Deserialize)]
struct Verbosity {
    #[serde(default)]
    verbose: bool,
}

async fn compatibility(
    State(registry): State<Arc<Registry>>,
    Path((subject, version)): Path<(String, String)>,
    Query(verbosity): Query<Verbosity>,
    body: Bytes,
) -> Answer {
    let wrong = registry.check(&subject, &version, &supplied(&body)?)?;
    let mut answer = json!({"is_compatible": wrong.is_empty()});
    if verbosity.verbose && !wrong.is_empty() {
        answer["messages"] = json!(wrong);
    }
    Ok(Json(answer))
}
