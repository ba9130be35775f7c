//! Small files into large ones, and deletes into the rows they are about.
//!
//! What is rewritten keeps the sequence number of the snapshot that it was read at: deletes that the stream commits
//! meanwhile are younger, and still about these rows (table spec, "Scan Planning"). So the stream is never waited for,
//! and the rewritten files are good as long as those that they stand for are still in the table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result};
use futures_util::StreamExt;
use iceberg::TableIdent;
use iceberg::spec::{
    DataContentType, DataFile, Manifest, ManifestContentType, ManifestEntryRef, ManifestFile, Operation,
    PartitionKey, Snapshot, Struct,
};

use super::read::{Deleted, NOT_READ, Reading};
use super::{CONFLICTS_MAX, Keeper};
use crate::catalog::Table;
use crate::error::failed;
use crate::file::OpenFile;
use crate::snapshot::{Draft, Purpose, manifests};

/// A live file of a table.
#[derive(Clone)]
struct Live {
    file: DataFile,
    spec_id: i32,
    sequence: i64,
}

/// The live files of a snapshot.
#[derive(Default)]
struct State {
    data: Vec<Live>,
    deletes: Vec<Live>,
}

/// Files that are rewritten together: those of one partition.
struct Group {
    spec_id: i32,
    partition: Struct,
    files: Vec<Live>,
}

/// Manifests that were read: one that is there still is not read again.
#[derive(Default)]
struct Loaded(HashMap<String, Arc<Manifest>>);

impl Loaded {
    async fn get(&mut self, keeper: &Keeper, manifest: &ManifestFile) -> Result<Arc<Manifest>> {
        if let Some(loaded) = self.0.get(&manifest.manifest_path) {
            return Ok(Arc::clone(loaded));
        }
        let loaded = Arc::new(keeper.manifest(manifest).await?);
        self.0.insert(manifest.manifest_path.clone(), Arc::clone(&loaded));
        Ok(loaded)
    }
}

async fn read_state(
    keeper: &Keeper,
    table: &Table,
    snapshot: &Snapshot,
    loaded: &mut Loaded,
) -> Result<State> {
    let mut state = State::default();
    let manifests = manifests(&keeper.commits.files, &table.metadata, snapshot).await?;
    loaded.0.retain(|path, _| manifests.iter().any(|manifest| manifest.manifest_path == *path));
    for manifest in manifests {
        let loaded = loaded.get(keeper, &manifest).await?;
        for entry in loaded.entries().iter().filter(|entry| entry.is_alive()) {
            let live = Live {
                file: entry.data_file().clone(),
                spec_id: manifest.partition_spec_id,
                sequence: entry.sequence_number().unwrap_or(manifest.sequence_number),
            };
            match manifest.content {
                ManifestContentType::Data => state.data.push(live),
                ManifestContentType::Deletes => state.deletes.push(live),
            }
        }
    }
    Ok(state)
}

/// Whether a file of deletes is about rows of a data file. Those of a spec without parts are about every partition.
fn is_about(delete: &Live, data: &Live) -> bool {
    let here = delete.file.partition().fields().is_empty()
        || (delete.spec_id == data.spec_id && delete.file.partition() == data.file.partition());
    let younger = match delete.file.content_type() {
        DataContentType::EqualityDeletes => delete.sequence > data.sequence,
        _ => delete.sequence >= data.sequence,
    };
    here && younger
}

/// What was rewritten: the new files, those that they stand for, and the number of the snapshot it was read at.
pub(crate) struct Rewritten {
    added: Vec<(DataFile, i32)>,
    removed: HashSet<String>,
    sequence: i64,
    loaded: Loaded,
}

/// Whether somebody has deleted rows by their places since then: in files that were rewritten, these are other rows.
fn is_crossed(state: &State, removed: &HashSet<String>, since: i64) -> bool {
    let by_place = |delete: &&Live| {
        delete.file.content_type() == DataContentType::PositionDeletes && delete.sequence > since
    };
    state.deletes.iter().filter(by_place).any(|delete| {
        state.data.iter().any(|data| removed.contains(data.file.file_path()) && is_about(delete, data))
    })
}

/// Looks whether a table needs it, and does it.
pub(super) async fn round(keeper: &Keeper, ident: &TableIdent) -> Result<()> {
    match rewrite_all(keeper, ident).await? {
        Some(rewritten) => put_in_place(keeper, ident, rewritten).await,
        None => Ok(()),
    }
}

/// Whether there may be something to do, by the totals of the snapshot: a table's manifests are not read for nothing.
fn is_worth_a_look(keeper: &Keeper, ident: &TableIdent, snapshot: &Snapshot) -> bool {
    let rules = keeper.rules();
    let total = |name: &str| snapshot.summary().additional_properties.get(name)?.parse::<usize>().ok();
    let Some((files, deletes)) = total("total-data-files").zip(total("total-delete-files")) else {
        return true;
    };
    let merges = rules.deletes_max > 0 && deletes > rules.deletes_max;
    merges || (rules.compacts && keeper.has_grown(ident, files, rules.files_min))
}

