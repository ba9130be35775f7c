//! The figures as text, and their place in `docs/benchmarks.md`.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use culvert_tests::Flavor;

use crate::backlog::Backlog;
use crate::checkpoint::{Checkpoints, STATE_BYTES};
use crate::machine;
use crate::measure::Usage;
use crate::peer::reader_name;
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
}

/// Everything measured with one kind of server as the source.
#[derive(Debug)]
pub(crate) struct ServerFigures {
    /// Which.
    pub(crate) flavor: Flavor,
    /// What it says about its version.
    pub(crate) version: String,
    /// The log.
    pub(crate) backlog: Backlog,
    /// Ways through the log: first the server's own reader (raw, text, rows), then ours.
    pub(crate) drain: Vec<Figure>,
    /// Ways through the table: first the server's own client, then ours.
    pub(crate) table: Vec<Figure>,
    /// From commit to visible.
    pub(crate) latency: Spread,
}

/// All figures as Markdown.
pub(crate) fn text(
    environment: &Environment,
    servers: &[ServerFigures],
    checkpoints: &Checkpoints,
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
        let _ = writeln!(text, "### Source: {} {}\n", title(server.flavor), server.version);
        let _ = writeln!(
            text,
            "{} changes of rows in a log of {:.0} MB. One connection wrote them in {:.1} s ({} changes/s).\n",
            thousands(server.backlog.changes()),
            server.backlog.bytes as f64 / 1e6,
            server.backlog.written_in.as_secs_f64(),
            thousands((server.backlog.changes() as f64 / server.backlog.written_in.as_secs_f64()) as u64),
        );
        text.push_str(&drain_table(server));
        text.push('\n');
        text.push_str(&snapshot_table(&server.table));
        text.push('\n');
    }
    text.push_str("### From commit to visible, checkpoints every 100 ms\n\n");
    let rows = servers.iter().map(|server| {
        spread_row(
            &format!("{} to MariaDB, {} rows", title(server.flavor), server.latency.count),
            &server.latency,
        )
    });
    text.push_str(&table(&["", "p50 ms", "p99 ms", "longest ms"], &rows.collect::<Vec<_>>()));
    let count = checkpoints.save.count;
    let _ = writeln!(text, "\n### Saving {count} checkpoints of {STATE_BYTES} bytes\n");
    let rows = [
        spread_row("checkpoint saved", &checkpoints.save),
        spread_row("older checkpoint forgotten", &checkpoints.prune),
        spread_row("bare write and fsync", &checkpoints.fsync),
        spread_row("bare write and fdatasync", &checkpoints.fdatasync),
    ];
    text.push_str(&table(&["", "p50 ms", "p99 ms", "longest ms"], &rows));
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

fn title(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "MariaDB",
        Flavor::MySql => "MySQL",
    }
}

fn drain_table(server: &ServerFigures) -> String {
    let seconds = |at: usize| server.drain.get(at).map_or(f64::NAN, |figure| figure.usage.wall.as_secs_f64());
    let (raw, decoded) = (seconds(0), seconds(2));
    let reader = reader_name(server.flavor);
    let rows: Vec<Vec<String>> = server
        .drain
        .iter()
        .map(|figure| {
            let mut row = usage_row(figure);
            let wall = figure.usage.wall.as_secs_f64();
            let over = |limit: f64| if figure.ours { format!("{:.2}", wall / limit) } else { String::new() };
            row.extend([over(raw), over(decoded)]);
            row
        })
        .collect();
    let (over_raw, over_rows) = (format!("time over {reader} --raw"), format!("over {reader} -v"));
    let head =
        ["log", "runs", "s", "changes/s", "MB/s", "CPU s", "peak MiB", over_raw.as_str(), over_rows.as_str()];
    table(&head, &rows)
}

fn snapshot_table(figures: &[Figure]) -> String {
    let client = figures.first().map_or(f64::NAN, |figure| figure.usage.wall.as_secs_f64());
    let rows: Vec<Vec<String>> = figures
        .iter()
        .enumerate()
        .map(|(at, figure)| {
            let mut row = usage_row(figure);
            // Without a log there are no bytes of it.
            row.remove(4);
            let over = figure.usage.wall.as_secs_f64() / client;
            row.push(if at > 0 { format!("{over:.2}") } else { String::new() });
            row
        })
        .collect();
    table(&["table", "runs", "s", "rows/s", "CPU s", "peak MiB", "time over client"], &rows)
}

fn usage_row(figure: &Figure) -> Vec<String> {
    let Figure { what, usage, runs, rows, bytes, .. } = figure;
    let seconds = usage.wall.as_secs_f64();
    vec![
        what.clone(),
        runs.to_string(),
        format!("{seconds:.2}"),
        thousands((*rows as f64 / seconds) as u64),
        bytes.map_or_else(String::new, |bytes| format!("{:.0}", bytes as f64 / 1e6 / seconds)),
        format!("{:.2}", usage.cpu_seconds),
        format!("{:.0}", usage.peak_bytes as f64 / f64::from(1 << 20)),
    ]
}

fn spread_row(what: &str, spread: &Spread) -> Vec<String> {
    let millis = |time: std::time::Duration| format!("{:.2}", time.as_secs_f64() * 1e3);
    vec![what.to_owned(), millis(spread.p50), millis(spread.p99), millis(spread.longest)]
}

fn thousands(number: u64) -> String {
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
    fn the_page_has_its_marks() {
        let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
        assert!(between_marks(&page, "x").is_some());
    }
}
