//! Strings in every charset, labels, bytes, addresses, and names that need quoting.

use culvert_tests::Flavor;

use super::{Column, Shown, column};

/// Literals that have gone wrong somewhere: escapes, blanks, characters outside the BMP.
const TRICKY: &[&str] = &[
    "''",
    "'a'",
    "' lead'",
    "'trail  '",
    "'it''s \"q\" `b` \\\\ % _'",
    "'line\\nfeed\\rtab\\t'",
    "_utf8mb4 x'0001021a7f'",
    "'é ß ﬀ e\u{301}'",
    "'漢字かな한글'",
    "'😀👩‍👩‍👧'",
    "_utf8mb4 x'f48fbfbf'",
    "_utf8mb4 x'efbbbf61'",
    "'אבג عربى'",
    "'?'",
    "'NULL'",
    "'\\0'",
    "'--;/*'",
];

/// CHAR to LONGTEXT in utf8mb4, at their longest and around the lengths at which the log changes.
pub(super) fn texts() -> Vec<Column> {
    let sized = |name: &str, declared: &str, literals: &[&str]| column(name, declared, Shown::Text, literals);
    let mut columns = vec![
        sized("char_20", "CHAR(20)", TRICKY),
        sized("varchar_40", "VARCHAR(40)", TRICKY),
        sized("char_0", "CHAR(0)", &["''"]),
        sized("char_63", "CHAR(63)", &["REPEAT('😀', 63)", "'a'"]),
        sized("char_64", "CHAR(64)", &["REPEAT('😀', 64)", "'a'"]),
        sized("char_255", "CHAR(255)", &["REPEAT('😀', 255)", "'a'"]),
        sized("varchar_63", "VARCHAR(63)", &["REPEAT('😀', 63)", "'a'"]),
        sized("varchar_64", "VARCHAR(64)", &["REPEAT('😀', 64)", "'a'"]),
        sized("varchar_5000", "VARCHAR(5000)", &["REPEAT('漢', 5000)", "'a'", "''"]),
        sized("tinytext_", "TINYTEXT", &["REPEAT('a', 255)", "''", "REPEAT('é', 127)"]),
        sized("text_", "TEXT", &["REPEAT('b', 65535)", "''", "REPEAT('漢', 21845)"]),
        sized("mediumtext_", "MEDIUMTEXT", &["REPEAT('漢', 70000)", "''"]),
        sized("longtext_", "LONGTEXT", &["REPEAT('😀', 50000)", "''", "REPEAT('x', 300000)"]),
    ];
    columns.push(sized("long_tricky", "LONGTEXT", TRICKY));
    columns
}

