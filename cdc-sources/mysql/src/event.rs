//! Events of the binary log: the header, what kind an event is, and its parts.
//!
//! The parsers work on the body: the bytes after the 19-byte header, without the checksum (and,
//! for the format description, without the algorithm byte before it). [`split`] cuts a whole
//! event that way. They borrow from the event and allocate only where a value has no other form.
//!
//! Formats: MySQL internals manual, "Binlog Event" (`page_protocol_replication_binlog_event`) and
//! the namespace `mysql::binlog::event`; MariaDB knowledge base, "Replication Protocol", one page
//! per event.

mod control;
mod gtid;
mod mariadb;
mod payload;
mod rows;
mod table_map;
#[cfg(test)]
pub(crate) mod tests;

use culvert_api::{Error, ErrorKind, Result};

pub use control::{ChecksumAlgorithm, FormatDescription, Heartbeat, Incident, Query, Rotate, XaPrepare};
pub use gtid::MySqlGtidEvent;
pub use mariadb::{MariaDbGtidEvent, decompress};
pub use payload::{Compression, PayloadEvents, TransactionPayload};
pub use rows::{RowsData, RowsEvent, RowsKind};
pub use table_map::{ColumnMeta, TableMap, TableMetadata};

use crate::gtid::MariaDbGtid;
use crate::wire::{Cursor, WireResult};

/// Length of the header every event begins with.
pub const HEADER_LENGTH: usize = 19;

/// Length of the CRC32 every event ends with when checksums are on.
pub const CHECKSUM_LENGTH: usize = 4;

/// Header flag: whoever does not know the event may skip it (`LOG_EVENT_IGNORABLE_F`).
pub const FLAG_IGNORABLE: u16 = 0x80;

/// Header flag: the event was made up by the server for this connection and is in no file
/// (`LOG_EVENT_ARTIFICIAL_F`).
pub const FLAG_ARTIFICIAL: u16 = 0x20;

/// The type bytes of events. Names as in the servers' sources, without `_EVENT`.
pub mod kind {
    #![allow(missing_docs)]
    pub const QUERY: u8 = 2;
    pub const STOP: u8 = 3;
    pub const ROTATE: u8 = 4;
    pub const INTVAR: u8 = 5;
    pub const RAND: u8 = 13;
    pub const USER_VAR: u8 = 14;
    pub const FORMAT_DESCRIPTION: u8 = 15;
    pub const XID: u8 = 16;
    pub const TABLE_MAP: u8 = 19;
    pub const PRE_GA_WRITE_ROWS: u8 = 20;
    pub const PRE_GA_UPDATE_ROWS: u8 = 21;
    pub const PRE_GA_DELETE_ROWS: u8 = 22;
    pub const WRITE_ROWS_V1: u8 = 23;
    pub const UPDATE_ROWS_V1: u8 = 24;
    pub const DELETE_ROWS_V1: u8 = 25;
    pub const INCIDENT: u8 = 26;
    pub const HEARTBEAT: u8 = 27;
    pub const IGNORABLE: u8 = 28;
    pub const ROWS_QUERY: u8 = 29;
    pub const WRITE_ROWS: u8 = 30;
    pub const UPDATE_ROWS: u8 = 31;
    pub const DELETE_ROWS: u8 = 32;
    pub const GTID: u8 = 33;
    pub const ANONYMOUS_GTID: u8 = 34;
    pub const PREVIOUS_GTIDS: u8 = 35;
    pub const TRANSACTION_CONTEXT: u8 = 36;
    pub const VIEW_CHANGE: u8 = 37;
    pub const XA_PREPARE: u8 = 38;
    pub const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub const TRANSACTION_PAYLOAD: u8 = 40;
    pub const HEARTBEAT_V2: u8 = 41;
    pub const GTID_TAGGED: u8 = 42;
    pub const MARIADB_ANNOTATE_ROWS: u8 = 160;
    pub const MARIADB_BINLOG_CHECKPOINT: u8 = 161;
    pub const MARIADB_GTID: u8 = 162;
    pub const MARIADB_GTID_LIST: u8 = 163;
    pub const MARIADB_START_ENCRYPTION: u8 = 164;
    pub const MARIADB_QUERY_COMPRESSED: u8 = 165;
    pub const MARIADB_WRITE_ROWS_COMPRESSED_V1: u8 = 166;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED_V1: u8 = 167;
    pub const MARIADB_DELETE_ROWS_COMPRESSED_V1: u8 = 168;
    pub const MARIADB_WRITE_ROWS_COMPRESSED: u8 = 169;
    pub const MARIADB_UPDATE_ROWS_COMPRESSED: u8 = 170;
    pub const MARIADB_DELETE_ROWS_COMPRESSED: u8 = 171;
    pub const MARIADB_PARTIAL_ROW_DATA: u8 = 172;
}

