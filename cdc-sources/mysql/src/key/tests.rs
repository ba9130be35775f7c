//! The order of text keys, asked of real servers.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, StringArray};
use culvert_tests::random::generator;
use culvert_tests::{Server, both, seed};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::*;
use crate::ddl::ColumnDef;
use crate::tables::columns_of;

/// Letters that fold, expand, contract or are ignored, and blanks.
const PIECES: &[&str] = &[
    "a", "A", "á", "Ä", "ä", "ae", "ß", "ss", "z", "å", "ø", "o", "i", "İ", "ı", " ", "  ", "\t", "\u{1}",
    "_", "-", "0", "9", "漢", "字", "か", "ガ", "😀", "e\u{301}", "\u{301}", "é", "ﬁ", "ch", "ñ", "Ж", "ж",
    "เ", "ก", "\u{200d}",
];
/// Texts per collation.
const TEXTS: i32 = 250;
/// Bounds per collation that the server and we count rows below.
const BOUNDS: usize = 4;

fn text(random: &mut StdRng) -> String {
    let mut text = String::new();
    for _ in 0..random.random_range(0..=5) {
        match random.random_range(0..4) {
            // Anything there is, most of it rare.
            0 => text.extend(char::from_u32(random.random_range(1..0x2_0000))),
            _ => text.push_str(PIECES.choose(random).expect("pieces")),
        }
    }
    text
}

async fn run(conn: &mut Conn, sql: &str) {
    if let Err(error) = conn.query_drop(sql).await {
        panic!("the server refused `{sql}`: {error}");
    }
}

/// All of them, with their character sets.
async fn collations(conn: &mut Conn) -> Vec<(String, String)> {
    // MariaDB's UCA 14.0.0 collations have no character set of their own there.
    let mariadb = "SELECT full_collation_name, character_set_name FROM \
                   information_schema.collation_character_set_applicability \
                   WHERE character_set_name <> 'binary'";
    let mysql = "SELECT collation_name, character_set_name FROM information_schema.collations \
                 WHERE character_set_name <> 'binary'";
    match conn.query(mariadb).await {
        Ok(found) => found,
        Err(_) => conn.query(mysql).await.expect("collations"),
    }
}

fn plan(database: &str, collation: &str, charset: &str) -> Option<KeyPlan> {
    let column = |name: &str, column_type: &str, charset: Option<&str>| ColumnDef {
        name: name.into(),
        column_type: column_type.into(),
        charset: charset.map(Into::into),
        collation: charset.map(|_| collation.into()),
        nullable: false,
        generated: false,
    };
    let text = column("k", "varchar(12)", Some(charset));
    let number = column("n", "int", None);
    let def = TableDef { columns: vec![text, number], ..TableDef::default() };
    let columns = columns_of(&def).expect("two plain columns");
    KeyPlan::new(&TableId::new(database, "t"), &def, &columns, &["k".into(), "n".into()])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_collation_sorts_as_we_think() {
    let seed = seed();
    both(async |server: &'static Server| {
        let mut random = generator(seed);
        let database = server.fresh_database("collations").await;
        let mut conn = server.conn().await;
        run(&mut conn, "SET NAMES utf8mb4").await;
        // What a character set does not have becomes a question mark.
        run(&mut conn, "SET sql_mode = ''").await;
        run(&mut conn, &format!("USE `{database}`")).await;
        let mut asked = 0;
        for (collation, charset) in collations(&mut conn).await {
            let Some(plan) = plan(&database, &collation, &charset) else { continue };
            // The wide Unicode character sets repeat what utf8mb4 has.
            let repeats = matches!(&*charset, "ucs2" | "utf16" | "utf16le" | "utf32" | "utf8mb3");
            if repeats && random.random_range(0..5) > 0 {
                continue;
            }
            asked += 1;
            check(&mut conn, &plan, &collation, &charset, &mut random).await;
        }
        assert!(asked > 100, "{asked} collations");
        let _ = conn.disconnect().await;
    })
    .await;
}

async fn check(conn: &mut Conn, plan: &KeyPlan, collation: &str, charset: &str, random: &mut StdRng) {
    run(conn, "DROP TABLE IF EXISTS t").await;
    let column = format!("k VARCHAR(12) CHARACTER SET {charset} COLLATE {collation} NOT NULL");
    run(conn, &format!("CREATE TABLE t ({column}, n INT NOT NULL, PRIMARY KEY (k, n))")).await;
    let rows: Vec<String> = (0..TEXTS)
        .map(|n| {
            let hex = text(random).bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            format!("(CONVERT(_utf8mb4 x'{hex}' USING {charset}), {n})")
        })
        .collect();
    run(conn, &format!("INSERT IGNORE INTO t VALUES {}", rows.join(", "))).await;
    let by_index = "SELECT CONVERT(k USING utf8mb4), n, CAST(k AS BINARY) FROM t FORCE INDEX (PRIMARY)";
    let rows: Vec<(String, i32, Vec<u8>)> =
        conn.query(format!("{by_index}{}", plan.order_by())).await.expect("rows");
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0.as_str())));
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1)));
    let batch = RecordBatch::try_from_iter([("k", texts), ("n", numbers)]).expect("two columns");
    let sorts = plan.sort_keys(Some(conn), &batch).await.expect("sort keys");
    for (at, pair) in sorts.windows(2).enumerate() {
        let told = || format!("{collation}: {:?} before {:?}", rows[at], rows[at + 1]);
        assert!(pair[0] < pair[1], "{}: {:?}", told(), &pair);
    }
    for _ in 0..BOUNDS {
        let row = rows.choose(random).expect("rows");
        let raw = vec![row.2.clone(), row.1.to_string().into_bytes()];
        let bound = plan.bound_at(conn, raw).await.expect("a bound");
        let ours = sorts.iter().filter(|sort| **sort <= bound).count();
        let range = KeyRange { after: None, up_to: Some(bound) };
        let query = format!("SELECT COUNT(*) FROM t{}", plan.condition(&range));
        let theirs: Option<usize> = conn.query_first(query).await.expect("a count");
        assert_eq!(theirs, Some(ours), "{collation}: rows up to {row:?}");
        // The planner meets the same bound at the same place.
        let all = KeyRange { after: None, up_to: None };
        let planned = plan.bound_after(conn, &all, ours as u64).await.expect("a bound");
        assert_eq!(planned, range.up_to, "{collation}: the bound at {row:?}");
    }
}

#[test]
fn a_weight_sorts_as_if_blanks_followed() {
    let sort = |text: &str| padded_for_ever(text.as_bytes(), b" ");
    let ordered = ["\t\t", "\t", " \t", "", "a\t", "a", "aa"];
    for pair in ordered.windows(2) {
        assert!(sort(pair[0]) < sort(pair[1]), "{pair:?}");
    }
    assert_eq!(sort("a  "), sort("a"));
    // Two bytes to a unit.
    assert!(padded_for_ever(&[2, 1, 9, 9], &[2, 9]) < padded_for_ever(&[2, 9, 2, 9], &[2, 9]));
}
