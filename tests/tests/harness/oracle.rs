//! The oracle sees every difference and every impossible change.

use culvert_tests::oracle::{AppendLog, Row, assert_same_table, difference, replay, rows};
use culvert_tests::{Flavor, both, seed, shared};

fn row(values: &[&str]) -> Row {
    values.iter().map(|value| Some(value.to_string())).collect()
}

#[test]
fn equal_rows_have_no_difference_and_others_are_shown_in_part() {
    let many: Vec<Row> = (100..130).map(|n| row(&[&n.to_string()])).collect();
    assert_eq!(difference(("a", &many), ("b", &many)), None);
    let text = difference(("a", &many), ("b", &many[1..])).unwrap();
    assert!(text.contains("a has 30 rows, b has 29") && text.contains("1 only in a\n    (100)"), "{text}");
    let text = difference(("a", &[]), ("b", &many)).unwrap();
    assert!(text.contains("30 only in b") && text.contains("(109)") && !text.contains("(110)"), "{text}");
    // A row that is there twice is not the same as once.
    let twice = [row(&["1"]), row(&["1"])];
    assert!(difference(("a", &twice), ("b", &twice[1..])).is_some());
    let null = [vec![None]];
    assert!(difference(("a", &null), ("b", &[row(&["NULL"])])).is_some());
}

#[tokio::test]
async fn tables_are_compared_by_column_name() {
    both(async |server| {
        let db = server.fresh_database("oracle").await;
        let (a, b) = (format!("{db}.a"), format!("{db}.b"));
        let make = |table: &str, columns: &str| format!("CREATE TABLE {table} ({columns})");
        let wide = "v VARBINARY(9), `od``d` INT, k INT PRIMARY KEY, extra INT";
        server.execute(&[&make(&a, "k INT PRIMARY KEY, `od``d` INT, v VARBINARY(9)"), &make(&b, wide)]).await;
        server.execute(&[&format!("INSERT INTO {a} VALUES (1, NULL, x'ff00'), (2, 5, 'x')")]).await;
        server.execute(&[&format!("INSERT INTO {b} VALUES ('x', 5, 2, 0), (x'ff00', NULL, 1, 0)")]).await;
        let (mut left, mut right) = (server.conn().await, server.conn().await);
        assert_same_table((&mut left, &a), (&mut right, &b)).await;
        let found = rows(&mut left, &format!("SELECT * FROM {a}")).await;
        assert_eq!(found[0], vec![Some("1".into()), None, Some("x'ff00'".into())]);
    })
    .await;
}

#[tokio::test]
#[should_panic(expected = "1 only in ")]
async fn a_wrong_value_fails_the_comparison() {
    let server = shared(Flavor::MariaDb).await;
    let db = server.fresh_database("oracle").await;
    let (a, b) = (format!("{db}.a"), format!("{db}.b"));
    server.execute(&[&format!("CREATE TABLE {a} SELECT 1 AS k, 1.0 AS v")]).await;
    server.execute(&[&format!("CREATE TABLE {b} SELECT 1 AS k, 1.00 AS v")]).await;
    assert_same_table((&mut server.conn().await, &a), (&mut server.conn().await, &b)).await;
}

#[tokio::test]
async fn an_append_log_is_read_in_its_order() {
    both(async |server| {
        let db = server.fresh_database("log").await;
        let log = format!("{db}.log");
        let columns = "k INT, row_kind VARCHAR(2), v INT, n BIGINT AUTO_INCREMENT PRIMARY KEY";
        server.execute(&[&format!("CREATE TABLE {log} ({columns})")]).await;
        let changes = "(2,'+I',1),(1,'+I',1),(2,'-U',1),(2,'+U',7),(1,'-D',1)";
        server.execute(&[&format!("INSERT INTO {log} (k, row_kind, v) VALUES {changes}")]).await;
        let log = AppendLog::read(&mut server.conn().await, &log, "n", "row_kind", &["k"]).await;
        assert_eq!(replay(&log).unwrap(), [row(&["2", "7"])]);
    })
    .await;
}

/// A log with the key in the first column, or without a key.
fn log(changes: &[(&str, &str, &str)], key: bool) -> AppendLog {
    let changes = changes.iter().map(|(kind, k, v)| (kind.to_string(), row(&[k, v]))).collect();
    AppendLog { changes, key: if key { vec![0] } else { Vec::new() } }
}

#[test]
fn legal_logs_replay_to_their_end() {
    let changes =
        [("+I", "1", "a"), ("INSERT", "2", "b"), ("-U", "1", "a"), ("+U", "1", "c"), ("-D", "2", "b")];
    assert_eq!(replay(&log(&changes, true)).unwrap(), [row(&["1", "c"])]);
    let twice = [("+I", "1", "a"), ("+I", "1", "a"), ("-U", "1", "a"), ("+U", "9", "z"), ("+I", "1", "a")];
    let expected = [row(&["1", "a"]), row(&["1", "a"]), row(&["9", "z"])];
    assert_eq!(replay(&log(&twice, false)).unwrap(), expected);
    assert_eq!(replay(&log(&[], true)).unwrap(), Vec::<Row>::new());
}

#[test]
fn illegal_logs_are_refused_at_the_first_wrong_change() {
    for (place, what, changes) in [
        (1, "there already", vec![("+I", "1", "a"), ("+I", "1", "b")]),
        (0, "no such row", vec![("-D", "1", "a")]),
        (1, "the row there is (1, a)", vec![("+I", "1", "a"), ("-D", "1", "b")]),
        (1, "the row there is (1, a)", vec![("+I", "1", "a"), ("-U", "1", "b"), ("+U", "1", "c")]),
        (1, "without a -U", vec![("+I", "1", "a"), ("+U", "1", "b")]),
        (2, "has no +U", vec![("+I", "1", "a"), ("-U", "1", "a"), ("+I", "2", "b")]),
        (2, "another key", vec![("+I", "1", "a"), ("-U", "1", "a"), ("+U", "2", "b")]),
        (2, "ends between", vec![("+I", "1", "a"), ("-U", "1", "a")]),
        (0, "no row kind", vec![("+X", "1", "a")]),
    ] {
        let violation = replay(&log(&changes, true)).unwrap_err();
        assert_eq!(violation.place, place, "{violation}");
        assert!(violation.what.contains(what), "{violation} should say {what}");
    }
    let gone = [("+I", "1", "a"), ("-D", "1", "a"), ("-D", "1", "a")];
    assert_eq!(replay(&log(&gone, false)).unwrap_err().place, 2);
}

#[test]
fn a_given_seed_is_the_seed() {
    // Other tests of this process do not ask for seeds' values, so this reads what is there.
    match std::env::var("CULVERT_TEST_SEED") {
        Ok(given) => assert_eq!(seed().to_string(), given),
        Err(_) => assert_ne!(seed(), seed()),
    }
}
