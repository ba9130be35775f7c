//! Sinks and rows at a PostgreSQL server.

use culvert_api::Result;
use culvert_sink_jdbc::JdbcSink;
use culvert_tests::Postgres;
use culvert_tests::oracle::postgres::rows_in_order;
use culvert_tests::postgres::{PASSWORD, USER};

use crate::support::from_pairs;

/// A sink that writes to a database of the server as the superuser.
pub(crate) fn sink(server: &Postgres, database: &str, pairs: &[(&str, &str)]) -> Result<JdbcSink> {
    from_pairs(&[("url", &server.url(database)), ("username", USER), ("password", PASSWORD)], pairs)
}

/// The rows of a query, the fields of each with blanks between them and `~` for NULL.
pub(crate) async fn lines(server: &Postgres, database: &str, query: &str) -> Vec<String> {
    let client = server.client(database).await;
    let rows = rows_in_order(&client, query).await;
    let line = |row: Vec<Option<String>>| {
        row.into_iter().map(|field| field.unwrap_or_else(|| "~".into())).collect::<Vec<_>>().join(" ")
    };
    rows.into_iter().map(line).collect()
}

/// The rows of a table with the columns of `people`, ordered.
pub(crate) async fn people_in(server: &Postgres, database: &str, table: &str) -> Vec<String> {
    lines(server, database, &format!("SELECT id, name FROM {table} ORDER BY id, name")).await
}

/// Statements of the server's process list that belong to the sink.
pub(crate) async fn end_sessions(server: &Postgres, database: &str) -> usize {
    let query = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' \
         AND application_name = 'culvert'"
    );
    lines(server, "postgres", &query).await.len()
}
