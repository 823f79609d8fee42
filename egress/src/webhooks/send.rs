//! One HTTP attempt: guarded, bounded, and never following anybody.
//!
//! Invariants: every address connected to was judged after resolution, at this
//! attempt; one deadline covers resolving, connecting and the whole answer;
//! at most 64 KiB of an answer are read, and none of it is kept.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use read_model::webhook_target::{TargetPolicy, is_special};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Response, redirect};

use super::endpoints::Endpoint;
use super::schedule::retry_after;
use super::signature::sign;

/// Of an answer, read so that the connection can be used again.
const MAX_ANSWER: usize = 64 * 1024;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status_code: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Outcome {
    pub(super) fn delivered(&self) -> bool {
        self.status_code.is_some_and(|code| (200..300).contains(&code))
    }

    /// 410: the endpoint wants no more.
    pub(super) fn gone(&self) -> bool {
        self.status_code == Some(410)
    }

    pub(super) fn failed(error: impl Into<String>) -> Self {
        Self { status_code: None, error: Some(error.into()), retry_after: None }
    }
}

/// What is sent.
pub(super) struct Message<'a> {
    pub(super) id: &'a str,
    /// Seconds since 1970, of this attempt.
    pub(super) timestamp: i64,
    pub(super) body: Vec<u8>,
    pub(super) traceparent: Option<&'a str>,
}

/// Two clients, so that a connection to an allowed private host is never
/// reused for a name that merely resolves there.
pub(super) struct Sender {
    guarded: Client,
    allowed: Client,
    policy: TargetPolicy,
    timeout: Duration,
}

impl Sender {
    pub(super) fn new(policy: TargetPolicy, timeout: Duration) -> Result<Self, reqwest::Error> {
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .http1_only()
                .pool_max_idle_per_host(4)
                .pool_idle_timeout(Duration::from_secs(30))
                .timeout(timeout)
                .user_agent(concat!("orders-webhooks/", env!("CARGO_PKG_VERSION")))
        };
        Ok(Self {
            guarded: builder().dns_resolver(Arc::new(GuardedResolver)).build()?,
            allowed: builder().build()?,
            policy,
            timeout,
        })
    }

    /// Makes one attempt. Never panics, never takes longer than the timeout.
    pub(super) async fn attempt(&self, endpoint: &Endpoint, message: Message<'_>) -> Outcome {
        match tokio::time::timeout(self.timeout, self.exchange(endpoint, message)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::failed("timeout"),
        }
    }

    async fn exchange(&self, endpoint: &Endpoint, message: Message<'_>) -> Outcome {
        if endpoint.secrets.is_empty() {
            return Outcome::failed("the signing secret could not be opened");
        }
        // An address in the URL never meets the resolver: judged here.
        let url = match self.policy.check(&endpoint.registered.url) {
            Ok(url) => url,
            Err(refused) => {
                metrics::counter!("webhook_ssrf_blocked_total").increment(1);
                return Outcome::failed(refused.to_string());
            }
        };
        let client = if self.policy.allows(&url) { &self.allowed } else { &self.guarded };
        let headers = headers(endpoint, &message);
        match client.post(url).headers(headers).body(message.body).send().await {
            Ok(response) => read(response, message.timestamp).await,
            Err(error) => Outcome::failed(cause(&error)),
        }
    }
}

fn headers(endpoint: &Endpoint, message: &Message<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &endpoint.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    // After the endpoint's own, so that it can't replace them.
    let signature = sign(&endpoint.secrets, message.id, message.timestamp, &message.body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("webhook-id", message.id),
        ("webhook-timestamp", &message.timestamp.to_string()),
        ("webhook-signature", &signature),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(value) = message.traceparent.and_then(|trace| HeaderValue::try_from(trace).ok()) {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
    headers
}

/// Reads the answer up to its limit; longer ones lose their connection.
async fn read(mut response: Response, now: i64) -> Outcome {
    let status = response.status();
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let wait = header.and_then(|value| retry_after(value, now));
    let mut left = MAX_ANSWER;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    let error = match status.as_u16() {
        200..300 => None,
        300..400 => Some("redirects are not followed".to_owned()),
        _ => Some(format!("the endpoint answered {}", status.as_u16())),
    };
    Outcome { status_code: Some(status.as_u16()), error, retry_after: wait }
}

/// The innermost cause, without the URL (which may hold a token).
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timeout".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let what = if error.is_connect() { "cannot connect" } else { "request failed" };
    format!("{what}: {cause}")
}

/// Resolves with the system's resolver and lets public addresses through only.
struct GuardedResolver;

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> =
                found.filter(|address| !is_special(address.ip())).collect();
            if public.is_empty() {
                metrics::counter!("webhook_ssrf_blocked_total").increment(1);
                let refused = io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "the host has no public address",
                );
                return Err(refused.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}
