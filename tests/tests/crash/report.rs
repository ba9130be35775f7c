//! What a run of the matrix found, as text and as a page.

use std::collections::BTreeMap;
use std::fmt;

use super::cells::{ACTIONS, Action, Phase};
use super::judge::Verdict;

/// What the scenes of one pair and phase found.
pub(crate) struct Line {
    pair: String,
    phase: Phase,
    /// Cells that acted, by point and action.
    acted: BTreeMap<(String, Action), usize>,
    /// Cells whose point was not passed in time.
    idle: Vec<String>,
    scenes: usize,
    transactions: u64,
    changes: usize,
    lost: usize,
    twice: usize,
    faults: Vec<String>,
    pub(crate) seconds: f64,
}

impl Line {
    pub(crate) fn new(pair: String, phase: Phase) -> Line {
        Line {
            pair,
            phase,
            acted: BTreeMap::new(),
            idle: Vec::new(),
            scenes: 0,
            transactions: 0,
            changes: 0,
            lost: 0,
            twice: 0,
            faults: Vec::new(),
            seconds: 0.0,
        }
    }

    pub(crate) fn acted(&mut self, point: &str, action: Action) {
        *self.acted.entry((point.to_owned(), action)).or_default() += 1;
    }

    pub(crate) fn idle(&mut self, point: &str) {
        self.idle.push(point.to_owned());
    }

    pub(crate) fn judged(&mut self, transactions: u64, verdicts: &[Verdict]) {
        self.scenes += 1;
        self.transactions += transactions;
        for verdict in verdicts {
            self.changes += verdict.changes;
            self.lost += verdict.lost;
            self.twice += verdict.twice;
            let place = format!("{}, {}", self.pair, self.phase);
            self.faults.extend(verdict.first.iter().map(|first| format!("{place}: {first}")));
        }
    }

    fn count(&self, action: Action) -> usize {
        self.acted.iter().filter(|((_, done), _)| *done == action).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}:", self.pair, self.phase)?;
        for action in ACTIONS {
            write!(f, " {} {action},", self.count(action))?;
        }
        write!(
            f,
            " {} scenes, {} transactions, {} changes, {} lost, {} twice, {:.1} s",
            self.scenes, self.transactions, self.changes, self.lost, self.twice, self.seconds
        )?;
        if !self.idle.is_empty() {
            write!(f, "; not passed in time: {}", self.idle.join(", "))?;
        }
        Ok(())
    }
}

/// All lines.
pub(crate) struct Report {
    seed: u64,
    lines: Vec<Line>,
    pub(crate) seconds: u64,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Report {
        Report { seed, lines: Vec::new(), seconds: 0 }
    }

    pub(crate) fn add(&mut self, line: Line) {
        self.lines.push(line);
        self.lines.sort_by(|a, b| (&a.pair, a.phase).cmp(&(&b.pair, b.phase)));
    }

    pub(crate) fn acted(&self) -> usize {
        self.lines.iter().flat_map(|line| line.acted.values()).sum()
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        self.lines.iter().flat_map(|line| line.faults.iter().cloned()).collect()
    }

    fn sum(&self, count: impl Fn(&Line) -> usize) -> usize {
        self.lines.iter().map(count).sum()
    }

    pub(crate) fn summary(&self) -> String {
        let mut text = format!("crash matrix: {} cells", self.acted());
        for action in ACTIONS {
            text.push_str(&format!(", {} {action}", self.sum(|line| line.count(action))));
        }
        text.push_str(&format!(
            "; {} changes, {} lost, {} twice; {} s, seed {}",
            self.sum(|line| line.changes),
            self.sum(|line| line.lost),
            self.sum(|line| line.twice),
            self.seconds,
            self.seed
        ));
        text
    }

    /// Writes the page.
    pub(crate) fn write(&self) {
        let path = crate::tidy::root().join("docs").join("crash-matrix.md");
        std::fs::write(&path, self.page()).expect("the page is written");
        println!("written: {}", path.display());
    }

    fn page(&self) -> String {
        let mut text = String::from(INTRODUCTION);
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let date = chrono::Utc::now().format("%Y-%m-%d");
        text.push_str(&format!(
            "\n## The last whole run\n\n{date}, {cores} cores, {} min, seed {}: **{}**.\n\n",
            self.seconds / 60,
            self.seed,
            self.summary_of_page()
        ));
        text.push_str("| Pair | Doing | error | lost answer | panic | kill -9 | Transactions | Changes read | Lost | Twice |\n");
        text.push_str("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
        for line in &self.lines {
            text.push_str(&format!("| {} | {} |", line.pair, line.phase));
            for action in ACTIONS {
                text.push_str(&format!(" {} |", line.count(action)));
            }
            let Line { transactions, changes, lost, twice, .. } = line;
            text.push_str(&format!(" {transactions} | {changes} | {lost} | {twice} |\n"));
        }
        text.push_str("\nBy fail point, over all pairs:\n\n| Fail point | error or lost answer | panic | kill -9 |\n|---|--:|--:|--:|\n");
        let mut points: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for ((point, action), count) in self.lines.iter().flat_map(|line| &line.acted) {
            let column = match action {
                Action::Error | Action::LostAnswer => 0,
                Action::Panic => 1,
                Action::Kill => 2,
            };
            points.entry(point).or_default()[column] += count;
        }
        for (point, [failed, panicked, killed]) in points {
            text.push_str(&format!("| `{point}` | {failed} | {panicked} | {killed} |\n"));
        }
        let idle: usize = self.sum(|line| line.idle.len());
        text.push_str(&format!(
            "\nCells whose point was not passed in time, and which count for nothing: {idle}.\n"
        ));
        text
    }

    fn summary_of_page(&self) -> String {
        format!(
            "{} kills by SIGKILL, {} panics, {} errors and {} lost answers; {} lost, {} twice",
            self.sum(|line| line.count(Action::Kill)),
            self.sum(|line| line.count(Action::Panic)),
            self.sum(|line| line.count(Action::Error)),
            self.sum(|line| line.count(Action::LostAnswer)),
            self.sum(|line| line.lost),
            self.sum(|line| line.twice),
        )
    }
}

const INTRODUCTION: &str = "\
# The crash matrix

Written by `make crash-matrix`. Real servers, the program as it is shipped, and a job that is made to fail at every step it
takes, again and again, while its source is written to. In the end the target is read as a user would read it.

**Cells.** Before and after each of the engine's steps, and inside each sink's commit, there is a fail point
(`api/src/failpoint.rs`). At each of them the step fails (*error*, before it), takes effect without an answer (*lost answer*, behind it), the task panics, or the process
is ended by SIGKILL. Each of these happens while a snapshot is read, at the hand-over from snapshot to stream, in the stream, and
while tables change their shape; from MySQL, MariaDB and PostgreSQL, into MySQL, PostgreSQL, Kafka,
files of JSON in a folder, files of Parquet and tables of Iceberg, both in a folder and in a bucket. Kills come three times each, at another
pass of their point; once at the hand-over into Kafka.

**The judge.** The job appends every change, with its kind, to log tables (SQL), topics (Kafka, read as `read_committed`), files (Parquet read by DuckDB), or tables of a
lake (read by pyiceberg). Each change of a source row is
unique, so the judge can tell for each whether it is missing or there twice, and whether the history of every row is in order and
ends with what the source has. Tables with and without a key are judged.

**Slices.** `make test` plays some cells of every pair, chosen by a seed that it prints.
`CULVERT_TEST_SEED=… make crash-matrix` repeats the choice and the order of cells; which transactions a crash meets is up to the clock.
";
