//! Every type of column: by table and by query the same as the snapshot of the change-data-capture source.

use culvert_tests::oracle::{self, Row};
use culvert_tests::{Database, Flavor, Postgres, Server, postgres_both, shared};

use super::job::{Batch, path, quoted};
use crate::postgres::job::{JobSpec, TestJob};
use crate::postgres::types::corpus as postgres_corpus;
use crate::types::corpus as mysql_corpus;

/// The ways by which the same rows are read.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// `table_path`.
    Table,
    /// A query of which the key is known.
    Query,
    /// A query of which it is not.
    Sorted,
}

const WAYS: [Way; 3] = [Way::Table, Way::Query, Way::Sorted];

/// The blocks of `table_list`, for tables and the names of their columns.
fn list(source: &Database<'_>, tables: &[(&str, Vec<&str>)], way: Way) -> String {
    let blocks = tables.iter().map(|(table, columns)| {
        // By name, because a star leaves out columns that MariaDB calls invisible.
        let columns = ["id"].iter().chain(columns).chain(&["touched"]).map(|name| source.quoted(name));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let query = match way {
            Way::Table => String::new(),
            Way::Query => {
                format!(", query = {}", quoted(&format!("SELECT {columns} FROM {}", source.table(table))))
            }
            Way::Sorted => {
                let query = format!("SELECT {columns} FROM {} ORDER BY id DESC", source.table(table));
                format!(", query = {}", quoted(&query))
            }
        };
        format!("{{ table_path = {}{query} }}", quoted(&path(source, table)))
    });
    format!("table_list = [{}]", blocks.collect::<Vec<_>>().join(", "))
}

/// The snapshot of the same tables.
fn snapshot(source: &Database<'_>, tables: &[&str], target: &Database<'_>) -> TestJob {
    let name = format!("snapshot {} {}", source.name(), source.port());
    JobSpec { source_options: "stop.mode = LATEST", ..JobSpec::mirror(&name, source, tables, target) }.ready()
}

async fn mysql(server: &Server) {
    let source = Database::fresh(server, "types").await;
    let copy = Database::fresh(server, "snapshot").await;
    let tables = mysql_corpus::tables(server.flavor());
    for table in &tables {
        source.run(&[&table.create(source.name())]).await;
        for statement in table.inserts(source.name(), 1) {
            source.run(&[&statement]).await;
        }
    }
    let prepare = async |target: &Database<'_>| {
        for statement in tables.iter().filter_map(|table| table.create_target(target.name())) {
            target.run(&[&statement]).await;
        }
    };
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let columns = tables.iter().map(|table| {
        (table.name, table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>())
    });
    let columns: Vec<_> = columns.collect();
    prepare(&copy).await;
    snapshot(&source, &names, &copy).run().assert_code(0);
    for way in WAYS {
        let target = Database::fresh(server, "read").await;
        prepare(&target).await;
        let name = format!("{way:?} {} {}", source.name(), source.port());
        Batch::new(&name, &source, &list(&source, &columns, way), &target).run();
        for table in &tables {
            let shown = async |database: &Database<'_>| database.rows(&table.select(database.name())).await;
            let (was, is) = (shown(&copy).await, shown(&target).await);
            assert_eq!(was.len(), table.rows(), "{}", table.name);
            same(&format!("{way:?} {}", table.name), ("the snapshot", &was), ("the batch", &is));
            let declared = async |database: &Database<'_>| {
                let query = format!(
                    "SELECT COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME FROM information_schema.COLUMNS WHERE \
                     TABLE_SCHEMA = '{}' AND TABLE_NAME = '{}' ORDER BY ORDINAL_POSITION",
                    database.name(),
                    table.name.replace('\'', "''")
                );
                database.rows(&query).await
            };
            let (was, is) = (declared(&copy).await, declared(&target).await);
            same(&format!("{way:?} types of {}", table.name), ("the snapshot", &was), ("the batch", &is));
        }
    }
}

fn same(what: &str, left: (&str, &[Row]), right: (&str, &[Row])) {
    if let Some(difference) = oracle::difference(left, right) {
        panic!("{what}: {difference}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mysql_as_in_the_snapshot() {
    mysql(shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mariadb_as_in_the_snapshot() {
    mysql(shared(Flavor::MariaDb).await).await;
}

async fn postgres(server: &Postgres) {
    let source = Database::fresh(server, "types").await;
    source.run(postgres_corpus::DEFINITIONS).await;
    let mut tables = postgres_corpus::everywhere();
    tables.extend(postgres_corpus::extremes());
    tables.extend(postgres_corpus::own_types());
    for table in &tables {
        source.run(&[&table.create()]).await;
        for statement in table.inserts(1) {
            source.run(&[&statement]).await;
        }
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name).collect();
    let columns = tables.iter().map(|table| {
        (table.name, table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>())
    });
    let columns: Vec<_> = columns.collect();
    let copy = Database::fresh(server, "snapshot").await;
    copy.run(postgres_corpus::DEFINITIONS).await;
    snapshot(&source, &names, &copy).run().assert_code(0);
    for way in WAYS {
        let target = Database::fresh(server, "read").await;
        target.run(postgres_corpus::DEFINITIONS).await;
        let name = format!("{way:?} {} {}", source.name(), source.port());
        Batch::new(&name, &source, &list(&source, &columns, way), &target).run();
        for table in &tables {
            let shape = source.shape(table.name).await;
            let was = copy.rows_as(table.name, &shape, Some("id")).await;
            let is = target.rows_as(table.name, &shape, Some("id")).await;
            assert_eq!(was.len(), table.rows(), "{}", table.name);
            same(&format!("{way:?} {}", table.name), ("the snapshot", &was), ("the batch", &is));
            let declared = async |database: &Database<'_>| {
                let query = format!(
                    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = \
                     '{}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                    database.table(table.name)
                );
                database.rows(&query).await
            };
            let (was, is) = (declared(&copy).await, declared(&target).await);
            same(&format!("{way:?} types of {}", table.name), ("the snapshot", &was), ("the batch", &is));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgres_as_in_the_snapshot() {
    postgres_both(postgres).await;
}
