//! What happens in a job that people want to be told of: typed, with SeaTunnel's names where it has one.
//!
//! Whoever notices something says so through [`JobProgress::tell`](crate::JobProgress::tell), which never
//! waits. What becomes of it is the listener's: the service keeps events on disk before it sends them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::schema::{Column, SchemaChange, TableId, TableSchema};

/// Characters of a statement or a reason that an event carries.
const TEXT_CHARS_MAX: usize = 2_000;

/// How much an event matters to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventSeverity {
    /// The everyday: something opened, closed, went on.
    Info,
    /// Worth knowing: a table changed shape, a job started or ended as asked.
    Notice,
    /// It goes on, but somebody should look.
    Warning,
    /// It does not go on without somebody.
    Error,
}

impl EventSeverity {
    /// All of them, the least first.
    pub const ALL: [EventSeverity; 4] =
        [EventSeverity::Info, EventSeverity::Notice, EventSeverity::Warning, EventSeverity::Error];

    /// The word, as it is written everywhere.
    pub fn word(self) -> &'static str {
        match self {
            EventSeverity::Info => "info",
            EventSeverity::Notice => "notice",
            EventSeverity::Warning => "warning",
            EventSeverity::Error => "error",
        }
    }
}

impl fmt::Display for EventSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a change of a table's shape did to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeChange {
    /// One column more.
    AddColumn,
    /// One column fewer.
    DropColumn,
    /// One column with another type, or with NULL allowed or not.
    ModifyColumn,
    /// One column with another name.
    RenameColumn,
    /// Several of these at once.
    UpdateColumns,
    /// The table has another name.
    RenameTable,
    /// The table is new to the job.
    CreateTable,
    /// The table is gone.
    DropTable,
    /// Something else: its key, its rows' order.
    AlterTable,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The job has another state.
    JobStatus {
        /// The state's word: `RUNNING`, `FAILED`, …
        status: &'static str,
        /// Why, where there is a reason.
        reason: Option<String>,
    },
    /// A call to a server takes too long: nothing moves.
    JobStalled {
        /// What the job waits for.
        reason: String,
    },
    /// The job goes on otherwise than it should: an attempt failed and the next one comes, a sink is held.
    JobDegraded {
        /// Why.
        reason: String,
    },
    /// A job that was stalled or degraded goes on as it should.
    JobRecovered {
        /// What it recovered from.
        from: String,
    },
    /// A table changed its shape.
    SchemaChanged {
        /// What was done to it.
        change: ShapeChange,
        /// The table's full name, the new one where it was renamed.
        table: String,
        /// The columns it is about, for people: `+ note varchar(20)`.
        columns: Vec<String>,
        /// The statement as the source logged it.
        statement: String,
    },
    /// The source's enumerator was opened.
    EnumeratorOpened {
        /// The source's plugin.
        source: String,
    },
    /// The source's enumerator was closed.
    EnumeratorClosed {
        /// The source's plugin.
        source: String,
    },
    /// The source's reader was opened.
    ReaderOpened {
        /// The source's plugin.
        source: String,
    },
    /// The source's reader was closed.
    ReaderClosed {
        /// The source's plugin.
        source: String,
    },
    /// A sink's writer was opened.
    WriterOpened {
        /// The sink's name in the graph.
        sink: String,
    },
    /// A sink's writer was closed.
    WriterClosed {
        /// The sink's name in the graph.
        sink: String,
    },
    /// A checkpoint takes longer than `checkpoint.timeout`; it goes on.
    CheckpointSlow {
        /// Its number.
        checkpoint: u64,
        /// How long it has taken.
        seconds: u64,
    },
    /// An attempt ended before its checkpoint did.
    CheckpointFailed {
        /// Its number.
        checkpoint: u64,
        /// Why.
        reason: String,
    },
    /// What was there before is being read.
    SnapshotStarted,
    /// How far the snapshot is.
    SnapshotProgress {
        /// Chunks that were read.
        chunks_done: u64,
        /// Chunks in all; an estimate until planning ends.
        chunks_total: u64,
    },
    /// What was there before has been read.
    SnapshotFinished {
        /// Chunks that were read.
        chunks: u64,
        /// Rows that were read until now.
        rows: u64,
    },
    /// Changes arrive later than the threshold allows.
    LagOver {
        /// From a change's commit to its arrival here.
        lag_ms: u64,
        /// The threshold.
        threshold_ms: u64,
    },
    /// They arrive in time again.
    LagUnder {
        /// From a change's commit to its arrival here.
        lag_ms: u64,
        /// The threshold.
        threshold_ms: u64,
    },
    /// A replication slot holds back much of the server's log.
    SlotRetention {
        /// Bytes that are held back.
        bytes: u64,
        /// The threshold.
        threshold_bytes: u64,
    },
    /// Rows were turned away, to where dead letters go.
    DeadLetterRows {
        /// Rows since the last event of this kind.
        rows: u64,
        /// Rows since the job was started.
        total: u64,
    },
    /// Events were lost, because they could not be kept.
    EventsLost {
        /// How many.
        events: u64,
    },
    /// Somebody tries a listener.
    Test,
}

