//! The corpora between PostgreSQL and MySQL or MariaDB: every value that has a counterpart arrives,
//! what has none arrives as its text or is refused, never as something else.

use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use super::corpus::{DEFINITIONS, everywhere, extremes, own_types};
use super::values::Copied;
use crate::postgres::job::{JobSpec, until_rows};

async fn from_postgres(version: PgVersion, flavor: Flavor) {
    let source = Database::fresh(postgres_shared(version).await, "types").await;
    let target = Database::fresh(shared(flavor).await, "copy").await;
    source.run(DEFINITIONS).await;
    let mut tables = everywhere();
    tables.extend(own_types());
    if flavor == Flavor::MySql {
        // It parses documents: see below.
        for table in &mut tables {
            table.columns.retain(|column| !["json", "jsonb"].contains(&column.declared));
        }
    }
    let copied = Copied::start(source, target, tables, "").await;
    copied.later().await;
    copied.changed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_postgres_15_to_mariadb() {
    from_postgres(PgVersion::V15, Flavor::MariaDb).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_from_postgres_17_to_mysql() {
    from_postgres(PgVersion::V17, Flavor::MySql).await;
}

/// MySQL keeps the meaning of a document and not its text, as is said when the column is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_from_postgres_to_mysql() {
    let source = Database::fresh(postgres_shared(PgVersion::V15).await, "documents").await;
    let target = Database::fresh(shared(Flavor::MySql).await, "copy").await;
    source.run(&["CREATE TABLE t (id int PRIMARY KEY, a json, b jsonb)"]).await;
    let documents = [
        "{\"b\": [1, 2.50, null, true], \"a\":  \"x\"}",
        "null",
        "[]",
        "\"t\\u00e9xt \\\" 🦀\"",
        "1e5",
        "-9223372036854775808",
        "18446744073709551615",
        "{\"deep\": {\"er\": [[{}]]}}",
    ];
    let row = |id: usize, text: &str| format!("INSERT INTO t VALUES ({id}, '{text}', '{text}')");
    for (id, text) in documents.iter().enumerate() {
        source.run(&[&row(id, text)]).await;
    }
    let name = format!("{} {}", source.name(), target.port());
    let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
    until_rows(&target, "t", documents.len() as u64, &job).await;
    for (id, text) in documents.iter().enumerate() {
        source.run(&[&row(id + 100, text)]).await;
    }
    until_rows(&target, "t", documents.len() as u64 * 2, &job).await;
    let said = job.stop();
    assert!(said.contains("json"), "it says what becomes of numbers: {said}");
    let query = "SELECT id, a, b FROM t ORDER BY id";
    for (was, is) in source.rows(query).await.iter().zip(&target.rows(query).await) {
        for (was, is) in was.iter().zip(is) {
            let read = |text: &Option<String>| -> serde_json::Value {
                serde_json::from_str(text.as_deref().expect("a document")).expect("a document")
            };
            let (was, is) = (read(was), read(is));
            assert!(was == is || was.as_f64().is_some() && was.as_f64() == is.as_f64(), "{was} / {is}");
        }
    }
}

/// Each value that the target cannot hold stops the job by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_mysql_cannot_hold_are_refused() {
    let server = postgres_shared(PgVersion::V17).await;
    for flavor in Flavor::ALL {
        let source = Database::fresh(server, "extremes").await;
        let target = Database::fresh(shared(flavor).await, "copy").await;
        let [table] = &extremes()[..] else { panic!("one table") };
        let mut carried = Vec::new();
        for column in &table.columns {
            // Both refuse by the same code of ours; one value of each column shows that.
            let most = if flavor == Flavor::MySql { column.values.len() } else { 1 };
            for (number, value) in column.values.iter().take(most).enumerate() {
                let name = format!("{}_{number}", column.name);
                source
                    .run(&[
                        &format!("CREATE TABLE {name} (id int PRIMARY KEY, v {})", column.declared),
                        &format!("INSERT INTO {name} VALUES (1, NULL), (2, {value})"),
                    ])
                    .await;
                let job_name = format!("{} {name} {}", source.name(), target.port());
                let tables = [&*name];
                let spec = JobSpec {
                    source_options: "stop.mode = LATEST, slot.drop.on.stop = true",
                    ..JobSpec::mirror(&job_name, &source, &tables, &target)
                };
                let finished = spec.ready().run();
                match finished.code {
                    Some(1) => {
                        assert!(finished.stderr.contains(&name), "it names the table: {}", finished.stderr);
                        let bad = target.value(&format!("SELECT COUNT(*) FROM {name} WHERE id = 2")).await;
                        assert_eq!(bad.as_deref(), Some("0"), "{name} {value}");
                    }
                    Some(0) => carried.push((name, value.clone())),
                    code => panic!("{name} {value}: {code:?} {}", finished.stderr),
                }
            }
        }
        // What it did carry is what the source prints.
        for (name, value) in carried {
            let shape = source.shape(&name).await;
            let (was, is) =
                (source.rows_as(&name, &shape, None).await, target.rows_as(&name, &shape, None).await);
            assert_eq!(was, is, "{name} {value}");
        }
    }
}

/// Texts that differ for one server and are equal for another's default collation stay two rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_other_collations_take_for_one_stay_apart() {
    let server = postgres_shared(PgVersion::V15).await;
    for flavor in Flavor::ALL {
        let source = Database::fresh(server, "keys").await;
        let target = Database::fresh(shared(flavor).await, "copy").await;
        source
            .run(&[
                "CREATE TABLE t (k varchar(40) PRIMARY KEY, a int)",
                "INSERT INTO t VALUES ('a', 1), ('A', 2), ('á', 3), ('a ', 4), ('ss', 5), ('ß', 6), ('', 7), (' ', 8)",
            ])
            .await;
        let name = format!("{} {}", source.name(), target.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
        until_rows(&target, "t", 8, &job).await;
        source
            .run(&[
                "UPDATE t SET a = a + 10 WHERE k IN ('a', 'ß', ' ')",
                "DELETE FROM t WHERE k IN ('A', 'ss')",
            ])
            .await;
        until_rows(&target, "t", 6, &job).await;
        job.stop();
        culvert_tests::database::assert_same((&source, "t"), (&target, "t")).await;
    }
}
