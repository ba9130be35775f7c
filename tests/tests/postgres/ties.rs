//! Rows whose order among each other matters to the target: foreign keys, unique values that move.
//! And a server where somebody lies in wait for whoever writes or reads there.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, postgres_both};

use super::job::{JobSpec, until, until_rows};

const TABLES: [&str; 3] = ["orders", "items", "seats"];

/// The source's tables. `items` comes before `orders` by name, as the rows do.
const SOURCE: [&str; 3] = [
    "CREATE TABLE orders (id int PRIMARY KEY, note text)",
    "CREATE TABLE items (id int PRIMARY KEY, \"order\" int NOT NULL REFERENCES orders, note text)",
    "CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE DEFERRABLE)",
];

/// The target's: its constraints cannot wait.
const TARGET: [&str; 3] = [
    SOURCE[0],
    "CREATE TABLE items (id int PRIMARY KEY, \"order\" int NOT NULL REFERENCES orders ON DELETE RESTRICT, note text)",
    "CREATE TABLE seats (id int PRIMARY KEY, place int UNIQUE)",
];

const ORDERED: &str = "INSERT INTO orders SELECT n, 'o' FROM generate_series(1, 2000) AS n";
const WITH_ITEMS: &str =
    "INSERT INTO items SELECT n, (n - 1) / 10 + 1, 'i' FROM generate_series(1, 20000) AS n";

async fn assert_all_same(source: &Database<'_>, target: &Database<'_>) {
    for table in TABLES {
        assert_same((source, table), (target, table)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_transaction_is_larger_than_many_flushes() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "ties").await;
        let target = Database::fresh(server, "tied").await;
        source.run(&SOURCE).await;
        target.run(&TARGET).await;
        source.run(&["INSERT INTO seats SELECT n, n FROM generate_series(1, 20000) AS n"]).await;
        let name = format!("ties {} {}", source.name(), source.port());
        let spec = JobSpec {
            sink_options: "batch_size = 100, batch_interval_ms = 1",
            ..JobSpec::mirror(&name, &source, &TABLES, &target)
        };
        let job = spec.ready().start();
        until_rows(&target, "seats", 20_000, &job).await;
        let in_one = |statements: &[&str]| format!("BEGIN; {}; COMMIT", statements.join("; "));
        source.run(&[&in_one(&[ORDERED, WITH_ITEMS])]).await;
        until_rows(&target, "items", 20_000, &job).await;
        source.run(&["UPDATE seats SET place = place + 1"]).await;
        until(&target, "SELECT min(place) FROM seats", "2", &job).await;
        assert_all_same(&source, &target).await;
        let away =
            ["UPDATE items SET \"order\" = 2000 WHERE id % 2 = 0", "DELETE FROM items WHERE id % 2 = 1"];
        source.run(&[&in_one(&[away[0], away[1], "DELETE FROM orders WHERE id < 2000"])]).await;
        until_rows(&target, "orders", 1, &job).await;
        job.stop();
        assert_all_same(&source, &target).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_load_ignores_foreign_keys_when_asked_to() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "load").await;
        let target = Database::fresh(server, "loaded").await;
        source.run(&SOURCE).await;
        target.run(&TARGET).await;
        source.run(&[ORDERED, WITH_ITEMS]).await;
        let name = format!("load {} {}", source.name(), source.port());
        let spec = JobSpec {
            source_options: "snapshot.split.size = 500",
            sink_options: "foreign_keys = \"IGNORE\"",
            ..JobSpec::mirror(&name, &source, &TABLES, &target)
        };
        let job = spec.ready().start();
        until_rows(&target, "items", 20_000, &job).await;
        until_rows(&target, "orders", 2_000, &job).await;
        job.stop();
        assert_all_same(&source, &target).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_hostile_schema_is_called_at_either_end() {
    postgres_both(async |server| {
        let source = Database::fresh(server, "lure").await;
        let target = Database::fresh(server, "lured").await;
        source.run(&SOURCE).await;
        source.run(&[ORDERED, WITH_ITEMS, "ALTER TABLE seats REPLICA IDENTITY FULL"]).await;
        target.run(&TARGET[2..]).await;
        // A superuser, so that nothing but the traps is in the way.
        for database in [&source, &target] {
            let role = format!("r_{}", database.name());
            server.create_role(&role, "SUPERUSER", database.name(), &[]).await;
            server.set_traps(database.name(), &role).await;
        }
        let name = format!("lure {} {}", source.name(), source.port());
        let (reader, writer) =
            (format!("username = \"r_{}\"", source.name()), format!("username = \"r_{}\"", target.name()));
        let spec = JobSpec {
            source_options: &reader,
            sink_options: &writer,
            ..JobSpec::mirror(&name, &source, &TABLES, &target)
        };
        let job = spec.ready().start();
        until_rows(&target, "items", 20_000, &job).await;
        source.run(&["INSERT INTO seats VALUES (1, 1), (2, 2)", "UPDATE seats SET place = 3 - place"]).await;
        until(&target, "SELECT place FROM seats WHERE id = 1", "2", &job).await;
        job.stop();
        assert_all_same(&source, &target).await;
    })
    .await;
}
