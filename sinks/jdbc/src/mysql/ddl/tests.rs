#![allow(clippy::unwrap_used)]

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{RowKindSet, SourceType, TableId};

use super::*;
use crate::mysql::plan::tests::settings;

fn of_postgres(columns: &[(&str, DataType, &str)], key: &[&str]) -> TableSchema {
    let column = |(name, data_type, declaration): &(&str, DataType, &str)| Column {
        name: (*name).into(),
        data_type: data_type.clone(),
        nullable: true,
        source_type: Some(SourceType::postgres(*declaration)),
    };
    let columns = columns.iter().map(column).collect();
    let key = key.iter().map(ToString::to_string).collect();
    let id = TableId { schema: Some("public".into()), ..TableId::new("shop", "t") };
    TableSchema::new(id, 1, columns, key, RowKindSet::ALL)
}

fn server(mariadb: bool) -> Server {
    let version = if mariadb { (10, 11, 0) } else { (9, 7, 0) };
    Server { mariadb, version, ..Server::default() }
}

fn name() -> TargetName {
    TargetName { database: "cdc".into(), table: "t".into() }
}

#[test]
fn tables_of_postgres_are_created_with_types_that_keep_their_values() {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let source = of_postgres(
        &[
            ("id", DataType::Utf8, "uuid"),
            ("at", utc, "timestamp with time zone"),
            ("doc", DataType::Utf8, "jsonb"),
        ],
        &["id"],
    );
    let statement = create_table(&settings(&[]), &source, &name(), &server(true)).unwrap();
    assert_eq!(
        statement,
        "CREATE TABLE IF NOT EXISTS `cdc`.`t` (`id` char(36) COLLATE utf8mb4_nopad_bin NOT NULL, \
         `at` datetime(6) NULL, `doc` json NULL, PRIMARY KEY (`id`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    );
}

#[test]
fn many_texts_leave_the_row() {
    let wide: Vec<(String, DataType, &str)> =
        (0..100).map(|n| (format!("c{n}"), DataType::Utf8, "character varying(200)")).collect();
    let wide: Vec<(&str, DataType, &str)> = wide
        .iter()
        .map(|(name, data_type, declared)| (name.as_str(), data_type.clone(), *declared))
        .collect();
    let statement =
        create_table(&settings(&[]), &of_postgres(&wide, &["c0"]), &name(), &server(true)).unwrap();
    assert!(
        statement.contains("`c0` varchar(200) COLLATE") && statement.contains("`c99` text NULL"),
        "{statement}"
    );
    let few =
        create_table(&settings(&[]), &of_postgres(&wide[..10], &["c0"]), &name(), &server(true)).unwrap();
    assert!(few.contains("`c9` varchar(200) NULL"), "{few}");
}

#[test]
fn what_a_created_column_cannot_hold_is_said() {
    let source = of_postgres(
        &[("k", DataType::Utf8, "text"), ("j", DataType::Utf8, "jsonb"), ("n", DataType::Int32, "integer")],
        &["k", "n"],
    );
    let said = |mariadb| -> Vec<String> {
        let remarks = remarks(&settings(&[]), &source, &name(), &server(mariadb));
        remarks.into_iter().map(|remark| format!("{} {}", remark.subject, remark.message)).collect()
    };
    let on_mysql = said(false);
    assert_eq!(on_mysql.len(), 2, "{on_mysql:?}");
    assert!(on_mysql[0].starts_with("cdc.t key column `k` (text)") && on_mysql[0].contains("255 characters"));
    assert!(on_mysql[1].contains("`j` (jsonb)") && on_mysql[1].contains("doubles"), "{on_mysql:?}");
    // MariaDB keeps the text.
    assert_eq!(said(true).len(), 1);
}

#[test]
fn a_change_in_the_words_of_postgres_is_followed() {
    let before = of_postgres(&[("id", DataType::Int32, "integer"), ("old", DataType::Utf8, "text")], &["id"]);
    let after = of_postgres(
        &[
            ("id", DataType::Int32, "integer"),
            ("new \"name", DataType::Utf8, "text"),
            ("flag", DataType::Boolean, "boolean"),
            ("path", DataType::Utf8, "character varying(9)"),
        ],
        &["id"],
    );
    let change = |statement: &str| SchemaChange {
        before: Some(std::sync::Arc::new(before.clone())),
        after: Some(std::sync::Arc::new(after.clone())),
        statement: statement.into(),
    };
    let mut target = crate::mysql::plan::tests::target(&[&["id"]], &[]);
    target.columns[1].name = "old".into();
    let told = "ALTER TABLE \"public\".\"t\" RENAME COLUMN \"old\" TO \"new \"\"name\", \
                ADD COLUMN \"flag\" boolean NOT NULL DEFAULT 't', \
                ADD COLUMN \"path\" character varying(9) DEFAULT E'a\\\\b'";
    let statement = follow(&settings(&[]), &change(told), &target, &server(true)).unwrap().unwrap();
    assert_eq!(
        statement,
        "ALTER TABLE `cdc`.`w` CHANGE COLUMN `old` `new \"name` longtext NULL, \
         ADD COLUMN `flag` tinyint(1) NULL DEFAULT 1, ADD COLUMN `path` varchar(9) NULL DEFAULT 'a\\\\b'"
    );
    let told = told.replace("DEFAULT 't'", "DEFAULT (computed)");
    let error = follow(&settings(&[]), &change(&told), &target, &server(true)).unwrap_err();
    assert!(error.to_string().contains("computed per row"), "{error}");
}

#[test]
fn a_column_comes_to_take_null_and_keeps_its_type() {
    let strict = |nullable: bool| {
        let mut table =
            of_postgres(&[("id", DataType::Int32, "integer"), ("old", DataType::Utf8, "text")], &["id"]);
        table.columns.iter_mut().for_each(|column| column.nullable = nullable);
        Some(std::sync::Arc::new(table))
    };
    let change = SchemaChange { before: strict(false), after: strict(true), statement: "ALTER TABLE".into() };
    let mut target = crate::mysql::plan::tests::target(&[&["id"]], &[]);
    let column = &mut target.columns[1];
    (column.name, column.column_type) = ("old".into(), "varchar(9)".into());
    (column.nullable, column.collation) = (false, Some("utf8mb4_bin".into()));
    let statement = follow(&settings(&[]), &change, &target, &server(true)).unwrap();
    assert_eq!(
        statement.as_deref(),
        Some("ALTER TABLE `cdc`.`w` MODIFY COLUMN `old` varchar(9) COLLATE utf8mb4_bin NULL")
    );
    // Done already.
    target.columns[1].nullable = true;
    assert_eq!(follow(&settings(&[]), &change, &target, &server(true)).unwrap(), None);
}
