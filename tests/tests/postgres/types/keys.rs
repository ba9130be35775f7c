//! Rows are cut into chunks, changed and removed by keys of every type.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, postgres_both};

use crate::postgres::job::{JobSpec, until};

/// A key's declaration and an expression that makes its n-th value.
const KEYS: &[(&str, &str)] = &[
    ("smallint", "(n - 200)::smallint"),
    ("bigint", "n::bigint * 1000000007 - 5000000000"),
    ("numeric(30,10)", "n * 1.0000000001 - 100"),
    ("numeric", "(n - 100)::numeric / 7"),
    ("double precision", "(n - 100) / 7.0::float8"),
    ("boolean, n int", "n % 2 = 0, n"),
    ("date", "'2024-01-01'::date + n - 100"),
    ("timestamp", "'2024-01-01'::timestamp + n * interval '1.000001 s'"),
    ("timestamptz", "'2024-01-01 00:00+05:30'::timestamptz + n * interval '1 hour'"),
    ("time", "'00:00'::time + n * interval '61.5 s'"),
    ("uuid", "md5(n::text)::uuid"),
    ("bytea", "decode(md5(n::text), 'hex')"),
    ("text COLLATE \"C\"", "chr(64 + n % 60) || ' ' || n"),
    ("text COLLATE \"und-x-icu\"", "chr(192 + n % 60) || md5(n::text)"),
    ("varchar(20)", "upper(left(md5((n / 2)::text), 8 - n % 2))"),
    ("char(12)", "left(md5(n::text), 6 + n % 6)"),
    ("citext", "md5(n::text)"),
    ("inet", "'10.0.0.0'::inet + n * 3"),
    ("interval", "n * interval '1 day 2 hours'"),
    ("mood", "(ARRAY['a', 'b', 'c']::mood[])[n]"),
    ("int4range", "int4range(n, n + 5)"),
    ("bit(12)", "n::bit(12)"),
    ("int[]", "ARRAY[n, n % 3]"),
    ("text, b int, c uuid", "chr(97 + n % 5), n / 5, md5(n::text)::uuid"),
];

/// Rows of each table.
const ROWS: u32 = 300;

const TYPES: [&str; 2] = ["CREATE EXTENSION citext", "CREATE TYPE mood AS ENUM ('c', 'b', 'a')"];

/// Makes and fills a table for each key; returns their names.
async fn make(source: &Database<'_>) -> Vec<String> {
    source.run(&TYPES).await;
    let names: Vec<String> = (0..KEYS.len()).map(|n| format!("t{n}")).collect();
    for (name, (declared, value)) in names.iter().zip(KEYS) {
        let columns = declared.split(", ").skip(1);
        let more: Vec<&str> = columns.filter_map(|column| column.split(' ').next()).collect();
        let key = [vec!["k"], more].concat().join(", ");
        let rows = if *declared == "mood" { 3 } else { ROWS };
        source
            .run(&[
                &format!("CREATE TABLE {name} (k {declared}, a int, PRIMARY KEY ({key}))"),
                &format!("INSERT INTO {name} SELECT {value}, n FROM generate_series(1, {rows}) n"),
            ])
            .await;
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_type() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "keys").await;
        let target = Database::fresh(server, "copy").await;
        target.run(&TYPES).await;
        let names = make(&source).await;
        let list: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = format!("{} {}", source.name(), server.port());
        let options = "snapshot.split.size = 37";
        let spec = JobSpec { source_options: options, ..JobSpec::mirror(&name, &source, &list, &target) };
        let ready = spec.ready();
        let mut job = ready.start();
        // Changes meet the snapshot wherever it is, and a restart in the middle of it.
        for round in 0..2 {
            for name in &list {
                source
                    .run(&[
                        &format!("UPDATE {name} SET a = a + 1000 WHERE a % 5 = {round}"),
                        &format!("DELETE FROM {name} WHERE a % 11 = {round}"),
                    ])
                    .await;
            }
            job.kill();
            job = ready.start();
        }
        for name in &list {
            let sum = format!("SELECT concat(count(*), ' ', sum(a)) FROM {name}");
            let wanted = source.value(&sum).await.expect("a sum");
            until(&target, &sum, &wanted, &job).await;
        }
        job.stop();
        for name in &list {
            assert_same((&source, name), (&target, name)).await;
        }
    })
    .await;
}
