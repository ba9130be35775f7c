//! Definitions that CREATE TABLE makes.

use super::*;

fn types(columns: &str, options: &ParseOptions) -> Vec<String> {
    let table = create(&format!("CREATE TABLE t ({columns})"), options);
    table.columns.into_iter().map(|column| column.column_type).collect()
}

#[test]
fn integers_by_server() {
    let columns = "a INT, b INT(5) UNSIGNED, c TINYINT(1), e BOOL, f TINYINT(1) UNSIGNED, g INT(4) ZEROFILL, h BIGINT UNSIGNED, i YEAR, j SERIAL";
    assert_eq!(
        types(columns, &mysql()),
        [
            "int",
            "int unsigned",
            "tinyint(1)",
            "tinyint(1)",
            "tinyint unsigned",
            "int(4) unsigned zerofill",
            "bigint unsigned",
            "year",
            "bigint unsigned"
        ]
    );
    let wide = [
        "int(11)",
        "int(5) unsigned",
        "tinyint(1)",
        "tinyint(1)",
        "tinyint(1) unsigned",
        "int(4) unsigned zerofill",
        "bigint(20) unsigned",
        "year(4)",
        "bigint(20) unsigned",
    ];
    assert_eq!(types(columns, &ParseOptions::mariadb()), wide);
    assert_eq!(types(columns, &ParseOptions { version: 50_744, ..mysql() }), wide);
}

#[test]
fn synonyms() {
    let cases = [
        ("INTEGER", "int"),
        ("INT1", "tinyint"),
        ("MIDDLEINT", "mediumint"),
        ("DEC(5)", "decimal(5,0)"),
        ("NUMERIC", "decimal(10,0)"),
        ("FIXED (6 , 2) UNSIGNED", "decimal(6,2) unsigned"),
        ("REAL", "double"),
        ("DOUBLE PRECISION", "double"),
        ("FLOAT(24)", "float"),
        ("FLOAT(25)", "double"),
        ("FLOAT(7,3)", "float(7,3)"),
        ("FLOAT8", "double"),
        ("BIT", "bit(1)"),
        ("CHARACTER VARYING(7)", "varchar(7)"),
        ("CHAR VARYING (7)", "varchar(7)"),
        ("NATIONAL CHARACTER VARYING(7)", "varchar(7)"),
        ("NCHAR(7)", "char(7)"),
        ("NVARCHAR(7)", "varchar(7)"),
        ("CHAR BYTE", "binary(1)"),
        ("LONG", "mediumtext"),
        ("LONG VARCHAR", "mediumtext"),
        ("LONG VARBINARY", "mediumblob"),
        ("TEXT(63)", "tinytext"),
        ("TEXT(64)", "text"),
        ("TEXT(63) CHARACTER SET latin1", "tinytext"),
        ("TEXT(255) CHARACTER SET latin1", "tinytext"),
        ("BLOB(256)", "blob"),
        ("BLOB(65536)", "mediumblob"),
        ("DATETIME(6)", "datetime(6)"),
        ("TIME(0)", "time"),
        ("VECTOR", "vector(2048)"),
        ("JSON", "json"),
        ("GEOMETRYCOLLECTION", "geomcollection"),
        (
            "ENUM ( 'a' , \"b'c\" , 'd''e' , 'f\\\\g' , _latin1'h' , 0x69 , b'01101010' , 'k  ' )",
            "enum('a','b''c','d''e','f\\\\g','h','i','j','k')",
        ),
        ("SET('x')", "set('x')"),
    ];
    for (written, expected) in cases {
        assert_eq!(types(&format!("a {written}"), &mysql()), [expected], "{written}");
    }
}

#[test]
fn character_sets_and_collations() {
    let sql = "CREATE TABLE t (a VARCHAR(5), b VARCHAR(5) CHARACTER SET utf8, c VARCHAR(5) COLLATE koi8r_bin, e CHAR(5) BINARY, \
               f TEXT UNICODE, g INT, h ENUM('x'), i NCHAR(5), j TEXT CHARACTER SET binary, k VARCHAR(5) CHARACTER SET DEFAULT, \
               l VARCHAR(5) COLLATE utf8_bin) DEFAULT CHARACTER SET latin1 COLLATE latin1_general_cs";
    let table = create(sql, &mysql());
    assert_eq!(
        shown(&table),
        [
            "a varchar(5) latin1",
            "b varchar(5) utf8mb3",
            "c varchar(5) koi8r",
            "e char(5) latin1",
            "f text ucs2",
            "g int",
            "h enum('x') latin1",
            "i char(5) utf8mb3",
            "j blob",
            "k varchar(5) latin1",
            "l varchar(5) utf8mb3",
        ]
    );
    let collations: Vec<Option<&str>> =
        table.columns.iter().map(|column| column.collation.as_deref()).collect();
    let expected = [
        Some("latin1_general_cs"),
        None,
        Some("koi8r_bin"),
        Some("latin1_bin"),
        None,
        None,
        Some("latin1_general_cs"),
        None,
        None,
        Some("latin1_general_cs"),
        Some("utf8mb3_bin"),
    ];
    assert_eq!(collations, expected);
    assert_eq!(table.default_charset.as_deref(), Some("latin1"));

    let unknown = match read("CREATE TABLE t (a TEXT, b TEXT CHARSET latin1)", &mysql()) {
        Statement::CreateTable(create) => create.definition(None),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&unknown), ["a text", "b text latin1"]);
    assert_eq!(unknown.default_charset, None);
}

