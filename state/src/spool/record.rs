//! The bytes of a segment's records.
//!
//! ```text
//! byte 0      kind
//! bytes 1-4   length of the body, u32 little-endian
//! bytes 5-8   CRC-32 of kind, length and body, little-endian
//! bytes 9-    body
//! ```
//!
//! | kind | body |
//! |---|---|
//! | 0 head | JSON: version, the checkpoint it begins behind, size and CRC-32 of that one's source state |
//! | 1 schema | u32 length, JSON of everything but the types, an Arrow IPC stream without rows for the types. Numbered from 0 |
//! | 2 batch | u32 length, JSON `{"schema", "rows", "transactions", "unavailable"}`; a byte per row for its kind; three u32 per row for its position; per column with values left out a bit per row; an Arrow IPC stream of one batch |
//! | 3 change of shape | JSON `{"before", "after", "statement"}`, the first two numbers of schemas |
//! | 4 seal | the checkpoint, as `format` has it |
//! | 5 end | u64: where the seal is |

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::{BooleanBuffer, Buffer};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Schema, SchemaRef};
use culvert_api::{
    ChangeBatch, Column, Dialect, Error, ErrorKind, Result, RowKind, RowKindSet, RowPosition, SchemaChange,
    SourceType, TableId, TableSchema, Transaction, Unavailable,
};
use serde::{Deserialize, Serialize};

pub(super) const HEAD: u8 = 0;
pub(super) const SCHEMA: u8 = 1;
pub(super) const BATCH: u8 = 2;
pub(super) const CHANGE: u8 = 3;
pub(super) const SEAL: u8 = 4;
pub(super) const END: u8 = 5;

const FRAME_BYTES: usize = 9;
/// Bytes of the record at a segment's end.
pub(super) const END_BYTES: u64 = FRAME_BYTES as u64 + 8;
/// Bytes of a row's position.
const POSITION_BYTES: usize = 12;

