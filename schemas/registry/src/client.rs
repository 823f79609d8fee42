//! A registry elsewhere, over `schema_registry_converter`.
//!
//! The converter is asynchronous; a [`SchemaSource`] is not, because it is
//! called from stream tasks. One thread of the client's own runs the calls, so
//! that it can be used from any thread, inside a runtime or not.
//!
//! Invariant: what is known is kept for ever (an id never changes its
//! schema); what was unknown is asked again after [`UNKNOWN_FOR`].

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schema_registry_converter::async_impl::schema_registry::{
    SrSettings, get_schema_by_id, post_schema,
};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{RawError, SchemaType, SuppliedSchema};
use tokio::sync::mpsc as requests;
use url::Url;

use schemas::avro::{MessageSchema, SchemaSource, SourceError};

/// How long an unknown id is believed to be unknown: long enough that a topic
/// full of garbage doesn't become a flood of requests.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(5);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Where the registry is and how long to wait for it.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// `SCHEMA_REGISTRY_URL`; several, separated by commas, are tried in turn.
    pub url: String,
    /// Of one request.
    pub timeout: Duration,
    /// How long a call is repeated while the registry can't be reached.
    pub patience: Duration,
}

impl ClientOptions {
    /// Requests of 5 s, repeated for 30 s.
    pub fn new(url: impl Into<String>) -> Self {
        let (timeout, patience) = (Duration::from_secs(5), Duration::from_secs(30));
        Self { url: url.into(), timeout, patience }
    }
}

/// Client of a Confluent-compatible registry. Calls block; from asynchronous
/// code that must not wait, call it through `spawn_blocking`.
pub struct RegistryClient {
    /// Without user and password.
    address: String,
    requests: requests::UnboundedSender<Request>,
    ids: Mutex<HashMap<String, HashMap<u32, u32>>>,
    schemas: Mutex<HashMap<u32, Arc<str>>>,
    unknown: Mutex<HashMap<u32, Instant>>,
}

enum Request {
    Register { subject: String, text: String, answer: mpsc::SyncSender<Result<u32, SourceError>> },
    Fetch { id: u32, answer: mpsc::SyncSender<Result<Option<Arc<str>>, SourceError>> },
}

impl RegistryClient {
    /// Starts the client; the registry is first asked with the first call.
    ///
    /// # Errors
    /// The address is not an http(s) URL, or the thread can't be started.
    pub fn start(options: &ClientOptions) -> Result<Self, SourceError> {
        let address = redacted(&options.url)?;
        let settings = settings(options).map_err(|cause| refused(&address, &cause))?;
        let (sender, receiver) = requests::unbounded_channel();
        let caller = Caller { settings, address: address.clone(), patience: options.patience };
        thread::Builder::new()
            .name("schema-registry".to_owned())
            .spawn(move || caller.run(receiver))
            .map_err(|cause| fatal(format!("cannot start the registry's thread: {cause}")))?;
        Ok(Self {
            address,
            requests: sender,
            ids: Mutex::default(),
            schemas: Mutex::default(),
            unknown: Mutex::default(),
        })
    }

    /// The registry's address, without user and password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(mpsc::SyncSender<Result<T, SourceError>>) -> Request,
    ) -> Result<T, SourceError> {
        let (answer, reply) = mpsc::sync_channel(1);
        let gone = || fatal("the schema registry's client has ended".to_owned());
        self.requests.send(request(answer)).map_err(|_| gone())?;
        reply.recv().map_err(|_| gone())?
    }

    fn is_known_unknown(&self, id: u32) -> bool {
        let mut unknown = self.unknown.lock();
        unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
        unknown.contains_key(&id)
    }
}

impl SchemaSource for RegistryClient {
    fn id_of(&self, subject: &str, schema: &MessageSchema) -> Result<u32, SourceError> {
        let content = schema.content_id();
        if let Some(&id) = self.ids.lock().get(subject).and_then(|ids| ids.get(&content)) {
            return Ok(id);
        }
        let (subject, text) = (subject.to_owned(), schema.text().to_owned());
        let id = self.ask(|answer| Request::Register { subject: subject.clone(), text, answer })?;
        self.ids.lock().entry(subject).or_default().insert(content, id);
        self.schemas.lock().insert(id, schema.text().into());
        Ok(id)
    }

    fn schema(&self, id: u32) -> Result<Option<Arc<str>>, SourceError> {
        if let Some(schema) = self.schemas.lock().get(&id) {
            return Ok(Some(schema.clone()));
        }
        if self.is_known_unknown(id) {
            return Ok(None);
        }
        let found = self.ask(|answer| Request::Fetch { id, answer })?;
        match &found {
            Some(schema) => drop(self.schemas.lock().insert(id, schema.clone())),
            None => drop(self.unknown.lock().insert(id, Instant::now())),
        }
        Ok(found)
    }
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClient").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The thread's side.
struct Caller {
    settings: SrSettings,
    address: String,
    patience: Duration,
}

impl Caller {
    fn run(self, mut requests: requests::UnboundedReceiver<Request>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(cause) => return tracing::error!(%cause, "schema registry client"),
        };
        runtime.block_on(async {
            while let Some(request) = requests.recv().await {
                self.answer(request).await;
            }
        });
    }

