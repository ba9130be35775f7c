//! A snapshot from files: manifests, their list, and the change that makes it a table's current one.
//!
//! Files come in *waves*. The deletes of a wave are about rows of the waves before it, and of everything that was in
//! the table already; so every wave has a sequence number of its own (table spec, "Sequence Numbers"), and all of them
//! are in one snapshot, whose number is the last wave's.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::join;
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, MAIN_BRANCH, ManifestContentType, ManifestFile, ManifestList,
    ManifestListWriter, ManifestWriter, ManifestWriterBuilder, Operation, Snapshot, SnapshotReference,
    SnapshotRetention, Summary, TableMetadata,
};
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;

use crate::catalog::{Change, Table};
use crate::error::failed;

/// So many small manifests of a kind are put together into one by the commit that finds them.
const MANIFESTS_MIN: usize = 100;
/// A manifest of more bytes is not small.
const SMALL_BYTES: i64 = 8 << 20;

/// Files that belong together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wave {
    pub(crate) data: Vec<DataFile>,
    pub(crate) deletes: Vec<DataFile>,
}

/// What a snapshot is made of, beside the files.
#[derive(Clone, Debug)]
pub(crate) struct Purpose<'a> {
    pub(crate) branch: &'a str,
    /// Words of the snapshot's summary.
    pub(crate) summary: Vec<(String, String)>,
    /// Properties that the table gets with it.
    pub(crate) properties: Vec<(String, String)>,
}

/// Files of metadata that a change wrote: orphans, if it does not take place.
pub(crate) type Written = Vec<String>;

/// A snapshot under way.
pub(crate) struct Draft<'a> {
    files: &'a FileIO,
    base: &'a Table,
    pub(crate) id: i64,
    parent: Option<Arc<Snapshot>>,
    unique: Uuid,
    written: Written,
    manifests: Vec<ManifestFile>,
    numbers: BTreeMap<&'static str, u64>,
    /// Whether the totals begin anew.
    is_cleared: bool,
}

