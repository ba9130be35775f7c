//! MySQL's GTID events, plain and tagged.

use culvert_api::{Error, ErrorKind, Result};

use crate::gtid::{Tag, Uuid};
use crate::wire::{Cursor, WireResult};

/// A transaction begins. Manual: `Gtid_event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MySqlGtidEvent {
    /// The transaction has no GTID; `uuid` and `number` are 0.
    pub anonymous: bool,
    /// The server that ran it first.
    pub uuid: Uuid,
    /// The tag (MySQL 8.3 and newer), where it has one.
    pub tag: Option<Tag>,
    /// The transaction's number.
    pub number: u64,
    /// The youngest transaction of this file it depends on (the group commit clock).
    pub last_committed: i64,
    /// Its own number on the group commit clock.
    pub sequence_number: i64,
    /// When the server we read from committed it, in microseconds since 1970 UTC. MySQL 8.0 and newer.
    pub immediate_commit_us: Option<u64>,
    /// When the first server committed it, in microseconds since 1970 UTC.
    pub original_commit_us: Option<u64>,
    /// Bytes of the whole transaction in the log, this event included.
    pub transaction_length: Option<u64>,
}

const LOGICAL_CLOCK: u8 = 2;
const HAS_ORIGINAL_TIME: u64 = 1 << 55;

impl MySqlGtidEvent {
    /// Types 33 and 34. Each part after the number was added by some version and may be missing.
    pub(super) fn parse(body: &[u8], anonymous: bool) -> WireResult<MySqlGtidEvent> {
        let mut cursor = Cursor::new(body);
        cursor.u8("gtid flags")?;
        let mut event = MySqlGtidEvent {
            anonymous,
            uuid: Uuid(cursor.array("gtid uuid")?),
            tag: None,
            number: cursor.u64("gtid number")?,
            last_committed: 0,
            sequence_number: 0,
            immediate_commit_us: None,
            original_commit_us: None,
            transaction_length: None,
        };
        if cursor.is_empty() || cursor.u8("logical clock type")? != LOGICAL_CLOCK {
            return Ok(event);
        }
        event.last_committed = cursor.array("last committed").map(i64::from_le_bytes)?;
        event.sequence_number = cursor.array("sequence number").map(i64::from_le_bytes)?;
        if cursor.rest().len() < 7 {
            return Ok(event);
        }
        let immediate = cursor.uint_le(7, "immediate commit time")?;
        event.immediate_commit_us = Some(immediate & !HAS_ORIGINAL_TIME);
        event.original_commit_us = event.immediate_commit_us;
        if immediate & HAS_ORIGINAL_TIME != 0 {
            event.original_commit_us = Some(cursor.uint_le(7, "original commit time")?);
        }
        if !cursor.is_empty() {
            event.transaction_length = Some(cursor.lenenc("transaction length")?);
        }
        Ok(event)
    }

    /// Type 42: the fields in the server's serialisation format, version 2. Manual: "MySQL
    /// Serialization Library" (`PageLibsMysqlSerialization`).
    pub(super) fn parse_tagged(body: &[u8]) -> Result<MySqlGtidEvent> {
        let mut cursor = Cursor::new(body);
        let version = varint(&mut cursor, "serialisation version")?;
        if version != 1 {
            let message = format!("tagged GTID events of serialisation version {version} are not supported");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        varint(&mut cursor, "serialised size")?;
        let last_needed = varint(&mut cursor, "last field that must be known")?;
        let mut event = MySqlGtidEvent {
            anonymous: false,
            uuid: Uuid([0; 16]),
            tag: None,
            number: 0,
            last_committed: 0,
            sequence_number: 0,
            immediate_commit_us: None,
            original_commit_us: None,
            transaction_length: None,
        };
        while !cursor.is_empty() {
            let field = varint(&mut cursor, "field number")?;
            if !event.read_field(field, &mut cursor)? {
                if field <= last_needed {
                    let message = "a GTID event has a field this version does not know";
                    return Err(Error::new(ErrorKind::Unsupported, message).context("field", field));
                }
                // It may be skipped but has no length of its own. Nothing known follows, since
                // field numbers only go up.
                break;
            }
        }
        if event.number == 0 {
            return Err(cursor.error("gtid number").into());
        }
        Ok(event)
    }

    fn read_field(&mut self, field: u64, cursor: &mut Cursor<'_>) -> WireResult<bool> {
        match field {
            0 => _ = varint(cursor, "gtid flags")?,
            1 => {
                for byte in &mut self.uuid.0 {
                    let value = varint(cursor, "gtid uuid")?;
                    *byte = u8::try_from(value).map_err(|_| cursor.error("gtid uuid"))?;
                }
            }
            2 => {
                let number = signed_varint(cursor, "gtid number")?;
                self.number = u64::try_from(number).map_err(|_| cursor.error("gtid number"))?;
            }
            3 => {
                let length = varint(cursor, "gtid tag length")?;
                let length = usize::try_from(length).map_err(|_| cursor.error("gtid tag length"))?;
                let text = cursor.take(length, "gtid tag")?;
                if !text.is_empty() {
                    let tag = std::str::from_utf8(text).ok().and_then(Tag::parse);
                    self.tag = Some(tag.ok_or_else(|| cursor.error("gtid tag"))?);
                }
            }
            4 => self.last_committed = signed_varint(cursor, "last committed")?,
            5 => self.sequence_number = signed_varint(cursor, "sequence number")?,
            6 => {
                self.immediate_commit_us = Some(varint(cursor, "immediate commit time")?);
                self.original_commit_us = self.original_commit_us.or(self.immediate_commit_us);
            }
            7 => self.original_commit_us = Some(varint(cursor, "original commit time")?),
            8 => self.transaction_length = Some(varint(cursor, "transaction length")?),
            9 => _ = varint(cursor, "immediate server version")?,
            10 => _ = varint(cursor, "original server version")?,
            LAST_FIELD => _ = varint(cursor, "commit group ticket")?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const LAST_FIELD: u64 = 11;

/// The number of low one bits in the first byte says how many bytes follow it; the value lies
/// above them, least significant byte first.
fn varint(cursor: &mut Cursor<'_>, what: &'static str) -> WireResult<u64> {
    let first = cursor.u8(what)?;
    let ones = first.trailing_ones();
    if ones >= 8 {
        return cursor.u64(what);
    }
    let mut wide = [0u8; 8];
    let tail = cursor.take(usize::try_from(ones).unwrap_or(0), what)?;
    let (head, rest) = wide.split_at_mut(1);
    head.copy_from_slice(&[first]);
    for (to, from) in rest.iter_mut().zip(tail) {
        *to = *from;
    }
    Ok(u64::from_le_bytes(wide) >> (ones + 1))
}

/// The sign is the lowest bit; the rest is the value, for negative ones its complement.
fn signed_varint(cursor: &mut Cursor<'_>, what: &'static str) -> WireResult<i64> {
    let bits = varint(cursor, what)?;
    let magnitude = i64::try_from(bits >> 1).map_err(|_| cursor.error(what))?;
    Ok(if bits & 1 == 0 { magnitude } else { !magnitude })
}
