//! Target tables: made, cleared and changed.

use std::collections::HashMap;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result, SchemaChange, TableSchema};
use iceberg::spec::{FormatVersion, Operation};
use iceberg::{NamespaceIdent, TableCreation, TableIdent, TableRequirement, TableUpdate};

use crate::catalog::{self, Change, Outcome, Table};
use crate::commit::Commits;
use crate::error::{failed, option};
use crate::evolve;
use crate::layout::{Layout, MADE_BY, new_schema};
use crate::options::{DataMode, SchemaMode, Settings};
use crate::partition;
use crate::sink::missing;
use crate::snapshot::{Draft, Purpose};

/// How often a change is made anew because somebody else was first.
const CONFLICTS_MAX: u32 = 10;
/// Properties of tables that are made, where the job file does not say otherwise.
const PROPERTIES: &[(&str, &str)] = &[
    ("write.parquet.compression-codec", "zstd"),
    ("write.metadata.delete-after-commit.enabled", "true"),
    ("write.metadata.previous-versions-max", "100"),
];

/// The tables of a sink.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) settings: Arc<Settings>,
    pub(crate) commits: Commits,
    pub(crate) run: String,
}

/// Fills in the names of an upstream table.
fn fill(template: &str, table: &TableSchema) -> String {
    template
        .replace("${database_name}", &table.id.database)
        .replace("${schema_name}", table.id.schema.as_deref().unwrap_or_default())
        .replace("${table_name}", &table.id.table)
}

impl Tables {
    /// The table that an upstream table is written to.
    pub(crate) fn ident(&self, table: &TableSchema) -> Result<TableIdent> {
        let name = fill(&self.settings.table, table);
        let levels: Vec<String> = fill(&self.settings.namespace, table)
            .split('.')
            .filter(|level| !level.is_empty())
            .map(str::to_owned)
            .collect();
        let unfit = |part: &String| part.is_empty() || part.contains('/') || part.starts_with('.');
        if unfit(&name) || levels.is_empty() || levels.iter().any(unfit) {
            let what = format!(
                "gives the table {} the name '{}' in '{}', which cannot be used",
                table.id,
                name,
                levels.join(".")
            );
            return Err(option("table", &what).hint("names have no slash and no dot in front"));
        }
        let namespace = NamespaceIdent::from_vec(levels).map_err(failed("a namespace has no name"))?;
        Ok(TableIdent::new(namespace, name))
    }

    /// The target as it is now.
    pub(crate) async fn load(&self, table: &TableSchema) -> Result<Table> {
        let ident = self.ident(table)?;
        self.commits.catalog.load(&ident).await?.ok_or_else(|| missing(table, &ident))
    }

    /// Whether a table could be written, without writing anything.
    pub(crate) async fn check(&self, table: &Arc<TableSchema>) -> Result<()> {
        let ident = self.ident(table)?;
        let found = self.commits.catalog.load(&ident).await?;
        match (found, self.settings.schema_mode) {
            (Some(target), SchemaMode::Create | SchemaMode::Require) => {
                Layout::new(&self.settings, table, target, "").map(drop)
            }
            (None, SchemaMode::Require) => Err(missing(table, &ident)),
            (_, SchemaMode::Create | SchemaMode::Recreate) => self.creation(table, &ident).map(drop),
        }
    }

    fn creation(&self, table: &TableSchema, ident: &TableIdent) -> Result<TableCreation> {
        let schema = new_schema(&self.settings, table)?;
        let spec = partition::spec(&self.settings.partition, &schema, self.settings.case_sensitive)
            .map_err(|error| error.context("table", &table.id))?;
        let mut properties: HashMap<String, String> =
            PROPERTIES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        properties.extend(self.settings.create_props.iter().cloned());
        properties.insert(MADE_BY.to_owned(), self.run.clone());
        Ok(TableCreation {
            name: ident.name().to_owned(),
            location: None,
            schema,
            partition_spec: Some(spec),
            sort_order: None,
            properties,
            format_version: FormatVersion::V2,
        })
    }