/// One record.
pub(super) struct Record {
    pub(super) kind: u8,
    pub(super) body: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct StoredSchema {
    id: TableId,
    #[serde(default, skip_serializing_if = "is_first")]
    source: u32,
    version: u64,
    primary_key: Vec<String>,
    kinds: u8,
    /// Per column, whose dialect its declaration is in (`m`, `p`), and the declaration.
    declared: Vec<Option<(char, String)>>,
}

/// The first source's tables are written as they were before jobs had several.
fn is_first(source: &u32) -> bool {
    *source == 0
}

#[derive(Serialize, Deserialize)]
struct StoredBatch {
    schema: u32,
    rows: usize,
    transactions: Vec<Transaction>,
    unavailable: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
struct StoredChange {
    before: Option<u32>,
    after: Option<u32>,
    statement: String,
}

/// What stands before a body.
pub(super) fn frame(kind: u8, body: &[u8]) -> Result<[u8; FRAME_BYTES]> {
    let length = u32::try_from(body.len())
        .map_err(|_| Error::new(ErrorKind::Unsupported, "a batch of more than 4 GiB cannot be spooled"))?;
    let mut head = [0; FRAME_BYTES];
    head[0] = kind;
    head[1..5].copy_from_slice(&length.to_le_bytes());
    let crc = checksum(&head[..5], body);
    head[5..].copy_from_slice(&crc.to_le_bytes());
    Ok(head)
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(body);
    crc.finalize()
}

/// Reads the next record.
pub(super) fn read(file: &mut impl Read) -> Result<Record> {
    let mut head = [0u8; FRAME_BYTES];
    file.read_exact(&mut head).map_err(unreadable)?;
    let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    let mut body = Vec::new();
    // A damaged length asks for no more than the file has.
    let taken = file.by_ref().take(u64::from(length)).read_to_end(&mut body).map_err(unreadable)?;
    if taken as u64 != u64::from(length)
        || checksum(&head[..5], &body) != u32::from_le_bytes([c0, c1, c2, c3])
    {
        return Err(damaged("a record's checksum does not fit"));
    }
    Ok(Record { kind, body })
}

pub(super) fn seek(file: &mut impl Seek, to: u64) -> Result<()> {
    file.seek(SeekFrom::Start(to)).map(|_| ()).map_err(unreadable)
}

pub(super) fn encode_schema(schema: &TableSchema) -> Result<Vec<u8>> {
    let declared = schema.columns.iter().map(|column| {
        column.source_type.as_ref().map(|declared| {
            let dialect = match declared.dialect {
                Dialect::MySql => 'm',
                Dialect::Postgres => 'p',
            };
            (dialect, declared.declaration.clone())
        })
    });
    let stored = StoredSchema {
        id: schema.id.clone(),
        source: schema.source,
        version: schema.version,
        primary_key: schema.primary_key.clone(),
        kinds: schema.kinds.bits(),
        declared: declared.collect(),
    };
    let mut body = with_length(&stored)?;
    stream(&mut body, &schema.arrow, None)?;
    Ok(body)
}

pub(super) fn decode_schema(body: &[u8]) -> Result<TableSchema> {
    let (stored, rest): (StoredSchema, _) = split_length(body)?;
    let arrow = StreamReader::try_new(Cursor::new(rest), None).map_err(not_arrow)?.schema();
    if arrow.fields().len() != stored.declared.len() {
        return Err(damaged("a schema's columns differ in number"));
    }
    let columns = arrow.fields().iter().zip(stored.declared).map(|(field, declared)| Column {
        name: field.name().clone(),
        data_type: field.data_type().clone(),
        nullable: field.is_nullable(),
        source_type: declared.map(|(dialect, declaration)| match dialect {
            'm' => SourceType::mysql(declaration),
            _ => SourceType::postgres(declaration),
        }),
    });
    let kinds = RowKindSet::from_bits(stored.kinds);
    let schema = TableSchema::new(stored.id, stored.version, columns.collect(), stored.primary_key, kinds);
    Ok(TableSchema { source: stored.source, ..schema })
}

pub(super) fn encode_batch(batch: &ChangeBatch, schema: u32) -> Result<Vec<u8>> {
    let stored = StoredBatch {
        schema,
        rows: batch.len(),
        transactions: batch.transactions.iter().map(|transaction| Transaction::clone(transaction)).collect(),
        unavailable: batch.unavailable.iter().map(|left_out| left_out.column).collect(),
    };
    let mut body = with_length(&stored)?;
    body.reserve(batch.memory_bytes());
    body.extend(batch.kinds.iter().map(|kind| *kind as u8));
    for position in &batch.positions {
        for number in [position.transaction, position.event, position.row] {
            body.extend(number.to_le_bytes());
        }
    }
    for left_out in &batch.unavailable {
        let mut bits = vec![0u8; batch.len().div_ceil(8)];
        for row in left_out.rows.set_indices() {
            if let Some(byte) = bits.get_mut(row / 8) {
                *byte |= 1 << (row % 8);
            }
        }
        body.extend(bits);
    }
    stream(&mut body, batch.rows.schema_ref(), Some(&batch.rows))?;
    Ok(body)
}

pub(super) fn decode_batch(
    body: &[u8],
    schema: impl FnOnce(u32) -> Result<Arc<TableSchema>>,
) -> Result<ChangeBatch> {
    let (stored, rest): (StoredBatch, _) = split_length(body)?;
    let rows = stored.rows;
    let (kinds, rest) = cut(rest, rows)?;
    let (positions, rest) = cut(rest, rows.saturating_mul(POSITION_BYTES))?;
    let mut rest = rest;
    let mut unavailable = Vec::with_capacity(stored.unavailable.len());
    for column in stored.unavailable {
        let (bits, behind) = cut(rest, rows.div_ceil(8))?;
        rest = behind;
        unavailable.push(Unavailable { column, rows: BooleanBuffer::new(Buffer::from(bits), 0, rows) });
    }
    let kinds: Option<Vec<RowKind>> = kinds.iter().map(|code| RowKind::from_code(*code)).collect();
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
    let positions = positions.chunks_exact(POSITION_BYTES).map(|bytes| RowPosition {
        transaction: number(&bytes[..4]),
        event: number(&bytes[4..8]),
        row: number(&bytes[8..]),
    });
    let mut batches = StreamReader::try_new(Cursor::new(rest), None).map_err(not_arrow)?;
    let values = match batches.next() {
        Some(values) => values.map_err(not_arrow)?,
        None => return Err(damaged("a batch has no rows")),
    };
    let schema = schema(stored.schema)?;
    let columns = values.columns().to_vec();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(values.num_rows()));
    let values =
        RecordBatch::try_new_with_options(Arc::clone(&schema.arrow), columns, &options).map_err(not_arrow)?;
    if values.num_rows() != rows {
        return Err(damaged("a batch's rows differ in number"));
    }
    Ok(ChangeBatch {
        schema,
        rows: values,
        kinds: kinds.ok_or_else(|| damaged("a row of an unknown kind"))?,
        positions: positions.collect(),
        transactions: stored.transactions.into_iter().map(Arc::new).collect(),
        unavailable,
    })
}

pub(super) fn encode_change(before: Option<u32>, after: Option<u32>, statement: &str) -> Result<Vec<u8>> {
    let stored = StoredChange { before, after, statement: statement.to_owned() };
    serde_json::to_vec(&stored).map_err(|error| unwritable("change of shape", error))
}

pub(super) fn decode_change(
    body: &[u8],
    schema: impl Fn(u32) -> Result<Arc<TableSchema>>,
) -> Result<SchemaChange> {
    let stored: StoredChange = serde_json::from_slice(body)
        .map_err(|error| damaged("a change of shape does not read").caused_by(error))?;
    Ok(SchemaChange {
        before: stored.before.map(&schema).transpose()?,
        after: stored.after.map(&schema).transpose()?,
        statement: stored.statement,
    })
}

/// Something of this segment does not follow the format.
pub(super) fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, what)
}