/// Writes the files that are to stand for others; `None` where there is nothing to do.
pub(crate) async fn rewrite_all(keeper: &Keeper, ident: &TableIdent) -> Result<Option<Rewritten>> {
    let table = keeper.load(ident).await?;
    let Some(snapshot) = table.metadata.snapshot_for_ref(&keeper.settings.branch).cloned() else {
        return Ok(None);
    };
    if !is_worth_a_look(keeper, ident, &snapshot) {
        return Ok(None);
    }
    let mut loaded = Loaded::default();
    let state = read_state(keeper, &table, &snapshot, &mut loaded).await?;
    let groups = choose(keeper, &table, &state);
    if groups.is_empty() {
        return Ok(None);
    }
    let (mut added, mut removed) = (Vec::new(), HashSet::new());
    for group in groups {
        let files = rewrite(keeper, &table, &state, &group).await?;
        added.extend(files.into_iter().map(|file| (file, group.spec_id)));
        removed.extend(group.files.iter().map(|live| live.file.file_path().to_owned()));
    }
    Ok(Some(Rewritten { added, removed, sequence: snapshot.sequence_number(), loaded }))
}

/// What is rewritten: small files of a partition when there are enough of them; files with deletes when the table has
/// more deletes than it may.
fn choose(keeper: &Keeper, table: &Table, state: &State) -> Vec<Group> {
    let rules = keeper.rules();
    let merges = rules.deletes_max > 0 && state.deletes.len() > rules.deletes_max;
    let small = keeper.settings.target_bytes(&table.metadata) as u64 / 2;
    let mut partitions: BTreeMap<(i32, String), Group> = BTreeMap::new();
    for live in &state.data {
        let has_deletes = merges && state.deletes.iter().any(|delete| is_about(delete, live));
        let is_small = rules.compacts && live.file.file_size_in_bytes() < small;
        if !has_deletes && !is_small {
            continue;
        }
        let partition = live.file.partition().clone();
        let group = partitions.entry((live.spec_id, format!("{partition:?}"))).or_insert_with(|| Group {
            spec_id: live.spec_id,
            partition,
            files: Vec::new(),
        });
        group.files.push(live.clone());
    }
    let mut left = rules.bytes_max;
    let mut chosen = Vec::new();
    for mut group in partitions.into_values() {
        // Deletes are merged whole, or the number of them would not fall.
        if !merges && group.files.len() < rules.files_min {
            continue;
        }
        group.files.sort_by_key(|live| live.sequence);
        if !merges {
            group.files.retain(|live| {
                let fits = live.file.file_size_in_bytes() <= left;
                left = left.saturating_sub(if fits { live.file.file_size_in_bytes() } else { 0 });
                fits
            });
        }
        // One file alone is put together with nothing, unless deletes are merged into it.
        if group.files.len() > usize::from(!merges) {
            chosen.push(group);
        }
    }
    chosen
}

/// Reads the rows of a group as they are now, and writes them to files of the size that is wanted.
async fn rewrite(keeper: &Keeper, table: &Table, state: &State, group: &Group) -> Result<Vec<DataFile>> {
    let metadata = &table.metadata;
    let schema = Arc::clone(metadata.current_schema());
    let spec = metadata.partition_spec_by_id(group.spec_id).cloned().ok_or_else(|| {
        Error::new(ErrorKind::Schema, "a partition spec is gone from the table")
            .context("table", &table.ident)
    })?;
    let reading = Reading::new(keeper, &schema)?;
    let by_key = |delete: &&Live| {
        delete.file.content_type() == DataContentType::EqualityDeletes
            && group.files.iter().any(|live| is_about(delete, live))
    };
    let mut deleted = Deleted::default();
    for delete in state.deletes.iter().filter(by_key) {
        deleted.add(&reading, &delete.file, delete.sequence).await?;
    }
    let key = (!spec.is_unpartitioned())
        .then(|| PartitionKey::new(spec.as_ref().clone(), Arc::clone(&schema), group.partition.clone()));
    let mut under_way: Option<OpenFile> = None;
    let mut files = Vec::new();
    let prefix = format!("{}-compacted", uuid::Uuid::new_v4());
    for live in &group.files {
        let by_place = state.deletes.iter().filter(|delete| {
            delete.file.content_type() == DataContentType::PositionDeletes && is_about(delete, live)
        });
        let by_place: Vec<&DataFile> = by_place.map(|delete| &delete.file).collect();
        let mut batches = reading.rows(&live.file, &spec, &by_place)?;
        while let Some(batch) = batches.next().await {
            let batch = deleted.without(&reading.fitting(&batch.map_err(NOT_READ)?)?, live.sequence)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let mut open = match under_way.take() {
                Some(open) => open,
                None => {
                    let path = format!("{prefix}-{:06}", files.len());
                    let with = (keeper.settings.as_ref(), &keeper.commits.files);
                    OpenFile::begin(with, metadata, (group.spec_id, key.clone()), &schema, &path).await?
                }
            };
            open.write(&batch).await?;
            if open.is_full() {
                files.extend(open.end().await?);
            } else {
                under_way = Some(open);
            }
        }
    }
    if let Some(open) = under_way {
        files.extend(open.end().await?);
    }
    Ok(files)
}

