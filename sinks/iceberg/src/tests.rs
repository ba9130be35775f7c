//! The sink on a folder, against a model: random changes in random batches, checkpoints, upkeep and crashes between
//! them. Rows are read back by the library's scan, which knows nothing of how they were committed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Column, CommitMarker, Committer, JobProgress, OpenSink, RowKind, RowKindSet, RowPosition,
    Sink, SinkWriter, TableId, TableSchema, Transaction, WriterContext,
};
use futures_util::TryStreamExt;
use iceberg::TableIdent;
use iceberg::spec::SnapshotRef;
use iceberg::table::Table as Scanned;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::IcebergSink;
use crate::catalog::Catalog;
use crate::io::file_io;
use crate::options::Settings;
use crate::options::tests::settings;
use crate::upkeep::{Keeper, Rules};

mod unlike;
mod unreliable;

const KEYS: i64 = 40;

/// A sink on a folder of its own.
struct Scene {
    folder: tempfile::TempDir,
    sink: IcebergSink,
    table: Arc<TableSchema>,
}

fn table(kinds: &[RowKind]) -> Arc<TableSchema> {
    let columns =
        vec![Column::derived("id", DataType::Int64, false), Column::derived("name", DataType::Utf8, true)];
    let key = vec!["id".to_owned()];
    Arc::new(TableSchema::new(TableId::new("d", "t"), 1, columns, key, RowKindSet::of(kinds)))
}

fn all_kinds() -> [RowKind; 4] {
    [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete]
}

impl Scene {
    fn new(options: &str, memory_max: usize) -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(&format!("namespace = n, {options}"));
        let storage = culvert_storage::Storage::Local;
        let warehouse = folder.path().display().to_string();
        settings.catalog = Arc::new(crate::catalog::hadoop::Hadoop { storage, warehouse });
        settings.memory_max = memory_max;
        Scene { folder, sink: IcebergSink::of(settings), table: table(&all_kinds()) }
    }

    /// The same through another catalog.
    fn through(mut self, options: &str, catalog: impl FnOnce(Arc<dyn Catalog>) -> Arc<dyn Catalog>) -> Scene {
        let catalog = catalog(self.catalog());
        self.sink = IcebergSink::of(Settings { catalog, ..settings(&format!("namespace = n, {options}")) });
        self
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::clone(&self.sink.settings().catalog)
    }

    async fn open(&self, epoch: u64) -> OpenSink {
        let context = WriterContext {
            job: "j".to_owned(),
            sink: "s".to_owned(),
            writer: 0,
            epoch,
            progress: Arc::new(JobProgress::default()),
        };
        let mut open = self.sink.open(&context).await.unwrap();
        open.writer.prepare_tables(&[Arc::clone(&self.table)], open.marker.is_none()).await.unwrap();
        open
    }

    fn ident(&self) -> TableIdent {
        TableIdent::from_strs(["n", "t"]).unwrap()
    }

    /// The rows as the library scans them.
    async fn rows(&self) -> BTreeMap<i64, Vec<Option<String>>> {
        let found = self.catalog().load(&self.ident()).await.unwrap().unwrap();
        let table = Scanned::builder()
            .identifier(self.ident())
            .file_io(file_io(&culvert_storage::Storage::Local))
            .runtime(iceberg::Runtime::current())
            .metadata(found.metadata)
            .metadata_location(found.metadata_location)
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> =
            table.scan().build().unwrap().to_arrow().await.unwrap().try_collect().await.unwrap();
        let mut rows: BTreeMap<i64, Vec<Option<String>>> = BTreeMap::new();
        for batch in batches {
            let (ids, names) =
                (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
            for (id, name) in ids.iter().zip(names) {
                rows.entry(id.unwrap()).or_default().push(name.map(str::to_owned));
            }
        }
        rows
    }

    fn keeper(&self, rules: Rules) -> Keeper {
        let mut settings = settings("namespace = n");
        settings.catalog = self.catalog();
        settings.upkeep = rules;
        settings.upsert = self.sink.settings().upsert;
        Keeper::new(self.sink.commits("j", "s", 0), Arc::new(settings))
    }
}