    async fn answer(&self, request: Request) {
        // A caller that went away doesn't need its answer.
        match request {
            Request::Register { subject, text, answer } => {
                let _ = answer.send(self.register(&subject, &text).await);
            }
            Request::Fetch { id, answer } => {
                let _ = answer.send(self.fetch(id).await);
            }
        }
    }

    async fn register(&self, subject: &str, text: &str) -> Result<u32, SourceError> {
        let post = async || {
            let schema = SuppliedSchema::new(None, SchemaType::Avro, text.to_owned());
            post_schema(&self.settings, subject.to_owned(), schema).await
        };
        match self.patiently(post).await {
            Ok(registered) => Ok(registered.id),
            Err(cause) if is_unreachable(&cause) => Err(unreachable(&self.address, &cause)),
            Err(cause) => Err(fatal(format!(
                "schema registry at {} refuses the schema of subject {subject}: {}",
                self.address,
                words(&cause)
            ))),
        }
    }

    async fn fetch(&self, id: u32) -> Result<Option<Arc<str>>, SourceError> {
        match self.patiently(async || get_schema_by_id(id, &self.settings).await).await {
            Ok(registered) => Ok(Some(registered.schema.into())),
            Err(cause) if code(&cause) == Some(40403) => Ok(None),
            Err(cause) if is_unreachable(&cause) => Err(unreachable(&self.address, &cause)),
            Err(cause) => Err(refused(&self.address, &cause)),
        }
    }

    /// Repeats a call while the registry can't be reached.
    async fn patiently<T>(
        &self,
        call: impl AsyncFn() -> Result<T, SRCError>,
    ) -> Result<T, SRCError> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match call().await {
                Err(cause) if is_unreachable(&cause) && start.elapsed() + pause < self.patience => {
                    let address = &self.address;
                    tracing::warn!(address, cause = words(&cause), "schema registry: trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                result => return result,
            }
        }
    }
}

fn settings(options: &ClientOptions) -> Result<SrSettings, SRCError> {
    let mut urls = options.url.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
    let first = urls.next().unwrap_or_default();
    let is_local = Url::parse(&first).is_ok_and(|url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    });
    let mut builder = SrSettings::new_builder(first);
    for url in urls {
        builder.add_url(url);
    }
    if is_local {
        builder.no_proxy();
    }
    builder.set_timeout(options.timeout).build()
}

/// The addresses without user and password, for people.
fn redacted(urls: &str) -> Result<String, SourceError> {
    let mut shown = Vec::new();
    for url in urls.split(',') {
        let mut url = match Url::parse(url.trim()) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            _ => {
                return Err(fatal(
                    "SCHEMA_REGISTRY_URL is not an address such as http://127.0.0.1:8081"
                        .to_owned(),
                ));
            }
        };
        let _ = url.set_username("");
        let _ = url.set_password(None);
        shown.push(url.as_str().trim_end_matches('/').to_owned());
    }
    Ok(shown.join(","))
}

fn fatal(message: String) -> SourceError {
    SourceError { message, retriable: false }
}

fn refused(address: &str, cause: &SRCError) -> SourceError {
    fatal(format!("schema registry at {address}: {}", words(cause)))
}

fn unreachable(address: &str, cause: &SRCError) -> SourceError {
    let message = format!(
        "cannot reach the schema registry at {address}: {} (is SCHEMA_REGISTRY_URL right?)",
        words(cause)
    );
    SourceError { message, retriable: true }
}

/// The registry's own code, where it answered with one.
fn code(cause: &SRCError) -> Option<u32> {
    cause.source()?.downcast_ref::<RawError>().map(|raw| raw.error_code)
}

fn is_unreachable(cause: &SRCError) -> bool {
    cause.retriable || matches!(code(cause), Some(50_000..))
}

/// The innermost cause, without the URL that the HTTP client puts around it
/// (it may hold a password).
fn words(cause: &SRCError) -> String {
    let mut inner: &dyn Error = match cause.source() {
        Some(source) => source,
        None => return cause.error.clone(),
    };
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        let client =
            RegistryClient::start(&ClientOptions::new("http://user:secret@h:8081/, https://b/x"));
        assert_eq!(client.unwrap().address(), "http://h:8081,https://b/x");
    }

    #[test]
    fn a_bad_address_names_the_variable_and_not_itself() {
        for url in ["", "localhost:8081", "ftp://x", "user:secret@x"] {
            let error = RegistryClient::start(&ClientOptions::new(url)).unwrap_err();
            assert!(error.message.starts_with("SCHEMA_REGISTRY_URL"), "{error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }
}
