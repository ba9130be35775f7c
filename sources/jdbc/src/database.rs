//! What the two families of servers do differently.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Narrowing, Result, TableId, TableSchema};
use culvert_postgres::Client;
use culvert_postgres::quote::{identifier, literal};
use culvert_source_mysql::select as mysql;
use culvert_source_postgres::select as postgres;
use mysql_async::Conn;
use tokio::sync::mpsc;

use crate::one_table::{Quotes, one_table};
use crate::options::Item;

/// Some rows, and where they are in order the key of the last one.
pub(crate) type Rows = mysql::SelectedRows;

/// A server to read from.
#[derive(Debug)]
pub(crate) enum Database {
    MySql(mysql::Selector),
    Postgres(postgres::Selector),
}

/// A connection to it.
pub(crate) enum Link {
    MySql(Conn),
    Postgres(Client),
}

/// A table or a query's result, as the server described it.
#[derive(Clone, Debug)]
pub(crate) enum Selected {
    MySql(mysql::Selected),
    Postgres(postgres::Selected),
}

/// Which rows of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) conditions: Vec<String>,
    pub(crate) after: Option<Vec<String>>,
    pub(crate) limit: Option<u64>,
}

impl Selected {
    pub(crate) fn schema(&self) -> &Arc<TableSchema> {
        match self {
            Selected::MySql(selected) => selected.schema(),
            Selected::Postgres(selected) => selected.schema(),
        }
    }

    /// The same without the columns that nobody needs.
    pub(crate) fn narrowed(&self, narrowing: &Narrowing) -> Selected {
        match self {
            Selected::MySql(selected) => Selected::MySql(selected.narrowed(narrowing)),
            Selected::Postgres(selected) => Selected::Postgres(selected.narrowed(narrowing)),
        }
    }

    /// Whether reading can go on behind any row.
    pub(crate) fn is_ordered(&self) -> bool {
        match self {
            Selected::MySql(selected) => selected.is_ordered(),
            Selected::Postgres(selected) => selected.is_ordered(),
        }
    }

    /// What stands behind FROM.
    pub(crate) fn from(&self) -> &str {
        match self {
            Selected::MySql(selected) => selected.from(),
            Selected::Postgres(selected) => selected.from(),
        }
    }
}

/// A connection of one family for a selector of the other.
fn mixed() -> Error {
    Error::new(ErrorKind::Internal, "a connection to another kind of server")
}

impl Database {
    /// Connects. Where statements hold SQL of the user, its names are looked up as the user expects it.
    pub(crate) async fn connect(&self, has_users_sql: bool) -> Result<Link> {
        Ok(match self {
            Database::MySql(selector) => Link::MySql(selector.connect().await?),
            Database::Postgres(selector) => Link::Postgres(selector.connect(has_users_sql).await?),
        })
    }

    /// Asks what an item's columns and key are.
    pub(crate) async fn describe(&self, link: &mut Link, item: &Item) -> Result<Selected> {
        match (self, link) {
            (Database::MySql(selector), Link::MySql(conn)) => {
                let database = selector.database.as_deref();
                Ok(Selected::MySql(match (&item.query, &item.table) {
                    (None, Some(table)) => selector.table(conn, table).await?,
                    (None, None) => return Err(nothing()),
                    (Some(query), table) => {
                        let whole = one_table(query, Quotes::MySql).and_then(|name| match name.as_slice() {
                            [table] => Some(TableId::new(database?, table)),
                            [database, table] => Some(TableId::new(database, table)),
                            _ => None,
                        });
                        let unnamed = || TableId::new(database.unwrap_or("default"), UNNAMED);
                        let id = table.clone().or(whole.clone()).unwrap_or_else(unnamed);
                        selector.query(conn, query, id, whole.as_ref()).await?
                    }
                }))
            }
            (Database::Postgres(selector), Link::Postgres(_)) => {
                Ok(Selected::Postgres(match (&item.query, &item.table) {
                    (None, Some(table)) => selector.table(table).await?,
                    (None, None) => return Err(nothing()),
                    (Some(query), table) => {
                        let whole = one_table(query, Quotes::Postgres);
                        let id = table.clone().unwrap_or_else(|| {
                            let (schema, table) = match whole.as_deref() {
                                Some([.., schema, table]) => (schema.as_str(), table.as_str()),
                                Some([table]) => ("public", table.as_str()),
                                _ => ("public", UNNAMED),
                            };
                            let database = selector.database().to_owned();
                            TableId { database, schema: Some(schema.to_owned()), table: table.to_owned() }
                        });
                        let quoted = |parts: Vec<String>| {
                            parts.iter().map(|part| identifier(part)).collect::<Vec<_>>().join(".")
                        };
                        selector.query(query, id, whole.map(quoted).as_deref()).await?
                    }
                }))
            }
            _ => Err(mixed()),
        }
    }

    /// The first row of a statement's result, as text.
    pub(crate) async fn first_row(
        &self,
        link: &mut Link,
        statement: &str,
    ) -> Result<Option<Vec<Option<String>>>> {
        match (self, link) {
            (Database::MySql(selector), Link::MySql(conn)) => selector.first_row(conn, statement).await,
            (Database::Postgres(selector), Link::Postgres(client)) => {
                selector.first_row(client, statement).await
            }
            _ => Err(mixed()),
        }
    }

    /// Reads a part and sends its rows; returns how many there were.
    pub(crate) async fn read(
        &self,
        link: &mut Link,
        selected: &Selected,
        part: Part,
        rows: mpsc::Sender<Rows>,
    ) -> Result<u64> {
        let Part { conditions, after, limit } = part;
        match (self, link, selected) {
            (Database::MySql(selector), Link::MySql(conn), Selected::MySql(selected)) => {
                selector.read(conn, selected, &mysql::SelectPart { conditions, after, limit }, &rows).await
            }
            (Database::Postgres(selector), Link::Postgres(client), Selected::Postgres(selected)) => {
                selector
                    .read(client, selected, &postgres::SelectPart { conditions, after, limit }, &rows)
                    .await
            }
            _ => Err(mixed()),
        }
    }

    /// A column's name in a statement.
    pub(crate) fn column(&self, name: &str) -> String {
        match self {
            Database::MySql(_) => format!("`{}`", name.replace('`', "``")),
            Database::Postgres(_) => identifier(name),
        }
    }

    /// A text in a statement.
    pub(crate) fn text(&self, text: &str) -> String {
        match self {
            Database::MySql(_) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
            Database::Postgres(_) => literal(text),
        }
    }

    /// A number from 0 up to `parts` that follows from a column's value alone; 0 for NULL.
    pub(crate) fn hash(&self, column: &str, parts: u64) -> String {
        match self {
            Database::MySql(_) => format!("MOD(COALESCE(CRC32({column}), 0), {parts})"),
            Database::Postgres(_) => format!(
                "pg_catalog.mod(pg_catalog.abs(coalesce(pg_catalog.hashtext({column}::pg_catalog.text), 0)::bigint), {parts})"
            ),
        }
    }
}

/// The table's name of rows that come from no single table.
const UNNAMED: &str = "query";

fn nothing() -> Error {
    Error::new(ErrorKind::Internal, "neither a table nor a query")
}
