//! The source over real servers: a mirror in memory takes what it gives, as strictly as the kinds of
//! the rows allow, and is compared with the server's own tables.

mod fillings;
mod join;
mod looked_up;
mod mirror;
mod nullability;
mod partitions;
mod publications;
mod shapes;
mod slots;
mod tables;
mod unavailable;
mod under_fire;
mod values;

use std::time::Duration;

use culvert_api::{ErrorKind, SourceEvent};
use culvert_config::{Block, Entry, Options, Place, Role, Value};
use culvert_source_postgres::{OPTIONS, PostgresSource};
use culvert_tests::Postgres;
use culvert_tests::postgres::{PASSWORD, USER};

use mirror::{Ended, Fate, Mirror, Row};

/// A source of tables of a database, read as the superuser unless the options say otherwise.
fn try_source(
    server: &Postgres,
    database: &str,
    tables: &[&str],
    pairs: &[(&str, &str)],
) -> culvert_api::Result<PostgresSource> {
    let url = server.url(database);
    let defaults = [("url", url.as_str()), ("username", USER), ("password", PASSWORD)];
    let mut block = Block::new(Role::Source, "Postgres-CDC", Place::default());
    let mut add = |key: &str, value| {
        block.entries.push(Entry { key: key.to_owned(), value, place: Place::default() });
    };
    let names = tables.iter().map(|name| Value::String((*name).to_owned())).collect();
    add("table-names", Value::List(names));
    let kept = defaults.iter().filter(|(key, _)| !pairs.iter().any(|(other, _)| other == key));
    for (key, value) in kept.chain(pairs) {
        add(key, Value::String((*value).to_owned()));
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    PostgresSource::from_options(&options, 1)
}

/// The same where the options are right.
fn source(server: &Postgres, database: &str, tables: &[&str], pairs: &[(&str, &str)]) -> PostgresSource {
    try_source(server, database, tables, pairs).unwrap()
}

/// Waiting for a source, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A fresh database in which the statements were run.
async fn database(server: &Postgres, statements: &[&str]) -> String {
    let database = server.fresh_database("source").await;
    server.execute(&database, statements).await;
    database
}

/// Runs statements while the source stands still between two of its events.
fn meanwhile(server: &Postgres, database: &str, statements: &[&str]) {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(server.execute(database, statements));
    });
}

impl Mirror {
    /// Takes what there is: runs until nothing came for a while behind the end of the log as of now,
    /// with a checkpoint at the end.
    async fn catch_up(&mut self, server: &Postgres, database: &str) -> culvert_api::Result<()> {
        let end = server.value(database, "SELECT pg_current_wal_insert_lsn()").await.unwrap();
        self.catch_up_to(server, database, &end).await
    }

    async fn catch_up_to(&mut self, server: &Postgres, database: &str, end: &str) -> culvert_api::Result<()> {
        let begun = std::time::Instant::now();
        loop {
            let mut idle = 0;
            self.run(|mirror, event| {
                let streams = mirror.progress.phase() == culvert_api::Phase::Stream;
                idle += usize::from(streams && matches!(event, SourceEvent::Idle));
                if idle > 5 { Fate::Stop } else { Fate::On }
            })
            .await?;
            // The insert position may lie behind the header of a page that nothing is on yet.
            let passed = format!("SELECT '{}'::pg_lsn >= '{end}'::pg_lsn - 40", self.position());
            if server.value(database, &passed).await.as_deref() == Some("t") {
                return Ok(());
            }
            assert!(begun.elapsed() < PATIENCE, "the mirror does not catch up with {end}");
        }
    }

    /// The position in the state.
    fn position(&self) -> String {
        let state = self.state.as_ref().expect("a checkpoint was taken");
        let state: serde_json::Value = serde_json::from_slice(&state.reader[1..]).unwrap();
        state["position"].as_str().unwrap().to_owned()
    }

    /// Runs until the source fails.
    async fn fail(&mut self) -> culvert_api::Error {
        match self.run(|_, _| Fate::On).await {
            Err(error) => error,
            Ok(ended) => panic!("the source ended: {ended:?}"),
        }
    }
}

/// Checks an error's kind, and what its text says.
fn assert_error(error: &culvert_api::Error, kind: ErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// The rows of a table: columns as text.
async fn rows(server: &Postgres, database: &str, query: &str) -> Vec<Vec<Option<String>>> {
    let client = server.client(database).await;
    culvert_tests::oracle::postgres::rows(&client, query).await
}

/// The values of some columns of rows, in order.
fn columns(rows: &[Row], names: &[&str]) -> Vec<Vec<Option<String>>> {
    let mut picked: Vec<Vec<Option<String>>> =
        rows.iter().map(|row| names.iter().map(|name| row[*name].clone()).collect()).collect();
    picked.sort();
    picked
}
