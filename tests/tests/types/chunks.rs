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

/// Rows per table; chunks have ten.
const ROWS: usize = 150;
/// Changes at least, while the tables are read.
const CHANGES_MIN: usize = 300;

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
    let collations: Vec<&str> = BOTH.iter().chain(own).copied().collect();
    for (place, collation) in collations.iter().enumerate() {
        let charset = charset_of(collation);
        // CHAR and VARCHAR pad differently; a second column tells equal words apart.
        let declared = if place % 3 == 2 { "CHAR(12)" } else { "VARCHAR(24)" };
        let create = format!(
            "CREATE TABLE `{source}`.{collation} (k {declared} CHARACTER SET {charset} COLLATE {collation} NOT NULL, \
             n INT NOT NULL, v INT NOT NULL, PRIMARY KEY (k, n))"
        );
        run(&mut conn, &create).await;
        let rows: Vec<String> = (0..ROWS)
            .map(|row| {
                format!("({}, {}, {row})", random_key(&mut random, charset), random.random_range(0..2))
            })
            .collect();
        run(&mut conn, &format!("INSERT IGNORE INTO `{source}`.{collation} VALUES {}", rows.join(", ")))
            .await;
    }
    let options = "snapshot.split.size = 10, snapshot.parallelism = 3";
    let mut job = Mirror { source_options: options, ..Mirror::new(server, &source, &target) }.start();
    let mut changes = 0;
    let half = collations[collations.len() / 2..].iter();
    let arrived: Vec<String> = half.map(|name| format!("SELECT 1 FROM `{target}`.{name} LIMIT 1")).collect();
    // Until the later tables have begun to arrive, and a little longer.
    let mut next = arrived.iter();
    let mut awaited = next.next();
    while awaited.is_some() || changes < CHANGES_MIN {
        let collation = collations.choose(&mut random).expect("there are collations");
        change(&mut conn, &source, collation, &mut random).await;
        changes += 1;
        if changes % 50 == 0
            && let Some(query) = awaited
        {
            job.until_none("the job to run", async || None).await;
            if has_rows(&mut conn, query).await {
                awaited = next.next();
            }
        }
    }
    for collation in &collations {
        job.until_none("source and mirror to be equal", async || {
            difference(&mut conn, collation, "HEX(CONVERT(k USING utf8mb4)), n, v", &source, &target).await
        })
        .await;
    }
    job.stop();
}

async fn has_rows(conn: &mut Conn, query: &str) -> bool {
    use mysql_async::prelude::Queryable;
    // The table may not be there yet.
    conn.query_first::<u8, _>(query).await.is_ok_and(|found| found.is_some())
}

async fn change(conn: &mut Conn, database: &str, collation: &str, random: &mut StdRng) {
    let (table, charset) = (format!("`{database}`.{collation}"), charset_of(collation));
    let (old, new) = (random_key(random, charset), random_key(random, charset));
    let (n, v) = (random.random_range(0..2), random.random_range(0..1_000_000));
    let statement = match random.random_range(0..5) {
        0 | 1 => format!("INSERT IGNORE INTO {table} VALUES ({new}, {n}, {v})"),
        2 => format!("UPDATE {table} SET v = {v} WHERE k >= {old} COLLATE {collation} LIMIT 3"),
        3 => format!(
            "UPDATE IGNORE {table} SET k = {new}, v = {v} WHERE k >= {old} COLLATE {collation} LIMIT 1"
        ),
        _ => format!("DELETE FROM {table} WHERE k >= {old} COLLATE {collation} LIMIT 1"),
    };
    run(conn, &statement).await;
}
