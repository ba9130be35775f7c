//! How one table is cut into chunks: lazily, from the real keys, restorable at any point.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::range::KeyRange;

/// A chunk ready to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedChunk<K> {
    /// Counts up per table; part of the split's id.
    pub number: u64,
    /// Its keys.
    pub range: KeyRange<K>,
}

/// The plan of one table. Bounds are found one chunk at a time by the owner (who can ask the
/// database for the key that ends the next chunk); the plan keeps what is planned and not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablePlan<K> {
    planned_to: Option<K>,
    planning_done: bool,
    next_number: u64,
    waiting: VecDeque<PlannedChunk<K>>,
    handed_out: Vec<PlannedChunk<K>>,
    done: u64,
}

impl<K: Ord + Clone> TablePlan<K> {
    /// Nothing planned yet.
    pub fn new() -> TablePlan<K> {
        TablePlan {
            planned_to: None,
            planning_done: false,
            next_number: 0,
            waiting: VecDeque::new(),
            handed_out: Vec::new(),
            done: 0,
        }
    }

    /// Whether the owner should look for the next bound before taking a chunk.
    pub fn needs_bound(&self) -> bool {
        self.waiting.is_empty() && !self.planning_done
    }

    /// The key after which the next chunk begins; `None` at the start of the table.
    pub fn planned_to(&self) -> Option<&K> {
        self.planned_to.as_ref()
    }

    /// The next chunk ends at this key; `None` says that it is the last one and open above. The
    /// last one is bounded too: its reader stops at its row and byte limits and hands the rest
    /// back.
    pub fn add_bound(&mut self, up_to: Option<K>) {
        let range = KeyRange { after: self.planned_to.clone(), up_to: up_to.clone() };
        self.push(range);
        match up_to {
            Some(key) => self.planned_to = Some(key),
            None => self.planning_done = true,
        }
    }

    fn push(&mut self, range: KeyRange<K>) {
        self.waiting.push_back(PlannedChunk { number: self.next_number, range });
        self.next_number += 1;
    }

    /// Hands out the next chunk.
    pub fn take(&mut self) -> Option<PlannedChunk<K>> {
        let chunk = self.waiting.pop_front()?;
        self.handed_out.push(chunk.clone());
        Some(chunk)
    }

    /// A chunk comes back unread.
    pub fn give_back(&mut self, number: u64) {
        if let Some(at) = self.handed_out.iter().position(|chunk| chunk.number == number) {
            let chunk = self.handed_out.remove(at);
            self.waiting.push_front(chunk);
        }
    }

    /// A chunk is done, up to `rest` where its reader cut it. False: it was not handed out.
    pub fn finish(&mut self, number: u64, rest: Option<KeyRange<K>>) -> bool {
        let Some(at) = self.handed_out.iter().position(|chunk| chunk.number == number) else {
            return false;
        };
        self.handed_out.remove(at);
        self.done += 1;
        if let Some(range) = rest {
            self.push(range);
        }
        true
    }

    /// After a restore: what was handed out is to be read again.
    pub fn reclaim(&mut self) {
        while let Some(chunk) = self.handed_out.pop() {
            self.waiting.push_front(chunk);
        }
    }

    /// Every chunk is done.
    pub fn is_finished(&self) -> bool {
        self.planning_done && self.waiting.is_empty() && self.handed_out.is_empty()
    }

    /// Chunks done so far.
    pub fn done(&self) -> u64 {
        self.done
    }
}

impl<K: Ord + Clone> Default for TablePlan<K> {
    fn default() -> Self {
        TablePlan::new()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::progress::RangeSet;

    #[test]
    fn chunks_of_a_table_cover_every_key_once_also_across_a_restore() {
        let mut plan: TablePlan<i32> = TablePlan::new();
        let mut done = RangeSet::default();
        let bounds = [Some(10), Some(20), Some(30), None];
        let mut next_bound = bounds.iter();
        let mut round = 0;
        while !plan.is_finished() {
            round += 1;
            if plan.needs_bound() {
                plan.add_bound(*next_bound.next().unwrap());
            }
            let chunk = plan.take().unwrap();
            if round % 3 == 1 {
                // A crash here: the chunk is unread after the restore.
                plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
                plan.reclaim();
                continue;
            }
            let cut = (chunk.number == 3).then_some(35);
            let rest = cut.map(|key| KeyRange { after: Some(key), up_to: chunk.range.up_to });
            done.insert(KeyRange { up_to: cut.or(chunk.range.up_to), ..chunk.range });
            assert!(plan.finish(chunk.number, rest));
            assert!(!plan.finish(chunk.number, None));
        }
        assert!(done.is_complete());
        assert_eq!(plan.done(), 5);
    }

    #[test]
    fn a_chunk_given_back_is_next() {
        let mut plan: TablePlan<i32> = TablePlan::new();
        plan.add_bound(Some(1));
        plan.add_bound(None);
        let first = plan.take().unwrap();
        plan.give_back(first.number);
        assert_eq!(plan.take().unwrap(), first);
    }
}