impl<'a> Draft<'a> {
    /// Begins a snapshot on top of a branch.
    pub(crate) fn begin(files: &'a FileIO, base: &'a Table, branch: &str) -> Result<Draft<'a>> {
        let metadata = &base.metadata;
        let parent =
            metadata.snapshot_for_ref(branch).or_else(|| metadata.snapshot_for_ref(MAIN_BRANCH)).cloned();
        let unique = Uuid::new_v4();
        let (high, low) = unique.as_u64_pair();
        // Positive, and never one that is there.
        let mut id = i64::try_from((high ^ low) >> 1).unwrap_or(1);
        while metadata.snapshot_by_id(id).is_some() {
            id = id.wrapping_add(1) & i64::MAX;
        }
        let (written, manifests) = (Vec::new(), Vec::new());
        Ok(Draft {
            files,
            base,
            id,
            parent,
            unique,
            written,
            manifests,
            numbers: BTreeMap::new(),
            is_cleared: false,
        })
    }

    fn path(&self, name: &str) -> String {
        join(&join(self.base.metadata.location(), "metadata"), name)
    }

    /// A manifest to be written.
    pub(crate) fn manifest(&mut self, spec_id: i32, deletes: bool) -> Result<ManifestWriter> {
        let metadata = &self.base.metadata;
        let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| {
            Error::new(ErrorKind::Schema, "a partition spec is gone from the table")
                .context("table", &self.base.ident)
        })?;
        let path = self.path(&format!("{}-m{}.avro", self.unique, self.written.len()));
        let output = self.files.new_output(&path).map_err(failed("a manifest was not begun"))?;
        self.written.push(path);
        let schema = Arc::clone(metadata.current_schema());
        let builder = ManifestWriterBuilder::new(output, Some(self.id), schema, spec.as_ref().clone());
        Ok(if deletes { builder.build_v2_deletes() } else { builder.build_v2_data() })
    }

    /// Writes a manifest and makes it one of the snapshot's.
    pub(crate) async fn add(&mut self, manifest: ManifestWriter) -> Result<()> {
        let manifest = manifest.write_manifest_file().await.map_err(failed("a manifest was not written"))?;
        self.manifests.push(manifest);
        Ok(())
    }

    /// The manifests of the snapshot before.
    pub(crate) async fn before(&self) -> Result<Vec<ManifestFile>> {
        let Some(parent) = &self.parent else { return Ok(Vec::new()) };
        manifests(self.files, &self.base.metadata, parent).await
    }

    /// Takes manifests of before over as they are; many small ones of a kind are put together, so that neither their
    /// number nor the list of them grows with every commit for ever.
    pub(crate) async fn keep_all(&mut self, before: Vec<ManifestFile>) -> Result<()> {
        let mut small: BTreeMap<(i32, bool), Vec<ManifestFile>> = BTreeMap::new();
        for manifest in before {
            if !manifest.has_added_files() && !manifest.has_existing_files() {
                continue;
            }
            if manifest.manifest_length < SMALL_BYTES {
                let deletes = manifest.content == ManifestContentType::Deletes;
                small.entry((manifest.partition_spec_id, deletes)).or_default().push(manifest);
            } else {
                self.manifests.push(manifest);
            }
        }
        for (kind, group) in small {
            if group.len() < MANIFESTS_MIN {
                self.manifests.extend(group);
            } else {
                self.merge(kind, &group, &HashSet::new()).await?;
            }
        }
        Ok(())
    }

    /// Writes the live files of manifests of one kind into one, without those that are gone.
    pub(crate) async fn merge(
        &mut self,
        (spec_id, deletes): (i32, bool),
        group: &[ManifestFile],
        gone: &HashSet<String>,
    ) -> Result<()> {
        let mut merged = self.manifest(spec_id, deletes)?;
        let writing = failed("a manifest does not take a file");
        for manifest in group {
            let loaded =
                manifest.load_manifest(self.files).await.map_err(failed("a manifest was not read"))?;
            for entry in loaded.entries().iter().filter(|entry| entry.is_alive()) {
                let file = entry.data_file().clone();
                let sequence = entry.sequence_number().unwrap_or(manifest.sequence_number);
                // What was added with its manifest has the manifest's number.
                let file_sequence = Some(entry.file_sequence_number.unwrap_or(manifest.sequence_number));
                if gone.contains(entry.file_path()) {
                    self.count_removed(&file);
                    merged.add_delete_file(file, sequence, file_sequence).map_err(writing)?;
                } else {
                    let snapshot = entry.snapshot_id().unwrap_or(manifest.added_snapshot_id);
                    merged.add_existing_file(file, snapshot, sequence, file_sequence).map_err(writing)?;
                }
            }
        }
        self.add(merged).await
    }

    /// Lets go of everything that was in the table.
    pub(crate) fn cleared(mut self) -> Draft<'a> {
        self.is_cleared = true;
        self
    }

    /// Counts for the summary.
    pub(crate) fn count(&mut self, what: &'static str, by: u64) {
        *self.numbers.entry(what).or_default() += by;
    }

    /// Adds waves of files of one partition spec; the first has this sequence number.
    async fn add_waves(&mut self, waves: &[Wave], spec_id: i32, first: i64) -> Result<()> {
        for (wave, sequence) in waves.iter().zip(first..) {
            for (files, deletes) in [(&wave.data, false), (&wave.deletes, true)] {
                if files.is_empty() {
                    continue;
                }
                let mut manifest = self.manifest(spec_id, deletes)?;
                for file in files {
                    self.count_file(file);
                    manifest
                        .add_file(file.clone(), sequence)
                        .map_err(failed("a manifest does not take a file"))?;
                }
                self.add(manifest).await?;
            }
        }
        Ok(())
    }

    /// Counts a file that is added.
    pub(crate) fn count_file(&mut self, file: &DataFile) {
        let (files, rows) = match file.content_type() {
            DataContentType::Data => ("added-data-files", "added-records"),
            DataContentType::EqualityDeletes => {
                self.count("added-delete-files", 1);
                ("added-equality-delete-files", "added-equality-deletes")
            }
            DataContentType::PositionDeletes => {
                self.count("added-delete-files", 1);
                ("added-position-delete-files", "added-position-deletes")
            }
        };
        self.count(files, 1);
        self.count(rows, file.record_count());
        self.count("added-files-size", file.file_size_in_bytes());
    }

    /// Counts a file that is gone.
    pub(crate) fn count_removed(&mut self, file: &DataFile) {
        let (files, rows) = match file.content_type() {
            DataContentType::Data => ("deleted-data-files", "deleted-records"),
            DataContentType::EqualityDeletes => ("removed-equality-delete-files", "removed-equality-deletes"),
            DataContentType::PositionDeletes => ("removed-position-delete-files", "removed-position-deletes"),
        };
        if file.content_type() != DataContentType::Data {
            self.count("removed-delete-files", 1);
        }
        self.count(files, 1);
        self.count(rows, file.record_count());
        self.count("removed-files-size", file.file_size_in_bytes());
    }

    /// Writes the list of manifests; the change, and what was written for it.
    pub(crate) async fn finish(
        mut self,
        operation: Operation,
        sequence: i64,
        purpose: Purpose<'_>,
    ) -> Result<(Change, Written)> {
        let list = self.path(&format!("snap-{}-1-{}.avro", self.id, self.unique));
        let parent_id = self.parent.as_ref().map(|parent| parent.snapshot_id());
        let writing = failed("a list of manifests was not written");
        let output = self.files.new_output(&list).map_err(writing)?.writer().await.map_err(writing)?;
        let mut writer = ManifestListWriter::v2(output, self.id, parent_id, sequence);
        writer.add_manifests(std::mem::take(&mut self.manifests).into_iter()).map_err(writing)?;
        writer.close().await.map_err(writing)?;
        self.written.push(list.clone());

        let mut words: HashMap<String, String> = purpose.summary.into_iter().collect();
        let before = self.parent.as_deref().filter(|_| !self.is_cleared);
        words.extend(totals(&self.numbers, before));
        let metadata = &self.base.metadata;
        let snapshot = Snapshot::builder()
            .with_snapshot_id(self.id)
            .with_parent_snapshot_id(parent_id)
            .with_sequence_number(sequence)
            .with_timestamp_ms(now_ms().max(metadata.last_updated_ms()))
            .with_manifest_list(list)
            .with_summary(Summary { operation, additional_properties: words })
            .with_schema_id(metadata.current_schema_id())
            .build();
        let head = metadata.snapshot_for_ref(purpose.branch).map(|head| head.snapshot_id());
        let retention = SnapshotRetention::Branch {
            min_snapshots_to_keep: None,
            max_snapshot_age_ms: None,
            max_ref_age_ms: None,
        };
        let mut updates = vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef {
                ref_name: purpose.branch.to_owned(),
                reference: SnapshotReference::new(self.id, retention),
            },
        ];
        if !purpose.properties.is_empty() {
            updates.push(TableUpdate::SetProperties { updates: purpose.properties.into_iter().collect() });
        }
        let requirements = vec![
            TableRequirement::UuidMatch { uuid: metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch { r#ref: purpose.branch.to_owned(), snapshot_id: head },
        ];
        Ok((Change { base: self.base.clone(), requirements, updates, obsolete: Vec::new() }, self.written))
    }
}

