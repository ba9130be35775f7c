//! The databases that a catalog can be in: a file of SQLite, or PostgreSQL.

use std::path::PathBuf;
use std::time::Duration;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::Endpoint;
use culvert_postgres::from_client;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::Move;

/// How long another writer of the file is waited for.
const BUSY: Duration = Duration::from_secs(20);

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL, \
     table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000), \
     PRIMARY KEY (catalog_name, table_namespace, table_name))",
    "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (catalog_name VARCHAR(255) NOT NULL, \
     namespace VARCHAR(255) NOT NULL, property_key VARCHAR(255) NOT NULL, property_value VARCHAR(1000), \
     PRIMARY KEY (catalog_name, namespace, property_key))",
];

/// Where a catalog is kept.
#[derive(Debug)]
pub(crate) enum Database {
    /// A file of SQLite; opened for every call, which is rare.
    Sqlite(PathBuf),
    /// A server of PostgreSQL; connected to for every call.
    Postgres(Box<Endpoint>),
}

fn sqlite_failed(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> Error + use<> {
    let path = path.display().to_string();
    move |cause| {
        let kind = match cause.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                ErrorKind::Contention
            }
            Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::SystemIoFailure) => {
                ErrorKind::Unavailable
            }
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                ErrorKind::Corrupt
            }
            _ => ErrorKind::Config,
        };
        Error::new(kind, "the catalog's database refused").context("path", &path).caused_by(cause)
    }
}

async fn on_file<T: Send + 'static>(
    path: &std::path::Path,
    call: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let mut connection = Connection::open(&path).map_err(sqlite_failed(&path))?;
        connection.busy_timeout(BUSY).map_err(sqlite_failed(&path))?;
        call(&mut connection).map_err(sqlite_failed(&path))
    });
    done.await
        .map_err(|cause| Error::new(ErrorKind::Internal, "the catalog was given up").caused_by(cause))?
}

impl Database {
    /// Makes the catalog's tables, and the namespace.
    pub(crate) async fn prepare(&self, catalog: &str, namespace: &str) -> Result<()> {
        let (catalog, namespace) = (catalog.to_owned(), namespace.to_owned());
        match self {
            Database::Sqlite(path) => {
                on_file(path, move |connection| {
                    TABLES.iter().try_for_each(|table| connection.execute(table, []).map(drop))?;
                    let insert = "INSERT INTO iceberg_namespace_properties VALUES (?1, ?2, 'exists', 'true') \
                                  ON CONFLICT DO NOTHING";
                    connection.execute(insert, params![catalog, namespace]).map(drop)
                })
                .await
            }
            Database::Postgres(endpoint) => {
                let doing = "making the catalog's tables";
                let client = endpoint.connect().await?;
                if !self.has_tables().await? {
                    for table in TABLES {
                        client.execute(table, &[]).await.map_err(|error| from_client(error, doing))?;
                    }
                }
                let insert = "INSERT INTO iceberg_namespace_properties VALUES ($1, $2, 'exists', 'true') \
                              ON CONFLICT DO NOTHING";
                client
                    .execute(insert, &[&catalog, &namespace])
                    .await
                    .map_err(|error| from_client(error, doing))?;
                Ok(())
            }
        }
    }

    async fn has_tables(&self) -> Result<bool> {
        match self {
            Database::Sqlite(path) => {
                if !path.exists() {
                    return Ok(false);
                }
                let query = "SELECT count(*) FROM sqlite_master WHERE name = 'iceberg_tables'";
                on_file(path, move |connection| connection.query_row(query, [], |row| row.get::<_, i64>(0)))
                    .await
                    .map(|count| count > 0)
            }
            Database::Postgres(endpoint) => {
                let client = endpoint.connect().await?;
                let query = "SELECT to_regclass('iceberg_tables') IS NOT NULL";
                let row = client.query_one(query, &[]).await;
                Ok(row.map_err(|error| from_client(error, "looking for the catalog's tables"))?.get(0))
            }
        }
    }

