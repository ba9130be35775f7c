//! Whole catalogs kept current.

use super::*;

/// A catalog that tracks database `d` only.
#[derive(Default)]
struct OneDatabase(MemoryCatalog);

impl Catalog for OneDatabase {
    fn get(&self, table: &TableName) -> Option<&TableDef> {
        self.0.get(table)
    }
    fn put(&mut self, table: TableDef) {
        self.0.put(table);
    }
    fn remove(&mut self, table: &TableName) -> Option<TableDef> {
        self.0.remove(table)
    }
    fn tables_of(&self, database: &str) -> Vec<TableName> {
        self.0.tables_of(database)
    }
    fn database_charset(&self, database: &str) -> Option<String> {
        self.0.database_charset(database)
    }
    fn set_database_charset(&mut self, database: &str, charset: Option<String>) {
        self.0.set_database_charset(database, charset);
    }
    fn tracks(&self, table: &TableName) -> bool {
        table.database == "d"
    }
}

fn run(catalog: &mut impl Catalog, sql: &str) -> Vec<String> {
    let effects = apply_statement(catalog, &read(sql, &ParseOptions::mariadb()));
    let show = |effect: &Effect| match effect {
        Effect::Created { after } => format!("created {}", after.name()),
        Effect::Altered { before, after, changed } if before.name() == after.name() => {
            format!("{} {changed:?}", after.name())
        }
        Effect::Altered { before, after, changed } => {
            format!("{} > {} {changed:?}", before.name(), after.name())
        }
        Effect::Dropped { table, before } => {
            format!("dropped {table} {}", if before.is_some() { "known" } else { "unknown" })
        }
        Effect::RowsMoved { table, emptied } => {
            format!("{} {table}", if *emptied { "emptied" } else { "moved" })
        }
        Effect::NeedsReread { table: Some(table), .. } => format!("reread {table}"),
        Effect::NeedsReread { table: None, .. } => "reread all".to_owned(),
    };
    effects.iter().map(show).collect()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_table_s_life() {
    let mut catalog = MemoryCatalog::new(Some("utf8"), false);
    assert_eq!(run(&mut catalog, "CREATE TABLE t (a INT, b TEXT)"), ["created d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TABLE IF NOT EXISTS t (z INT)"), nothing());
    assert_eq!(run(&mut catalog, "ALTER TABLE t COMMENT 'x'"), nothing());
    assert_eq!(run(&mut catalog, "ALTER TABLE t ADD c TEXT"), ["d.t Columns"]);
    assert_eq!(run(&mut catalog, "CREATE INDEX i ON t (a)"), nothing());
    assert_eq!(run(&mut catalog, "CREATE UNIQUE INDEX u ON t (a)"), ["d.t Definition"]);
    assert_eq!(run(&mut catalog, "TRUNCATE t"), ["emptied d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TABLE u LIKE t"), ["created d.u"]);
    assert_eq!(
        run(&mut catalog, "RENAME TABLE t TO t2, u TO t"),
        ["d.t > d.t2 Definition", "d.u > d.t Definition"]
    );
    assert_eq!(run(&mut catalog, "ALTER TABLE t2 RENAME t3, ADD e INT"), ["d.t2 > d.t3 Columns"]);
    assert_eq!(
        shown(catalog.get(&TableName::new("d", "t")).unwrap()),
        ["a int(11)", "b text utf8mb3", "c text utf8mb3"]
    );
    assert_eq!(run(&mut catalog, "CREATE OR REPLACE TABLE t (q INT)"), ["dropped d.t known", "created d.t"]);
    assert_eq!(run(&mut catalog, "DROP TABLE t, t3"), ["dropped d.t known", "dropped d.t3 known"]);
    assert_eq!(catalog.tables().count(), 0);
}

#[test]
fn online_schema_change() {
    let mut catalog = MemoryCatalog::new(Some("utf8mb4"), false);
    run(&mut catalog, "CREATE TABLE t (id INT PRIMARY KEY)");
    run(&mut catalog, "CREATE TABLE `d`.`_t_gho` LIKE `d`.`t`");
    run(&mut catalog, "ALTER TABLE `d`.`_t_gho` ADD COLUMN x INT, ENGINE=InnoDB");
    run(&mut catalog, "RENAME TABLE `d`.`t` TO `d`.`_t_del`, `d`.`_t_gho` TO `d`.`t`");
    assert_eq!(names(catalog.get(&TableName::new("d", "t")).unwrap()), ["id", "x"]);
    assert_eq!(names(catalog.get(&TableName::new("d", "_t_del")).unwrap()), ["id"]);
}

#[test]
fn what_must_be_read_anew() {
    let mut catalog = MemoryCatalog::new(None, false);
    assert_eq!(run(&mut catalog, "ALTER TABLE t ADD a INT"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "ALTER TABLE t COMMENT 'x'"), nothing());
    assert_eq!(run(&mut catalog, "CREATE TABLE t LIKE s"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TABLE t (a INT) SELECT 1 b"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TABLE t ENGINE=CONNECT"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "RENAME TABLE s TO t"), ["dropped d.s unknown", "reread d.t"]);
    assert_eq!(run(&mut catalog, "FROBNICATE t"), ["reread all"]);

    run(&mut catalog, "CREATE TABLE t (a INT)");
    assert_eq!(run(&mut catalog, "ALTER TABLE t DROP nope, RENAME TO u"), ["reread d.u", "reread d.t"]);
    assert_eq!(
        run(&mut catalog, "ALTER TABLE t ADD a INT"),
        ["reread d.t"],
        "a wrong definition is forgotten"
    );

    run(&mut catalog, "CREATE TABLE t (a INT)");
    assert_eq!(run(&mut catalog, "ALTER TABLE t ADD a FANCY"), ["reread d.t"]);
    assert!(catalog.get(&TableName::new("d", "t")).is_none());
}

#[test]
fn only_what_is_tracked() {
    let mut catalog = OneDatabase::default();
    assert_eq!(run(&mut catalog, "CREATE TABLE x.t (a INT)"), nothing());
    assert_eq!(run(&mut catalog, "ALTER TABLE x.t ADD b FANCY"), nothing());
    assert_eq!(run(&mut catalog, "ALTER TABLE x.t ADD b INT"), nothing());
    assert_eq!(run(&mut catalog, "DROP TABLE x.t, x.u"), nothing());
    assert_eq!(run(&mut catalog, "TRUNCATE x.t"), nothing());
    assert_eq!(run(&mut catalog, "CREATE TABLE t (a INT)"), ["created d.t"]);
    assert_eq!(run(&mut catalog, "RENAME TABLE t TO x.t"), ["d.t > x.t Definition"]);
    assert_eq!(run(&mut catalog, "RENAME TABLE x.t TO t"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TABLE t LIKE x.t"), ["reread d.t"]);
    assert_eq!(run(&mut catalog, "CREATE TEMPORARY TABLE s (a INT)"), nothing());
    assert_eq!(run(&mut catalog, "DROP TEMPORARY TABLE s"), nothing());
    assert_eq!(run(&mut catalog, "INSERT INTO t VALUES (1)"), nothing());
    assert_eq!(run(&mut catalog, "GRANT ALL ON *.* TO u"), nothing());
}

#[test]
fn databases_and_their_character_sets() {
    let mut catalog = MemoryCatalog::new(Some("latin1"), true);
    run(&mut catalog, "CREATE DATABASE x CHARACTER SET koi8r");
    run(&mut catalog, "CREATE TABLE x.t (a TEXT)");
    run(&mut catalog, "CREATE DATABASE IF NOT EXISTS X CHARACTER SET gbk");
    run(&mut catalog, "ALTER DATABASE x COLLATE utf8mb4_bin");
    run(&mut catalog, "CREATE TABLE X.U (a TEXT)");
    run(&mut catalog, "ALTER DATABASE x READ ONLY = 0");
    run(&mut catalog, "CREATE TABLE y.t (a TEXT)");
    let charset = |catalog: &MemoryCatalog, database: &str, table: &str| {
        catalog.get(&TableName::new(database, table)).unwrap().columns[0].charset.clone().unwrap()
    };
    assert_eq!(charset(&catalog, "X", "T"), "koi8r");
    assert_eq!(charset(&catalog, "x", "u"), "utf8mb4");
    assert_eq!(charset(&catalog, "y", "t"), "latin1");
    assert_eq!(run(&mut catalog, "DROP DATABASE x"), ["dropped x.t known", "dropped X.U known"]);
    assert_eq!(run(&mut catalog, "CREATE OR REPLACE DATABASE y"), ["dropped y.t known"]);
}

#[test]
fn rows_that_move_without_row_events() {
    let mut catalog = MemoryCatalog::new(Some("utf8mb4"), false);
    run(&mut catalog, "CREATE TABLE t (a INT) PARTITION BY HASH (a)");
    run(&mut catalog, "CREATE TABLE s (a INT)");
    assert_eq!(run(&mut catalog, "ALTER TABLE t DROP PARTITION p1, p2"), ["moved d.t"]);
    assert_eq!(run(&mut catalog, "ALTER TABLE t TRUNCATE PARTITION ALL"), ["moved d.t"]);
    assert_eq!(
        run(&mut catalog, "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE s WITH VALIDATION"),
        ["moved d.t", "moved d.s"]
    );
    assert_eq!(run(&mut catalog, "ALTER TABLE t IMPORT TABLESPACE"), ["moved d.t"]);
    assert_eq!(
        run(&mut catalog, "ALTER TABLE t REORGANIZE PARTITION p1, p2 INTO (PARTITION p VALUES IN (1))"),
        nothing()
    );
    assert_eq!(
        run(&mut catalog, "ALTER TABLE t CONVERT PARTITION p TO TABLE u"),
        ["moved d.t", "created d.u"]
    );
    assert_eq!(
        run(&mut catalog, "ALTER TABLE t CONVERT TABLE u TO PARTITION p VALUES IN (1)"),
        ["dropped d.u known", "moved d.t"]
    );
}
