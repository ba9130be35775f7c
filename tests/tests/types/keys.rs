//! Keys of every type: rows change beside their key, change the key, go, and come back.

use culvert_tests::{Flavor, both};

use super::job::{Mirror, conn, difference, run};

/// A key type and five different keys.
struct Key {
    name: &'static str,
    declared: &'static str,
    keys: [&'static str; 5],
    on: Option<Flavor>,
}

const fn key(name: &'static str, declared: &'static str, keys: [&'static str; 5]) -> Key {
    Key { name, declared, keys, on: None }
}

const fn only(on: Flavor, name: &'static str, declared: &'static str, keys: [&'static str; 5]) -> Key {
    Key { name, declared, keys, on: Some(on) }
}

const UUIDS: [&str; 5] = [
    "'123e4567-e89b-12d3-a456-426614174000'",
    "'123e4567-e89b-42d3-a456-426614174001'",
    "'00000000-0000-0000-0000-000000000000'",
    "'0190163d-8694-739b-aea5-966c26f8ad00'",
    "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
];

const KEYS: &[Key] = &[
    key("tiny", "TINYINT", ["-128", "127", "0", "-1", "5"]),
    key("mediumint", "MEDIUMINT", ["-8388608", "8388607", "0", "-1", "5"]),
    key("big", "BIGINT UNSIGNED", ["18446744073709551615", "9223372036854775808", "0", "1", "5"]),
    key("dec", "DECIMAL(20,5)", ["-999.99999", "0.00001", "0", "123456789012345", "-0.00001"]),
    key("wide", "DECIMAL(65,30)", ["-9.5", "99999999999999999999999999999999999", "0", "1e-30", "2"]),
    key("date", "DATE", ["'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'1970-01-01'", "'1969-12-31'"]),
    key(
        "datetime",
        "DATETIME(6)",
        [
            "'1000-01-01 00:00:00'",
            "'9999-12-31 23:59:59.999999'",
            "'2024-02-29 01:02:03.000004'",
            "'1970-01-01'",
            "'1969-12-31 23:59:59.9'",
        ],
    ),
    key(
        "stamp",
        "TIMESTAMP(3)",
        [
            "'1971-01-01 00:00:00'",
            "'2038-01-19 03:14:07'",
            "'2024-02-29 01:02:03.004'",
            "'2024-10-27 00:30:00'",
            "'2024-10-27 01:30:00'",
        ],
    ),
    key("span", "TIME(3)", ["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'-00:00:00.001'", "'24:00:00'"]),
    key("yr", "YEAR", ["1901", "2155", "'0000'", "2000", "2024"]),
    key("bin", "BINARY(4)", ["x'00'", "x'ffffffff'", "x'0100'", "x'000001'", "x'20'"]),
    key("varbin", "VARBINARY(8)", ["x''", "x'ffffffff'", "x'0100'", "x'01'", "x'20'"]),
    key("bits", "BIT(33)", ["b'0'", "b'1'", "8589934591", "4294967296", "255"]),
    key("label", "ENUM('x','a','m','é','q')", ["'x'", "'a'", "'m'", "'é'", "'q'"]),
    key("flags", "SET('x','a','m')", ["''", "'a'", "'x,m'", "'x,a,m'", "'m'"]),
    key("dbl", "DOUBLE", ["-1e300", "0.1", "0", "5e-324", "1.5"]),
    key("chars", "CHAR(10)", ["''", "'a'", "'B'", "'é'", "'😀'"]),
    key("general", "VARCHAR(20) COLLATE utf8mb4_general_ci", ["''", "'a'", "'B '", "'é'", "'漢😀'"]),
    key("binary_text", "VARCHAR(20) COLLATE utf8mb4_bin", ["'A'", "'a'", "'B '", "'é'", "'漢😀'"]),
    key("latin", "VARCHAR(20) CHARACTER SET latin1", ["''", "'a'", "'ß'", "'é'", "'ü ü'"]),
    only(
        Flavor::MySql,
        "uca9",
        "VARCHAR(20) COLLATE utf8mb4_0900_ai_ci",
        ["''", "'a'", "'a '", "'b'", "'漢😀'"],
    ),
    only(
        Flavor::MariaDb,
        "nopad",
        "VARCHAR(20) COLLATE utf8mb4_general_nopad_ci",
        ["''", "'a'", "'a '", "'b'", "'漢😀'"],
    ),
    only(Flavor::MariaDb, "uuid", "UUID", UUIDS),
    only(
        Flavor::MariaDb,
        "inet6",
        "INET6",
        ["'::'", "'::1'", "'2001:db8::1'", "'::ffff:1.2.3.4'", "'fe80::'"],
    ),
    only(
        Flavor::MariaDb,
        "inet4",
        "INET4",
        ["'0.0.0.0'", "'1.2.3.4'", "'10.0.0.0'", "'255.255.255.255'", "'9.9.9.9'"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_found_by_keys_of_every_type() {
    both(async |server| {
        let source = server.fresh_database("keys").await;
        let target = server.fresh_database("keys_mirror").await;
        let mut conn = conn(server).await;
        let here = |key: &&Key| key.on.is_none_or(|flavor| flavor == server.flavor());
        let keys: Vec<&Key> = KEYS.iter().filter(here).collect();
        for key in &keys {
            let table = format!("`{source}`.`{}`", key.name);
            let create = format!(
                "CREATE TABLE {table} (k {} NOT NULL PRIMARY KEY, v INT) CHARSET utf8mb4",
                key.declared
            );
            run(&mut conn, &create).await;
            let [a, b, c, ..] = key.keys;
            run(&mut conn, &format!("INSERT INTO {table} VALUES ({a}, 1), ({b}, 2), ({c}, 3)")).await;
        }
        let mut job = Mirror::new(server, &source, &target).start();
        for key in &keys {
            job.until(&mut conn, &format!("SELECT COUNT(*) FROM `{target}`.`{}`", key.name), "3").await;
        }
        for key in &keys {
            let table = format!("`{source}`.`{}`", key.name);
            let [a, b, c, d, e] = key.keys;
            for statement in [
                format!("UPDATE {table} SET v = 10 WHERE k = {a}"),
                // Another key for a row of the snapshot, and its old key for a new row.
                format!("UPDATE {table} SET k = {d}, v = 20 WHERE k = {b}"),
                format!("INSERT INTO {table} VALUES ({b}, 30)"),
                format!("DELETE FROM {table} WHERE k = {c}"),
                format!("UPDATE {table} SET k = {e} WHERE k = {d}"),
                format!("UPDATE {table} SET k = {c}, v = v + 1 WHERE k = {a}"),
            ] {
                run(&mut conn, &statement).await;
            }
        }
        for key in &keys {
            let shown = match key.declared {
                text if text.contains("CHAR") => "HEX(CONVERT(k USING utf8mb4)), v",
                bytes if bytes.contains("BIN") || bytes.contains("BIT") => "HEX(k), v",
                _ => "CONCAT(k), v",
            };
            job.until_none("source and mirror to be equal", async || {
                difference(&mut conn, key.name, shown, &source, &target).await
            })
            .await;
        }
        job.stop();
    })
    .await;
}

/// The key's declaration and the statements that come after the job has started.
const COMPOSITE: &[(&str, &str, &str, &[&str])] = &[
    (
        "cased",
        "k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT",
        "('abc', 1), ('Straße', 2), ('x', 3)",
        &[
            // Only the letter case, an accent, or blanks at the end: the same key for the source.
            "UPDATE {t} SET k = 'ABC' WHERE k = 'abc'",
            "UPDATE {t} SET k = 'straSe' WHERE v = 2",
            "UPDATE {t} SET k = 'x  ' WHERE v = 3",
            "UPDATE {t} SET v = 30 WHERE k = 'X'",
            "DELETE FROM {t} WHERE k = 'AbC'",
            "INSERT INTO {t} VALUES ('aBc', 9)",
        ],
    ),
    (
        "several",
        "a INT, b VARCHAR(10) COLLATE utf8mb4_unicode_ci, c DATE, v INT, PRIMARY KEY (b, c, a)",
        "(1, 'x', '2024-01-01', 1), (1, 'y', '2024-01-01', 2), (2, 'x', '2024-01-01', 3), (2, 'x', '2024-01-02', 4)",
        &[
            "UPDATE {t} SET a = 3 WHERE a = 1 AND b = 'x'",
            "UPDATE {t} SET b = 'Y', v = 20 WHERE b = 'y'",
            "UPDATE {t} SET c = c + INTERVAL 1 MONTH WHERE a = 2",
            "DELETE FROM {t} WHERE c = '2024-02-02'",
            "INSERT INTO {t} VALUES (2, 'x', '2024-01-02', 5)",
        ],
    ),
    (
        "chain",
        "id INT PRIMARY KEY, v INT",
        "(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)",
        &[
            // Every row takes the key that the row before it gave up, in one event.
            "UPDATE {t} SET id = id + 1 ORDER BY id DESC",
            "UPDATE {t} SET id = id - 1 ORDER BY id ASC",
            "UPDATE {t} SET id = id + 1, v = v * 10 ORDER BY id DESC",
        ],
    ),
    (
        "swap",
        "id INT PRIMARY KEY, u INT UNIQUE, v INT",
        "(1, 1, 1), (2, 2, 2)",
        &[
            "UPDATE {t} SET id = 0 WHERE id = 1",
            "UPDATE {t} SET id = 1 WHERE id = 2",
            "UPDATE {t} SET id = 2 WHERE id = 0",
            "UPDATE {t} SET u = NULL WHERE id = 1",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_columns_and_keys_that_change_places() {
    both(async |server| {
        let source = server.fresh_database("composite").await;
        let target = server.fresh_database("composite_mirror").await;
        let mut conn = conn(server).await;
        for (name, columns, rows, _) in COMPOSITE {
            run(&mut conn, &format!("CREATE TABLE `{source}`.{name} ({columns}) CHARSET utf8mb4")).await;
            run(&mut conn, &format!("INSERT INTO `{source}`.{name} VALUES {rows}")).await;
        }
        let mut job = Mirror::new(server, &source, &target).start();
        for (name, ..) in COMPOSITE {
            let empty = format!("SELECT COUNT(*) > 0 FROM `{target}`.{name}");
            job.until(&mut conn, &empty, "1").await;
        }
        // All in one transaction, so that they meet in one batch of the target.
        run(&mut conn, "BEGIN").await;
        for (name, _, _, statements) in COMPOSITE {
            for statement in *statements {
                run(&mut conn, &statement.replace("{t}", &format!("`{source}`.{name}"))).await;
            }
        }
        run(&mut conn, "COMMIT").await;
        let shown = [
            ("cased", "HEX(k), v"),
            ("several", "a, HEX(b), c, v"),
            ("chain", "id, v"),
            ("swap", "id, u, v"),
        ];
        for (name, expressions) in shown {
            job.until_none("source and mirror to be equal", async || {
                difference(&mut conn, name, expressions, &source, &target).await
            })
            .await;
        }
        job.stop();
    })
    .await;
}

/// Chunks are cut by the leading run of a key that sorts here; rows that are equal in it stay
/// together however many they are.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_leading_value_stay_together() {
    both(async |server| {
        let source = server.fresh_database("leading").await;
        let target = server.fresh_database("leading_mirror").await;
        let mut conn = conn(server).await;
        // DOUBLE is not cut by.
        run(&mut conn, &format!("CREATE TABLE `{source}`.t (a INT, b DOUBLE, v INT, PRIMARY KEY (a, b))"))
            .await;
        let rows: Vec<String> = (0..400).map(|row| format!("({}, {row}.5, {row})", row / 90)).collect();
        run(&mut conn, &format!("INSERT INTO `{source}`.t VALUES {}", rows.join(", "))).await;
        let options = "snapshot.split.size = 10";
        let mut job = Mirror { source_options: options, ..Mirror::new(server, &source, &target) }.start();
        job.until(&mut conn, &format!("SELECT COUNT(*) FROM `{target}`.t"), "400").await;
        assert_eq!(difference(&mut conn, "t", "a, b, v", &source, &target).await, None);
        job.stop();
    })
    .await;
}
