//! Reads a table, or what a query returns, without the log: for the source `Jdbc`.
//!
//! Values take the way that rows of a snapshot take: a binary COPY, [`RowsBuilder`]. What a column is,
//! [`describe`] finds out.

mod describe;

use std::sync::Arc;

use arrow_array::RecordBatch;
use culvert_api::{Error, ErrorKind, Narrowing, Result, RowKind, RowPosition, TableSchema};
use culvert_postgres::quote::{identifier, literal};
use culvert_postgres::{Client, Endpoint, Session, from_client};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::catalog::query;
use crate::column::ColumnDef;
use crate::decode::{NanPolicy, RowsBuilder};
use crate::key::{KeyBound, KeyPlan};
use crate::snapshot::copy::{CopyRow, CopyRows};
use crate::snapshot::expression;
use crate::tables::condition_sql;

/// Rows and bytes of one batch.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;

/// Some rows, and where they are in order the key of the last one, as [`SelectPart`] takes it.
pub type SelectedRows = (RecordBatch, Option<Vec<String>>);

/// A server to read from, and how.
#[derive(Clone, Debug)]
pub struct Selector {
    endpoint: Endpoint,
    /// The search path of the user's SQL where it is not the account's own.
    search_path: Option<String>,
    nan: NanPolicy,
}

/// What is read, as the server described it.
#[derive(Clone, Debug)]
pub struct Selected {
    schema: Arc<TableSchema>,
    columns: Vec<ColumnDef>,
    /// What stands behind FROM.
    from: String,
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