/// Every charset of both servers, with characters of its own.
pub(super) fn charsets(flavor: Flavor) -> Vec<Column> {
    let mut columns = Vec::new();
    let all: String = (0..=255_u32).map(|byte| format!("{byte:02x}")).collect();
    for charset in ["latin1", "binary"] {
        let (value, shown) = match charset {
            "latin1" => (format!("_latin1 x'{all}'"), Shown::Text),
            _ => (format!("x'{all}'"), Shown::Bytes),
        };
        for declared in ["CHAR(255)", "VARCHAR(256)", "TEXT"] {
            let value = match declared {
                // One less: CHAR holds 255.
                "CHAR(255)" => value.replace("x'00", "x'"),
                _ => value.clone(),
            };
            let name = declared.split('(').next().unwrap_or_default().to_lowercase();
            columns.push(column(
                format!("{charset}_{name}"),
                format!("{declared} CHARACTER SET {charset}"),
                shown,
                &[&value, "''", "'a b'"],
            ));
        }
    }
    let samples = [
        ("ascii", "'plain ~'"),
        ("utf8mb3", "'é漢字'"),
        ("utf8mb4", "'é漢字😀'"),
        ("ucs2", "'é漢字'"),
        ("utf16", "'é漢字😀'"),
        ("utf16le", "'é漢字😀'"),
        ("utf32", "'é漢字😀'"),
        ("latin2", "'ąęłżŹ'"),
        ("latin5", "'ğışİ'"),
        ("latin7", "'āčęėįšųūž'"),
        ("greek", "'αβγΏώ'"),
        ("hebrew", "'אבגדת'"),
        ("cp1250", "'ěščřž€'"),
        ("cp1251", "'Привет Ёё'"),
        ("cp1256", "'عربى'"),
        ("cp1257", "'āčęėįš'"),
        ("cp850", "'éàüÑ'"),
        ("cp852", "'ąęłż'"),
        ("cp866", "'Привет'"),
        ("koi8r", "'Привет'"),
        ("koi8u", "'Привіт'"),
        ("dec8", "'éàü'"),
        ("hp8", "'éàü'"),
        ("swe7", "'åäöÅÄÖ'"),
        ("keybcs2", "'čďľšť'"),
        ("macce", "'ąčęé'"),
        ("macroman", "'éàü∑'"),
        ("armscii8", "'Աբգ'"),
        ("geostd8", "'აბგ'"),
        ("tis620", "'สวัสดี'"),
        ("big5", "'漢字測試'"),
        ("gb2312", "'汉字测试'"),
        ("gbk", "'漢字汉字囍'"),
        ("gb18030", "'漢字😀㐀'"),
        ("sjis", "'日本語ｶﾅ表'"),
        ("cp932", "'日本語ｶﾅ表①㈱'"),
        ("ujis", "'日本語ｶﾅ表丂'"),
        ("eucjpms", "'日本語ｶﾅ表①丂'"),
        ("euckr", "'한글테스트'"),
    ];
    for (charset, sample) in samples {
        if charset == "gb18030" && flavor == Flavor::MariaDb {
            continue;
        }
        let values = [sample, "''", "'a b '", "'ASCII \\\\ ~'"];
        for declared in ["VARCHAR(20)", "CHAR(20)"] {
            let prefix = if declared.starts_with('C') { "c" } else { "v" };
            columns.push(column(
                format!("{prefix}_{charset}"),
                format!("{declared} CHARACTER SET {charset}"),
                Shown::Text,
                // ASCII's backslash is not in every charset.
                if charset == "swe7" { &values[..3] } else { &values },
            ));
        }
    }
    columns
}

/// ENUM and SET: quotes, the empty label, other charsets, many labels.
pub(super) fn labels() -> Vec<Column> {
    let many: Vec<String> = (1..=300).map(|number| format!("'label {number}'")).collect();
    let flags: Vec<String> = (1..=64).map(|number| format!("'flag {number}'")).collect();
    let enums = |name: &str, declared: &str, values: &[&str]| column(name, declared, Shown::Labels, values);
    vec![
        enums("enum_", "ENUM('a','b','c')", &["'a'", "'c'", "2"]),
        enums(
            "enum_quotes",
            "ENUM('it''s','\"q\"','back\\\\slash','com,ma','','漢 ß')",
            &["1", "2", "3", "4", "5", "6"],
        ),
        enums("enum_latin1", "ENUM('é','ñ') CHARACTER SET latin1", &["'é'", "'ñ'"]),
        enums("enum_gbk", "ENUM('漢','字') CHARACTER SET gbk", &["'漢'", "'字'"]),
        enums("enum_utf16", "ENUM('漢','b') CHARACTER SET utf16", &["'漢'", "'b'"]),
        enums("enum_many", &format!("ENUM({})", many.join(",")), &["1", "255", "256", "300"]),
        enums("set_", "SET('a','b','c')", &["''", "'a'", "'a,c'", "7"]),
        enums("set_quotes", "SET('it''s','\"q\"','x y','漢')", &["''", "15", "9"]),
        enums("set_latin1", "SET('é','ñ') CHARACTER SET latin1", &["'é'", "'é,ñ'", "''"]),
        enums(
            "set_many",
            &format!("SET({})", flags.join(",")),
            &["1", "18446744073709551615", "9223372036854775808", "0"],
        ),
    ]
}

