//! Reads a table, or what a query returns, without the log: for the source `Jdbc`.
//!
//! Values take the way that rows of a snapshot take: prepared statements (only their protocol has FLOAT
//! and DOUBLE exactly), [`RowText`], [`RowsBuilder`]. What a column is, [`describe`] finds out.

mod describe;

use std::fmt::Write as _;
use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Narrowing, Result, RowKind, RowPosition, TableSchema};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};
use tokio::sync::mpsc;

use crate::catalog::quote;
use crate::column::{Conversion, MySqlColumn};
use crate::connect::Endpoint;
use crate::decode::RowsBuilder;
use crate::error::from_client;
use crate::key::KeyPlan;
use crate::snapshot::raw_key;
use crate::tables::condition_sql;
use crate::value_text::RowText;

/// Rows and bytes of one batch.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;

/// Some rows, and where they are in order the key of the last one, as [`SelectPart`] takes it.
pub type SelectedRows = (RecordBatch, Option<Vec<String>>);

/// A server to read from, and how.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The database that names without one mean.
    pub database: Option<String>,
    /// How values become columns.
    pub conversion: Conversion,
}

/// What is read, as the server described it.
#[derive(Clone, Debug)]
pub struct Selected {
    schema: Arc<TableSchema>,
    columns: Arc<[MySqlColumn]>,
    /// What stands behind FROM.
    from: String,
    /// The query as the user wrote it, where it can be sent so.
    query: Option<String>,
    /// The order in which reading can go on behind any row.
    order: Option<KeyPlan>,
    /// What rows have to fulfil to be needed.
    condition: Option<String>,
}

/// Which rows.
#[derive(Clone, Debug, Default)]
pub struct SelectPart {
    /// Conditions that all hold.
    pub conditions: Vec<String>,
    /// Only rows behind this key. Only of what is in order.
    pub after: Option<Vec<String>>,
    /// No more rows than this.
    pub limit: Option<u64>,
}

impl Selected {
    /// Its columns and its key.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The same without the columns and rows that nobody needs. Not of a query, whose text is sent as it is.
    pub fn narrowed(&self, narrowing: &Narrowing) -> Selected {
        let schema = narrowing.narrow((*self.schema).clone());
        let condition = narrowing.condition(&schema, &self.schema).map(|it| condition_sql(&it));
        let place = |column: &MySqlColumn| schema.columns.iter().position(|other| other.name == column.name);
        let found = |from: usize| self.columns.get(from).and_then(place);
        match self.order.as_ref().map(|order| order.placed(found)) {
            // The order needs what is left out.
            Some(None) => Selected { condition, ..self.clone() },
            order => Selected {
                condition,
                columns: self.columns.iter().filter(|column| place(column).is_some()).cloned().collect(),
                order: order.flatten(),
                schema: Arc::new(schema),
                ..self.clone()
            },
        }
    }

    /// Whether reading can go on behind any row.
    pub fn is_ordered(&self) -> bool {
        self.order.is_some()
    }

    /// What stands behind FROM.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The key of a row, where rows are in order.
    fn key(&self, row: &[Value]) -> Result<Option<Vec<String>>> {
        let Some(order) = &self.order else { return Ok(None) };
        let values = order.cut_columns().map(|index| raw_key(row, index).map(|raw| to_hex(&raw)));
        values.collect::<Result<Vec<String>>>().map(Some)
    }

    fn statement(&self, part: &SelectPart) -> Result<String> {
        let mut conditions: Vec<String> = part.conditions.iter().map(|text| format!("({text}\n)")).collect();
        if let (Some(query), None, None) = (&self.query, &self.order, part.limit)
            && conditions.is_empty()
        {
            return Ok(query.clone());
        }
        let names: Vec<String> = self.columns.iter().map(|column| quote(&column.name)).collect();
        conditions.extend(self.condition.clone());
        if let (Some(order), Some(after)) = (&self.order, &part.after) {
            conditions.push(order.behind(from_hex(after)?));
        }
        let mut statement = format!("SELECT {} FROM {}", names.join(", "), self.from);
        if !conditions.is_empty() {
            statement.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if let Some(order) = &self.order {
            statement.push_str(&order.order_by());
        }
        if let Some(limit) = part.limit {
            statement.push_str(&format!(" LIMIT {limit}"));
        }
        Ok(statement)
    }
}

impl Selector {
    /// Connects. Errors as [`Endpoint::connect`] has them, and when the database is not there.
    pub async fn connect(&self) -> Result<Conn> {
        let mut conn = self.endpoint.connect().await?;
        if let Some(database) = &self.database {
            let statement = format!("USE {}", quote(database));
            conn.query_drop(statement).await.map_err(|error| refused(error, "choosing the database"))?;
        }
        Ok(conn)
    }

