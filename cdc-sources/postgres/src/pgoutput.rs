//! The messages of the server's own output plugin, protocol versions 1 to 4 ("Logical Replication
//! Message Formats" in the PostgreSQL manual).
//!
//! The formats have one trap: between Stream Start and Stream Stop every message about changes has
//! the xid of its (sub)transaction in front, and nothing in the message itself says so. Nothing here
//! is indexed on the word of a message, and row images are left as bytes (see [`tuple`]).

mod tuple;
pub(crate) mod wire;

use bytes::Bytes;
use culvert_api::Result;

pub use self::tuple::{Columns, OldTuple, Tuple, Value};
use self::wire::{Wire, corrupt};
use crate::lsn::Lsn;

/// A table as the rows after it have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's OID: what rows refer to.
    pub id: u32,
    /// Its schema; `pg_catalog` comes as an empty text and is filled in.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Replica identity: `d` default, `n` nothing, `f` full, `i` index.
    pub identity: char,
    /// The published columns, in the table's order.
    pub columns: Vec<RelationColumn>,
}

/// A column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
    /// Part of the replica identity.
    pub is_key: bool,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A committed transaction begins.
    Begin { lsn: Lsn, commit_time_us: i64, xid: u32 },
    /// It ends.
    Commit { lsn: Lsn, end_lsn: Lsn, commit_time_us: i64 },
    /// The transaction came to the server by replication.
    Origin { lsn: Lsn, name: String },
    /// The shape of a table.
    Relation(Relation),
    /// The name of a type that is not built in.
    Type { oid: u32, schema: String, name: String },
    /// A new row.
    Insert { relation: u32, new: Tuple },
    /// A changed row.
    Update { relation: u32, old: Option<OldTuple>, new: Tuple },
    /// A row that is gone.
    Delete { relation: u32, old: OldTuple },
    /// Emptied tables.
    Truncate { relations: Vec<u32>, cascade: bool, restart_identity: bool },
    /// What an application wrote with `pg_logical_emit_message`.
    Logical { transactional: bool, lsn: Lsn, prefix: String, content: Bytes },
    /// A piece of a transaction that is still open.
    StreamStart { xid: u32, is_first: bool },
    /// The end of the piece.
    StreamStop,
    /// A transaction that came in pieces is committed.
    StreamCommit { xid: u32, lsn: Lsn, end_lsn: Lsn, commit_time_us: i64 },
    /// It, or one of its subtransactions, is rolled back.
    StreamAbort { xid: u32, subxid: u32 },
    /// A transaction of a two-phase commit begins.
    BeginPrepare(Prepared),
    /// It ends: prepared.
    Prepare(Prepared),
    /// A prepared transaction is committed.
    CommitPrepared(Prepared),
    /// A prepared transaction is rolled back.
    RollbackPrepared(Prepared),
    /// A transaction that came in pieces is prepared.
    StreamPrepare(Prepared),
}

/// What the messages about two-phase commits name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Where: the prepare, the commit, or for a rollback the end of the prepare.
    pub(crate) lsn: Lsn,
    /// Behind it; for a rollback behind the rollback.
    pub(crate) end_lsn: Lsn,
    /// When, in microseconds since 1970.
    pub(crate) time_us: i64,
    /// The transaction.
    pub(crate) xid: u32,
    /// The name the application gave it.
    pub(crate) gid: String,
}

/// A message with the (sub)transaction it belongs to, where the message says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Given inside a stream only.
    pub(crate) xid: Option<u32>,
    /// The message.
    pub(crate) message: Message,
}

/// What a message is about, without reading it: its first byte.
pub(crate) mod kind {
    pub(crate) const RELATION: u8 = b'R';
    pub(crate) const ORIGIN: u8 = b'O';
    pub(crate) const STREAM_STOP: u8 = b'E';
}

/// The kind and the xid of a message inside a stream, without reading the rest.
pub(crate) fn streamed_header(data: &[u8]) -> Result<(u8, Option<u32>)> {
    let cut_short = || corrupt("is cut short");
    let (kind, rest) = data.split_first().ok_or_else(cut_short)?;
    let xid = match kind {
        b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M' => {
            Some(u32::from_be_bytes(*rest.first_chunk::<4>().ok_or_else(cut_short)?))
        }
        _ => None,
    };
    Ok((*kind, xid))
}

