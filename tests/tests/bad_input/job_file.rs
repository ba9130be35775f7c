//! Mistakes in the job file and on the command line, found before anything is connected.

use culvert_tests::{Culvert, Flavor, shared};

use super::fixture::{Bed, JobText, LIMIT, keeps_the_secret, says};

/// Runs it, and asserts that not even a state folder was made.
async fn refused(bed: &Bed<'_>, job: &JobText, said: &[&str]) {
    bed.refused(job, said).await;
    assert!(!bed.state().exists(), "a state folder was made");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "file").await;
    let missing = bed.path("missing.conf");
    let name = missing.display().to_string();
    bed.refused_run(bed.run_file(&missing, &[]), &[&name, "no such file", "-c"]).await;

    let folder = bed.path("");
    bed.refused_run(bed.run_file(&folder, &[]), &[&folder.display().to_string(), "a folder"]).await;

    let yaml = bed.file("job.yaml", "source: {}");
    bed.refused_run(bed.run_file(&yaml, &[]), &["job.yaml", ".yaml are not supported", "HOCON or JSON"])
        .await;

    let bytes = bed.path("bytes.conf");
    std::fs::write(&bytes, b"env {\n}\nsource { \xff }").unwrap();
    bed.refused_run(bed.run_file(&bytes, &[]), &["bytes.conf:3", "UTF-8"]).await;
    assert!(!bed.state().exists(), "a state folder was made");
}

#[tokio::test]
async fn broken_syntax_names_its_line() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "syntax").await;
    let job = bed.job();
    let text = job.text();

    // A text without its end.
    let line = job.line("username");
    let broken = text.replacen(&format!("username = \"{}\"", bed.user), "username = \"root", 1);
    let file = bed.file("broken.conf", &broken);
    bed.refused_run(bed.run_file(&file, &[]), &[&format!("broken.conf:{line}")]).await;

    // A block without its end.
    let file = bed.file("open.conf", text.trim_end().trim_end_matches('}'));
    bed.refused_run(bed.run_file(&file, &[]), &["open.conf:"]).await;

    let file = bed.file("broken.json", "{\n  \"env\": {},\n  \"source\": [,]\n}");
    bed.refused_run(bed.run_file(&file, &[]), &["broken.json:3", "not valid JSON"]).await;

    let file = bed.file("list.json", "[1, 2]");
    bed.refused_run(bed.run_file(&file, &[]), &["list.json"]).await;
    assert!(!bed.state().exists(), "a state folder was made");
}

#[tokio::test]
async fn a_job_needs_a_source_a_sink_and_plugins_that_exist() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "parts").await;
    let text = bed.job().text();
    let (before_sink, sink) = text.split_at(text.find("sink {").unwrap());
    let (env, source) = before_sink.split_at(text.find("source {").unwrap());

    let file = bed.file("no_sink.conf", before_sink);
    bed.refused_run(bed.run_file(&file, &[]), &["no_sink.conf", "the job has no sink"]).await;

    let file = bed.file("no_source.conf", &format!("{env}{sink}"));
    bed.refused_run(bed.run_file(&file, &[]), &["no_source.conf", "the job has no source"]).await;

    let file = bed.file("empty.conf", "");
    bed.refused_run(bed.run_file(&file, &[]), &["empty.conf", "no source", "no sink"]).await;

    let misspelt = source.replacen("source {", "sorce {", 1);
    let file = bed.file("sorce.conf", &format!("{env}{misspelt}{sink}"));
    bed.refused_run(bed.run_file(&file, &[]), &["sorce.conf", "no source", "did you mean 'source'"]).await;

    let file =
        bed.file("plugins.conf", &text.replacen("MySQL-CDC", "MySQL-CDX", 1).replacen("jdbc {", "jbdc {", 1));
    let said =
        ["plugins.conf:7", "'MySQL-CDX'", "did you mean 'MySQL-CDC'?", "'jbdc'", "did you mean 'Jdbc'?"];
    bed.refused_run(bed.run_file(&file, &[]), &said).await;

    let job = bed.job().transforms(&["RowKindExtraktor { }"]);
    let place = format!("job.conf:{}", job.line("RowKindExtraktor"));
    bed.refused(&job, &[&place, "transform", "did you mean 'RowKindExtractor'?"]).await;
    assert!(!bed.state().exists(), "a state folder was made");
}

