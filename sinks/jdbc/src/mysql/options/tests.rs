#![allow(clippy::unwrap_used)]

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, TableId};
use culvert_config::{Block, Entry, Place, Role, Value};

use super::*;
use crate::options::OPTIONS;

fn options(pairs: &[(&str, &str)]) -> Options {
    let mut block = Block::new(Role::Sink, "Jdbc", Place::default());
    for (key, value) in pairs {
        block.entries.push(Entry {
            key: (*key).to_string(),
            value: Value::String((*value).to_string()),
            place: Place::default(),
        });
    }
    let (options, problems) = Options::resolve(&block, OPTIONS);
    assert!(problems.iter().all(|problem| !problem.is_error()), "{problems:?}");
    options
}

fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
    let mut all = vec![("url", "jdbc:mysql://h:3307/cdc?useUnicode=true"), ("generate_sink_sql", "true")];
    all.retain(|(key, _)| !pairs.iter().any(|(other, _)| other == key));
    all.extend_from_slice(pairs);
    Settings::from_options(&options(&all))
}

fn table() -> TableSchema {
    let columns = vec![Column::derived("id", DataType::Int32, false)];
    TableSchema::new(TableId::new("shop", "a.b"), 1, columns, vec!["id".into()], RowKindSet::ALL)
}

fn target(pairs: &[(&str, &str)]) -> String {
    settings(pairs).unwrap().target(&table()).unwrap().quoted()
}

#[test]
fn names_of_the_target() {
    assert_eq!(target(&[]), "`cdc`.`a.b`");
    assert_eq!(target(&[("database", "x")]), "`x`.`a.b`");
    assert_eq!(target(&[("database", "${database_name}_copy")]), "`shop_copy`.`a.b`");
    assert_eq!(target(&[("table", "w2"), ("tablePrefix", "p_"), ("tableSuffix", "_s")]), "`cdc`.`p_w2_s`");
    assert_eq!(target(&[("table", "other.w2")]), "`other`.`w2`");
    assert_eq!(target(&[("table", "`a.b`.`c.d`")]), "`a.b`.`c.d`");
    assert_eq!(target(&[("table", "${table_name}_x")]), "`cdc`.`a.b_x`");
    assert!(settings(&[("table", "other.w2"), ("database", "cdc")]).is_err());
    assert!(settings(&[("table", "a.b.c")]).is_err());
    assert!(settings(&[("url", "jdbc:mysql://h:3307")]).unwrap_err().to_string().contains("database"));
    assert!(settings(&[("url", "jdbc:mysql://h"), ("database", "${database_name}")]).is_err());
}

#[test]
fn accounts_come_from_options_or_url() {
    let found = settings(&[("user", "root"), ("password", "secret")]).unwrap();
    assert_eq!((found.shared.user.as_str(), found.shared.password.expose()), ("root", "secret"));
    assert!(!format!("{found:?}").contains("secret"));
    let found = settings(&[("url", "jdbc:mysql://u:p@h/cdc")]).unwrap();
    assert_eq!((found.shared.user.as_str(), found.shared.password.expose()), ("u", "p"));
}

#[test]
fn what_contradicts_itself_is_refused() {
    let message = |pairs: &[(&str, &str)]| settings(pairs).unwrap_err().to_string();
    assert!(message(&[("driver", "org.postgresql.Driver")]).contains("driver"));
    assert!(message(&[("generate_sink_sql", "false")]).contains("query"));
    assert!(message(&[("data_save_mode", "custom_processing")]).contains("custom_sql"));
    assert!(message(&[("schema", "s")]).contains("schema"));
    assert!(message(&[("use_copy_statement", "true")]).contains("use_copy_statement"));
    assert!(message(&[("dialect", "postgresql")]).contains("dialect"));
    assert!(message(&[("compatible_mode", "oracle")]).contains("compatible_mode"));
    assert!(settings(&[("compatible_mode", "mysql"), ("dialect", "MySQL")]).is_ok());
    let url = "jdbc:mysql://h/d?sessionVariables=sql_mode='',x=1";
    assert!(message(&[("url", url)]).contains("sql_mode"));
    let url = "jdbc:mysql://h/d?sessionVariables=net_read_timeout=60,b='c'";
    let found = settings(&[("url", url)]).unwrap();
    assert_eq!(found.session_variables, [("net_read_timeout".into(), "60".into()), ("b".into(), "c".into())]);
}