/// What cannot be written as JSON: a broken invariant of ours.
pub(super) fn unwritable(what: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("a {what} cannot be spooled")).caused_by(error)
}

fn unreadable(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => damaged("it is cut off"),
        _ => Error::new(ErrorKind::Unavailable, "reading failed").caused_by(error),
    }
}

fn not_arrow(error: arrow_schema::ArrowError) -> Error {
    damaged("its columns do not read").caused_by(error)
}

/// An Arrow IPC stream of the schema and at most one batch.
fn stream(body: &mut Vec<u8>, schema: &SchemaRef, rows: Option<&RecordBatch>) -> Result<()> {
    let plain: &Schema = schema;
    let written = StreamWriter::try_new(body, plain).and_then(|mut writer| {
        if let Some(rows) = rows {
            writer.write(rows)?;
        }
        writer.finish()
    });
    written.map_err(|error| Error::new(ErrorKind::Internal, "a batch cannot be spooled").caused_by(error))
}

fn with_length(head: &impl Serialize) -> Result<Vec<u8>> {
    let head = serde_json::to_vec(head).map_err(|error| unwritable("record", error))?;
    let length = u32::try_from(head.len()).map_err(|_| {
        Error::new(ErrorKind::Unsupported, "a record's head of more than 4 GiB cannot be spooled")
    })?;
    let mut body = length.to_le_bytes().to_vec();
    body.extend(head);
    Ok(body)
}

fn split_length<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, &'a [u8])> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or_else(|| damaged("a record is too short"))?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| damaged("a record is too long"))?;
    let (head, rest) = cut(rest, length)?;
    let head =
        serde_json::from_slice(head).map_err(|error| damaged("a record does not read").caused_by(error))?;
    Ok((head, rest))
}

fn cut(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8])> {
    bytes.split_at_checked(at).ok_or_else(|| damaged("a record is too short"))
}
