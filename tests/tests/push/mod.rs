//! What a source does itself because the transforms behind it would: columns that nobody needs are not read, and rows that no sink needs neither.

mod filter;
mod projection;
mod rows;
mod tables;
