//! The four kinds of a row in a change stream, and sets of them.

use std::fmt;

/// What a row says about its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: the row is new.
    Insert = 0,
    /// `-U`: the row as it was before an update.
    UpdateBefore = 1,
    /// `+U`: the row as it is after an update; directly follows its `-U`.
    UpdateAfter = 2,
    /// `-D`: the row is gone.
    Delete = 3,
}

impl RowKind {
    /// All kinds in the order of their codes.
    pub const ALL: [RowKind; 4] =
        [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];

    /// `+I`, `-U`, `+U` or `-D`.
    pub fn short(self) -> &'static str {
        match self {
            RowKind::Insert => "+I",
            RowKind::UpdateBefore => "-U",
            RowKind::UpdateAfter => "+U",
            RowKind::Delete => "-D",
        }
    }

    /// `INSERT`, `UPDATE_BEFORE`, `UPDATE_AFTER` or `DELETE`.
    pub fn full(self) -> &'static str {
        match self {
            RowKind::Insert => "INSERT",
            RowKind::UpdateBefore => "UPDATE_BEFORE",
            RowKind::UpdateAfter => "UPDATE_AFTER",
            RowKind::Delete => "DELETE",
        }
    }

    /// The kind with this code, as it is stored.
    pub fn from_code(code: u8) -> Option<RowKind> {
        RowKind::ALL.get(usize::from(code)).copied()
    }

    /// The kind whose full name this is, in any letter case.
    pub fn from_full(name: &str) -> Option<RowKind> {
        RowKind::ALL.into_iter().find(|kind| kind.full().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// Which kinds can occur on an edge of the job graph. A sink that needs a key only needs one when
/// the edge can carry more than inserts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKindSet(u8);

impl RowKindSet {
    /// Every kind: what a change-data-capture source emits.
    pub const ALL: RowKindSet = RowKindSet(0b1111);
    /// Inserts only: an append-only stream.
    pub const INSERT_ONLY: RowKindSet = RowKindSet(1);

    /// The set of these kinds.
    pub fn of(kinds: &[RowKind]) -> RowKindSet {
        RowKindSet(kinds.iter().fold(0, |bits, kind| bits | (1 << *kind as u8)))
    }

    /// The set as bits, the lowest for `+I`: how it is stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set of stored bits; bits that mean no kind are dropped.
    pub fn from_bits(bits: u8) -> RowKindSet {
        RowKindSet(bits & RowKindSet::ALL.0)
    }

    /// Whether the kind is in the set.
    pub fn contains(self, kind: RowKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// The kinds in both sets.
    pub fn intersect(self, other: RowKindSet) -> RowKindSet {
        RowKindSet(self.0 & other.0)
    }

    /// The kinds in either set.
    pub fn union(self, other: RowKindSet) -> RowKindSet {
        RowKindSet(self.0 | other.0)
    }

    /// The kinds not in this set.
    pub fn complement(self) -> RowKindSet {
        RowKindSet(!self.0 & RowKindSet::ALL.0)
    }

    /// Whether nothing but inserts can occur.
    pub fn is_insert_only(self) -> bool {
        self.0 & !RowKindSet::INSERT_ONLY.0 == 0
    }
}

impl fmt::Debug for RowKindSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(RowKind::ALL.into_iter().filter(|kind| self.contains(*kind)).map(RowKind::short))
            .finish()
    }
}
