//! Other processes' commits, by Postgres `NOTIFY`.
//!
//! Payload: lines `o <order id> <version>` and `r <request id>`, in chunks
//! below Postgres' 8,000 bytes, sent inside the sink's own transaction.
//! Invariant: after every (re)connection one batched query covers what was
//! notified while nobody listened.

use std::fmt::Write as _;
use std::time::Duration;

use schemas::OrderId;
use sqlx::postgres::PgListener;

use crate::applied::AppliedBatch;
use crate::database::{Backend, Database};
use crate::error::ReadModelError;

/// The channel's name.
pub(crate) const CHANNEL: &str = "orders_applied";
const MAX_PAYLOAD: usize = 7_900;
const RETRY: Duration = Duration::from_millis(500);

/// The batch as payloads.
pub(crate) fn payloads(batch: &AppliedBatch) -> Vec<String> {
    let mut chunks = Vec::new();
    let mut current = String::new();
    let mut line = String::new();
    let mut push = |line: &mut String| {
        // An id that fits no payload can't be waited for by its whole name.
        if line.len() <= MAX_PAYLOAD {
            if current.len() + line.len() > MAX_PAYLOAD {
                chunks.push(std::mem::take(&mut current));
            }
            current.push_str(line);
        }
        line.clear();
    };
    for (order, version) in &batch.orders {
        let _infallible = writeln!(line, "o {order} {version}");
        push(&mut line);
    }
    for request in batch.requests.iter().filter(|request| !request.contains('\n')) {
        let _infallible = writeln!(line, "r {request}");
        push(&mut line);
    }
    if !current.is_empty() {
        chunks.push(current);
    }
    chunks
}

fn parse(payload: &str) -> AppliedBatch {
    let mut batch = AppliedBatch::default();
    for line in payload.lines() {
        match line.split_once(' ') {
            Some(("o", rest)) => {
                if let Some((order, version)) = rest.split_once(' ')
                    && let (Ok(order), Ok(version)) = (order.parse::<OrderId>(), version.parse())
                {
                    batch.orders.push((order, version));
                }
            }
            Some(("r", request)) => batch.requests.push(request.to_owned()),
            _ => tracing::debug!(line, "unknown line in a notification"),
        }
    }
    batch
}

/// Passes the notifications of all sinks to this process's waiters until the
/// future is dropped. Returns at once on SQLite, where the sink is in this
/// process.
pub async fn listen(database: &Database) {
    let Backend::Postgres(pool) = database.backend() else { return };
    loop {
        if let Err(error) = follow(database, pool).await {
            tracing::warn!(%error, "notifications of the read model interrupted; connecting again");
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow(database: &Database, pool: &sqlx::PgPool) -> Result<(), ReadModelError> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    recheck(database).await?;
    loop {
        match listener.try_recv().await? {
            Some(notification) => database.applied().publish(&parse(notification.payload())),
            // The connection was lost and made again.
            None => recheck(database).await?,
        }
    }
}

/// Asks once for everything anybody waits for.
async fn recheck(database: &Database) -> Result<(), ReadModelError> {
    let (orders, requests) = database.applied().waiting();
    let batch = AppliedBatch {
        orders: database.order_versions(&orders).await?,
        requests: database.known_requests(&requests).await?,
    };
    database.applied().publish(&batch);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_batch_survives_the_chunks() {
        let batch = AppliedBatch {
            orders: (0..500).map(|n| (OrderId::new(uuid::Uuid::from_u128(n)), n as i64)).collect(),
            requests: (0..300).map(|n| format!("request-{n}")).collect(),
        };
        let chunks = payloads(&batch);
        assert!(chunks.len() > 1 && chunks.iter().all(|chunk| chunk.len() <= MAX_PAYLOAD));
        let mut back = AppliedBatch::default();
        for chunk in &chunks {
            let part = parse(chunk);
            back.orders.extend(part.orders);
            back.requests.extend(part.requests);
        }
        assert_eq!(back, batch);
    }

    #[test]
    fn unknown_lines_are_skipped() {
        assert_eq!(
            parse("x\no nonsense 1\nr a b\n"),
            AppliedBatch { orders: vec![], requests: vec!["a b".to_owned()] }
        );
    }
}
