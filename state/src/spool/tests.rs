#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use culvert_api::{
    ChangeBatch, Checkpoint, Column, ErrorKind, Result, RowKind, RowKindSet, RowPosition, SchemaChange,
    SourceState, SourceType, Spool, SpoolItem, TableId, TableSchema, Unavailable,
};
use tempfile::TempDir;

use super::FileSpool;

fn state(text: &str) -> SourceState {
    SourceState { enumerator: Vec::new(), reader: text.as_bytes().to_vec() }
}

fn checkpoint(id: u64) -> Checkpoint {
    Checkpoint { id, epoch: 1, created_ms: 7, source: state(&format!("state {id}")) }
}

fn schema(version: u64) -> Arc<TableSchema> {
    let declared = |name: &str, data_type, declaration: &str| Column {
        name: name.into(),
        data_type,
        nullable: true,
        source_type: Some(SourceType::postgres(declaration)),
    };
    let columns = vec![
        declared("id", DataType::Int64, "bigint"),
        declared("naïve", DataType::Utf8, "text"),
        Column::derived("raw", DataType::Binary, true),
    ];
    let id = TableId { database: "db".into(), schema: Some("s".into()), table: "t".into() };
    Arc::new(TableSchema::new(id, version, columns, vec!["id".into()], RowKindSet::ALL))
}

fn batch(schema: &Arc<TableSchema>, first: i64) -> ChangeBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(first), None, Some(first + 2)])),
        Arc::new(StringArray::from(vec![None, Some("é"), Some("")])),
        Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\0\xff"), None, Some(b"")])),
    ];
    let position = |row| RowPosition { transaction: 1, event: 2, row };
    let place =
        culvert_api::LogPlace::MySql { server_id: 3, gtid: None, file: "binlog.000001".into(), offset: 4 };
    ChangeBatch {
        schema: Arc::clone(schema),
        rows: RecordBatch::try_new(Arc::clone(&schema.arrow), columns).unwrap(),
        kinds: vec![RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete],
        positions: (0..3).map(position).collect(),
        transactions: vec![
            culvert_api::Transaction::placed("one", Some(5), place),
            culvert_api::Transaction::snapshot("two"),
        ],
        unavailable: vec![Unavailable { column: 1, rows: BooleanBuffer::from(vec![true, false, false]) }],
    }
}

/// Appends rows and seals, for each of these checkpoints.
fn filled(folder: &TempDir, ids: std::ops::RangeInclusive<u64>) -> FileSpool {
    let spool = FileSpool::open(folder.path()).unwrap();
    spool.start((0, None), &[schema(0)]).unwrap();
    for id in ids {
        let first = i64::try_from(id).unwrap() * 10;
        spool.append(&SpoolItem::Batch(batch(&schema(0), first))).unwrap();
        spool.seal(&checkpoint(id), None).unwrap();
    }
    spool
}

fn verified(spool: &FileSpool, behind: u64, up_to: u64) -> Result<()> {
    let before = (behind > 0).then(|| checkpoint(behind).source);
    spool.verify((behind, before.as_ref()), &checkpoint(up_to))
}

#[test]
fn what_comes_back_is_what_went_in() {
    let folder = TempDir::new().unwrap();
    let spool = FileSpool::open(folder.path()).unwrap();
    spool.start((0, None), &[schema(0)]).unwrap();
    let (old, new) = (schema(0), schema(1));
    let change = SchemaChange {
        before: Some(Arc::clone(&old)),
        after: Some(Arc::clone(&new)),
        statement: "ALTER TABLE t ADD raw bytea".into(),
    };
    spool.append(&SpoolItem::Batch(batch(&old, 1))).unwrap();
    spool.append(&SpoolItem::SchemaChange(change)).unwrap();
    spool.append(&SpoolItem::Batch(batch(&new, 5))).unwrap();
    spool.seal(&checkpoint(1), None).unwrap();

    let mut reader = FileSpool::open(folder.path()).unwrap().read(1).unwrap();
    assert_eq!(reader.checkpoint(), &checkpoint(1));
    let same = |item: Option<SpoolItem>, wanted: ChangeBatch| {
        let Some(SpoolItem::Batch(found)) = item else { panic!("{item:?} is no batch") };
        assert_eq!(found.schema, wanted.schema);
        assert_eq!(found.rows, wanted.rows);
        assert_eq!((found.kinds, found.positions), (wanted.kinds, wanted.positions));
        assert_eq!((found.transactions, found.unavailable), (wanted.transactions, wanted.unavailable));
    };
    same(reader.next().unwrap(), batch(&old, 1));
    let Some(SpoolItem::SchemaChange(found)) = reader.next().unwrap() else { panic!("no change of shape") };
    assert_eq!((found.before, found.after), (Some(old), Some(Arc::clone(&new))));
    assert_eq!(found.statement, "ALTER TABLE t ADD raw bytea");
    same(reader.next().unwrap(), batch(&new, 5));
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn a_segment_without_rows_is_one_too() {
    let folder = TempDir::new().unwrap();
    let spool = FileSpool::open(folder.path()).unwrap();
    spool.start((0, None), &[schema(0)]).unwrap();
    spool.seal(&checkpoint(1), None).unwrap();
    assert!(spool.read(1).unwrap().next().unwrap().is_none());
    verified(&spool, 0, 1).unwrap();
}

#[test]
fn segments_make_a_chain_or_are_refused() {
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=4);
    for behind in 0..=4 {
        verified(&spool, behind, 4).unwrap();
    }
    // A sink with another state at the same checkpoint, one that is ahead, and a gap.
    let other = state("another course");
    for (behind, what) in [(2, &other), (4, &other)] {
        let error = spool.verify((behind, Some(what)), &checkpoint(4)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StateMismatch, "{error}");
    }
    assert_eq!(verified(&spool, 5, 4).unwrap_err().kind(), ErrorKind::StateMismatch);
    std::fs::remove_file(spool.path(3)).unwrap();
    assert_eq!(verified(&spool, 1, 4).unwrap_err().kind(), ErrorKind::StateMismatch);
    verified(&spool, 3, 4).unwrap();
}

