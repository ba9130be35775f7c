//! `publication.row.filter`: the server sends only rows that a sink needs, and what arrives is the same.

use culvert_tests::{Database, Postgres, postgres_both, random, seed};
use rand::Rng;

use crate::postgres::job::{Job, JobSpec, TestJob, until};

const ROWS: usize = 400;
const CONDITION: &str = "a > 40 AND a <> 60";
const ON: &str = "publication.row.filter = true";

async fn create(source: &Database<'_>, identity: &str) {
    let t = source.table("t");
    let row = |row: usize| format!("({row}, {}, 'v{row}', {row})", row % 100);
    let rows = (0..ROWS).map(row).collect::<Vec<_>>().join(", ");
    source
        .run(&[
            &format!("CREATE TABLE {t} (id int, a int NOT NULL, v varchar(20), n int, PRIMARY KEY (id, a))"),
            &format!("ALTER TABLE {t} REPLICA IDENTITY {identity}"),
            &format!("INSERT INTO {t} VALUES {rows}"),
        ])
        .await;
}

/// A mirror of the rows that fulfil the condition.
fn job(source: &Database<'_>, target: &Database<'_>, name: &str, condition: &str, options: &str) -> TestJob {
    let query = format!("Sql {{ query = \"SELECT id, a, v FROM t WHERE {condition}\" }}");
    with(source, target, name, &query, options)
}

fn with(source: &Database<'_>, target: &Database<'_>, name: &str, transform: &str, options: &str) -> TestJob {
    let spec =
        JobSpec { transform, source_options: options, ..JobSpec::mirror(name, source, &["t"], target) };
    spec.ready()
}

async fn filter_of(source: &Database<'_>) -> Vec<Option<String>> {
    let query = "SELECT rowfilter FROM pg_publication_tables WHERE tablename = 't' ORDER BY 1";
    source.rows(query).await.into_iter().map(|row| row[0].clone()).collect()
}

