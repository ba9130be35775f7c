//! Which rows are read, and how the work is cut.

use culvert_tests::database::{Kind, assert_same};
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use super::job::{Batch, path, quoted, value};

/// Rows of the table `t`.
const ROWS: usize = 3_000;

/// A table with a key, a table without one, and columns of several types to cut by, NULLs among them.
async fn filled(source: &Database<'_>) {
    for (table, key) in [("t", " PRIMARY KEY"), ("loose", "")] {
        source
            .run(&[&format!(
                "CREATE TABLE {} (id int NOT NULL{key}, n int, d decimal(20,0), s varchar(40), day date, f double precision)",
                source.table(table)
            )])
            .await;
        for part in (0..ROWS).collect::<Vec<_>>().chunks(500) {
            let rows = part.iter().map(|row| {
                let n = if row % 10 == 0 { "NULL".into() } else { (row * 7 % 1000).to_string() };
                let s = if row % 11 == 0 { "NULL".into() } else { format!("'é{}'", row % 97) };
                let day =
                    if row % 13 == 0 { "NULL".into() } else { format!("'2024-01-{:02}'", row % 28 + 1) };
                format!("({row}, {n}, {row}00000000000, {s}, {day}, {row} / 8.0)")
            });
            let rows = rows.collect::<Vec<_>>().join(", ");
            source.run(&[&format!("INSERT INTO {} VALUES {rows}", source.table(table))]).await;
        }
    }
}

async fn count(database: &Database<'_>, table: &str, condition: &str) -> String {
    value(database, &format!("SELECT COUNT(*) FROM {}{condition}", database.table(table))).await
}