#[tokio::test]
async fn a_bad_option_is_named_with_its_line() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "option").await;
    let at = |job: &JobText, part: &str| format!("job.conf:{}", job.line(part));

    // All that are missing, at once.
    let job = bed.job().without_source(&["url", "username"]).without_sink(&["url", "generate_sink_sql"]);
    refused(
        &bed,
        &job,
        &["MySQL-CDC lacks required options 'url', 'username'", "jdbc lacks required option 'url'"],
    )
    .await;

    let job = bed.job().without_sink(&["generate_sink_sql"]);
    refused(&bed, &job, &["'query'", "generate_sink_sql"]).await;

    let job = bed.job().source("snapshot.split.size", "\"many\"");
    refused(&bed, &job, &[&at(&job, "split.size"), "'snapshot.split.size'", "whole number", "'many'"]).await;

    let job = bed.job().sink("batch_size", "0");
    refused(&bed, &job, &[&at(&job, "batch_size"), "'batch_size'", "from 1 to", "'0'"]).await;

    let job = bed.job().source("server-id", "\"abc\"");
    refused(&bed, &job, &["'server-id'", "'abc'", "5400"]).await;

    let job = bed.job().source("startup.mode", "\"INITAL\"");
    refused(&bed, &job, &[&at(&job, "startup.mode"), "'startup.mode'", "INITIAL", "did you mean 'INITIAL'?"])
        .await;

    let job = bed.job().sink("schema_save_mode", "\"SOMETIMES\"");
    refused(&bed, &job, &[&at(&job, "schema_save_mode"), "'schema_save_mode'", "RECREATE_SCHEMA"]).await;

    let job = bed.job().source("table-names", "[\"cdc.(\"]");
    refused(&bed, &job, &["job.conf:", "'table-names'", "not a regular expression"]).await;

    let job = bed.job().without_source(&["table-names"]).source("table-pattern", "\"cdc\\\\.[\"");
    refused(&bed, &job, &[&at(&job, "table-pattern"), "'table-pattern'", "regular expression"]).await;

    let job = bed.job().source("url", "\"jdbc:postgresql://localhost/db\"");
    refused(&bed, &job, &["'url'", "jdbc:mysql"]).await;

    let job = bed.job().source("startup.specific-offset.skip-rows", "3");
    refused(&bed, &job, &[&at(&job, "skip-rows"), "'startup.specific-offset.skip-rows'", "not supported"])
        .await;
}

#[tokio::test]
async fn variables_must_be_set() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "variable").await;
    let job =
        bed.job().source("username", "\"${CULVERT_TEST_UNSET}\"").sink("database", "\"${CULVERT_TEST_DB}\"");
    let place = format!("job.conf:{}", job.line("CULVERT_TEST_UNSET"));
    let said = [&*place, "'username'", "'CULVERT_TEST_UNSET'", "-i CULVERT_TEST_UNSET="];
    refused(&bed, &job, &said).await;

    let file = bed.file("job.conf", &job.text());
    for wrong in ["novalue", "=x"] {
        let refused = bed.run_file(&file, &["-i", wrong]);
        bed.refused_run(refused, &["-i"]).await;
    }
    let finished = keeps_the_secret(Culvert::new(&["run", "--no-such-flag"]).run(LIMIT));
    says(&finished.assert_code(2).stderr, &["--no-such-flag"]);
}

#[tokio::test]
async fn an_endless_source_in_a_batch_job_is_refused() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "batch").await;
    let job = bed.job().env(&["parallelism = 1"]);
    refused(&bed, &job, &["job.conf:", "BATCH", "job.mode = \"STREAMING\"", "stop.mode"]).await;
}

#[tokio::test]
async fn verify_ca_is_refused_because_it_cannot_be_kept() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "verify_ca").await;
    let url = format!("\"{}?sslMode=VERIFY_CA\"", bed.server.url(&bed.db));
    for job in [bed.job().source("url", &url), bed.job().sink("url", &url)] {
        refused(&bed, &job, &["job.conf:", "VERIFY_CA", "VERIFY_IDENTITY"]).await;
    }
}

#[tokio::test]
async fn an_unknown_option_is_a_warning_and_the_job_runs() {
    let bed = Bed::new(shared(Flavor::MariaDb).await, "unknown").await;
    let job = bed.job().source("snapshot.split.sise", "100");
    let mut running = bed.start(&job).await;
    bed.insert(&[3]).await;
    bed.await_ids(&mut running, "1,2,3").await;
    let finished = keeps_the_secret(running.terminate(LIMIT));
    let place = format!("job.conf:{}", job.line("sise"));
    let said = [&*place, "'snapshot.split.sise' is not known", "did you mean 'snapshot.split.size'?"];
    says(&finished.assert_code(0).stderr, &said);
}
