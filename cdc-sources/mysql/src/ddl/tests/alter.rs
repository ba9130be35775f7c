//! ALTER TABLE applied to definitions.

use super::*;

/// `t (id, a, b, c)` with a key on `id` and a unique one on `b`.
fn table() -> TableDef {
    create(
        "CREATE TABLE t (id INT, a VARCHAR(5), b INT, c TEXT, PRIMARY KEY (id), UNIQUE KEY ub (b)) CHARSET latin1",
        &mysql(),
    )
}

fn after(sql: &str) -> TableDef {
    let mut table = table();
    alter(&mut table, sql, &mysql()).unwrap_or_else(|error| panic!("{sql}: {error}"));
    table
}

#[test]
fn order_of_columns() {
    let cases: [(&str, &[&str]); 15] = [
        ("ADD x INT", &["id", "a", "b", "c", "x"]),
        ("ADD COLUMN x INT FIRST", &["x", "id", "a", "b", "c"]),
        ("ADD x INT NOT NULL DEFAULT 'AFTER b' AFTER A", &["id", "a", "x", "b", "c"]),
        ("ADD x INT AFTER a, ADD y INT AFTER x, ADD z INT FIRST", &["z", "id", "a", "x", "y", "b", "c"]),
        ("ADD (x INT, y VARCHAR(5) COMMENT ',)', KEY (x)), ADD z INT", &["id", "a", "b", "c", "x", "y", "z"]),
        ("DROP a, DROP COLUMN C", &["id", "b"]),
        ("DROP a, ADD a INT", &["id", "b", "c", "a"]),
        ("CHANGE a x INT", &["id", "x", "b", "c"]),
        ("CHANGE COLUMN a x INT AFTER c", &["id", "b", "c", "x"]),
        ("MODIFY c INT FIRST", &["c", "id", "a", "b"]),
        ("MODIFY COLUMN a INT AFTER c, ADD x INT AFTER a", &["id", "b", "c", "a", "x"]),
        ("RENAME COLUMN a TO c, RENAME COLUMN c TO a", &["id", "c", "b", "a"]),
        ("CHANGE a b INT, CHANGE b a INT", &["id", "b", "a", "c"]),
        ("CHANGE a x INT, ADD y INT AFTER x, DROP b", &["id", "x", "y", "c"]),
        (
            "ADD x INT AFTER id, ALGORITHM=INSTANT, LOCK=DEFAULT, COMMENT 'ADD y INT'",
            &["id", "x", "a", "b", "c"],
        ),
    ];
    for (actions, expected) in cases {
        assert_eq!(names(&after(&format!("ALTER TABLE t {actions}"))), expected, "{actions}");
    }
}

