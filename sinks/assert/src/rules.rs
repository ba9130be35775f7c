//! Rules, read from the options.

use std::fmt;

use arrow_schema::DataType;
use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{Block, Entry, Options, Problem, ProblemKind, Role, Value};
use culvert_values::schema::declared_type;

use crate::options::TABLE_OPTIONS;
use crate::sink::PLUGIN;

/// All rules of a sink.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The tables there must be; empty without the rule.
    pub(crate) table_names: Vec<String>,
    /// Rules about all tables, then those about single ones.
    pub(crate) sets: Vec<RuleSet>,
}

/// Rules about a table, or about all.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleSet {
    /// `None`: every table.
    pub(crate) table: Option<String>,
    pub(crate) rows_min: Option<u64>,
    pub(crate) rows_max: Option<u64>,
    pub(crate) fields: Vec<FieldRule>,
    /// The key's columns.
    pub(crate) key: Option<Vec<String>>,
    pub(crate) columns: Option<Vec<ColumnRule>>,
}

/// What the schema must say about a column.
#[derive(Clone, Debug)]
pub(crate) struct ColumnRule {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
    pub(crate) nullable: Option<bool>,
}

/// What the values of a field must be.
#[derive(Clone, Debug)]
pub(crate) struct FieldRule {
    pub(crate) name: String,
    pub(crate) data_type: Option<DataType>,
    pub(crate) values: Vec<ValueRule>,
}

/// One rule about a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueRule {
    Null,
    NotNull,
    Min(f64),
    Max(f64),
    MinLength(f64),
    MaxLength(f64),
    /// This one, unless it is NULL.
    EqualsTo(Value),
}

impl fmt::Display for ValueRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueRule::Null => f.write_str("NULL"),
            ValueRule::NotNull => f.write_str("NOT_NULL"),
            ValueRule::Min(value) => write!(f, "MIN {value}"),
            ValueRule::Max(value) => write!(f, "MAX {value}"),
            ValueRule::MinLength(value) => write!(f, "MIN_LENGTH {value}"),
            ValueRule::MaxLength(value) => write!(f, "MAX_LENGTH {value}"),
            ValueRule::EqualsTo(value) => match value.scalar_text() {
                Some(text) => write!(f, "equals_to {text}"),
                None => f.write_str("equals_to"),
            },
        }
    }
}

/// An error about an option; `what` completes "option 'x' ".
fn option(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{name}' {what}"))
}

impl Rules {
    /// Reads them; errors are operator errors that name the rule.
    pub(crate) fn from_options(options: &Options) -> Result<Rules> {
        let mut sets = vec![set(options, "rules.")?];
        for (number, entries) in (1usize..).zip(options.objects("rules.tables_configs")) {
            let inner = of_entry(options, entries, number)?;
            sets.push(RuleSet { table: Some(inner.str("table_path").to_owned()), ..set(&inner, "")? });
        }
        let rules = Rules { table_names: options.list("rules.table-names").to_vec(), sets };
        if rules.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "the sink Assert has no rule: it would find everything right",
            )
            .hint("rules { row_rules = [{ rule_type = MIN_ROW, rule_value = 1 }] }"));
        }
        Ok(rules)
    }

    fn is_empty(&self) -> bool {
        let says = |set: &RuleSet| {
            set.rows_min.is_some()
                || set.rows_max.is_some()
                || !set.fields.is_empty()
                || set.key.is_some()
                || set.columns.is_some()
        };
        self.table_names.is_empty() && !self.sets.iter().any(says)
    }
}

/// The options of an entry of `tables_configs`.
fn of_entry(options: &Options, entries: &[Entry], number: usize) -> Result<Options> {
    let mut block = Block::new(Role::Sink, PLUGIN, options.place("rules.tables_configs").clone());
    block.entries = entries.to_vec();
    let (inner, problems) = Options::resolve(&block, TABLE_OPTIONS);
    let counts = |problem: &&Problem| problem.is_error() || problem.kind == ProblemKind::UnknownKey;
    match problems.iter().find(counts) {
        None => Ok(inner),
        Some(problem) => {
            let message = format!("entry {number} of option 'rules.tables_configs': {}", problem.message);
            Err(Error::new(ErrorKind::Config, message))
        }
    }
}

fn set(options: &Options, prefix: &str) -> Result<RuleSet> {
    let name = |name: &str| format!("{prefix}{name}");
    let mut set = RuleSet::default();
    for entries in options.objects(&name("row_rules")) {
        row_rule(&mut set, entries)?;
    }
    for entries in options.objects(&name("field_rules")) {
        set.fields.push(field_rule(entries)?);
    }
    let key = name("catalog_table_rule.primary_key_rule.primary_key_columns");
    set.key = options.is_set(&key).then(|| options.list(&key).to_vec());
    let columns = name("catalog_table_rule.column_rule");
    if options.is_set(&columns) {
        let rules: Result<Vec<ColumnRule>> =
            options.objects(&columns).iter().map(|entries| column_rule(entries)).collect();
        set.columns = Some(rules?);
    }
    Ok(set)
}