async fn every_row_once<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let source = Database::fresh(source, "parts").await;
    let target = target.into();
    filled(&source).await;
    for (number, table) in ["t", "loose"].into_iter().enumerate() {
        let path = quoted(&path(&source, table));
        let whole = quoted(&format!("select * from {}", source.table(table)));
        let none = quoted(&format!("select * from {} where id < 0", source.table(table)));
        for (way, read) in [
            ("whole", format!("table_path = {path}, split.size = 100")),
            ("alone", format!("table_path = {path}, enable_concurrent_read = false")),
            ("int", format!("table_path = {path}, partition_column = n, partition_num = 5")),
            (
                "decimal",
                format!("table_path = {path}, partition_column = d, partition_num = 4, split.size = 70"),
            ),
            ("text", format!("table_path = {path}, partition_column = s, partition_num = 4")),
            ("date", format!("table_path = {path}, partition_column = day, partition_num = 3")),
            ("double", format!("table_path = {path}, partition_column = f, partition_num = 3")),
            ("query", format!("query = {whole}, table_path = {path}")),
            (
                "parts",
                format!("query = {whole}, table_path = {path}, partition_column = id, partition_num = 7"),
            ),
            (
                "listed",
                format!("table_list = [{{ table_path = {path}, partition_column = n, partition_num = 2 }}]"),
            ),
        ] {
            let target = Database::fresh(target, way).await;
            let name = format!("{way} {number} {} {}", source.name(), target.port());
            Batch::new(&name, &source, &read, &target).run();
            assert_same((&source, table), (&target, table)).await;
            let checkpoint = value(&target, "SELECT MAX(checkpoint) FROM culvert_commit").await;
            assert!(
                checkpoint.parse::<u64>().is_ok_and(|number| number > 0),
                "{way}: checkpoint {checkpoint}"
            );
        }
        let empty = Database::fresh(target, "empty").await;
        let name = format!("empty {number} {} {}", source.name(), empty.port());
        let read = format!("query = {none}, table_path = {path}, partition_column = id, partition_num = 3");
        Batch::new(&name, &source, &read, &empty).run();
        assert_eq!(count(&empty, table, "").await, "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_once_from_mariadb_to_postgres() {
    every_row_once(shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_once_from_mysql() {
    every_row_once(shared(Flavor::MySql).await, shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_once_from_postgres_to_mariadb() {
    every_row_once(postgres_shared(PgVersion::V15).await, shared(Flavor::MariaDb).await).await;
}

/// Bounds and conditions choose rows; a list has each its own.
async fn chosen<'a>(server: impl Into<Kind<'a>>) {
    let server = server.into();
    let source = Database::fresh(server, "chosen").await;
    filled(&source).await;
    let (t, loose) = (path(&source, "t"), path(&source, "loose"));
    let target = Database::fresh(server, "chosen").await;
    let read = format!(
        "table_list = [{{ table_path = {}, partition_column = n, partition_lower_bound = 10, partition_upper_bound = 500, \
         partition_num = 3 }}, {{ table_path = {}, query = {} }}]\n  where_condition = \"WHERE id % 2 = 0\"",
        quoted(&t),
        quoted(&loose),
        quoted(&format!("select id, s from {} where id > 100", source.table("loose"))),
    );
    let name = format!("chosen {} {}", source.name(), source.port());
    Batch::new(&name, &source, &read, &target).run();
    let expected = count(&source, "t", " WHERE n BETWEEN 10 AND 500 AND id % 2 = 0").await;
    assert_eq!(count(&target, "t", "").await, expected);
    let expected = count(&source, "loose", " WHERE id > 100 AND id % 2 = 0").await;
    assert_eq!(count(&target, "loose", "").await, expected);
    assert_eq!(target.shape("loose").await.columns.len(), 2);

    let dates = Database::fresh(server, "dates").await;
    let name = format!("dates {} {}", source.name(), source.port());
    let read = format!(
        "table_path = {}, partition_column = day, partition_lower_bound = \"2024-01-05\", partition_num = 2",
        quoted(&t)
    );
    Batch::new(&name, &source, &read, &dates).run();
    assert_eq!(count(&dates, "t", "").await, count(&source, "t", " WHERE day >= '2024-01-05'").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_chosen_on_mariadb() {
    chosen(shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_chosen_on_postgres() {
    chosen(postgres_shared(PgVersion::V17).await).await;
}

/// Keys whose order is a collation's, or that have several columns.
async fn keys_of_every_order<'a>(server: impl Into<Kind<'a>>, declared: &[&str]) {
    let server = server.into();
    let source = Database::fresh(server, "keys").await;
    let target = Database::fresh(server, "keys").await;
    let words = ["a", "B", "b", "Ä", "ä b", "z", "Z z", "é", "10", "9", "ß", "ss ", "a-b", "aB", "_"];
    let mut blocks = Vec::new();
    for (number, declared) in declared.iter().enumerate() {
        let name = format!("k{number}");
        source
            .run(&[&format!(
                "CREATE TABLE {} (w {declared} NOT NULL, n int NOT NULL, v int, PRIMARY KEY (w, n))",
                source.table(&name)
            )])
            .await;
        let rows = (0..300).map(|row| format!("('{}', {row}, {row})", words[row % words.len()]));
        let rows = rows.collect::<Vec<_>>().join(", ");
        source.run(&[&format!("INSERT INTO {} VALUES {rows}", source.table(&name))]).await;
        blocks.push(format!("{{ table_path = {} }}", quoted(&path(&source, &name))));
    }
    let read = format!("table_list = [{}], split.size = 7", blocks.join(", "));
    let name = format!("keys {} {}", source.name(), source.port());
    Batch::new(&name, &source, &read, &target).run();
    for number in 0..declared.len() {
        let name = format!("k{number}");
        assert_same((&source, &name), (&target, &name)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_order_on_mysql() {
    let declared = [
        "varchar(20)",
        "varchar(20) COLLATE utf8mb4_bin",
        "varchar(20) COLLATE utf8mb4_general_ci",
        "char(20) CHARACTER SET latin1",
        "varbinary(40)",
    ];
    keys_of_every_order(shared(Flavor::MySql).await, &declared).await;
    keys_of_every_order(shared(Flavor::MariaDb).await, &declared).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_order_on_postgres() {
    let declared = ["text", "varchar(20) COLLATE \"C\"", "text COLLATE \"en-x-icu\"", "char(20)", "name"];
    keys_of_every_order(postgres_shared(PgVersion::V15).await, &declared).await;
}