    /// The first row of a statement's result, as text.
    pub async fn first_row(&self, conn: &mut Conn, statement: &str) -> Result<Option<Vec<Option<String>>>> {
        const DOING: &str = "looking at what is to be read";
        let row: Option<Row> = conn.query_first(statement).await.map_err(|error| refused(error, DOING))?;
        let Some(row) = row else { return Ok(None) };
        let mut text = RowText::default();
        let values = row.unwrap();
        let texts =
            text.of(&values).map(|value| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
        Ok(Some(texts.collect()))
    }

    /// Reads a part and sends its rows, batch by batch; returns how many there were. The result of the
    /// statement is never held whole. Errors with `Schema` when columns are no longer what was described.
    pub async fn read(
        &self,
        conn: &mut Conn,
        selected: &Selected,
        part: &SelectPart,
        rows: &mpsc::Sender<SelectedRows>,
    ) -> Result<u64> {
        let here = |error: Error| error.context("table", &selected.schema.id);
        let failed = |error| here(refused(error, "reading rows"));
        let mut builder = RowsBuilder::new(&selected.schema, &selected.columns, &self.conversion)?;
        let mut text = RowText::default();
        let mut read = 0;
        let mut last: Vec<Value> = Vec::new();
        let mut result = conn.exec_iter(selected.statement(part)?, ()).await.map_err(failed)?;
        describe::compare(&selected.columns, result.columns_ref(), &self.conversion).map_err(here)?;
        while let Some(row) = result.next().await.map_err(failed)? {
            last = row.unwrap();
            let nowhere = RowPosition { transaction: 0, event: 0, row: 0 };
            builder.append_text_row(text.of(&last), RowKind::Insert, nowhere).map_err(here)?;
            read += 1;
            if builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES {
                send(rows, &mut builder, selected.key(&last)?).await?;
            }
        }
        drop(result);
        if !builder.is_empty() {
            send(rows, &mut builder, selected.key(&last)?).await?;
        }
        Ok(read)
    }
}

async fn send(
    rows: &mpsc::Sender<SelectedRows>,
    builder: &mut RowsBuilder,
    last: Option<Vec<String>>,
) -> Result<()> {
    let batch = builder.finish()?.rows;
    let gone = |_| Error::new(ErrorKind::Unavailable, "the attempt has ended");
    rows.send((batch, last)).await.map_err(gone)
}

/// An error of a statement that holds the user's SQL: one that the server does not understand is not
/// sent again. Its text about a statement's form names objects only.
fn refused(error: mysql_async::Error, doing: &str) -> Error {
    let form = match &error {
        mysql_async::Error::Server(server) => {
            ["42", "21", "0A"].iter().any(|class| server.state.starts_with(class))
        }
        _ => false,
    };
    let error = from_client(error, doing);
    match error.kind() {
        ErrorKind::Unavailable if form => {
            Error::new(ErrorKind::Config, error.message()).hint("correct the SQL in the job file")
        }
        ErrorKind::Permission => {
            error.hint("check user and password, and GRANT SELECT on what is read to the user")
        }
        _ => error,
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(values: &[String]) -> Result<Vec<Vec<u8>>> {
    let damaged = || Error::new(ErrorKind::Corrupt, "a stored key cannot be read");
    let byte = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).map_err(|_| damaged())?;
        u8::from_str_radix(text, 16).map_err(|_| damaged())
    };
    let bytes = |text: &String| match text.as_bytes().as_chunks::<2>() {
        (pairs, []) => pairs.iter().map(byte).collect(),
        _ => Err(damaged()),
    };
    values.iter().map(bytes).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_stored_and_read() {
        let key = vec![b"a\0\xff".to_vec(), Vec::new()];
        let stored: Vec<String> = key.iter().map(|bytes| to_hex(bytes)).collect();
        assert_eq!(stored, ["6100ff", ""]);
        assert_eq!(from_hex(&stored).unwrap(), key);
        for damaged in ["6", "zz", "ä"] {
            assert_eq!(from_hex(&[damaged.to_owned()]).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