impl EventKind {
    /// The name of every type there is, as filters and messages have it.
    pub const NAMES: &'static [&'static str] = &[
        "JOB_STATUS",
        "JOB_STALLED",
        "JOB_DEGRADED",
        "JOB_RECOVERED",
        "SCHEMA_CHANGE_ADD_COLUMN",
        "SCHEMA_CHANGE_DROP_COLUMN",
        "SCHEMA_CHANGE_MODIFY_COLUMN",
        "SCHEMA_CHANGE_CHANGE_COLUMN",
        "SCHEMA_CHANGE_UPDATE_COLUMNS",
        "SCHEMA_CHANGE_RENAME_TABLE",
        "SCHEMA_CHANGE_CREATE_TABLE",
        "SCHEMA_CHANGE_DROP_TABLE",
        "SCHEMA_CHANGE_ALTER_TABLE",
        "LIFECYCLE_ENUMERATOR_OPEN",
        "LIFECYCLE_ENUMERATOR_CLOSE",
        "LIFECYCLE_READER_OPEN",
        "LIFECYCLE_READER_CLOSE",
        "LIFECYCLE_WRITER_OPEN",
        "LIFECYCLE_WRITER_CLOSE",
        "CHECKPOINT_SLOW",
        "CHECKPOINT_FAILED",
        "SNAPSHOT_STARTED",
        "SNAPSHOT_PROGRESS",
        "SNAPSHOT_FINISHED",
        "LAG_OVER_THRESHOLD",
        "LAG_UNDER_THRESHOLD",
        "SLOT_RETENTION",
        "DEAD_LETTER_ROWS",
        "EVENTS_LOST",
        "TEST",
    ];

    /// The event of a change of shape.
    pub fn of_change(change: &SchemaChange) -> EventKind {
        let (what, columns) = judged(change);
        let table = change.table().map(ToString::to_string).unwrap_or_default();
        EventKind::SchemaChanged { change: what, table, columns, statement: cut(&change.statement) }
    }

    /// Its type's name: SeaTunnel's where it has one for this.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::JobStatus { .. } => "JOB_STATUS",
            EventKind::JobStalled { .. } => "JOB_STALLED",
            EventKind::JobDegraded { .. } => "JOB_DEGRADED",
            EventKind::JobRecovered { .. } => "JOB_RECOVERED",
            EventKind::SchemaChanged { change, .. } => match change {
                ShapeChange::AddColumn => "SCHEMA_CHANGE_ADD_COLUMN",
                ShapeChange::DropColumn => "SCHEMA_CHANGE_DROP_COLUMN",
                ShapeChange::ModifyColumn => "SCHEMA_CHANGE_MODIFY_COLUMN",
                ShapeChange::RenameColumn => "SCHEMA_CHANGE_CHANGE_COLUMN",
                ShapeChange::UpdateColumns => "SCHEMA_CHANGE_UPDATE_COLUMNS",
                ShapeChange::RenameTable => "SCHEMA_CHANGE_RENAME_TABLE",
                ShapeChange::CreateTable => "SCHEMA_CHANGE_CREATE_TABLE",
                ShapeChange::DropTable => "SCHEMA_CHANGE_DROP_TABLE",
                ShapeChange::AlterTable => "SCHEMA_CHANGE_ALTER_TABLE",
            },
            EventKind::EnumeratorOpened { .. } => "LIFECYCLE_ENUMERATOR_OPEN",
            EventKind::EnumeratorClosed { .. } => "LIFECYCLE_ENUMERATOR_CLOSE",
            EventKind::ReaderOpened { .. } => "LIFECYCLE_READER_OPEN",
            EventKind::ReaderClosed { .. } => "LIFECYCLE_READER_CLOSE",
            EventKind::WriterOpened { .. } => "LIFECYCLE_WRITER_OPEN",
            EventKind::WriterClosed { .. } => "LIFECYCLE_WRITER_CLOSE",
            EventKind::CheckpointSlow { .. } => "CHECKPOINT_SLOW",
            EventKind::CheckpointFailed { .. } => "CHECKPOINT_FAILED",
            EventKind::SnapshotStarted => "SNAPSHOT_STARTED",
            EventKind::SnapshotProgress { .. } => "SNAPSHOT_PROGRESS",
            EventKind::SnapshotFinished { .. } => "SNAPSHOT_FINISHED",
            EventKind::LagOver { .. } => "LAG_OVER_THRESHOLD",
            EventKind::LagUnder { .. } => "LAG_UNDER_THRESHOLD",
            EventKind::SlotRetention { .. } => "SLOT_RETENTION",
            EventKind::DeadLetterRows { .. } => "DEAD_LETTER_ROWS",
            EventKind::EventsLost { .. } => "EVENTS_LOST",
            EventKind::Test => "TEST",
        }
    }

    /// How much it matters.
    pub fn severity(&self) -> EventSeverity {
        match self {
            EventKind::JobStatus { status, reason } => match (*status, reason) {
                ("FAILED", _) => EventSeverity::Error,
                (_, Some(_)) => EventSeverity::Warning,
                ("PENDING" | "SCHEDULED" | "DOING_SAVEPOINT" | "CANCELING", None) => EventSeverity::Info,
                _ => EventSeverity::Notice,
            },
            EventKind::EventsLost { .. } => EventSeverity::Error,
            EventKind::JobStalled { .. }
            | EventKind::JobDegraded { .. }
            | EventKind::CheckpointSlow { .. }
            | EventKind::CheckpointFailed { .. }
            | EventKind::LagOver { .. }
            | EventKind::SlotRetention { .. }
            | EventKind::DeadLetterRows { .. } => EventSeverity::Warning,
            EventKind::JobRecovered { .. }
            | EventKind::SchemaChanged { .. }
            | EventKind::SnapshotFinished { .. }
            | EventKind::LagUnder { .. }
            | EventKind::Test => EventSeverity::Notice,
            EventKind::EnumeratorOpened { .. }
            | EventKind::EnumeratorClosed { .. }
            | EventKind::ReaderOpened { .. }
            | EventKind::ReaderClosed { .. }
            | EventKind::WriterOpened { .. }
            | EventKind::WriterClosed { .. }
            | EventKind::SnapshotStarted
            | EventKind::SnapshotProgress { .. } => EventSeverity::Info,
        }
    }

    /// The table it is about.
    pub fn table(&self) -> Option<&str> {
        match self {
            EventKind::SchemaChanged { table, .. } => Some(table),
            _ => None,
        }
    }

    /// What happened, in a sentence without the job's name.
    pub fn text(&self) -> String {
        let because = |what: &str, reason: &str| format!("{what}: {}", cut(reason));
        match self {
            EventKind::JobStatus { status, reason: Some(reason) } => {
                because(&format!("the job is {status}"), reason)
            }
            EventKind::JobStatus { status, reason: None } => format!("the job is {status}"),
            EventKind::JobStalled { reason } => because("nothing moves, a call takes too long", reason),
            EventKind::JobDegraded { reason } => because("the job goes on, but not as it should", reason),
            EventKind::JobRecovered { from } => because("the job goes on as it should, after", from),
            EventKind::SchemaChanged { change, table, columns, statement } => {
                let what = match change {
                    ShapeChange::AddColumn => "has a new column",
                    ShapeChange::DropColumn => "has lost a column",
                    ShapeChange::ModifyColumn => "has a changed column",
                    ShapeChange::RenameColumn => "has a renamed column",
                    ShapeChange::UpdateColumns => "has changed columns",
                    ShapeChange::RenameTable => "has a new name",
                    ShapeChange::CreateTable => "is new to the job",
                    ShapeChange::DropTable => "was dropped",
                    ShapeChange::AlterTable => "was altered",
                };
                let mut text = format!("table {table} {what}");
                for (place, column) in columns.iter().enumerate() {
                    text.push_str(if place == 0 { ": " } else { ", " });
                    text.push_str(column);
                }
                if !statement.is_empty() {
                    text.push_str(&format!(" ({statement})"));
                }
                text
            }
            EventKind::EnumeratorOpened { source } => format!("the enumerator of source {source} is open"),
            EventKind::EnumeratorClosed { source } => format!("the enumerator of source {source} is closed"),
            EventKind::ReaderOpened { source } => format!("the reader of source {source} is open"),
            EventKind::ReaderClosed { source } => format!("the reader of source {source} is closed"),
            EventKind::WriterOpened { sink } => format!("the writer of sink {sink} is open"),
            EventKind::WriterClosed { sink } => format!("the writer of sink {sink} is closed"),
            EventKind::CheckpointSlow { checkpoint, seconds } => {
                format!(
                    "checkpoint {checkpoint} has taken {seconds} s and is not complete; the job waits for a sink"
                )
            }
            EventKind::CheckpointFailed { checkpoint, reason } => {
                because(&format!("checkpoint {checkpoint} was given up with its attempt"), reason)
            }
            EventKind::SnapshotStarted => "the snapshot is being read".to_owned(),
            EventKind::SnapshotProgress { chunks_done, chunks_total } => {
                format!("{chunks_done} of {chunks_total} chunks of the snapshot have been read")
            }
            EventKind::SnapshotFinished { chunks, rows } => {
                format!("the snapshot has been read: {chunks} chunks, {rows} rows")
            }
            EventKind::LagOver { lag_ms, threshold_ms } => {
                format!(
                    "changes arrive {lag_ms} ms after their commit, more than the {threshold_ms} ms of lag.threshold"
                )
            }
            EventKind::LagUnder { lag_ms, threshold_ms } => {
                format!(
                    "changes arrive {lag_ms} ms after their commit, within the {threshold_ms} ms of lag.threshold"
                )
            }
            EventKind::SlotRetention { bytes, threshold_bytes } => format!(
                "the replication slot holds back {bytes} bytes of the server's log, more than the {threshold_bytes} of slot.retention.threshold"
            ),
            EventKind::DeadLetterRows { rows, total } => {
                format!("{rows} rows were turned away, {total} since the job was started")
            }
            EventKind::EventsLost { events } => {
                format!("{events} events are lost, because they could not be written to disk in time")
            }
            EventKind::Test => "this is a test; nothing happened".to_owned(),
        }
    }
}

