//! An event as it is kept and told.

use culvert_api::{EventKind, EventSeverity};
use culvert_config::mask_secrets;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::daemon::model::JobId;

/// What happened, and in which job. No secret and no value of a row is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Event {
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// The job's number; a job outside the service has none.
    pub(crate) job_id: Option<JobId>,
    /// The job's name; none where it is about the service.
    pub(crate) job: Option<String>,
    /// Its type: `JOB_STATUS`, `SCHEMA_CHANGE_ADD_COLUMN`, …
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `info`, `notice`, `warning` or `error`.
    #[schema(value_type = String)]
    pub(crate) severity: EventSeverity,
    /// The table it is about.
    pub(crate) table: Option<String>,
    /// What happened, in a sentence.
    pub(crate) text: String,
    /// The same in parts, by type.
    #[schema(value_type = Object)]
    pub(crate) details: Value,
}

impl Event {
    /// An event of this moment.
    pub(crate) fn new(at_ms: u64, job: Option<(Option<JobId>, String)>, kind: &EventKind) -> Event {
        let (job_id, job) = job.map_or((None, None), |(id, name)| (id, Some(name)));
        Event {
            at_ms,
            job_id,
            job,
            kind: kind.name().to_owned(),
            severity: kind.severity(),
            table: kind.table().map(str::to_owned),
            text: mask_secrets(&kind.text()),
            details: details(kind),
        }
    }
}

/// An event with its number, which counts up and is the same however often it is told.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Numbered {
    /// Its number in the service's log of events.
    pub(crate) sequence: u64,
    #[serde(flatten)]
    pub(crate) event: Event,
}

fn details(kind: &EventKind) -> Value {
    match kind {
        EventKind::JobStatus { status, reason } => {
            json!({"status": status, "reason": reason.as_deref().map(mask_secrets)})
        }
        EventKind::JobStalled { reason }
        | EventKind::JobDegraded { reason }
        | EventKind::JobRecovered { from: reason } => json!({"reason": mask_secrets(reason)}),
        EventKind::SchemaChanged { columns, statement, .. } => {
            json!({"columns": columns, "statement": mask_secrets(statement)})
        }
        EventKind::EnumeratorOpened { source }
        | EventKind::EnumeratorClosed { source }
        | EventKind::ReaderOpened { source }
        | EventKind::ReaderClosed { source } => json!({"source": source}),
        EventKind::WriterOpened { sink } | EventKind::WriterClosed { sink } => json!({"sink": sink}),
        EventKind::CheckpointSlow { checkpoint, seconds } => {
            json!({"checkpoint": checkpoint, "seconds": seconds})
        }
        EventKind::CheckpointFailed { checkpoint, reason } => {
            json!({"checkpoint": checkpoint, "reason": mask_secrets(reason)})
        }
        EventKind::SnapshotProgress { chunks_done, chunks_total } => {
            json!({"chunks_done": chunks_done, "chunks_total": chunks_total})
        }
        EventKind::SnapshotFinished { chunks, rows } => json!({"chunks": chunks, "rows": rows}),
        EventKind::LagOver { lag_ms, threshold_ms } | EventKind::LagUnder { lag_ms, threshold_ms } => {
            json!({"lag_ms": lag_ms, "threshold_ms": threshold_ms})
        }
        EventKind::SlotRetention { bytes, threshold_bytes } => {
            json!({"bytes": bytes, "threshold_bytes": threshold_bytes})
        }
        EventKind::DeadLetterRows { rows, total } => json!({"rows": rows, "total": total}),
        EventKind::EventsLost { events } => json!({"events": events}),
        EventKind::SnapshotStarted | EventKind::Test => json!({}),
    }
}
