//! Cuts what one table or query holds into parts that can be read at the same time.
//!
//! Each part is a condition, and every row meets exactly one. Whole numbers are cut into ranges of equal
//! width; the first range is open below and takes the NULLs, the last one is open above. Columns of any other
//! type are cut by a hash of their text.

use arrow_schema::DataType;
use culvert_api::Result;

use crate::database::{Database, Link, Selected};
use crate::options::{Item, Settings, config};

/// The conditions of the parts of an item, `None` for all rows. Errors when its partition column is not
/// there, or a bound is no value of it.
pub(crate) async fn conditions(
    settings: &Settings,
    link: &mut Link,
    item: &Item,
    selected: &Selected,
) -> Result<Vec<Option<String>>> {
    let Some(column) = column(settings, item, selected)? else { return Ok(vec![None]) };
    let database = &settings.database;
    let is_whole = kind_of(selected, &column).is_some_and(is_whole_number);
    let name = database.column(&column);
    let bounds = bounds(database, item, &name, is_number(selected, &column))?;
    let wanted = item.partition.number.map_or(settings.parallelism as u64, u64::from).max(1);
    let parts = match (wanted, settings.is_concurrent) {
        (1, _) | (_, false) => vec![None],
        (wanted, true) => {
            let ranges = match is_whole {
                true => ranges(settings, link, item, selected, &name, wanted).await?,
                false => None,
            };
            ranges.unwrap_or_else(|| hashes(database, &name, wanted))
        }
    };
    let both = |part: Option<String>| {
        let all: Vec<String> = bounds.iter().cloned().chain(part.map(|part| format!("({part})"))).collect();
        (!all.is_empty()).then(|| all.join(" AND "))
    };
    Ok(parts.into_iter().map(both).collect())
}

/// Refuses a partition column that is not there, and bounds that are no values of it.
pub(crate) fn refuse_unfit(settings: &Settings, item: &Item, selected: &Selected) -> Result<()> {
    let Some(column) = column(settings, item, selected)? else { return Ok(()) };
    bounds(&settings.database, item, &settings.database.column(&column), is_number(selected, &column))
        .map(drop)
}

fn is_number(selected: &Selected, column: &str) -> bool {
    kind_of(selected, column).is_some_and(DataType::is_numeric)
}

fn kind_of<'s>(selected: &'s Selected, column: &str) -> Option<&'s DataType> {
    let schema = selected.schema();
    schema.column_index(column).map(|at| &schema.columns[at].data_type)
}

/// The column to cut by: the user's, or a table's key where that is one whole number.
fn column(settings: &Settings, item: &Item, selected: &Selected) -> Result<Option<String>> {
    let schema = selected.schema();
    if let Some(wanted) = &item.partition.column {
        let found = schema.column_index(wanted).map(|at| schema.columns[at].name.clone());
        return found.map(Some).ok_or_else(|| {
            let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
            let option = if item.option == "table_list" { "table_list" } else { "partition_column" };
            config(option, format!("{} has no column '{wanted}' (columns: {})", schema.id, names.join(", ")))
        });
    }
    let key = match schema.primary_key.as_slice() {
        [key] if item.query.is_none() && settings.parallelism > 1 => key,
        _ => return Ok(None),
    };
    let at = schema.column_index(key);
    Ok(at.filter(|at| is_whole_number(&schema.columns[*at].data_type)).map(|_| key.clone()))
}

fn is_whole_number(kind: &DataType) -> bool {
    kind.is_integer() || matches!(kind, DataType::Decimal128(_, 0) | DataType::Decimal256(_, 0))
}

