//! Old snapshots, and the files that only they name.

use std::collections::HashSet;

use culvert_api::Result;
use iceberg::spec::{MAIN_BRANCH, ManifestFile, Snapshot};
use iceberg::{TableIdent, TableRequirement, TableUpdate};

use super::{CONFLICTS_MAX, Keeper, Named};
use crate::catalog::{Change, Table};
use crate::snapshot::{manifests, now_ms};

/// Removes snapshots that are old enough, but for the youngest ones and those that a branch or tag names.
pub(super) async fn round(keeper: &Keeper, ident: &TableIdent) -> Result<()> {
    for _ in 0..CONFLICTS_MAX {
        let table = keeper.load(ident).await?;
        let old = old(keeper, &table);
        if old.is_empty() {
            return Ok(());
        }
        let doomed = files_of_old_alone(keeper, &table, &old).await?;
        let head = table.metadata.snapshot_for_ref(MAIN_BRANCH).map(|head| head.snapshot_id());
        let requirements = vec![
            TableRequirement::UuidMatch { uuid: table.metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch { r#ref: MAIN_BRANCH.to_owned(), snapshot_id: head },
        ];
        let count = old.len();
        let updates = vec![TableUpdate::RemoveSnapshots { snapshot_ids: old.into_iter().collect() }];
        let change = Change { base: table, requirements, updates, obsolete: Vec::new() };
        if keeper.commit(change, Vec::new()).await? {
            tracing::info!(table = %ident, snapshots = count, files = doomed.len(), "old snapshots were removed");
            keeper.commits.remove(doomed).await;
            return Ok(());
        }
    }
    Ok(())
}

fn old(keeper: &Keeper, table: &Table) -> HashSet<i64> {
    let rules = keeper.settings.upkeep;
    let Some(age) = rules.age_max else { return HashSet::new() };
    let before = now_ms().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let mut all: Vec<_> = table.metadata.snapshots().collect();
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    let named: HashSet<i64> = refs(table);
    all.into_iter()
        .skip(rules.snapshots_min.max(1))
        .filter(|snapshot| snapshot.timestamp_ms() < before && !named.contains(&snapshot.snapshot_id()))
        .map(|snapshot| snapshot.snapshot_id())
        .collect()
}

/// Snapshots that branches and tags name, read from the form that metadata is written in.
fn refs(table: &Table) -> HashSet<i64> {
    let metadata = serde_json::to_value(table.metadata.as_ref()).unwrap_or_default();
    let refs = metadata.get("refs").and_then(serde_json::Value::as_object);
    let ids = refs.into_iter().flatten().filter_map(|(_, named)| named.get("snapshot-id")?.as_i64());
    ids.collect()
}

/// Files that no other snapshot names.
async fn files_of_old_alone(keeper: &Keeper, table: &Table, old: &HashSet<i64>) -> Result<Vec<String>> {
    let (mut kept, mut lists) = (Named::default(), Vec::new());
    let mut gone: Vec<ManifestFile> = Vec::new();
    let (old, young): (Vec<_>, Vec<_>) =
        table.metadata.snapshots().partition(|snapshot| old.contains(&snapshot.snapshot_id()));
    for snapshot in young {
        for manifest in manifests(&keeper.commits.files, &table.metadata, snapshot).await? {
            if kept.add(&manifest.manifest_path)? {
                for entry in
                    keeper.manifest(&manifest).await?.entries().iter().filter(|entry| entry.is_alive())
                {
                    kept.add(entry.file_path())?;
                }
            }
        }
    }
    let mut seen = Named::default();
    for snapshot in old {
        lists.push(Snapshot::manifest_list(snapshot).to_owned());
        for manifest in manifests(&keeper.commits.files, &table.metadata, snapshot).await? {
            if !kept.has(&manifest.manifest_path) && seen.add(&manifest.manifest_path)? {
                gone.push(manifest);
            }
        }
    }
    let mut doomed = Vec::new();
    for manifest in gone {
        for entry in keeper.manifest(&manifest).await?.entries() {
            if !kept.has(entry.file_path()) && seen.add(entry.file_path())? {
                doomed.push(entry.file_path().to_owned());
            }
        }
        doomed.push(manifest.manifest_path);
    }
    // The lists last: what is left of a removal that was cut off can still be found by them.
    doomed.extend(lists);
    Ok(doomed)
}
