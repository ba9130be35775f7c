//! Tables cut by text keys while they change: every collation sorts on our side as on the server.

use culvert_tests::random::generator;
use culvert_tests::{Flavor, Server, seed, shared};
use mysql_async::Conn;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::job::{Mirror, conn, difference, run};

const BOTH: &[&str] = &[
    "utf8mb4_general_ci",
    "utf8mb4_bin",
    "utf8mb4_unicode_ci",
    "utf8mb4_unicode_520_ci",
    "utf8mb4_swedish_ci",
    "utf8mb4_turkish_ci",
    "utf8mb4_spanish2_ci",
    "utf8mb3_general_ci",
    "latin1_swedish_ci",
    "latin1_bin",
    "latin1_general_cs",
    "latin1_german2_ci",
    "latin2_czech_cs",
    "ascii_general_ci",
    "cp1251_general_ci",
    "gbk_chinese_ci",
    "sjis_japanese_ci",
    "ucs2_general_ci",
    "utf16_unicode_ci",
    "tis620_thai_ci",
];
const MYSQL: &[&str] = &[
    "utf8mb4_0900_ai_ci",
    "utf8mb4_0900_as_cs",
    "utf8mb4_0900_bin",
    "utf8mb4_ja_0900_as_cs",
    "utf8mb4_de_pb_0900_as_cs",
    "gb18030_chinese_ci",
];
const MARIADB: &[&str] = &[
    "utf8mb4_nopad_bin",
    "utf8mb4_general_nopad_ci",
    "utf8mb4_unicode_nopad_ci",
    "latin1_swedish_nopad_ci",
    "utf8mb4_uca1400_ai_ci",
    "utf8mb4_uca1400_nopad_as_cs",
];

/// Keys are made of these: letters that fold, expand, contract or are ignored, and blanks.
const PIECES: &[&str] = &[
    "a", "A", "á", "Ä", "ä", "ae", "ß", "ss", "SS", "z", "Z", "å", "ø", "o", "i", "İ", "ı", "I", " ", "  ",
    "\t", "_", "-", "0", "9", "漢", "字", "か", "カ", "ガ", "😀", "e\u{301}", "é", "ﬁ", "ll", "ch", "ñ", "n",
    "Ж", "ж", "ก", "เ", "\u{200d}", "y",
];

/// Ends the name of a table whose key is CHAR; its collation comes before.
const CHAR: &str = "__char";
/// Rows per table; chunks have ten.
const ROWS: u32 = 300;
/// Changes between two looks at how far the job is.
const CHANGES_PER_LOOK: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_tables_are_cut_by_text() {
    cut(shared(Flavor::MariaDb).await, MARIADB).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_tables_are_cut_by_text() {
    cut(shared(Flavor::MySql).await, MYSQL).await;
}

fn charset_of(collation: &str) -> &str {
    collation.split('_').next().unwrap_or_default()
}

/// A literal in the charset; what that does not have becomes a question mark.
fn random_key(random: &mut StdRng, charset: &str) -> String {
    let pieces = random.random_range(0..=4);
    let text: String = (0..pieces).filter_map(|_| PIECES.choose(random)).copied().collect();
    format!("CONVERT('{text}' USING {charset})")
}

async fn cut(server: &Server, own: &[&str]) {
    let source = server.fresh_database("chunks").await;
    let target = server.fresh_database("chunks_mirror").await;
    let mut random = generator(seed());
    let mut conn = conn(server).await;
    // Characters a charset does not have become question marks.
    run(&mut conn, "SET sql_mode = ''").await;
    // CHAR and VARCHAR pad differently.
    let mut tables: Vec<String> = BOTH.iter().chain(own).map(ToString::to_string).collect();
    tables.extend(own.iter().chain(&BOTH[..4]).map(|collation| format!("{collation}{CHAR}")));
    tables.sort_unstable();
    for table in &tables {
        let collation = table.trim_end_matches(CHAR);
        let charset = charset_of(collation);
        let declared = if table == collation { "VARCHAR(24)" } else { "CHAR(12)" };
        // A second column tells equal words apart.
        let create = format!(
            "CREATE TABLE `{source}`.{table} (k {declared} CHARACTER SET {charset} COLLATE {collation} NOT NULL, \
             n INT NOT NULL, v INT NOT NULL, PRIMARY KEY (k, n))"
        );
        run(&mut conn, &create).await;
        let rows: Vec<String> = (0..ROWS)
            .map(|row| {
                format!("({}, {}, {row})", random_key(&mut random, charset), random.random_range(0..2))
            })
            .collect();
        run(&mut conn, &format!("INSERT IGNORE INTO `{source}`.{table} VALUES {}", rows.join(", "))).await;
    }
    let options = "snapshot.split.size = 10, snapshot.parallelism = 2";
    let mut job = Mirror { source_options: options, ..Mirror::new(server, &source, &target) }.start();
    // Tables are read in the order of their names. What changes is near the one being read: a
    // change that is lost because its key was taken for one not read yet has no other that heals it.
    let mut reading = 0;
    while reading < tables.len() {
        for _ in 0..CHANGES_PER_LOOK {
            let ahead = random.random_range(0..3);
            let place = match random.random_range(0..4) {
                0 => random.random_range(0..tables.len()),
                _ => (reading + ahead).min(tables.len() - 1),
            };
            change(&mut conn, &source, &tables[place], &mut random).await;
        }
        job.until_none("the job to run", async || None).await;
        while reading < tables.len() && has_rows(&mut conn, &target, &tables[reading]).await {
            reading += 1;
        }
    }
    for table in &tables {
        job.until_none("source and mirror to be equal", async || {
            difference(&mut conn, table, "HEX(CONVERT(k USING utf8mb4)), n, v", &source, &target).await
        })
        .await;
    }
    job.stop();
}

async fn has_rows(conn: &mut Conn, database: &str, table: &str) -> bool {
    use mysql_async::prelude::Queryable;
    // The table may not be there yet.
    let query = format!("SELECT 1 FROM `{database}`.{table} LIMIT 1");
    conn.query_first::<u8, _>(query).await.is_ok_and(|found| found.is_some())
}

async fn change(conn: &mut Conn, database: &str, table: &str, random: &mut StdRng) {
    let charset = charset_of(table);
    let table = format!("`{database}`.{table}");
    let new = random_key(random, charset);
    // Rows are named by a number that changes with them: hardly any is changed twice.
    let (row, n, v) =
        (random.random_range(0..ROWS), random.random_range(0..2), random.random_range(ROWS..1_000_000));
    let statement = match random.random_range(0..8) {
        0 => format!("INSERT IGNORE INTO {table} VALUES ({new}, {n}, {v})"),
        1 => format!("UPDATE IGNORE {table} SET k = {new}, v = {v} WHERE v = {row}"),
        2 => format!("DELETE FROM {table} WHERE v = {row}"),
        _ => format!("UPDATE {table} SET v = {v} WHERE v = {row}"),
    };
    run(conn, &statement).await;
}
