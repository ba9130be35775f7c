//! The figures as text, and their place in `docs/benchmarks.md`.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::checkpoint::{Checkpoints, STATE_BYTES};
use crate::exactly_once::{Exactness, Pair};
use crate::lake::LakeFigures;
use crate::machine;
use crate::measure::{Measured, Usage};
use crate::spread::Spread;

/// The page, seen from this crate's folder.
const PAGE: &str = "../docs/benchmarks.md";
const BEGIN: &str = "<!-- figures: written by make bench -->";
const END: &str = "<!-- end of figures -->";

/// What the figures were taken under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// How busy others kept the machine before and after, in per cent.
    pub(crate) busy: (u64, u64),
}

/// What one program or job took.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// Whether it is to be set over the limits above it.
    pub(crate) ours: bool,
    /// What it took.
    pub(crate) usage: Usage,
    /// How often it ran.
    pub(crate) runs: usize,
    /// How many changes or rows went through.
    pub(crate) rows: u64,
    /// How many bytes of log went through.
    pub(crate) bytes: Option<u64>,
    /// CPU seconds that the servers spent meanwhile, where they were counted.
    pub(crate) servers_cpu_seconds: Option<f64>,
}

impl Figure {
    /// Without bytes and the servers' part.
    pub(crate) fn new<T>(what: String, ours: bool, measured: &Measured<T>, rows: u64) -> Figure {
        let Measured { usage, runs, .. } = *measured;
        Figure { what, ours, usage, runs, rows, bytes: None, servers_cpu_seconds: None }
    }
}

/// A figure that others stand over.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// Its place among the figures.
    pub(crate) figure: usize,
    /// The head of the column that tells the time over its time.
    pub(crate) head: String,
}

/// Ways to do the same.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// What it is about, as a paragraph; may be empty.
    pub(crate) about: String,
    /// The heads of the first column and of the one with changes or rows per second.
    pub(crate) head: [&'static str; 2],
    /// First the limits, then ours.
    pub(crate) figures: Vec<Figure>,
    /// What ours stand over.
    pub(crate) limits: Vec<Limit>,
}

/// Everything measured with one server as the source.
#[derive(Debug)]
pub(crate) struct ServerFigures {
    /// Its name and version.
    pub(crate) title: String,
    /// Changes in the backlog.
    pub(crate) changes: u64,
    /// Bytes of log that they take.
    pub(crate) bytes: u64,
    /// How long the server took to take them in, from one connection.
    pub(crate) written_in: Duration,
    /// What was compared.
    pub(crate) comparisons: Vec<Comparison>,
    /// From commit to visible: between which two, and how long.
    pub(crate) latencies: Vec<(String, Spread)>,
}

/// All figures as Markdown.
pub(crate) fn text(
    environment: &Environment,
    servers: &[ServerFigures],
    checkpoints: Option<&Checkpoints>,
    exactness: Option<&Exactness>,
    transforms: Option<&Comparison>,
) -> String {
    let mut text = String::new();
    let (before, after) = environment.busy;
    let nice = match machine::niceness() {
        0 => String::new(),
        nice => format!(" Everything here ran at nice {nice}."),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}, on {}. Culvert {}. Other programs kept the machine {before} % busy just before and {after} % just \
         after.{nice}\n",
        machine::date(),
        machine::describe(),
        env!("CARGO_PKG_VERSION"),
    );
    for server in servers {
        text.push_str(&of_server(server));
    }
    let latencies: Vec<_> = servers.iter().flat_map(|server| &server.latencies).collect();
    if let Some((_, spread)) = latencies.first() {
        let _ = writeln!(text, "### From commit to visible, {} rows\n", spread.count);
        let rows: Vec<_> = latencies.iter().map(|(what, spread)| spread_row(what, spread)).collect();
        text.push_str(&table(&["", "p50 ms", "p99 ms", "longest ms"], &rows));
        text.push('\n');
    }
    if let Some(checkpoints) = checkpoints {
        let count = checkpoints.save.count;
        let _ = writeln!(text, "### Saving {count} checkpoints of {STATE_BYTES} bytes\n");
        let rows = [
            spread_row("checkpoint saved", &checkpoints.save),
            spread_row("older checkpoint forgotten", &checkpoints.prune),
            spread_row("bare write and fsync", &checkpoints.fsync),
            spread_row("bare write and fdatasync", &checkpoints.fdatasync),
        ];
        text.push_str(&table(&["", "p50 ms", "p99 ms", "longest ms"], &rows));
        text.push('\n');
    }
    if let Some(exactness) = exactness {
        text.push_str(&of_exactness(exactness));
    }
    if let Some(transforms) = transforms {
        let table = comparison_table(transforms);
        let _ = write!(text, "\n### What transforms cost\n\n{}\n\n{table}", transforms.about);
    }
    text
}

