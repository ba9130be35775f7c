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
            for (number, value) in column.values.iter().enumerate() {
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