/// The header of an event. Manual: "Binlog Event Header" (`sect_protocol_replication_binlog_event_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventHeader {
    /// Seconds since 1970 UTC, from the clock of the server that ran the statement. 0 in events
    /// made up for the connection.
    pub timestamp: u32,
    /// See [`kind`].
    pub event_type: u8,
    /// The server that ran the statement.
    pub server_id: u32,
    /// Bytes of the whole event, header and checksum included.
    pub event_size: u32,
    /// Offset of the next event in the file, modulo 2^32. 0 inside a compressed payload and in
    /// newer MariaDB servers' events inside a transaction: no position then.
    pub log_pos: u32,
    /// `FLAG_*`.
    pub flags: u16,
}

impl EventHeader {
    /// Reads the 19 bytes.
    pub fn parse(cursor: &mut Cursor<'_>) -> WireResult<EventHeader> {
        Ok(EventHeader {
            timestamp: cursor.u32("event timestamp")?,
            event_type: cursor.u8("event type")?,
            server_id: cursor.u32("event server id")?,
            event_size: cursor.u32("event size")?,
            log_pos: cursor.u32("event position")?,
            flags: cursor.u16("event flags")?,
        })
    }

    /// Whether the server made the event up for this connection.
    pub fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }
}

/// A whole event, cut.
#[derive(Clone, Copy, Debug)]
pub struct RawEvent<'a> {
    /// The header.
    pub header: EventHeader,
    /// What [`parse`] takes.
    pub body: &'a [u8],
    /// Only for a format description: the algorithm of every event after it in this file.
    pub checksum: Option<ChecksumAlgorithm>,
}

/// Cuts a whole event. `checksum` is the algorithm of the last format description; a format
/// description itself always carries a CRC32 and its own algorithm byte.
pub fn split(whole: &[u8], checksum: ChecksumAlgorithm) -> Result<RawEvent<'_>> {
    let mut cursor = Cursor::new(whole);
    let header = EventHeader::parse(&mut cursor)?;
    if usize::try_from(header.event_size).ok() != Some(whole.len()) {
        return Err(cursor.error("event size").into());
    }
    let body = cursor.rest();
    if header.event_type == kind::FORMAT_DESCRIPTION && control::has_checksum_byte(body) {
        let (body, tail) = cut_tail(body, CHECKSUM_LENGTH + 1, &cursor)?;
        let algorithm = ChecksumAlgorithm::parse(&mut Cursor::new(tail))?;
        return Ok(RawEvent { header, body, checksum: Some(algorithm) });
    }
    match checksum {
        ChecksumAlgorithm::None => Ok(RawEvent { header, body, checksum: None }),
        ChecksumAlgorithm::Crc32 => {
            let (body, _) = cut_tail(body, CHECKSUM_LENGTH, &cursor)?;
            Ok(RawEvent { header, body, checksum: None })
        }
    }
}

fn cut_tail<'a>(body: &'a [u8], tail: usize, cursor: &Cursor<'_>) -> Result<(&'a [u8], &'a [u8])> {
    let cut = body.len().checked_sub(tail).and_then(|middle| body.split_at_checked(middle));
    cut.ok_or_else(|| cursor.error("event checksum").into())
}

/// Whether the CRC32 in the last four bytes of a whole event is that of the bytes before it.
///
/// The server computes a format description's checksum without the "in use" flag it sets in the
/// open file, so that flag is taken out again (manual: `Log_event_footer::event_checksum_test`).
pub fn verify_checksum(whole_event: &[u8]) -> bool {
    let Some((covered, stored)) = whole_event.split_last_chunk::<CHECKSUM_LENGTH>() else { return false };
    let Some((head, rest)) = covered.split_first_chunk::<HEADER_LENGTH>() else { return false };
    let mut head = *head;
    if head[4] == kind::FORMAT_DESCRIPTION {
        head[17] &= !1;
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head);
    hasher.update(rest);
    hasher.finalize() == u32::from_le_bytes(*stored)
}

/// What the parsers need to know from earlier in the stream.
#[derive(Clone, Debug)]
pub struct ParseContext {
    /// The last format description, or [`FormatDescription::assumed`] before the first.
    pub format: FormatDescription,
    /// The most bytes a compressed statement may expand to; more is an error.
    pub expanded_bytes_max: usize,
}

