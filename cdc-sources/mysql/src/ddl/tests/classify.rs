//! What kind of statement each is.

use super::*;

/// One word for the kind.
fn kind(statement: &Statement) -> String {
    match statement {
        Statement::CreateTable(create) => format!("create {}", create.table),
        Statement::AlterTable(alter) => format!("alter {}", alter.table),
        Statement::CreateIndex(alter) => format!("create index {}", alter.table),
        Statement::DropIndex(alter) => format!("drop index {}", alter.table),
        Statement::DropTable { tables, temporary } => {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            format!("drop {}{}", if *temporary { "temporary " } else { "" }, tables.join(" "))
        }
        Statement::RenameTable { pairs } => {
            let pairs: Vec<String> = pairs.iter().map(|(from, to)| format!("{from}>{to}")).collect();
            format!("rename {}", pairs.join(" "))
        }
        Statement::TruncateTable { table } => format!("truncate {table}"),
        Statement::CreateDatabase { name, charset, .. } => {
            format!("create database {name} {}", charset.charset.as_deref().unwrap_or("-"))
        }
        Statement::AlterDatabase { name, charset } => {
            format!("alter database {name} {}", charset.charset.as_deref().unwrap_or("-"))
        }
        Statement::DropDatabase { name } => format!("drop database {name}"),
        Statement::Dml { kind, table } => match table {
            Some(table) => format!("{kind:?} {table}"),
            None => format!("{kind:?}"),
        },
        Statement::Begin => "begin".to_owned(),
        Statement::Commit => "commit".to_owned(),
        Statement::Rollback { to_savepoint: true } => "rollback to".to_owned(),
        Statement::Rollback { to_savepoint: false } => "rollback".to_owned(),
        Statement::Savepoint => "savepoint".to_owned(),
        Statement::Xa { verb, xid } => format!("xa {verb:?} {xid}"),
        Statement::Other => "other".to_owned(),
        Statement::Unknown { tables } => {
            let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
            format!("unknown {}", tables.join(" "))
        }
    }
}

fn check(cases: &[(&str, &str)], options: &ParseOptions) {
    for (sql, expected) in cases {
        assert_eq!(kind(&read(sql, options)).trim_end(), *expected, "{sql}");
    }
}

#[test]
fn tables_created() {
    let cases = [
        ("CREATE TABLE t (a INT)", "create d.t"),
        ("create\n\ttable\r\n`x`.`y z`(a int)", "create x.y z"),
        ("CREATE TABLE IF NOT EXISTS x . t (a INT)", "create x.t"),
        ("CREATE TABLE .t (a INT)", "create d.t"),
        ("CREATE TABLE 1t.2t (a INT)", "create 1t.2t"),
        ("CREATE TABLE x.123 (a INT)", "create x.123"),
        ("CREATE TEMPORARY TABLE t (a INT)", "create d.t"),
        ("CREATE OR REPLACE TEMPORARY TABLE t (a INT)", "create d.t"),
        ("/* app:1 */ CREATE /*!50000 TEMPORARY */ TABLE t (a INT)", "create d.t"),
        ("/*!40101 CREATE TABLE t (a INT) */", "create d.t"),
        ("CREATE TABLE t LIKE x.s", "create d.t"),
        ("CREATE TABLE t (LIKE s)", "create d.t"),
        ("CREATE TABLE t SELECT * FROM s", "create d.t"),
        ("CREATE TABLE t AS (SELECT 1)", "create d.t"),
        ("CREATE TABLE t (a INT) REPLACE AS SELECT 1 a", "create d.t"),
        ("CREATE TABLE t (SELECT 1 AS a)", "create d.t"),
        ("CREATE TABLE t ENGINE=InnoDB WITH c AS (SELECT 1) SELECT * FROM c", "create d.t"),
        ("CREATE TABLE t TABLE s", "create d.t"),
        ("CREATE TABLE t (a INT) START TRANSACTION", "create d.t"),
        // The engine would make up the columns.
        ("CREATE TABLE t ENGINE=CONNECT TABLE_TYPE=CSV", "unknown d.t"),
        ("CREATE TABLE t", "unknown d.t"),
        ("CREATE TABLE t ()", "unknown d.t"),
        ("CREATE TABLE t (a INT", "unknown d.t"),
        ("CREATE TABLE t (a INT) COMMENT 'open", "unknown d.t"),
        ("CREATE TABLE t (a FANCY_TYPE)", "unknown d.t"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (id, p WITHOUT OVERLAPS))", "unknown d.t"),
        ("CREATE TABLE", "unknown"),
    ];
    check(&cases, &mysql());
    check(&cases, &ParseOptions::mariadb());
}

