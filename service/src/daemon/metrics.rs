//! What Prometheus is told of the service and its jobs.
//!
//! The jobs count into their own figures as they work; a scrape takes them over as they are. So nothing is
//! kept of a job that is gone, and a job pays nothing for being watched. Names and units follow Prometheus'
//! conventions: base units, `_total` for what only grows.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use culvert_api::{Flowed, JobProgress, LogStanding, Phase, RowKind, TableId};
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::daemon::jobs::Jobs;
use crate::daemon::model::{JobId, JobStatus};
use crate::events::ListenerInfo;

/// Every state, so that a graph shows zeroes.
const STATUSES: [JobStatus; 11] = [
    JobStatus::Pending,
    JobStatus::Scheduled,
    JobStatus::Running,
    JobStatus::Stalled,
    JobStatus::Degraded,
    JobStatus::DoingSavepoint,
    JobStatus::SavepointDone,
    JobStatus::Canceling,
    JobStatus::Canceled,
    JobStatus::Failed,
    JobStatus::Finished,
];

/// The figures of now, in Prometheus' text format.
pub(crate) fn render(jobs: &Jobs) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe();
        of_process();
        let all = jobs.list();
        for status in STATUSES {
            let count = all.iter().filter(|job| job.status == status).count();
            gauge!("culvert_jobs", "status" => status.word()).set(count as f64);
        }
        for job in &all {
            let labels = [("job", job.name.clone()), ("id", job.id.to_string())];
            gauge!("culvert_job_up", &labels).set(f64::from(u8::from(job.status == JobStatus::Running)));
        }
        for (id, name, progress) in jobs.progress() {
            of_job(id, &name, &progress);
        }
        jobs.events().listeners().iter().for_each(of_listener);
    });
    recorder.handle().render()
}

/// What goes up and down: name, unit, meaning.
const GAUGES: &[(&str, Unit, &str)] = &[
    ("culvert_jobs", Unit::Count, "Jobs in this state"),
    (
        "culvert_listener_behind_events",
        Unit::Count,
        "Events that a listener has not been told, those that it does not want among them",
    ),
    ("culvert_job_up", Unit::Count, "1 when the job is RUNNING: it moves, or there is nothing to move"),
    ("culvert_job_lag_seconds", Unit::Seconds, "Age of the last transaction when it arrived"),
    ("culvert_job_snapshot_chunks", Unit::Count, "Chunks of the snapshot, all of them"),
    ("culvert_job_snapshot_chunks_done", Unit::Count, "Chunks of the snapshot whose rows left the source"),
    (
        "culvert_job_snapshot_left_seconds",
        Unit::Seconds,
        "How long the snapshot will go on, at the pace of its chunks so far",
    ),
    ("culvert_job_snapshot_running", Unit::Count, "1 while tables are read that were there before"),
    (
        "culvert_job_end_to_end_lag_ms",
        Unit::Milliseconds,
        "From the commit of the newest row at the source to the commit of its checkpoint at every sink, of the last one",
    ),
    (
        "culvert_job_end_to_end_lag_longest_ms",
        Unit::Milliseconds,
        "The longest of these since the last scrape",
    ),
    ("culvert_source_lag_bytes", Unit::Bytes, "Log between what every sink has committed and the log's end"),
    ("culvert_source_unread_bytes", Unit::Bytes, "Log between what was read and the log's end"),
    ("culvert_source_lag_transactions", Unit::Count, "Transactions that the source has and not every sink"),
    ("culvert_source_lag_messages", Unit::Count, "Messages that the topic has and not every sink"),
    ("culvert_slot_retained_bytes", Unit::Bytes, "WAL that the replication slot makes its server keep"),
    ("culvert_slot_safe_bytes", Unit::Bytes, "WAL that can be written before the slot may be lost"),
    ("culvert_slot_wal_status", Unit::Count, "1 for the state the server says the slot's WAL is in"),
    ("culvert_binlog_files_before", Unit::Count, "Binlog files that are purged before the one to go on from"),
    ("culvert_binlog_bytes_before", Unit::Bytes, "Bytes in these files"),
    (
        "culvert_binlog_purge_left_seconds",
        Unit::Seconds,
        "The least time until the server's rules let the file go that the job would go on from",
    ),
    ("culvert_checkpoint_age_seconds", Unit::Seconds, "Since the newest checkpoint was complete"),
    ("culvert_checkpoint_duration_seconds", Unit::Seconds, "What the newest checkpoint took"),
    ("culvert_checkpoint_state_bytes", Unit::Bytes, "Bytes of the source's state in the newest checkpoint"),
    ("culvert_queue_bytes", Unit::Bytes, "Bytes of rows that wait in front of a sink"),
    ("process_resident_memory_bytes", Unit::Bytes, "Memory of the process"),
    ("process_threads", Unit::Count, "Threads of the process"),
    ("process_open_fds", Unit::Count, "Open files of the process"),
];

