//! The rules, and what a row makes of them.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Decimal256Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::i256;
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Result, TableSchema};
use culvert_config::Options;
use regex::Regex;

use crate::decimal::Decimal;
use crate::layout::{column, refusal};
use crate::nested::Nested;
use crate::pattern::compile_whole;
use crate::text::text_at;
use crate::values::shown;

/// Characters of an address at most.
const EMAIL_LENGTH_MAX: usize = 254;
/// Characters in front of its `@` at most.
const EMAIL_LOCAL_LENGTH_MAX: usize = 63;

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    what: What,
    /// Stands in place of the rule's own message.
    message: Option<String>,
}

#[derive(Clone, Debug)]
enum What {
    NotNull,
    Range { min: Option<Bound>, max: Option<Bound>, min_inclusive: bool, max_inclusive: bool },
    Length { min: Option<usize>, max: Option<usize>, exact: Option<usize> },
    Regex { regex: Regex, pattern: String },
    Email,
}

/// An end of a range, and how it was written.
#[derive(Clone, Debug)]
struct Bound {
    value: Decimal,
    written: String,
}

/// A rule at work: the place and name of its column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'r> {
    pub(super) place: usize,
    pub(super) name: &'r str,
    pub(super) rule: &'r Rule,
}

/// What becomes of a row.
#[derive(Debug)]
pub(super) enum Verdict<'c, 'r> {
    /// It keeps every rule.
    Kept,
    /// It breaks this rule, perhaps others too.
    Broken(&'c Checked<'r>),
    /// It breaks no rule that can be judged, and this one cannot: the log left out the value.
    Unknown(&'c Checked<'r>),
}

/// Reads `field_rules`. Errors are [`culvert_api::ErrorKind::Config`].
pub(super) fn read(plugin: &str, options: &Options) -> Result<Vec<(String, Rule)>> {
    let mut rules = Vec::new();
    for field in Nested::list(plugin, options, "field_rules") {
        let name = field.needed("field_name")?;
        match field.blocks("rules")? {
            Some(blocks) => {
                field.only(&["field_name", "rules"])?;
                for block in blocks {
                    rules.push((name.to_owned(), rule(plugin, &block)?));
                }
            }
            None => rules.push((name.to_owned(), rule(plugin, &field)?)),
        }
    }
    Ok(rules)
}

fn rule(plugin: &str, block: &Nested<'_>) -> Result<Rule> {
    const TYPES: &[&str] = &["NOT_NULL", "RANGE", "LENGTH", "REGEX", "UDF"];
    let rule_type = block.word("rule_type", TYPES)?.ok_or_else(|| block.wrong("rule_type", "is missing"))?;
    let only = |keys: &[&str]| {
        let common = ["field_name", "rule_type", "custom_message"];
        block.only(&[&common[..], keys].concat())
    };
    let what = match rule_type {
        "NOT_NULL" => {
            only(&[])?;
            What::NotNull
        }
        "RANGE" => {
            only(&["min_value", "max_value", "min_inclusive", "max_inclusive"])?;
            let (min, max) = (bound(block, "min_value")?, bound(block, "max_value")?);
            if min.is_none() && max.is_none() {
                return Err(block.wrong("min_value", "or 'max_value' is missing"));
            }
            let min_inclusive = block.flag("min_inclusive", true)?;
            What::Range { min, max, min_inclusive, max_inclusive: block.flag("max_inclusive", true)? }
        }
        "LENGTH" => {
            only(&["min_length", "max_length", "exact_length"])?;
            let (min, max) = (block.number("min_length")?, block.number("max_length")?);
            let exact = block.number("exact_length")?;
            if min.or(max).or(exact).is_none() {
                return Err(block.wrong("min_length", "or 'max_length' or 'exact_length' is missing"));
            }
            What::Length { min, max, exact }
        }
        "REGEX" => {
            only(&["pattern", "case_sensitive"])?;
            let pattern = block.needed("pattern")?;
            let regex = compile_whole(plugin, "pattern", pattern, block.flag("case_sensitive", true)?)?;
            What::Regex { regex, pattern: pattern.to_owned() }
        }
        _ => {
            only(&["function_name"])?;
            match block.needed("function_name")? {
                name if name.eq_ignore_ascii_case("EMAIL") => What::Email,
                _ => {
                    return Err(
                        block.wrong("function_name", "must be EMAIL: there are no functions of users")
                    );
                }
            }
        }
    };
    Ok(Rule { what, message: block.text("custom_message")?.map(str::to_owned) })
}

fn bound(block: &Nested<'_>, key: &str) -> Result<Option<Bound>> {
    let Some(written) = block.text(key)?.map(str::trim) else { return Ok(None) };
    let value = Decimal::parse(written).ok_or_else(|| block.wrong(key, "must be a number"))?;
    Ok(Some(Bound { value, written: written.to_owned() }))
}

/// Judges a row by all rules.
pub(super) fn judge<'c, 'r>(checks: &'c [Checked<'r>], batch: &ChangeBatch, row: usize) -> Verdict<'c, 'r> {
    let mut unknown = None;
    for check in checks {
        match check.holds(batch, row) {
            Some(true) => {}
            Some(false) => return Verdict::Broken(check),
            None => unknown = unknown.or(Some(check)),
        }
    }
    unknown.map_or(Verdict::Kept, Verdict::Unknown)
}

