//! Jobs as SeaTunnel's documents write them, but for hosts, accounts and tables that are there.

use culvert_tests::process::Finished;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use crate::postgres::job::TestJob;

const DRIVERS: [&str; 2] = ["com.mysql.cj.jdbc.Driver", "org.postgresql.Driver"];

/// Runs a job that prints what a source block reads.
fn printed(database: &Database<'_>, env: &str, block: &str) -> Finished {
    let (driver, user) = if database.is_postgres() { (DRIVERS[1], "postgres") } else { (DRIVERS[0], "root") };
    let name = format!("forms {} {}", database.name(), database.port());
    let text = format!(
        "env {{\n  {env}\n  job.mode = \"BATCH\"\n}}\nsource {{\n  Jdbc {{\n    url = \"{}\"\n    driver = \"{driver}\"\n    \
         user = \"{user}\"\n    password = \"root\"\n    {block}\n  }}\n}}\ntransform {{\n}}\nsink {{\n  Console {{}}\n}}\n",
        database.url()
    );
    let finished = TestJob::new(&name, &text).run();
    finished.assert_code(0);
    finished
}

/// Rows that a console shows: those of the table hold the word `row` and their number.
fn rows(finished: &Finished) -> Vec<u32> {
    let number = |line: &str| {
        let rest = line.split_once("row ")?.1;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let mut rows: Vec<u32> = finished.stdout.lines().filter_map(number).collect();
    rows.sort_unstable();
    rows
}

async fn filled(database: &Database<'_>, table: &str) {
    let name = database.table(table);
    database.run(&[&format!("CREATE TABLE {name} (id int PRIMARY KEY, v varchar(20))")]).await;
    let rows: Vec<String> = (1..=40).map(|row| format!("({row}, 'row {row}.')")).collect();
    database.run(&[&format!("INSERT INTO {name} VALUES {}", rows.join(", "))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_mysql() {
    let database = Database::fresh(shared(Flavor::MySql).await, "forms").await;
    filled(&database, "type_bin").await;
    filled(&database, "other").await;
    let simple = "connection_check_timeout_sec = 100\n    query = \"select * from type_bin limit 16\"";
    assert_eq!(rows(&printed(&database, "execution.parallelism = 2", simple)).len(), 16);
    let parallel =
        "query = \"select * from type_bin\"\n    partition_column = \"id\"\n    partition_num = 10";
    assert_eq!(
        rows(&printed(&database, "execution.parallelism = 10", parallel)),
        (1..=40).collect::<Vec<_>>()
    );
    let bounded = format!("{parallel}\n    partition_lower_bound = 1\n    partition_upper_bound = 30");
    assert_eq!(rows(&printed(&database, "parallelism = 4", &bounded)), (1..=30).collect::<Vec<_>>());
    let name = database.name();
    let dynamic = format!(
        "table_path = \"{name}.type_bin\"\n    query = \"select * from {name}.type_bin\"\n    split.size = 10000"
    );
    assert_eq!(rows(&printed(&database, "parallelism = 4", &dynamic)).len(), 40);
    let several = format!(
        "table_list = [\n      {{ table_path = \"{name}.type_bin\" }},\n      {{ table_path = \"{name}.other\"\n        query = \
         \"select * from {name}.other where id > 10\" }}\n    ]\n    where_condition = \"where id > 5\"\n    split.size = 8096"
    );
    assert_eq!(rows(&printed(&database, "parallelism = 4", &several)).len(), 35 + 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_postgres() {
    let database = Database::fresh(postgres_shared(PgVersion::V15).await, "forms").await;
    filled(&database, "source").await;
    assert_eq!(
        rows(&printed(&database, "parallelism = 2", "query = \"select * from source limit 16\"")).len(),
        16
    );
    let parallel = "query = \"select * from source\"\n    partition_column= \"id\"\n    partition_num = 5";
    assert_eq!(rows(&printed(&database, "parallelism = 10", parallel)), (1..=40).collect::<Vec<_>>());
    let bounded = format!(
        "{parallel}\n    result_table_name = \"jdbc\"\n    partition_lower_bound = 1\n    partition_upper_bound = 20"
    );
    assert_eq!(rows(&printed(&database, "parallelism = 2", &bounded)), (1..=20).collect::<Vec<_>>());
    let sorted =
        printed(&database, "parallelism = 1", "query = \"SELECT id, v FROM public.source ORDER BY id DESC\"");
    let first = sorted.stdout.find("row 40.").expect("the last row is shown");
    assert!(
        first < sorted.stdout.find("row 1.").expect("the first row is shown"),
        "the query's order is kept"
    );
}
