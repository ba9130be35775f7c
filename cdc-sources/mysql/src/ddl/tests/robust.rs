//! No input panics or takes more than linear time.

use std::time::Duration;

use super::*;

/// Statements that visit every corner of the parser.
const SEEDS: &[&str] = &[
    "CREATE TABLE `a``b`.t (id INT(10) UNSIGNED NOT NULL AUTO_INCREMENT, b VARCHAR(5) CHARACTER SET utf8 COLLATE utf8_bin DEFAULT 'x\\'y', c ENUM('a','b',0x63), PRIMARY KEY (id), UNIQUE KEY u (b(3) DESC), CONSTRAINT f FOREIGN KEY (b) REFERENCES s (x) ON DELETE SET NULL) ENGINE=InnoDB DEFAULT CHARSET=latin1 /*!50100 PARTITION BY HASH (id) */",
    "ALTER TABLE t ADD COLUMN (a INT, b TEXT(5)), DROP c, CHANGE d e DECIMAL(5,2) AFTER f, MODIFY g BIT(3) FIRST, RENAME COLUMN h TO i, ADD UNIQUE (j), DROP PRIMARY KEY, CONVERT TO CHARACTER SET binary, RENAME TO x.y, ORDER BY a, b",
    "CREATE UNIQUE INDEX i USING BTREE ON t (a, (b + 1)) COMMENT 'x'",
    "RENAME TABLE a TO b, c WAIT 5 TO d",
    "DROP TABLE IF EXISTS a, `b`.`c`",
    "CREATE DATABASE d CHARSET utf8 COLLATE utf8_bin",
    "/*M!100100 SET STATEMENT x = 1 FOR */ LOAD DATA INFILE 'x' INTO TABLE t # end",
    "XA COMMIT X'61',X'',1 ONE PHASE -- x",
    "CREATE TABLE t (a TIMESTAMP(6) GENERATED ALWAYS AS ROW START, PERIOD FOR SYSTEM_TIME (a, b)) WITH SYSTEM VERSIONING AS SELECT 1",
];

/// Fragments that mutations put in.
const PIECES: &[&str] = &[
    "(",
    ")",
    ",",
    "'",
    "`",
    "\"",
    "\\",
    "/*",
    "*/",
    "/*!",
    "/*!50100",
    "--",
    "-- ",
    "#",
    ";",
    ".",
    "0x",
    "x'",
    "b'",
    "_utf8",
    "é",
    "\u{1F600}",
    "\0",
    "\n",
    " ",
    "=",
    "@",
    "NOT",
    "NULL",
    "AFTER",
    "FIRST",
    "DEFAULT",
    "PARTITION",
    "ENUM(",
    "CHAR",
    "SET",
    "LONG",
    "AS",
    "SELECT",
    "1e",
    "9999999999999999999999",
];

/// A small generator (xorshift), so that a failure's seed says all.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// A place in the text where a character begins.
fn boundary(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn mutate(text: &mut String, random: &mut Random) {
    let (one, other) = (boundary(text, random), boundary(text, random));
    let (from, to) = (one.min(other), one.max(other).min(one.min(other) + 40));
    let to = if text.is_char_boundary(to) { to } else { text.len() };
    match random.below(4) {
        0 => text.replace_range(from..to, ""),
        1 => {
            let copy = text[from..to].to_owned();
            text.insert_str(boundary(text, random).min(text.len()), &copy);
        }
        2 => text.truncate(one),
        _ => text.insert_str(one, PIECES[random.below(PIECES.len())]),
    }
}

#[test]
fn mutations_never_panic() {
    let base = create("CREATE TABLE t (c INT, d INT, f INT, g INT, h INT, j INT)", &mysql());
    for seed in 1..=6000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut text = SEEDS[random.below(SEEDS.len())].to_owned();
        for _ in 0..=random.below(6) {
            mutate(&mut text, &mut random);
        }
        let options = ParseOptions {
            mariadb: random.below(2) == 1,
            sql_mode: [0, 4, 1 << 20, 512 | 4][random.below(4)],
            ..mysql()
        };
        let outcome = std::panic::catch_unwind(|| {
            let statement = parse(&text, "d", &options);
            let mut catalog = MemoryCatalog::new(Some("utf8mb4"), false);
            catalog.put(base.clone());
            apply_statement(&mut catalog, &statement);
        });
        assert!(outcome.is_ok(), "seed {seed}: {text}");
    }
}

#[test]
fn a_statement_cut_short_is_not_taken_for_whole() {
    for seed in SEEDS {
        let closing = seed.find(") ENGINE").unwrap_or(0);
        for (at, _) in seed.char_indices() {
            let found = parse(&seed[..at], "d", &mysql());
            assert!(at > closing || !matches!(found, Statement::CreateTable(_)), "{}", &seed[..at]);
        }
    }
}

