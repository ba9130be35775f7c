//! Whether tables and rows are as the rules say.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::array_value_to_string;
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableId, TableSchema};
use culvert_values::{array, equal, matches, written};

use crate::rules::{FieldRule, RuleSet, Rules, ValueRule};

/// A table's name as rules write it: no dot in front where there is no database.
pub(crate) fn path(id: &TableId) -> String {
    match (id.database.is_empty(), &id.schema) {
        (true, None) => id.table.clone(),
        _ => id.to_string(),
    }
}

impl RuleSet {
    /// Whether the rules are about this table.
    pub(crate) fn is_about(&self, id: &TableId) -> bool {
        self.table.as_ref().is_none_or(|table| *table == path(id))
    }
}

/// The rules of one table, ready for its rows.
#[derive(Debug)]
pub(crate) struct Judge {
    schema: Arc<TableSchema>,
    fields: Vec<Field>,
}

#[derive(Debug)]
struct Field {
    rule: FieldRule,
    column: usize,
    /// For each `equals_to` of the rule the value it means, in the column's type.
    expected: Vec<Option<ArrayRef>>,
}

/// A rule is broken.
fn broken(rule: impl std::fmt::Display, table: &TableId) -> Error {
    Error::new(ErrorKind::Value, format!("the rule {rule} is broken"))
        .context("table", path(table))
        .hint("the sink Assert judges and keeps nothing: correct the rule, or what is in front of it")
}

/// Holds the tables that will come against the rules.
pub(crate) fn tables(rules: &Rules, tables: &[Arc<TableSchema>]) -> Result<()> {
    let mut found: Vec<String> = tables.iter().map(|table| path(&table.id)).collect();
    if !rules.table_names.is_empty() {
        let mut wanted = rules.table_names.clone();
        wanted.sort();
        found.sort();
        found.dedup();
        if wanted != found {
            let what =
                format!("table-names ({}) is broken: the tables are {}", wanted.join(", "), found.join(", "));
            return Err(Error::new(ErrorKind::Value, format!("the rule {what}")));
        }
    }
    for set in &rules.sets {
        let about: Vec<&Arc<TableSchema>> = tables.iter().filter(|table| set.is_about(&table.id)).collect();
        if let (Some(table), true) = (&set.table, about.is_empty()) {
            let what = format!(
                "the rules are about the table {table}, which does not come; there are: {}",
                found.join(", ")
            );
            return Err(Error::new(ErrorKind::Value, what));
        }
        for table in about {
            catalog(set, table)?;
        }
    }
    Ok(())
}

/// Holds a table's shape against the rules.
fn catalog(set: &RuleSet, table: &TableSchema) -> Result<()> {
    if let Some(key) = &set.key
        && *key != table.primary_key
    {
        let rule = format!("primary_key_columns [{}]", key.join(", "));
        return Err(broken(rule, &table.id).context("primary key", table.primary_key.join(", ")));
    }
    let Some(columns) = &set.columns else { return Ok(()) };
    if columns.len() != table.columns.len() {
        return Err(broken(format!("column_rule ({} columns)", columns.len()), &table.id)
            .context("columns", table.columns.len()));
    }
    for (rule, column) in columns.iter().zip(&table.columns) {
        let rule_of = |what: String| broken(format!("column_rule {} ({what})", rule.name), &table.id);
        if rule.name != column.name {
            return Err(rule_of("name".to_owned()).context("column", &column.name));
        }
        if rule.data_type.as_ref().is_some_and(|declared| !matches(&column.data_type, declared)) {
            return Err(rule_of("type".to_owned()).context("type", &column.data_type));
        }
        if let Some(nullable) = rule.nullable.filter(|nullable| *nullable != column.nullable) {
            return Err(rule_of(format!("nullable = {nullable}")));
        }
    }
    Ok(())
}

