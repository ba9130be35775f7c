//! Catalogs: where a table's current metadata is, and how it is changed by one of several who try.
//!
//! A commit names what it was made from. Of two that were made from the same state one takes place, and the other is
//! a conflict: it loads the table again and decides anew. That is all the promise of exactly once rests on, and every
//! kind of catalog has it:
//!
//! | kind | what decides | several tables at once |
//! |---|---|---|
//! | [`hadoop`] | who creates `vN.metadata.json` first | no |
//! | [`sql`] | the row of the table, changed where it still has the old location | one transaction |
//! | [`rest`] | the server, by the requirements of the commit | where the server has the endpoint |
//!
//! The form of metadata, commits and requirements is that of the Iceberg specification (table spec, "Table
//! Metadata", and the REST catalog's OpenAPI document); the library knows it, and its own catalogs are not used,
//! because a commit of ours cannot be given to them: `docs/decisions/0036-iceberg-commits.md`.

pub(crate) mod hadoop;
pub(crate) mod rest;
pub(crate) mod sql;

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::{Storage, join};
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::{TableCreation, TableIdent, TableRequirement, TableUpdate};

use crate::error::failed;

/// A table as it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) ident: TableIdent,
    pub(crate) metadata: Arc<TableMetadata>,
    /// Of the metadata. Catalogs that are servers of their own may not say it.
    pub(crate) metadata_location: String,
}

/// What is to become of a table.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// As it was when the change was made.
    pub(crate) base: Table,
    pub(crate) requirements: Vec<TableRequirement>,
    pub(crate) updates: Vec<TableUpdate>,
    /// Files that nothing names any more once it has taken place.
    pub(crate) obsolete: Vec<String>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// A table is not what it was; nothing happened.
    Conflict,
}

/// Where tables are found. An error leaves open whether it happened.
#[async_trait]
pub(crate) trait Catalog: Send + Sync + Debug {
    /// The table as it is now; `None` when there is none.
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>>;

    /// Makes a table, and its namespace; what is there already stays.
    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<()>;

    /// Changes tables: all of them or none. More than one only where [`Catalog::is_atomic`].
    async fn commit(&self, changes: &[Change]) -> Result<Outcome>;

    /// Whether a commit may change several tables.
    fn is_atomic(&self) -> bool;

    /// Whether a commit of several tables that is done has changed all of them. Where it is not, they are looked at
    /// again: behind the REST protocol may be a server that takes one table after the other and drops what somebody
    /// else's commit has crossed, as Iceberg's own handler does (pull request 7569 of apache/iceberg).
    fn keeps_its_word(&self) -> bool {
        true
    }

    /// Takes a table out of the catalog. Its files stay, but for those of the layout without a catalog.
    async fn drop_table(&self, ident: &TableIdent) -> Result<()>;
}

/// Commits, and looks into a conflict: where something on the way sends a request again, the second is refused because of
/// the first, and what was written for it is part of the table.
pub(crate) async fn commit(catalog: &dyn Catalog, changes: &[Change]) -> Result<Outcome> {
    if catalog.commit(changes).await? == Outcome::Done {
        return Ok(Outcome::Done);
    }
    for change in changes {
        let added = change.updates.iter().find_map(|update| match update {
            TableUpdate::AddSnapshot { snapshot } => Some(snapshot.snapshot_id()),
            _ => None,
        });
        let Some(added) = added else { continue };
        let now = catalog.load(&change.base.ident).await?;
        if now.is_some_and(|now| now.metadata.snapshot_by_id(added).is_some()) {
            return Ok(Outcome::Done);
        }
    }
    Ok(Outcome::Conflict)
}

/// A table's metadata behind a change; `None` when a requirement does not hold.
pub(crate) fn next(change: &Change, current: &Table) -> Result<Option<TableMetadata>> {
    for requirement in &change.requirements {
        if requirement.check(Some(&current.metadata)).is_err() {
            return Ok(None);
        }
    }
    let metadata = TableMetadata::clone(&current.metadata);
    let mut builder = metadata.into_builder(Some(current.metadata_location.clone()));
    for update in change.updates.clone() {
        builder = update.apply(builder).map_err(failed("a table's metadata was not changed"))?;
    }
    Ok(Some(builder.build().map_err(failed("a table's metadata was not changed"))?.metadata))
}

/// The metadata of a new table.
pub(crate) fn first(creation: TableCreation) -> Result<TableMetadata> {
    let making = failed("a table's first metadata was not made");
    Ok(TableMetadataBuilder::from_table_creation(creation).map_err(making)?.build().map_err(making)?.metadata)
}

/// Metadata as a file.
pub(crate) fn encode(metadata: &TableMetadata) -> Result<Vec<u8>> {
    serde_json::to_vec(metadata).map_err(|cause| {
        Error::new(ErrorKind::Internal, "a table's metadata was not written").caused_by(cause)
    })
}

/// A file as metadata.
pub(crate) fn decode(bytes: &[u8], location: &str) -> Result<TableMetadata> {
    serde_json::from_slice(bytes).map_err(|cause| {
        let what = "a table's metadata cannot be read";
        Error::new(ErrorKind::Corrupt, what).context("location", location).caused_by(cause).hint(
            "it is damaged, or written by a version of Iceberg that is not known here; compressed metadata is not read: \
             set the table's property write.metadata.compression-codec to none",
        )
    })
}

/// Reads metadata; `None` when the file is not there.
pub(crate) async fn read(storage: &Storage, location: &str) -> Result<Option<TableMetadata>> {
    storage.read(location).await?.map(|bytes| decode(&bytes, location)).transpose()
}

/// The folder of a table below the warehouse.
pub(crate) fn folder(warehouse: &str, ident: &TableIdent) -> String {
    let mut folder = warehouse.trim_end_matches('/').to_owned();
    for part in ident.namespace().as_ref() {
        folder = join(&folder, part);
    }
    join(&folder, ident.name())
}

/// Removes the metadata that the log of earlier ones has let go of, where the table's property says so.
pub(crate) async fn forget_old(storage: &Storage, before: &TableMetadata, after: &TableMetadata) {
    let wanted = after.properties().get("write.metadata.delete-after-commit.enabled");
    if wanted.map(String::as_str) != Some("true") {
        return;
    }
    let kept = |file: &str| after.metadata_log().iter().any(|entry| entry.metadata_file == file);
    for entry in before.metadata_log().iter().filter(|entry| !kept(&entry.metadata_file)) {
        // What cannot be removed now is an orphan, and found as one.
        if let Err(error) = storage.delete(&entry.metadata_file).await {
            tracing::debug!(%error, "metadata that is no longer needed stays");
        }
    }
}

/// The namespace as catalogs of the SQL kind write it: levels with dots between them.
pub(crate) fn dotted(ident: &TableIdent) -> String {
    ident.namespace().as_ref().join(".")
}

/// The error of a table that is gone.
pub(crate) fn gone(ident: &TableIdent) -> Error {
    Error::new(ErrorKind::Schema, "the table is gone from its catalog")
        .context("table", ident)
        .hint("restore it; with --fresh the job starts over and makes it anew")
}
