//! How many rows of each table there were, as of each checkpoint.
//!
//! A sink without a place of its own cannot keep a marker. But the numbers of checkpoints count up by one: an
//! attempt whose first checkpoint is N went on behind checkpoint N-1, and what was counted up to there, saved
//! or committed, is what counts. Whatever was counted behind it is read again and forgotten.

use std::collections::BTreeMap;

/// Checkpoints that are remembered; an attempt goes back behind a few at most.
const REMEMBERED: u64 = 128;

/// Rows by table.
pub(crate) type Rows = BTreeMap<String, u64>;

/// What was counted by this process.
#[derive(Debug, Default)]
pub(crate) struct Count {
    at: BTreeMap<u64, Rows>,
}

/// All rows up to a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Total {
    pub(crate) rows: Rows,
    /// Whether the rows of the job are all among them; rows that another process counted are not.
    pub(crate) is_whole: bool,
}

impl Count {
    /// Rows came between the checkpoint before this one and this one.
    pub(crate) fn reach(&mut self, checkpoint: u64, came: &Rows) -> Total {
        let before = checkpoint.checked_sub(1);
        let known = before.and_then(|before| self.at.get(&before)).cloned();
        let is_whole = known.is_some() || checkpoint <= 1;
        let mut rows = known.unwrap_or_default();
        for (table, more) in came {
            *rows.entry(table.clone()).or_default() += more;
        }
        if is_whole {
            self.at.insert(checkpoint, rows.clone());
        }
        self.at = self.at.split_off(&checkpoint.saturating_sub(REMEMBERED));
        Total { rows, is_whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> Rows {
        Rows::from([("t".to_owned(), count)])
    }

    #[test]
    fn what_is_read_again_counts_once() {
        let mut count = Count::default();
        assert_eq!(count.reach(1, &rows(10)).rows, rows(10));
        assert_eq!(count.reach(2, &rows(10)).rows, rows(20));
        // Checkpoint 2 was not saved: it comes again, with what came meanwhile.
        assert_eq!(count.reach(2, &rows(13)).rows, rows(23));
        // Checkpoint 3 was saved and not committed.
        assert_eq!(count.reach(3, &rows(1)).rows, rows(24));
        assert_eq!(count.reach(4, &rows(0)), Total { rows: rows(24), is_whole: true });
        // A sink beside it was behind: rows come again from further back.
        assert_eq!(count.reach(2, &rows(14)).rows, rows(24));
    }

    #[test]
    fn rows_of_another_process_are_not_known() {
        let mut count = Count::default();
        assert_eq!(count.reach(8, &rows(3)), Total { rows: rows(3), is_whole: false });
        assert!(!count.reach(9, &rows(3)).is_whole);
    }

    #[test]
    fn it_does_not_grow() {
        let mut count = Count::default();
        for checkpoint in 1..10_000 {
            count.reach(checkpoint, &rows(1));
        }
        assert_eq!(count.reach(10_000, &rows(1)).rows, rows(10_000));
        assert!(count.at.len() as u64 <= REMEMBERED + 1);
    }
}