#[test]
fn what_changed() {
    let cases = [
        ("COMMENT='x'", Changed::Nothing),
        ("ENGINE=InnoDB, FORCE", Changed::Nothing),
        ("ADD INDEX (a)", Changed::Nothing),
        ("ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES s (x)", Changed::Nothing),
        ("ALTER a SET DEFAULT 'x', ALTER COLUMN b DROP DEFAULT", Changed::Nothing),
        ("MODIFY b INT COMMENT 'x'", Changed::Nothing),
        ("MODIFY a VARCHAR(5) DEFAULT 'x'", Changed::Nothing),
        ("DROP INDEX of_no_concern", Changed::Nothing),
        ("PARTITION BY HASH (id)", Changed::Nothing),
        ("ORDER BY a, b", Changed::Nothing),
        ("ADD COLUMN IF NOT EXISTS a BIGINT", Changed::Nothing),
        ("DROP COLUMN IF EXISTS x", Changed::Nothing),
        ("MODIFY COLUMN IF EXISTS x INT", Changed::Nothing),
        ("CHANGE IF EXISTS x y INT", Changed::Nothing),
        ("RENAME COLUMN IF EXISTS x TO y", Changed::Nothing),
        ("CONVERT TO CHARACTER SET latin1", Changed::Nothing),
        ("ADD UNIQUE (a)", Changed::Definition),
        ("DROP KEY ub", Changed::Definition),
        ("RENAME KEY ub TO uc", Changed::Definition),
        ("DEFAULT CHARSET=utf8mb4", Changed::Definition),
        ("MODIFY a VARCHAR(5) COLLATE latin1_bin", Changed::Definition),
        ("RENAME TO u", Changed::Definition),
        ("ADD SYSTEM VERSIONING", Changed::Definition),
        ("MODIFY b BIGINT", Changed::Columns),
        ("MODIFY b INT NOT NULL", Changed::Columns),
        ("DROP PRIMARY KEY", Changed::Columns),
        ("CONVERT TO CHARACTER SET utf8mb4", Changed::Columns),
        ("RENAME COLUMN a TO A2", Changed::Columns),
        ("MODIFY a VARCHAR(5) FIRST", Changed::Columns),
    ];
    for (actions, expected) in cases {
        let mut table = table();
        assert_eq!(
            alter(&mut table, &format!("ALTER TABLE t {actions}"), &mysql()),
            Ok(expected),
            "{actions}"
        );
        if expected == Changed::Nothing {
            assert_eq!(table, self::table(), "{actions}");
        } else {
            assert_ne!(table, self::table(), "{actions}");
        }
    }
}

#[test]
fn what_does_not_fit() {
    let unknown = |name: &str| Err(ApplyError::UnknownColumn(name.to_owned()));
    let cases = [
        ("DROP x", unknown("x")),
        ("CHANGE x y INT", unknown("x")),
        ("MODIFY x INT", unknown("x")),
        ("RENAME COLUMN x TO y", unknown("x")),
        ("ADD y INT AFTER x", unknown("x")),
        ("ADD A INT", Err(ApplyError::DuplicateColumn("A".to_owned()))),
        ("ADD x INT, ADD x INT", Err(ApplyError::DuplicateColumn("x".to_owned()))),
    ];
    for (actions, expected) in cases {
        let mut table = table();
        assert_eq!(
            alter(&mut table, &format!("ALTER TABLE t ADD ok INT, {actions}"), &mysql()),
            expected,
            "{actions}"
        );
        assert_eq!(table, self::table(), "{actions}");
    }
    let Statement::AlterTable(statement) = read("ALTER TABLE t CONVERT TO CHARACTER SET DEFAULT", &mysql())
    else {
        panic!("not an ALTER TABLE")
    };
    assert_eq!(apply(&mut table(), &statement, None), Err(ApplyError::UnknownCharset));
}

#[test]
fn keys_follow() {
    let key = |actions: &str| {
        let table = after(&format!("ALTER TABLE t {actions}"));
        let unique: Vec<String> =
            table.unique_keys.iter().map(|key| format!("{}({})", key.name, key.columns.join(","))).collect();
        format!("{} | {}", table.primary_key.join(","), unique.join(" "))
    };
    assert_eq!(key("CHANGE id key_id BIGINT, RENAME COLUMN b TO b2"), "key_id | ub(b2)");
    assert_eq!(key("DROP id"), " | ub(b)");
    assert_eq!(key("DROP b"), "id | ");
    assert_eq!(key("DROP PRIMARY KEY, ADD PRIMARY KEY (B, a(3))"), "b,a | ub(b)");
    assert_eq!(key("DROP INDEX `PRIMARY`"), " | ub(b)");
    assert_eq!(key("DROP PRIMARY KEY, DROP id, ADD id SERIAL PRIMARY KEY FIRST"), "id | ub(b) id(id)");
    assert_eq!(key("ADD UNIQUE (b), ADD UNIQUE b (a), ADD UNIQUE (b, a)"), "id | ub(b) b(b) b(a) b_2(b,a)");
    assert_eq!(key("DROP KEY UB, ADD x INT UNIQUE"), "id | x(x)");
    assert_eq!(key("ADD PRIMARY KEY IF NOT EXISTS (a), ADD UNIQUE KEY IF NOT EXISTS ub (a)"), "id | ub(b)");
    assert_eq!(key("RENAME INDEX ub TO `u b`"), "id | u b(b)");
    assert_eq!(key("ADD CONSTRAINT c UNIQUE (a), DROP CONSTRAINT IF EXISTS ub"), "id | c(a)");
    assert_eq!(key("ADD UNIQUE f ((a + 1)), ADD CONSTRAINT CHECK (a > 1)"), "id | ub(b)");

    let mut table = table();
    alter(&mut table, "CREATE UNIQUE INDEX i ON t (a, id)", &mysql()).unwrap();
    alter(&mut table, "DROP INDEX ub ON t", &mysql()).unwrap();
    assert_eq!(table.unique_keys, [UniqueKey { name: "i".into(), columns: vec!["a".into(), "id".into()] }]);
    alter(&mut table, "ALTER TABLE t MODIFY id BIGINT NULL", &mysql()).unwrap();
    assert!(!table.columns[0].nullable, "a primary key takes no NULL");
}