fn batch(table: &Arc<TableSchema>, rows: &[(RowKind, i64, Option<String>)]) -> ChangeBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, id, _)| *id)));
    let names: ArrayRef = Arc::new(StringArray::from_iter(rows.iter().map(|(_, _, name)| name.as_deref())));
    let positions = (0..rows.len()).map(|event| RowPosition { transaction: 0, event: event as u32, row: 0 });
    ChangeBatch {
        schema: Arc::clone(table),
        rows: RecordBatch::try_new(Arc::clone(&table.arrow), vec![ids, names]).unwrap(),
        kinds: rows.iter().map(|(kind, ..)| *kind).collect(),
        positions: positions.collect(),
        transactions: vec![Transaction::logged("t", Some(1))],
        unavailable: Vec::new(),
    }
}

/// Changes of a table that follow from each other.
fn changes(
    random: &mut StdRng,
    model: &mut BTreeMap<i64, String>,
    count: usize,
) -> Vec<(RowKind, i64, Option<String>)> {
    let mut rows = Vec::new();
    for _ in 0..count {
        let (id, name) = (random.random_range(0..KEYS), format!("v{}", random.random::<u32>()));
        match model.get(&id).cloned() {
            None => {
                rows.push((RowKind::Insert, id, Some(name.clone())));
                model.insert(id, name);
            }
            Some(old) if random.random_bool(0.3) => {
                rows.push((RowKind::Delete, id, Some(old)));
                model.remove(&id);
            }
            Some(old) => {
                rows.push((RowKind::UpdateBefore, id, Some(old)));
                rows.push((RowKind::UpdateAfter, id, Some(name.clone())));
                model.insert(id, name);
            }
        }
    }
    rows
}

async fn checkpoint(open: &mut OpenSink, epoch: u64, number: u64, commits: bool) {
    let marker = CommitMarker {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch,
        checkpoint: number,
        source: Some(culvert_api::SourceState::default()),
    };
    let prepared = SinkWriter::prepare_commit(open.writer.as_mut(), &marker).await.unwrap();
    if commits {
        Committer::commit(open.committer.as_mut(), &prepared).await.unwrap();
        // Committing twice is once.
        Committer::commit(open.committer.as_mut(), &prepared).await.unwrap();
    }
}

fn compacting() -> Rules {
    Rules {
        interval: Duration::from_secs(3600),
        compacts: true,
        files_min: 2,
        bytes_max: 1 << 30,
        deletes_max: 1,
        age_max: None,
        snapshots_min: 3,
        orphan_age: None,
    }
}

