//! What only MariaDB writes: its GTIDs and its compressed statements and rows.

use std::io::Read;

use culvert_api::{Error, ErrorKind, Result};

use crate::gtid::MariaDbGtid;
use crate::wire::{Cursor, WireResult};

/// A transaction begins. Knowledge base: "GTID_EVENT". The server part of the GTID is in the
/// event's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MariaDbGtidEvent {
    /// The transaction's number in its domain.
    pub sequence: u64,
    /// The replication domain.
    pub domain: u32,
    /// `FL_*`, see the methods.
    pub flags: u8,
    /// The name of the XA transaction (format, gtrid and bqual together), where it is one.
    pub xid: Option<(u32, Vec<u8>)>,
}

const FL_STANDALONE: u8 = 1;
const FL_GROUP_COMMIT_ID: u8 = 2;
const FL_DDL: u8 = 32;
const FL_PREPARED_XA: u8 = 64;
const FL_COMPLETED_XA: u8 = 128;

impl MariaDbGtidEvent {
    pub(super) fn parse(body: &[u8]) -> WireResult<MariaDbGtidEvent> {
        let mut cursor = Cursor::new(body);
        let sequence = cursor.u64("gtid sequence")?;
        let domain = cursor.u32("gtid domain")?;
        let flags = cursor.u8("gtid flags")?;
        if flags & FL_GROUP_COMMIT_ID != 0 {
            cursor.u64("group commit number")?;
        }
        let mut xid = None;
        if flags & (FL_PREPARED_XA | FL_COMPLETED_XA) != 0 {
            let format = cursor.u32("xa format")?;
            let gtrid = usize::from(cursor.u8("xa gtrid length")?);
            let bqual = usize::from(cursor.u8("xa bqual length")?);
            xid = Some((format, cursor.take(gtrid + bqual, "xa name")?.to_vec()));
        }
        // Newer servers append more behind flags of their own; nothing of it is needed.
        Ok(MariaDbGtidEvent { sequence, domain, flags, xid })
    }

    /// The whole GTID; `server` is from the event's header.
    pub fn gtid(&self, server: u32) -> MariaDbGtid {
        MariaDbGtid { domain: self.domain, server, sequence: self.sequence }
    }

    /// One statement without a COMMIT after it; otherwise the transaction ends with an XID event,
    /// a COMMIT or a ROLLBACK statement.
    pub fn is_standalone(&self) -> bool {
        self.flags & FL_STANDALONE != 0
    }

    /// The statement is DDL.
    pub fn is_ddl(&self) -> bool {
        self.flags & FL_DDL != 0
    }

    /// `XA PREPARE`: the rows that follow are not committed yet.
    pub fn is_prepared_xa(&self) -> bool {
        self.flags & FL_PREPARED_XA != 0
    }

    /// `XA COMMIT` or `XA ROLLBACK` of an earlier prepared transaction.
    pub fn is_completed_xa(&self) -> bool {
        self.flags & FL_COMPLETED_XA != 0
    }
}

/// Knowledge base: "GTID_LIST_EVENT". The upper four bits of the count are flags.
pub(super) fn parse_gtid_list(body: &[u8]) -> WireResult<Vec<MariaDbGtid>> {
    let mut cursor = Cursor::new(body);
    let count = cursor.u32("gtid list length")? & 0x0fff_ffff;
    let mut list = Vec::new();
    for _ in 0..count {
        list.push(MariaDbGtid {
            domain: cursor.u32("gtid domain")?,
            server: cursor.u32("gtid server")?,
            sequence: cursor.u64("gtid sequence")?,
        });
    }
    Ok(list)
}

/// Expands a statement or the rows of a row event that `log_bin_compress=ON` compressed.
///
/// One byte (highest bit set, three bits algorithm, of which only 0, zlib, exists, three bits the
/// number of length bytes), the expanded length with its highest byte first, then the zlib
/// stream (knowledge base: "Compressing Events to Reduce Size of the Binary Log"). A stream that
/// expands to another length than stated, or to more than `limit` bytes, is an error.
pub fn decompress(compressed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(compressed);
    let head = cursor.u8("compression header")?;
    if head & 0xf0 != 0x80 {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("the binary log uses compression header {head:#04x}, only zlib is supported"),
        ));
    }
    let length_bytes = usize::from(head & 0x07);
    if !(1..=4).contains(&length_bytes) {
        return Err(cursor.error("compressed length").into());
    }
    let stated = cursor.uint_be(length_bytes, "compressed length")?;
    let stated = usize::try_from(stated).map_err(|_| cursor.error("compressed length"))?;
    if stated > limit {
        let message = format!("a compressed event expands to {stated} bytes, the limit is {limit}");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    // The buffer grows with what really comes out, whatever length is stated.
    let mut expanded = Vec::new();
    let ceiling = u64::try_from(stated).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::ZlibDecoder::new(cursor.rest()).take(ceiling).read_to_end(&mut expanded).map_err(
        |error| Error::new(ErrorKind::Corrupt, "a compressed event cannot be expanded").caused_by(error),
    )?;
    if expanded.len() != stated {
        let message = "a compressed event does not expand to its stated length";
        return Err(Error::new(ErrorKind::Corrupt, message).context("stated", stated));
    }
    Ok(expanded)
}
