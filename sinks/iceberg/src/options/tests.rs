//! Options.
#![allow(clippy::unwrap_used)]