    /// Where a table's metadata is.
    pub(crate) async fn location(
        &self,
        catalog: &str,
        namespace: &str,
        table: &str,
    ) -> Result<Option<String>> {
        if !self.has_tables().await? {
            return Ok(None);
        }
        let (catalog, namespace, table) = (catalog.to_owned(), namespace.to_owned(), table.to_owned());
        match self {
            Database::Sqlite(path) => {
                let query = "SELECT metadata_location FROM iceberg_tables \
                             WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3";
                on_file(path, move |connection| {
                    connection
                        .query_row(query, params![catalog, namespace, table], |row| row.get(0))
                        .optional()
                })
                .await
            }
            Database::Postgres(endpoint) => {
                let query = "SELECT metadata_location FROM iceberg_tables \
                             WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3";
                let client = endpoint.connect().await?;
                let row = client.query_opt(query, &[&catalog, &namespace, &table]).await;
                let row = row.map_err(|error| from_client(error, "looking up a table in the catalog"))?;
                Ok(row.and_then(|row| row.get(0)))
            }
        }
    }

    /// Adds a table. False: there is one of this name.
    pub(crate) async fn insert(
        &self,
        catalog: &str,
        namespace: &str,
        table: &str,
        location: &str,
    ) -> Result<bool> {
        let values = [catalog, namespace, table, location].map(str::to_owned);
        match self {
            Database::Sqlite(path) => {
                let insert = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) \
                              VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
                on_file(path, move |connection| connection.execute(insert, values))
                    .await
                    .map(|count| count == 1)
            }
            Database::Postgres(endpoint) => {
                let insert = "INSERT INTO iceberg_tables (catalog_name, table_namespace, table_name, metadata_location) \
                              VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
                let [catalog, namespace, table, location] = &values;
                let client = endpoint.connect().await?;
                let count = client.execute(insert, &[catalog, namespace, table, location]).await;
                Ok(count.map_err(|error| from_client(error, "adding a table to the catalog"))? == 1)
            }
        }
    }

    /// Moves tables from one state to the next, all of them or none. False: one is not where it was.
    pub(crate) async fn compare_and_set(&self, catalog: &str, moves: Vec<Move>) -> Result<bool> {
        let catalog = catalog.to_owned();
        match self {
            Database::Sqlite(path) => {
                let update = "UPDATE iceberg_tables SET metadata_location = ?1, previous_metadata_location = ?2 \
                              WHERE catalog_name = ?3 AND table_namespace = ?4 AND table_name = ?5 AND metadata_location = ?2";
                on_file(path, move |connection| {
                    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                    for step in &moves {
                        let values = params![step.to, step.from, catalog, step.namespace, step.table];
                        if transaction.execute(update, values)? != 1 {
                            return Ok(false);
                        }
                    }
                    transaction.commit()?;
                    Ok(true)
                })
                .await
            }
            Database::Postgres(endpoint) => {
                let update = "UPDATE iceberg_tables SET metadata_location = $1, previous_metadata_location = $2 \
                              WHERE catalog_name = $3 AND table_namespace = $4 AND table_name = $5 AND metadata_location = $2";
                let failed = |error| from_client(error, "changing tables in the catalog");
                let client = endpoint.connect().await?;
                client.batch_execute("BEGIN").await.map_err(failed)?;
                for step in &moves {
                    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                        [&step.to, &step.from, &catalog, &step.namespace, &step.table];
                    if client.execute(update, &values).await.map_err(failed)? != 1 {
                        client.batch_execute("ROLLBACK").await.map_err(failed)?;
                        return Ok(false);
                    }
                }
                client.batch_execute("COMMIT").await.map_err(failed)?;
                Ok(true)
            }
        }
    }

    /// Takes a table out.
    pub(crate) async fn remove(&self, catalog: &str, namespace: &str, table: &str) -> Result<()> {
        if !self.has_tables().await? {
            return Ok(());
        }
        let values = [catalog, namespace, table].map(str::to_owned);
        match self {
            Database::Sqlite(path) => {
                let delete = "DELETE FROM iceberg_tables \
                              WHERE catalog_name = ?1 AND table_namespace = ?2 AND table_name = ?3";
                on_file(path, move |connection| connection.execute(delete, values)).await.map(drop)
            }
            Database::Postgres(endpoint) => {
                let delete = "DELETE FROM iceberg_tables \
                              WHERE catalog_name = $1 AND table_namespace = $2 AND table_name = $3";
                let [catalog, namespace, table] = &values;
                let client = endpoint.connect().await?;
                let count = client.execute(delete, &[catalog, namespace, table]).await;
                count.map(drop).map_err(|error| from_client(error, "removing a table from the catalog"))
            }
        }
    }
}