/// Figures of the lake as Markdown.
pub(crate) fn of_lake(lake: &LakeFigures) -> String {
    let mut text = String::from(
        "\n### Into tables of Iceberg\n\nMariaDB into a folder, or into a bucket of a server beside it, by the layout hadoop. The bare writer is given the same \
         batches, and writes Parquet of the same codec and row groups into a folder.\n\n",
    );
    for comparison in &lake.comparisons {
        text.push_str(&comparison_table(comparison));
        text.push('\n');
    }
    let trickle = &lake.trickle;
    let [smallest, middle, largest] = trickle.bytes;
    let _ = writeln!(
        text,
        "A trickle of {:.1} minutes, {} rows, a checkpoint every 5 s, with compaction: {:.1} commits a minute, {} files of {smallest} to {largest} bytes, \
         {middle} in the middle.",
        trickle.minutes,
        thousands(trickle.rows),
        trickle.commits as f64 / trickle.minutes,
        trickle.files,
    );
    text
}

fn of_exactness(exactness: &Exactness) -> String {
    let Exactness { changes, pairs, latencies } = exactness;
    let per_second = |time: Duration| thousands((*changes as f64 / time.as_secs_f64()) as u64);
    let mut text = format!(
        "### What exactly once costs\n\n{} changes of MariaDB into Kafka, checkpoints every second, {} pairs of runs, in turn. \
         The cost is the time of exactly once over the time of at least once of the same pair.\n\n",
        thousands(*changes),
        pairs.len(),
    );
    let mut costs: Vec<f64> = pairs.iter().map(Pair::cost).collect();
    costs.sort_by(f64::total_cmp);
    let mut rows: Vec<Vec<String>> = pairs
        .iter()
        .map(|pair| {
            let cost = format!("{:+.1}", pair.cost());
            vec!["pair".to_owned(), per_second(pair.at_least_once), per_second(pair.exactly_once), cost]
        })
        .collect();
    let median = costs.get(costs.len() / 2).copied().unwrap_or_default();
    rows.push(vec!["median".to_owned(), String::new(), String::new(), format!("{median:+.1}")]);
    let head = ["", "at least once, changes/s", "exactly once, changes/s", "cost %"];
    text.push_str(&table(&head, &rows));
    let _ = writeln!(text, "\n### From commit to visible under load\n");
    let rows: Vec<_> = latencies.iter().map(|(what, spread)| spread_row(what, spread)).collect();
    text.push_str(&table(&["", "p50 ms", "p99 ms", "longest ms"], &rows));
    text
}

fn of_server(server: &ServerFigures) -> String {
    let seconds = server.written_in.as_secs_f64();
    let mut text = format!(
        "### Source: {}\n\n{} changes of rows in a log of {:.0} MB. One connection wrote them in {seconds:.1} s ({} \
         changes/s).\n\n",
        server.title,
        thousands(server.changes),
        server.bytes as f64 / 1e6,
        thousands((server.changes as f64 / seconds) as u64),
    );
    for comparison in &server.comparisons {
        if !comparison.about.is_empty() {
            text.push_str(&comparison.about);
            text.push_str("\n\n");
        }
        text.push_str(&comparison_table(comparison));
        text.push('\n');
    }
    text
}

/// Puts the figures between the marks of the page.
pub(crate) fn keep(figures: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("no {}", path.display()))?;
    let page =
        between_marks(&page, figures).with_context(|| format!("{} has lost its marks", path.display()))?;
    std::fs::write(&path, page)?;
    Ok(())
}

fn between_marks(page: &str, figures: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{}\n\n{END}{tail}", figures.trim()))
}

