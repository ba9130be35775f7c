//! Events that steer the stream: format, rotation, statements, heartbeats.

use std::borrow::Cow;

use culvert_api::{Error, ErrorKind, Result};

use super::{ParseContext, decompress};
use crate::wire::{Cursor, WireResult};

/// How events are protected. Manual: `enum_binlog_checksum_alg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// Not at all.
    None,
    /// CRC32 in the last four bytes.
    Crc32,
}

impl ChecksumAlgorithm {
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<ChecksumAlgorithm> {
        match cursor.u8("checksum algorithm")? {
            0 => Ok(ChecksumAlgorithm::None),
            1 => Ok(ChecksumAlgorithm::Crc32),
            other => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the binary log uses checksum algorithm {other}, only NONE and CRC32 are supported"),
            )),
        }
    }
}

/// The format of the events of one file. Manual: `Format_description_event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatDescription {
    /// 4 for every server since MySQL 5.0.
    pub binlog_version: u16,
    /// For example `8.4.2` or `10.11.6-MariaDB-log`.
    pub server_version: String,
    /// When the file was begun by a starting server, in seconds since 1970; 0 when the log was
    /// only rotated.
    pub created: u32,
    /// Lengths of the fixed part of each event type; the first entry is type 1.
    post_header_lengths: Vec<u8>,
}

const VERSION_LENGTH: usize = 50;

impl FormatDescription {
    /// What may be assumed before the first format description: the only lengths that matter are
    /// those of row events, and they have been the same since MySQL 5.6.
    pub fn assumed() -> FormatDescription {
        FormatDescription {
            binlog_version: 4,
            server_version: String::new(),
            created: 0,
            post_header_lengths: Vec::new(),
        }
    }

    pub(super) fn parse(body: &[u8]) -> Result<FormatDescription> {
        let mut cursor = Cursor::new(body);
        let binlog_version = cursor.u16("binary log version")?;
        if binlog_version != 4 {
            let message = format!("binary log version {binlog_version} is not supported, only 4 is");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let server_version = version_text(cursor.take(VERSION_LENGTH, "server version")?);
        let created = cursor.u32("creation time")?;
        let header_length = cursor.u8("event header length")?;
        if usize::from(header_length) != super::HEADER_LENGTH {
            return Err(cursor.error("event header length").into());
        }
        let post_header_lengths = cursor.take_rest().to_vec();
        Ok(FormatDescription { binlog_version, server_version, created, post_header_lengths })
    }

    /// Length of the fixed part of an event type, where the server told it.
    pub fn post_header_length(&self, event_type: u8) -> Option<u8> {
        self.post_header_lengths.get(usize::from(event_type).checked_sub(1)?).copied()
    }

    /// Servers before MySQL 5.1.4 wrote table numbers in four bytes and said so by this length.
    pub(super) fn short_table_id(&self, event_type: u8) -> bool {
        self.post_header_length(event_type) == Some(6)
    }

    /// Whether a MariaDB server wrote the file.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.contains("MariaDB")
    }
}

fn version_text(padded: &[u8]) -> String {
    let text = padded.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Whether a format description ends with an algorithm byte and a CRC32: servers since MySQL
/// 5.6.1 and MariaDB 5.3 (no older MariaDB is supported, and those call themselves 10 and up).
pub(super) fn has_checksum_byte(body: &[u8]) -> bool {
    let Some(padded) = body.get(2..2 + VERSION_LENGTH) else { return false };
    let version = version_text(padded);
    let mut numbers =
        version.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= (5, 6, 1)
}

/// The log goes on elsewhere. Manual: `Rotate_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotate<'a> {
    /// Where in the next file.
    pub position: u64,
    /// The next file.
    pub file: &'a str,
}

impl<'a> Rotate<'a> {
    pub(super) fn parse(body: &'a [u8]) -> WireResult<Rotate<'a>> {
        let mut cursor = Cursor::new(body);
        let position = cursor.u64("rotate position")?;
        let file = std::str::from_utf8(cursor.take_rest()).map_err(|_| cursor.error("next file name"))?;
        Ok(Rotate { position, file })
    }
}

/// A statement. Manual: `Query_event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The connection that ran it.
    pub thread_id: u32,
    /// The error it ended with at the source, 0 for none.
    pub error_code: u16,
    /// The default database; empty for none.
    pub schema: &'a str,
    /// The statement in the client's charset, see `client_collation`.
    pub sql: Cow<'a, [u8]>,
    /// The session's `sql_mode` bits, for example ANSI_QUOTES (4) and NO_BACKSLASH_ESCAPES (2^20).
    pub sql_mode: Option<u64>,
    /// The session's `character_set_client`, as a collation number.
    pub client_collation: Option<u16>,
}

