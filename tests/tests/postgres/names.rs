//! Names and sizes nobody expects.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, PgOptions, PgVersion, Postgres, postgres_both, postgres_shared};

use super::job::{Job, JobSpec, until, until_rows};

/// The memory a job may take at its highest, in kB, when one value has this many bytes.
const VALUE_BYTES: usize = 64 << 20;
const PEAK_KB: u64 = 700 << 10;

async fn last_arrives(target: &Database<'_>, table: &str, query: &str, job: Job) {
    until(target, &format!("SELECT count(*) FROM {} WHERE {query}", target.table(table)), "1", &job).await;
    job.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_name_is_a_name() {
    const TABLES: [&str; 6] = ["a.b", "drop table x;--", "🦀 café", "Order", "it's \\ 100%", "q\"uote"];
    postgres_both(async |server| {
        let source = Database::fresh(server, "names").await;
        let target = Database::fresh(server, "copy").await;
        let columns = "\"id.x\" int, \"select\" text, \"🦀\" numeric(5,2), \"a\"\"b\" text, \"Ünï\\'$1\" text, \
                       PRIMARY KEY (\"id.x\", \"select\")";
        for table in TABLES {
            let table = source.table(table);
            source
                .run(&[
                    &format!("CREATE TABLE {table} ({columns})"),
                    &format!("INSERT INTO {table} VALUES (1, 'one', 1.5, 'x', 'y'), (2, 'two', NULL, NULL, '')"),
                ])
                .await;
        }
        let name = format!("{} {}", source.name(), server.port());
        let patterns = ["a[.]b", "drop table x;--", "🦀 café", "Order", "it's \\\\ 100%", "q.uote"];
        let job = JobSpec::mirror(&name, &source, &patterns, &target).ready().start();
        for table in TABLES {
            until_rows(&target, table, 2, &job).await;
        }
        for table in TABLES {
            let table = source.table(table);
            source
                .run(&[
                    &format!("UPDATE {table} SET \"🦀\" = -2.25, \"a\"\"b\" = 'changed' WHERE \"id.x\" = 1"),
                    &format!("UPDATE {table} SET \"select\" = 'moved' WHERE \"id.x\" = 2"),
                    &format!("INSERT INTO {table} VALUES (3, 'three', 3, '', NULL)"),
                    &format!("DELETE FROM {table} WHERE \"id.x\" = 1"),
                ])
                .await;
        }
        last_arrives(&target, TABLES[5], "\"id.x\" = 3", job).await;
        for table in TABLES {
            assert_same((&source, table), (&target, table)).await;
        }
    })
    .await;
}

/// The names of the schemas and of the database are anybody's as well; the target's schema is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_are_kept_apart() {
    let server = postgres_shared(PgVersion::V17).await;
    let source = Database::fresh(server, "My-DB").await;
    let target = Database::fresh(server, "copy").await;
    for schema in ["one", "Sch.ema"] {
        source
            .run(&[
                &format!("CREATE SCHEMA \"{schema}\""),
                &format!("CREATE TABLE \"{schema}\".t (id int PRIMARY KEY, a text)"),
                &format!("INSERT INTO \"{schema}\".t VALUES (1, '{schema}')"),
            ])
            .await;
    }
    let name = format!("{} {}", source.name(), server.port());
    let spec = JobSpec {
        sink_options: "table = \"copy of ${schema_name}.${table_name}\"",
        ..JobSpec::mirror(&name, &source, &[], &target)
    };
    let text = spec
        .text()
        .replace("schema-names = [\"public\"]", "schema-names = [\"one\", \"Sch.ema\"]")
        .replace("table-names = []", "table-pattern = \".*[.]t\"");
    let ready = spec.ready();
    ready.rewrite(&text);
    let job = ready.start();
    for (schema, table) in [("one", "\"copy of one\".t"), ("Sch.ema", "\"copy of Sch.ema\".t")] {
        let all = format!("SELECT string_agg(id || a, ',' ORDER BY id) FROM {table}");
        until(&target, &all, &format!("1{schema}"), &job).await;
        source.run(&[&format!("INSERT INTO \"{schema}\".t VALUES (2, 'x')")]).await;
        until(&target, &all, &format!("1{schema},2x"), &job).await;
    }
    job.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_columns() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "wide").await;
        let target = Database::fresh(server, "copy").await;
        let types = ["int", "text", "numeric(12,3)", "timestamptz", "boolean", "bytea", "float8", "uuid"];
        let columns: Vec<String> = (0..300).map(|n| format!("c{n} {}", types[n % types.len()])).collect();
        let values = |seed: u32| -> String {
            let one = |n: u32| match n % 8 {
                0 => format!("{}", n * seed),
                1 => format!("'text {n} {seed}'"),
                2 => format!("{n}.{seed}"),
                3 => format!("'2024-01-01 00:00:00+00'::timestamptz + interval '{n} min'"),
                4 => String::from("true"),
                5 => format!("'\\x{:04x}'", n * seed % 65536),
                6 => format!("{n}e{seed}"),
                _ => String::from("NULL"),
            };
            (0..300).map(one).collect::<Vec<String>>().join(", ")
        };
        source
            .run(&[
                &format!("CREATE TABLE t (id int PRIMARY KEY, {})", columns.join(", ")),
                &format!("INSERT INTO t VALUES (1, {}), (2, {})", values(1), values(2)),
            ])
            .await;
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
        until_rows(&target, "t", 2, &job).await;
        source
            .run(&[
                &format!("INSERT INTO t VALUES (3, {}), (4, {})", values(3), values(4)),
                "UPDATE t SET c295 = gen_random_uuid(), c0 = NULL WHERE id % 2 = 0",
                "INSERT INTO t (id) VALUES (5)",
            ])
            .await;
        last_arrives(&target, "t", "id = 5", job).await;
        assert_same((&source, "t"), (&target, "t")).await;
    })
    .await;
}

