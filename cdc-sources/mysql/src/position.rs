//! Where the stream stands: file and offset always, a GTID position where the server has one.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gtid::GtidPosition;

/// A place in the binlog of one server. Files compare by their number, so that `.1000000` comes
/// after `.999999`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogPosition {
    /// The file's name; empty before the first rotate event.
    pub file: String,
    /// The offset in bytes of the next event.
    pub offset: u64,
}

impl BinlogPosition {
    /// A place.
    pub fn new(file: impl Into<String>, offset: u64) -> BinlogPosition {
        BinlogPosition { file: file.into(), offset }
    }

    fn split(&self) -> (&str, u64) {
        match self.file.rsplit_once('.') {
            Some((base, number)) => (base, number.parse().unwrap_or(0)),
            None => (&self.file, 0),
        }
    }

    /// Order within one server's log; `None` between logs with different base names.
    pub fn compare(&self, other: &BinlogPosition) -> Option<Ordering> {
        let ((base, number), (other_base, other_number)) = (self.split(), other.split());
        if base != other_base {
            return None;
        }
        Some(number.cmp(&other_number).then(self.offset.cmp(&other.offset)))
    }

    /// Whether this place is the other one or after it.
    pub fn has_reached(&self, other: &BinlogPosition) -> bool {
        matches!(self.compare(other), Some(Ordering::Equal | Ordering::Greater))
    }
}

impl fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// The position of the stream at the end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPosition {
    /// File and offset on the server below.
    pub binlog: BinlogPosition,
    /// Everything up to here, where the server has GTIDs. The stream resumes by it, so that it
    /// can go on at another server of the same replication group.
    pub gtid: Option<GtidPosition>,
    /// `server_uuid` (MySQL) or `server_id` (MariaDB) of the server that `binlog` belongs to.
    pub server: String,
}

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gtid {
            // The server tells file and offset with the stream's first event.
            Some(gtid) if self.binlog.file.is_empty() => write!(f, "gtid {gtid}"),
            Some(gtid) => write!(f, "{} gtid {gtid}", self.binlog),
            None => write!(f, "{}", self.binlog),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_numbers_compare_as_numbers() {
        let old = BinlogPosition::new("binlog.999999", 900);
        let new = BinlogPosition::new("binlog.1000000", 4);
        assert_eq!(old.compare(&new), Some(Ordering::Less));
        assert!(new.has_reached(&old));
        assert!(new.has_reached(&new));
        assert!(!old.has_reached(&new));
    }

    #[test]
    fn logs_of_different_names_have_no_order() {
        assert_eq!(BinlogPosition::new("a.000001", 4).compare(&BinlogPosition::new("b.000001", 4)), None);
        assert!(!BinlogPosition::new("a.000002", 4).has_reached(&BinlogPosition::new("b.000001", 4)));
    }
}
