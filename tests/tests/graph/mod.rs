//! Jobs whose graph is more than a line: several sources, streams that meet, ways that fork.

#![allow(clippy::print_stdout)]

mod scene;
mod shards;
