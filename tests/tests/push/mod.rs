//! What a source does itself because the transforms behind it would: columns that nobody needs are not read.

mod projection;
mod tables;