/// Some changes, in which rows come into the condition, leave it, and change their keys on either side.
async fn write(source: &Database<'_>, seed: u64, round: usize) {
    let t = source.table("t");
    let mut random = random::generator(seed.wrapping_add(round as u64));
    let mut statements = Vec::new();
    for _ in 0..8 {
        let id = random.random_range(0..ROWS);
        let between = format!("id BETWEEN {id} AND {}", id + random.random_range(0..20));
        statements.push(match random.random_range(0..5) {
            0 => format!("UPDATE {t} SET a = a + {} WHERE {between}", random.random_range(1..60)),
            1 => format!("UPDATE {t} SET a = 41 WHERE {between} AND a < 30"),
            2 => format!("UPDATE {t} SET v = 'r{round}' WHERE {between}"),
            3 => format!("DELETE FROM {t} WHERE {between} AND n % 7 = {}", random.random_range(0..7)),
            _ => format!("UPDATE {t} SET a = 0 WHERE {between}"),
        });
    }
    statements.push(format!("INSERT INTO {t} VALUES ({}, 50, 'end', 0)", 10_000 + round));
    source.run(&statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

async fn until_written(target: &Database<'_>, round: usize, job: &Job) {
    let query = format!("SELECT COUNT(*) FROM {} WHERE id = {}", target.table("t"), 10_000 + round);
    until(target, &query, "1", job).await;
}

/// Jobs with the filter and without it, side by side, killed on the way: what arrives is what the source's
/// server answers.
async fn the_same_arrives(server: &Postgres, identity: &str) {
    let seed = seed();
    let source = Database::fresh(server, "filter").await;
    create(&source, identity).await;
    let mut jobs = Vec::new();
    for options in [ON, ""] {
        let target = Database::fresh(server, "filter").await;
        let name = format!("filter {} {} {}", source.name(), source.port(), jobs.len());
        let test = job(&source, &target, &name, CONDITION, options);
        let running = test.start();
        jobs.push((target, test, Some(running)));
    }
    for round in 0..20 {
        write(&source, seed, round).await;
        if round == 10 {
            for (_, test, running) in &mut jobs {
                running.take().expect("it runs").kill();
                *running = Some(test.start());
            }
        }
    }
    let query = |database: &Database<'_>, condition: &str| {
        format!("SELECT id, a, v FROM {} WHERE {condition} ORDER BY id, a", database.table("t"))
    };
    let wanted = source.rows(&query(&source, CONDITION)).await;
    assert!(wanted.len() > 50, "{} rows", wanted.len());
    for (target, _, running) in &mut jobs {
        let running = running.take().expect("it runs");
        until_written(target, 19, &running).await;
        let count = format!("SELECT COUNT(*) FROM {}", target.table("t"));
        until(target, &count, &wanted.len().to_string(), &running).await;
        running.stop();
        assert_eq!(wanted, target.rows(&query(target, "true")).await);
    }
    assert_eq!(filter_of(&source).await.iter().flatten().count(), 1);
}

/// The log of changes is the same as well, the kinds of changes included: an update that brings a row into the
/// condition is an insert, one that takes it out a delete.
async fn the_same_is_logged(server: &Postgres) {
    let seed = seed();
    let source = Database::fresh(server, "filter").await;
    create(&source, "FULL").await;
    let mut jobs = Vec::new();
    for options in [ON, ""] {
        let target = Database::fresh(server, "filter").await;
        let name = format!("logged {} {} {}", source.name(), source.port(), jobs.len());
        let query = format!(
            "Sql {{ query = \"SELECT id, a, v FROM t WHERE {CONDITION} AND v <> 'r3'\" }}\n  RowKindExtractor {{ }}"
        );
        let options = format!("startup.mode = LATEST\n  {options}");
        let running = with(&source, &target, &name, &query, &options).start();
        running.until_said("following the log").await;
        jobs.push((target, running));
    }
    for round in 0..20 {
        write(&source, seed, round).await;
    }
    let mut logs = Vec::new();
    for (target, running) in jobs {
        until_written(&target, 19, &running).await;
        running.stop();
        let query = format!("SELECT id, a, v, row_kind FROM {} ORDER BY 1, 2, 3, 4", target.table("t"));
        logs.push(target.rows(&query).await);
    }
    for kind in ["+I", "-U", "+U", "-D"] {
        assert!(logs[0].iter().any(|row| row[3].as_deref() == Some(kind)), "no {kind} of seed {seed}");
    }
    assert_eq!(logs[0], logs[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_arrives_with_and_without_a_filter() {
    postgres_both(async |server| {
        the_same_arrives(server, "FULL").await;
        // The key holds what the condition asks for.
        the_same_arrives(server, "DEFAULT").await;
        the_same_is_logged(server).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_outside_the_replica_identity_is_not_filtered_by() {
    postgres_both(async |server| {
        let (source, target) =
            (Database::fresh(server, "filter").await, Database::fresh(server, "filter").await);
        create(&source, "DEFAULT").await;
        let name = format!("outside {} {}", source.name(), source.port());
        let running = job(&source, &target, &name, "n > 100", ON).start();
        running.until_said("the condition is not left to the server").await;
        write(&source, 1, 0).await;
        // The application's own updates are what must go on.
        source.run(&[&format!("UPDATE {} SET n = 500 WHERE id = 10000", source.table("t"))]).await;
        until_written(&target, 0, &running).await;
        running.stop();
        assert_eq!(filter_of(&source).await, [None]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_condition_is_refused_until_the_stream_begins_anew() {
    postgres_both(async |server| {
        let (source, target) =
            (Database::fresh(server, "filter").await, Database::fresh(server, "filter").await);
        create(&source, "FULL").await;
        let name = format!("other {} {}", source.name(), source.port());
        let test = job(&source, &target, &name, CONDITION, ON);
        let running = test.start();
        write(&source, 1, 0).await;
        until_written(&target, 0, &running).await;
        running.stop();
        // Wider, without any, and with the option gone but the condition another: rows are gone already.
        for (condition, options) in [("a > 30", ON), ("v <> 'x'", ON), ("a > 30", "")] {
            let text = std::fs::read_to_string(&job(&source, &target, &name, condition, options).file);
            test.rewrite(&text.expect("it was written"));
            test.refused(&["leaves rows out that the job would miss", "--fresh", "public\".\"t"]);
        }
        // The option alone changes nothing about what is there already.
        let text = std::fs::read_to_string(&job(&source, &target, &name, CONDITION, "").file);
        test.rewrite(&text.expect("it was written"));
        let running = test.start();
        write(&source, 1, 1).await;
        until_written(&target, 1, &running).await;
        running.stop();
        // Anew, with another condition.
        let text = std::fs::read_to_string(&job(&source, &target, &name, "a > 30", ON).file);
        test.rewrite(&text.expect("it was written"));
        target.run(&[&format!("DELETE FROM {}", target.table("t"))]).await;
        let running = test.start_with(&["--fresh"]);
        write(&source, 1, 2).await;
        until_written(&target, 2, &running).await;
        let rows = source.value(&format!("SELECT COUNT(*) FROM {} WHERE a > 30", source.table("t"))).await;
        let found = format!("SELECT COUNT(*) FROM {} WHERE a > 30", target.table("t"));
        until(&target, &found, &rows.unwrap_or_default(), &running).await;
        assert_eq!(filter_of(&source).await.len(), 1);
        assert!(filter_of(&source).await[0].as_deref().is_some_and(|filter| filter.contains("30")));
        running.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_somebody_changes_stops_the_job() {
    postgres_both(async |server| {
        let (source, target) =
            (Database::fresh(server, "filter").await, Database::fresh(server, "filter").await);
        create(&source, "FULL").await;
        let name = format!("changed {} {}", source.name(), source.port());
        let test = job(&source, &target, &name, CONDITION, ON);
        let running = test.start();
        write(&source, 1, 0).await;
        until_written(&target, 0, &running).await;
        let slot = JobSpec::slot(&name);
        let narrower = format!("ALTER PUBLICATION \"{slot}\" SET TABLE {} WHERE (a > 90)", source.table("t"));
        source.run(&[&narrower]).await;
        let log = running.ended(2);
        assert!(log.contains("row filter"), "{log}");
        test.refused(&["row filter"]);
    })
    .await;
}
