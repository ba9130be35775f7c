//! The table that messages are rows of, as the option `schema` declares it.

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Column, Result, RowKindSet, TableId, TableSchema};
use culvert_config::{Entry, Options, Value};
use culvert_kafka::error::option;

/// What a type may be, for messages to people.
const TYPES: &str = "tinyint, smallint, int, bigint (each with `unsigned` behind it, too), float, double, \
     decimal(p, s), boolean, string, bytes, date, time, timestamp, timestamp_tz, interval";

const DECIMAL128_DIGITS_MAX: u8 = 38;
const DECIMAL_DIGITS_MAX: u8 = 76;

/// The declared table. `topic` names it where the option does not.
pub(crate) fn table(options: &Options, topic: &str) -> Result<TableSchema> {
    let mut columns = Vec::new();
    for (name, declared) in options.map("schema.fields") {
        columns.push(Column::derived(name, data_type(name, declared)?, true));
    }
    for entry in options.objects("schema.columns") {
        columns.push(column(entry)?);
    }
    if columns.is_empty() {
        return Err(option("schema", "is missing: messages do not say what types their values have")
            .hint("schema { table = \"db.orders\", fields { id = bigint, name = string }, primaryKey { columnNames = [id] } }"));
    }
    for (at, column) in columns.iter().enumerate() {
        if columns.iter().take(at).any(|earlier| earlier.name == column.name) {
            return Err(option("schema", &format!("names the column {} twice", column.name)));
        }
    }
    let key = options.list("schema.primaryKey.columnNames").to_vec();
    for name in &key {
        let Some(column) = columns.iter_mut().find(|column| column.name == *name) else {
            return Err(option(
                "schema.primaryKey",
                &format!("names the column {name}, which `schema` does not have"),
            ));
        };
        column.nullable = false;
    }
    Ok(TableSchema::new(id(options.opt_str("schema.table"), topic), 1, columns, key, RowKindSet::ALL))
}

/// `table`, `database.table` or `database.schema.table`.
fn id(declared: Option<&str>, topic: &str) -> TableId {
    let Some(name) = declared.filter(|name| !name.is_empty()) else { return TableId::new("", topic) };
    let mut parts = name.splitn(3, '.').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(database), Some(schema), Some(table)) => TableId { database, schema: Some(schema), table },
        (Some(database), Some(table), None) => TableId::new(database, table),
        _ => TableId::new("", name),
    }
}

fn column(entry: &[Entry]) -> Result<Column> {
    let get = |key: &str| entry.iter().find(|found| found.key == key).map(|found| &found.value);
    let text = |key: &str| get(key).and_then(Value::scalar_text);
    let known = ["name", "type", "nullable", "comment", "columnLength", "defaultValue"];
    if let Some(unknown) = entry.iter().find(|found| !known.contains(&found.key.as_str())) {
        return Err(option("schema.columns", &format!("does not know '{}'", unknown.key)));
    }
    let name = text("name").ok_or_else(|| option("schema.columns", "has a column without a `name`"))?;
    let declared = text("type")
        .ok_or_else(|| option("schema.columns", &format!("has no `type` for the column {name}")))?;
    let nullable = match text("nullable") {
        None => true,
        Some(word) => word.parse().map_err(|_| {
            option("schema.columns", &format!("has a `nullable` that is not true or false: {name}"))
        })?,
    };
    Ok(Column::derived(name, data_type(name, declared)?, nullable))
}

/// A type as SeaTunnel's files declare it, and the ones that they lack.
fn data_type(column: &str, declared: &str) -> Result<DataType> {
    let word = declared.trim().to_ascii_lowercase();
    let refused = || {
        option("schema", &format!("has the type '{declared}' for the column {column}, which is not read"))
            .hint(format!("there are: {TYPES}"))
    };
    if let Some(inside) = word.strip_prefix("decimal").map(str::trim) {
        let digits =
            inside.strip_prefix('(').and_then(|inside| inside.strip_suffix(')')).ok_or_else(refused)?;
        let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
        let precision: u8 = precision.trim().parse().map_err(|_| refused())?;
        let scale: i8 = scale.trim().parse().map_err(|_| refused())?;
        let fits = precision > 0 && u8::try_from(scale).is_ok_and(|scale| scale <= precision);
        return match precision {
            1..=DECIMAL128_DIGITS_MAX if fits => Ok(DataType::Decimal128(precision, scale)),
            1..=DECIMAL_DIGITS_MAX if fits => Ok(DataType::Decimal256(precision, scale)),
            _ => Err(refused()),
        };
    }
    Ok(match word.as_str() {
        "boolean" => DataType::Boolean,
        "tinyint" => DataType::Int8,
        "smallint" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "tinyint unsigned" => DataType::UInt8,
        "smallint unsigned" => DataType::UInt16,
        "int unsigned" => DataType::UInt32,
        "bigint unsigned" => DataType::UInt64,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "string" => DataType::Utf8,
        "bytes" => DataType::Binary,
        "date" => DataType::Date32,
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp_tz" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "interval" => DataType::Duration(TimeUnit::Microsecond),
        _ => return Err(refused()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_those_of_job_files() {
        let is = |declared: &str| data_type("c", declared).unwrap();
        assert_eq!(is("BIGINT"), DataType::Int64);
        assert_eq!(is(" bigint unsigned "), DataType::UInt64);
        assert_eq!(is("decimal(12, 2)"), DataType::Decimal128(12, 2));
        assert_eq!(is("decimal(65,30)"), DataType::Decimal256(65, 30));
        assert_eq!(is("decimal(10)"), DataType::Decimal128(10, 0));
        assert_eq!(is("timestamp"), DataType::Timestamp(TimeUnit::Microsecond, None));
        for refused in [
            "decimal",
            "decimal(0,0)",
            "decimal(5,6)",
            "decimal(77,0)",
            "decimal(5,-1)",
            "row",
            "map<string,int>",
            "",
        ] {
            let error = data_type("c", refused).unwrap_err();
            assert!(error.to_string().contains(refused) && error.to_string().contains("column c"), "{error}");
        }
    }

    #[test]
    fn tables_have_as_many_levels_as_they_are_written_with() {
        assert_eq!(id(None, "topic").table, "topic");
        assert_eq!(id(Some("shop.orders"), "t"), TableId::new("shop", "orders"));
        assert_eq!(id(Some("db.public.orders"), "t").schema.as_deref(), Some("public"));
    }
}