/// An event, parsed as far as its consumer needs to decide what to do with it.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The format of everything after it in this file.
    FormatDescription(FormatDescription),
    /// The log goes on in another file.
    Rotate(Rotate<'a>),
    /// A statement: DDL, BEGIN, COMMIT, or rows in statement format.
    Query(Query<'a>),
    /// The transaction is committed; the number is the storage engines' own.
    Xid(u64),
    /// An XA transaction was prepared (or committed in one phase).
    XaPrepare(XaPrepare<'a>),
    /// A transaction begins.
    MySqlGtid(MySqlGtidEvent),
    /// A transaction or a lone statement begins.
    MariaDbGtid(MariaDbGtidEvent),
    /// The last transaction of each domain before this file.
    MariaDbGtidList(Vec<MariaDbGtid>),
    /// The shape of a table for the row events after it.
    TableMap(TableMap<'a>),
    /// Rows.
    Rows(RowsEvent<'a>),
    /// Rows with JSON columns as edits (`binlog_row_value_options=PARTIAL_JSON`). Not decoded: an
    /// error for a captured table, to be skipped for any other.
    PartialUpdateRows {
        /// The table, as in its [`TableMap`].
        table_id: u64,
    },
    /// A whole transaction, compressed.
    TransactionPayload(TransactionPayload<'a>),
    /// The source is alive and has nothing new.
    Heartbeat(Heartbeat<'a>),
    /// Something happened that may have lost events.
    Incident(Incident<'a>),
    /// The server stopped.
    Stop,
    /// The statement behind the rows that follow.
    RowsQuery(&'a [u8]),
    /// The set of transactions before this file (not parsed).
    PreviousGtids,
    /// MariaDB's internal note for its crash recovery.
    BinlogCheckpoint,
    /// Everything after it in the file is encrypted. The server decrypts for replicas; in a
    /// stream it says nothing.
    StartEncryption,
    /// Unknown, and flagged by its writer as one that may be skipped.
    Ignorable(u8),
    /// A known event that says nothing about rows or positions: the random seeds, user variables
    /// and insert ids of statements, group replication's bookkeeping.
    Irrelevant(u8),
    /// Neither known nor flagged as skippable.
    Unknown(u8),
}

/// Parses the body of an event.
///
/// Errors: `Corrupt` when the bytes do not follow the format, `Unsupported` for row events in a
/// form this version does not know: skipping those would lose rows.
pub fn parse<'a>(event_type: u8, flags: u16, body: &'a [u8], context: &ParseContext) -> Result<Event<'a>> {
    let event = match event_type {
        kind::FORMAT_DESCRIPTION => Event::FormatDescription(FormatDescription::parse(body)?),
        kind::ROTATE => Event::Rotate(Rotate::parse(body)?),
        kind::QUERY => Event::Query(Query::parse(body)?),
        kind::MARIADB_QUERY_COMPRESSED => Event::Query(Query::parse_compressed(body, context)?),
        kind::XID => Event::Xid(Cursor::new(body).u64("transaction number")?),
        kind::XA_PREPARE => Event::XaPrepare(XaPrepare::parse(body)?),
        kind::GTID => Event::MySqlGtid(MySqlGtidEvent::parse(body, false)?),
        kind::ANONYMOUS_GTID => Event::MySqlGtid(MySqlGtidEvent::parse(body, true)?),
        kind::GTID_TAGGED => Event::MySqlGtid(MySqlGtidEvent::parse_tagged(body)?),
        kind::PREVIOUS_GTIDS => Event::PreviousGtids,
        kind::MARIADB_GTID => Event::MariaDbGtid(MariaDbGtidEvent::parse(body)?),
        kind::MARIADB_GTID_LIST => Event::MariaDbGtidList(mariadb::parse_gtid_list(body)?),
        kind::MARIADB_BINLOG_CHECKPOINT => Event::BinlogCheckpoint,
        kind::MARIADB_START_ENCRYPTION => Event::StartEncryption,
        kind::TABLE_MAP => Event::TableMap(TableMap::parse(body, &context.format)?),
        kind::TRANSACTION_PAYLOAD => Event::TransactionPayload(TransactionPayload::parse(body)?),
        kind::PARTIAL_UPDATE_ROWS => {
            Event::PartialUpdateRows { table_id: Cursor::new(body).u48("table number of partial rows")? }
        }
        kind::HEARTBEAT => Event::Heartbeat(Heartbeat::parse(body)?),
        kind::HEARTBEAT_V2 => Event::Heartbeat(Heartbeat::parse_v2(body)?),
        kind::INCIDENT => Event::Incident(Incident::parse(body)?),
        kind::STOP => Event::Stop,
        // One length byte comes first. It cannot hold the length of a long statement, so the
        // statement goes on to the end of the event.
        kind::ROWS_QUERY => Event::RowsQuery(body.split_first().map_or(body, |(_, text)| text)),
        kind::MARIADB_ANNOTATE_ROWS => Event::RowsQuery(body),
        kind::INTVAR | kind::RAND | kind::USER_VAR | kind::TRANSACTION_CONTEXT | kind::VIEW_CHANGE => {
            Event::Irrelevant(event_type)
        }
        kind::PRE_GA_WRITE_ROWS
        | kind::PRE_GA_UPDATE_ROWS
        | kind::PRE_GA_DELETE_ROWS
        | kind::MARIADB_PARTIAL_ROW_DATA => return Err(unknown_rows(event_type)),
        _ => match RowsEvent::parse(event_type, body, &context.format)? {
            Some(rows) => Event::Rows(rows),
            None if flags & FLAG_IGNORABLE != 0 || event_type == kind::IGNORABLE => {
                Event::Ignorable(event_type)
            }
            None => Event::Unknown(event_type),
        },
    };
    Ok(event)
}

fn unknown_rows(event_type: u8) -> Error {
    let message = format!("the binary log holds row events of type {event_type}, which are not supported");
    let error = Error::new(ErrorKind::Unsupported, message);
    if event_type == kind::MARIADB_PARTIAL_ROW_DATA {
        return error
            .hint("raise the server's slave_max_allowed_packet so that it stops splitting large rows");
    }
    error
}
