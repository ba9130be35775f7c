//! Every type of every source in tables of Iceberg, by pyiceberg and by DuckDB.

use culvert_tests::database::Shown;
use culvert_tests::lake::Read;
use culvert_tests::{Database, Lake, Postgres, Server, both, lake_shared, postgres_both};

use super::parquet::{asked, asked_rows, assert_read, respell};
use super::warehouse::Warehouse;
use crate::postgres::job::{JobSpec, TestJob};
use crate::postgres::types::corpus as postgres_corpus;
use crate::types::corpus as mysql_corpus;

/// Writes tables as they are now.
fn write(source: &Database<'_>, tables: &[&str], warehouse: &Warehouse) {
    let name = format!("types {} {}", source.name(), source.port());
    let text = format!(
        "env {{ job.mode = \"STREAMING\", checkpoint.interval = 1000 }}\n\
         source {{ {}\n  stop.mode = LATEST\n}} }}\nsink {{ {} }}\n",
        JobSpec::mirror(&name, source, tables, source).source_block(),
        warehouse.sink("types", ""),
    );
    TestJob::new(&name, &text).run().assert_code(0);
}

/// What both engines read of a table.
async fn read(lake: &Lake, warehouse: &Warehouse, table: &str) -> [(String, Read); 2] {
    let place = warehouse.table(&format!("types.{table}"));
    [
        (format!("{table} by pyiceberg"), lake.rows(&place).await),
        (format!("{table} by DuckDB"), lake.rows_by_duckdb(&place).await),
    ]
}

async fn postgres(server: &Postgres) {
    let lake = lake_shared().await;
    let source = Database::fresh(server, "iceberg").await;
    source.run(postgres_corpus::DEFINITIONS).await;
    let mut tables = postgres_corpus::everywhere();
    tables.extend(postgres_corpus::own_types());
    for table in &tables {
        source.run(&[&table.create()]).await;
        for statement in table.inserts(1) {
            source.run(&[&statement]).await;
        }
    }
    let warehouse = Warehouse::sqlite();
    write(&source, &tables.iter().map(|table| table.name).collect::<Vec<_>>(), &warehouse);
    for table in &tables {
        let shape = source.shape(table.name).await;
        let rows = source.rows_as(table.name, &shape, None).await;
        assert_eq!(rows.len(), table.rows(), "{}", table.name);
        for (what, read) in read(lake, &warehouse, table.name).await {
            assert_read(&what, &rows, &read, &shape.columns);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_postgres_is_read_back() {
    postgres_both(postgres).await;
}

async fn mysql(server: &Server) {
    let lake = lake_shared().await;
    let source = Database::fresh(server, "iceberg").await;
    let tables = mysql_corpus::tables(server.flavor());
    for table in &tables {
        source.run(&[&table.create(source.name())]).await;
        for statement in table.inserts(source.name(), 1) {
            source.run(&[&statement]).await;
        }
    }
    let warehouse = Warehouse::sqlite();
    write(&source, &tables.iter().map(|table| table.name).collect::<Vec<_>>(), &warehouse);
    for table in &tables {
        let columns: Vec<_> =
            table.columns.iter().map(|column| (column.name.clone(), asked(column))).collect();
        let mut rows = asked_rows(&source, table.name, &columns).await;
        assert_eq!(rows.len(), table.rows(), "{}", table.name);
        let place = |have: &[(String, Shown)], name: &str| have.iter().position(|(own, _)| own == name);
        let forms: Vec<_> = columns.into_iter().map(|(name, (_, shown))| (name, shown)).collect();
        let addresses = || table.columns.iter().filter(|column| column.declared == "INET6");
        for column in addresses() {
            respell(&mut rows, place(&forms, &column.name));
        }
        for (what, mut read) in read(lake, &warehouse, table.name).await {
            for column in addresses() {
                let at = place(&read.columns, &column.name);
                respell(&mut read.rows, at);
            }
            assert_read(&what, &rows, &read, &forms);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_mysql_and_mariadb_is_read_back() {
    both(mysql).await;
}