/// BINARY, VARBINARY and blobs.
pub(super) fn bytes() -> Vec<Column> {
    let all: String = (0..=255_u32).map(|byte| format!("{byte:02x}")).collect();
    let all = format!("x'{all}'");
    let short = ["x''", "x'00'", "x'0100'", "x'000001'", "x'ff'", "x'2020'", "x'27225c'", "x'c328'"];
    let sized =
        |name: &str, declared: &str, literals: &[&str]| column(name, declared, Shown::Bytes, literals);
    vec![
        sized("binary_4", "BINARY(4)", &short),
        sized("binary_1", "BINARY(1)", &["x'00'", "x'ff'", "x'20'"]),
        sized("binary_0", "BINARY(0)", &["x''"]),
        sized(
            "binary_16",
            "BINARY(16)",
            &["x'000102030405060708090a0b0c0d0e00'", "x''", "UNHEX(REPEAT('ff', 16))"],
        ),
        sized(
            "binary_255",
            "BINARY(255)",
            &["UNHEX(REPEAT('00', 255))", "UNHEX(REPEAT('ff', 255))", "x'01'"],
        ),
        sized("varbinary_4", "VARBINARY(4)", &short),
        sized("varbinary_255", "VARBINARY(255)", &["UNHEX(REPEAT('00', 255))", "x''"]),
        sized("varbinary_256", "VARBINARY(256)", &[&all, "x''"]),
        sized("tinyblob_", "TINYBLOB", &["UNHEX(REPEAT('00', 255))", "x''", "x'00'"]),
        sized("blob_", "BLOB", &["UNHEX(REPEAT('80', 65535))", &all, "x''"]),
        sized("mediumblob_", "MEDIUMBLOB", &["UNHEX(REPEAT('81ff', 50000))", "x''"]),
        sized("longblob_", "LONGBLOB", &["UNHEX(REPEAT('00ff', 150000))", &all, "x''"]),
    ]
}

/// MariaDB's types of fixed bytes.
pub(super) fn addresses() -> Vec<Column> {
    let uuids = [
        "'00000000-0000-0000-0000-000000000000'",
        "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        "'123e4567-e89b-12d3-a456-426614174000'",
        "'123e4567-e89b-42d3-a456-426614174000'",
        "'123e4567-e89b-72d3-a456-426614170000'",
        "'0190163d-8694-739b-aea5-966c26f8ad91'",
        "'123e4567-e89b-12d3-0456-426614174000'",
        "'6ccd780c-baba-1026-9564-5b8c656024db'",
        "'6ccd780c-baba-8026-9564-5b8c65602400'",
        "'6ccd780c-baba-f026-c564-000000000000'",
    ];
    let inet6 = [
        "'::'",
        "'::1'",
        "'2001:db8::ff00:42:8329'",
        "'::ffff:192.0.2.128'",
        "'::192.0.2.128'",
        "'fe80::'",
        "'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'",
        "'1:0:0:2:0:0:0:3'",
        "'1:2:3:4:5:6:7:0'",
        "'0:1:0:1:0:1:0:1'",
        "'::5'",
        "'::1:0'",
        "'1:0:2:3:4:5:6:7'",
        "'64:ff9b::1.2.3.4'",
    ];
    vec![
        column("uuid_", "UUID", Shown::Printed, &uuids),
        column(
            "inet4_",
            "INET4",
            Shown::Printed,
            &["'0.0.0.0'", "'255.255.255.255'", "'192.168.0.1'", "'10.0.0.0'"],
        ),
        column("inet6_", "INET6", Shown::Printed, &inet6),
    ]
}

/// Names that must be quoted, escaped or left alone.
pub(super) fn names() -> Vec<Column> {
    let names = [
        "select",
        "a`b",
        "``",
        "a b",
        "a'b",
        "a\"b",
        "a\\b",
        "ünïcödé",
        "漢字",
        "?",
        ":name",
        "${x}",
        "a.b",
        "--",
        "/*",
        "%s",
        "#",
        "$1",
        "1st",
        "x,y",
        "(",
        "NULL",
    ];
    let mut columns: Vec<Column> =
        names.iter().map(|name| column(*name, "INT", Shown::Printed, &["1", "2"])).collect();
    columns.push(column("n".repeat(64), "INT", Shown::Printed, &["1", "2"]));
    columns
}
