//! Servers that tests need; other crates' tests include this file too.
#![allow(dead_code, reason = "each test file uses its part")]

use read_model::{Backend, Database, DatabaseOptions};
use uuid::Uuid;

/// The value of the first variable that is set; none in the rings that run
/// without servers.
pub(crate) fn address(variables: &[&str]) -> Option<String> {
    if let Some(value) = variables.iter().find_map(|name| std::env::var(name).ok()) {
        return Some(value);
    }
    if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") {
        return None;
    }
    panic!(
        "{} is not set: run `export $(compose/dev/up --env)` first, or set RINGS=fast to leave out \
         what needs servers",
        variables[0]
    );
}

/// A PostgreSQL schema for one test.
pub(crate) struct Schema {
    name: String,
    pub(crate) url: String,
}

impl Schema {
    /// None in the rings that run without servers.
    pub(crate) async fn new() -> Option<Self> {
        let url = address(&["DATABASE_TEST_URL", "DATABASE_URL"])?;
        let name = format!("test_{}", Uuid::now_v7().simple());
        let admin = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
        execute(&admin, format!("CREATE SCHEMA {name}")).await;
        let separator = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{separator}options=-c%20search_path%3D{name}");
        Some(Self { name, url })
    }

    /// Leaves nothing on the server. After a failure the schema stays, to be
    /// looked at.
    pub(crate) async fn drop(&self, database: &Database) {
        execute(database, format!("DROP SCHEMA {} CASCADE", self.name)).await;
    }
}

async fn execute(database: &Database, statement: String) {
    if let Backend::Postgres(pool) = database.backend() {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap();
    }
}