#[test]
fn contextual_collations() {
    let sql = "CREATE TABLE t (a VARCHAR(5) COLLATE uca1400_ai_ci, b VARCHAR(5) CHARACTER SET utf8mb3 COLLATE uca1400_as_cs)";
    assert_eq!(
        shown(&create(sql, &ParseOptions::mariadb())),
        ["a varchar(5) utf8mb4", "b varchar(5) utf8mb3"]
    );
    assert_eq!(charset_of_collation("uca1400_ai_ci"), None);
    assert_eq!(charset_of_collation("UTF8_general_ci").as_deref(), Some("utf8mb3"));
    assert_eq!(charset_of_collation("binary").as_deref(), Some("binary"));
}

#[test]
fn nullability() {
    let sql = "CREATE TABLE t (a INT NOT NULL, b INT NULL, c INT DEFAULT NULL, e INT AUTO_INCREMENT, f INT PRIMARY KEY, \
               g INT DEFAULT NULL REFERENCES x (y) ON DELETE SET NULL, h INT NOT NULL REFERENCES x (y) ON UPDATE SET NULL, \
               i INT NOT NULL DEFAULT (IFNULL(NULL, 1)), j INT DEFAULT 1 NOT NULL, k INT COMMENT 'NOT NULL', \
               l INT CHECK (l IS NOT NULL), m TIMESTAMP, n SERIAL, o INT SERIAL DEFAULT VALUE, p INT NOT NULL CHECK (p > 1) NOT ENFORCED)";
    let not_null = |options: &ParseOptions| -> String {
        let table = create(sql, options);
        table.columns.iter().filter(|column| !column.nullable).map(|column| column.name.as_str()).collect()
    };
    assert_eq!(not_null(&mysql()), "aefhijnop");
    assert_eq!(not_null(&ParseOptions { explicit_defaults_for_timestamp: false, ..mysql() }), "aefhijmnop");
}

#[test]
fn defaults_do_not_swallow_what_follows() {
    let defaults = [
        "0",
        "-1.5e3",
        "'a' 'b'",
        "_utf8mb4'x'",
        "N'x'",
        "x'41'",
        "b'1'",
        "TRUE",
        "NULL",
        "CURRENT_TIMESTAMP",
        "NOW(6)",
        "(1 + (2) * f(')'))",
        "DATE '2020-01-01'",
        "TIMESTAMP'2020-01-01 00:00:00'",
        "uuid()",
        "x.f(1, 2)",
        "(CASE WHEN 1 THEN 2 END)",
        "NEXT VALUE FOR x.s",
        "nextval(`s`)",
        "CASE WHEN a THEN 'END' ELSE 2 END",
        "1 + 1",
        "CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)",
        "'a,b)'",
        "\"x\"",
        "a",
        "'x' COLLATE utf8mb4_bin",
        "@@x",
        "1 COLUMN_FORMAT DYNAMIC STORAGE MEMORY",
        "1 VISIBLE",
        "1 ENGINE_ATTRIBUTE='{}'",
    ];
    for default in defaults {
        let sql = format!(
            "CREATE TABLE t (a VARCHAR(5) DEFAULT {default} NOT NULL, b INT DEFAULT {default}, c INT)"
        );
        let table = create(&sql, &mysql());
        let nullable: Vec<bool> = table.columns.iter().map(|column| column.nullable).collect();
        assert_eq!((names(&table), nullable), (vec!["a", "b", "c"], vec![false, true, true]), "{default}");
    }
}

#[test]
fn generated_columns() {
    let sql = "CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a + 1) VIRTUAL NOT NULL, c INT AS (a) PERSISTENT, e VARCHAR(9) AS (CONCAT(a, 'NOT NULL')) STORED COMMENT 'x')";
    assert_eq!(
        shown(&create(sql, &mysql())),
        ["a int", "b int not null generated", "c int generated", "e varchar(9) utf8mb4 generated"]
    );
}

#[test]
fn keys() {
    let sql = "CREATE TABLE t (ID INT, `B` INT, c VARCHAR(9), e INT UNIQUE, PRIMARY KEY pk USING BTREE (`b`, id), UNIQUE (C(5) DESC), \
               UNIQUE KEY (c, e) COMMENT 'x', CONSTRAINT s UNIQUE INDEX (e), CONSTRAINT s2 UNIQUE named (id), UNIQUE KEY f ((e + 1)), \
               KEY (c), INDEX i (e), FULLTEXT (c), SPATIAL INDEX (g), CONSTRAINT fk FOREIGN KEY (e) REFERENCES x (y), CHECK (e > 0))";
    let table = create(sql, &mysql());
    assert_eq!(table.primary_key, ["B", "ID"]);
    let unique: Vec<String> =
        table.unique_keys.iter().map(|key| format!("{} {}", key.name, key.columns.join(","))).collect();
    assert_eq!(unique, ["e e", "c c", "c_2 c,e", "s e", "named ID"]);
    assert!(!table.columns[0].nullable && !table.columns[1].nullable && table.columns[2].nullable);
}

