//! Every statement of the corpus runs on a real server and through the tracker; then the tracked
//! definitions must be those of the server's `information_schema`.

mod corpus;

use std::collections::BTreeMap;

use culvert_source_mysql::ddl::{MemoryCatalog, ParseOptions, apply_statement, normal_charset, parse};
use culvert_tests::{Flavor, Server};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use corpus::{Runs, STATEMENTS};

/// Columns as `name | type | character set | nullable`, then keys as `KEY name | columns`.
type Shapes = BTreeMap<String, Vec<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn tracked_definitions_are_the_server_s() {
    culvert_tests::both(async |server: &'static Server| {
        let database = server.fresh_database("ddl").await;
        let mut conn = server.conn().await;
        run(&mut conn, &format!("ALTER DATABASE `{database}` CHARACTER SET utf8mb4")).await;
        run(&mut conn, &format!("USE `{database}`")).await;
        run(&mut conn, "SET NAMES utf8mb4").await;
        let mut options = options(&mut conn, server.flavor()).await;
        let mut catalog = MemoryCatalog::new(Some("utf8mb4"), false);
        for (runs, sql) in STATEMENTS {
            let here = match runs {
                Runs::Both => true,
                Runs::MariaDb => server.flavor() == Flavor::MariaDb,
                Runs::MySql => server.flavor() == Flavor::MySql,
            };
            if !here {
                continue;
            }
            run(&mut conn, sql).await;
            options.sql_mode = sql_mode(&mut conn).await;
            let effects = apply_statement(&mut catalog, &parse(sql, &database, &options));
            for effect in effects {
                let effect = format!("{effect:?}");
                assert!(!effect.starts_with("NeedsReread"), "{sql}: {effect}");
            }
        }
        run(&mut conn, "SET SESSION sql_mode = ''").await;
        let expected = of_server(&mut conn, &database).await;
        let found = of_catalog(&catalog);
        for (table, shape) in &expected {
            assert_eq!(found.get(table), Some(shape), "table {table}");
        }
        assert_eq!(found.len(), expected.len(), "tables {:?} and {:?}", found.keys(), expected.keys());
        assert!(expected.len() > 30, "the corpus makes many tables");
        let _ = conn.disconnect().await;
    })
    .await;
}

async fn run(conn: &mut Conn, sql: &str) {
    if let Err(error) = conn.query_drop(sql).await {
        panic!("the server refused `{sql}`: {error}");
    }
}

async fn options(conn: &mut Conn, flavor: Flavor) -> ParseOptions {
    let (major, minor, patch) = conn.server_version();
    let version = u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch);
    let explicit: Option<bool> = conn
        .query_first("SELECT @@explicit_defaults_for_timestamp")
        .await
        .expect("a variable of both servers");
    ParseOptions {
        mariadb: flavor == Flavor::MariaDb,
        version,
        sql_mode: 0,
        explicit_defaults_for_timestamp: explicit.expect("one row"),
    }
}

/// The session's mode as the bit set that events carry.
async fn sql_mode(conn: &mut Conn) -> u64 {
    let modes: Option<String> =
        conn.query_first("SELECT @@sql_mode").await.expect("a variable of both servers");
    let modes = modes.expect("one row");
    let bit = |mode: &str| match mode {
        "REAL_AS_FLOAT" => 1,
        "ANSI_QUOTES" => 1 << 2,
        "ORACLE" => 1 << 9,
        "NO_BACKSLASH_ESCAPES" => 1 << 20,
        _ => 0,
    };
    modes.split(',').map(bit).sum()
}

async fn of_server(conn: &mut Conn, database: &str) -> Shapes {
    let columns: Vec<(String, String, String, Option<String>, String)> = conn
        .exec(
            "SELECT c.TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CHARACTER_SET_NAME, IS_NULLABLE \
             FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
             WHERE c.TABLE_SCHEMA = ? AND TABLE_TYPE <> 'SEQUENCE' ORDER BY c.TABLE_NAME, ORDINAL_POSITION",
            (database,),
        )
        .await
        .expect("columns of the server");
    let keys: Vec<(String, String, Option<String>)> = conn
        .exec(
            "SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = ? AND NON_UNIQUE = 0 ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
            (database,),
        )
        .await
        .expect("keys of the server");
    let mut shapes = Shapes::new();
    for (table, name, column_type, charset, nullable) in columns {
        shapes.entry(table).or_default().push(column(
            &name,
            &column_type,
            charset.as_deref(),
            nullable == "YES",
        ));
    }
    let mut parts: BTreeMap<(String, String), Vec<Option<String>>> = BTreeMap::new();
    for (table, name, column) in keys {
        parts.entry((table, name)).or_default().push(column);
    }
    for ((table, name), columns) in parts {
        // A part without a column is an expression.
        if let Some(columns) = columns.into_iter().collect::<Option<Vec<String>>>() {
            shapes.entry(table).or_default().push(format!("KEY {name} | {}", columns.join(",")));
        }
    }
    shapes.values_mut().for_each(|shape| sort_keys(shape));
    shapes
}

fn of_catalog(catalog: &MemoryCatalog) -> Shapes {
    let shape = |table: &culvert_source_mysql::ddl::TableDef| {
        let columns = table.columns.iter();
        let mut shape: Vec<String> =
            columns.map(|it| column(&it.name, &it.column_type, it.charset.as_deref(), it.nullable)).collect();
        if !table.primary_key.is_empty() {
            shape.push(format!("KEY PRIMARY | {}", table.primary_key.join(",")));
        }
        shape.extend(
            table.unique_keys.iter().map(|key| format!("KEY {} | {}", key.name, key.columns.join(","))),
        );
        sort_keys(&mut shape);
        (table.table.clone(), shape)
    };
    catalog.tables().map(shape).collect()
}

/// MariaDB calls the character set of a binary ENUM `binary`, MySQL calls it nothing.
fn column(name: &str, column_type: &str, charset: Option<&str>, nullable: bool) -> String {
    let charset = charset.map(normal_charset).filter(|set| set != "binary").unwrap_or_default();
    format!("{name} | {column_type} | {charset} | {nullable}")
}

/// Columns keep their order; keys behind them go by name.
fn sort_keys(shape: &mut [String]) {
    let keys = shape.iter().position(|line| line.starts_with("KEY ")).unwrap_or(shape.len());
    shape[keys..].sort();
}
