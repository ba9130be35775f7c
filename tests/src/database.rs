//! A database on a server of either kind, so that one test can be about any pair of them.
//!
//! Queries go over one connection that is opened when it is first needed and again after it broke.
//! Values are compared as text, in a form ([`Shown`]) in which equal texts mean equal values
//! whatever server prints them.

mod shown;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::Client;

pub use shown::Shown;

use crate::oracle::{self, Row};
use crate::{Postgres, Server};

/// How a PostgreSQL prints values, whatever its own settings are.
const PRINTED: &str = "SET TimeZone = 'UTC'; SET DateStyle = ISO; SET IntervalStyle = postgres; \
                       SET extra_float_digits = 1; SET bytea_output = hex; SET xmlbinary = base64";

/// A database.
#[derive(Debug)]
pub struct Database<'a> {
    server: Kind<'a>,
    name: String,
    connection: Mutex<Option<Connection>>,
}

/// Where a database is.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'a> {
    /// On a MariaDB or MySQL.
    MySql(&'a Server),
    /// On a PostgreSQL; tables are in the schema `public`.
    Postgres(&'a Postgres),
}

impl Kind<'_> {
    /// The server's port.
    pub fn port(self) -> u16 {
        match self {
            Kind::MySql(server) => server.port(),
            Kind::Postgres(server) => server.port(),
        }
    }
}

#[derive(Debug)]
enum Connection {
    MySql(Box<Conn>),
    Postgres(Client),
}

/// Columns of a table with the form they are compared in.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// Name and form, in the table's order.
    pub columns: Vec<(String, Shown)>,
}

impl<'a> From<&'a Server> for Kind<'a> {
    fn from(server: &'a Server) -> Kind<'a> {
        Kind::MySql(server)
    }
}

impl<'a> From<&'a Postgres> for Kind<'a> {
    fn from(server: &'a Postgres) -> Kind<'a> {
        Kind::Postgres(server)
    }
}