impl Checked<'_> {
    /// Whether a row keeps the rule; `None` when the log left out the value.
    pub(super) fn holds(&self, batch: &ChangeBatch, row: usize) -> Option<bool> {
        if batch.is_unavailable(row, self.place) {
            return None;
        }
        Some(batch.rows.columns().get(self.place).is_none_or(|array| self.rule.holds(array, row)))
    }

    /// What is wrong, for people; with the value where it may be told.
    pub(super) fn message(&self, value: Option<(&ArrayRef, usize)>) -> String {
        if let Some(message) = &self.rule.message {
            return message.clone();
        }
        let field = format!("Field '{}'", self.name);
        let value = |what: &str| {
            value.map_or_else(String::new, |(array, row)| format!("{what}{}", shown(array, row)))
        };
        match &self.rule.what {
            What::NotNull => format!("{field} cannot be null"),
            What::Range { min, max, min_inclusive, max_inclusive } => {
                let (open, close) =
                    (if *min_inclusive { '[' } else { '(' }, if *max_inclusive { ']' } else { ')' });
                let end = |bound: &Option<Bound>, none: &str| {
                    bound.as_ref().map_or_else(|| none.to_owned(), |bound| bound.written.clone())
                };
                let (min, max) = (end(min, "-∞"), end(max, "∞"));
                format!("{field} value{} is not within range {open}{min}, {max}{close}", value(" "))
            }
            What::Length { min, max, exact } => {
                let (min, max) = (exact.or(*min).unwrap_or(0), exact.or(*max));
                let max = max.map_or_else(|| "∞".to_owned(), |max| max.to_string());
                format!("{field} length is not within range [{min}, {max}]")
            }
            What::Regex { pattern, .. } => format!("{field} does not match pattern '{pattern}'"),
            What::Email => format!("{field} is no email address"),
        }
    }
}

impl Rule {
    /// Refuses a column that the rule cannot judge.
    pub(super) fn refuse_unfit(&self, plugin: &str, input: &TableSchema, place: usize) -> Result<()> {
        let column = column(plugin, input, place)?;
        let is_text = matches!(column.data_type, DataType::Utf8 | DataType::LargeUtf8);
        let is_bytes = matches!(column.data_type, DataType::Binary | DataType::LargeBinary);
        let is_number = column.data_type.is_numeric();
        let (fits, rule, wanted) = match self.what {
            What::NotNull => (true, "NOT_NULL", ""),
            What::Range { .. } => (is_number, "RANGE", "a number"),
            What::Length { .. } => (is_text || is_bytes, "LENGTH", "text or bytes"),
            What::Regex { .. } => (is_text, "REGEX", "text"),
            What::Email => (is_text, "EMAIL", "text"),
        };
        if fits {
            return Ok(());
        }
        let message = format!("the column holds {}, and the rule {rule} needs {wanted}", column.data_type);
        Err(refusal(plugin, input, message).context("column", column.name).hint("change field_rules"))
    }

    /// Whether a value keeps the rule. NULL breaks NOT_NULL alone.
    fn holds(&self, array: &ArrayRef, row: usize) -> bool {
        if row >= array.len() || array.is_null(row) {
            return !matches!(self.what, What::NotNull);
        }
        match &self.what {
            What::NotNull => true,
            What::Range { min, max, min_inclusive, max_inclusive } => {
                let beyond = |bound: &Option<Bound>, far: Ordering, inclusive: bool| {
                    bound.as_ref().is_some_and(|bound| match compare(array, row, bound) {
                        Some(Ordering::Equal) => !inclusive,
                        // NaN is in no range.
                        other => other.is_none_or(|order| order == far),
                    })
                };
                !beyond(min, Ordering::Less, *min_inclusive)
                    && !beyond(max, Ordering::Greater, *max_inclusive)
            }
            What::Length { min, max, exact } => {
                let length = length(array, row);
                exact.is_none_or(|exact| length == exact)
                    && min.is_none_or(|min| length >= min)
                    && max.is_none_or(|max| length <= max)
            }
            What::Regex { regex, .. } => text_at(array, row).is_none_or(|text| regex.is_match(text)),
            What::Email => text_at(array, row).is_none_or(is_email),
        }
    }
}

/// Characters of a text, bytes otherwise.
fn length(array: &ArrayRef, row: usize) -> usize {
    match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row).len(),
        DataType::LargeBinary => array.as_binary::<i64>().value(row).len(),
        _ => text_at(array, row).map_or(0, |text| text.chars().count()),
    }
}

/// How a number lies to a bound; `None` for NaN.
fn compare(array: &ArrayRef, row: usize, bound: &Bound) -> Option<Ordering> {
    let decimal = |digits: i256, scale: i8| {
        // A scale below zero has no column of ours.
        let scale = u32::try_from(scale).ok()?;
        Some(Decimal { digits, scale }.compare(bound.value))
    };
    let float = |value: f64| value.partial_cmp(&bound.written.parse::<f64>().ok()?);
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            decimal(i256::from_i128(array.as_primitive::<Decimal128Type>().value(row)), *scale)
        }
        DataType::Decimal256(_, scale) => decimal(array.as_primitive::<Decimal256Type>().value(row), *scale),
        DataType::Float32 => float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => float(array.as_primitive::<Float64Type>().value(row)),
        _ => Some(Decimal::parse(&shown(array, row))?.compare(bound.value)),
    }
}

/// What passes for an address: one `@` with something in front of it, a domain of letters, digits, dots and
/// dashes with a dot in it, no quotes, and a length that mail servers take. Blank texts pass.
fn is_email(text: &str) -> bool {
    let address = text.trim();
    if address.is_empty() {
        return true;
    }
    let Some((local, domain)) = address.split_once('@') else { return false };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    address.chars().count() <= EMAIL_LENGTH_MAX
        && !local.is_empty()
        && local.chars().count() <= EMAIL_LOCAL_LENGTH_MAX
        && !address.contains(['"', '\'', '`', '\0'])
        && domain.contains('.')
        && domain.chars().all(is_plain)
}