    /// The same without the columns and rows that nobody needs.
    pub fn narrowed(&self, narrowing: &Narrowing) -> Selected {
        let schema = narrowing.narrow((*self.schema).clone());
        let condition = narrowing.condition(&schema, &self.schema).map(|it| condition_sql(&it));
        let place = |name: &str| schema.columns.iter().position(|other| other.name == name);
        match self.order.as_ref().map(|order| order.placed(place)) {
            // The order needs what is left out.
            Some(None) => Selected { condition, ..self.clone() },
            order => Selected {
                condition,
                columns: self
                    .columns
                    .iter()
                    .filter(|column| place(&column.name).is_some())
                    .cloned()
                    .collect(),
                order: order.flatten(),
                schema: Arc::new(schema),
                from: self.from.clone(),
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
    fn key(&self, row: Option<&CopyRow>) -> Result<Option<Vec<String>>> {
        match (&self.order, row) {
            (Some(order), Some(row)) => {
                let bound = order.bound(row.cells(&self.columns))?;
                Ok(Some(bound.0.into_iter().map(String::from).collect()))
            }
            _ => Ok(None),
        }
    }

    fn statement(&self, part: &SelectPart) -> Result<String> {
        let columns: Vec<String> = self.columns.iter().map(expression).collect();
        let mut conditions: Vec<String> = part.conditions.iter().map(|text| format!("({text}\n)")).collect();
        conditions.extend(self.condition.clone());
        if let (Some(order), Some(after)) = (&self.order, &part.after) {
            let bound = after.iter().map(|value| value.parse()).collect::<Result<Vec<_>>>()?;
            conditions.extend(order.behind(&KeyBound(bound)));
        }
        let mut statement = format!("COPY (SELECT {} FROM {}", columns.join(", "), self.from);
        if !conditions.is_empty() {
            statement.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if let Some(order) = &self.order {
            statement.push_str(&format!(" ORDER BY {}", order.names()));
        }
        if let Some(limit) = part.limit {
            statement.push_str(&format!(" LIMIT {limit}"));
        }
        statement.push_str(") TO STDOUT (FORMAT binary)");
        Ok(statement)
    }

    /// The columns, as they are asked for when only their types are wanted.
    fn plain(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|column| identifier(&column.name)).collect();
        format!("SELECT {} FROM {}", names.join(", "), self.from)
    }
}

impl Selector {
    /// `search_path` is that of the user's SQL where it is not the account's own. With `nan_is_null`, NaN
    /// in a numeric with a precision is NULL and not an error.
    pub fn new(endpoint: Endpoint, search_path: Option<String>, nan_is_null: bool) -> Selector {
        let nan = if nan_is_null { NanPolicy::Null } else { NanPolicy::Fail };
        Selector { endpoint, search_path, nan }
    }

    /// The database of its connections.
    pub fn database(&self) -> &str {
        &self.endpoint.database
    }

    /// Connects. Where statements hold SQL of the user, its names are looked up as the user expects it.
    pub async fn connect(&self, has_users_sql: bool) -> Result<Client> {
        if !has_users_sql {
            return self.endpoint.connect().await;
        }
        let client = self.endpoint.clone().with_session(Session::Writer).connect().await?;
        let mut statement = "SET row_security = off".to_owned();
        if let Some(path) = &self.search_path {
            let path = literal(path);
            statement.push_str(&format!("; SELECT pg_catalog.set_config('search_path', {path}, false)"));
        }
        query(&client, &statement, "preparing the session").await?;
        Ok(client)
    }

    /// The first row of a statement's result, as text.
    pub async fn first_row(&self, client: &Client, statement: &str) -> Result<Option<Vec<Option<String>>>> {
        const DOING: &str = "looking at what is to be read";
        let messages = client.simple_query(statement).await.map_err(|error| refused(error, DOING))?;
        let mut rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let texts = |row: SimpleQueryRow| (0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect();
        Ok(rows.next().map(texts))
    }

    /// Reads a part and sends its rows, batch by batch; returns how many there were. The result of the
    /// statement is never held whole. Errors with `Schema` when columns are no longer what was described.
    pub async fn read(
        &self,
        client: &Client,
        selected: &Selected,
        part: &SelectPart,
        rows: &mpsc::Sender<SelectedRows>,
    ) -> Result<u64> {
        let here = |error: Error| error.context("table", &selected.schema.id);
        let failed = |error| here(refused(error, "reading rows"));
        query(client, "BEGIN READ ONLY", "reading rows").await?;
        // A COPY tells no types. Preparing locks what is read, so it keeps these until the end.
        describe::compare(client, selected).await.map_err(here)?;
        let stream = client.copy_out(&selected.statement(part)?).await.map_err(failed)?;
        let mut stream = std::pin::pin!(stream);
        let mut builder = RowsBuilder::new(Arc::clone(&selected.schema), &selected.columns, self.nan);
        let mut in_rows = CopyRows::default();
        let mut read = 0;
        let mut last = None;
        while let Some(data) = stream.next().await {
            let mut data = data.map_err(failed)?;
            while let Some(row) = in_rows.next(&mut data, selected.columns.len())? {
                let nowhere = RowPosition { transaction: 0, event: 0, row: 0 };
                builder.append(RowKind::Insert, nowhere, row.cells(&selected.columns)).map_err(here)?;
                read += 1;
                last = Some(row);
                if builder.len() >= BATCH_ROWS || builder.bytes() >= BATCH_BYTES {
                    let key = selected.key(last.take().as_ref())?;
                    send(rows, &mut builder, key).await.map_err(here)?;
                }
            }
        }
        if !in_rows.ended {
            return Err(here(Error::new(ErrorKind::Connection, "the connection ended inside a result")));
        }
        if builder.len() > 0 {
            let key = selected.key(last.as_ref())?;
            send(rows, &mut builder, key).await.map_err(here)?;
        }
        query(client, "COMMIT", "reading rows").await?;
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

/// An error of a statement that holds the user's SQL: one that the server does not understand is not ours.
fn refused(error: tokio_postgres::Error, doing: &str) -> Error {
    let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
    let error = from_client(error, doing);
    match error.kind() {
        ErrorKind::Permission => error.hint("grant the user the right to SELECT from what is read"),
        ErrorKind::Internal | ErrorKind::Schema if code.starts_with("42") || code.starts_with("21") => {
            Error::new(ErrorKind::Config, error.message()).hint("correct the SQL in the job file")
        }
        _ => error,
    }
}
