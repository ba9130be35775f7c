//! Every character of every charset, beside what the server's own conversion makes of it.

use culvert_source_mysql::charset::Charset;
use culvert_tests::oracle::rows_in_order;
use culvert_tests::{Flavor, Server, shared};
use mysql_async::Conn;

use super::job::{conn, run};

/// Codes of a charset that one statement inserts.
const CODES_PER_STATEMENT: usize = 20_000;
/// How many differences are shown in all.
const SHOWN_MAX: usize = 30;

const SINGLE: &[&str] = &[
    "latin1", "latin2", "latin5", "latin7", "greek", "hebrew", "cp1250", "cp1251", "cp1256", "cp1257",
    "cp850", "cp852", "cp866", "koi8r", "koi8u", "dec8", "hp8", "swe7", "keybcs2", "macce", "macroman",
    "armscii8", "geostd8", "tis620", "ascii",
];
const DOUBLE: &[&str] = &["big5", "gb2312", "gbk", "sjis", "cp932", "ujis", "eucjpms", "euckr", "gb18030"];

/// All byte sequences that may be a character.
fn codes(charset: &str) -> Vec<Vec<u8>> {
    let mut codes: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    if DOUBLE.contains(&charset) {
        codes.extend((0x80..=0xff_u8).flat_map(|lead| (0x30..=0xff_u8).map(move |trail| vec![lead, trail])));
    }
    if matches!(charset, "ujis" | "eucjpms") {
        codes
            .extend((0xa1..=0xfe_u8).flat_map(|row| (0xa1..=0xfe_u8).map(move |cell| vec![0x8f, row, cell])));
    }
    if charset == "gb18030" {
        // Four bytes: a sample of the million and a half.
        let four = |number: u32| {
            let (number, last) = (number / 10, number % 10);
            let (number, third) = (number / 126, number % 126);
            let (first, second) = (number / 10, number % 10);
            [first + 0x81, second + 0x30, third + 0x81, last + 0x30]
                .map(|byte| u8::try_from(byte).expect("small"))
                .to_vec()
        };
        codes.extend((0..39_420).map(four));
        codes.extend((189_000..1_237_576).step_by(1_999).map(four));
    }
    codes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_decodes_as_mariadb_converts_it() {
    compare_all(shared(Flavor::MariaDb).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_decodes_as_mysql_converts_it() {
    compare_all(shared(Flavor::MySql).await).await;
}

async fn compare_all(server: &Server) {
    let database = server.fresh_database("charsets").await;
    let mut conn = conn(server).await;
    run(&mut conn, "SET sql_mode = ''").await;
    run(&mut conn, "SET max_heap_table_size = 128 << 20").await;
    run(&mut conn, &format!("USE `{database}`")).await;
    let mut wrong = Vec::new();
    for charset in SINGLE.iter().chain(DOUBLE) {
        if *charset != "gb18030" || server.flavor() == Flavor::MySql {
            compare(&mut conn, charset, &mut wrong).await;
        }
    }
    assert!(wrong.is_empty(), "{} on {}:\n{}", wrong.len(), server.flavor().name(), wrong.join("\n"));
}

async fn compare(conn: &mut Conn, charset: &str, wrong: &mut Vec<String>) {
    run(
        conn,
        &format!(
            "CREATE TABLE {charset} (o VARBINARY(4), c VARCHAR(4) CHARACTER SET {charset}) ENGINE=MEMORY"
        ),
    )
    .await;
    for part in codes(charset).chunks(CODES_PER_STATEMENT) {
        let values: Vec<String> = part
            .iter()
            .map(|code| {
                let hex: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("(x'{hex}',x'{hex}')")
            })
            .collect();
        // What is no text of the charset is cut off, and so is not stored as it was.
        run(conn, &format!("INSERT IGNORE INTO {charset} VALUES {}", values.join(","))).await;
    }
    let query = format!("SELECT HEX(o), HEX(CONVERT(c USING utf8mb4)) FROM {charset} WHERE HEX(c) = HEX(o)");
    let decoder = Charset::from_name(charset).expect("it is known");
    let (mut different, mut refused, mut equal) = (Vec::new(), Vec::new(), 0);
    for row in rows_in_order(conn, &query).await {
        let [Some(code), Some(expected)] = row.as_slice() else { panic!("NULL in {charset}") };
        let bytes = unhex(code);
        let mut text = String::new();
        let decoded = decoder.append(&bytes, &mut text).map(|()| text);
        // The server has no character for it: ours may be one that others have given it.
        let unknown = (expected.replace("3F", "").is_empty() && code != "3F") || expected == "EFBFBD";
        match decoded {
            _ if unknown => {}
            Ok(text) if hex(text.as_bytes()) == *expected => equal += 1,
            Ok(text) => different.push(format!("{code}: {expected} became {} {text}", hex(text.as_bytes()))),
            Err(_) => refused.push(format!("{code} {expected}")),
        }
    }
    let name = charset;
    for (what, list) in [("different", different), ("refused", refused)] {
        if !list.is_empty() && wrong.len() < SHOWN_MAX {
            let shown: Vec<&str> = list.iter().take(8).map(String::as_str).collect();
            wrong.push(format!("{name}: {} {what}, {equal} equal: {}", list.len(), shown.join("; ")));
        }
    }
    assert!(equal > 90, "{charset}: only {equal} characters were compared");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
}
