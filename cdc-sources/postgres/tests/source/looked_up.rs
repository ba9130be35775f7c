//! Changes of shape that straddle the place where a chunk finds out.

use culvert_api::SourceEvent;
use culvert_tests::postgres_both;

use super::{Fate, Mirror, database, rows, source};

const FOLLOW: (&str, &str) = ("schema-changes.enabled", "true");

/// What happens after a chunk has found the first change, and before the stream gets there. Each begins
/// behind the place of the chunk's view.
const STRADDLING: [&[&str]; 3] = [
    // The stream gets to the place, then to a row of the first shape, then to the second one.
    &[
        "INSERT INTO u VALUES (1)",
        "UPDATE t SET a = a + 1 WHERE id = 1",
        "ALTER TABLE t ADD c2 text",
        "UPDATE t SET c2 = 'x' WHERE id > 50",
    ],
    // The first thing behind the place is a row of the second shape.
    &["ALTER TABLE t ADD c2 text", "UPDATE t SET c2 = 'x' WHERE id = 1 OR id > 50"],
    // Both in one transaction.
    &["BEGIN; UPDATE t SET a = a + 1 WHERE id = 1; ALTER TABLE t ADD c2 text; \
         UPDATE t SET c2 = 'x' WHERE id = 2 OR id > 50; ALTER TABLE t DROP c1; UPDATE t SET a = 0 WHERE id = 3; COMMIT"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_changes_around_the_look_up_keeps_its_values() {
    postgres_both(async |server| {
        for statements in STRADDLING {
            let tables = [
                "CREATE TABLE t (id int PRIMARY KEY, a int)",
                "CREATE TABLE u (id int PRIMARY KEY)",
                "INSERT INTO t SELECT g, g FROM generate_series(1, 100) g",
            ];
            let database = database(server, &tables).await;
            let pairs = [FOLLOW, ("snapshot.split.size", "20"), ("snapshot.parallelism", "1")];
            let mut mirror =
                Mirror::new(source(server, &database, &["public.t", "public.u"], &pairs), &database);
            let mut finished = 0;
            // A chunk's answer and what it says are one event: nothing goes on while it is looked at.
            mirror
                .run(|_, event| {
                    if let SourceEvent::SplitFinished(split) = event
                        && split.id.contains("public.t:")
                    {
                        finished += 1;
                        match finished {
                            1 => super::meanwhile(server, &database, &["ALTER TABLE t ADD c1 int"]),
                            2 => super::meanwhile(server, &database, statements),
                            _ => {}
                        }
                    }
                    if finished > 4 { Fate::Stop } else { Fate::On }
                })
                .await
                .unwrap();
            mirror.catch_up(server, &database).await.unwrap();
            let names: &[&str] =
                if statements.len() == 1 { &["id", "a", "c2"] } else { &["id", "a", "c1", "c2"] };
            let found = mirror.table(&format!("{database}.public.t"));
            let expected = rows(server, &database, &format!("SELECT {} FROM t", names.join(", "))).await;
            assert_eq!(super::columns(&found, names), expected, "{statements:?}: {:?}", mirror.changes());
            let gone = mirror.changes().iter().any(|change| change.contains("DROP COLUMN \"c2\""));
            assert!(!gone, "{:?}", mirror.changes());
        }
    })
    .await;
}
