//! What the source stores in a checkpoint. Versioned by its first byte; `testdata` holds what each
//! version wrote, and every version still reads.

use culvert_api::{Error, ErrorKind, Result, TableId};
use culvert_snapshot::{RangeSet, TablePlan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ddl::TableDef;
use crate::key::KeyBound;
use crate::position::{BinlogPosition, StreamPosition};

/// The version this code writes.
const VERSION: u8 = 1;

/// The enumerator's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnumeratorState {
    pub(crate) start: StreamPosition,
    pub(crate) tables: Vec<(TableId, TablePlan<KeyBound>)>,
}

/// The reader's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReaderState {
    pub(crate) position: StreamPosition,
    /// `stop.mode`'s place, fixed at the first start.
    pub(crate) stop_at: Option<BinlogPosition>,
    pub(crate) tables: Vec<TableState>,
    /// Definitions of tables of the same databases that are not captured.
    pub(crate) others: Vec<TableDef>,
    /// Default character sets of databases.
    pub(crate) charsets: std::collections::BTreeMap<String, String>,
}

/// One captured table as of the position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableState {
    /// The shape rows are decoded with.
    pub(crate) def: TableDef,
    /// The shape rows leave with, where changes of shape are not followed.
    pub(crate) output: Option<TableDef>,
    pub(crate) version: u64,
    /// Key ranges that left the source.
    pub(crate) done: RangeSet<KeyBound>,
    /// The definition was read at this place; statements before it are already in it.
    pub(crate) known_from: Option<BinlogPosition>,
}

impl TableState {
    pub(crate) fn id(&self) -> TableId {
        TableId::new(&self.def.database, &self.def.table)
    }
}

/// The body of the split that stands for the stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StreamSplit {
    /// What the last checkpoint has.
    pub(crate) state: ReaderState,
    /// Tables that the job names and the checkpoint does not have. The sinks are told of each.
    pub(crate) joining: Vec<TableState>,
}

/// The body of a split that stands for a chunk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ChunkSplit {
    pub(crate) table: TableId,
    pub(crate) number: u64,
    pub(crate) range: culvert_snapshot::KeyRange<KeyBound>,
}

impl ChunkSplit {
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.table, self.number)
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value)
        .map_err(|error| Error::new(ErrorKind::Internal, "state that cannot be stored").caused_by(error))?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match bytes.split_first() {
        Some((&VERSION, body)) => serde_json::from_slice(body).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "stored source state is damaged").caused_by(error)
        }),
        Some((version, _)) => Err(Error::new(
            ErrorKind::StateMismatch,
            format!("stored source state has version {version}, this program knows {VERSION}"),
        )
        .hint("use the program version that wrote it, or a newer one")),
        None => Err(Error::new(ErrorKind::Corrupt, "stored source state is empty")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use culvert_snapshot::KeyRange;

    use super::*;
    use crate::ddl::ColumnDef;
    use crate::decode::KeyValue;

    fn key(number: i128) -> KeyBound {
        KeyBound::for_comparison(vec![KeyValue::Int(number), KeyValue::Bytes(vec![0, 255])])
    }

    fn column(name: &str, column_type: &str, charset: Option<&str>) -> ColumnDef {
        ColumnDef {
            name: name.into(),
            column_type: column_type.into(),
            charset: charset.map(str::to_owned),
            collation: charset.map(|charset| format!("{charset}_general_ci")),
            nullable: charset.is_some(),
            generated: false,
        }
    }

    fn reader() -> ReaderState {
        let def = TableDef {
            database: "shop".into(),
            table: "item".into(),
            columns: vec![
                column("id", "bigint(20) unsigned", None),
                column("näme", "varchar(50)", Some("utf8mb4")),
            ],
            primary_key: vec!["id".into()],
            default_charset: Some("utf8mb4".into()),
            ..TableDef::default()
        };
        let mut done = RangeSet::default();
        done.insert(KeyRange { after: None, up_to: Some(key(-7)) });
        done.insert(KeyRange { after: Some(key(10)), up_to: None });
        let gtid = "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7,3e11fa47-71ca-11e1-9e33-c80aa9429562:etl:1-2";
        ReaderState {
            position: StreamPosition {
                binlog: BinlogPosition::new("binlog.000042", 1234),
                gtid: Some(crate::gtid::GtidPosition::MySql(gtid.parse().unwrap())),
                server: "101".into(),
            },
            stop_at: Some(BinlogPosition::new("binlog.000043", 4)),
            tables: vec![TableState { output: Some(def.clone()), def, version: 3, done, known_from: None }],
            others: Vec::new(),
            charsets: [("shop".to_owned(), "utf8mb4".to_owned())].into(),
        }
    }

    fn enumerator() -> EnumeratorState {
        let mut plan = TablePlan::new();
        plan.add_bound(Some(key(5)));
        plan.add_bound(None);
        plan.take();
        EnumeratorState { start: reader().position, tables: vec![(TableId::new("shop", "item"), plan)] }
    }

    /// Compares with the file, or writes it when asked to (`CULVERT_BLESS=1`), for a new version.
    fn golden(name: &str, bytes: &[u8]) -> Vec<u8> {
        let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("CULVERT_BLESS").is_some() {
            std::fs::write(&path, bytes).unwrap();
        }
        std::fs::read(&path).unwrap()
    }

    #[test]
    fn the_first_version_reads_and_writes_as_ever() {
        let stored = golden("reader-v1.bin", &encode(&reader()).unwrap());
        assert_eq!(decode::<ReaderState>(&stored).unwrap(), reader());
        assert_eq!(encode(&reader()).unwrap(), stored);
        let stored = golden("enumerator-v1.bin", &encode(&enumerator()).unwrap());
        assert_eq!(decode::<EnumeratorState>(&stored).unwrap(), enumerator());
        assert_eq!(encode(&enumerator()).unwrap(), stored);
    }

    #[test]
    fn another_version_and_damage_are_told_apart() {
        let mut bytes = encode(&reader()).unwrap();
        bytes[0] = 9;
        assert_eq!(decode::<ReaderState>(&bytes).unwrap_err().kind(), ErrorKind::StateMismatch);
        assert_eq!(decode::<ReaderState>(&[]).unwrap_err().kind(), ErrorKind::Corrupt);
        bytes[0] = VERSION;
        bytes.truncate(bytes.len() / 2);
        assert_eq!(decode::<ReaderState>(&bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
