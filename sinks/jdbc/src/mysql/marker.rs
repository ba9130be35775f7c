//! The commit marker: one row per job, sink and writer, in the target database.
//!
//! ```text
//! culvert_commit(job, sink, writer, epoch, checkpoint, source_state, updated_at)
//!                '---- key -----'
//! ```
//!
//! The row is changed in the transaction that holds the rows of a checkpoint, so both are
//! committed or neither is. It is also the fence: every start writes its own, larger epoch into it,
//! and the change at a checkpoint asks for that epoch. A process that was thought dead and still
//! writes finds another epoch there, changes no row, and fails before its commit.

use culvert_api::{CommitMarker, Error, ErrorKind, Result};

use crate::mysql::connect::Session;
use crate::mysql::error;
use crate::mysql::quote::TargetName;
use crate::mysql::target::TargetTable;
use crate::stored_state;

/// Longest job and sink name, in characters.
const NAME_CHARS_MAX: usize = 190;

type MarkerRow = (u32, u64, u64, Option<Vec<u8>>);

/// The statement that makes the table.
pub(crate) fn create_statement(table: &TargetName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\
         job varchar({NAME_CHARS_MAX}) NOT NULL, \
         sink varchar({NAME_CHARS_MAX}) NOT NULL, \
         writer int unsigned NOT NULL, \
         epoch bigint unsigned NOT NULL, \
         checkpoint bigint unsigned NOT NULL, \
         source_state longblob NULL, \
         updated_at datetime(6) NOT NULL, \
         PRIMARY KEY (job, sink, writer)\
         ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
        table.quoted()
    )
}

/// Makes the table when it is missing.
pub(crate) async fn ensure_table(session: &mut Session, table: &TargetName) -> Result<()> {
    if TargetTable::read(session, table).await?.is_none() {
        let statement = create_statement(table);
        let doing = format!("create the table of commit markers {table}");
        if let Some(code) = session.attempt(&statement, &doing).await? {
            let kind = if error::is_permission(code) { ErrorKind::Permission } else { ErrorKind::Schema };
            return Err(Error::new(
                kind,
                format!("could not create the table of commit markers {table}: error {code}"),
            )
            .hint(format!("have somebody with the right run: {statement}")));
        }
    }
    match TargetTable::read(session, table).await? {
        Some(found) => found.refuse_engine_without_transactions(),
        None => Err(Error::new(
            ErrorKind::Permission,
            format!("the table of commit markers {table} cannot be seen"),
        )
        .hint(grant_hint(table))),
    }
}

/// The rights the sink needs on the table of markers.
pub(crate) fn grant_hint(table: &TargetName) -> String {
    format!("run: GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO the sink's account", table.quoted())
}

/// Takes the fence: stores the epoch, and returns the marker as it was. `None` when there was none.
pub(crate) async fn take_over(
    session: &mut Session,
    table: &TargetName,
    job: &str,
    sink: &str,
    writer: u32,
    epoch: u64,
) -> Result<Option<CommitMarker>> {
    for (what, name) in [("job", job), ("sink", sink)] {
        if name.chars().count() > NAME_CHARS_MAX {
            let message = format!("the name of the {what} is longer than {NAME_CHARS_MAX} characters");
            return Err(Error::new(ErrorKind::Config, message));
        }
    }
    let doing = format!("take over the commit marker in {table}");
    let of_writer = || (job.to_string(), sink.to_string(), writer);
    let added = session
        .change(
            &format!(
                "INSERT IGNORE INTO {} (job, sink, writer, epoch, checkpoint, source_state, updated_at) \
                 VALUES (?, ?, ?, 0, 0, NULL, UTC_TIMESTAMP(6))",
                table.quoted()
            ),
            of_writer(),
            &doing,
        )
        .await?;
    let rows: Vec<MarkerRow> = session
        .rows(
            &format!(
                "SELECT writer, epoch, checkpoint, source_state FROM {} \
                 WHERE job = ? AND sink = ? AND writer = ? FOR UPDATE",
                table.quoted()
            ),
            of_writer(),
            &doing,
        )
        .await?;
    let Some((_, found, checkpoint, state)) = rows.into_iter().next() else {
        return Err(Error::new(ErrorKind::Internal, "the commit marker vanished while it was locked"));
    };
    if found >= epoch {
        session.roll_back().await?;
        let message = format!("another run of job {job} has taken over sink {sink}");
        return Err(Error::new(ErrorKind::Fenced, message).context("epoch", found));
    }
    session
        .change(
            &format!(
                "UPDATE {} SET epoch = ?, updated_at = UTC_TIMESTAMP(6) WHERE job = ? AND sink = ? AND writer = ?",
                table.quoted()
            ),
            (epoch, job.to_string(), sink.to_string(), writer),
            &doing,
        )
        .await?;
    session.end("COMMIT", &doing).await?;
    if added > 0 {
        return Ok(None);
    }
    let source = state.map(|bytes| stored_state::decode(&bytes)).transpose()?;
    Ok(Some(CommitMarker { job: job.into(), sink: sink.into(), writer, epoch, checkpoint, source }))
}

/// Writes the marker of a checkpoint into the open transaction.
pub(crate) async fn stage(session: &mut Session, table: &TargetName, marker: &CommitMarker) -> Result<()> {
    let matched = session
        .change(
            &format!(
                "UPDATE {} SET checkpoint = ?, source_state = ?, updated_at = UTC_TIMESTAMP(6) \
                 WHERE job = ? AND sink = ? AND writer = ? AND epoch = ?",
                table.quoted()
            ),
            (
                marker.checkpoint,
                marker.source.as_ref().map(stored_state::encode),
                marker.job.clone(),
                marker.sink.clone(),
                marker.writer,
                marker.epoch,
            ),
            &format!("write the commit marker to {table}"),
        )
        .await?;
    if matched == 1 {
        return Ok(());
    }
    session.roll_back().await?;
    let message = format!("another run of job {} has taken over sink {}", marker.job, marker.sink);
    Err(Error::new(ErrorKind::Fenced, message).context("our_epoch", marker.epoch))
}

/// The marker of a job, sink and writer.
pub(crate) async fn read(
    session: &mut Session,
    table: &TargetName,
    (job, sink, writer): (&str, &str, u32),
) -> Result<Option<CommitMarker>> {
    if TargetTable::read(session, table).await?.is_none() {
        return Ok(None);
    }
    let rows: Vec<MarkerRow> = session
        .rows(
            &format!(
                "SELECT writer, epoch, checkpoint, source_state FROM {} WHERE job = ? AND sink = ? \
                 AND writer = ?",
                table.quoted()
            ),
            (job.to_string(), sink.to_string(), writer),
            &format!("read the commit marker in {table}"),
        )
        .await?;
    let Some((writer, epoch, checkpoint, state)) = rows.into_iter().next() else {
        return Ok(None);
    };
    let source = state.map(|bytes| stored_state::decode(&bytes)).transpose()?;
    Ok(Some(CommitMarker { job: job.into(), sink: sink.into(), writer, epoch, checkpoint, source }))
}

/// Removes the markers of a job and sink, of all writers.
pub(crate) async fn forget(session: &mut Session, table: &TargetName, job: &str, sink: &str) -> Result<()> {
    if TargetTable::read(session, table).await?.is_none() {
        return Ok(());
    }
    let doing = format!("remove the commit marker from {table}");
    let statement = format!("DELETE FROM {} WHERE job = ? AND sink = ?", table.quoted());
    session.change(&statement, (job.to_string(), sink.to_string()), &doing).await?;
    session.end("COMMIT", &doing).await
}
