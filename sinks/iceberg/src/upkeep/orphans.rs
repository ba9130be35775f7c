//! Files below a table that nothing names: left by a crash, by a commit that lost, by an abort.

use std::time::Duration;

use culvert_api::Result;
use culvert_storage::join;
use futures_util::StreamExt;
use iceberg::TableIdent;

use super::{Keeper, Named};
use crate::catalog::Table;
use crate::snapshot::{manifests, now_ms};

/// Removes files that are old enough.
pub(super) async fn round(keeper: &Keeper, ident: &TableIdent, age: Duration) -> Result<()> {
    let before = now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let table = keeper.load(ident).await?;
    let named = named(keeper, &table).await?;
    let mut removed = 0_u64;
    // Whatever else is below the table may be another's: one of a namespace of the table's name, for example.
    for folder in ["data", "metadata"] {
        let mut objects = keeper.commits.storage.list(&join(table.metadata.location(), folder)).await?;
        while let Some(object) = objects.next().await {
            let object = object?;
            if object.modified_ms < before && is_ours(&object.location) && !named.has(&object.location) {
                keeper.commits.storage.delete(&object.location).await?;
                removed += 1;
            }
        }
    }
    if removed > 0 {
        tracing::info!(table = %ident, files = removed, "orphans were removed");
    }
    Ok(())
}

/// Whether a file is of the kinds that tables are made of. Whatever else somebody put there stays.
fn is_ours(location: &str) -> bool {
    let name = location.rsplit('/').next().unwrap_or_default();
    name.starts_with("_culvert_unfinished_")
        || [".parquet", ".avro", ".metadata.json"].iter().any(|ending| name.ends_with(ending))
}

/// Everything that the table's metadata names, directly or not.
async fn named(keeper: &Keeper, table: &Table) -> Result<Named> {
    let mut named = Named::default();
    named.add(&table.metadata_location)?;
    for entry in table.metadata.metadata_log() {
        named.add(&entry.metadata_file)?;
    }
    for statistics in table.metadata.statistics_iter() {
        named.add(&statistics.statistics_path)?;
    }
    for statistics in table.metadata.partition_statistics_iter() {
        named.add(&statistics.statistics_path)?;
    }
    for snapshot in table.metadata.snapshots() {
        named.add(snapshot.manifest_list())?;
        for manifest in manifests(&keeper.commits.files, &table.metadata, snapshot).await? {
            if !named.add(&manifest.manifest_path)? {
                continue;
            }
            for entry in keeper.manifest(&manifest).await?.entries() {
                named.add(entry.file_path())?;
            }
        }
    }
    Ok(named)
}