/// Who is told of events. Neither call may wait for the network.
pub trait EventListener: Send + Sync {
    /// Takes an event; returns at once, whatever becomes of it.
    fn tell(&self, kind: EventKind);

    /// Waits, for so long at most, until every event told before is on disk. Called before a checkpoint is
    /// saved, off the event loop: what a checkpoint lies behind is not read again, and so not told again.
    fn keep(&self, within: Duration);
}

/// The listener of a job, set once.
#[derive(Default)]
pub(crate) struct Listening(OnceLock<Arc<dyn EventListener>>);

impl Listening {
    pub(crate) fn set(&self, listener: Arc<dyn EventListener>) {
        // The first one stays; a job is given one.
        let _ = self.0.set(listener);
    }

    pub(crate) fn get(&self) -> Option<&Arc<dyn EventListener>> {
        self.0.get()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.0.get().is_some()).finish()
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{} …", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What a change did, and to which columns.
fn judged(change: &SchemaChange) -> (ShapeChange, Vec<String>) {
    match (&change.before, &change.after) {
        (None, _) => (ShapeChange::CreateTable, Vec::new()),
        (_, None) => (ShapeChange::DropTable, Vec::new()),
        (Some(before), Some(after)) if before.id != after.id => {
            (ShapeChange::RenameTable, vec![renamed(&before.id, &after.id)])
        }
        (Some(before), Some(after)) => columns_changed(before, after, &change.statement),
    }
}

fn renamed(from: &TableId, to: &TableId) -> String {
    format!("{from} -> {to}")
}

fn columns_changed(before: &TableSchema, after: &TableSchema, statement: &str) -> (ShapeChange, Vec<String>) {
    let names = |schema: &TableSchema| -> BTreeSet<String> {
        schema.columns.iter().map(|column| column.name.clone()).collect()
    };
    let (old, new) = (names(before), names(after));
    let mut gone: Vec<&Column> = before.columns.iter().filter(|it| !new.contains(&it.name)).collect();
    let mut added: Vec<&Column> = after.columns.iter().filter(|it| !old.contains(&it.name)).collect();
    let mut changes = Vec::new();
    // A log of rows tells names and no intentions: what stands where the old one stood, and is of its type,
    // is the old one renamed, unless the statement says that something was dropped.
    let drops = statement.to_ascii_uppercase().contains("DROP");
    let moved = |from: &Column, to: &Column| {
        !drops
            && before.column_index(&from.name) == after.column_index(&to.name)
            && from.data_type == to.data_type
    };
    gone.retain(|from| match added.iter().position(|to| moved(from, to)) {
        Some(place) => {
            let to = added.remove(place);
            changes.push((ShapeChange::RenameColumn, format!("{} -> {}", from.name, declared(to))));
            false
        }
        None => true,
    });
    changes.extend(added.iter().map(|column| (ShapeChange::AddColumn, format!("+ {}", declared(column)))));
    changes.extend(gone.iter().map(|column| (ShapeChange::DropColumn, format!("- {}", declared(column)))));
    for column in &after.columns {
        let was = before.columns.iter().find(|was| was.name == column.name);
        if let Some(was) = was
            && declared(was) != declared(column)
        {
            changes.push((ShapeChange::ModifyColumn, format!("{} -> {}", declared(was), declared(column))));
        }
    }
    let what = match changes.as_slice() {
        [] => ShapeChange::AlterTable,
        [(what, _)] => *what,
        _ => ShapeChange::UpdateColumns,
    };
    (what, changes.into_iter().map(|(_, column)| column).collect())
}

/// A column as its database declares it, or as it is held here.
fn declared(column: &Column) -> String {
    let null = if column.nullable { "" } else { " NOT NULL" };
    match &column.source_type {
        Some(declared) => format!("{} {}{null}", column.name, declared.declaration),
        None => format!("{} {}{null}", column.name, column.data_type),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::DataType;

    use super::*;
    use crate::row_kind::RowKindSet;

    fn table(name: &str, columns: &[(&str, DataType)]) -> Arc<TableSchema> {
        let columns = columns.iter().map(|(name, kind)| Column::derived(*name, kind.clone(), true)).collect();
        Arc::new(TableSchema::new(TableId::new("shop", name), 1, columns, Vec::new(), RowKindSet::ALL))
    }

    fn judge(before: &[(&str, DataType)], after: &[(&str, DataType)], statement: &str) -> (String, String) {
        let change = SchemaChange {
            before: Some(table("t", before)),
            after: Some(table("t", after)),
            statement: statement.to_owned(),
        };
        let kind = EventKind::of_change(&change);
        (kind.name().to_owned(), kind.text())
    }

    #[test]
    fn a_change_of_shape_has_the_name_of_what_it_did() {
        use DataType::{Int32, Int64, Utf8};
        let two = [("a", Int32), ("b", Utf8)];
        let (name, text) = judge(&two, &[("a", Int32), ("b", Utf8), ("c", Int64)], "ALTER");
        assert_eq!(
            (name.as_str(), text.as_str()),
            ("SCHEMA_CHANGE_ADD_COLUMN", "table shop.t has a new column: + c Int64 (ALTER)")
        );
        assert_eq!(judge(&two, &two[..1], "").0, "SCHEMA_CHANGE_DROP_COLUMN");
        assert_eq!(judge(&two, &[("a", Int64), ("b", Utf8)], "").0, "SCHEMA_CHANGE_MODIFY_COLUMN");
        let renamed = [("a", Int32), ("c", Utf8)];
        assert_eq!(judge(&two, &renamed, "RENAME COLUMN b TO c").0, "SCHEMA_CHANGE_CHANGE_COLUMN");
        assert_eq!(
            judge(&two, &renamed, "alter table t drop b, add c text").0,
            "SCHEMA_CHANGE_UPDATE_COLUMNS"
        );
        assert_eq!(judge(&two, &two, "ADD PRIMARY KEY").0, "SCHEMA_CHANGE_ALTER_TABLE");
    }

    #[test]
    fn tables_come_go_and_are_renamed() {
        let (one, other) = (table("t", &[]), table("u", &[]));
        let of = |before: Option<&Arc<TableSchema>>, after: Option<&Arc<TableSchema>>| {
            let (before, after) = (before.cloned(), after.cloned());
            EventKind::of_change(&SchemaChange { before, after, statement: String::new() })
        };
        assert_eq!(of(None, Some(&one)).name(), "SCHEMA_CHANGE_CREATE_TABLE");
        assert_eq!(of(Some(&one), None).name(), "SCHEMA_CHANGE_DROP_TABLE");
        let renamed = of(Some(&one), Some(&other));
        assert_eq!(renamed.text(), "table shop.u has a new name: shop.t -> shop.u");
        assert_eq!(renamed.table(), Some("shop.u"));
    }

    #[test]
    fn every_name_is_listed() {
        let kind = EventKind::JobStatus { status: "FAILED", reason: Some("x".repeat(5_000)) };
        assert!(kind.text().chars().count() < TEXT_CHARS_MAX + 50);
        assert_eq!(kind.severity(), EventSeverity::Error);
        for kind in [kind, EventKind::Test, EventKind::SnapshotStarted, EventKind::EventsLost { events: 1 }] {
            assert!(EventKind::NAMES.contains(&kind.name()), "{}", kind.name());
        }
    }
}