/// The value of a key, and no other keys than these.
fn get<'e>(entries: &'e [Entry], option_name: &str, known: &[&str], key: &str) -> Result<Option<&'e Value>> {
    if let Some(unknown) = entries.iter().find(|entry| !known.contains(&entry.key.as_str())) {
        return Err(option(
            option_name,
            &format!("does not know '{}'; there are: {}", unknown.key, known.join(", ")),
        ));
    }
    let found = entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
    Ok(found.filter(|value| !matches!(value, Value::Null)))
}

fn number(value: Option<&Value>, name: &str, rule: &str) -> Result<f64> {
    let number = value.and_then(Value::scalar_text).and_then(|text| text.trim().parse::<f64>().ok());
    number.ok_or_else(|| option(name, &format!("has the rule {rule} without a number as `rule_value`")))
}

fn row_rule(set: &mut RuleSet, entries: &[Entry]) -> Result<()> {
    let name = "rules.row_rules";
    let get = |key| get(entries, name, &["rule_type", "rule_value"], key);
    let word = get("rule_type")?.and_then(Value::scalar_text).unwrap_or_default().to_ascii_uppercase();
    let rows = || -> Result<u64> {
        let rows = number(get("rule_value")?, name, &word)?;
        if rows >= 0.0 && rows.fract() == 0.0 && rows < 9e15 {
            Ok(rows as u64)
        } else {
            Err(option(name, &format!("has the rule {word} with a `rule_value` that is no number of rows")))
        }
    };
    match word.as_str() {
        "MIN_ROW" => set.rows_min = Some(rows()?),
        "MAX_ROW" => set.rows_max = Some(rows()?),
        _ => return Err(option(name, &format!("has the rule '{word}'; there are: MIN_ROW, MAX_ROW"))),
    }
    Ok(())
}

fn field_rule(entries: &[Entry]) -> Result<FieldRule> {
    let name = "rules.field_rules";
    let get = |key| get(entries, name, &["field_name", "field_type", "field_value"], key);
    let field = get("field_name")?.and_then(Value::scalar_text);
    let field = field.ok_or_else(|| option(name, "has a rule without a `field_name`"))?;
    let data_type = match get("field_type")? {
        None => None,
        Some(declared) => Some(declared_type(field, declared).map_err(|error| {
            let wrong = option(name, &format!("has a `field_type` of the field {field} that is not known"));
            match error.hint_text() {
                Some(hint) => wrong.hint(hint),
                None => wrong,
            }
        })?),
    };
    let mut values = Vec::new();
    match get("field_value")? {
        None => {}
        Some(Value::List(rules)) => {
            for rule in rules {
                let Value::Object(rule) = rule else {
                    return Err(option(
                        name,
                        &format!("has a `field_value` of the field {field} that is no list of blocks"),
                    ));
                };
                value_rules(rule, field, &mut values)?;
            }
        }
        Some(_) => {
            return Err(option(
                name,
                &format!("has a `field_value` of the field {field} that is no list of blocks"),
            ));
        }
    }
    Ok(FieldRule { name: field.to_owned(), data_type, values })
}

fn value_rules(entries: &[Entry], field: &str, values: &mut Vec<ValueRule>) -> Result<()> {
    let name = "rules.field_rules";
    let get = |key| get(entries, name, &["rule_type", "rule_value", "equals_to"], key);
    if let Some(word) = get("rule_type")?.and_then(Value::scalar_text) {
        let word = word.to_ascii_uppercase();
        let bound = || number(get("rule_value")?, name, &word);
        values.push(match word.as_str() {
            "NULL" => ValueRule::Null,
            "NOT_NULL" => ValueRule::NotNull,
            "MIN" => ValueRule::Min(bound()?),
            "MAX" => ValueRule::Max(bound()?),
            "MIN_LENGTH" => ValueRule::MinLength(bound()?),
            "MAX_LENGTH" => ValueRule::MaxLength(bound()?),
            _ => {
                let what = format!(
                    "has the rule '{word}' of the field {field}; there are: NULL, NOT_NULL, MIN, MAX, MIN_LENGTH, MAX_LENGTH"
                );
                return Err(option(name, &what));
            }
        });
    }
    if let Some(value) = get("equals_to")? {
        values.push(ValueRule::EqualsTo(value.clone()));
    }
    Ok(())
}

fn column_rule(entries: &[Entry]) -> Result<ColumnRule> {
    let name = "rules.catalog_table_rule.column_rule";
    // What a schema here does not hold must not seem to be judged.
    if let Some(unknown) = entries
        .iter()
        .find(|entry| ["column_length", "default_value", "comment"].contains(&entry.key.as_str()))
    {
        return Err(option(
            name,
            &format!("has '{}', which is not carried to a sink; remove it", unknown.key),
        ));
    }
    let get = |key| get(entries, name, &["name", "type", "nullable"], key);
    let column = get("name")?
        .and_then(Value::scalar_text)
        .ok_or_else(|| option(name, "has a rule without a `name`"))?;
    let nullable = match get("nullable")?.and_then(Value::scalar_text) {
        None => None,
        Some(word) => Some(word.to_ascii_lowercase().parse().map_err(|_| {
            option(name, &format!("has a `nullable` of the column {column} that is not true or false"))
        })?),
    };
    let data_type = get("type")?.map(|declared| declared_type(column, declared)).transpose()?;
    Ok(ColumnRule { name: column.to_owned(), data_type, nullable })
}

#[cfg(test)]
pub(crate) mod tests;
