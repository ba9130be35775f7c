//! The one integration binary: what needs a real server.

#![allow(clippy::unwrap_used)]

mod log;
mod source;
