//! The journal of a checkpoint: everything that is needed to commit it, as one file.
//!
//! It is written when the checkpoint is prepared and counts for nothing until the sink's commit table names it. From
//! then on the checkpoint holds, and whoever opens the sink next gives each table the files that it lacks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use culvert_api::{CommitMarker, Error, ErrorKind, Result, SourceState};
use iceberg::spec::{
    DataFile, FormatVersion, TableMetadata, deserialize_data_file_from_json, serialize_data_file_to_json,
};
use iceberg::{NamespaceIdent, TableIdent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::failed;
use crate::snapshot::Wave;

/// The form of the file.
const VERSION: u32 = 1;

/// A checkpoint of one writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Journal {
    version: u32,
    pub(crate) job: String,
    pub(crate) sink: String,
    pub(crate) writer: u32,
    /// Another one for every start from scratch: numbers of checkpoints begin anew with it.
    pub(crate) run: String,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: u64,
    /// When it was prepared, in milliseconds since 1970.
    pub(crate) prepared_ms: i64,
    pub(crate) rows: u64,
    source: Option<Source>,
    pub(crate) tables: Vec<TableFiles>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    enumerator: String,
    reader: String,
}

/// The files of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableFiles {
    namespace: Vec<String>,
    table: String,
    /// Which table of that name: one that was dropped and made anew is another.
    pub(crate) uuid: Uuid,
    pub(crate) spec_id: i32,
    pub(crate) schema_id: i32,
    waves: Vec<Texts>,
}

/// Files of a wave, as the library writes them down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Texts {
    data: Vec<String>,
    deletes: Vec<String>,
}

impl Journal {
    /// That of a marker, without files yet.
    pub(crate) fn of(marker: &CommitMarker, run: &str, rows: u64) -> Journal {
        let source = marker.source.as_ref().map(|source| Source {
            enumerator: STANDARD.encode(&source.enumerator),
            reader: STANDARD.encode(&source.reader),
        });
        Journal {
            version: VERSION,
            job: marker.job.clone(),
            sink: marker.sink.clone(),
            writer: marker.writer,
            run: run.to_owned(),
            epoch: marker.epoch,
            checkpoint: marker.checkpoint,
            prepared_ms: crate::snapshot::now_ms(),
            rows,
            source,
            tables: Vec::new(),
        }
    }

    /// The marker it holds.
    pub(crate) fn marker(&self) -> Result<CommitMarker> {
        let bytes = |text: &str| STANDARD.decode(text).map_err(|cause| damaged().caused_by(cause));
        let source = self.source.as_ref().map(|source| {
            Ok::<_, Error>(SourceState {
                enumerator: bytes(&source.enumerator)?,
                reader: bytes(&source.reader)?,
            })
        });
        Ok(CommitMarker {
            job: self.job.clone(),
            sink: self.sink.clone(),
            writer: self.writer,
            epoch: self.epoch,
            checkpoint: self.checkpoint,
            source: source.transpose()?,
        })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|cause| Error::new(ErrorKind::Internal, "a journal was not written").caused_by(cause))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Journal> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned =
            serde_json::from_slice(bytes).map_err(|cause| damaged().caused_by(cause))?;
        if versioned.version != VERSION {
            let what = format!("the journal has the format {}, which is not known", versioned.version);
            return Err(
                Error::new(ErrorKind::Unsupported, what).hint("run the version of culvert that wrote it")
            );
        }
        serde_json::from_slice(bytes).map_err(|cause| damaged().caused_by(cause))
    }
}

impl TableFiles {
    /// Writes down the waves of a table.
    pub(crate) fn new(
        ident: &TableIdent,
        metadata: &TableMetadata,
        spec_id: i32,
        waves: Vec<Wave>,
    ) -> Result<TableFiles> {
        let schema = metadata.current_schema();
        let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| unknown_spec(ident))?;
        let writing = failed("a file was not written down");
        let partition_type = spec.partition_type(schema).map_err(writing)?;
        let texts = |files: Vec<DataFile>| {
            let text =
                |file| serialize_data_file_to_json(file, &partition_type, FormatVersion::V2).map_err(writing);
            files.into_iter().map(text).collect::<Result<Vec<String>>>()
        };
        let waves = waves
            .into_iter()
            .map(|wave| Ok(Texts { data: texts(wave.data)?, deletes: texts(wave.deletes)? }))
            .collect::<Result<Vec<Texts>>>()?;
        Ok(TableFiles {
            namespace: ident.namespace().as_ref().clone(),
            table: ident.name().to_owned(),
            uuid: metadata.uuid(),
            spec_id,
            schema_id: schema.schema_id(),
            waves,
        })
    }

    pub(crate) fn ident(&self) -> Result<TableIdent> {
        let namespace =
            NamespaceIdent::from_vec(self.namespace.clone()).map_err(failed("a namespace has no name"))?;
        Ok(TableIdent::new(namespace, self.table.clone()))
    }

    /// The waves again.
    pub(crate) fn waves(&self, metadata: &TableMetadata) -> Result<Vec<Wave>> {
        let ident = self.ident()?;
        let schema = metadata.schema_by_id(self.schema_id).unwrap_or(metadata.current_schema());
        let spec = metadata.partition_spec_by_id(self.spec_id).ok_or_else(|| unknown_spec(&ident))?;
        let reading = failed("a file of a journal was not understood");
        let partition_type = spec.partition_type(schema).map_err(reading)?;
        let files = |texts: &[String]| {
            let file = |text: &String| {
                deserialize_data_file_from_json(text, self.spec_id, &partition_type, schema).map_err(reading)
            };
            texts.iter().map(file).collect::<Result<Vec<DataFile>>>()
        };
        let wave = |texts: &Texts| Ok(Wave { data: files(&texts.data)?, deletes: files(&texts.deletes)? });
        self.waves.iter().map(wave).collect()
    }
}

fn unknown_spec(ident: &TableIdent) -> Error {
    Error::new(ErrorKind::Schema, "a partition spec is gone from the table").context("table", ident)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "the journal of the sink Iceberg is damaged").hint(
        "restore it from a backup; with --fresh the job starts over, and adds its rows to what is there",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The first version, as it was written. It is read for good.
    const GOLDEN: &str = "{\"version\":1,\"job\":\"j\",\"sink\":\"s\",\"writer\":2,\"run\":\"r\",\"epoch\":3,\"checkpoint\":7,\
        \"prepared_ms\":1,\"rows\":5,\"source\":{\"enumerator\":\"YWI=\",\"reader\":\"\"},\"tables\":[]}";

    #[test]
    fn the_stored_form_stays() {
        let marker = CommitMarker {
            job: "j".to_owned(),
            sink: "s".to_owned(),
            writer: 2,
            epoch: 3,
            checkpoint: 7,
            source: Some(SourceState { enumerator: b"ab".to_vec(), reader: Vec::new() }),
        };
        let journal = Journal { prepared_ms: 1, ..Journal::of(&marker, "r", 5) };
        assert_eq!(String::from_utf8(journal.encode().unwrap()).unwrap(), GOLDEN);
        assert_eq!(Journal::decode(GOLDEN.as_bytes()).unwrap(), journal);
        assert_eq!(journal.marker().unwrap(), marker);
    }

    #[test]
    fn damage_and_the_future_are_errors() {
        assert_eq!(Journal::decode(&GOLDEN.as_bytes()[..40]).unwrap_err().kind(), ErrorKind::Corrupt);
        let later = GOLDEN.replace("\"version\":1", "\"version\":2");
        assert_eq!(Journal::decode(later.as_bytes()).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
