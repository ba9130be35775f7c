//! The corpus, mirrored: rows that were there before the job, the same rows again afterwards,
//! then changed and removed.

use culvert_tests::oracle::{Row, rows_in_order};
use culvert_tests::{Flavor, RowMetadata, Server, ServerOptions, shared};
use mysql_async::Conn;

use super::corpus::{LATER, Table, tables};
use super::job::{Mirror, conn, run};

/// How many differences are shown in all.
const SHOWN_MAX: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_values_are_equal() {
    let server = shared(Flavor::MariaDb).await;
    mirror(server, "UTC", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_values_are_equal() {
    let server = shared(Flavor::MySql).await;
    mirror(server, "UTC", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_values_are_equal_with_little_metadata_in_another_zone() {
    let server = Server::mariadb(elsewhere()).await;
    mirror(&server, "Asia/Kolkata", "server-time-zone = \"Asia/Kolkata\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_values_are_equal_with_little_metadata_in_another_zone() {
    let server = Server::mysql(elsewhere()).await;
    mirror(&server, "Asia/Kolkata", "server-time-zone = \"Asia/Kolkata\"").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_values_are_equal_when_the_log_is_compressed() {
    let options = ServerOptions { transaction_compression: true, ..ServerOptions::default() };
    mirror(&Server::mariadb(options).await, "America/St_Johns", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_values_are_equal_when_the_log_is_compressed() {
    let options = ServerOptions { transaction_compression: true, ..ServerOptions::default() };
    mirror(&Server::mysql(options).await, "America/St_Johns", "").await;
}

fn elsewhere() -> ServerOptions {
    ServerOptions { row_metadata: RowMetadata::NoLog, ..ServerOptions::default() }
        .arg("--default-time-zone=+05:30")
}

async fn mirror(server: &Server, zone: &str, source_options: &str) {
    let source = server.fresh_database("types").await;
    let target = server.fresh_database("mirror").await;
    let tables = tables(server.flavor());
    let mut conn = conn(server).await;
    for table in &tables {
        run(&mut conn, &table.create(&source)).await;
        if let Some(statement) = table.create_target(&target) {
            run(&mut conn, &statement).await;
        }
        insert(&mut conn, table, &source, 1).await;
    }
    let mut job = Mirror { source_options, zone, ..Mirror::new(server, &source, &target) }.start();
    let mut counts = Vec::new();
    for table in &tables {
        counts.push((format!("SELECT COUNT(*) FROM {}", table.quoted(&target)), table.rows()));
    }
    for (query, rows) in &counts {
        job.until(&mut conn, query, &rows.to_string()).await;
    }
    for table in &tables {
        insert(&mut conn, table, &source, LATER).await;
    }
    for (query, rows) in &counts {
        job.until(&mut conn, query, &(rows * 2).to_string()).await;
    }
    let mut found = Vec::new();
    for table in &tables {
        let (was, is) = (shown(&mut conn, table, &source).await, shown(&mut conn, table, &target).await);
        compare(
            table,
            "snapshot and log",
            (&is[..table.rows()], 0),
            (&is[table.rows()..], LATER - 1),
            &mut found,
        );
        compare(table, "source and target", (&was, 0), (&is, 0), &mut found);
    }
    assert!(found.is_empty(), "{}: {}", server.flavor().name(), found.join("\n"));

    for table in &tables {
        run(&mut conn, &table.rotate(&source)).await;
        run(
            &mut conn,
            &format!("UPDATE {} SET touched = touched + 1 WHERE id < {LATER}", table.quoted(&source)),
        )
        .await;
        run(&mut conn, &format!("DELETE FROM {} WHERE id % 3 = 2", table.quoted(&source))).await;
    }
    let all_touched = |table: &Table| {
        format!(
            "SELECT COUNT(*) FROM {} WHERE id < {LATER} AND touched = 0 OR id % 3 = 2",
            table.quoted(&target)
        )
    };
    for table in &tables {
        job.until(&mut conn, &all_touched(table), "0").await;
    }
    for table in &tables {
        let (was, is) = (shown(&mut conn, table, &source).await, shown(&mut conn, table, &target).await);
        compare(table, "source and target after changes", (&was, 0), (&is, 0), &mut found);
    }
    assert!(found.is_empty(), "{}: {}", server.flavor().name(), found.join("\n"));
    job.stop();
}

async fn insert(conn: &mut Conn, table: &Table, database: &str, first: usize) {
    for statement in table.inserts(database, first) {
        run(conn, &statement).await;
    }
}

async fn shown(conn: &mut Conn, table: &Table, database: &str) -> Vec<Row> {
    rows_in_order(conn, &table.select(database)).await
}

/// Adds to `found` what differs, column by column. The numbers are how far the ids lie apart.
fn compare(
    table: &Table,
    what: &str,
    left: (&[Row], usize),
    right: (&[Row], usize),
    found: &mut Vec<String>,
) {
    if left.0.len() != right.0.len() {
        found.push(format!("{what}: {} has {} and {} rows", table.name, left.0.len(), right.0.len()));
        return;
    }
    for (a, b) in left.0.iter().zip(right.0) {
        let id = |row: &Row, less: usize| {
            row[0].as_ref().and_then(|id| id.parse::<usize>().ok()).map(|id| id - less)
        };
        if id(a, left.1) != id(b, right.1) {
            found.push(format!("{what}: {} has row {:?} beside {:?}", table.name, a[0], b[0]));
            return;
        }
        for (column, (x, y)) in table.columns.iter().zip(a[2..].iter().zip(&b[2..])) {
            if x != y && found.len() < SHOWN_MAX {
                let short = |text: &Option<String>| {
                    text.as_ref().map_or("NULL".to_string(), |text| text.chars().take(160).collect())
                };
                found.push(format!(
                    "{what}: {}.`{}` {} row {}: {} / {}",
                    table.name,
                    column.name,
                    column.declared.chars().take(60).collect::<String>(),
                    a[0].as_deref().unwrap_or("?"),
                    short(x),
                    short(y)
                ));
            }
        }
    }
}