fn comparison_table(comparison: &Comparison) -> String {
    let Comparison { head: [subject, per_second], figures, limits, .. } = comparison;
    let has_bytes = figures.iter().any(|figure| figure.bytes.is_some());
    let has_servers = figures.iter().any(|figure| figure.servers_cpu_seconds.is_some());
    let mut head = vec![*subject, "runs", "s", *per_second];
    head.extend(has_bytes.then_some("MB/s"));
    head.extend(["CPU s", "per CPU s"]);
    head.extend(has_servers.then_some("servers' CPU s"));
    head.push("peak MiB");
    head.extend(limits.iter().map(|limit| limit.head.as_str()));
    let rows = figures.iter().map(|figure| {
        let seconds = figure.usage.wall.as_secs_f64();
        let mut row = vec![
            figure.what.clone(),
            figure.runs.to_string(),
            format!("{seconds:.2}"),
            thousands((figure.rows as f64 / seconds) as u64),
        ];
        let or_nothing = |text: Option<String>| text.unwrap_or_default();
        if has_bytes {
            row.push(or_nothing(figure.bytes.map(|bytes| format!("{:.0}", bytes as f64 / 1e6 / seconds))));
        }
        row.push(format!("{:.2}", figure.usage.cpu_seconds));
        row.push(thousands((figure.rows as f64 / figure.usage.cpu_seconds) as u64));
        if has_servers {
            row.push(or_nothing(figure.servers_cpu_seconds.map(|seconds| format!("{seconds:.2}"))));
        }
        row.push(format!("{:.0}", figure.usage.peak_bytes as f64 / f64::from(1 << 20)));
        row.extend(limits.iter().map(|limit| {
            let over = figures.get(limit.figure).filter(|_| figure.ours);
            or_nothing(over.map(|limit| format!("{:.2}", seconds / limit.usage.wall.as_secs_f64())))
        }));
        row
    });
    table(&head, &rows.collect::<Vec<_>>())
}

fn spread_row(what: &str, spread: &Spread) -> Vec<String> {
    let millis = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    vec![what.to_owned(), millis(spread.p50), millis(spread.p99), millis(spread.longest)]
}

/// A number with its digits in groups.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A Markdown table that also reads well as it is: the first column to the left, the others to the
/// right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(head.get(at).map(|cell| cell.chars().count())).max().unwrap_or(0).max(2)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (at, (cell, width)) in cells.zip(&widths).enumerate() {
            let cell = if at == 0 { format!(" {cell:<width$} |") } else { format!(" {cell:>width$} |") };
            line.push_str(&cell);
        }
        line.push('\n');
        line
    };
    let mut text = line(&mut head.iter().copied());
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(at, width)| if at == 0 { "-".repeat(*width) } else { format!("{}:", "-".repeat(width - 1)) })
        .collect();
    text.push_str(&line(&mut rule.iter().map(String::as_str)));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn figures_stay_between_the_marks() {
        let page = format!("# Head\n{BEGIN}\nold\n{END}\ntail\n");
        let once = between_marks(&page, "new\n").unwrap();
        assert_eq!(once, format!("# Head\n{BEGIN}\n\nnew\n\n{END}\ntail\n"));
        assert_eq!(between_marks(&once, "new\n").unwrap(), once);
        assert_eq!(between_marks("no marks", "new"), None);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn columns_line_up() {
        let text = table(&["what", "s"], &[vec!["a".into(), "1.00".into()]]);
        assert_eq!(text, "| what |    s |\n| ---- | ---: |\n| a    | 1.00 |\n");
    }

    #[test]
    fn ours_stand_over_their_limits() {
        let figure = |what: &str, ours, millis, bytes| {
            let usage = Usage { wall: Duration::from_millis(millis), cpu_seconds: 0.25, peak_bytes: 3 << 20 };
            let measured = Measured { usage, outcome: (), runs: 3 };
            Figure { bytes, ..Figure::new(what.into(), ours, &measured, 5000) }
        };
        let figures = vec![figure("client", false, 2000, Some(4_000_000)), figure("job", true, 1000, None)];
        let limits = vec![Limit { figure: 0, head: "over client".into() }];
        let about = String::new();
        let text = comparison_table(&Comparison { about, head: ["log", "rows/s"], figures, limits });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "| log    | runs |    s | rows/s | MB/s | CPU s | per CPU s | peak MiB | over client |"
        );
        assert_eq!(
            lines[2],
            "| client |    3 | 2.00 |  2,500 |    2 |  0.25 |    20,000 |        3 |             |"
        );
        assert_eq!(
            lines[3],
            "| job    |    3 | 1.00 |  5,000 |      |  0.25 |    20,000 |        3 |        0.50 |"
        );
    }

    #[test]
    fn the_page_has_its_marks() {
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
        assert!(between_marks(&page, "x").is_some());
    }
}
