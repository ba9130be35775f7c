//! Dates that are none: the job stops and says where, or they become NULL.

use culvert_tests::{Server, both};

use super::job::{LIMIT, Mirror, conn, run};

/// The literal, and whether a TIMESTAMP takes it.
const NO_DATES: &[(&str, bool)] = &[
    ("'0000-00-00 00:00:00'", true),
    ("'2024-00-00 00:00:00'", false),
    ("'2024-05-00 01:02:03'", false),
    ("'2024-02-31 00:00:00'", false),
];

async fn make(server: &Server) -> (String, String) {
    let source = server.fresh_database("zero").await;
    let target = server.fresh_database("zero_mirror").await;
    let mut conn = conn(server).await;
    let statement = format!(
        "CREATE TABLE `{source}`.z (id INT PRIMARY KEY, d DATE NOT NULL, dt DATETIME(3) NOT NULL, ts TIMESTAMP NULL)"
    );
    run(&mut conn, &statement).await;
    (source, target)
}

async fn insert(server: &Server, database: &str, first: usize) {
    let mut conn = conn(server).await;
    run(&mut conn, "SET sql_mode = 'ALLOW_INVALID_DATES'").await;
    for (place, (literal, timestamp)) in NO_DATES.iter().enumerate() {
        let ts = if *timestamp { literal } else { "NULL" };
        let date = literal.replace(" 00:00:00", "").replace(" 01:02:03", "");
        let statement =
            format!("INSERT INTO `{database}`.z VALUES ({}, {date}, {literal}, {ts})", first + place);
        run(&mut conn, &statement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_they_stop_the_job_before_and_in_the_log() {
    both(async |server| {
        for before in [true, false] {
            let (source, target) = make(server).await;
            if before {
                insert(server, &source, 1).await;
            }
            let mut job = Mirror::new(server, &source, &target).start();
            if !before {
                let mut conn = conn(server).await;
                run(
                    &mut conn,
                    &format!("INSERT INTO `{source}`.z VALUES (99, '2024-01-01', '2024-01-01', NULL)"),
                )
                .await;
                job.until(&mut conn, &format!("SELECT COUNT(*) FROM `{target}`.z"), "1").await;
                insert(server, &source, 1).await;
            }
            let finished = job.running.wait(LIMIT);
            finished.assert_code(1);
            let said = &finished.stderr;
            let named = said.contains(&format!("{source}.z")) && said.contains("column=d");
            assert!(named, "table or column not named: {said}");
            assert!(!said.contains("0000-00"), "a value is shown: {said}");
            let mut conn = conn(server).await;
            let wanted = if before { "0" } else { "1" };
            let query = format!("SELECT CONCAT(COUNT(*)) FROM `{target}`.z");
            let rows = culvert_tests::oracle::rows(&mut conn, &query).await;
            assert_eq!(rows, [[Some(wanted.to_string())]], "rows before the bad one only");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_null_when_so_wished() {
    both(async |server| {
        let (source, target) = make(server).await;
        insert(server, &source, 1).await;
        let mirror = Mirror { source_options: "zero-date.policy = \"NULL\"", ..Mirror::new(server, &source, &target) };
        let mut job = mirror.start();
        let mut conn = conn(server).await;
        let nulls = format!("SELECT COUNT(*) FROM `{target}`.z WHERE d IS NULL AND dt IS NULL AND ts IS NULL");
        job.until(&mut conn, &nulls, "4").await;
        insert(server, &source, 11).await;
        job.until(&mut conn, &nulls, "8").await;
        run(&mut conn, &format!("UPDATE `{source}`.z SET d = '2024-01-02', dt = '2024-01-02 03:04:05.678' WHERE id > 1")).await;
        let good = format!(
            "SELECT COUNT(*) FROM `{target}`.z WHERE d = '2024-01-02' AND dt = '2024-01-02 03:04:05.678' AND ts IS NULL"
        );
        job.until(&mut conn, &good, "7").await;
        job.stop();
    })
    .await;
}