fn seed() -> u64 {
    std::env::var("CULVERT_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random)
}

fn as_rows(model: &BTreeMap<i64, String>) -> BTreeMap<i64, Vec<Option<String>>> {
    model.iter().map(|(id, name)| (*id, vec![Some(name.clone())])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_in_upsert_mode_is_its_source_through_waves_upkeep_and_crashes() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    for parted in
        ["", ", iceberg.table.partition-keys = \"bucket(id, 3)\"", ", iceberg.table.partition-keys = id"]
    {
        // So little memory makes several waves of a checkpoint.
        let scene = Scene::new(&format!("iceberg.table.upsert-mode-enabled = true{parted}"), 6 << 10);
        let (mut model, mut epoch, mut number) = (BTreeMap::new(), 1, 0);
        let mut open = scene.open(epoch).await;
        for _ in 0..12 {
            let before = model.clone();
            for _ in 0..random.random_range(0..6) {
                let count = random.random_range(1..30);
                let rows = changes(&mut random, &mut model, count);
                open.writer.write(batch(&scene.table, &rows)).await.unwrap();
            }
            let dies = random.random_bool(0.25);
            checkpoint(&mut open, epoch, number + 1, !dies).await;
            if dies {
                // Prepared and not committed: what was prepared is nothing, and comes again.
                model = before;
                epoch += 1;
                open = scene.open(epoch).await;
                assert_eq!(open.marker.as_ref().map_or(0, |marker| marker.checkpoint), number, "seed {seed}");
            } else {
                number += 1;
            }
            assert_eq!(scene.rows().await, as_rows(&model), "seed {seed}, checkpoint {number}{parted}");
            if random.random_bool(0.4) {
                scene.keeper(compacting()).look_after(&scene.ident()).await.unwrap();
                assert_eq!(
                    scene.rows().await,
                    as_rows(&model),
                    "seed {seed}, compacted behind {number}{parted}"
                );
            }
        }
    }
}

/// Updates change the key that rows are written by, which is not the source's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_leaves_the_key_that_an_update_takes_from_it() {
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let options = "iceberg.table.upsert-mode-enabled = true, iceberg.table.primary-keys = name";
    for memory_max in [6 << 10, 64 << 20] {
        let scene = Scene::new(options, memory_max);
        let mut model: BTreeMap<i64, String> = BTreeMap::new();
        let mut open = scene.open(1).await;
        for number in 1..=10 {
            for _ in 0..random.random_range(1..5) {
                let mut rows = Vec::new();
                for _ in 0..random.random_range(1..25) {
                    let id = random.random_range(0..8);
                    let old = model.get(&id).cloned();
                    let free: Vec<String> = (0..10)
                        .map(|name| format!("n{name}"))
                        .filter(|name| Some(name) == old.as_ref() || !model.values().any(|used| used == name))
                        .collect();
                    let name = free[random.random_range(0..free.len())].clone();
                    match old {
                        None => rows.push((RowKind::Insert, id, Some(name.clone()))),
                        Some(old) if random.random_bool(0.2) => {
                            rows.push((RowKind::Delete, id, Some(old)));
                            model.remove(&id);
                            continue;
                        }
                        Some(old) => {
                            rows.push((RowKind::UpdateBefore, id, Some(old)));
                            rows.push((RowKind::UpdateAfter, id, Some(name.clone())));
                        }
                    }
                    model.insert(id, name);
                }
                open.writer.write(batch(&scene.table, &rows)).await.unwrap();
            }
            checkpoint(&mut open, 1, number, true).await;
            assert_eq!(scene.rows().await, as_rows(&model), "seed {seed}, checkpoint {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_its_own_without_rows_before_updates_is_warned_of() {
    let options = "iceberg.table.upsert-mode-enabled = true, iceberg.table.primary-keys = ";
    let blind = table(&[RowKind::Insert, RowKind::UpdateAfter, RowKind::Delete]);
    for (key, table, warned) in [
        ("name", blind.clone(), true),
        ("ID", blind, false),
        ("name", table(&all_kinds()), false),
        ("name", table(&[RowKind::Insert]), false),
    ] {
        let findings = Scene::new(&format!("{options}{key}"), 1 << 20).sink.check(&[table]).await.unwrap();
        let is_warned = findings.iter().any(|finding| finding.message.contains("leaves the old row behind"));
        assert_eq!(is_warned, warned, "{key}: {findings:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_of_a_log_of_changes_keeps_every_row() {
    let scene = Scene::new("row_kind_column = op", 64 << 20);
    let (mut random, mut model, mut written) = (StdRng::seed_from_u64(seed()), BTreeMap::new(), 0);
    let mut open = scene.open(1).await;
    for number in 1..=8 {
        let rows = changes(&mut random, &mut model, 20);
        written += rows.len();
        open.writer.write(batch(&scene.table, &rows)).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    let before = scene.rows().await;
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), written);
    let orphan = scene.folder.path().join("n/t/data/orphan.parquet");
    std::fs::write(&orphan, b"PAR1").unwrap();
    let note = scene.folder.path().join("n/t/data/note.txt");
    std::fs::write(&note, b"not ours").unwrap();
    let files = |folder: &str| std::fs::read_dir(scene.folder.path().join(folder)).unwrap().count();
    assert_eq!(files("n/t/data"), 10);

    let mut rules = compacting();
    scene.keeper(rules).look_after(&scene.ident()).await.unwrap();
    let sorted = |mut rows: BTreeMap<i64, Vec<Option<String>>>| {
        rows.values_mut().for_each(|names| names.sort());
        rows
    };
    assert_eq!(sorted(scene.rows().await), sorted(before.clone()));
    assert_eq!(files("n/t/data"), 11, "the old files stay as long as a snapshot names them");

    rules.compacts = false;
    rules.age_max = Some(Duration::ZERO);
    rules.orphan_age = Some(Duration::ZERO);
    rules.snapshots_min = 1;
    // Snapshots of this very millisecond are not older than nothing.
    std::thread::sleep(Duration::from_millis(5));
    scene.keeper(rules).look_after(&scene.ident()).await.unwrap();
    assert_eq!(sorted(scene.rows().await), sorted(before));
    assert_eq!(files("n/t/data"), 2, "one file of all rows, and the note of somebody");
    assert!(note.exists() && !orphan.exists());
    let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
    assert_eq!(found.metadata.snapshots().count(), 1);

    // The marker outlives the snapshots that bore it.
    let again = scene.open(2).await;
    assert_eq!(again.marker.unwrap().checkpoint, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_are_merged_beside_a_stream_that_never_rests() {
    let options =
        "iceberg.table.upsert-mode-enabled = true, upkeep.delete-files.max = 1, upkeep.interval.ms = 1";
    let scene = Scene::new(options, 64 << 20);
    let mut open = scene.open(1).await;
    let mut model = BTreeMap::new();
    let mut random = StdRng::seed_from_u64(seed());
    for number in 1..=120 {
        let rows = changes(&mut random, &mut model, 20);
        open.writer.write(batch(&scene.table, &rows)).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    assert_eq!(scene.rows().await, as_rows(&model));
    let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
    let words = |snapshot: &SnapshotRef| snapshot.summary().additional_properties.clone();
    let merged = found
        .metadata
        .snapshots()
        .filter(|snapshot| words(snapshot).contains_key("removed-equality-deletes"));
    assert!(merged.count() > 0, "the stream was always first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rewritten_files_and_the_streams_own_meet() {
    let scene = Scene::new("iceberg.table.upsert-mode-enabled = true", 64 << 20);
    let mut open = scene.open(1).await;
    let insert = |id: i64, name: &str| (RowKind::Insert, id, Some(name.to_owned()));
    for number in 1..=3 {
        let id = number as i64;
        open.writer.write(batch(&scene.table, &[insert(id, "old")])).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    // Read before the stream goes on, committed behind it: the younger delete is still about the rewritten row.
    let keeper = scene.keeper(compacting());
    let rewritten = crate::upkeep::rewrite_all(&keeper, &scene.ident()).await.unwrap().unwrap();
    let change = [
        (RowKind::UpdateBefore, 1, Some("old".to_owned())),
        (RowKind::UpdateAfter, 1, Some("new".to_owned())),
    ];
    open.writer.write(batch(&scene.table, &change)).await.unwrap();
    checkpoint(&mut open, 1, 4, true).await;
    crate::upkeep::put_in_place(&keeper, &scene.ident(), rewritten).await.unwrap();
    let names: Vec<String> = scene.rows().await.into_values().flatten().flatten().collect();
    assert_eq!(names, ["new", "old", "old"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_taken_over_commits_nothing() {
    let scene = Scene::new("row_kind_column = op", 64 << 20);
    let mut old = scene.open(1).await;
    old.writer.write(batch(&scene.table, &[(RowKind::Insert, 1, None)])).await.unwrap();
    let marker = CommitMarker {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch: 1,
        checkpoint: 1,
        source: None,
    };
    let prepared = old.writer.prepare_commit(&marker).await.unwrap();
    let _new = scene.open(2).await;
    let error = old.committer.commit(&prepared).await.unwrap_err();
    assert_eq!(error.kind(), culvert_api::ErrorKind::Fenced);
    assert_eq!(error.context_of("epoch"), Some("2"));
    assert!(scene.rows().await.is_empty());
    let late = WriterContext {
        job: "j".to_owned(),
        sink: "s".to_owned(),
        writer: 0,
        epoch: 2,
        progress: Arc::new(JobProgress::default()),
    };
    assert_eq!(scene.sink.open(&late).await.err().unwrap().kind(), culvert_api::ErrorKind::Fenced);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_partitions_share_a_budget() {
    let scene = Scene::new("row_kind_column = op, iceberg.table.partition-keys = \"id\"", 8 << 20);
    let mut open = scene.open(1).await;
    // Two rounds over 100 partitions: each file takes a mebibyte at least, and four are open at once.
    for _ in 0..2 {
        let rows: Vec<_> = (0..100).map(|id| (RowKind::Insert, id, None)).collect();
        open.writer.write(batch(&scene.table, &rows)).await.unwrap();
    }
    checkpoint(&mut open, 1, 1, true).await;
    let rows = scene.rows().await;
    assert_eq!((rows.len(), rows.values().map(Vec::len).sum::<usize>()), (100, 200));
    let folders = std::fs::read_dir(scene.folder.path().join("n/t/data")).unwrap();
    let files: usize = folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum();
    assert!((190..=200).contains(&files), "{files} files: the coldest ones were ended early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_manifests_is_bounded() {
    let scene = Scene::new("row_kind_column = op", 64 << 20);
    let mut open = scene.open(1).await;
    let most = 250;
    for number in 1..=most {
        open.writer.write(batch(&scene.table, &[(RowKind::Insert, number as i64, None)])).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    assert_eq!(scene.rows().await.len() as u64, most);
    let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
    let snapshot = found.metadata.current_snapshot().unwrap();
    let files = file_io(&culvert_storage::Storage::Local);
    let manifests = crate::snapshot::manifests(&files, &found.metadata, snapshot).await.unwrap();
    assert!(manifests.len() <= 101, "{} manifests", manifests.len());
}