/// Reads a message; `in_stream` between Stream Start and Stream Stop.
pub(crate) fn parse(data: Bytes, in_stream: bool) -> Result<Parsed> {
    let mut wire = Wire::new(data);
    let kind = wire.u8()?;
    let has_xid = in_stream && matches!(kind, b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M');
    let xid = if has_xid { Some(wire.u32()?) } else { None };
    let message = match kind {
        // Rows first: by far the most.
        b'I' => {
            let relation = wire.u32()?;
            expect_new(&mut wire)?;
            return Ok(Parsed { xid, message: Message::Insert { relation, new: Tuple::last(wire)? } });
        }
        b'U' => {
            let relation = wire.u32()?;
            let old = match wire.peek() {
                Some(b'K' | b'O') => Some(old_tuple(&mut wire)?),
                _ => None,
            };
            expect_new(&mut wire)?;
            return Ok(Parsed { xid, message: Message::Update { relation, old, new: Tuple::last(wire)? } });
        }
        b'D' => {
            let relation = wire.u32()?;
            let is_key_only = is_key_only(wire.u8()?)?;
            let old = OldTuple { is_key_only, tuple: Tuple::last(wire)? };
            return Ok(Parsed { xid, message: Message::Delete { relation, old } });
        }
        b'B' => Message::Begin { lsn: wire.lsn()?, commit_time_us: wire.instant_us()?, xid: wire.u32()? },
        b'C' => {
            wire.u8()?;
            Message::Commit { lsn: wire.lsn()?, end_lsn: wire.lsn()?, commit_time_us: wire.instant_us()? }
        }
        b'O' => Message::Origin { lsn: wire.lsn()?, name: wire.string()? },
        b'R' => Message::Relation(relation(&mut wire)?),
        b'Y' => Message::Type { oid: wire.u32()?, schema: wire.string()?, name: wire.string()? },
        b'T' => truncate(&mut wire)?,
        b'M' => {
            let transactional = wire.u8()? & 1 != 0;
            let (lsn, prefix) = (wire.lsn()?, wire.string()?);
            Message::Logical { transactional, lsn, prefix, content: wire.counted()? }
        }
        b'S' => Message::StreamStart { xid: wire.u32()?, is_first: wire.u8()? != 0 },
        b'E' => Message::StreamStop,
        b'c' => {
            let xid = wire.u32()?;
            wire.u8()?;
            let (lsn, end_lsn) = (wire.lsn()?, wire.lsn()?);
            Message::StreamCommit { xid, lsn, end_lsn, commit_time_us: wire.instant_us()? }
        }
        b'A' => {
            let message = Message::StreamAbort { xid: wire.u32()?, subxid: wire.u32()? };
            if !wire.is_empty() {
                // Place and time of the abort: sent to those who apply streams in parallel.
                wire.lsn()?;
                wire.instant_us()?;
            }
            message
        }
        b'b' => Message::BeginPrepare(prepared(&mut wire)?),
        b'P' => Message::Prepare(flagged(&mut wire)?),
        b'K' => Message::CommitPrepared(flagged(&mut wire)?),
        b'p' => Message::StreamPrepare(flagged(&mut wire)?),
        b'r' => {
            wire.u8()?;
            let (lsn, end_lsn) = (wire.lsn()?, wire.lsn()?);
            wire.instant_us()?;
            let (time_us, xid, gid) = (wire.instant_us()?, wire.u32()?, wire.string()?);
            Message::RollbackPrepared(Prepared { lsn, end_lsn, time_us, xid, gid })
        }
        other => return Err(corrupt(&format!("is of an unknown kind ({other:#04x})"))),
    };
    if wire.is_empty() { Ok(Parsed { xid, message }) } else { Err(corrupt("is longer than its format")) }
}

fn expect_new(wire: &mut Wire) -> Result<()> {
    if wire.u8()? == b'N' { Ok(()) } else { Err(corrupt("has no new row where one belongs")) }
}

fn is_key_only(kind: u8) -> Result<bool> {
    match kind {
        b'K' => Ok(true),
        b'O' => Ok(false),
        _ => Err(corrupt("has no old row where one belongs")),
    }
}

fn old_tuple(wire: &mut Wire) -> Result<OldTuple> {
    Ok(OldTuple { is_key_only: is_key_only(wire.u8()?)?, tuple: Tuple::next(wire)? })
}

fn relation(wire: &mut Wire) -> Result<Relation> {
    let id = wire.u32()?;
    let mut schema = wire.string()?;
    if schema.is_empty() {
        schema.push_str("pg_catalog");
    }
    let table = wire.string()?;
    let identity = char::from(wire.u8()?);
    let count = wire.u16()?;
    // A column takes ten bytes at least.
    let mut columns = Vec::with_capacity(usize::from(count).min(wire.len() / 10));
    for _ in 0..count {
        let is_key = wire.u8()? & 1 != 0;
        columns.push(RelationColumn {
            name: wire.string()?,
            type_oid: wire.u32()?,
            typmod: wire.i32()?,
            is_key,
        });
    }
    Ok(Relation { id, schema, table, identity, columns })
}

fn truncate(wire: &mut Wire) -> Result<Message> {
    let count = wire.u32()?;
    let options = wire.u8()?;
    let expected = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
    if expected != Some(wire.len()) {
        return Err(corrupt("does not have as many tables as it says"));
    }
    let mut relations = Vec::with_capacity(wire.len() / 4);
    while !wire.is_empty() {
        relations.push(wire.u32()?);
    }
    Ok(Message::Truncate { relations, cascade: options & 1 != 0, restart_identity: options & 2 != 0 })
}

fn flagged(wire: &mut Wire) -> Result<Prepared> {
    wire.u8()?;
    prepared(wire)
}

fn prepared(wire: &mut Wire) -> Result<Prepared> {
    Ok(Prepared {
        lsn: wire.lsn()?,
        end_lsn: wire.lsn()?,
        time_us: wire.instant_us()?,
        xid: wire.u32()?,
        gid: wire.string()?,
    })
}

#[cfg(test)]
mod tests;
