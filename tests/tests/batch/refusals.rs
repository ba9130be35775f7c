//! What a job refuses to begin with, and what it says then.

use culvert_tests::database::Kind;
use culvert_tests::{Culvert, Database, Flavor, PgVersion, postgres_shared, shared};

use super::job::{Batch, path, quoted};
use crate::postgres::job::LIMIT;

async fn refused_on<'a>(server: impl Into<Kind<'a>>) {
    let server = server.into();
    let source = Database::fresh(server, "refused").await;
    let target = Database::fresh(server, "refused").await;
    let t = source.table("t");
    source.run(&[&format!("CREATE TABLE {t} (id int PRIMARY KEY, v int)")]).await;
    let here = quoted(&path(&source, "t"));
    let of = |read: &str| {
        let name = format!("refused {} {}", source.name(), source.port());
        Batch::new(&name, &source, read, &target).ready()
    };
    for (read, said) in [
        (format!("table_path = {}", quoted(&path(&source, "none"))), vec!["none"]),
        (format!("query = \"selec * from {}\"", "t"), vec!["option=query", "selec"]),
        ("query = \"select id, none from t\"".to_owned(), vec!["none"]),
        ("query = \"select a.id, b.id from t a cross join t b\"".to_owned(), vec!["'query'", "id", "AS"]),
        ("query = \"select * from t where id = ?\"".to_owned(), vec!["query"]),
        (
            format!("table_path = {here}, where_condition = \"where none = 1\""),
            vec!["where_condition", "none"],
        ),
        (
            format!("table_path = {here}, partition_column = none"),
            vec!["'partition_column'", "none", "id, v"],
        ),
        (
            format!("table_path = {here}, partition_column = id, partition_lower_bound = \"x\""),
            vec!["'partition_lower_bound'", "'x'"],
        ),
    ] {
        let job = of(&read);
        job.refused(&said);
        assert!(!target.has_table("t").await, "{read}: the target was touched");
    }
    // The same is found before, without a run.
    let job = of(&format!("table_path = {}", quoted(&path(&source, "none"))));
    let file = job.file.to_string_lossy().into_owned();
    let checked = Culvert::new(&["check", "--connect", "-c", &file]).run(LIMIT);
    assert_ne!(checked.code, Some(0), "{}{}", checked.stdout, checked.stderr);
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("none"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_on_mysql() {
    refused_on(shared(Flavor::MySql).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_on_mariadb() {
    refused_on(shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_on_postgres() {
    refused_on(postgres_shared(PgVersion::V15).await).await;
}

/// A table that is another one than when the job began, and options that are, stop a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_table_is_not_read_on() {
    let server = postgres_shared(PgVersion::V17).await;
    let source = Database::fresh(server, "changed").await;
    let target = Database::fresh(server, "changed").await;
    source.run(&["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)"]).await;
    let name = format!("changed {}", source.name());
    let read = format!("table_path = {}", quoted(&path(&source, "t")));
    let job = Batch::new(&name, &source, &read, &target).ready();
    job.run().assert_code(0);
    source.run(&["ALTER TABLE t ADD COLUMN w int"]).await;
    job.refused(&["--fresh", "public.t"]);
}
