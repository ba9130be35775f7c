//! The oracle at a PostgreSQL server.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::Row;

/// What a query returns, sorted. Values are as the server prints them.
pub async fn rows(client: &Client, query: &str) -> Vec<Row> {
    let mut rows = rows_in_order(client, query).await;
    rows.sort_unstable();
    rows
}

/// What a query returns, in the order it returns it.
pub async fn rows_in_order(client: &Client, query: &str) -> Vec<Row> {
    self::query(client, query).await.unwrap_or_else(|error| panic!("`{query}` failed: {error}"))
}

/// [`rows_in_order`] that tells what went wrong.
pub async fn query(client: &Client, query: &str) -> Result<Vec<Row>, String> {
    let messages = client.simple_query(query).await.map_err(|error| match error.as_db_error() {
        Some(told) => format!("{} ({})", told.message(), told.code().code()),
        None => error.to_string(),
    })?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(rows.map(|row| (0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect()).collect())
}

/// The columns of a table (`schema.t` or `t` in `public`), in order.
pub async fn columns(client: &Client, table: &str) -> Vec<String> {
    let query = format!(
        "SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0 AND NOT attisdropped \
         ORDER BY attnum",
        quoted_table(table).replace('\'', "''")
    );
    rows_in_order(client, &query)
        .await
        .into_iter()
        .map(|row| row.into_iter().next().flatten().expect("a column has a name"))
        .collect()
}

/// An identifier as SQL takes it.
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// `schema.t` or `t` as SQL takes it.
pub fn quoted_table(table: &str) -> String {
    match table.split_once('.') {
        Some((schema, table)) => format!("{}.{}", quoted(schema), quoted(table)),
        None => format!("public.{}", quoted(table)),
    }
}
