//! Row filters that this source puts on a publication of its own (server 15 and later).
//!
//! The trap: the log is read with the catalog as of each place in it. Where a filter was stricter than what the
//! job wants, rows are missing from what the server sends, and nothing tells. So a filter is set only while the
//! publication is made for a new stream, before the place where the stream begins; the publication's comment
//! remembers the condition it was set for; and both are compared before anything is read.
//!
//! The other trap: the server refuses the UPDATEs and DELETEs of every application to a table whose filter asks
//! for columns outside of its replica identity. So only those inside are asked for.
//! Source: "Row Filters" in the manual's chapter on logical replication.

use std::collections::BTreeMap;

use culvert_api::{Condition, Error, ErrorKind, Result};
use culvert_postgres::quote::identifier;
use serde::{Deserialize, Serialize};

use crate::catalog::ServerInfo;
use crate::options::PgConfig;
use crate::shape::{Identity, TableDef};
use crate::state::TableState;
use crate::tables::{condition_sql, output_of, schema_of};

/// The first version of the server with row filters.
const ROW_FILTERS_FROM: u32 = 150_000;
/// What the second line of a publication's comment begins with.
const LINE: &str = "row filters: ";

/// A filter that was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetFilter {
    /// The condition of the job it was set for.
    pub(crate) condition: String,
    /// As the server prints it.
    pub(crate) filter: String,
}

/// Filters by the quoted name of their table.
pub(crate) type SetFilters = BTreeMap<String, SetFilter>;

/// The comment on a publication: whose it is, and the filters that were set.
pub(crate) fn comment(prefix: &str, job: &str, filters: &SetFilters) -> Result<String> {
    if filters.is_empty() {
        return Ok(format!("{prefix}{job}"));
    }
    let json = serde_json::to_string(filters).map_err(|cause| {
        Error::new(ErrorKind::Internal, "row filters cannot be written down").caused_by(cause)
    })?;
    Ok(format!("{prefix}{job}\n{LINE}{json}"))
}

/// What a comment says: the job, and the filters. One that somebody else wrote says nothing.
pub(crate) fn read_comment(comment: &str, prefix: &str) -> Option<(String, SetFilters)> {
    let rest = comment.strip_prefix(prefix)?;
    let (job, line) = rest.split_once('\n').unwrap_or((rest, ""));
    let filters = line.strip_prefix(LINE).and_then(|json| serde_json::from_str(json).ok());
    Some((job.to_owned(), filters.unwrap_or_default()))
}

/// What the job wants of a table, now.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The condition on rows of the log, whether or not it may be set.
    condition: Option<Condition>,
    /// It may be set: the option says so, and the server and the table allow it.
    may_be_set: bool,
}

/// Wishes by the quoted name of their table.
pub(crate) type Wishes = BTreeMap<String, Wanted>;

/// What the job wants of these tables.
pub(crate) fn wishes(config: &PgConfig, server: &ServerInfo, tables: &[TableState]) -> Result<Wishes> {
    let mut wishes = Wishes::new();
    for table in tables {
        let conversion = &config.conversion;
        let all = schema_of(&table.def, table.version, conversion)?;
        let output = output_of(table.output.as_ref().unwrap_or(&table.def), table.version, conversion)?;
        let condition = conversion.narrowing.log_condition(&output, &all);
        let inside = condition.as_ref().is_some_and(|condition| is_inside_identity(condition, &table.def));
        let may_be_set =
            config.row_filter && server.version >= ROW_FILTERS_FROM && !table.def.partitioned && inside;
        if config.row_filter && condition.is_some() && !may_be_set {
            tracing::info!(
                table = %table.def.id(),
                "publication.row.filter: the condition is not left to the server, which takes one (from version 15 on) on \
                 columns of the replica identity, and not of partitioned tables"
            );
        }
        wishes.insert(table.def.quoted(), Wanted { condition, may_be_set });
    }
    Ok(wishes)
}

