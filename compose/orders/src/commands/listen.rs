//! `orders webhooks listen`: receives, verifies and prints.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use egress::webhooks::listen::{Received, run_listen};
use egress::webhooks::signature::Secret;
use tokio_util::sync::CancellationToken;

use crate::roles::bind;

/// Receives until told to stop.
pub(crate) async fn run(
    addr: SocketAddr,
    secret: Option<&str>,
    json: bool,
    shutdown: CancellationToken,
) -> Result<()> {
    let secret = secret
        .map(|text| Secret::parse(text).map_err(|error| anyhow!("{error}")))
        .transpose()
        .context("--secret")?;
    let listener = bind("--addr", addr).await?;
    eprintln!("listening on http://{addr}/");
    let report = Arc::new(move |received: Received| {
        if json {
            let verified = received.verified.as_ref().map(Result::is_ok);
            let body: serde_json::Value =
                serde_json::from_slice(&received.body).unwrap_or_default();
            println!(
                "{}",
                serde_json::json!({"webhook_id": received.id, "verified": verified, "body": body})
            );
        } else {
            println!("{received}");
        }
    });
    Ok(run_listen(listener, secret, report, shutdown).await?)
}