#[test]
fn words_that_may_be_columns() {
    let sql = "CREATE TABLE t (period INT, vector VARCHAR(5), comment TEXT, type INT, status INT, `key` INT, `primary` INT, system INT, \
               value INT, enum ENUM('a'), date DATE, text TEXT, bit BIT, json JSON, `check` INT, t.x INT, start INT, no INT)";
    let expected = [
        "period", "vector", "comment", "type", "status", "key", "primary", "system", "value", "enum", "date",
        "text", "bit", "json", "check", "x", "start", "no",
    ];
    assert_eq!(names(&create(sql, &mysql())), expected);
}

#[test]
fn options_of_mariadb() {
    let sql = "CREATE OR REPLACE TABLE t (a INT NOT NULL, b VARCHAR(9) COMPRESSED, c JSON, e UUID, f TEXT COMPRESSED=zlib, \
               g TIMESTAMP(6) GENERATED ALWAYS AS ROW START, h TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, \
               i INT WITHOUT SYSTEM VERSIONING NOT NULL, j INT `engine_option`=5 NOT NULL, PERIOD FOR SYSTEM_TIME (g, h)) \
               ENGINE=Aria TRANSACTIONAL=1 PAGE_CHECKSUM=1 WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 WEEK AUTO";
    let table = create(sql, &ParseOptions::mariadb());
    assert_eq!(
        shown(&table),
        [
            "a int(11) not null",
            "b varchar(9) /*M!100301 COMPRESSED*/ utf8mb4",
            "c longtext utf8mb4",
            "e uuid",
            "f text /*M!100301 COMPRESSED*/ utf8mb4",
            "g timestamp(6) not null generated",
            "h timestamp(6) not null generated",
            "i int(11) not null",
            "j int(11) not null",
        ]
    );
    assert!(!table.hidden_period);
    assert!(create("CREATE TABLE t (a INT) WITH SYSTEM VERSIONING", &ParseOptions::mariadb()).hidden_period);
}

#[test]
fn modes() {
    let mode = |sql_mode, mariadb| ParseOptions { sql_mode, mariadb, ..mysql() };
    let ansi = create(r#"CREATE TABLE "x"."t""u" ("a b" INT DEFAULT 1, c ENUM('q"r'))"#, &mode(4, false));
    assert_eq!((ansi.database.as_str(), ansi.table.as_str()), ("x", "t\"u"));
    assert_eq!(names(&ansi), ["a b", "c"]);
    let slashes = create(r"CREATE TABLE t (a ENUM('x\'), b INT COMMENT '\', c INT)", &mode(1 << 20, false));
    assert_eq!(shown(&slashes), [r"a enum('x\\') utf8mb4", "b int", "c int"]);
    assert_eq!(types("a REAL, b REAL(5,2)", &mode(1, false)), ["float", "float(5,2)"]);
    assert_eq!(
        types(
            "a DATE, b BLOB, c NUMBER, e NUMBER(5,2), f VARCHAR2(5), g RAW(5), h CLOB",
            &mode(512 | 4, true)
        ),
        ["datetime", "longblob", "double", "decimal(5,2)", "varchar(5)", "varbinary(5)", "longtext"]
    );
}

#[test]
fn query_and_transaction_flags() {
    let flags = |sql: &str| match read(sql, &mysql()) {
        Statement::CreateTable(create) => (
            create.as_select,
            create.starts_transaction,
            create.if_not_exists,
            create.temporary,
            create.or_replace,
        ),
        other => panic!("{other:?}"),
    };
    assert_eq!(flags("CREATE TABLE t (a INT)"), (false, false, false, false, false));
    assert_eq!(
        flags("CREATE TABLE t (a INT) ENGINE=InnoDB START TRANSACTION"),
        (false, true, false, false, false)
    );
    assert_eq!(
        flags("CREATE TABLE IF NOT EXISTS t (a INT) IGNORE SELECT 1 b"),
        (true, false, true, false, false)
    );
    assert_eq!(flags("CREATE TEMPORARY TABLE t AS SELECT 1"), (true, false, false, true, false));
    assert_eq!(
        flags("CREATE OR REPLACE TABLE t (a INT) PARTITION BY HASH (a) (SELECT 1 a)"),
        (true, false, false, false, true)
    );
    assert_eq!(
        flags("CREATE TABLE t (a INT) PARTITION BY LIST (a) (PARTITION p VALUES IN (1))"),
        (false, false, false, false, false)
    );
}

#[test]
fn definition_is_stored_and_read_back() {
    let table =
        create("CREATE TABLE t (a INT PRIMARY KEY, b VARCHAR(5) UNIQUE COLLATE latin1_bin)", &mysql());
    let text = serde_json::to_string(&table).unwrap();
    assert_eq!(serde_json::from_str::<TableDef>(&text).unwrap(), table);
}