fn is_inside_identity(condition: &Condition, def: &TableDef) -> bool {
    match def.identity {
        Identity::Full => true,
        Identity::Key => {
            condition.columns().into_iter().all(|column| def.key.iter().any(|key| key == column))
        }
        Identity::Nothing => false,
    }
}

/// The clause for a table of a publication that is being made, where there is to be one.
pub(crate) fn clause(wishes: &Wishes, def: &TableDef) -> String {
    let wanted = wishes.get(&def.quoted()).filter(|wanted| wanted.may_be_set);
    let condition = wanted.and_then(|wanted| wanted.condition.as_ref());
    condition.map_or_else(String::new, |condition| format!(" WHERE ({})", condition_sql(condition)))
}

/// The filters as they were set; `filter_of` gives what the server prints for a table.
pub(crate) fn as_set(
    wishes: &Wishes,
    tables: &[&TableDef],
    filter_of: impl Fn(&TableDef) -> Option<String>,
) -> SetFilters {
    let of_one = |def: &&TableDef| {
        let wanted = wishes.get(&def.quoted()).filter(|wanted| wanted.may_be_set)?;
        let condition = wanted.condition.as_ref()?.to_string();
        Some((def.quoted(), SetFilter { condition, filter: filter_of(def)? }))
    };
    tables.iter().filter_map(of_one).collect()
}

/// Compares filters that were set with those that are there and with what the job wants. The reason why rows
/// may be missing, and of which table.
pub(crate) fn mismatch(
    set: &SetFilters,
    wishes: &Wishes,
    tables: &[&TableDef],
    filter_of: impl Fn(&TableDef) -> Option<String>,
) -> Option<(String, String)> {
    tables.iter().find_map(|def| {
        let name = def.quoted();
        let set = set.get(&name)?;
        let there = filter_of(def);
        if there.as_ref() != Some(&set.filter) {
            let there = there.unwrap_or_else(|| "none".to_owned());
            let what = format!("its row filter was {} when the job set it, and is {there} now", set.filter);
            return Some((name, what));
        }
        let wanted = wishes.get(&name).and_then(|wanted| wanted.condition.as_ref());
        match wanted.map(ToString::to_string) {
            Some(wanted) if wanted == set.condition => None,
            Some(wanted) => Some((
                name,
                format!(
                    "the job now wants rows where {wanted}, and the server sends those where {}",
                    set.condition
                ),
            )),
            None => Some((
                name,
                format!("the job now wants all rows, and the server sends those where {}", set.condition),
            )),
        }
    })
}

/// The refusal of a stream that lacks rows.
pub(crate) fn refused(publication: &str, (table, why): (String, String)) -> Error {
    let quoted = identifier(publication);
    Error::new(
        ErrorKind::StateMismatch,
        format!("publication '{publication}' leaves rows out that the job would miss: {why}"),
    )
    .context("table", table)
    .hint(format!(
        "bring the condition back to what it was; or begin anew with --fresh (startup.mode INITIAL), which sets the filter \
         anew; or give the changed job another slot.name and publication.name. Changing {quoted} by hand does not bring the \
         rows back that it has left out already"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn set(condition: &str, filter: &str) -> SetFilters {
        let one = SetFilter { condition: condition.to_owned(), filter: filter.to_owned() };
        BTreeMap::from([("\"s\".\"t\"".to_owned(), one)])
    }

    #[test]
    fn a_comment_says_whose_it_is_and_what_was_set() {
        let filters = set("\"id\" > 5", "(id > '5'::bigint)");
        for filters in [filters, SetFilters::new()] {
            let text = comment("made for ", "orders", &filters).unwrap();
            assert_eq!(read_comment(&text, "made for "), Some(("orders".to_owned(), filters)));
        }
        assert_eq!(read_comment("by hand", "made for "), None);
        let torn = read_comment("made for orders\nrow filters: {", "made for ").unwrap();
        assert_eq!(torn, ("orders".to_owned(), SetFilters::new()));
    }
}
