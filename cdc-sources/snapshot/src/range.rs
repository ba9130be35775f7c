//! Key ranges.

use serde::{Deserialize, Serialize};

/// The keys above `after` up to and including `up_to`. `None` is open: below the first key, above
/// the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange<K> {
    /// Exclusive lower bound.
    pub after: Option<K>,
    /// Inclusive upper bound.
    pub up_to: Option<K>,
}

impl<K: Ord> KeyRange<K> {
    /// Every key.
    pub fn all() -> KeyRange<K> {
        KeyRange { after: None, up_to: None }
    }

    /// Whether the key lies in the range.
    pub fn contains(&self, key: &K) -> bool {
        self.after.as_ref().is_none_or(|after| key > after)
            && self.up_to.as_ref().is_none_or(|up_to| key <= up_to)
    }
}
