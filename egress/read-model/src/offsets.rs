//! How far each reader of the log got.
//!
//! Invariant: a range of records is applied by whoever moves the row from its
//! start to its end, in the transaction that writes what the range says. Who
//! finds the row elsewhere changes nothing ([`ReadModelError::Fenced`]).

use sqlx::QueryBuilder;

use crate::database::Database;
use crate::dialect::{on_reader, on_writer};
use crate::error::ReadModelError;

/// Where a reader stands on one partition.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct StoredOffset {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Which log the offset belongs to (Kafka: cluster id).
    pub log_id: String,
    /// Which incarnation of the topic; empty where the broker doesn't tell.
    pub topic_id: String,
    /// Next offset to apply.
    pub next_offset: i64,
}

/// The step from one offset to a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the row must stand now.
    pub from: StoredOffset,
    /// Next offset to apply afterwards.
    pub next: i64,
}

/// A record nobody could read or apply, by its place; its bytes stay on the
/// log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// What was wrong.
    pub reason: String,
}

impl Database {
    /// Everything stored for a reader, by topic and partition.
    pub async fn offsets(&self, consumer: &str) -> Result<Vec<StoredOffset>, ReadModelError> {
        on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT topic, partition, log_id, topic_id, next_offset FROM sink_offsets WHERE consumer = ",
            );
            query.push_bind(consumer).push(" ORDER BY topic, partition");
            Ok(query.build_query_as().fetch_all(pool).await?)
        })
    }

    /// Makes the rows that aren't there yet; those that are stay.
    pub async fn begin_at(
        &self,
        consumer: &str,
        offsets: &[StoredOffset],
    ) -> Result<(), ReadModelError> {
        if offsets.is_empty() {
            return Ok(());
        }
        on_writer!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(
                "INSERT INTO sink_offsets (consumer, topic, partition, log_id, topic_id, next_offset) ",
            );
            query.push_values(offsets, |mut row, offset| {
                row.push_bind(consumer).push_bind(&offset.topic).push_bind(offset.partition);
                row.push_bind(&offset.log_id)
                    .push_bind(&offset.topic_id)
                    .push_bind(offset.next_offset);
            });
            query.push(" ON CONFLICT (consumer, topic, partition) DO NOTHING");
            query.build().execute(pool).await?;
            Ok(())
        })
    }

    /// Forgets how far a reader got; its rows elsewhere stay.
    pub async fn forget_offsets(&self, consumer: &str) -> Result<(), ReadModelError> {
        on_writer!(self, |pool, _dialect| {
            sqlx::query("DELETE FROM sink_offsets WHERE consumer = $1")
                .bind(consumer)
                .execute(pool)
                .await?;
            Ok(())
        })
    }

    /// Records that could not be read so far.
    pub async fn unreadable(
        &self,
        consumer: &str,
    ) -> Result<Vec<(String, i32, i64, String)>, ReadModelError> {
        on_reader!(self, |pool, _dialect| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT topic, partition, \"offset\", reason FROM sink_dead_letters WHERE consumer = ",
            );
            query.push_bind(consumer).push(" ORDER BY topic, partition, \"offset\"");
            Ok(query.build_query_as().fetch_all(pool).await?)
        })
    }

    /// Forgets everything that is derived from the log, and how far the reader
    /// got: the sink then begins from the beginning (`orders sink rebuild`).
    /// A sink that is running meanwhile finds itself fenced and begins anew.
    pub async fn reset_projections(&self, consumer: &str) -> Result<(), ReadModelError> {
        on_writer!(self, |pool, _dialect| {
            let mut transaction = pool.begin().await?;
            for clear in [
                "DELETE FROM orders",
                "DELETE FROM order_timeline",
                "DELETE FROM user_feed_position",
                "DELETE FROM products",
                "DELETE FROM stock_levels",
                "DELETE FROM revenue_by_minute",
            ] {
                sqlx::query(clear).execute(&mut *transaction).await?;
            }
            for forget in [
                "DELETE FROM sink_dead_letters WHERE consumer = $1",
                "DELETE FROM sink_offsets WHERE consumer = $1",
            ] {
                sqlx::query(forget).bind(consumer).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }
}

/// Moves the rows inside the caller's transaction, or refuses.
macro_rules! advance {
    ($transaction:expr, $consumer:expr, $progress:expr, $unreadable:expr) => {{
        let consumer: &str = $consumer;
        let mut steps: Vec<&$crate::offsets::Progress> = $progress.iter().collect();
        steps.sort_by(|a, b| (&a.from.topic, a.from.partition).cmp(&(&b.from.topic, b.from.partition)));
        for step in steps {
            let moved = sqlx::query(
                "UPDATE sink_offsets SET next_offset = $1 WHERE consumer = $2 AND topic = $3 AND partition = $4 \
                 AND log_id = $5 AND topic_id = $6 AND next_offset = $7",
            )
            .bind(step.next)
            .bind(consumer)
            .bind(&step.from.topic)
            .bind(step.from.partition)
            .bind(&step.from.log_id)
            .bind(&step.from.topic_id)
            .bind(step.from.next_offset)
            .execute(&mut *$transaction)
            .await?;
            if moved.rows_affected() != 1 {
                return Err($crate::error::ReadModelError::Fenced {
                    consumer: consumer.to_owned(),
                    topic: step.from.topic.clone(),
                    partition: u32::try_from(step.from.partition).unwrap_or_default(),
                    expected: step.from.next_offset,
                });
            }
        }
        for record in $unreadable {
            sqlx::query(
                "INSERT INTO sink_dead_letters (consumer, topic, partition, \"offset\", reason) \
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            )
            .bind(consumer)
            .bind(&record.topic)
            .bind(record.partition)
            .bind(record.offset)
            .bind(&record.reason)
            .execute(&mut *$transaction)
            .await?;
        }
    }};
}

pub(crate) use advance;
