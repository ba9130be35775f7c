//! What rows that were there have in an added column.

use culvert_tests::postgres_both;

use super::{Mirror, assert_error, database, source};

const FOLLOW: (&str, &str) = ("schema-changes.enabled", "true");

/// Each: the statements, and what the change says of the column `c`.
const CASES: [(&[&str], &str); 16] = [
    (&["ALTER TABLE t ADD c int"], "integer"),
    (&["ALTER TABLE t ADD c int DEFAULT 5"], "integer DEFAULT '5'"),
    (&["ALTER TABLE t ADD c int NOT NULL DEFAULT 5"], "integer NOT NULL DEFAULT '5'"),
    // Set later: rows that were there do not have it.
    (&["ALTER TABLE t ADD c int", "ALTER TABLE t ALTER c SET DEFAULT 5"], "integer"),
    (&["ALTER TABLE t ADD c int DEFAULT 5", "ALTER TABLE t ALTER c SET DEFAULT 6"], "integer DEFAULT '5'"),
    (&["ALTER TABLE t ADD c int DEFAULT 5", "ALTER TABLE t ALTER c DROP DEFAULT"], "integer DEFAULT '5'"),
    // Rows that were there get their values by an update, which the log tells.
    (&["ALTER TABLE t ADD c int", "UPDATE t SET c = id", "ALTER TABLE t ALTER c SET NOT NULL"], "integer"),
    // Rewritten: what the rows got stands in their files only.
    (&["ALTER TABLE t ADD c int DEFAULT 5, ALTER b TYPE bigint"], "integer DEFAULT (computed)"),
    (
        &["ALTER TABLE t ADD c int NOT NULL DEFAULT 5, ALTER b TYPE bigint"],
        "integer NOT NULL DEFAULT (computed)",
    ),
    (&["ALTER TABLE t ADD c int DEFAULT 5", "VACUUM FULL t"], "integer DEFAULT (computed)"),
    (&["ALTER TABLE t ADD c int DEFAULT 5", "CLUSTER t USING t_pkey"], "integer DEFAULT (computed)"),
    (
        &[
            "ALTER TABLE t ADD c int NOT NULL DEFAULT 5",
            "VACUUM FULL t",
            "ALTER TABLE t ALTER c DROP DEFAULT",
        ],
        "integer NOT NULL DEFAULT (computed)",
    ),
    (&["ALTER TABLE t ADD c plain"], "public.plain DEFAULT '7'"),
    (&["ALTER TABLE t ADD c checked"], "public.checked DEFAULT (computed)"),
    (&["ALTER TABLE t ADD c int", "VACUUM FULL t"], "integer"),
    // The second change is in the same catalog as the first one.
    (
        &[
            "ALTER TABLE t ADD d int",
            "INSERT INTO t VALUES (2, 2, 2)",
            "ALTER TABLE t ADD c int DEFAULT 5, ALTER b TYPE bigint",
        ],
        "integer DEFAULT (computed)",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_get_what_is_certain() {
    postgres_both(async |server| {
        for (statements, expected) in CASES {
            let tables = [
                "CREATE DOMAIN plain AS int DEFAULT 7",
                "CREATE DOMAIN checked AS int DEFAULT 7 CHECK (VALUE > 0)",
                "CREATE TABLE t (id int PRIMARY KEY, b int)",
                "INSERT INTO t VALUES (1, 1)",
            ];
            let database = database(server, &tables).await;
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
            mirror.catch_up(server, &database).await.unwrap();
            server.execute(&database, statements).await;
            let rest = if statements.len() == 3 && statements[0].contains("ADD d") { ", 9" } else { "" };
            server.execute(&database, &[&format!("INSERT INTO t VALUES (9, 9, 9{rest})")]).await;
            mirror.catch_up(server, &database).await.unwrap();
            let changes = mirror.changes().join("; ");
            let told = changes.split("ADD COLUMN \"c\" ").nth(1).and_then(|rest| rest.split(", ").next());
            assert_eq!(
                told.map(|told| told.split("; ").next().unwrap_or(told)),
                Some(expected),
                "{statements:?}: {changes}"
            );
        }
    })
    .await;
}

/// The parts of a partitioned table keep what its rows have; the table itself keeps nothing.
#[tokio::test(flavor = "multi_thread")]
async fn rows_in_partitions_get_what_is_certain() {
    postgres_both(async |server| {
        for (statements, expected) in [
            (&["ALTER TABLE t ADD c int"][..], "integer"),
            (&["ALTER TABLE t ADD c int DEFAULT 5"][..], "integer DEFAULT '5'"),
            (&["ALTER TABLE t ADD c int DEFAULT 5", "VACUUM FULL t_1"][..], "integer DEFAULT (computed)"),
        ] {
            let tables = [
                "CREATE TABLE t (id int PRIMARY KEY, b int) PARTITION BY RANGE (id)",
                "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (10)",
                "CREATE TABLE t_2 PARTITION OF t FOR VALUES FROM (10) TO (20)",
                "INSERT INTO t VALUES (1, 1), (11, 11)",
            ];
            let database = database(server, &tables).await;
            let mut mirror = Mirror::new(source(server, &database, &["public.t"], &[FOLLOW]), &database);
            mirror.catch_up(server, &database).await.unwrap();
            server.execute(&database, statements).await;
            server.execute(&database, &["INSERT INTO t VALUES (9, 9, 9)"]).await;
            mirror.catch_up(server, &database).await.unwrap();
            let changes = mirror.changes().join("; ");
            assert!(changes.ends_with(&format!("ADD COLUMN \"c\" {expected}")), "{statements:?}: {changes}");
        }
    })
    .await;
}

/// The table of a column made anew under its name, in a chunk's view.
#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_finds_a_column_made_anew() {
    postgres_both(async |server| {
        let statements = [
            "CREATE TABLE t (id int PRIMARY KEY, a int)",
            "INSERT INTO t SELECT g, g FROM generate_series(1, 100) g",
        ];
        let database = database(server, &statements).await;
        let pairs = [FOLLOW, ("snapshot.split.size", "10"), ("snapshot.parallelism", "1")];
        let mut mirror = Mirror::new(source(server, &database, &["public.t"], &pairs), &database);
        let mut finished = 0;
        let error = mirror
            .run(|_, event| {
                finished += usize::from(matches!(event, culvert_api::SourceEvent::SplitFinished(_)));
                if finished == 2 {
                    finished += 1;
                    super::meanwhile(server, &database, &["ALTER TABLE t DROP a", "ALTER TABLE t ADD a int"]);
                }
                super::Fate::On
            })
            .await
            .unwrap_err();
        assert_error(&error, culvert_api::ErrorKind::Unsupported, &["column 'a'", "--fresh"]);
    })
    .await;
}
