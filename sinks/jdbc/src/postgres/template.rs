//! The option `query` on PostgreSQL: values go in as text literals whose type the server infers from
//! where they stand.

use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, RowKind, TableSchema};

use crate::postgres::column_type::{self, Form};
use crate::postgres::plan::{Slot, Statement, TablePlan};
use crate::postgres::target::TargetTable;
use crate::query::{Query, refusal};
use culvert_api::sql_text::postgres::LEXIS;

/// A statement of the user's.
#[derive(Clone)]
pub(crate) struct Template(Query);

impl Template {
    /// Cuts the statement. A final semicolon is dropped.
    pub(crate) fn parse(query: &str) -> Result<Template> {
        Query::parse(query, &LEXIS).map(Template)
    }

    /// The table of `INSERT INTO`, as schema and name, when it is named plainly.
    pub(crate) fn target(&self) -> Option<(Option<String>, String)> {
        self.0.target()
    }

    /// The plan for one upstream table. `target` gives the columns' types when the statement is an
    /// INSERT into a table that was found.
    pub(crate) fn plan(&self, source: &Arc<TableSchema>, target: Option<&TargetTable>) -> Result<TablePlan> {
        if source.kinds.contains(RowKind::Delete) {
            return Err(refusal(
                &format!("cannot delete, and rows of {} can be deleted", source.id),
                "drop deletes with the transform FilterRowKind, keep every change as a row with RowKindExtractor, \
                 or use generate_sink_sql = true",
            ));
        }
        let columns = self.0.columns(source)?;
        let homes = self.0.column_list();
        let mut slots = Vec::with_capacity(columns.len());
        for (parameter, place) in columns.iter().copied().enumerate() {
            let name = homes.as_ref().and_then(|names| names.get(parameter).cloned().flatten());
            let home = name.as_ref().and_then(|name| target.and_then(|target| target.column(name)));
            let Some(column) = source.columns.get(place) else {
                return Err(Error::new(ErrorKind::Internal, "a parameter without a column"));
            };
            let form = match home {
                Some(home) => {
                    if let Some(loss) = column_type::loss(&column.data_type, &home.form) {
                        return Err(refusal(
                            &format!("gives column {} to {}: {loss}", column.name, home.name),
                            "change the target column's type",
                        ));
                    }
                    home.form.clone()
                }
                None => Form::unknown(),
            };
            if !column_type::is_writable(&column.data_type) {
                return Err(refusal(
                    &format!("column {} has type {}, which cannot be written", column.name, column.data_type),
                    "leave it out",
                ));
            }
            slots.push(Slot { source: place, name: column.name.clone(), form });
        }
        let label = target.map_or_else(|| "the query's table".to_string(), |target| target.name.to_string());
        let statement = match self.0.cut() {
            Some((head, row, tail)) => Statement { head, row, tail, joint: b"," },
            None => Statement { head: Vec::new(), row: self.0.pieces(), tail: Vec::new(), joint: b";\n" },
        };
        Ok(TablePlan::of_statement(source.clone(), label, slots, statement))
    }
}
