//! The commit marker: one row per job, sink and writer, in a schema of the target.
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
use tokio_postgres::Row;

use crate::postgres::connect::{Session, field};
use crate::postgres::error;
use crate::postgres::name::TargetName;
use crate::postgres::target::TargetTable;
use crate::stored_state;

/// Longest job and sink name, in characters.
const NAME_CHARS_MAX: usize = 190;

/// Attempts to make the table while another process makes it, too.
const CREATE_ATTEMPTS: u32 = 5;

/// The statement that makes the table.
pub(crate) fn create_statement(table: &TargetName) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {} (\
         job varchar({NAME_CHARS_MAX}) NOT NULL, \
         sink varchar({NAME_CHARS_MAX}) NOT NULL, \
         writer bigint NOT NULL, \
         epoch bigint NOT NULL, \
         checkpoint bigint NOT NULL, \
         source_state bytea NULL, \
         updated_at timestamptz NOT NULL, \
         PRIMARY KEY (job, sink, writer))",
        table.quoted()
    )
}

/// Makes the table, and its schema, when they are missing.
pub(crate) async fn ensure_table(session: &mut Session, table: &TargetName) -> Result<()> {
    let mut last = None;
    for _ in 0..CREATE_ATTEMPTS {
        if let Some(found) = TargetTable::read(session, table).await? {
            return found.refuse_unfit();
        }
        let doing = format!("creating the table of commit markers {table}");
        let statement = create_statement(table);
        let mut statements = vec![statement.clone()];
        if !crate::postgres::ddl::has_schema(session, &table.schema).await? {
            statements.insert(0, crate::postgres::ddl::create_schema(&table.schema));
        }
        // Two processes that make it at once: one of them is told that a name is taken, and looks again.
        for statement in &statements {
            last = session.attempt(&session.on_own_path(statement), &doing).await?;
            if last.is_some() {
                break;
            }
        }
        if last.as_deref() == Some(error::PERMISSION) {
            return Err(Error::new(
                ErrorKind::Permission,
                format!("the account may not create the table of commit markers {table}"),
            )
            .hint(format!("have somebody with the right run: {statement}; {}", grant_hint(table))));
        }
    }
    let code = last.unwrap_or_default();
    Err(Error::new(
        ErrorKind::Schema,
        format!("could not create the table of commit markers {table}: error {code}"),
    )
    .hint(format!("run: {}", create_statement(table))))
}

/// The rights the sink needs on the table of markers.
pub(crate) fn grant_hint(table: &TargetName) -> String {
    format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO the sink's account", table.quoted())
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
    let doing = format!("taking over the commit marker in {table}");
    let (writer_column, epoch_column) = (i64::from(writer), signed(epoch)?);
    let quoted = table.quoted();
    let added = session
        .change(
            &format!(
                "INSERT INTO {quoted} (job, sink, writer, epoch, checkpoint, source_state, updated_at) \
                 SELECT $1::varchar, $2::varchar, $3, 0, 0, NULL, clock_timestamp() WHERE NOT EXISTS \
                 (SELECT 1 FROM {quoted} WHERE job = $1::varchar AND sink = $2::varchar AND writer = $3)"
            ),
            &[&job, &sink, &writer_column],
            &doing,
        )
        .await
        .map_err(race)?;
    let rows = session
        .rows(
            &format!(
                "SELECT writer, epoch, checkpoint, source_state FROM {quoted} \
                 WHERE job = $1 AND sink = $2 AND writer = $3 FOR UPDATE"
            ),
            &[&job, &sink, &writer_column],
            &doing,
        )
        .await?;
    let Some(found) = rows.first().map(marker_row).transpose()? else {
        return Err(Error::new(ErrorKind::Internal, "the commit marker vanished while it was locked"));
    };
    if found.epoch >= epoch {
        session.roll_back().await?;
        let message = format!("another run of job {job} has taken over sink {sink}");
        return Err(Error::new(ErrorKind::Fenced, message).context("epoch", found.epoch));
    }
    session
        .change(
            &format!(
                "UPDATE {quoted} SET epoch = $4, updated_at = clock_timestamp() \
                 WHERE job = $1 AND sink = $2 AND writer = $3"
            ),
            &[&job, &sink, &writer_column, &epoch_column],
            &doing,
        )
        .await?;
    session.end("COMMIT", &doing).await?;
    if added > 0 {
        return Ok(None);
    }
    Ok(Some(CommitMarker { job: job.into(), sink: sink.into(), epoch, ..found }))
}

/// Two runs that begin at once: the second is told that the row is there, and tries again.
fn race(failure: Error) -> Error {
    match failure.kind() {
        ErrorKind::Value => {
            Error::new(ErrorKind::Contention, "another run takes over the commit marker at this moment")
                .caused_by(failure)
        }
        _ => failure,
    }
}

/// Writes the marker of a checkpoint into the open transaction.
pub(crate) async fn stage(session: &mut Session, table: &TargetName, marker: &CommitMarker) -> Result<()> {
    let state = marker.source.as_ref().map(stored_state::encode);
    let matched = session
        .change(
            &format!(
                "UPDATE {} SET checkpoint = $1, source_state = $2, updated_at = clock_timestamp() \
                 WHERE job = $3 AND sink = $4 AND writer = $5 AND epoch = $6",
                table.quoted()
            ),
            &[
                &signed(marker.checkpoint)?,
                &state,
                &marker.job,
                &marker.sink,
                &i64::from(marker.writer),
                &signed(marker.epoch)?,
            ],
            &format!("writing the commit marker to {table}"),
        )
        .await?;
    if matched == 1 {
        return Ok(());
    }
    session.roll_back().await?;
    session.spoil();
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
    let rows = session
        .rows(
            &format!(
                "SELECT writer, epoch, checkpoint, source_state FROM {} WHERE job = $1 AND sink = $2 \
                 AND writer = $3",
                table.quoted()
            ),
            &[&job, &sink, &i64::from(writer)],
            &format!("reading the commit marker in {table}"),
        )
        .await?;
    let marker = rows.first().map(marker_row).transpose()?;
    Ok(marker.map(|marker| CommitMarker { job: job.into(), sink: sink.into(), ..marker }))
}

/// Removes the markers of a job and sink, of all writers.
pub(crate) async fn forget(session: &mut Session, table: &TargetName, job: &str, sink: &str) -> Result<()> {
    if TargetTable::read(session, table).await?.is_none() {
        return Ok(());
    }
    let doing = format!("removing the commit marker from {table}");
    let statement = format!("DELETE FROM {} WHERE job = $1 AND sink = $2", table.quoted());
    session.change(&statement, &[&job, &sink], &doing).await?;
    session.end("COMMIT", &doing).await
}

/// A row without its names.
fn marker_row(row: &Row) -> Result<CommitMarker> {
    let unsigned = |place: usize| {
        let stored: i64 = field(row, place)?;
        u64::try_from(stored)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the commit marker holds a negative number"))
    };
    let state: Option<Vec<u8>> = field(row, 3)?;
    Ok(CommitMarker {
        job: String::new(),
        sink: String::new(),
        writer: u32::try_from(unsigned(0)?)
            .map_err(|_| Error::new(ErrorKind::Corrupt, "the commit marker holds a writer out of range"))?,
        epoch: unsigned(1)?,
        checkpoint: unsigned(2)?,
        source: state.map(|bytes| stored_state::decode(&bytes)).transpose()?,
    })
}

fn signed(number: u64) -> Result<i64> {
    i64::try_from(number)
        .map_err(|_| Error::new(ErrorKind::Internal, "a number is too large for the commit marker"))
}
