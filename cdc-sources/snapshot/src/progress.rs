//! The set of finished key ranges of one table.

use serde::{Deserialize, Serialize};

use crate::range::KeyRange;

/// Disjoint ranges in order; neighbours that touch are one. Chunks finish roughly in order, so
/// the set stays a handful of entries however large the table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeSet<K> {
    ranges: Vec<KeyRange<K>>,
}

impl<K> Default for RangeSet<K> {
    fn default() -> Self {
        RangeSet { ranges: Vec::new() }
    }
}

impl<K: Ord + Clone> RangeSet<K> {
    /// The set of every key.
    pub fn complete() -> RangeSet<K> {
        RangeSet { ranges: vec![KeyRange::all()] }
    }

    /// Whether every key is in the set.
    pub fn is_complete(&self) -> bool {
        matches!(self.ranges.as_slice(), [one] if one.after.is_none() && one.up_to.is_none())
    }

    /// Whether the key is in the set.
    pub fn contains(&self, key: &K) -> bool {
        // The first range that does not end below the key is the only one that can hold it.
        let at = self.ranges.partition_point(|range| range.up_to.as_ref().is_some_and(|end| end < key));
        self.ranges.get(at).is_some_and(|range| range.contains(key))
    }

    /// Adds a range that does not overlap the set.
    pub fn insert(&mut self, range: KeyRange<K>) {
        let at = match &range.after {
            None => 0,
            Some(after) => {
                self.ranges.partition_point(|other| other.up_to.as_ref().is_some_and(|end| end <= after))
            }
        };
        self.ranges.insert(at, range);
        let joins = |left: &KeyRange<K>, right: &KeyRange<K>| matches!((&left.up_to, &right.after), (Some(end), Some(start)) if end == start);
        if at + 1 < self.ranges.len() && joins(&self.ranges[at], &self.ranges[at + 1]) {
            self.ranges[at].up_to = self.ranges.remove(at + 1).up_to;
        }
        if at > 0 && joins(&self.ranges[at - 1], &self.ranges[at]) {
            self.ranges[at - 1].up_to = self.ranges.remove(at).up_to;
        }
    }

    /// The ranges, in order.
    pub fn ranges(&self) -> &[KeyRange<K>] {
        &self.ranges
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn range(after: Option<i32>, up_to: Option<i32>) -> KeyRange<i32> {
        KeyRange { after, up_to }
    }

    #[test]
    fn neighbours_join_in_any_order() {
        let mut set = RangeSet::default();
        set.insert(range(Some(10), Some(20)));
        set.insert(range(None, Some(10)));
        assert_eq!(set.ranges(), &[range(None, Some(20))]);
        set.insert(range(Some(30), None));
        assert!(!set.is_complete());
        set.insert(range(Some(20), Some(30)));
        assert!(set.is_complete());
        assert_eq!(set, RangeSet::complete());
    }

    #[test]
    fn bounds_are_open_below_and_closed_above() {
        let mut set = RangeSet::default();
        set.insert(range(Some(10), Some(20)));
        assert!(!set.contains(&10));
        assert!(set.contains(&11));
        assert!(set.contains(&20));
        assert!(!set.contains(&21));
    }

    proptest! {
        #[test]
        fn any_order_of_chunks_covers_exactly_what_was_inserted(
            cuts in proptest::collection::btree_set(-50i32..50, 1..12),
            order in proptest::collection::vec(any::<u32>(), 13),
            skip in any::<u16>(),
        ) {
            let mut bounds: Vec<Option<i32>> = vec![None];
            bounds.extend(cuts.iter().copied().map(Some));
            bounds.push(None);
            let mut chunks: Vec<(usize, KeyRange<i32>)> = bounds
                .windows(2)
                .enumerate()
                .map(|(i, pair)| (i, range(pair[0], pair[1])))
                .collect();
            chunks.sort_by_key(|(i, _)| order[*i]);
            let mut set = RangeSet::default();
            let mut taken = Vec::new();
            for (i, chunk) in &chunks {
                if skip & (1 << i) == 0 {
                    set.insert(chunk.clone());
                    taken.push(chunk.clone());
                }
            }
            for key in -60..60 {
                prop_assert_eq!(set.contains(&key), taken.iter().any(|chunk| chunk.contains(&key)));
            }
            prop_assert_eq!(set.is_complete(), skip & ((1 << chunks.len()) - 1) == 0);
            let text = serde_json::to_string(&set).unwrap();
            prop_assert_eq!(serde_json::from_str::<RangeSet<i32>>(&text).unwrap(), set);
        }
    }
}
