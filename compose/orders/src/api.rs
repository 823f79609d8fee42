//! A small client of our own REST API, for the commands that act as a caller.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// An API with a token.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    base: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Value,
    /// `Idempotent-Replayed: true`.
    pub replayed: bool,
    /// `Retry-After` in seconds.
    pub retry_after: Option<u64>,
}

impl Api {
    pub(crate) fn new(base: &str, token: Option<String>) -> Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(256)
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), token, http })
    }

    /// Sends a request; every status is an answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| {
            format!("{method} {}{path}: is the system running? (`orders run`)", self.base)
        })?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (replayed, retry_after) = (
            header("idempotent-replayed").as_deref() == Some("true"),
            header("retry-after").and_then(|text| text.parse().ok()),
        );
        let status = response.status();
        let text = response.text().await?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        };
        Ok(Answer { status, body, replayed, retry_after })
    }

    /// Sends a request that must succeed.
    pub(crate) async fn must(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Value> {
        let answer = self.call(method, path, body, headers).await?;
        if !answer.status.is_success() {
            bail!("{}", problem(&answer));
        }
        Ok(answer.body)
    }
}

/// A problem+json answer as one line.
pub(crate) fn problem(answer: &Answer) -> String {
    let text =
        |name: &str| answer.body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut line = format!("{} {}", answer.status.as_u16(), text("title"));
    if !text("detail").is_empty() {
        line = format!("{line}: {}", text("detail"));
    }
    for error in answer.body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part =
            |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        line = format!("{line}\n  {}: {}", part("field"), part("message"));
    }
    line
}