impl Judge {
    /// The rules about a table; an error when a field is not there, or `equals_to` cannot be one of its values.
    pub(crate) fn new(rules: &Rules, schema: &Arc<TableSchema>) -> Result<Judge> {
        let mut fields = Vec::new();
        for rule in rules.sets.iter().filter(|set| set.is_about(&schema.id)).flat_map(|set| &set.fields) {
            let column =
                schema.columns.iter().position(|column| column.name == rule.name).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Value,
                        format!("a rule is about the field {}, which is not there", rule.name),
                    )
                    .context("table", path(&schema.id))
                })?;
            let expected = rule
                .values
                .iter()
                .map(|value| expected(value, rule, schema, column))
                .collect::<Result<_>>()?;
            fields.push(Field { rule: rule.clone(), column, expected });
        }
        Ok(Judge { schema: Arc::clone(schema), fields })
    }

    /// Whether it was made for this shape.
    pub(crate) fn is_for(&self, schema: &Arc<TableSchema>) -> bool {
        Arc::ptr_eq(&self.schema, schema) || *self.schema == **schema
    }

    /// Judges the rows of a batch. `before` rows of the table came in front of them.
    pub(crate) fn rows(&self, batch: &ChangeBatch, before: u64) -> Result<()> {
        for field in &self.fields {
            let Some(column) = batch.rows.columns().get(field.column) else { continue };
            for row in 0..batch.len() {
                let at = |rule: &dyn std::fmt::Display| {
                    let number = before.saturating_add(row as u64).saturating_add(1);
                    broken(rule, &batch.schema.id).context("field", &field.rule.name).context("row", number)
                };
                if batch.is_unavailable(row, field.column) {
                    return Err(at(&"that values are told (the source's log left this one out)"));
                }
                self.value(field, column.as_ref(), row).map_err(|rule| at(&rule))?;
            }
        }
        Ok(())
    }

    /// Judges a value; the rule that is broken.
    fn value(&self, field: &Field, column: &dyn Array, row: usize) -> Result<(), String> {
        let is_null = *column.data_type() == DataType::Null || column.is_null(row);
        if let (Some(declared), false) = (&field.rule.data_type, is_null)
            && !matches(column.data_type(), declared)
        {
            return Err(format!("field_type (the column has {})", column.data_type()));
        }
        for (rule, expected) in field.rule.values.iter().zip(&field.expected) {
            let number = || if is_null { None } else { number(column, row) };
            let holds = match rule {
                ValueRule::Null => is_null,
                ValueRule::NotNull => !is_null,
                ValueRule::Min(bound) => number().is_some_and(|value| value >= *bound),
                ValueRule::Max(bound) => number().is_some_and(|value| value <= *bound),
                ValueRule::MinLength(bound) => length(column, row, is_null) >= *bound,
                ValueRule::MaxLength(bound) => length(column, row, is_null) <= *bound,
                ValueRule::EqualsTo(_) => {
                    is_null || expected.as_ref().is_some_and(|expected| equal(column, row, expected, 0))
                }
            };
            if !holds {
                return Err(rule.to_string());
            }
        }
        Ok(())
    }
}

/// What an `equals_to` means for this column.
fn expected(
    rule: &ValueRule,
    field: &FieldRule,
    schema: &TableSchema,
    column: usize,
) -> Result<Option<ArrayRef>> {
    let (ValueRule::EqualsTo(value), Some(column)) = (rule, schema.columns.get(column)) else {
        return Ok(None);
    };
    let cell = written(value, &column.data_type);
    let made = cell.and_then(|cell| array(&column.data_type, std::iter::once(&cell)));
    made.map(Some).ok_or_else(|| {
        let what =
            format!("`equals_to` of the field {} is no value of its type {}", field.name, column.data_type);
        Error::new(ErrorKind::Value, what).context("table", path(&schema.id))
    })
}

/// A number as one of double precision; `None` for what is none.
fn number(column: &dyn Array, row: usize) -> Option<f64> {
    Some(match column.data_type() {
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row) as f64,
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row) as f64,
        DataType::Float32 => column.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
        DataType::Decimal128(_, _) => {
            column.as_primitive::<Decimal128Type>().value_as_string(row).parse().ok()?
        }
        DataType::Decimal256(_, _) => {
            column.as_primitive::<Decimal256Type>().value_as_string(row).parse().ok()?
        }
        _ => return None,
    })
}

/// Characters of a value's text, as UTF-16 counts them; none for NULL.
fn length(column: &dyn Array, row: usize, is_null: bool) -> f64 {
    let utf16 = |text: &str| text.encode_utf16().count();
    let length = match column.data_type() {
        _ if is_null => 0,
        DataType::Utf8 => utf16(column.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => utf16(column.as_string::<i64>().value(row)),
        _ => array_value_to_string(column, row).map_or(0, |text| utf16(&text)),
    };
    length as f64
}

#[cfg(test)]
mod tests;