#[test]
fn tables_altered() {
    let cases = [
        ("ALTER TABLE t ADD a INT", "alter d.t"),
        ("ALTER ONLINE IGNORE TABLE IF EXISTS x.t WAIT 5 ADD a INT", "alter x.t"),
        ("ALTER TABLE t NOWAIT DROP a", "alter d.t"),
        ("ALTER TABLE t", "alter d.t"),
        ("ALTER TABLE t ALTER INDEX i INVISIBLE", "alter d.t"),
        ("ALTER TABLE t ALTER CONSTRAINT c NOT ENFORCED", "alter d.t"),
        ("ALTER TABLE t RENAME INDEX i TO j", "alter d.t"),
        ("ALTER TABLE t ENGINE='InnoDB', STATS_AUTO_RECALC=1", "alter d.t"),
        ("ALTER TABLE t PAGE_COMPRESSED=1", "alter d.t"),
        ("ALTER TABLE t UNION=(a, b), INSERT_METHOD=LAST", "alter d.t"),
        ("ALTER TABLE t SECONDARY_LOAD", "alter d.t"),
        ("ALTER TABLE t ADD FULLTEXT INDEX ft (a) WITH PARSER ngram", "alter d.t"),
        ("ALTER TABLE t ADD CONSTRAINT FOREIGN KEY f (a) REFERENCES s (b) ON DELETE SET NULL", "alter d.t"),
        ("ALTER TABLE t DROP FOREIGN KEY f, DROP CONSTRAINT c, DROP CHECK k", "alter d.t"),
        ("ALTER TABLE t ADD PARTITION IF NOT EXISTS (PARTITION p VALUES LESS THAN (1))", "alter d.t"),
        ("ALTER TABLE t ANALYZE PARTITION ALL", "alter d.t"),
        ("ALTER TABLE t UPGRADE PARTITIONING", "alter d.t"),
        ("ALTER TABLE t REMOVE PARTITIONING", "alter d.t"),
        (
            "ALTER TABLE t PARTITION BY RANGE COLUMNS (a, b) (PARTITION p VALUES LESS THAN (1, MAXVALUE))",
            "alter d.t",
        ),
        ("ALTER TABLE t EXCHANGE PARTITION p WITH TABLE x.s WITHOUT VALIDATION", "alter d.t"),
        ("ALTER TABLE t DISCARD TABLESPACE", "alter d.t"),
        ("ALTER TABLE t ADD SYSTEM VERSIONING", "alter d.t"),
        ("ALTER TABLE t ADD PERIOD FOR SYSTEM_TIME (s, e)", "alter d.t"),
        ("ALTER TABLE t DROP PERIOD FOR SYSTEM_TIME", "alter d.t"),
        ("ALTER TABLE t ADD COLUMN a", "unknown d.t"),
        ("ALTER TABLE t ADD NOVELTY OF SERVERS", "unknown d.t"),
        ("ALTER TABLE t CHANGE a", "unknown d.t"),
        ("ALTER TABLE t ADD a INT 'open", "unknown d.t"),
        ("ALTER TABLE t CONVERT INTO GOLD", "unknown d.t"),
        ("ALTER TABLE t ADD a INT)", "unknown d.t"),
        ("ALTER TABLE", "unknown"),
        ("CREATE UNIQUE INDEX i ON x.t (a)", "create index x.t"),
        ("CREATE FULLTEXT INDEX i ON t (a) WITH PARSER ngram", "create index d.t"),
        ("CREATE SPATIAL INDEX i ON t (a)", "create index d.t"),
        ("CREATE VECTOR INDEX i ON t (a)", "create index d.t"),
        ("CREATE OR REPLACE INDEX IF NOT EXISTS i USING HASH ON t WAIT 1 (a)", "create index d.t"),
        ("CREATE UNIQUE INDEX i ON t", "unknown d.t"),
        ("DROP INDEX i ON t ALGORITHM=INPLACE LOCK=NONE", "drop index d.t"),
        ("DROP INDEX IF EXISTS `PRIMARY` ON t", "drop index d.t"),
        ("DROP INDEX i", "unknown"),
    ];
    check(&cases, &mysql());
    check(&cases, &ParseOptions::mariadb());
}

