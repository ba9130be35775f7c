//! What every sink has to keep, by its contract: one set of tests over all of them.
//!
//! | Property | exactly once | at least once |
//! |---|---|---|
//! | rows are there after their commit, in order per key | yes | yes |
//! | rows are not there before it | yes | no |
//! | a crash, an error or a lost answer before or behind any step, and the replay that follows: each row | once | once or more |
//! | committing twice is once; what was aborted never comes | yes | no |
//! | an older epoch fails, at the latest at its commit | yes | no |
//! | the marker comes back byte for byte, and others' are not touched | yes | none is kept |
//! | empty and very large checkpoints, changes of shape between two | yes | yes |
//!
//! A new sink joins with a line in [`stand::stands`] and its arms in `stand.rs`.

#![allow(clippy::unwrap_used)]

mod exact;
mod repeats;
mod stand;