impl<'a> Query<'a> {
    pub(super) fn parse(body: &'a [u8]) -> WireResult<Query<'a>> {
        let mut cursor = Cursor::new(body);
        let mut query = Query::parse_head(&mut cursor)?;
        query.sql = Cow::Borrowed(cursor.take_rest());
        Ok(query)
    }

    /// MariaDB, `log_bin_compress=ON`: only the statement itself is compressed.
    pub(super) fn parse_compressed(body: &'a [u8], context: &ParseContext) -> Result<Query<'a>> {
        let mut cursor = Cursor::new(body);
        let mut query = Query::parse_head(&mut cursor)?;
        query.sql = Cow::Owned(decompress(cursor.take_rest(), context.expanded_bytes_max)?);
        Ok(query)
    }

    fn parse_head(cursor: &mut Cursor<'a>) -> WireResult<Query<'a>> {
        let thread_id = cursor.u32("query thread")?;
        cursor.u32("query duration")?;
        let schema_length = usize::from(cursor.u8("query schema length")?);
        let error_code = cursor.u16("query error code")?;
        let status_length = usize::from(cursor.u16("query status length")?);
        let status = cursor.take(status_length, "query status variables")?;
        let schema = cursor.take(schema_length, "query schema")?;
        let schema = std::str::from_utf8(schema).map_err(|_| cursor.error("query schema"))?;
        cursor.u8("end of query schema")?;
        let (sql_mode, client_collation) = status_variables(status).unwrap_or_default();
        Ok(Query { thread_id, error_code, schema, sql: Cow::Borrowed(&[]), sql_mode, client_collation })
    }
}

/// The session variables the statement was run with, as far as they change how its text reads.
/// Each has a code and a length of its own, so reading stops at the first that is not known here;
/// servers write the wanted ones first. Manual: `Query_event::Query_event_status_vars`.
fn status_variables(status: &[u8]) -> WireResult<(Option<u64>, Option<u16>)> {
    let mut cursor = Cursor::new(status);
    let mut found = (None, None);
    while !cursor.is_empty() {
        match cursor.u8("status variable")? {
            0 => _ = cursor.u32("flags2")?,
            1 => found.0 = Some(cursor.u64("sql_mode")?),
            2 => {
                let length = usize::from(cursor.u8("catalog")?);
                cursor.take(length + 1, "catalog")?;
            }
            3 => _ = cursor.u32("auto_increment")?,
            4 => {
                found.1 = Some(cursor.u16("character_set_client")?);
                return Ok(found);
            }
            5 | 6 => {
                let length = usize::from(cursor.u8("time zone or catalog")?);
                cursor.take(length, "time zone or catalog")?;
            }
            _ => return Ok(found),
        }
    }
    Ok(found)
}

/// An XA transaction was prepared. Manual: `XA_prepare_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XaPrepare<'a> {
    /// `XA COMMIT … ONE PHASE`: it is committed already.
    pub one_phase: bool,
    /// The global part of its name.
    pub gtrid: &'a [u8],
    /// The branch part of its name.
    pub bqual: &'a [u8],
    /// The format part of its name.
    pub format_id: u32,
}

impl<'a> XaPrepare<'a> {
    pub(super) fn parse(body: &'a [u8]) -> WireResult<XaPrepare<'a>> {
        let mut cursor = Cursor::new(body);
        let one_phase = cursor.u8("xa one-phase flag")? != 0;
        let format_id = cursor.u32("xa format")?;
        let gtrid_length = cursor.u32("xa gtrid length")?;
        let bqual_length = cursor.u32("xa bqual length")?;
        let mut part = |length: u32, what| {
            let length = usize::try_from(length).map_err(|_| cursor.error(what))?;
            cursor.take(length, what)
        };
        let gtrid = part(gtrid_length, "xa gtrid")?;
        let bqual = part(bqual_length, "xa bqual")?;
        Ok(XaPrepare { one_phase, gtrid, bqual, format_id })
    }
}

/// The source is alive. Manual: `Heartbeat_event`, `Heartbeat_event_v2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat<'a> {
    /// The file the source is at. A v1 heartbeat's offset is in its header (`log_pos`).
    pub file: &'a str,
    /// The offset, where it does not fit the header's four bytes (v2 only).
    pub position: Option<u64>,
}

impl<'a> Heartbeat<'a> {
    pub(super) fn parse(body: &'a [u8]) -> WireResult<Heartbeat<'a>> {
        // MariaDB appends eight bytes behind a zero when the offset is past 4 GiB.
        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
        let file = std::str::from_utf8(name).map_err(|_| Cursor::new(body).error("heartbeat file name"))?;
        Ok(Heartbeat { file, position: None })
    }

    /// A list of fields, each a type, a length and so many bytes (`codecs::binary::Heartbeat`).
    pub(super) fn parse_v2(body: &'a [u8]) -> WireResult<Heartbeat<'a>> {
        let mut cursor = Cursor::new(body);
        let mut heartbeat = Heartbeat::default();
        while !cursor.is_empty() {
            let field = cursor.lenenc("heartbeat field")?;
            if field == 0 {
                break;
            }
            let value = cursor.lenenc_bytes("heartbeat field")?;
            match field {
                1 => {
                    heartbeat.file =
                        std::str::from_utf8(value).map_err(|_| cursor.error("heartbeat file name"))?;
                }
                2 => heartbeat.position = Some(Cursor::new(value).lenenc("heartbeat position")?),
                _ => {}
            }
        }
        Ok(heartbeat)
    }
}

/// Something happened at the source that may have lost events. Manual: `Incident_event`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incident<'a> {
    /// 1 for "lost events".
    pub code: u16,
    /// What the server says about it.
    pub message: &'a [u8],
}

impl<'a> Incident<'a> {
    pub(super) fn parse(body: &'a [u8]) -> WireResult<Incident<'a>> {
        let mut cursor = Cursor::new(body);
        let code = cursor.u16("incident number")?;
        let length = usize::from(cursor.u8("incident message length")?);
        Ok(Incident { code, message: cursor.take(length, "incident message")? })
    }
}
