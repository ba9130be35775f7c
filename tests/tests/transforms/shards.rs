//! Shards become one table.

use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use crate::postgres::job::{JobSpec, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_are_merged_and_other_tables_are_not() {
    let source = Database::fresh(shared(Flavor::MariaDb).await, "shards").await;
    let target = Database::fresh(postgres_shared(PgVersion::V17).await, "shards").await;
    let name = format!("shards {}", source.name());
    source
        .run(&[
            "CREATE TABLE user_1 (id int PRIMARY KEY, name varchar(20))",
            "CREATE TABLE user_2 (id int PRIMARY KEY, name varchar(20))",
            "CREATE TABLE shop (id int PRIMARY KEY, city varchar(20))",
            "INSERT INTO user_1 VALUES (1, 'a'), (3, 'c')",
            "INSERT INTO user_2 VALUES (2, 'b'), (4, 'd')",
            "INSERT INTO shop VALUES (1, 'Bonn')",
        ])
        .await;
    let transform = format!(
        "TableMerge {{\n table_match_regex = \"{}.user_.*\"\n database = \"user_db\"\n table = \"user_all\"\n }}",
        source.name()
    );
    let tables = ["user_1", "user_2", "shop"];
    let source_options = "schema-changes.enabled = true";
    let job = JobSpec {
        transform: &transform,
        source_options,
        ..JobSpec::mirror(&name, &source, &tables, &target)
    }
    .ready();
    let running = job.start();
    until(&target, "SELECT count(*) FROM user_all", "4", &running).await;
    source
        .run(&[
            "UPDATE user_1 SET name = 'A' WHERE id = 1",
            "UPDATE user_2 SET id = 20 WHERE id = 2",
            "DELETE FROM user_2 WHERE id = 4",
            "INSERT INTO shop VALUES (2, 'Rome')",
            "INSERT INTO user_2 VALUES (99, 'end')",
        ])
        .await;
    until(&target, "SELECT count(*) FROM user_all WHERE id = 99", "1", &running).await;
    until(&target, "SELECT count(*) FROM shop", "2", &running).await;
    let merged = "SELECT string_agg(id || name, ',' ORDER BY id) FROM user_all";
    assert_eq!(target.value(merged).await.as_deref(), Some("1A,3c,20b,99end"));

    // Killed and started again, both shards change their shape, one after the other.
    running.kill();
    source
        .run(&[
            "ALTER TABLE user_1 ADD COLUMN note varchar(20)",
            "INSERT INTO user_1 VALUES (5, 'e', 'new')",
            "INSERT INTO user_2 VALUES (6, 'f')",
        ])
        .await;
    let running = job.start();
    until(&target, "SELECT count(*) FROM user_all WHERE id IN (5, 6)", "2", &running).await;
    source
        .run(&["ALTER TABLE user_2 ADD COLUMN note varchar(20)", "INSERT INTO user_2 VALUES (7, 'g', 'too')"])
        .await;
    until(&target, "SELECT count(*) FROM user_all WHERE id = 7", "1", &running).await;
    let notes = "SELECT string_agg(id || COALESCE(note, '-'), ',' ORDER BY id) FROM user_all";
    assert_eq!(target.value(notes).await.as_deref(), Some("1-,3-,5new,6-,7too,20-,99-"));
    running.stop();
}
