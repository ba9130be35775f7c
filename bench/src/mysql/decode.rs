//! Decode only: binlog files into Arrow batches with the source's own event parser and row decoder,
//! on one thread, without a network, a reader or an engine.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use culvert_api::{RowKindSet, TableId, TableSchema};
use culvert_source_mysql::column::{Conversion, MySqlColumn};
use culvert_source_mysql::decode::{FinishedRows, RowDecoder, RowsBuilder};
use culvert_source_mysql::event::{
    self, ChecksumAlgorithm, Event, EventHeader, FormatDescription, HEADER_LENGTH, ParseContext, RawEvent,
};
use culvert_source_mysql::wire::Cursor;

use crate::statements::{DATABASE, TABLE};
use crate::task::{ColumnText, Outcome};

/// The bounds of the source's batches.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 << 20;
/// Bytes read from a file at once.
const READ_BYTES: usize = 1 << 20;
/// Every binlog file begins with these bytes.
const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];

struct Decoder {
    columns: Vec<MySqlColumn>,
    context: ParseContext,
    checksum: ChecksumAlgorithm,
    verify: bool,
    rows: RowsBuilder,
    decoder: Option<RowDecoder>,
    /// The number of the table whose rows are decoded.
    table: Option<u64>,
    transaction: u32,
    event: u32,
    outcome: Outcome,
}

/// Decodes every row of the backlog's table.
pub(crate) fn run(files: &[PathBuf], columns: &[ColumnText], verify: bool) -> Result<Outcome> {
    let conversion = Conversion::default();
    let column = |text: &ColumnText| {
        MySqlColumn::new(text.name.clone(), text.column_type.clone(), false, text.charset.as_deref())
    };
    let columns = columns.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let schema = TableSchema::new(
        TableId::new(DATABASE, TABLE),
        0,
        columns.iter().map(|column| column.to_column(&conversion)).collect(),
        vec!["id".to_owned()],
        RowKindSet::ALL,
    );
    let mut decoder = Decoder {
        rows: RowsBuilder::new(&schema, &columns, &conversion)?,
        columns,
        context: ParseContext {
            format: FormatDescription::assumed(),
            expanded_bytes_max: conversion.expanded_bytes_max,
        },
        checksum: ChecksumAlgorithm::None,
        verify,
        decoder: None,
        table: None,
        transaction: 0,
        event: 0,
        outcome: Outcome::default(),
    };
    for file in files {
        decoder.file(file).with_context(|| format!("decoding {}", file.display()))?;
    }
    decoder.finish()?;
    Ok(decoder.outcome)
}

impl Decoder {
    fn file(&mut self, path: &Path) -> Result<()> {
        let mut file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        ensure!(magic == MAGIC, "no binlog file");
        let mut whole = Vec::new();
        while next_event(&mut file, &mut whole)? {
            if self.verify && self.checksum == ChecksumAlgorithm::Crc32 {
                ensure!(event::verify_checksum(&whole), "an event fails its checksum");
            }
            let raw = event::split(&whole, self.checksum)?;
            self.take_in(&raw)?;
        }
        Ok(())
    }

    fn take_in(&mut self, raw: &RawEvent<'_>) -> Result<()> {
        match event::parse(raw.header.event_type, raw.header.flags, raw.body, &self.context)? {
            Event::FormatDescription(format) => {
                self.checksum = raw.checksum.unwrap_or(ChecksumAlgorithm::None);
                self.context.format = format;
            }
            Event::MySqlGtid(_) | Event::MariaDbGtid(_) => {
                self.transaction += 1;
                self.event = 0;
            }
            Event::TableMap(map) if map.schema == DATABASE && map.table == TABLE => {
                self.table = Some(map.table_id);
                if !self.decoder.as_ref().is_some_and(|decoder| decoder.matches(&map)) {
                    let limit = self.context.expanded_bytes_max;
                    self.decoder = Some(RowDecoder::new(&self.columns, &map, limit)?);
                }
            }
            Event::TableMap(_) => self.table = None,
            Event::Rows(rows) if self.table == Some(rows.table_id) => {
                let Some(decoder) = &self.decoder else { bail!("rows without a table map") };
                decoder.decode(&rows, &mut self.rows, self.transaction, self.event)?;
                self.event += 1;
                if self.rows.len() >= BATCH_ROWS || self.rows.bytes() >= BATCH_BYTES {
                    self.finish()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let FinishedRows { rows, kinds, .. } = self.rows.finish()?;
        ensure!(rows.num_rows() == kinds.len(), "rows and kinds differ");
        self.outcome.count(&kinds);
        self.transaction = 0;
        Ok(())
    }
}

/// Reads one whole event; false at the end of the file.
fn next_event(file: &mut impl Read, whole: &mut Vec<u8>) -> Result<bool> {
    whole.resize(HEADER_LENGTH, 0);
    match file.read_exact(whole) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    let header = EventHeader::parse(&mut Cursor::new(whole))?;
    let size = usize::try_from(header.event_size)?;
    ensure!(size >= HEADER_LENGTH, "an event is shorter than its header");
    whole.resize(size, 0);
    file.read_exact(whole.get_mut(HEADER_LENGTH..).unwrap_or_default())?;
    Ok(true)
}