/// What this thread has had of a processor: a busy machine does not count.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap()
}

/// Parses the text and the same made ten times as long, and compares the times. The factor leaves
/// room for caches and stays far below the hundredfold of quadratic time.
fn assert_linear(what: &str, text: impl Fn(usize) -> String) {
    let time = |text: &str| {
        let best = (0..5).map(|_| {
            let start = processor_time();
            std::hint::black_box(parse(text, "d", &mysql()));
            processor_time().saturating_sub(start)
        });
        best.min().unwrap()
    };
    let (short, long) = (time(&text(20_000)), time(&text(200_000)));
    assert!(long < short * 50 + Duration::from_millis(20), "{what}: {short:?} became {long:?}");
}

#[test]
fn long_and_deep_input_takes_linear_time() {
    assert_linear("open parentheses", |n| format!("CREATE TABLE t (a INT DEFAULT {}", "(".repeat(n)));
    assert_linear("nested parentheses", |n| {
        format!("CREATE TABLE t (a INT DEFAULT {}1{}, b INT)", "(".repeat(n), ")".repeat(n))
    });
    assert_linear("open comments", |n| format!("CREATE TABLE t (a INT {}", "/*!50100 ".repeat(n)));
    assert_linear("plain comments", |n| format!("{} CREATE TABLE t (a INT)", "/**/".repeat(n)));
    assert_linear("quotes", |n| format!("CREATE TABLE t (a INT COMMENT '{}')", "''".repeat(n)));
    assert_linear("escapes", |n| format!("CREATE TABLE t (a ENUM('{}'))", "\\\\".repeat(n)));
    assert_linear("labels", |n| format!("CREATE TABLE t (a ENUM({}'x'))", "'abc',".repeat(n)));
    assert_linear("default operators", |n| format!("CREATE TABLE t (a INT DEFAULT {}1)", "1 + ".repeat(n)));
    assert_linear("case", |n| format!("CREATE TABLE t (a INT DEFAULT {})", "CASE ".repeat(n)));
    assert_linear("columns", |n| format!("CREATE TABLE t ({}b INT)", "a INT,".repeat(n)));
    assert_linear("keys", |n| format!("CREATE TABLE t ({}b INT)", "UNIQUE (a),".repeat(n)));
    assert_linear("key parts", |n| format!("CREATE TABLE t (a INT, UNIQUE ({}a))", "a,".repeat(n)));
    assert_linear("actions", |n| format!("ALTER TABLE t {}COMMENT 'x'", "ADD a INT,".repeat(n)));
    assert_linear("order", |n| format!("ALTER TABLE t ORDER BY {}a", "a,".repeat(n)));
    assert_linear("rows", |n| format!("INSERT INTO t VALUES {}(1)", "(1),".repeat(n)));
    assert_linear("tables", |n| format!("DROP TABLE {}a", "a,".repeat(n)));
}

#[test]
fn sizes_are_limited() {
    let many = |count: usize| {
        format!("CREATE TABLE t ({}z INT)", (0..count).map(|n| format!("c{n} INT,")).collect::<String>())
    };
    assert!(matches!(read(&many(COLUMNS_MAX - 1), &mysql()), Statement::CreateTable(_)));
    assert!(matches!(read(&many(COLUMNS_MAX), &mysql()), Statement::Unknown { .. }));
    let mut wide = create(&many(COLUMNS_MAX - 1), &mysql());
    assert_eq!(alter(&mut wide, "ALTER TABLE t ADD y INT", &mysql()), Err(ApplyError::TooMany));
    assert_eq!(alter(&mut wide, "ALTER TABLE t DROP c0, ADD y INT", &mysql()), Ok(Changed::Columns));
    let keys = format!("CREATE TABLE t (a INT{})", ", UNIQUE (a)".repeat(KEYS_MAX + 1));
    assert!(matches!(read(&keys, &mysql()), Statement::Unknown { .. }));

    // Too long to be read whole: not taken for understood.
    let long = format!("CREATE TABLE t (a INT COMMENT '{}')", "x".repeat(lexer::STATEMENT_BYTES_MAX));
    assert_eq!(read(&long, &mysql()), Statement::Unknown { tables: vec![TableName::new("d", "t")] });
    let rows = format!("INSERT INTO t VALUES ('{}')", "x".repeat(lexer::STATEMENT_BYTES_MAX));
    assert!(matches!(read(&rows, &mysql()), Statement::Dml { kind: DmlKind::Insert, table: Some(_) }));
}
