//! Tables that are read once, of which not every column is needed.

use culvert_tests::database::Kind;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, scratch, shared};

use crate::postgres::job::TestJob;

const ROWS: usize = 2_000;

async fn create(source: &Database<'_>) {
    let t = source.table("t");
    let (bad, value) =
        if source.is_postgres() { ("numeric(10,2)", "'NaN'") } else { ("date", "'0000-00-00'") };
    source
        .run(&[&format!("CREATE TABLE {t} (bad {bad}, part int, id int PRIMARY KEY, v varchar(20), w int)")])
        .await;
    if !source.is_postgres() {
        source.run(&["SET SESSION sql_mode = ''"]).await;
    }
    let row = |row: usize| format!("({value}, {}, {row}, 'v{row}', {})", row % 37, row % 50);
    let rows = (0..ROWS).map(row).collect::<Vec<_>>().join(", ");
    source.run(&[&format!("INSERT INTO {t} VALUES {rows}")]).await;
}

/// Runs a job with one transform into a table of the same name; its log.
fn run(source: &Database<'_>, read: &str, transform: &str, target: &Database<'_>) -> String {
    let block = |database: &Database<'_>| {
        let user = if database.is_postgres() { "postgres" } else { "root" };
        format!("Jdbc {{ url = \"{}\", username = {user}, password = root", database.url())
    };
    let path = if source.is_postgres() {
        format!("{}.public.t", source.name())
    } else {
        format!("{}.t", source.name())
    };
    let text = format!(
        "env {{ job.mode = BATCH, parallelism = 3 }}\n\
         source {{ {}, table_path = \"{path}\", {read} }} }}\n\
         transform {{ {transform} }}\n\
         sink {{ {}, database = \"{}\", table = \"{}\", generate_sink_sql = true }} }}\n",
        block(source),
        block(target),
        target.name(),
        if target.is_postgres() { "public.t" } else { "t" },
    );
    let name = scratch::folder("push").file_name().map(|name| name.to_string_lossy().into_owned());
    let finished = TestJob::new(&name.unwrap_or_default(), &text).run();
    finished.assert_code(0);
    finished.stderr
}

async fn only_needed_columns<'a>(source: impl Into<Kind<'a>>, target: impl Into<Kind<'a>>) {
    let source = Database::fresh(source, "push").await;
    let target = target.into();
    create(&source).await;
    let cases = [
        // The order goes by a column that is needed, the parts by one that is not.
        ("split.size = 100", "Filter { include_fields = [\"v\", \"id\"] }", "v, id", ""),
        (
            "partition_column = part, partition_num = 3",
            "Filter { exclude_fields = [\"bad\", \"part\"] }",
            "id, v, w",
            "",
        ),
        // The key does not leave, and orders what is read.
        ("split.size = 70", "FieldMapper { field_mapper { v = v } }\n  RowKindExtractor { }", "v", ""),
        // What decides is read, what leaves is another thing.
        (
            "split.size = 90",
            "Sql { query = \"SELECT id, v FROM t WHERE w > 20 AND w <> 30\" }",
            "id, v",
            " WHERE w > 20 AND w <> 30",
        ),
        // One after the other.
        (
            "split.size = 500",
            "FieldRename { prefix = \"p_\" }\n  Filter { include_fields = [\"p_w\", \"p_id\"] }\n  FieldRename { replacements_with_regex = [{ replace_from = \"p_\", replace_to = \"\" }] }",
            "w, id",
            "",
        ),
    ];
    for (read, transform, columns, condition) in cases {
        let target = Database::fresh(target, "push").await;
        let log = run(&source, read, transform, &target);
        assert!(log.contains("columns are read, no sink needs the others"), "{transform}: {log}");
        let of = |database: &Database<'_>, condition: &str| {
            format!("SELECT {columns} FROM {}{condition}", database.table("t"))
        };
        let mut wanted = source.rows(&of(&source, condition)).await;
        let mut found = target.rows(&of(&target, "")).await;
        assert!(wanted.len() > 500, "{transform}: {} rows", wanted.len());
        wanted.sort();
        found.sort();
        assert_eq!(wanted, found, "{transform}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_needed_columns_of_tables() {
    let (mysql, postgres) = (shared(Flavor::MySql).await, postgres_shared(PgVersion::V17).await);
    only_needed_columns(mysql, postgres).await;
    only_needed_columns(postgres, mysql).await;
}
