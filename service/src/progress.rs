//! What a job is doing, once a second on a terminal, in a log line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use culvert_api::{JobProgress, Phase};
use indicatif::{ProgressBar, ProgressStyle};

/// Between two looks on a terminal.
const LOOK: Duration = Duration::from_millis(500);
/// Between two log lines.
const LOG: Duration = Duration::from_secs(30);

/// Shows the progress until it is cancelled.
pub(crate) async fn show(progress: Arc<JobProgress>) {
    let terminal = std::io::stderr().is_terminal();
    let line = terminal.then(|| {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Shown(bar)
    });
    let mut view = View::new();
    let mut ticks = tokio::time::interval(if terminal { LOOK } else { LOG });
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let text = view.text(&progress);
        match &line {
            Some(Shown(bar)) => {
                bar.set_message(text);
                bar.tick();
            }
            None => tracing::info!("{text}"),
        }
    }
}

/// Takes the line off the screen when the task ends.
struct Shown(ProgressBar);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

struct View {
    begun: Instant,
    looked: Instant,
    rows: u64,
}

impl View {
    fn new() -> View {
        let now = Instant::now();
        View { begun: now, looked: now, rows: 0 }
    }

    fn text(&mut self, progress: &JobProgress) -> String {
        let rows = progress.rows_read.load(Relaxed);
        let seconds = self.looked.elapsed().as_secs_f64().max(0.001);
        let rate = (rows - self.rows.min(rows)) as f64 / seconds;
        (self.looked, self.rows) = (Instant::now(), rows);
        let (done, total) = (progress.chunks_done.load(Relaxed), progress.chunks_total.load(Relaxed));
        let committed = progress.rows_committed.load(Relaxed);
        let common = format!("{rows} rows read, {committed} committed, {rate:.0} rows/s");
        if let Some(why) = progress.stalled() {
            return format!("STALLED: {why} · {common}");
        }
        match progress.phase() {
            Phase::Starting => "starting".to_owned(),
            Phase::Waiting => format!("waiting before the next attempt · {common}"),
            Phase::Stopping => format!("stopping · {common}"),
            Phase::Snapshot => {
                let left =
                    progress.snapshot_left().map(|left| format!(", about {:.0} s left", left.as_secs_f64()));
                format!("snapshot {done}/{total} chunks{} · {common}", left.unwrap_or_default())
            }
            Phase::Stream => {
                let lag = progress.lag_ms.load(Relaxed) as f64 / 1000.0;
                format!(
                    "stream, {:.0} s up · {common}, lag {lag:.1} s at the last commit",
                    self.begun.elapsed().as_secs_f64()
                )
            }
        }
    }
}
