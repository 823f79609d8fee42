//! The real servers a test runs against, as `compose/dev/up --env` names them.

use anyhow::{Context, Result};

/// Addresses of Kafka, PostgreSQL and Redis.
#[derive(Clone, Debug)]
pub struct Servers {
    /// `KAFKA_BOOTSTRAP_SERVERS`.
    pub kafka: String,
    /// `DATABASE_URL`.
    pub database: String,
    /// `REDIS_URL`.
    pub redis: String,
}

impl Servers {
    /// From the environment.
    ///
    /// # Errors
    /// Names the variable that is missing and how to get it.
    pub fn from_environment() -> Result<Self> {
        let read = |name: &str| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set: `make test`, or vars=$(compose/dev/up --env) && export $vars")
            })
        };
        Ok(Self {
            kafka: read("KAFKA_BOOTSTRAP_SERVERS")?,
            database: read("DATABASE_URL")?,
            redis: read("REDIS_URL")?,
        })
    }
}