/// What only grows.
const COUNTERS: &[(&str, Unit, &str)] = &[
    ("culvert_rows_read_total", Unit::Count, "Rows that left a source, by table and kind"),
    ("culvert_bytes_read_total", Unit::Bytes, "Bytes of those rows as they lie in memory"),
    ("culvert_rows_written_total", Unit::Count, "Rows that a sink accepted, by table and kind"),
    ("culvert_bytes_written_total", Unit::Bytes, "Bytes of those rows as they lie in memory"),
    (
        "culvert_rows_rejected_total",
        Unit::Count,
        "Rows that a transform turned away because they broke a rule",
    ),
    ("culvert_rows_committed_total", Unit::Count, "Rows that sinks committed"),
    ("culvert_log_bytes_total", Unit::Bytes, "Bytes of log and result sets that the source took in"),
    ("culvert_checkpoints_total", Unit::Count, "Completed checkpoints"),
    ("culvert_listener_messages_total", Unit::Count, "Messages that a listener has taken"),
    ("culvert_listener_failures_total", Unit::Count, "Messages that did not arrive, and are sent again"),
    ("culvert_restarts_total", Unit::Count, "Attempts after a failure that passed"),
];

fn describe() {
    GAUGES.iter().for_each(|(name, unit, text)| describe_gauge!(*name, *unit, *text));
    COUNTERS.iter().for_each(|(name, unit, text)| describe_counter!(*name, *unit, *text));
}

fn of_job(id: JobId, name: &str, progress: &Arc<JobProgress>) {
    let labels = [("job", name.to_owned()), ("id", id.to_string())];
    counter!("culvert_rows_committed_total", &labels).absolute(progress.rows_committed.load(Relaxed));
    counter!("culvert_log_bytes_total", &labels).absolute(progress.bytes_read.load(Relaxed));
    counter!("culvert_checkpoints_total", &labels).absolute(progress.checkpoints.load(Relaxed));
    counter!("culvert_restarts_total", &labels).absolute(progress.restarts.load(Relaxed));
    gauge!("culvert_job_lag_seconds", &labels).set(progress.lag_ms.load(Relaxed) as f64 / 1e3);
    gauge!("culvert_job_snapshot_chunks", &labels).set(progress.chunks_total.load(Relaxed) as f64);
    gauge!("culvert_job_snapshot_chunks_done", &labels).set(progress.chunks_done.load(Relaxed) as f64);
    if let Some(left) = progress.snapshot_left() {
        gauge!("culvert_job_snapshot_left_seconds", &labels).set(left.as_secs_f64());
    }
    if let Some(ms) = progress.end_to_end.last_ms() {
        gauge!("culvert_job_end_to_end_lag_ms", &labels).set(ms as f64);
    }
    if let Some(ms) = progress.end_to_end.take_longest_ms() {
        gauge!("culvert_job_end_to_end_lag_longest_ms", &labels).set(ms as f64);
    }
    let in_snapshot = progress.phase() == Phase::Snapshot;
    gauge!("culvert_job_snapshot_running", &labels).set(f64::from(u8::from(in_snapshot)));
    if let Some(last) = progress.last_checkpoint() {
        gauge!("culvert_checkpoint_age_seconds", &labels).set(last.ended.elapsed().as_secs_f64());
        gauge!("culvert_checkpoint_duration_seconds", &labels).set(last.took.as_secs_f64());
        gauge!("culvert_checkpoint_state_bytes", &labels).set(last.bytes as f64);
    }
    for (sink, bytes) in progress.queues.bytes() {
        let labels = [labels[0].clone(), labels[1].clone(), ("sink", sink)];
        gauge!("culvert_queue_bytes", &labels).set(bytes as f64);
    }
    for (source, standing) in progress.standings.by_source() {
        of_source(&[labels[0].clone(), labels[1].clone(), ("source", source)], &standing);
    }
    for (sink, transform, rows) in progress.rejected.totals() {
        let labels = [labels[0].clone(), labels[1].clone(), ("sink", sink), ("transform", transform)];
        counter!("culvert_rows_rejected_total", &labels).absolute(rows);
    }
    let ends = [
        ("source", "culvert_rows_read_total", "culvert_bytes_read_total", &progress.read),
        ("sink", "culvert_rows_written_total", "culvert_bytes_written_total", &progress.written),
    ];
    for (role, rows, bytes, traffic) in ends {
        for (end, table, flowed) in traffic.totals() {
            of_table(&labels, (role, end), &table, (rows, bytes), &flowed);
        }
    }
}

