#![allow(clippy::unwrap_used)]

use arrow_schema::DataType;
use culvert_api::{Column, RowKindSet, SourceType, TableId, TableSchema, Transform};
use culvert_config::{Block, Entry, Options, Place, Role, Value};

use crate::Sql;

/// What a database could decide of this WHERE over whole numbers `id`, `n`, a year `y`, and a text `name`.
fn pushed(filter: &str) -> Option<String> {
    let column = |name: &str, data_type, declared: &str| Column {
        source_type: Some(SourceType::mysql(declared)),
        ..Column::derived(name, data_type, true)
    };
    let columns = vec![
        column("id", DataType::Int64, "bigint(20)"),
        column("n", DataType::Int32, "int(11)"),
        column("y", DataType::UInt16, "year(4)"),
        column("name", DataType::Utf8, "varchar(10)"),
    ];
    let table = TableSchema::new(TableId::new("d", "t"), 1, columns, vec!["id".into()], RowKindSet::ALL);
    let mut block = Block::new(Role::Transform, Sql::PLUGIN, Place::default());
    let value = Value::String(format!("select * from t where {filter}"));
    block.entries.push(Entry { key: "query".to_owned(), value, place: Place::default() });
    let sql = Sql::from_options(&Options::resolve(&block, Sql::OPTIONS).0).unwrap();
    sql.condition(&table, None).map(|condition| condition.to_string())
}

#[test]
fn comparisons_of_whole_numbers_can_be_left_to_a_database() {
    for (filter, expected) in [
        ("id > 5", r#""id" > 5"#),
        ("5 > ID", r#""id" < 5"#),
        ("t.n <> -3", r#""n" <> -3"#),
        ("(id >= 5 and n = 1) or n is null", r#"(("id" >= 5 AND "n" = 1) OR "n" IS NULL)"#),
        ("n between 1 and 3", r#"("n" >= 1 AND "n" <= 3)"#),
        ("n not between 1 and 3", r#"("n" < 1 OR "n" > 3)"#),
        ("n in (1, 2)", r#"("n" = 1 OR "n" = 2)"#),
        ("n not in (1, 2)", r#"("n" <> 1 AND "n" <> 2)"#),
    ] {
        assert_eq!(pushed(filter).as_deref(), Some(expected), "{filter}");
    }
}

#[test]
fn of_an_and_the_parts_that_can_be_are_left_to_it() {
    assert_eq!(pushed("name = 'a' and id > 5 and length(name) > 2").as_deref(), Some(r#""id" > 5"#));
    assert_eq!(pushed("id > 5 and n < 9").as_deref(), Some(r#"("id" > 5 AND "n" < 9)"#));
}

#[test]
fn anything_else_is_not() {
    for filter in [
        "name = 'a'",
        "id > 5 or name = 'a'",
        "not (id > 5)",
        "id > 5.0",
        "id > '5'",
        "id > n",
        "id + 1 > 5",
        "y > 1990",
        "name is null",
        "id > 9007199254740992",
        "abs(n) = 3",
        "n in (1, null)",
    ] {
        assert_eq!(pushed(filter), None, "{filter}");
    }
}