#[test]
fn character_sets() {
    assert_eq!(shown(&after("ALTER TABLE t ADD x TEXT"))[4], "x text latin1");
    assert_eq!(shown(&after("ALTER TABLE t ADD x TEXT, DEFAULT CHARACTER SET utf8mb4"))[4], "x text utf8mb4");
    assert_eq!(shown(&after("ALTER TABLE t CHARSET utf8, ADD x TEXT(22000)"))[4], "x mediumtext utf8mb3");
    let converted = after("ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
    assert_eq!(
        shown(&converted),
        ["id int not null", "a varchar(5) utf8mb4", "b int", "c mediumtext utf8mb4"]
    );
    assert_eq!(converted.columns[1].collation.as_deref(), Some("utf8mb4_bin"));
    assert_eq!(converted.default_charset.as_deref(), Some("utf8mb4"));
    assert_eq!(shown(&after("ALTER TABLE t CONVERT TO CHARACTER SET DEFAULT"))[1], "a varchar(5) utf8mb4");
    let binary = after("ALTER TABLE t CONVERT TO CHARACTER SET binary");
    assert_eq!(shown(&binary), ["id int not null", "a varbinary(5)", "b int", "c blob"]);
    let collated = after("ALTER TABLE t COLLATE = koi8r_bin");
    assert_eq!(
        (shown(&collated)[1].as_str(), collated.default_charset.as_deref()),
        ("a varchar(5) latin1", Some("koi8r"))
    );
}

#[test]
fn new_names() {
    for actions in
        ["RENAME TO x.u", "RENAME AS x.u", "RENAME x.u", "RENAME = x.u", "ADD y INT, RENAME TO x.u"]
    {
        assert_eq!(after(&format!("ALTER TABLE t {actions}")).name(), TableName::new("x", "u"), "{actions}");
    }
}

#[test]
fn hidden_period() {
    let maria = ParseOptions::mariadb();
    let mut table = table();
    alter(&mut table, "ALTER TABLE t ADD SYSTEM VERSIONING, ADD x INT", &maria).unwrap();
    assert!(table.hidden_period);
    alter(&mut table, "ALTER TABLE t DROP SYSTEM VERSIONING", &maria).unwrap();
    assert!(!table.hidden_period);
    let written = "ALTER TABLE t ADD s TIMESTAMP(6) AS ROW START, ADD e TIMESTAMP(6) AS ROW END, ADD PERIOD FOR SYSTEM_TIME (s, e), ADD SYSTEM VERSIONING";
    alter(&mut table, written, &maria).unwrap();
    assert!(!table.hidden_period);
    assert_eq!(names(&table), ["id", "a", "b", "c", "x", "s", "e"]);
}
