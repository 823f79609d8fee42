//! A small client of our own REST API, for the commands that act as a caller.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Longest wait between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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

impl Answer {
    /// 429, a gateway's or server's "not now", or a key in flight. A conflict
    /// about a status stays one.
    fn asks_to_wait(&self) -> bool {
        match self.status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => true,
            StatusCode::CONFLICT => {
                self.body.get("code").and_then(Value::as_str) == Some("idempotency_key_in_flight")
            }
            _ => false,
        }
    }

    /// The body of an answer that must be a success.
    pub(crate) fn success(self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("{}", problem(&self));
        }
        Ok(self.body)
    }
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

    /// Sends a request again until it is answered for good: while nobody
    /// listens, the API asks to wait or another request with this key is in
    /// flight. Only for requests whose repetition changes nothing.
    ///
    /// # Errors
    /// The last failure, once `patience` is over.
    pub(crate) async fn persist(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
        patience: Duration,
    ) -> Result<Answer> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_millis(250);
        loop {
            let answer = self.call(method.clone(), path, body, headers).await;
            let asked = match &answer {
                Ok(known) if !known.asks_to_wait() => return answer,
                Ok(answer) => answer.retry_after.map(Duration::from_secs),
                Err(_) => None,
            };
            let wait = asked.unwrap_or(pause);
            if Instant::now() + wait >= deadline {
                let said = answer.and_then(|answer| bail!("{}", problem(&answer)));
                return said.with_context(|| format!("gave up after {} s", patience.as_secs()));
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends a request that must succeed.
    pub(crate) async fn must(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Value> {
        self.call(method, path, body, headers).await?.success()
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers each connection with the next of these; none hangs up.
    async fn server(answers: &'static [Option<&'static str>]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _read = stream.read(&mut head).await.unwrap();
                if let Some(status) = answer {
                    let text = format!(
                        "HTTP/1.1 {status}\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
                    );
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            }
        });
        format!("http://{address}")
    }

    async fn persist(base: &str, patience: Duration) -> Result<Answer> {
        let api = Api::new(base, None).unwrap();
        api.persist(Method::GET, "/x", None, &[], patience).await
    }

    #[tokio::test]
    async fn a_process_that_is_killed_and_comes_back_ends_nothing() {
        let base = server(&[
            None,
            Some("503 Service Unavailable"),
            Some("429 Too Many Requests"),
            Some("201 Created"),
        ])
        .await;
        let answer = persist(&base, Duration::from_secs(60)).await.unwrap();
        assert_eq!(answer.status, StatusCode::CREATED);
    }

    #[tokio::test]
    async fn patience_ends_and_a_refusal_is_final() {
        let base = server(&[Some("422 Unprocessable Entity")]).await;
        let refused = persist(&base, Duration::from_secs(60)).await.unwrap();
        assert_eq!(refused.status.as_u16(), 422);
        let nobody = persist("http://127.0.0.1:1", Duration::from_millis(1)).await.unwrap_err();
        assert!(format!("{nobody:#}").starts_with("gave up"), "{nobody:#}");
    }
}