/// One value of many megabytes, in the snapshot and in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_big_value_is_carried_in_bounded_memory() {
    let server = postgres_shared(PgVersion::V17).await;
    let source = Database::fresh(server, "big").await;
    let target = Database::fresh(server, "copy").await;
    source
        .run(&[
            "CREATE TABLE t (id int PRIMARY KEY, a text, b bytea)",
            &format!("INSERT INTO t VALUES (1, repeat('a', {VALUE_BYTES}), NULL)"),
        ])
        .await;
    let name = format!("{} {}", source.name(), server.port());
    let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
    until_rows(&target, "t", 1, &job).await;
    source
        .run(&[
            &format!("INSERT INTO t VALUES (2, NULL, decode(repeat('5a', {VALUE_BYTES}), 'hex'))"),
            &format!("UPDATE t SET a = repeat('c', {VALUE_BYTES}) WHERE id = 1"),
            "INSERT INTO t VALUES (3, 'end', NULL)",
        ])
        .await;
    until_rows(&target, "t", 3, &job).await;
    let peak = super::transactions::peak_kb(job.running().id());
    job.stop();
    let sums =
        "SELECT string_agg(concat_ws(' ', id, length(a), length(b), md5(a), md5(b)), ',' ORDER BY id) FROM t";
    assert_eq!(source.value(sums).await, target.value(sums).await);
    assert!(peak < PEAK_KB, "{peak} kB at the peak for values of {VALUE_BYTES} bytes");
}

/// The largest value there can be, before the job and while it runs: carried, or refused with the
/// table's name; never a crash.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_a_gigabyte_is_carried_or_refused() {
    for (version, before) in [(PgVersion::V15, true), (PgVersion::V17, false)] {
        // Of its own: the shared one would keep its log.
        let server = Postgres::start(version, PgOptions::default()).await;
        let source = Database::fresh(&server, "giga").await;
        let target = Database::fresh(&server, "copy").await;
        source.run(&["CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, 'one')"]).await;
        let giga = "INSERT INTO t VALUES (2, repeat('a', 1073741000))";
        if before {
            source.run(&[giga]).await;
        }
        let name = format!("{} {}", source.name(), server.port());
        let job = JobSpec::mirror(&name, &source, &["t"], &target).ready().start();
        if !before {
            until_rows(&target, "t", 1, &job).await;
            source.run(&[giga]).await;
        }
        carried_or_refused(&target, job, version, before).await;
    }
}

async fn carried_or_refused(target: &Database<'_>, job: Job, version: PgVersion, before: bool) {
    let said = culvert_tests::wait::until_ok(super::job::LIMIT, "it arrives, or the job ends", async || {
        if target.query("SELECT count(*) FROM t WHERE length(a) = 1073741000").await
            == Ok(vec![vec![Some("1".to_owned())]])
        {
            return Ok(None);
        }
        let status = job.running().ended();
        match status {
            Some(status) => Ok(Some((status.code(), job.stderr()))),
            None => Err(super::job::tail(&job.stderr())),
        }
    })
    .await;
    let way = if before { "by the snapshot" } else { "by the log" };
    let peak = super::transactions::peak_kb(job.running().id());
    match said {
        None => {
            println!(
                "{}: a value of a gigabyte is carried {way}, with {peak} kB at the peak",
                version.name()
            );
            job.stop();
        }
        Some((code, said)) => {
            println!("{}: a value of a gigabyte is refused {way}", version.name());
            assert!(matches!(code, Some(1 | 2)), "{said}");
            assert!(said.contains("public.t") || said.contains("table"), "it says where: {said}");
        }
    }
}

/// A database whose texts are not in UTF-8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_another_encoding() {
    postgres_both(async |server| {
        let target = Database::fresh(server, "copy").await;
        let name = format!("latin_of_{}", target.name());
        let make = format!(
            "CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        server.execute("postgres", &[&make]).await;
        let source = Database::open(server, &name);
        source
            .run(&[
                "CREATE TABLE \"tâble\" (id int PRIMARY KEY, \"ñ\" text, b varchar(5), c char(3))",
                "INSERT INTO \"tâble\" VALUES (1, 'é ß ÿ', 'àéîõü', 'ö')",
            ])
            .await;
        let job_name = format!("{name} {}", server.port());
        let job = JobSpec::mirror(&job_name, &source, &["t.ble"], &target).ready().start();
        until_rows(&target, "tâble", 1, &job).await;
        source.run(&["INSERT INTO \"tâble\" VALUES (2, 'é ß ÿ', 'àéîõü', 'ö')"]).await;
        until_rows(&target, "tâble", 2, &job).await;
        job.stop();
        assert_same((&source, "tâble"), (&target, "tâble")).await;
    })
    .await;
}
