//! What the service says about its jobs, in the words of its interfaces.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use culvert_api::{Error, LogStanding};
use culvert_config::{Format, Problem, ProblemKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::tables::ShownTable;

/// The number of a job. Written as text in JSON: numbers past 2^53 do not survive every reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, example = "1764267852001")]
pub(crate) struct JobId(pub(crate) u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for JobId {
    type Err = String;

    fn from_str(text: &str) -> Result<JobId, String> {
        // As SeaTunnel's ids: a positive 64-bit number of Java.
        match text.parse::<i64>() {
            Ok(number) if number > 0 => Ok(JobId(number.unsigned_abs())),
            _ => Err("a job id is a whole number from 1 to 9223372036854775807".to_owned()),
        }
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JobId, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The state of a job: SeaTunnel's words, and two of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum JobStatus {
    /// It is kept, and waits for its turn to start.
    Pending,
    /// Its parts connect, and its restart point is looked for.
    Scheduled,
    /// Data moves, or there is none to move.
    Running,
    /// A call to a server takes longer than `stall.timeout`: nothing moves.
    Stalled,
    /// It goes on, but not as it should: an attempt failed and the next one comes, or a sink is held.
    Degraded,
    /// It finishes its checkpoint, to be restored later.
    DoingSavepoint,
    /// It was stopped behind a checkpoint, to be restored later.
    SavepointDone,
    /// It finishes its checkpoint, because somebody cancelled it.
    Canceling,
    /// Somebody cancelled it. Its restart point is kept.
    Canceled,
    /// It ended with an error that waiting does not mend. Its restart point is kept.
    Failed,
    /// Its sources have ended, and every sink holds their rows.
    Finished,
}

impl JobStatus {
    /// Whether a job in this state does nothing any more.
    pub(crate) fn is_end(self) -> bool {
        match self {
            JobStatus::SavepointDone | JobStatus::Canceled | JobStatus::Failed | JobStatus::Finished => true,
            JobStatus::Pending
            | JobStatus::Scheduled
            | JobStatus::Running
            | JobStatus::Stalled
            | JobStatus::Degraded
            | JobStatus::DoingSavepoint
            | JobStatus::Canceling => false,
        }
    }

    /// The word, as in every interface.
    pub(crate) fn word(self) -> &'static str {
        match self {
            JobStatus::Pending => "PENDING",
            JobStatus::Scheduled => "SCHEDULED",
            JobStatus::Running => "RUNNING",
            JobStatus::Stalled => "STALLED",
            JobStatus::Degraded => "DEGRADED",
            JobStatus::DoingSavepoint => "DOING_SAVEPOINT",
            JobStatus::SavepointDone => "SAVEPOINT_DONE",
            JobStatus::Canceling => "CANCELING",
            JobStatus::Canceled => "CANCELED",
            JobStatus::Failed => "FAILED",
            JobStatus::Finished => "FINISHED",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How the text of a job is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TextFormat {
    /// HOCON.
    #[default]
    Hocon,
    /// JSON.
    Json,
}

impl From<TextFormat> for Format {
    fn from(format: TextFormat) -> Format {
        match format {
            TextFormat::Hocon => Format::Hocon,
            TextFormat::Json => Format::Json,
        }
    }
}

/// A job as somebody wrote it. Holds secrets; `Debug` shows none of the text.
#[derive(Clone, Default, Serialize, Deserialize, PartialEq, Eq, ToSchema)]
pub(crate) struct Definition {
    /// The job file.
    pub(crate) text: String,
    /// How it is written.
    #[serde(default)]
    pub(crate) format: TextFormat,
    /// `name=value`, as with `-i`.
    #[serde(default)]
    pub(crate) variables: Vec<String>,
    /// The job's name; otherwise `job.name` of the file.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// `TYPE.OPTION=VALUE`, as with `-D`: who is told of its events, beside the listeners of the file.
    #[serde(default)]
    pub(crate) properties: Vec<String>,
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a job has done since this process started it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Figures {
    /// Rows that left the source.
    pub(crate) rows_read: u64,
    /// Bytes that the source took in.
    pub(crate) bytes_read: u64,
    /// Rows that sinks accepted, uncommitted ones included.
    pub(crate) rows_written: u64,
    /// Rows that sinks committed.
    pub(crate) rows_committed: u64,
    /// Snapshot chunks whose rows left the source.
    pub(crate) chunks_done: u64,
    /// Snapshot chunks expected over all tables.
    pub(crate) chunks_total: u64,
    /// Completed checkpoints.
    pub(crate) checkpoints: u64,
    /// From the last transaction's commit on the source to its arrival here, in ms.
    pub(crate) lag_ms: u64,
    /// Attempts after a failure.
    pub(crate) restarts: u64,
    /// The newest completed checkpoint's position in the source, for people.
    pub(crate) position: String,
    /// From the commit of the newest row at the source to the commit of its checkpoint at every sink, in ms.
    #[serde(default)]
    pub(crate) end_to_end_lag_ms: Option<u64>,
    /// How long the snapshot will go on, at the pace of its chunks so far.
    #[serde(default)]
    pub(crate) snapshot_left_ms: Option<u64>,
    /// Rows that transforms turned away because they broke a rule; once for each sink they were on the way to.
    #[serde(default)]
    pub(crate) rows_rejected: u64,
    /// Where each source stands in the log of its server, where that is known.
    #[serde(default)]
    pub(crate) sources: Vec<SourceFigures>,
}

/// Where a source stands in the log of its server, as that said last. What it does not tell is null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SourceFigures {
    /// The source's plugin, or its name in the graph where the job has several.
    pub(crate) source: String,
    /// Bytes of log between what every sink has committed and the log's end.
    pub(crate) lag_bytes: Option<u64>,
    /// Bytes of log between what was read and the log's end.
    pub(crate) unread_bytes: Option<u64>,
    /// Transactions that the source has and not every sink.
    pub(crate) lag_transactions: Option<u64>,
    /// Messages that the topic has and not every sink.
    pub(crate) lag_messages: Option<u64>,
    /// WAL that the replication slot makes its server keep.
    pub(crate) slot_retained_bytes: Option<u64>,
    /// WAL that can be written before the slot may be lost.
    pub(crate) slot_safe_bytes: Option<i64>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(crate) slot_wal_status: Option<String>,
    /// Binlog files that are purged before the one to go on from.
    pub(crate) binlog_files_before: Option<u64>,
    /// Bytes in these files.
    pub(crate) binlog_bytes_before: Option<u64>,
    /// The least time until the server's rules let the file go that the job would go on from.
    pub(crate) binlog_purge_left_ms: Option<u64>,
}

impl SourceFigures {
    /// In the words of the interface.
    pub(crate) fn of(source: String, standing: LogStanding) -> SourceFigures {
        let LogStanding { lag_bytes, unread_bytes, lag_transactions, lag_messages, slot, purge } = standing;
        SourceFigures {
            source,
            lag_bytes,
            unread_bytes,
            lag_transactions,
            lag_messages,
            slot_retained_bytes: slot.as_ref().map(|slot| slot.retained_bytes),
            slot_safe_bytes: slot.as_ref().and_then(|slot| slot.safe_bytes),
            slot_wal_status: slot.map(|slot| slot.wal_status),
            binlog_files_before: purge.map(|purge| purge.files),
            binlog_bytes_before: purge.map(|purge| purge.bytes),
            binlog_purge_left_ms: purge.and_then(|purge| purge.time).map(milliseconds),
        }
    }
}

/// A time as the interface tells it.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What has passed of one table at one end of a job since this process started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TableFigures {
    /// `source` or `sink`.
    pub(crate) role: &'static str,
    /// The source's plugin, or the sink's name in the graph.
    pub(crate) end: String,
    /// The table's full name there.
    pub(crate) table: String,
    /// Rows by kind: `+I`, `-U`, `+U`, `-D`.
    #[schema(value_type = std::collections::BTreeMap<String, u64>)]
    pub(crate) rows: BTreeMap<&'static str, u64>,
    /// Bytes of the rows as they lie in memory.
    pub(crate) bytes: u64,
}

impl TableFigures {
    /// Rows of all kinds.
    pub(crate) fn total(&self) -> u64 {
        self.rows.values().sum()
    }
}

/// A node of a job's graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Vertex {
    /// From 1, in the order of the file.
    pub(crate) id: u32,
    /// `source`, `transform` or `sink`.
    pub(crate) role: &'static str,
    /// The plugin, and its place among the blocks of its kind: `MySQL-CDC`, `Sql`, `Jdbc`.
    pub(crate) plugin: String,
    /// The vertices it reads from.
    pub(crate) inputs: Vec<u32>,
}

/// Everything about one job. No secret is in it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobInfo {
    /// Its number.
    pub(crate) id: JobId,
    /// Its name; one running job has it.
    pub(crate) name: String,
    /// Its state.
    pub(crate) status: JobStatus,
    /// Why it is STALLED, DEGRADED or FAILED.
    pub(crate) reason: Option<String>,
    /// Who asked for the last change of its state: a role of the interface, a file of the jobs folder.
    pub(crate) asked_by: String,
    /// The file of the jobs folder it comes from.
    pub(crate) file: Option<String>,
    /// `BATCH` or `STREAMING`.
    pub(crate) mode: &'static str,
    /// Milliseconds since 1970.
    pub(crate) created_ms: u64,
    /// When it was started last.
    pub(crate) started_ms: Option<u64>,
    /// When it ended.
    pub(crate) ended_ms: Option<u64>,
    /// Whether its last start had a restart point of an earlier one.
    pub(crate) restored: bool,
    /// The promise of its weakest sink.
    pub(crate) delivery: &'static str,
    /// The options of `env` as they were written, secrets masked.
    pub(crate) env: BTreeMap<String, String>,
    /// Its graph.
    pub(crate) graph: Vec<Vertex>,
    /// What it has done.
    pub(crate) figures: Figures,
}

/// The newest checkpoint that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CheckpointInfo {
    /// Its number.
    pub(crate) id: u64,
    /// How long ago it was complete, in ms.
    pub(crate) ago_ms: u64,
    /// From its barrier to the last sink's commit, in ms.
    pub(crate) took_ms: u64,
    /// Bytes of the source's state in it.
    pub(crate) bytes: u64,
}

/// How far a sink is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct SinkHolding {
    /// The sink's name in the graph.
    pub(crate) sink: String,
    /// The checkpoint that it has committed, 0 before the first; null while it was never reached.
    pub(crate) committed: Option<u64>,
    /// How many saved checkpoints it has not committed.
    pub(crate) behind: u64,
    /// `live` takes rows as they come, `catching_up` what it lacks, `held` nothing: it failed and is tried again.
    #[schema(value_type = String)]
    pub(crate) state: &'static str,
}