#[test]
fn tables_dropped_and_renamed() {
    let cases = [
        ("DROP TABLE t", "drop d.t"),
        ("DROP TABLE IF EXISTS `a`, x.b ,c CASCADE", "drop d.a x.b d.c"),
        ("DROP TABLE IF EXISTS `t` /* generated by server */", "drop d.t"),
        ("DROP TEMPORARY TABLE IF EXISTS `t`", "drop temporary d.t"),
        ("DROP /*!40005 TEMPORARY */ TABLE IF EXISTS `t`", "drop temporary d.t"),
        ("DROP TABLES IF EXISTS a NOWAIT", "drop d.a"),
        ("DROP TABLE IF EXISTS /*comment to save*/ t", "drop d.t"),
        ("DROP TABLE", "unknown"),
        ("RENAME TABLE a TO b", "rename d.a>d.b"),
        ("RENAME TABLE `t` TO `_t_old`, `_t_new` TO x.`t`", "rename d.t>d._t_old d._t_new>x.t"),
        ("RENAME TABLES IF EXISTS a WAIT 5 TO b, c NOWAIT TO e", "rename d.a>d.b d.c>d.e"),
        ("RENAME TABLE a TO b, c", "unknown d.a d.b"),
        ("RENAME USER a TO b", "other"),
        ("TRUNCATE t", "truncate d.t"),
        ("TRUNCATE TABLE x.t WAIT 10", "truncate x.t"),
        ("TRUNCATE TABLE", "unknown"),
    ];
    check(&cases, &mysql());
    check(&cases, &ParseOptions::mariadb());
}

#[test]
fn databases() {
    let cases = [
        ("CREATE DATABASE x", "create database x -"),
        ("CREATE SCHEMA IF NOT EXISTS `x y` DEFAULT CHARACTER SET = utf8", "create database x y utf8mb3"),
        (
            "CREATE DATABASE x /*!40100 DEFAULT CHARACTER SET latin1 */ /*!80016 DEFAULT ENCRYPTION='N' */",
            "create database x latin1",
        ),
        ("CREATE OR REPLACE DATABASE x CHARSET 'gbk' COMMENT 'charset utf8'", "create database x gbk"),
        ("ALTER DATABASE x READ ONLY = 1", "alter database x -"),
        ("ALTER DATABASE CHARACTER SET koi8r", "alter database d koi8r"),
        ("ALTER SCHEMA `x` COLLATE utf8mb4_bin CHARSET utf8mb4", "alter database x utf8mb4"),
        ("DROP DATABASE IF EXISTS `x`", "drop database x"),
        ("DROP SCHEMA x", "drop database x"),
        ("DROP DATABASE", "unknown"),
    ];
    check(&cases, &mysql());
    check(&cases, &ParseOptions::mariadb());
}

#[test]
fn transactions() {
    let cases = [
        ("BEGIN", "begin"),
        ("begin work", "begin"),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", "begin"),
        ("START SLAVE", "other"),
        ("COMMIT", "commit"),
        ("COMMIT AND CHAIN", "commit"),
        ("ROLLBACK", "rollback"),
        ("ROLLBACK TO `s`", "rollback to"),
        ("ROLLBACK WORK TO SAVEPOINT s", "rollback to"),
        ("SAVEPOINT `s`", "savepoint"),
        ("RELEASE SAVEPOINT s", "savepoint"),
        ("XA START X'61',X'',1", "xa Start X'61',X'',1"),
        ("XA END X'61', X'', 1", "xa End X'61',X'',1"),
        ("XA PREPARE 'a'", "xa Prepare 'a'"),
        ("XA COMMIT X'61',X'',1 ONE PHASE", "xa Commit X'61',X'',1"),
        ("XA ROLLBACK 0x61", "xa Rollback 0x61"),
        ("XA RECOVER", "xa Recover"),
        ("XA DANCE", "unknown"),
    ];
    check(&cases, &mysql());
}

#[test]
fn data_changes() {
    let cases = [
        ("INSERT INTO t VALUES (1, 'DROP TABLE t')", "Insert d.t"),
        ("insert ignore x.t set a = 1", "Insert x.t"),
        ("INSERT LOW_PRIORITY INTO `t` SELECT * FROM s", "Insert d.t"),
        ("REPLACE DELAYED INTO t VALUES (1)", "Replace d.t"),
        ("UPDATE LOW_PRIORITY IGNORE x.t SET a = 1", "Update x.t"),
        ("UPDATE t, s SET t.a = s.a", "Update d.t"),
        ("DELETE QUICK FROM t WHERE a = 1", "Delete d.t"),
        ("DELETE HISTORY FROM t", "Delete d.t"),
        (
            "LOAD DATA LOCAL INFILE '/tmp/INTO TABLE' REPLACE INTO TABLE x.t FIELDS TERMINATED BY ','",
            "Load x.t",
        ),
        ("LOAD XML INFILE 'x' INTO TABLE t", "Load d.t"),
        ("LOAD INDEX INTO CACHE t", "other"),
        ("WITH c AS (SELECT 1 a UNION UPDATE) UPDATE t SET a = 1", "Update d.t"),
        ("WITH RECURSIVE c (n) AS (SELECT 1) DELETE FROM x.t", "Delete x.t"),
        ("SELECT f(1)", "Call"),
        ("(SELECT f(1))", "Call"),
        ("CALL p()", "Call"),
        ("DO f()", "Call"),
        ("/* a */ -- b\n # c\n INSERT INTO t VALUES (1)", "Insert d.t"),
        ("SET STATEMENT max_statement_time=100 FOR INSERT INTO t VALUES (1)", "Insert d.t"),
    ];
    check(&cases, &ParseOptions::mariadb());
}

