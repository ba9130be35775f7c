//! Which transactions a read view shows.
//!
//! A commit is in the WAL before the transaction becomes visible, so a place in the log does not
//! tell what a SELECT saw. `pg_current_snapshot()` does: a transaction is shown when its id is below
//! `xmin`, or below `xmax` and not among those in progress ("Transaction ID and Snapshot Information
//! Functions" in the manual).

use std::fmt;
use std::str::FromStr;

use culvert_api::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The value of `pg_current_snapshot()` in the transaction that read a chunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Snapshot {
    xmin: u64,
    xmax: u64,
    /// Ids between the two that were in progress, ascending.
    in_progress: Vec<u64>,
}

impl Snapshot {
    /// Whether rows of this transaction were seen. The log carries the lower 32 bits of an id: it is
    /// taken for the one nearest to `xmax`, which is right as long as the view is younger than two
    /// billion transactions; views are forgotten once the stream has passed them.
    pub(crate) fn shows(&self, xid: u32) -> bool {
        let distance = xid.wrapping_sub(low_bits(self.xmax)).cast_signed();
        let full = self.xmax.wrapping_add_signed(i64::from(distance));
        full < self.xmin || (full < self.xmax && self.in_progress.binary_search(&full).is_err())
    }
}

fn low_bits(xid: u64) -> u32 {
    (xid & u64::from(u32::MAX)) as u32
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (at, xid) in self.in_progress.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{xid}")?;
        }
        Ok(())
    }
}

impl FromStr for Snapshot {
    type Err = Error;

    /// Reads `xmin:xmax:xid,xid,…`.
    fn from_str(text: &str) -> Result<Snapshot> {
        parse(text).ok_or_else(|| Error::new(ErrorKind::Corrupt, "a snapshot that cannot be read"))
    }
}

fn parse(text: &str) -> Option<Snapshot> {
    let mut parts = text.trim().splitn(3, ':');
    let xmin = parts.next()?.parse().ok()?;
    let xmax = parts.next()?.parse().ok()?;
    let list = parts.next()?;
    let mut in_progress = Vec::new();
    for xid in list.split(',').filter(|xid| !xid.is_empty()) {
        in_progress.push(xid.parse().ok()?);
    }
    in_progress.sort_unstable();
    Some(Snapshot { xmin, xmax, in_progress })
}

impl From<Snapshot> for String {
    fn from(snapshot: Snapshot) -> String {
        snapshot.to_string()
    }
}

impl TryFrom<String> for Snapshot {
    type Error = Error;

    fn try_from(text: String) -> Result<Snapshot> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_view_shows_what_was_committed_and_nothing_else() {
        let view: Snapshot = "10:20:10,14,15".parse().unwrap();
        let shown: Vec<u32> = (8..23).filter(|xid| view.shows(*xid)).collect();
        assert_eq!(shown, [8, 9, 11, 12, 13, 16, 17, 18, 19]);
        assert_eq!(view.to_string(), "10:20:10,14,15");
        let quiet: Snapshot = "751:751:".parse().unwrap();
        assert!(quiet.shows(750) && !quiet.shows(751));
    }

    #[test]
    fn ids_are_compared_in_the_epoch_of_the_view() {
        let base = 3u64 << 32;
        let view: Snapshot = format!("{}:{}:{}", base - 5, base + 5, base - 5).parse().unwrap();
        // Below the wrap, in progress; below the wrap, committed; above it; not begun yet.
        assert!(!view.shows((base - 5) as u32));
        assert!(view.shows(u32::MAX));
        assert!(view.shows(4));
        assert!(!view.shows(5));
        // Far behind is the past, far ahead the future.
        assert!(view.shows(u32::MAX - 1_000_000_000));
        assert!(!view.shows(1_000_000_000));
    }

    #[test]
    fn what_is_no_snapshot_is_refused() {
        for text in ["", "1", "1:2", "a:2:", "1:2:x", "1:2:3,,x"] {
            assert!(text.parse::<Snapshot>().is_err(), "{text}");
        }
    }
}
