//! Statements that both a real server and the tracker execute, in this order, in one database
//! whose default character set is utf8mb4.

use Runs::{Both, MariaDb, MySql};

/// Which servers understand a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// All of them.
    Both,
    /// MariaDB alone.
    MariaDb,
    /// MySQL alone.
    MySql,
}

/// The statements.
pub(crate) const STATEMENTS: &[(Runs, &str)] = &[
    // Numbers in all spellings.
    (
        Both,
        "CREATE TABLE numbers (a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT(5) ZEROFILL, d INT(7), e BIGINT UNSIGNED ZEROFILL, f INTEGER, g INT1, h INT2, i INT3 UNSIGNED, j INT4, k INT8, l MIDDLEINT, m BOOL, n BOOLEAN NOT NULL DEFAULT TRUE, o TINYINT(1), p TINYINT(1) UNSIGNED, q SERIAL)",
    ),
    (
        Both,
        "CREATE TABLE decimals (a DECIMAL, b DECIMAL(5), c DECIMAL(10,4) UNSIGNED, d DEC(6,2), e NUMERIC(20,10) ZEROFILL, f FIXED(3,1), g DECIMAL(0), h FLOAT, i FLOAT(7), j FLOAT(25), k FLOAT(7,3) UNSIGNED, l DOUBLE, m DOUBLE PRECISION, n REAL, o DOUBLE(10,2), p REAL(8,3), q FLOAT4, r FLOAT8, s FLOAT(53), t FLOAT(24) ZEROFILL)",
    ),
    (
        Both,
        "CREATE TABLE bits (a BIT, b BIT(1), c BIT(64), d BIT(7) DEFAULT b'101', e BIT(8) NOT NULL DEFAULT 0x1F)",
    ),
    // Dates and times.
    (
        Both,
        "CREATE TABLE moments (a DATE, b TIME, c TIME(0), d TIME(6), e DATETIME, f DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), g TIMESTAMP NULL DEFAULT NULL, h TIMESTAMP(6) NOT NULL DEFAULT NOW(6) ON UPDATE NOW(6), i YEAR, j YEAR(4), k TIMESTAMP DEFAULT CURRENT_TIMESTAMP() COMMENT 'it''s NOT NULL, really', l DATETIME DEFAULT '2001-01-01 00:00:00' NOT NULL)",
    ),
    // Text and bytes.
    (
        Both,
        "CREATE TABLE texts (a CHAR, b CHAR(0), c CHARACTER(5), d VARCHAR(10), e CHARACTER VARYING(20), f CHAR VARYING(30), g VARCHARACTER(40), h NATIONAL CHAR(5), i NCHAR(6), j NATIONAL VARCHAR(7), k NVARCHAR(8), l NCHAR VARYING(9), m NATIONAL CHARACTER VARYING(10), n TINYTEXT, o TEXT, p MEDIUMTEXT, q LONGTEXT, r LONG, s LONG VARCHAR, t TEXT(10), u TEXT(64), v TEXT(300), w TEXT(20000), x TEXT(5000000), y NCHAR, z NCHAR VARCHAR(3)) CHARSET utf8mb4",
    ),
    (
        Both,
        "CREATE TABLE bytes (a BINARY, b BINARY(16), c VARBINARY(255), d TINYBLOB, e BLOB, f MEDIUMBLOB, g LONGBLOB, h BLOB(255), i BLOB(256), j BLOB(70000), k BLOB(20000000), l LONG VARBINARY, m CHAR BYTE, n CHAR(4) BYTE, o TEXT BYTE, p VARCHAR(9) CHARACTER SET binary, q CHAR(3) CHARSET binary, r TEXT(100) CHARACTER SET binary, s VARCHAR(3) COLLATE binary, t TINYTEXT CHARACTER SET binary, u LONG CHARACTER SET binary)",
    ),
    (
        Both,
        "CREATE TABLE sets (a CHAR(3) ASCII, b VARCHAR(10) UNICODE, c VARCHAR(10) CHARACTER SET latin1, d VARCHAR(10) COLLATE latin1_bin, e VARCHAR(10) BINARY, f VARCHAR(10) CHARSET koi8r BINARY, g TEXT BINARY CHARACTER SET latin2, h VARCHAR(10) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci, i CHAR(4) CHARACTER SET 'gbk', j ENUM('a','b') CHARACTER SET latin1, k SET('x','y') COLLATE utf8mb4_bin, l VARCHAR(5) COLLATE ascii_bin NOT NULL DEFAULT 'q', n ENUM('p') CHARACTER SET binary, o TEXT CHARSET `utf8mb4`) DEFAULT CHARACTER SET = sjis",
    ),
    (
        Both,
        "CREATE TABLE by_default (a VARCHAR(10), b TEXT, c ENUM('x'), d INT, e TEXT(100), f TEXT(200)) COLLATE=latin1_german1_ci ENGINE='InnoDB' COMMENT='CHARSET=utf8'",
    ),
    (
        Both,
        "CREATE TABLE binary_default (a VARCHAR(10), b TEXT, c ENUM('x'), d CHAR(3), e VARCHAR(4) CHARACTER SET latin1) DEFAULT CHARSET=binary",
    ),
    (Both, "CREATE TABLE collate_only (a VARCHAR(10), b CHAR(5) BINARY) COLLATE utf8mb4_unicode_ci"),
    // Labels.
    (
        Both,
        r#"CREATE TABLE labels (a ENUM('one','two','it''s'), b SET("x","y z",'q"r'), c ENUM('with,comma','with)paren','trail  '), d ENUM('back\\slash','new\nline','tab\t'), e ENUM('\'quoted\''), f ENUM('Ä','日本','ß') CHARACTER SET utf8mb4, g ENUM(''), h ENUM('a') NOT NULL DEFAULT 'a')"#,
    ),
    (Both, "CREATE TABLE hex_labels (a ENUM(0x61, x'6263', b'01100100'))"),
    // Keys.
    (
        Both,
        "CREATE TABLE keys_1 (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT UNIQUE, b INT UNIQUE KEY, c VARCHAR(100))",
    ),
    (
        Both,
        "CREATE TABLE keys_2 (id INT AUTO_INCREMENT, `Tenant` INT, a VARCHAR(300), b INT, c INT, d POINT NOT NULL, e TEXT, PRIMARY KEY (tenant, ID), UNIQUE (a(10)), UNIQUE KEY (b, c DESC), UNIQUE INDEX named (c), CONSTRAINT sym UNIQUE (b), CONSTRAINT UNIQUE KEY second (c, b), KEY (b), INDEX plain USING BTREE (c) COMMENT 'x', SPATIAL KEY (d), FULLTEXT INDEX ft (e), KEY (id))",
    ),
    (
        Both,
        "CREATE TABLE keys_3 (a INT KEY, b INT NULL, UNIQUE KEY USING BTREE (b) KEY_BLOCK_SIZE=8, CHECK (b > 0 AND b < 100), CONSTRAINT positive CHECK (a > 0))",
    ),
    (
        Both,
        "CREATE TABLE child (id INT PRIMARY KEY, parent INT, other INT NOT NULL, CONSTRAINT `fk, 1` FOREIGN KEY (parent) REFERENCES keys_3 (a) ON DELETE SET NULL ON UPDATE CASCADE, FOREIGN KEY fk2 (other) REFERENCES keys_3 (a))",
    ),
    (
        Both,
        "CREATE TABLE inline_references (id INT PRIMARY KEY, parent INT NOT NULL REFERENCES keys_3 (a) ON DELETE RESTRICT, x INT NOT NULL CHECK (x > 1), y INT)",
    ),
    (
        Both,
        "CREATE TABLE odd_names (`select` INT, `a``b` INT, `with space` INT, `ключ` VARCHAR(10), `1st` INT, 2nd INT, $dollar INT, `日本` TEXT, comment VARCHAR(5), status INT, type INT, `date` DATE, date2 date, period INT, `first` INT, after_ INT, PRIMARY KEY (`a``b`, `ключ`))",
    ),
    (Both, "create table `Quoted.Table` (`x.y` int) comment 'a, b) c'"),
    // Generated columns, defaults, attributes.
    (
        Both,
        "CREATE TABLE generated_1 (a INT, b INT GENERATED ALWAYS AS (a + 1) VIRTUAL, c INT AS (a * 2) STORED, d VARCHAR(20) AS (CONCAT('(', a, ',)')) VIRTUAL COMMENT 'x', e INT AS (IF(a IS NOT NULL, 1, 2)))",
    ),
    (
        Both,
        "CREATE TABLE defaults (a INT DEFAULT -1 NOT NULL, b VARCHAR(20) DEFAULT _utf8mb4'x' NOT NULL, c INT DEFAULT (1 + (2 * 3)), d VARCHAR(40) DEFAULT (UUID()) NOT NULL, e DATE DEFAULT (CURRENT_DATE), f DECIMAL(5,2) DEFAULT +1.50, g VARCHAR(10) DEFAULT 'a' NULL, h CHAR(10) DEFAULT NULL, i BOOL DEFAULT FALSE NOT NULL, j DATETIME DEFAULT LOCALTIMESTAMP NOT NULL, k VARCHAR(9) DEFAULT '' COMMENT '', l INT DEFAULT 1e2, m VARCHAR(5) DEFAULT x'41' NOT NULL, n VARCHAR(5) DEFAULT N'a')",
    ),
    (Both, "CREATE TABLE IF NOT EXISTS defaults (z INT)"),
    (
        Both,
        "CREATE TABLE attributes (a INT INVISIBLE, b INT NOT NULL COMMENT 'b', c BIGINT AUTO_INCREMENT UNIQUE)",
    ),
    // Whole-table forms.
    (Both, "CREATE TABLE like_1 LIKE keys_2"),
    (Both, "CREATE TABLE like_2 (LIKE `sets`)"),
    (
        Both,
        "CREATE TABLE options (a INT) ENGINE=InnoDB, AUTO_INCREMENT=5 ROW_FORMAT=DYNAMIC STATS_AUTO_RECALC=1 STATS_PERSISTENT DEFAULT KEY_BLOCK_SIZE 0 MAX_ROWS=10 CHARACTER SET latin1 COLLATE latin1_bin",
    ),
    (
        Both,
        "CREATE TABLE partitioned (id INT NOT NULL, k VARCHAR(10) NOT NULL, PRIMARY KEY (id, k)) ENGINE=InnoDB PARTITION BY RANGE (id) SUBPARTITION BY KEY (k) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (10) COMMENT 'x', PARTITION p1 VALUES LESS THAN MAXVALUE)",
    ),
    (
        Both,
        "CREATE TABLE commented (/* first, */ a INT, -- the next\n b /*!50100 INT */ NOT NULL, # and (\n c INT /*! DEFAULT 5 */ /*! , d INT */) /*!50100 PARTITION BY HASH (b) PARTITIONS 3 */",
    ),
    (
        MariaDb,
        "CREATE TABLE m_commented (a INT /*M! NOT NULL */ /*M!100100 , b INT */ /*!50701 , c INT */ /*!80000 , c2 INT */ /*!100100 , d INT */)",
    ),
    (
        MySql,
        "CREATE TABLE m_commented (a INT /*M! NOT NULL */ /*M!100100 , b INT */ /*!50701 , c INT */ /*!80000 , c2 INT */)",
    ),
    // Adding.
    (Both, "CREATE TABLE t (id INT NOT NULL, a INT, b VARCHAR(10), c TEXT, d DATETIME) CHARSET latin1"),
    (Both, "ALTER TABLE t ADD PRIMARY KEY (id)"),
    (Both, "ALTER TABLE t ADD e INT"),
    (Both, "ALTER TABLE t ADD COLUMN f VARCHAR(5) NOT NULL DEFAULT 'x' FIRST"),
    (Both, "ALTER TABLE t ADD COLUMN g TEXT AFTER a, ADD h INT AFTER g, ADD COLUMN i INT FIRST"),
    (Both, "ALTER TABLE t ADD COLUMN (j INT, k VARCHAR(10) CHARACTER SET utf8mb4, UNIQUE KEY (j))"),
    (Both, "ALTER TABLE t ADD (l INT NOT NULL, m TEXT)"),
    (Both, "ALTER TABLE t ADD COLUMN n INT UNIQUE COMMENT 'AFTER b, first' AFTER b"),
    (MariaDb, "ALTER TABLE t ADD COLUMN IF NOT EXISTS (o INT, a INT)"),
    (MySql, "ALTER TABLE t ADD COLUMN (o INT)"),
    (
        MariaDb,
        "ALTER TABLE IF EXISTS t ADD COLUMN IF NOT EXISTS p INT AFTER a, ADD COLUMN IF NOT EXISTS a BIGINT",
    ),
    // Dropping.
    (Both, "ALTER TABLE t DROP e, DROP COLUMN o"),
    (MariaDb, "ALTER TABLE t DROP COLUMN IF EXISTS nope, DROP COLUMN IF EXISTS p"),
    // Changing.
    (Both, "ALTER TABLE t CHANGE a a2 BIGINT UNSIGNED NOT NULL"),
    (
        Both,
        "ALTER TABLE t CHANGE COLUMN b `b 2` VARCHAR(20) FIRST, MODIFY c MEDIUMTEXT AFTER `b 2`, ADD q INT AFTER c",
    ),
    (Both, "ALTER TABLE t MODIFY COLUMN id BIGINT AUTO_INCREMENT"),
    (
        Both,
        "ALTER TABLE t MODIFY l INT NULL, MODIFY m VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL FIRST",
    ),
    (MariaDb, "ALTER TABLE t MODIFY COLUMN IF EXISTS nope INT, CHANGE COLUMN IF EXISTS nope nope2 INT"),
    (Both, "ALTER TABLE t RENAME COLUMN a2 TO a3, RENAME COLUMN id TO `Id`"),
    (Both, "CREATE TABLE swap (a INT, b VARCHAR(5), c INT, PRIMARY KEY (a), UNIQUE ub (b))"),
    (Both, "ALTER TABLE swap RENAME COLUMN a TO b, RENAME COLUMN b TO a"),
    (Both, "ALTER TABLE swap CHANGE a b INT, CHANGE b a VARCHAR(6)"),
    (Both, "ALTER TABLE swap DROP COLUMN c, ADD COLUMN c TEXT FIRST"),
    (Both, "ALTER TABLE swap ADD d INT AFTER b, MODIFY c INT AFTER d, ADD e INT AFTER c"),
    (Both, "ALTER TABLE swap ALTER COLUMN e SET DEFAULT 5, ALTER d SET DEFAULT (1 + 1)"),
    (Both, "ALTER TABLE swap DROP PRIMARY KEY, ADD PRIMARY KEY (d, e)"),
    (
        Both,
        "ALTER TABLE swap DROP PRIMARY KEY, DROP COLUMN e, ADD id SERIAL, ADD CONSTRAINT pk PRIMARY KEY USING BTREE (id)",
    ),
    // Keys afterwards.
    (Both, "CREATE TABLE k (a INT, b INT, c INT, d INT)"),
    (
        Both,
        "ALTER TABLE k ADD UNIQUE (a), ADD UNIQUE KEY (a, b), ADD UNIQUE INDEX ux (c), ADD CONSTRAINT uy UNIQUE (d), ADD INDEX (b), ADD KEY kb (b) USING BTREE",
    ),
    (Both, "ALTER TABLE k RENAME INDEX ux TO uz, RENAME KEY uy TO `u y`"),
    (Both, "ALTER TABLE k DROP INDEX a_2, DROP KEY `u y`"),
    (Both, "CREATE UNIQUE INDEX u1 ON k (a, d)"),
    (Both, "CREATE UNIQUE INDEX u2 USING BTREE ON k (b ASC) COMMENT 'x' ALGORITHM=INPLACE LOCK=NONE"),
    (Both, "CREATE INDEX plain ON k (d) ALGORITHM = DEFAULT"),
    (Both, "DROP INDEX u1 ON k"),
    (Both, "DROP INDEX plain ON k"),
    (MariaDb, "CREATE OR REPLACE UNIQUE INDEX u2 ON k (b, a)"),
    (MariaDb, "CREATE UNIQUE INDEX IF NOT EXISTS u2 ON k (d)"),
    (MariaDb, "DROP INDEX IF EXISTS nope ON k"),
    (
        MariaDb,
        "ALTER TABLE k DROP INDEX IF EXISTS nope, ADD UNIQUE IF NOT EXISTS uz (a), DROP CONSTRAINT IF EXISTS nope2",
    ),
    (Both, "ALTER TABLE k ADD PRIMARY KEY (a), ALGORITHM=COPY, LOCK=SHARED"),
    (Both, "ALTER TABLE k DROP COLUMN d, DROP INDEX uz"),
    (Both, "ALTER TABLE k DROP PRIMARY KEY"),
    (
        MySql,
        "CREATE TABLE functional (a INT, b VARCHAR(10), UNIQUE KEY f ((a + 1)), UNIQUE KEY g (b, (LOWER(b))), UNIQUE h (b))",
    ),
    (MySql, "ALTER TABLE functional ALTER INDEX h INVISIBLE, ALTER COLUMN a SET INVISIBLE"),
    (
        MySql,
        "ALTER TABLE functional ADD UNIQUE i ((a + 2)), ADD CONSTRAINT big CHECK (a > 5) NOT ENFORCED, ADD COLUMN c INT NOT NULL VISIBLE COLUMN_FORMAT FIXED STORAGE DISK",
    ),
    (MySql, "ALTER TABLE functional DROP CHECK big"),
    // Character sets afterwards.
    (
        Both,
        "CREATE TABLE conversions (a CHAR(5), b VARCHAR(10), c TEXT, d TINYTEXT, e MEDIUMTEXT, f LONGTEXT, g ENUM('x'), h VARCHAR(10) CHARACTER SET latin1, i BLOB, j VARBINARY(5), k INT, l TEXT CHARACTER SET utf8mb4) CHARSET utf8mb3",
    ),
    (Both, "ALTER TABLE conversions DEFAULT CHARACTER SET latin1"),
    (Both, "ALTER TABLE conversions ADD n VARCHAR(5), ADD o TEXT(100)"),
    (Both, "ALTER TABLE conversions CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"),
    (Both, "ALTER TABLE conversions ADD p VARCHAR(5) CHARSET latin1, CHARACTER SET koi8r"),
    (Both, "ALTER TABLE conversions CONVERT TO CHARACTER SET latin1"),
    (Both, "ALTER TABLE conversions CONVERT TO CHARSET DEFAULT"),
    (Both, "ALTER TABLE conversions ENGINE=InnoDB COLLATE=utf8mb4_general_ci COMMENT='x', ADD q VARCHAR(3)"),
    (
        Both,
        "CREATE TABLE to_binary (a CHAR(5), b VARCHAR(10), c TEXT, d TINYTEXT, g ENUM('x'), k INT) CHARSET latin1",
    ),
    (Both, "ALTER TABLE to_binary CONVERT TO CHARACTER SET binary"),
    (
        Both,
        "CREATE TABLE to_binary_4 (a CHAR(5), b VARCHAR(10), c TEXT, d TINYTEXT, e LONGTEXT) CHARSET utf8mb4",
    ),
    (Both, "ALTER TABLE to_binary_4 CONVERT TO CHARACTER SET binary"),
    // No-ops and the rest of the options.
    (Both, "ALTER TABLE k COMMENT = 'ADD COLUMN z INT, DROP a'"),
    (Both, "ALTER TABLE k ENGINE InnoDB ROW_FORMAT=DYNAMIC, FORCE"),
    (Both, "ALTER TABLE k ORDER BY a, b DESC"),
    (Both, "ALTER TABLE k ADD z INT, ORDER BY b, a"),
    (Both, "ALTER TABLE k DISABLE KEYS"),
    (Both, "ALTER TABLE k"),
    (Both, "CREATE TABLE parts (a INT, b TEXT)"),
    (Both, "ALTER TABLE parts ADD zz INT NOT NULL PARTITION BY HASH (zz) PARTITIONS 4"),
    (Both, "ALTER TABLE parts COALESCE PARTITION 2"),
    (Both, "ALTER TABLE parts REMOVE PARTITIONING"),
    (
        Both,
        "ALTER TABLE parts PARTITION BY LIST (zz) (PARTITION p1 VALUES IN (1, 2), PARTITION p2 VALUES IN (3))",
    ),
    (Both, "ALTER TABLE parts ADD PARTITION (PARTITION p3 VALUES IN (4))"),
    (Both, "ALTER TABLE parts REORGANIZE PARTITION p1, p2 INTO (PARTITION p12 VALUES IN (1, 2, 3))"),
    (Both, "ALTER TABLE parts TRUNCATE PARTITION p3"),
    (Both, "ALTER TABLE parts DROP PARTITION p3"),
    // Names.
    (Both, "ALTER TABLE k RENAME TO k2"),
    (Both, "ALTER TABLE k2 RENAME AS k3, ADD y INT"),
    (Both, "ALTER TABLE k3 RENAME k4"),
    (Both, "RENAME TABLE k4 TO tmp_1, swap TO k4, tmp_1 TO swap"),
    (Both, "CREATE TABLE gone_1 (a INT)"),
    (Both, "CREATE TABLE gone_2 (a INT)"),
    (Both, "DROP TABLE IF EXISTS gone_1, `gone_2` /* generated by server */"),
    (Both, "CREATE TABLE gone_1 (b TEXT)"),
    (Both, "TRUNCATE gone_1"),
    (Both, "TRUNCATE TABLE `gone_1`"),
    (Both, "CREATE TABLE _t_gho LIKE t"),
    (Both, "ALTER TABLE _t_gho ADD COLUMN via_ghost INT"),
    (Both, "RENAME TABLE t TO _t_del, _t_gho TO t"),
    (Both, "DROP TABLE _t_del"),
    // Types of one server.
    (
        Both,
        "CREATE TABLE shapes (a GEOMETRY, b POINT NOT NULL, c LINESTRING, d POLYGON, e MULTIPOINT, f MULTILINESTRING, g MULTIPOLYGON, h GEOMETRYCOLLECTION)",
    ),
    (Both, "CREATE TABLE documents (a JSON, b JSON NOT NULL) CHARSET latin1"),
    (
        MySql,
        "CREATE TABLE my_types (a GEOMCOLLECTION, b POINT NOT NULL SRID 4326, c VECTOR, d VECTOR(3), e JSON DEFAULT (JSON_ARRAY(1, 2)))",
    ),
    (
        MariaDb,
        "CREATE TABLE maria_types (a INET6, b INET4, c UUID DEFAULT UUID(), d VARCHAR(10) COMPRESSED, e TEXT COMPRESSED=zlib NOT NULL, k YEAR(2), l POINT REF_SYSTEM_ID=101, m BLOB(100) COMPRESSED, n INT INVISIBLE DEFAULT 5, o CHAR(5) DEFAULT CONCAT('a', 'b') NOT NULL, p INT AS (n + 1) PERSISTENT)",
    ),
    (MariaDb, "CREATE OR REPLACE TABLE maria_types (a INET6, b TEXT)"),
    (MariaDb, "CREATE SEQUENCE seq_1"),
    (
        MariaDb,
        "CREATE TABLE from_sequence (a INT DEFAULT NEXT VALUE FOR seq_1 NOT NULL, b INT DEFAULT (NEXTVAL(seq_1)), c INT)",
    ),
    (
        MariaDb,
        "CREATE TABLE versioned (a INT PRIMARY KEY, b INT WITHOUT SYSTEM VERSIONING) WITH SYSTEM VERSIONING",
    ),
    (
        MariaDb,
        "CREATE TABLE versioned_2 (a INT, s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, e TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME (PARTITION h HISTORY, PARTITION c CURRENT)",
    ),
    (MariaDb, "CREATE TABLE periods (id INT, s DATE, e DATE, PERIOD FOR p (s, e))"),
    (MariaDb, "ALTER TABLE from_sequence ADD SYSTEM VERSIONING"),
    (MariaDb, "ALTER TABLE from_sequence DROP SYSTEM VERSIONING"),
    (MariaDb, "ALTER TABLE from_sequence WAIT 5 ADD d INT"),
    (MariaDb, "ALTER ONLINE TABLE from_sequence NOWAIT ADD e INT"),
    (MariaDb, "ALTER IGNORE TABLE from_sequence ADD f INT"),
    (MariaDb, "SET STATEMENT lock_wait_timeout = 5 FOR ALTER TABLE from_sequence ADD g INT"),
    (MariaDb, "RENAME TABLE from_sequence WAIT 3 TO from_sequence_2"),
    (MariaDb, "DROP TABLES IF EXISTS from_sequence_2, nope WAIT 2"),
    (
        MariaDb,
        "CREATE TABLE uca (a VARCHAR(5), b VARCHAR(5) CHARACTER SET latin1) COLLATE utf8mb4_uca1400_ai_ci",
    ),
    (MariaDb, "ALTER TABLE documents CONVERT TO CHARACTER SET utf8mb3"),
    (
        MariaDb,
        "CREATE TABLE mp (a INT) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
    ),
    (MariaDb, "ALTER TABLE mp CONVERT PARTITION p1 TO TABLE mp_1"),
    (MariaDb, "ALTER TABLE mp CONVERT TABLE mp_1 TO PARTITION p1 VALUES LESS THAN (20)"),
    (
        MariaDb,
        "CREATE TABLE page_options (a INT NOT NULL) ENGINE=InnoDB PAGE_COMPRESSED=1 PAGE_COMPRESSION_LEVEL=5 ENCRYPTED=NO",
    ),
    (
        MySql,
        "CREATE TABLE my_options (a INT NOT NULL) COMPRESSION='zlib' ENCRYPTION='N' SECONDARY_ENGINE_ATTRIBUTE='{}' AUTOEXTEND_SIZE=4M",
    ),
    (
        MySql,
        "CREATE TABLE my_columns (a INT COMMENT 'x', b VARCHAR(10) NOT NULL CHECK (b <> '') NOT ENFORCED, c INT)",
    ),
    // Without the strict mode, a VARCHAR too long becomes a text type.
    (Both, "SET SESSION sql_mode = ''"),
    (
        Both,
        "CREATE TABLE too_long (a VARCHAR(70000), b VARCHAR(20000) CHARACTER SET utf8mb4, c VARBINARY(70000), d VARCHAR(70000) CHARACTER SET latin1)",
    ),
    (MariaDb, "CREATE TABLE cv (h VARCHAR(20000)) CHARSET utf8mb3"),
    (MariaDb, "ALTER TABLE cv CONVERT TO CHARACTER SET utf8mb4"),
    // Modes that change how statements read.
    (Both, "SET SESSION sql_mode = 'ANSI_QUOTES'"),
    (
        Both,
        r#"CREATE TABLE "ansi ""quoted""" ("a" INT NOT NULL, "b c" VARCHAR(5) DEFAULT 'it''s', PRIMARY KEY ("a"))"#,
    ),
    (Both, "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'"),
    (Both, r"CREATE TABLE plain_slashes (a ENUM('a\', 'b\n') COMMENT 'x\', b INT NOT NULL COMMENT '\')"),
    (Both, "SET SESSION sql_mode = 'REAL_AS_FLOAT'"),
    (Both, "CREATE TABLE reals (a REAL, b REAL(5,2))"),
    (MariaDb, "SET SESSION sql_mode = 'ORACLE'"),
    (
        MariaDb,
        r#"CREATE TABLE "oracle" (a NUMBER(5,2), b NUMBER, c VARCHAR2(5), d CLOB, e RAW(5), f DATE, g BLOB, h BLOB(100), i NUMBER(5), j TIMESTAMP NULL)"#,
    ),
];