#[test]
fn starting_behind_a_checkpoint_forgets_what_is_later_and_what_is_not_sealed() {
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=3);
    spool.append(&SpoolItem::Batch(batch(&schema(0), 99))).unwrap();
    drop(spool);
    let spool = FileSpool::open(folder.path()).unwrap();
    spool.start((2, Some(&checkpoint(2).source)), &[schema(0)]).unwrap();
    assert_eq!(verified(&spool, 0, 3).unwrap_err().kind(), ErrorKind::StateMismatch);
    spool.append(&SpoolItem::Batch(batch(&schema(0), 30))).unwrap();
    spool.seal(&checkpoint(3), None).unwrap();
    verified(&spool, 0, 3).unwrap();
    let mut reader = spool.read(3).unwrap();
    assert!(matches!(reader.next().unwrap(), Some(SpoolItem::Batch(_))));
    assert!(reader.next().unwrap().is_none(), "the row that was not sealed is gone");
}

#[test]
fn forgotten_segments_give_their_bytes_back() {
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=3);
    let before = spool.bytes();
    spool.forget(2).unwrap();
    assert!(spool.bytes() < before && spool.bytes() > 0);
    verified(&spool, 2, 3).unwrap();
    spool.forget(3).unwrap();
    assert_eq!(spool.bytes(), 0);
}

#[test]
fn a_flipped_or_missing_byte_anywhere_is_found() {
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=1);
    let path = spool.path(1);
    let whole = std::fs::read(&path).unwrap();
    let readable = || -> Result<()> {
        verified(&spool, 0, 1)?;
        let mut reader = spool.read(1)?;
        while reader.next()?.is_some() {}
        Ok(())
    };
    readable().unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        std::fs::write(&path, &damaged).unwrap();
        let error = readable().expect_err("the byte is noticed");
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::StateMismatch), "byte {at}: {error}");
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(readable().expect_err("it is cut off").kind(), ErrorKind::Corrupt, "length {length}");
    }
}

#[test]
fn its_files_belong_to_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=1);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&spool.folder), mode(&spool.path(1))), (0o700, 0o600));
}

#[test]
fn the_tables_are_those_as_of_each_checkpoint() {
    let folder = TempDir::new().unwrap();
    let spool = filled(&folder, 1..=2);
    spool.seal(&checkpoint(3), Some(&[schema(1), schema(2)])).unwrap();
    spool.seal(&checkpoint(4), None).unwrap();
    let versions = |spool: &FileSpool, at| {
        spool.tables(at).map(|tables| tables.iter().map(|table| table.version).collect::<Vec<u64>>())
    };
    for (at, wanted) in [(0, vec![0]), (2, vec![0]), (3, vec![1, 2]), (9, vec![1, 2])] {
        assert_eq!(versions(&spool, at).unwrap(), wanted, "at {at}");
    }
    assert_eq!(spool.tables(3).unwrap()[0], schema(1));
    spool.forget(3).unwrap();
    assert_eq!(versions(&spool, 2).unwrap_err().kind(), ErrorKind::StateMismatch);
    assert_eq!(versions(&spool, 3).unwrap(), [1, 2]);

    // A start behind an earlier checkpoint forgets what came later.
    let spool = FileSpool::open(folder.path()).unwrap();
    spool.start((2, Some(&checkpoint(2).source)), &[schema(7)]).unwrap();
    assert_eq!(versions(&spool, 5).unwrap(), [7]);
}