/// What a running job has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Committed {
    /// The newest checkpoint that this process has completed.
    pub(crate) last_checkpoint: Option<CheckpointInfo>,
    /// How far its sinks are; none of a job that does not run.
    pub(crate) sinks: Vec<SinkHolding>,
}

/// The tables behind one vertex of a job's graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct VertexTables {
    /// The vertex.
    pub(crate) vertex: u32,
    /// What leaves it; of a sink, what arrives. Null where that is not known (yet).
    pub(crate) tables: Option<Vec<ShownTable>>,
    /// How many more there are.
    pub(crate) left_out: usize,
    /// Why it cannot be told.
    pub(crate) error: Option<String>,
}

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such job.
    Unknown(JobId),
    /// The job is not in a state for it, or its name or number is taken.
    Conflict(String),
    /// The job file has mistakes.
    Invalid(Vec<Problem>),
    /// It was tried and failed.
    Failed(Error),
}

impl Refusal {
    /// Whether it is only that the metadata provider cannot be asked now.
    pub(crate) fn passes(&self) -> bool {
        let Refusal::Invalid(problems) = self else { return false };
        let mut errors = problems.iter().filter(|problem| problem.is_error()).peekable();
        errors.peek().is_some() && errors.all(|problem| problem.kind == ProblemKind::Unreachable)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Failed(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown(id) => write!(f, "there is no job {id}"),
            Refusal::Conflict(why) => f.write_str(why),
            Refusal::Invalid(problems) => {
                for (at, problem) in problems.iter().enumerate() {
                    write!(f, "{}{problem}", if at == 0 { "" } else { "\n" })?;
                }
                Ok(())
            }
            Refusal::Failed(error) => write!(f, "{error}"),
        }
    }
}
