//! Everything that is measured, in order.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use culvert_tests::{Flavor, PgVersion};

use crate::report::{self, Environment};
use crate::{checkpoint, exactly_once, lake, machine, mysql, postgres, say, transforms};

/// Environment variable with the number of inserted rows.
pub(crate) const ROWS_VARIABLE: &str = "CULVERT_BENCH_ROWS";
/// How many there are without it. Figures of fewer are printed and not kept.
const ROWS: u64 = 1_000_000;

/// Environment variable with the rows of the transaction that is measured by itself.
pub(crate) const TRANSACTION_VARIABLE: &str = "CULVERT_BENCH_TRANSACTION_ROWS";
/// How many there are without it.
const TRANSACTION_ROWS: u64 = 1_000_000;

/// Time between two checkpoints of the drains: the default of a job.
pub(crate) const CHECKPOINT: Duration = Duration::from_secs(1);

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    MySql(Flavor),
    Postgres(PgVersion),
    Checkpoints,
    ExactlyOnce,
    Transforms,
    Lake,
}

impl Part {
    /// All of them, in their order.
    fn all() -> Vec<Part> {
        let mut parts: Vec<Part> = Flavor::ALL.into_iter().map(Part::MySql).collect();
        parts.extend(PgVersion::ALL.into_iter().map(Part::Postgres));
        parts.push(Part::Checkpoints);
        parts.push(Part::ExactlyOnce);
        parts.push(Part::Transforms);
        parts.push(Part::Lake);
        parts
    }

    fn name(self) -> &'static str {
        match self {
            Part::MySql(flavor) => flavor.name(),
            Part::Postgres(version) => version.name(),
            Part::Checkpoints => "checkpoints",
            Part::ExactlyOnce => "exactly-once",
            Part::Transforms => "transforms",
            Part::Lake => "lake",
        }
    }

    fn of_name(name: &str) -> Result<Part> {
        let all = Part::all();
        let Some(part) = all.iter().find(|part| part.name() == name) else {
            let names: Vec<&str> = all.iter().map(|part| part.name()).collect();
            bail!("there is no {name} to measure; there are {}", names.join(", "));
        };
        Ok(*part)
    }
}

/// Measures the parts of these names, or everything without any, and prints it. The whole is kept.
pub(crate) async fn run(names: &[String]) -> Result<()> {
    let rows = number(ROWS_VARIABLE, ROWS)?;
    let transaction = number(TRANSACTION_VARIABLE, TRANSACTION_ROWS)?;
    let parts = match names {
        [] => Part::all(),
        names => names.iter().map(|name| Part::of_name(name)).collect::<Result<_>>()?,
    };
    let busy_before = machine::others_busy().await;
    let (mut servers, mut checkpoints, mut exactness, mut transformed) = (Vec::new(), None, None, None);
    let mut lakes = None;
    for part in parts {
        match part {
            Part::MySql(flavor) => servers.push(mysql::measure(flavor, rows).await?),
            Part::Postgres(version) => servers.push(postgres::measure(version, rows, transaction).await?),
            Part::Checkpoints => {
                say("saving checkpoints");
                checkpoints = Some(checkpoint::run()?);
            }
            Part::ExactlyOnce => exactness = Some(exactly_once::measure(rows).await?),
            Part::Transforms => transformed = Some(transforms::measure(rows).await?),
            Part::Lake => lakes = Some(lake::measure(rows).await?),
        }
    }
    let busy_after = machine::others_busy().await;
    let environment = Environment { busy: (busy_before, busy_after) };
    let mut text =
        report::text(&environment, &servers, checkpoints.as_ref(), exactness.as_ref(), transformed.as_ref());
    if let Some(lakes) = &lakes {
        text.push_str(&report::of_lake(lakes));
    }
    say(&text);
    if rows < ROWS || transaction < TRANSACTION_ROWS || !names.is_empty() {
        say("not everything, or with fewer rows: not written to docs/benchmarks.md");
        return Ok(());
    }
    report::keep(&text)
}

fn number(variable: &str, otherwise: u64) -> Result<u64> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is not a number: {text}")),
        Err(_) => Ok(otherwise),
    }
}
