#![allow(clippy::unwrap_used)]

use std::path::Path;

use culvert_config::{Format, JobFile, Variables, definition_mistakes};

use super::*;

const OPTIONS: &[OptionDef] =
    &[TABLE, FIELDS, COLUMNS, KEY, KEY_NAME, CONSTRAINTS, COMMENT, SCHEMA_FIRST, METADATA];

fn declare(schema: &str) -> Result<Declared> {
    let text = format!("source {{ A {{ schema {{ {schema} }} }} }}\nsink {{ B {{}} }}");
    let job =
        JobFile::parse(&text, Path::new("j.conf"), Format::Hocon, &Variables::new(&[]).unwrap()).unwrap();
    let (options, problems) = Options::resolve(&job.sources[0], OPTIONS);
    assert!(!problems.iter().any(culvert_config::Problem::is_error), "{problems:?}");
    declared(&options, TableId::new("", "topic"))
}

#[test]
fn the_options_are_sound() {
    assert_eq!(definition_mistakes(OPTIONS), Vec::<String>::new());
}

#[test]
fn tables_have_as_many_levels_as_they_are_written_with() {
    assert_eq!(declare("fields { a = int }").unwrap().schema.id.table, "topic");
    assert_eq!(
        declare("table = shop.orders, fields { a = int }").unwrap().schema.id,
        TableId::new("shop", "orders")
    );
    assert_eq!(table_id("db.public.orders").schema.as_deref(), Some("public"));
}

#[test]
fn columns_are_fields_or_blocks() {
    let fields =
        declare("fields { id = bigint, name = \"string\" }, primaryKey { columnNames = [id] }").unwrap();
    let blocks = declare(
        "columns = [{ name = id, type = bigint, nullable = false }, { name = name, type = string, comment = x }]
         primaryKey { name = pk, columnNames = [id] }",
    )
    .unwrap();
    assert_eq!(fields.schema, blocks.schema);
    assert_eq!(fields.schema.primary_key, ["id"]);
    assert!(!fields.schema.columns[0].nullable && fields.schema.columns[1].nullable);
}

#[test]
fn rows_are_blocks_of_fields_and_keep_their_order() {
    let row = declare(
        "fields { a = int, r = { x = string, in = { y = \"array<int>\" }, z = date }, b = \"null\" }",
    )
    .unwrap();
    let names: Vec<&str> = row.schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["a", "r", "b"]);
    let expected = data_type("{x = string, in = {y = array<int>}, z = date}").unwrap();
    assert_eq!(row.schema.columns[1].data_type, expected);
    let block =
        declare("columns = [{ name = r, type = { x = string, in = { y = \"array<int>\" }, z = date } }]");
    assert_eq!(block.unwrap().schema.columns[0].data_type, expected);
    assert!(refuse_nested(&row.schema, "the source").is_err());
}

#[test]
fn defaults_go_with_their_columns() {
    let table =
        declare("columns = [{ name = a, type = int }, { name = b, type = int, defaultValue = 7 }]").unwrap();
    assert_eq!(table.defaults, [None, Some(Value::Number("7".to_owned()))]);
}

#[test]
fn what_is_wrong_is_named() {
    for (schema, named) in [
        ("table = t", "option 'schema' is missing"),
        ("fields { a = strin }", "column a whose type is not known: 'strin'"),
        ("fields { r = { x = strin } }", "column x"),
        ("columns = [{ type = int }]", "without a `name`"),
        ("columns = [{ name = a }]", "no `type` for the column a"),
        ("columns = [{ name = a, type = int, nulable = false }]", "does not know 'nulable'"),
        ("columns = [{ name = a, type = int, nullable = maybe }]", "not true or false: a"),
        ("columns = [{ name = a, type = int }, { name = a, type = int }]", "names the column a twice"),
        ("fields { a = int }, primaryKey { columnNames = [b] }", "names the column b"),
        ("columns = [{ name = a, type = float_vector }]", "float_vector"),
    ] {
        let error = declare(schema).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
