//! What Culvert achieves on this machine, over limits measured in the same run.
//!
//! `make bench` runs this program. It starts private servers, writes the same backlog
//! ([`statements`]) into the log of each, and measures one thing after the other ([`suite`], then
//! [`mysql`] or [`postgres`]). Whatever has a peak of memory or a count of CPU seconds runs in a
//! process of its own ([`measure`]): this program again with a [`task`], or the server's own tool.
//! [`report`] prints the figures and puts them between the marks of `docs/benchmarks.md`.
//!
//! Nothing here judges a figure: a benchmark that fails on a busy machine teaches people to ignore
//! it. What is checked is that the work was done, row by row counted.

mod checkpoint;
mod discard;
mod drain;
mod exactly_once;
mod job;
mod lake;
mod latency;
mod machine;
mod measure;
mod mysql;
mod parquet;
mod postgres;
mod report;
mod spread;
mod statements;
mod suite;
mod task;
mod transforms;

use std::io::Write;

use anyhow::Result;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.as_slice() {
        [command, task] if command == task::COMMAND => runtime.block_on(task::perform(task)),
        names => runtime.block_on(suite::run(names)),
    }
}

/// A line for people. A reader that has gone away ends nothing.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
