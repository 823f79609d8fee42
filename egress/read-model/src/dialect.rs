//! Where Postgres and SQLite spell the same thing differently.
//!
//! One text serves both wherever it can (`$1` works in both); these fragments
//! cover times, which Postgres keeps as `timestamptz` and SQLite as
//! microseconds.

/// Which spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Postgres 14 or later.
    Postgres,
    /// SQLite 3.38 or later.
    Sqlite,
}

impl Dialect {
    /// A time column as microseconds.
    pub(crate) fn micros(self, column: &str) -> String {
        match self {
            Self::Postgres => format!("(extract(epoch from {column}) * 1000000)::bigint"),
            Self::Sqlite => column.to_owned(),
        }
    }

    /// What stands before and after a bound number of microseconds to compare
    /// it with a time column.
    pub(crate) fn at(self) -> (&'static str, &'static str) {
        match self {
            Self::Postgres => ("(timestamptz 'epoch' + ", "::bigint * interval '1 microsecond')"),
            Self::Sqlite => ("", ""),
        }
    }
}

/// Runs a block with a pool for reading, once per database type: `Db` is the
/// sqlx database inside it.
macro_rules! on_reader {
    ($database:expr, |$pool:ident, $dialect:ident| $body:block) => {
        match $database.backend() {
            $crate::database::Backend::Postgres($pool) => {
                #[allow(dead_code, reason = "not every query builds its text")]
                type Db = sqlx::Postgres;
                let $dialect = $crate::dialect::Dialect::Postgres;
                $body
            }
            $crate::database::Backend::Sqlite(connections) => {
                #[allow(dead_code, reason = "not every query builds its text")]
                type Db = sqlx::Sqlite;
                let $pool = &connections.readers;
                let $dialect = $crate::dialect::Dialect::Sqlite;
                $body
            }
        }
    };
}

/// The same with a pool for writing.
macro_rules! on_writer {
    ($database:expr, |$pool:ident, $dialect:ident| $body:block) => {
        match $database.backend() {
            $crate::database::Backend::Postgres($pool) => {
                #[allow(dead_code, reason = "not every query builds its text")]
                type Db = sqlx::Postgres;
                let $dialect = $crate::dialect::Dialect::Postgres;
                $body
            }
            $crate::database::Backend::Sqlite(connections) => {
                #[allow(dead_code, reason = "not every query builds its text")]
                type Db = sqlx::Sqlite;
                let $pool = &connections.writer;
                let $dialect = $crate::dialect::Dialect::Sqlite;
                $body
            }
        }
    };
}

pub(crate) use {on_reader, on_writer};
