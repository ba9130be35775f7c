#![allow(clippy::unwrap_used)]

use culvert_config::{Block, Place, Role, Value};

use super::*;

fn entry(key: &str, value: Value) -> Entry {
    Entry { key: key.into(), value, place: Place::default() }
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn read(entries: Vec<Entry>) -> Result<Settings> {
    let mut block = Block::new(Role::Source, "Jdbc", Place::default());
    block.entries = entries;
    Settings::from_options(&Options::resolve(&block, OPTIONS).0, 4)
}

fn of(pairs: &[(&str, &str)]) -> Result<Settings> {
    read(pairs.iter().map(|(key, value)| entry(key, text(value))).collect())
}

const MYSQL: (&str, &str) = ("url", "jdbc:mysql://h/shop");
const POSTGRES: (&str, &str) = ("url", "jdbc:postgresql://h/shop");

#[test]
fn option_definitions_are_sound() {
    assert_eq!(culvert_config::definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn tables_have_the_names_of_their_servers() {
    for (url, path, name) in [
        (MYSQL, "t", "shop.t"),
        (MYSQL, "other.t", "other.t"),
        (POSTGRES, "shop.s.t", "shop.s.t"),
        (POSTGRES, "s.t", "shop.s.t"),
        (POSTGRES, "t", "shop.public.t"),
    ] {
        let settings = of(&[url, ("table_path", path)]).unwrap();
        assert_eq!(settings.items[0].table.as_ref().unwrap().to_string(), name);
    }
    for (url, path) in [(MYSQL, "a.b.c"), (MYSQL, "a."), (POSTGRES, "other.s.t"), (POSTGRES, "a.b.c.d")] {
        let error = of(&[url, ("table_path", path)]).unwrap_err();
        assert!(error.to_string().contains("table_path"), "{error}");
    }
}

#[test]
fn what_says_nothing_is_refused() {
    for (pairs, said) in [
        (vec![MYSQL], "table_path"),
        (vec![MYSQL, ("query", " ; ")], "query"),
        (vec![MYSQL, ("table_path", "t"), ("where_condition", "id > 1")], "where_condition"),
        (vec![MYSQL, ("table_path", "t"), ("partition_lower_bound", "1")], "partition_lower_bound"),
        (vec![MYSQL, ("table_path", "t"), ("driver", "org.postgresql.Driver")], "driver"),
        (vec![("url", "jdbc:oracle:x"), ("table_path", "t")], "url"),
    ] {
        let error = of(&pairs).unwrap_err();
        assert!(error.to_string().contains(&format!("option '{said}'")), "{error}");
    }
    let settings = of(&[MYSQL, ("query", "select 1;\n"), ("where_condition", "WHERE\n a = 1;")]).unwrap();
    assert_eq!(settings.items[0].query.as_deref(), Some("select 1"));
    assert_eq!(settings.condition.as_deref(), Some("a = 1"));
}

#[test]
fn a_list_of_tables_has_each_once() {
    let listed = |tables: &[&str]| {
        let blocks = tables.iter().map(|table| {
            Value::Object(vec![
                entry("table_path", text(table)),
                entry("partition_column", text("id")),
                entry("partition_num", Value::Number("3".into())),
            ])
        });
        read(vec![entry("url", text(MYSQL.1)), entry("table_list", Value::List(blocks.collect()))])
    };
    let settings = listed(&["a", "shop.b"]).unwrap();
    assert_eq!(settings.items.len(), 2);
    assert_eq!(settings.items[1].partition.number, Some(3));
    assert!(listed(&["a", "shop.a"]).unwrap_err().to_string().contains("twice"));
}
