#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, TableId};
use culvert_config::{Block, Entry, Place, Role, Value};

use super::*;
use crate::options::OPTIONS;

pub(crate) fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
    let mut all = vec![("url", "jdbc:postgresql://h:5433/cdc"), ("generate_sink_sql", "true")];
    all.retain(|(key, _)| !pairs.iter().any(|(other, _)| other == key));
    all.extend_from_slice(pairs);
    let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
    for (key, value) in all {
        block.entries.push(Entry {
            key: key.to_string(),
            value: Value::String(value.to_string()),
            place: Place::default(),
        });
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    Settings::from_options(&options)
}

fn table(schema: Option<&str>) -> Arc<TableSchema> {
    let columns = vec![Column::derived("id", DataType::Int32, false)];
    let id = TableId { database: "shop".into(), schema: schema.map(str::to_string), table: "a.b".into() };
    Arc::new(TableSchema::new(id, 1, columns, vec!["id".into()], RowKindSet::ALL))
}

fn target(pairs: &[(&str, &str)]) -> String {
    settings(pairs).unwrap().target(&table(None)).unwrap().quoted()
}

#[test]
fn names_of_the_target() {
    assert_eq!(target(&[]), r#""public"."a.b""#);
    assert_eq!(target(&[("table", "public.t")]), r#""public"."t""#);
    assert_eq!(target(&[("table", "data_schema.${table_name}")]), r#""data_schema"."a.b""#);
    assert_eq!(target(&[("table", "cdc.s.T")]), r#""s"."T""#);
    assert_eq!(target(&[("table", r#""a.b"."c""d""#)]), r#""a.b"."c""d""#);
    assert_eq!(target(&[("schema", "${database_name}_x"), ("tableSuffix", "_s")]), r#""shop_x"."a.b_s""#);
    assert_eq!(target(&[("url", "jdbc:postgresql://h/cdc?currentSchema=One,\"Two\"")]), r#""one"."a.b""#);
    let with_schema = settings(&[]).unwrap().target(&table(Some("sales"))).unwrap();
    assert_eq!(with_schema.schema, "sales");
    assert!(settings(&[("table", "a.b"), ("schema", "c")]).is_err());
    assert!(settings(&[("table", "a.b.c.d")]).is_err());
    assert!(settings(&[("table", "other.s.t")]).unwrap().target(&table(None)).is_err());
    let long = "n".repeat(64);
    assert!(settings(&[("table", long.as_str())]).unwrap().target(&table(None)).is_err());
}

#[test]
fn the_database_is_the_urls() {
    assert!(settings(&[("database", "cdc")]).is_ok());
    assert!(settings(&[("database", "other")]).unwrap_err().to_string().contains("`database`"));
    let by_option = settings(&[("url", "jdbc:postgresql://h"), ("database", "x"), ("user", "u")]).unwrap();
    assert_eq!(by_option.endpoint.database, "x");
    let per_table = settings(&[("database", "${database_name}")]).unwrap();
    assert!(per_table.target(&table(None)).unwrap_err().to_string().contains("shop"));
}

#[test]
fn the_marker_lies_where_the_options_fix_a_schema() {
    let schema = |pairs: &[(&str, &str)]| settings(pairs).unwrap().marker_name().unwrap().schema;
    assert_eq!(schema(&[]), "public");
    assert_eq!(schema(&[("schema", "s")]), "s");
    assert_eq!(schema(&[("table", "s2.t")]), "s2");
    assert_eq!(schema(&[("table", "${schema_name}.t")]), "public");
}

#[test]
fn accounts_come_from_options_url_or_parameters() {
    let found = settings(&[("user", "root"), ("password", "secret")]).unwrap();
    assert_eq!((found.endpoint.user.as_str(), found.endpoint.password.expose()), ("root", "secret"));
    assert!(!format!("{found:?}").contains("secret"));
    let found = settings(&[("url", "jdbc:postgresql://h/d?user=u&password=p")]).unwrap();
    assert_eq!((found.endpoint.user.as_str(), found.endpoint.password.expose()), ("u", "p"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let message = |pairs: &[(&str, &str)]| settings(pairs).unwrap_err().to_string();
    assert!(message(&[("driver", "com.mysql.cj.jdbc.Driver")]).contains("driver"));
    assert!(message(&[("generate_sink_sql", "false")]).contains("query"));
    assert!(message(&[("compatible_mode", "postgresLow")]).contains("9.5"));
    assert!(message(&[("url", "jdbc:postgresql://h/d?sslmode=verify-ca")]).contains("`url` asks for"));
    for product in ["opengauss", "kingbase8", "greenplum"] {
        let url = format!("jdbc:{product}://h/cdc");
        let driver = "org.postgresql.Driver";
        let found = settings(&[("url", url.as_str()), ("driver", driver), ("use_copy_statement", "true")]);
        assert!(found.is_ok(), "{product}");
    }
}