/// Now, in milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The totals behind a snapshot, from those before it.
fn totals(numbers: &BTreeMap<&'static str, u64>, parent: Option<&Snapshot>) -> HashMap<String, String> {
    let number = |name: &str| numbers.get(name).copied().unwrap_or(0);
    let mut words: HashMap<String, String> =
        numbers.iter().map(|(name, count)| ((*name).to_owned(), count.to_string())).collect();
    let before = parent.map(|parent| &parent.summary().additional_properties);
    for (total, added, removed) in [
        ("total-data-files", "added-data-files", "deleted-data-files"),
        ("total-delete-files", "added-delete-files", "removed-delete-files"),
        ("total-records", "added-records", "deleted-records"),
        ("total-files-size", "added-files-size", "removed-files-size"),
        ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
        ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
    ] {
        let known = match before {
            None => Some(0),
            Some(words) => words.get(total).and_then(|text| text.parse::<u64>().ok()),
        };
        // A total that nobody kept cannot be gone on with.
        if let Some(known) = known {
            words.insert(
                total.to_owned(),
                (known + number(added)).saturating_sub(number(removed)).to_string(),
            );
        }
    }
    words
}

/// The manifests of a snapshot.
pub(crate) async fn manifests(
    files: &FileIO,
    metadata: &TableMetadata,
    snapshot: &Snapshot,
) -> Result<Vec<ManifestFile>> {
    let reading = failed("a list of manifests was not read");
    let bytes = files.new_input(snapshot.manifest_list()).map_err(reading)?.read().await.map_err(reading)?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version()).map_err(reading)?;
    Ok(list.consume_entries().into_iter().collect())
}

/// A snapshot that adds waves of files to a branch. Without any it says nothing but its words.
pub(crate) async fn append(
    files: &FileIO,
    base: &Table,
    (waves, spec_id): (&[Wave], i32),
    purpose: Purpose<'_>,
) -> Result<(Change, Written)> {
    let mut draft = Draft::begin(files, base, purpose.branch)?;
    let before = draft.before().await?;
    draft.keep_all(before).await?;
    let first = base.metadata.last_sequence_number() + 1;
    draft.add_waves(waves, spec_id, first).await?;
    let waves_more = i64::try_from(waves.len().saturating_sub(1)).unwrap_or(0);
    let has_deletes = waves.iter().any(|wave| !wave.deletes.is_empty());
    let operation = if has_deletes { Operation::Overwrite } else { Operation::Append };
    draft.finish(operation, first + waves_more, purpose).await
}