    /// Makes a target ready for its first row, by the save modes if the job begins anew; one that is missing only then, or
    /// when the table joins.
    pub(crate) async fn prepare(&self, table: &Arc<TableSchema>, fresh: bool, joins: bool) -> Result<()> {
        let ident = self.ident(table)?;
        let catalog = &self.commits.catalog;
        let mut found = catalog.load(&ident).await?;
        if fresh && found.is_some() && self.settings.schema_mode == SchemaMode::Recreate {
            catalog.drop_table(&ident).await?;
            found = None;
        }
        let Some(found) = found else {
            // What was there before is not made anew in silence, without its rows.
            if self.settings.schema_mode == SchemaMode::Require || !(fresh || joins) {
                return Err(missing(table, &ident));
            }
            return catalog.create(&ident, self.creation(table, &ident)?).await;
        };
        let has_rows = found.metadata.snapshot_for_ref(&self.settings.branch).is_some_and(|snapshot| {
            let words = &snapshot.summary().additional_properties;
            words.get("total-records").is_none_or(|text| text != "0")
        });
        match self.settings.data_mode {
            DataMode::Refuse if fresh && has_rows => {
                Err(Error::new(ErrorKind::Config, "there are rows in the table already")
                    .context("table", &ident)
                    .hint("clear it, or set data_save_mode = APPEND_DATA"))
            }
            DataMode::Drop if fresh && has_rows => self.clear(found).await,
            _ => Ok(()),
        }
    }

    /// A table joins whose target is there: rows that are new to the source may have been in it before.
    pub(crate) async fn adopt(&self, table: &Arc<TableSchema>) -> Result<()> {
        let ident = self.ident(table)?;
        for _ in 0..CONFLICTS_MAX {
            let found = self.commits.catalog.load(&ident).await?;
            let Some(found) = found.filter(|found| found.metadata.properties().contains_key(MADE_BY)) else {
                return self.prepare(table, false, true).await;
            };
            let requirements = vec![TableRequirement::UuidMatch { uuid: found.metadata.uuid() }];
            let updates = vec![TableUpdate::RemoveProperties { removals: vec![MADE_BY.to_owned()] }];
            let change = Change { base: found, requirements, updates, obsolete: Vec::new() };
            self.commits.catalog.commit(&[change]).await?;
        }
        Err(Error::new(ErrorKind::Contention, "other writers were always first to commit")
            .context("table", &ident))
    }

    /// Removes all rows of a table: a snapshot without files.
    async fn clear(&self, mut found: Table) -> Result<()> {
        for _ in 0..CONFLICTS_MAX {
            let draft = Draft::begin(&self.commits.files, &found, &self.settings.branch)?;
            let purpose =
                Purpose { branch: &self.settings.branch, summary: Vec::new(), properties: Vec::new() };
            let sequence = found.metadata.last_sequence_number() + 1;
            let (change, written) = draft.cleared().finish(Operation::Delete, sequence, purpose).await?;
            if catalog::commit(self.commits.catalog.as_ref(), &[change]).await? == Outcome::Done {
                return Ok(());
            }
            self.commits.remove(written).await;
            let ident = found.ident.clone();
            found = self.commits.catalog.load(&ident).await?.ok_or_else(|| catalog::gone(&ident))?;
        }
        Err(Error::new(ErrorKind::Contention, "other writers were always first to commit")
            .context("table", &found.ident))
    }

    /// Follows a change of the source's columns, where the job file says so. Otherwise the table stays, and a column
    /// that it lacks stops the job.
    pub(crate) async fn evolve(
        &self,
        change: &SchemaChange,
        before: &TableSchema,
        after: &Arc<TableSchema>,
    ) -> Result<()> {
        if !self.settings.evolves {
            return Ok(());
        }
        let ident = self.ident(after)?;
        for _ in 0..CONFLICTS_MAX {
            let found = self.load(after).await?;
            let Some(schema) = evolve::follow(&found.metadata, change, before, after)? else { return Ok(()) };
            let requirements = vec![
                TableRequirement::UuidMatch { uuid: found.metadata.uuid() },
                TableRequirement::CurrentSchemaIdMatch {
                    current_schema_id: found.metadata.current_schema_id(),
                },
                TableRequirement::LastAssignedFieldIdMatch {
                    last_assigned_field_id: found.metadata.last_column_id(),
                },
            ];
            let updates =
                vec![TableUpdate::AddSchema { schema }, TableUpdate::SetCurrentSchema { schema_id: -1 }];
            let change = Change { base: found, requirements, updates, obsolete: Vec::new() };
            if self.commits.catalog.commit(&[change]).await? == Outcome::Done {
                return Ok(());
            }
        }
        Err(Error::new(ErrorKind::Contention, "other writers were always first to commit")
            .context("table", &ident))
    }
}
