//! The source over real servers: a mirror in memory takes what it gives, as strictly as the kinds of
//! the rows allow, and is compared with the server's own tables.

mod mirror;
mod under_fire;

use culvert_config::{Block, Entry, Options, Place, Role, Value};
use culvert_source_postgres::{OPTIONS, PostgresSource};
use culvert_tests::Postgres;
use culvert_tests::postgres::{PASSWORD, USER};

pub use mirror::{Fate, Mirror};

/// A source of tables of a database, read as the superuser unless the options say otherwise.
pub fn try_source(
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
pub fn source(server: &Postgres, database: &str, tables: &[&str], pairs: &[(&str, &str)]) -> PostgresSource {
    try_source(server, database, tables, pairs).unwrap()
}
