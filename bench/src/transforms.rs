//! What transforms cost: made-up rows to a sink that drops them, as they are and through transforms.
//!
//! The rows are the same ones in every run, from one seed, so the bare way is the limit that the others stand over.

use std::time::Duration;

use anyhow::{Result, ensure};
use culvert_tests::scratch;

use crate::measure;
use crate::report::{Comparison, Figure, Limit};
use crate::say;
use crate::suite::CHECKPOINT;
use crate::task::Task;

const KINDS: &str = "RowKindExtractor {}";
/// Keys count up from 1, so that half of them are even.
const QUERY: &str = "Sql { query = \"select id, upper(name) as name, amount, row_kind from t where row_kind = '+I' and id % 2 = 0\" }";

/// Measures a job without transforms and two with them.
pub(crate) async fn measure(rows: u64) -> Result<Comparison> {
    let ways = [
        ("no transform", String::new(), rows),
        ("RowKindExtractor", KINDS.to_owned(), rows),
        ("RowKindExtractor, Sql", format!("{KINDS}\n{QUERY}"), rows / 2),
    ];
    let mut figures = Vec::new();
    for (what, transforms, expected) in ways {
        say(&format!("transforms: {what}"));
        let job = job(rows, &transforms, CHECKPOINT);
        let measured = measure::repeated(async || {
            let state = scratch::folder("t");
            let done = measure::task(&Task::Drain { job: job.clone(), discard: true, state: state.clone() })?;
            ensure!(
                done.1.inserted == expected,
                "{what}: {} rows came instead of {expected}",
                done.1.inserted
            );
            std::fs::remove_dir_all(&state)?;
            Ok(done)
        })
        .await?;
        figures.push(Figure::new(what.to_owned(), !figures.is_empty(), &measured, rows));
    }
    Ok(Comparison {
        about: "Made-up rows to a sink that drops them. Rows per second are those that the source made."
            .to_owned(),
        head: ["", "rows/s"],
        figures,
        limits: vec![Limit { figure: 0, head: "time over no transform".to_owned() }],
    })
}

fn job(rows: u64, transforms: &str, checkpoint: Duration) -> String {
    format!(
        "env {{ parallelism = 1, job.mode = \"BATCH\", checkpoint.interval = {} }}\n\
         source {{ FakeSource {{ row.num = {rows}, seed = 1, auto.increment.enabled = true, string.length = 20\n\
         schema {{ table = \"d.t\", primaryKey {{ columnNames = [id] }}\n\
         fields {{ id = bigint, name = string, amount = \"decimal(12, 2)\", n = int, made = timestamp }} }} }} }}\n\
         transform {{ {transforms} }}\nsink {{ Console {{}} }}\n",
        checkpoint.as_millis()
    )
}
