//! How a table is parted, as a job file says it.

use culvert_api::{Error, Result};
use iceberg::spec::{Schema, Transform, UnboundPartitionSpec};

use crate::error::{failed, option};

const OPTION: &str = "iceberg.table.partition-keys";

/// A field of a partition spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) column: String,
    pub(crate) transform: Transform,
}

fn wrong(text: &str) -> Error {
    option(OPTION, &format!("has {text}, which is no way to part a table")).hint(
        "write a column, or year(c), month(c), day(c), hour(c), bucket(c, 16), truncate(c, 10), with commas between them",
    )
}

impl Part {
    /// The parts of `day(ts), bucket(id, 16), region`. Numbers may stand in front, as Iceberg itself prints them.
    pub(crate) fn parse(text: &str) -> Result<Vec<Part>> {
        pieces(text).into_iter().map(Part::one).collect()
    }

    fn one(text: &str) -> Result<Part> {
        let Some((name, inner)) = text.split_once('(') else {
            return Ok(Part { column: text.to_owned(), transform: Transform::Identity });
        };
        let inner = inner.strip_suffix(')').ok_or_else(|| wrong(text))?;
        let words: Vec<&str> = inner.split(',').map(str::trim).collect();
        let (column, number) = match words[..] {
            [column] => (column, None),
            [a, b] => match (a.parse::<u32>(), b.parse::<u32>()) {
                (_, Ok(number)) => (a, Some(number)),
                (Ok(number), _) => (b, Some(number)),
                _ => return Err(wrong(text)),
            },
            _ => return Err(wrong(text)),
        };
        let transform = match (name.trim().to_lowercase().as_str(), number.filter(|number| *number > 0)) {
            ("year" | "years", None) => Transform::Year,
            ("month" | "months", None) => Transform::Month,
            ("day" | "days", None) => Transform::Day,
            ("hour" | "hours", None) => Transform::Hour,
            ("identity", None) => Transform::Identity,
            ("bucket", Some(number)) => Transform::Bucket(number),
            ("truncate" | "trunc", Some(width)) => Transform::Truncate(width),
            _ => return Err(wrong(text)),
        };
        if column.is_empty() {
            return Err(wrong(text));
        }
        Ok(Part { column: column.to_owned(), transform })
    }

    /// The name of the field, as Iceberg's engines give it.
    fn name(&self) -> String {
        let ending = match self.transform {
            Transform::Year => "_year",
            Transform::Month => "_month",
            Transform::Day => "_day",
            Transform::Hour => "_hour",
            Transform::Bucket(_) => "_bucket",
            Transform::Truncate(_) => "_trunc",
            _ => "",
        };
        format!("{}{ending}", self.column)
    }
}

/// Pieces between commas that are not inside parentheses.
fn pieces(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                found.extend(text.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    found.extend(text.get(from..));
    found.into_iter().map(str::trim).filter(|piece| !piece.is_empty()).collect()
}

/// The spec of a table that is made.
pub(crate) fn spec(parts: &[Part], schema: &Schema, case_sensitive: bool) -> Result<UnboundPartitionSpec> {
    // A table's first spec. Servers that are written in Java do not take one without its number.
    let mut builder = UnboundPartitionSpec::builder().with_spec_id(0);
    for part in parts {
        let field = match case_sensitive {
            true => schema.field_by_name(&part.column),
            false => schema.field_by_name_case_insensitive(&part.column),
        };
        let field = field.ok_or_else(|| {
            option(OPTION, &format!("names the column {}, which is not there", part.column))
        })?;
        if part.transform.result_type(&field.field_type).is_err() {
            let what = format!(
                "parts by {}({}), whose type {} has no such thing",
                part.transform, part.column, field.field_type
            );
            return Err(option(OPTION, &what));
        }
        let part = Part { column: field.name.clone(), transform: part.transform };
        builder = builder
            .add_partition_field(field.id, part.name(), part.transform)
            .map_err(failed("the partition spec was not made"))?;
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_orders_and_plurals_are_read() {
        let parts = Part::parse(" days( ts ) ,bucket(16,id),truncate(name, 4)").unwrap();
        assert_eq!(
            parts.iter().map(|part| (part.column.as_str(), part.transform)).collect::<Vec<_>>(),
            [("ts", Transform::Day), ("id", Transform::Bucket(16)), ("name", Transform::Truncate(4))]
        );
        assert_eq!(parts.iter().map(Part::name).collect::<Vec<_>>(), ["ts_day", "id_bucket", "name_trunc"]);
        assert_eq!(Part::parse("").unwrap(), []);
    }

    #[test]
    fn what_parts_nothing_is_refused() {
        for text in [
            "bucket(id)",
            "bucket(id, 0)",
            "day(ts, 4)",
            "week(ts)",
            "day(ts",
            "day()",
            "bucket(a, b)",
            "truncate(a,1,2)",
        ] {
            let error = Part::parse(text).unwrap_err().to_string();
            assert!(error.contains(OPTION) && error.contains(text), "{error}");
        }
    }
}