impl<'a> Database<'a> {
    /// Makes a database that no other test uses.
    pub async fn fresh(server: impl Into<Kind<'a>>, prefix: &str) -> Database<'a> {
        let server = server.into();
        let name = match server {
            Kind::MySql(server) => server.fresh_database(prefix).await,
            Kind::Postgres(server) => server.fresh_database(prefix).await,
        };
        Database::open(server, &name)
    }

    /// A database that is there.
    pub fn open(server: impl Into<Kind<'a>>, name: &str) -> Database<'a> {
        Database { server: server.into(), name: name.to_owned(), connection: Mutex::new(None) }
    }

    /// Its server.
    pub fn server(&self) -> Kind<'a> {
        self.server
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its server is a PostgreSQL.
    pub fn is_postgres(&self) -> bool {
        matches!(self.server, Kind::Postgres(_))
    }

    /// As a job file names it.
    pub fn url(&self) -> String {
        match self.server {
            Kind::MySql(server) => server.url(&self.name),
            Kind::Postgres(server) => server.url(&self.name),
        }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// An identifier as its SQL takes it.
    pub fn quoted(&self, identifier: &str) -> String {
        match self.server {
            Kind::MySql(_) => oracle::quoted(identifier),
            Kind::Postgres(_) => oracle::postgres::quoted(identifier),
        }
    }

    /// A table of this database as its SQL takes it from any connection to it.
    pub fn table(&self, name: &str) -> String {
        match self.server {
            Kind::MySql(_) => format!("{}.{}", self.quoted(&self.name), self.quoted(name)),
            Kind::Postgres(_) => format!("public.{}", self.quoted(name)),
        }
    }

    /// Runs statements, one after the other.
    ///
    /// # Panics
    /// When the server refuses one.
    pub async fn run(&self, statements: &[&str]) {
        for statement in statements {
            if let Err(error) = self.query(statement).await {
                let start: String = statement.chars().take(400).collect();
                panic!("{} refused `{start}`: {error}", self.name);
            }
        }
    }

    /// What a query returns, in its order, as the server prints it.
    ///
    /// # Panics
    /// When the server refuses it.
    pub async fn rows(&self, query: &str) -> Vec<Row> {
        self.query(query).await.unwrap_or_else(|error| panic!("{}: `{query}`: {error}", self.name))
    }

    /// The first value of a query; `None` without a row and for NULL.
    pub async fn value(&self, query: &str) -> Option<String> {
        self.rows(query).await.into_iter().next()?.into_iter().next()?
    }

    /// [`Database::rows`] that tells what went wrong: no such table yet, no connection.
    pub async fn query(&self, query: &str) -> Result<Vec<Row>, String> {
        let mut connection = self.connected().await?;
        let (rows, lost) = match connection.as_mut() {
            Some(Connection::Postgres(client)) => {
                let rows = oracle::postgres::query(client, query).await;
                (rows, client.is_closed())
            }
            Some(Connection::MySql(conn)) => {
                let rows: Result<Vec<mysql_async::Row>, _> = conn.query(query).await;
                let lost = matches!(&rows, Err(error) if !matches!(error, mysql_async::Error::Server(_)));
                (rows.map(oracle::printed_rows).map_err(|error| error.to_string()), lost)
            }
            None => (Err("there is no connection".into()), false),
        };
        if lost {
            *connection = None;
        }
        rows
    }

    async fn connected(&self) -> Result<MutexGuard<'_, Option<Connection>>, String> {
        let mut connection = self.connection.lock().await;
        // It may have broken since it was used last.
        let lost = match connection.as_mut() {
            None => true,
            Some(Connection::Postgres(client)) => client.is_closed(),
            Some(Connection::MySql(conn)) => conn.ping().await.is_err(),
        };
        if lost {
            *connection = Some(self.connect().await?);
        }
        Ok(connection)
    }

    /// A session in UTC.
    async fn connect(&self) -> Result<Connection, String> {
        match self.server {
            Kind::MySql(server) => {
                let opts = server.opts("root").db_name(Some(&self.name));
                let mut conn = Conn::new(opts).await.map_err(|error| error.to_string())?;
                conn.query_drop("SET time_zone = '+00:00'").await.map_err(|error| error.to_string())?;
                Ok(Connection::MySql(Box::new(conn)))
            }
            Kind::Postgres(server) => {
                let config = server.config(crate::postgres::USER, &self.name);
                let told = |error: tokio_postgres::Error| format!("{error:?}");
                let client = crate::postgres::connect(&config).await.map_err(told)?;
                client.batch_execute(PRINTED).await.map_err(told)?;
                Ok(Connection::Postgres(client))
            }
        }
    }

    /// Whether there is a table of this name.
    pub async fn has_table(&self, table: &str) -> bool {
        !self.shape(table).await.columns.is_empty()
    }

    /// The columns of a table with the form their type asks for; none when it is missing.
    pub async fn shape(&self, table: &str) -> Shape {
        let literal = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
        let query = match self.server {
            Kind::MySql(_) => format!(
                "SELECT COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}' \
                 AND TABLE_NAME = '{}' ORDER BY ORDINAL_POSITION",
                literal(&self.name),
                literal(table)
            ),
            Kind::Postgres(_) => format!(
                "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = \
                 to_regclass('{}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                self.table(table).replace('\'', "''")
            ),
        };
        let columns = self.rows(&query).await.into_iter().map(|row| {
            let mut values = row.into_iter().flatten();
            let name = values.next().expect("a column has a name");
            let declared = values.next().expect("a column has a type");
            (
                name,
                if self.is_postgres() { Shown::of_postgres(&declared) } else { Shown::of_mysql(&declared) },
            )
        });
        Shape { columns: columns.collect() }
    }

    /// Rows of a table: the columns of `shape` in its forms, in the order of a column or, without
    /// one, sorted.
    ///
    /// # Panics
    /// When the table has not these columns.
    pub async fn rows_as(&self, table: &str, shape: &Shape, order: Option<&str>) -> Vec<Row> {
        let own = self.shape(table).await;
        let expressions = shape.columns.iter().map(|(name, _)| {
            let (_, shown) = own
                .columns
                .iter()
                .find(|(have, _)| have == name)
                .unwrap_or_else(|| panic!("{}.{table} has no column {name}: {own:?}", self.name));
            shown.expression(&self.quoted(name), self.is_postgres())
        });
        let list = expressions.collect::<Vec<String>>().join(", ");
        let mut query = format!("SELECT {list} FROM {}", self.table(table));
        if let Some(order) = order {
            query.push_str(&format!(" ORDER BY {}", self.quoted(order)));
        }
        let mut rows = self.rows(&query).await;
        for row in &mut rows {
            for (value, (_, shown)) in row.iter_mut().zip(&shape.columns) {
                *value = value.take().map(|text| shown.canonical(text));
            }
        }
        if order.is_none() {
            rows.sort_unstable();
        }
        rows
    }
}

impl Shape {
    /// The shape in which rows of two databases are compared.
    #[must_use]
    pub fn between(mut self, source: &Database<'_>, target: &Database<'_>) -> Shape {
        if !(source.is_postgres() && target.is_postgres()) {
            for (_, shown) in &mut self.columns {
                if *shown == Shown::Real {
                    *shown = Shown::Rounded;
                }
            }
        }
        self
    }
}

/// Compares the columns of `source` with those of the same names in `target`, over all rows in any
/// order, between servers of either kind.
///
/// # Panics
/// When they differ, with the first differences.
pub async fn assert_same(source: (&Database<'_>, &str), target: (&Database<'_>, &str)) {
    let shape = source.0.shape(source.1).await.between(source.0, target.0);
    assert!(!shape.columns.is_empty(), "{} has no table {}", source.0.name, source.1);
    let left = source.0.rows_as(source.1, &shape, None).await;
    let right = target.0.rows_as(target.1, &shape, None).await;
    let name = |(database, table): (&Database<'_>, &str)| format!("{}.{table}", database.name);
    oracle::assert_same((&name(source), &left), (&name(target), &right));
}

/// Replays the append log in `target` and compares what it comes to with `source`. `key` names the
/// key's columns, none for a table without; the log has the columns `row_kind` and `seq`.
///
/// # Panics
/// When a change cannot have happened, or the rows differ in the end.
pub async fn assert_replays(source: (&Database<'_>, &str), target: (&Database<'_>, &str), key: &[&str]) {
    let mut shape = source.0.shape(source.1).await.between(source.0, target.0);
    let rows = source.0.rows_as(source.1, &shape, None).await;
    let place = |name: &&str| {
        let found = shape.columns.iter().position(|(have, _)| have == name);
        found.unwrap_or_else(|| panic!("{} has no column {name}", source.1))
    };
    let key = key.iter().map(place).collect();
    shape.columns.push(("row_kind".into(), Shown::Printed));
    let changes = target.0.rows_as(target.1, &shape, Some("seq")).await.into_iter().map(|mut row| {
        let kind = row.pop().flatten().unwrap_or_else(|| "NULL".into());
        (kind, row)
    });
    let log = oracle::AppendLog { changes: changes.collect(), key };
    let name = format!("{}.{}", target.0.name, target.1);
    let replayed = oracle::replay(&log).unwrap_or_else(|violation| panic!("{name}: {violation}"));
    oracle::assert_same((source.1, &rows), (&name, &replayed));
}