/// What the user's bounds leave of the rows.
fn bounds(database: &Database, item: &Item, name: &str, is_number: bool) -> Result<Vec<String>> {
    let bound = |option: &str, operator: &str, bound: &Option<String>| {
        let Some(bound) = bound else { return Ok(None) };
        let bound = bound.trim();
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = bound.strip_prefix('-').unwrap_or(bound);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        match (is_number, is_digits(whole) && is_digits(fraction)) {
            (true, false) => {
                Err(config(option, format!("'{bound}' is no number, and the partition column is one")))
            }
            (true, true) => Ok(Some(format!("{name} {operator} {bound}"))),
            (false, _) => Ok(Some(format!("{name} {operator} {}", database.text(bound)))),
        }
    };
    let lower = bound("partition_lower_bound", ">=", &item.partition.lower)?;
    let upper = bound("partition_upper_bound", "<=", &item.partition.upper)?;
    Ok(lower.into_iter().chain(upper).collect())
}

/// Ranges of equal width between the least and the greatest value; `None` when these cannot be counted with.
async fn ranges(
    settings: &Settings,
    link: &mut Link,
    item: &Item,
    selected: &Selected,
    name: &str,
    wanted: u64,
) -> Result<Option<Vec<Option<String>>>> {
    let whole = |text: &Option<String>| text.as_ref().map(|text| text.trim().parse::<i128>());
    let (mut least, mut greatest) = (whole(&item.partition.lower), whole(&item.partition.upper));
    if least.is_none() || greatest.is_none() {
        let mut statement = format!("SELECT MIN({name}), MAX({name}) FROM {}", selected.from());
        if let Some(condition) = &settings.condition {
            statement.push_str(&format!(" WHERE ({condition}\n)"));
        }
        let row = settings.database.first_row(link, &statement).await?.unwrap_or_default();
        least = least.or(row.first().and_then(whole));
        greatest = greatest.or(row.get(1).and_then(whole));
    }
    match (least, greatest) {
        // No rows.
        (None, _) | (_, None) => Ok(Some(vec![None])),
        (Some(Ok(least)), Some(Ok(greatest))) => Ok(cut(name, least, greatest, wanted)),
        _ => Ok(None),
    }
}

fn cut(name: &str, least: i128, greatest: i128, wanted: u64) -> Option<Vec<Option<String>>> {
    let width = greatest.checked_sub(least)?.checked_add(1)?;
    if width <= 1 || wanted <= 1 {
        return Some(vec![None]);
    }
    let parts = i128::from(wanted).min(width);
    let edge = |at: i128| width.checked_mul(at).and_then(|far| least.checked_add(far / parts));
    let edges: Vec<i128> = (1..parts).map(edge).collect::<Option<_>>()?;
    let (first, last) = (edges.first()?, edges.last()?);
    let mut conditions = vec![Some(format!("{name} < {first} OR {name} IS NULL"))];
    for pair in edges.windows(2) {
        if let [from, to] = pair {
            conditions.push(Some(format!("{name} >= {from} AND {name} < {to}")));
        }
    }
    conditions.push(Some(format!("{name} >= {last}")));
    Some(conditions)
}

fn hashes(database: &Database, name: &str, wanted: u64) -> Vec<Option<String>> {
    let hash = database.hash(name, wanted);
    (0..wanted).map(|part| Some(format!("{hash} = {part}"))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranges_meet_without_a_gap() {
        let shown = |least, greatest, wanted| {
            cut("c", least, greatest, wanted)
                .unwrap()
                .into_iter()
                .map(Option::unwrap_or_default)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(1, 10, 3), ["c < 4 OR c IS NULL", "c >= 4 AND c < 7", "c >= 7"]);
        assert_eq!(shown(-1, 0, 5), ["c < 0 OR c IS NULL", "c >= 0"]);
        assert_eq!(shown(7, 7, 5), [""]);
        assert_eq!(shown(9, 7, 5), [""]);
        assert_eq!(cut("c", i128::MIN, i128::MAX, 2), None);
        let most = shown(0, i128::from(u64::MAX), 4);
        assert_eq!(most[3], "c >= 13835058055282163712");
    }
}