/// Puts files in the place of others.
pub(crate) async fn put_in_place(keeper: &Keeper, ident: &TableIdent, rewritten: Rewritten) -> Result<()> {
    let Rewritten { added, removed, sequence, mut loaded } = rewritten;
    for attempt in 1..=CONFLICTS_MAX {
        // The stream was first each time: its next commit waits for this one, once.
        let _turn = if attempt == CONFLICTS_MAX { Some(keeper.commits.turn.lock().await) } else { None };
        let table = keeper.load(ident).await?;
        let Some(head) = table.metadata.snapshot_for_ref(&keeper.settings.branch).cloned() else { break };
        let state = read_state(keeper, &table, &head, &mut loaded).await?;
        let there: HashSet<&str> = state.data.iter().map(|live| live.file.file_path()).collect();
        let is_whole = removed.iter().all(|path| there.contains(path.as_str()));
        if !is_whole || is_crossed(&state, &removed, sequence) {
            tracing::info!(table = %ident, "files were changed by somebody else: ours are let go");
            break;
        }
        // A delete that is about no row any more goes with the rows.
        let stays: Vec<&Live> =
            state.data.iter().filter(|live| !removed.contains(live.file.file_path())).collect();
        let rewritten: Vec<Live> = added
            .iter()
            .map(|(file, spec_id)| Live { file: file.clone(), spec_id: *spec_id, sequence })
            .collect();
        let idle =
            |delete: &Live| !stays.iter().copied().chain(&rewritten).any(|data| is_about(delete, data));
        let mut gone: HashSet<String> = removed.clone();
        gone.extend(
            state
                .deletes
                .iter()
                .filter(|delete| idle(delete))
                .map(|delete| delete.file.file_path().to_owned()),
        );

        let mut draft = Draft::begin(&keeper.commits.files, &table, &keeper.settings.branch)?;
        let before = draft.before().await?;
        let (mut touched, mut others) = (BTreeMap::new(), Vec::new());
        for manifest in before {
            let manifest_loaded = loaded.get(keeper, &manifest).await?;
            let loses = |entry: &ManifestEntryRef| entry.is_alive() && gone.contains(entry.file_path());
            if manifest_loaded.entries().iter().any(loses) {
                let deletes = manifest.content == ManifestContentType::Deletes;
                touched.entry((manifest.partition_spec_id, deletes)).or_insert_with(Vec::new).push(manifest);
            } else {
                others.push(manifest);
            }
        }
        draft.keep_all(others).await?;
        for (kind, group) in touched {
            draft.merge(kind, &group, &gone).await?;
        }
        let mut by_spec: HashMap<i32, Vec<&DataFile>> = HashMap::new();
        for (file, spec_id) in &added {
            by_spec.entry(*spec_id).or_default().push(file);
        }
        for (spec_id, files) in by_spec {
            let mut manifest = draft.manifest(spec_id, false)?;
            for file in files {
                draft.count_file(file);
                manifest
                    .add_file(file.clone(), sequence)
                    .map_err(failed("a manifest does not take a file"))?;
            }
            draft.add(manifest).await?;
        }
        let next = table.metadata.last_sequence_number() + 1;
        let summary = vec![("culvert.upkeep".to_owned(), "compaction".to_owned())];
        let purpose = Purpose { branch: &keeper.settings.branch, summary, properties: Vec::new() };
        let (change, written) = draft.finish(Operation::Replace, next, purpose).await?;
        if keeper.commit(change, written).await? {
            tracing::info!(table = %ident, before = gone.len(), after = added.len(), "files were rewritten");
            return Ok(());
        }
    }
    keeper.commits.remove(added.iter().map(|(file, _)| file.file_path().to_owned()).collect()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use iceberg::spec::{DataFileBuilder, DataFileFormat};

    use super::*;

    fn live(content: DataContentType, path: &str, sequence: i64) -> Live {
        let file = DataFileBuilder::default()
            .content(content)
            .file_path(path.to_owned())
            .file_format(DataFileFormat::Parquet)
            .partition(Struct::empty())
            .partition_spec_id(0)
            .record_count(1)
            .file_size_in_bytes(1)
            .build()
            .unwrap();
        Live { file, spec_id: 0, sequence }
    }

    #[test]
    fn a_delete_by_places_that_came_meanwhile_lets_go_of_the_rewritten_files() {
        let data = vec![live(DataContentType::Data, "a", 1)];
        let removed = HashSet::from(["a".to_owned()]);
        for (content, sequence, crossed) in [
            (DataContentType::PositionDeletes, 3, true),
            // It was read with the rows.
            (DataContentType::PositionDeletes, 2, false),
            // It is about the rewritten rows as well: they keep the number they were read at.
            (DataContentType::EqualityDeletes, 3, false),
        ] {
            let state = State { data: data.clone(), deletes: vec![live(content, "d", sequence)] };
            assert_eq!(is_crossed(&state, &removed, 2), crossed, "{content:?} {sequence}");
            assert!(!is_crossed(&state, &HashSet::new(), 2));
        }
    }
}