fn of_listener(listener: &ListenerInfo) {
    let id = listener.job_id.map(|id| id.to_string()).unwrap_or_default();
    let labels = [("listener", listener.name.clone()), ("id", id)];
    gauge!("culvert_listener_behind_events", &labels).set(listener.behind as f64);
    counter!("culvert_listener_messages_total", &labels).absolute(listener.messages);
    counter!("culvert_listener_failures_total", &labels).absolute(listener.failures);
}

/// Where a source stands in its server's log; what is not known has no figure.
fn of_source(labels: &[(&'static str, String); 3], standing: &LogStanding) {
    let slot = standing.slot.as_ref();
    let purge = standing.purge.as_ref();
    let figures = [
        ("culvert_source_lag_bytes", standing.lag_bytes.map(|it| it as f64)),
        ("culvert_source_unread_bytes", standing.unread_bytes.map(|it| it as f64)),
        ("culvert_source_lag_transactions", standing.lag_transactions.map(|it| it as f64)),
        ("culvert_source_lag_messages", standing.lag_messages.map(|it| it as f64)),
        ("culvert_slot_retained_bytes", slot.map(|slot| slot.retained_bytes as f64)),
        ("culvert_slot_safe_bytes", slot.and_then(|slot| slot.safe_bytes).map(|it| it as f64)),
        ("culvert_binlog_files_before", purge.map(|purge| purge.files as f64)),
        ("culvert_binlog_bytes_before", purge.map(|purge| purge.bytes as f64)),
        ("culvert_binlog_purge_left_seconds", purge.and_then(|it| it.time).map(|it| it.as_secs_f64())),
    ];
    for (name, figure) in figures {
        if let Some(figure) = figure {
            gauge!(name, labels).set(figure);
        }
    }
    if let Some(slot) = slot {
        let mut labels = labels.to_vec();
        labels.push(("status", slot.wal_status.clone()));
        gauge!("culvert_slot_wal_status", &labels).set(1.0);
    }
}

fn of_table(
    labels: &[(&'static str, String)],
    end: (&'static str, String),
    table: &TableId,
    (rows, bytes): (&'static str, &'static str),
    flowed: &Flowed,
) {
    let mut labels = labels.to_vec();
    labels.extend([end, ("table", table.to_string())]);
    counter!(bytes, &labels).absolute(flowed.bytes);
    for (kind, count) in RowKind::ALL.into_iter().zip(flowed.rows) {
        if count > 0 {
            let mut labels = labels.clone();
            labels.push(("kind", kind.short().to_owned()));
            counter!(rows, &labels).absolute(count);
        }
    }
}

/// What the system says of this process; nothing where it does not.
fn of_process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    if let Some(kilobytes) = field("VmRSS:") {
        gauge!("process_resident_memory_bytes").set(kilobytes * 1024.0);
    }
    if let Some(threads) = field("Threads:") {
        gauge!("process_threads").set(threads);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    fn known() -> BTreeSet<&'static str> {
        GAUGES.iter().chain(COUNTERS).map(|(name, _, _)| *name).collect()
    }

    fn document(name: &str) -> String {
        std::fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    /// The names of figures in a text.
    fn named(text: &str) -> BTreeSet<&str> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.filter(|word| word.starts_with("culvert_") || word.starts_with("process_")).collect()
    }

    #[test]
    fn the_page_lists_every_figure_and_no_other() {
        let page = document("metrics.md");
        let rows: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| !name.contains(' '))
            .collect();
        assert_eq!(rows, known());
    }

    #[test]
    fn the_dashboard_and_the_alerts_ask_for_figures_that_are_there() {
        for file in ["monitoring/grafana-dashboard.json", "monitoring/alerts.yml"] {
            let text = document(file);
            let found = named(&text);
            assert!(found.len() > 5, "{file}");
            let known = known();
            let strangers: Vec<_> = found.difference(&known).collect();
            assert!(strangers.is_empty(), "{file}: {strangers:?}");
        }
        let dashboard: serde_json::Value =
            serde_json::from_str(&document("monitoring/grafana-dashboard.json")).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() >= 10);
    }
}
