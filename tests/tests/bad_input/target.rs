//! Targets that do not fit: refused by name before anything is written.

use culvert_tests::both;

use super::fixture::Bed;

#[tokio::test]
async fn a_target_that_does_not_fit_is_refused_by_name() {
    both(async |server| {
        let bed = Bed::new(server, "target").await;
        let db = &bed.db;
        let table = |name: &str| format!("{db}.{name}");
        server
            .execute(&[
                &format!("CREATE TABLE {db}.narrow (id INT, row_kind VARCHAR(13))"),
                &format!("CREATE TABLE {db}.demanding (id INT, name VARCHAR(50), row_kind VARCHAR(13), more INT NOT NULL)"),
                &format!("CREATE TABLE {db}.keyless (id INT, name VARCHAR(50))"),
                &format!("CREATE TABLE {db}.times (id INT PRIMARY KEY, at DATETIME)"),
                &format!("CREATE TABLE {db}.lossy (id INT PRIMARY KEY, at DATE)"),
                &format!("CREATE TABLE {db}.plain (id INT PRIMARY KEY, name VARCHAR(50)) ENGINE=MyISAM"),
                &format!("CREATE VIEW {db}.seen AS SELECT * FROM {db}.keyless"),
            ])
            .await;

        let job = bed.job().sink("table", "narrow");
        bed.refused(&job, &[&table("narrow"), "no column `name`", &table("w")]).await;

        let job = bed.job().sink("table", "demanding");
        bed.refused(&job, &[&table("demanding"), "`more`"]).await;

        let job = bed.job().sink("table", "missing").sink("schema_save_mode", "\"ERROR_WHEN_SCHEMA_NOT_EXIST\"");
        bed.refused(&job, &[&table("missing"), "does not exist", "CREATE TABLE"]).await;

        let mirror = bed.job().transforms(&[]);
        bed.refused(&mirror.clone().sink("table", "keyless"), &[&table("keyless"), "has no key", &table("w")]).await;
        let named = mirror.clone().sink("table", "keyless").sink("primary_keys", "[\"id\"]");
        bed.refused(&named, &[&table("keyless"), "primary_keys", "ADD PRIMARY KEY (`id`)"]).await;
        let unknown = mirror.clone().sink("table", "keyless").sink("primary_keys", "[\"nothing\"]");
        bed.refused(&unknown, &["primary_keys", "`nothing`", &table("w")]).await;

        let lossy = mirror.clone().source("table-names", format!("[\"{db}.times\"]")).sink("table", "lossy");
        bed.refused(&lossy, &[&table("lossy"), "`at`", "cut off"]).await;
        bed.refused(&mirror.clone().sink("table", "plain"), &[&table("plain"), "MyISAM", "ENGINE=InnoDB"]).await;
        bed.refused(&mirror.clone().sink("table", "seen"), &[&table("seen"), "view"]).await;
        bed.refused(&bed.job().sink("database", "not_there_at_all"), &["not_there_at_all"]).await;
    })
    .await;
}

#[tokio::test]
async fn rows_that_are_there_are_refused_when_the_job_says_so() {
    both(async |server| {
        let bed = Bed::new(server, "rows").await;
        server.execute(&[&format!("INSERT INTO {}.w2 VALUES (9, 'old', '+I')", bed.db)]).await;
        let job = bed.job().sink("data_save_mode", "\"ERROR_WHEN_DATA_EXISTS\"");
        bed.refused_rows(&job, &[&format!("{}.w2", bed.db), "not empty", "data_save_mode"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_source_table_without_a_key_cannot_be_mirrored() {
    both(async |server| {
        let bed = Bed::new(server, "no_key").await;
        server.execute(&[&format!("CREATE TABLE {}.heap (id INT, name VARCHAR(50))", bed.db)]).await;
        let mirror = bed.job().transforms(&[]).sink("table", "mirror");
        let target = format!("{}.mirror", bed.db);
        bed.refused(&mirror.clone().sink("create_index", "false"), &[&target, "create_index"]).await;
        let job = mirror.source("table-names", format!("[\"{}.heap\"]", bed.db));
        bed.refused(&job, &[&target, &format!("{}.heap", bed.db), "without a key", "primary_keys"]).await;
    })
    .await;
}
