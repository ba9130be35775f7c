//! What source and sink share about files: how rows are laid out in them.
//!
//! | file | holds |
//! |---|---|
//! | [`format`](mod@format) | which formats there are, and what decides how they look |
//! | `spell` | a value as a text |
//! | [`write`](mod@write) | rows into a file |
//! | [`read`](mod@read) | rows out of a file |
//! | `pattern` | dates and times as a pattern says |
//!
//! What is written is read back as the same values, in every format; `docs/local-file.md` has the exceptions.

pub mod format;
mod pattern;
pub mod read;
mod spell;
pub mod write;

pub use format::{Format, Layout};
pub use pattern::Pattern;
