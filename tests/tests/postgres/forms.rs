//! Job files as their users write them: names of tables, letter cases, other products' urls.

use culvert_tests::database::assert_same;
use culvert_tests::{Database, Flavor, PgVersion, postgres_shared, shared};

use super::job::{JobSpec, until, until_rows};

/// Each form of the target's table and schema.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_target_is_named_in_every_way() {
    let server = postgres_shared(PgVersion::V15).await;
    let source = Database::fresh(shared(Flavor::MariaDb).await, "forms").await;
    let target = Database::fresh(server, "copy").await;
    source
        .run(&["CREATE TABLE t (ID INT PRIMARY KEY, `Camel Case` TEXT)", "INSERT INTO t VALUES (1, 'x')"])
        .await;
    for (sink, at) in [
        ("table = \"public.plain\"", "public.plain"),
        ("table = \"data_schema.${table_name}\"", "data_schema.t"),
        ("schema = \"one\", table = \"${table_name}\"", "one.t"),
        ("table = \"${table_name}\", tablePrefix = \"pre_\", tableSuffix = \"_post\"", "public.pre_t_post"),
        ("table = \"lower.t\", field_ide = \"LOWERCASE\"", "lower.t"),
    ] {
        let name = format!("{} {at}", source.name());
        let options = "stop.mode = LATEST";
        let spec = JobSpec {
            source_options: options,
            sink_options: sink,
            ..JobSpec::mirror(&name, &source, &["t"], &target)
        };
        spec.ready().run().assert_code(0);
        let camel = if sink.contains("LOWERCASE") { "\"camel case\"" } else { "\"Camel Case\"" };
        let id = if sink.contains("LOWERCASE") { "id" } else { "\"ID\"" };
        let row = target.value(&format!("SELECT {id} || {camel} FROM {at}")).await;
        assert_eq!(row.as_deref(), Some("1x"), "{sink}");
    }
}

/// Products that speak this protocol under a name of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_products_that_speak_the_protocol() {
    let server = postgres_shared(PgVersion::V17).await;
    for (product, driver) in [
        ("opengauss", "org.opengauss.Driver"),
        ("kingbase8", "com.kingbase8.Driver"),
        ("highgo", "com.highgo.jdbc.Driver"),
    ] {
        let source = Database::fresh(server, "product").await;
        let target = Database::fresh(server, "copy").await;
        source.run(&["CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, 'x')"]).await;
        let name = format!("{} {product} {}", source.name(), server.port());
        let spec = JobSpec::mirror(&name, &source, &["t"], &target);
        let text = spec.text();
        let text = text.replace("jdbc:postgresql", &format!("jdbc:{product}"));
        let text = text.replace("org.postgresql.Driver", driver);
        let ready = spec.ready();
        ready.rewrite(&text);
        let job = ready.start();
        until_rows(&target, "t", 1, &job).await;
        source.run(&["INSERT INTO t VALUES (2, 'y')"]).await;
        until_rows(&target, "t", 2, &job).await;
        job.stop();
        assert_same((&source, "t"), (&target, "t")).await;
    }
}

/// Appends by COPY into the table itself, exactly once across kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_by_copy_survive_kills() {
    let server = postgres_shared(PgVersion::V15).await;
    let source = Database::fresh(server, "append").await;
    let target = Database::fresh(server, "copy").await;
    source.run(&["CREATE TABLE t (id int, a text)", "ALTER TABLE t REPLICA IDENTITY FULL"]).await;
    source.run(&["INSERT INTO t SELECT n, 'a' FROM generate_series(1, 2000) n"]).await;
    target.run(&["CREATE TABLE t (id int, a text, row_kind varchar(2), seq bigserial PRIMARY KEY)"]).await;
    let name = format!("{} {}", source.name(), server.port());
    let sink = "use_copy_statement = true\n  batch_size = 100";
    let spec = JobSpec { sink_options: sink, ..JobSpec::log(&name, &source, &["t"], &target) };
    let ready = spec.ready();
    let mut job = ready.start();
    for round in 1..=4 {
        source
            .run(&[&format!("INSERT INTO t SELECT n, 'b' FROM generate_series({round}000, {round}499) n")])
            .await;
        job.kill();
        job = ready.start();
    }
    until(&target, "SELECT count(*) FROM t", "4000", &job).await;
    job.stop();
    culvert_tests::database::assert_replays((&source, "t"), (&target, "t"), &[]).await;
}
