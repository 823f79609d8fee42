//! Queries of stores between processes: how one is asked over HTTP, and how values are shown.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runtime::{Answer, Member, PeerError, Peers, QueryError, Render, StoreQuery, render_plain};
use schemas::avro::SchemaSource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use topology::shown::{avro, without_secrets};

use crate::config::Config;

/// Beyond the time that the asked one has itself, so that its own reason comes first.
const PATIENCE: Duration = Duration::from_millis(500);

/// Largest answer in bytes: the rows of one are bounded before they are JSON, which is several times as large.
const ANSWER_MAX: usize = 64 << 20;

/// Asks admin endpoints.
#[derive(Clone)]
pub(crate) struct Asker {
    http: reqwest::Client,
    token: Option<String>,
}

impl Asker {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()?;
        Ok(Self { http, token: config.query_token.clone() })
    }

    /// A query of one store.
    pub(crate) async fn ask(
        &self,
        address: &str,
        (application, store): (&str, &str),
        query: &StoreQuery,
    ) -> Result<Answer, PeerError> {
        let path = format!("stores/{}/{}?{}", encoded(application), encoded(store), pairs(query));
        self.get(address, &path, query.within() + PATIENCE).await
    }

    /// What a path of an admin endpoint gives.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        address: &str,
        path: &str,
        timeout: Duration,
    ) -> Result<T, PeerError> {
        let mut request = self.http.get(format!("http://{address}/{path}")).timeout(timeout);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let silent = |error: reqwest::Error| PeerError::Silent(cause(&error));
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let body = body(answer).await?;
        if status.is_success() {
            let unread = |error| PeerError::Silent(format!("its answer can't be read: {error}"));
            return serde_json::from_slice(&body).map_err(unread);
        }
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |name: &str| problem[name].as_str().map(str::to_owned);
        Err(PeerError::Said(QueryError::Told {
            status: status.as_u16(),
            code: text("code").unwrap_or_else(|| "unknown".to_owned()),
            detail: text("detail").unwrap_or_else(|| format!("{address} answered {status}")),
        }))
    }
}

/// The body, as long as it isn't larger than any answer is.
async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, PeerError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|error| PeerError::Silent(cause(&error)))?
    {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER_MAX {
            return Err(PeerError::Silent(format!("its answer is larger than {ANSWER_MAX} bytes")));
        }
    }
    Ok(body)
}

/// The innermost reason, such as `connection refused`.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The query as a query string.
fn pairs(query: &StoreQuery) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(query) else { return String::new() };
    let pair = |(name, value): (String, Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{name}={}", encoded(&text))
    };
    fields.into_iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The other members of an application, over HTTP.
pub(crate) struct HttpPeers {
    asker: Asker,
    runtime: Handle,
}

impl HttpPeers {
    /// Within the runtime of the process.
    pub(crate) fn new(config: &Config) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { asker: Asker::new(config)?, runtime: Handle::current() }))
    }
}

impl Peers for HttpPeers {
    fn ask(&self, member: &Member, store: &str, query: &StoreQuery) -> Result<Answer, PeerError> {
        let of = (member.application.as_str(), store);
        self.runtime.block_on(self.asker.ask(&member.address, of, query))
    }
}

/// Shows state without secrets. Of what can't be read only the size is told.
pub(crate) fn render(source: Arc<dyn SchemaSource>) -> Arc<Render> {
    Arc::new(move |format, bytes| {
        let value = avro(format, bytes, source.as_ref()).or_else(|| render_plain(format, bytes));
        let unread = || json!({"format": format, "bytes": bytes.len()});
        Some(without_secrets(value.unwrap_or_else(unread)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_query_string() {
        let key = Some("a b/ü&limit=1#%".to_owned());
        let stale = Some(runtime::Stale::Prefer);
        let query = StoreQuery { key, limit: Some(3), stale, ..StoreQuery::default() };
        let text = pairs(&query);
        assert!(text.contains("stale=prefer"), "{text}");
        assert!(text.contains("key=a%20b%2F%C3%BC%26limit%3D1%23%25"), "{text}");
        assert!(text.contains("limit=3") && text.contains("reverse=false"), "{text}");
        assert!(!text.contains("prefix"), "{text}");
    }

    #[test]
    fn state_is_shown_without_secrets_and_what_is_unknown_not_at_all() {
        let render = render(schemas::avro::Local::source());
        let state = br#"{"state":{"token":"pm_card_ok","paid":1}}"#;
        let shown = render("json-account-v1", state).unwrap();
        assert_eq!(shown, json!({"state": {"token": "(hidden)", "paid": 1}}));
        assert_eq!(render("utf8", b"4111111111111111").unwrap(), "(hidden)");
        assert_eq!(
            render("mystery", b"pm_card_ok").unwrap(),
            json!({"format": "mystery", "bytes": 10})
        );
    }
}