#[test]
fn harmless() {
    let statements = [
        "",
        " ; ",
        "-- nothing",
        "/* nothing */",
        "# Dummy event replacing event type 160 that slave cannot handle.",
        "GRANT ALL ON x.* TO u",
        "REVOKE ALL ON t FROM u",
        "SET PASSWORD FOR u = 'x'",
        "SET @@session.sql_mode = 'CREATE TABLE t (a INT)'",
        "FLUSH TABLES t",
        "ANALYZE TABLE t UPDATE HISTOGRAM ON a",
        "OPTIMIZE TABLE t",
        "REPAIR TABLE t",
        "CHECK TABLE t",
        "USE x",
        "CREATE VIEW v AS SELECT 1",
        "CREATE OR REPLACE ALGORITHM=MERGE DEFINER=`u`@`%` SQL SECURITY DEFINER VIEW v AS SELECT 1",
        "CREATE DEFINER=`u`@`h` TRIGGER g BEFORE INSERT ON t FOR EACH ROW BEGIN ALTER TABLE t DROP a; END",
        "CREATE DEFINER=CURRENT_USER PROCEDURE p() BEGIN CREATE TABLE t (a INT); DROP TABLE t; END",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t",
        "CREATE USER 'u'@'%' IDENTIFIED BY 'p'",
        "CREATE ROLE r",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')",
        "CREATE SEQUENCE s START WITH 1",
        "CREATE TABLESPACE s ADD DATAFILE 'x.ibd'",
        "CREATE LOGFILE GROUP g ADD UNDOFILE 'x'",
        "CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'x' DEFINITION 'y'",
        "CREATE RESOURCE GROUP g TYPE = USER",
        "ALTER VIEW v AS SELECT 1",
        "ALTER USER u ACCOUNT LOCK",
        "ALTER EVENT e DISABLE",
        "ALTER SEQUENCE s RESTART 5",
        "ALTER INSTANCE ROTATE INNODB MASTER KEY",
        "ALTER TABLESPACE s RENAME TO r",
        "DROP VIEW IF EXISTS v",
        "DROP TRIGGER g",
        "DROP PROCEDURE IF EXISTS p",
        "DROP USER u",
        "DROP SEQUENCE s",
        "INSTALL PLUGIN p SONAME 'x.so'",
        "UNINSTALL COMPONENT 'x'",
        "CHANGE MASTER TO MASTER_HOST='h'",
        "LOCK TABLES t WRITE",
        "UNLOCK TABLES",
        "PURGE BINARY LOGS TO 'x'",
        "RESET MASTER",
    ];
    for sql in statements {
        for options in [mysql(), ParseOptions::mariadb()] {
            assert_eq!(read(sql, &options), Statement::Other, "{sql}");
        }
    }
}

#[test]
fn nothing_known() {
    for sql in
        ["FROBNICATE TABLE t", "'CREATE'", "42", "`CREATE` TABLE t (a INT)", "IMPORT TABLE FROM 'x'", "= 1"]
    {
        assert_eq!(read(sql, &mysql()), Statement::Unknown { tables: Vec::new() }, "{sql}");
    }
}

#[test]
fn comments_by_server_and_version() {
    let sql = "CREATE TABLE t (a INT /*M! , b INT */ /*M!100500 , c INT */ /*!50701 , e INT */ /*!100600 , f INT */ /*!99999999 , g INT */)";
    let old = |mariadb, version| ParseOptions { mariadb, version, ..mysql() };
    assert_eq!(names(&create(sql, &old(false, 80_036))), ["a", "e"]);
    assert_eq!(names(&create(sql, &old(false, 50_600))), ["a"]);
    assert_eq!(names(&create(sql, &old(true, 101_100))), ["a", "b", "c", "f"]);
    assert_eq!(names(&create(sql, &old(true, 100_300))), ["a", "b"]);
    let nested = "CREATE TABLE t (a INT /*!50000 , b /* , x */ INT /*!50001 , c INT */ , e INT */ , f INT)";
    assert_eq!(names(&create(nested, &mysql())), ["a", "b", "c", "e", "f"]);
}
