//! Reads parts side by side and puts their rows into one stream.
//!
//! Where a barrier may fall: of a part that is read in the order of a unique key, the state holds the key of
//! the last row that left, and reading goes on behind it; so a barrier falls between any two of its batches.
//! Any other part leaves in one piece between two barriers: when one is wanted, no further part is begun, and
//! the barrier waits for the end of those that are being read. After a crash such a part is read again, and
//! none of its rows was committed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, Error, ErrorKind, Result, RowKind, RowPosition, SourceEvent, SourceReader, SourceState,
    Split, SplitFinished, Transaction,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::database::{Database, Link, Part};
use crate::source::Prepared;
use crate::state::{PartBody, ReaderState, decode, encode};

/// How long to wait for something to happen.
const LINGER: Duration = Duration::from_millis(50);
/// Batches that wait for the engine, over all parts.
const BATCHES_WAITING: usize = 1;

/// What a part's task tells.
enum Message {
    Rows { id: String, rows: RecordBatch, last: Option<Vec<String>> },
    Done { id: String },
    Failed(Error),
}

/// A part that is being read.
struct Active {
    item: usize,
    is_ordered: bool,
    /// Batches that left.
    batches: u32,
}

/// The source's reader.
pub(crate) struct JdbcReader {
    prepared: Arc<Prepared>,
    state: ReaderState,
    incoming: VecDeque<(String, PartBody)>,
    active: HashMap<String, Active>,
    tasks: JoinSet<()>,
    answers_in: mpsc::Sender<Message>,
    answers: mpsc::Receiver<Message>,
    barrier_wanted: bool,
    ended: bool,
}

impl JdbcReader {
    pub(crate) fn new(prepared: Arc<Prepared>, state: ReaderState) -> JdbcReader {
        let (answers_in, answers) = mpsc::channel(BATCHES_WAITING);
        JdbcReader {
            prepared,
            state,
            incoming: VecDeque::new(),
            active: HashMap::new(),
            tasks: JoinSet::new(),
            answers_in,
            answers,
            barrier_wanted: false,
            ended: false,
        }
    }

    /// Whether a barrier may fall here.
    fn is_between_parts(&self) -> bool {
        self.active.values().all(|part| part.is_ordered)
    }

    fn barrier(&mut self) -> Result<SourceEvent> {
        self.barrier_wanted = false;
        let ReaderState { finished, of, after } = &self.state;
        let position = format!("{finished} of {of} parts read, {} being read", after.len());
        Ok(SourceEvent::Barrier { reader: encode(&self.state)?, position })
    }

    fn begin_parts(&mut self) {
        while self.active.len() < self.prepared.settings.parallelism
            && let Some((id, body)) = self.incoming.pop_front()
        {
            let is_ordered = self.prepared.items[body.item].read.is_ordered();
            self.active.insert(id.clone(), Active { item: body.item, is_ordered, batches: 0 });
            let after = self.state.after.get(&id).cloned();
            let (prepared, answers) = (Arc::clone(&self.prepared), self.answers_in.clone());
            self.tasks.spawn(async move {
                let message = match read_part(&prepared, &id, &body, after, &answers).await {
                    Ok(()) => Message::Done { id },
                    Err(error) => Message::Failed(error.context("part", id)),
                };
                // The reader is gone when the attempt has ended; then nobody needs the answer.
                let _ = answers.send(message).await;
            });
        }
    }

    fn take(&mut self, message: Message) -> Result<SourceEvent> {
        match message {
            Message::Rows { id, rows, last } => {
                let unknown = || Error::new(ErrorKind::Internal, "rows of a part that is not being read");
                let part = self.active.get_mut(&id).ok_or_else(unknown)?;
                let transaction = Transaction::snapshot(format_args!("{id}:{}", part.batches));
                part.batches = part.batches.saturating_add(1);
                let schema = Arc::clone(self.prepared.items[part.item].read.schema());
                if part.is_ordered {
                    let no_key = || Error::new(ErrorKind::Internal, "rows in order without their key");
                    self.state.after.insert(id, last.ok_or_else(no_key)?);
                }
                let count = u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
                let position = |row| RowPosition { transaction: 0, event: 0, row };
                Ok(SourceEvent::Batch(ChangeBatch {
                    schema,
                    kinds: vec![RowKind::Insert; rows.num_rows()],
                    positions: (0..count).map(position).collect(),
                    transactions: vec![transaction],
                    unavailable: Vec::new(),
                    rows,
                }))
            }
            Message::Done { id } => {
                self.active.remove(&id);
                self.state.after.remove(&id);
                self.state.finished += 1;
                Ok(SourceEvent::SplitFinished(SplitFinished { id, remainder: None }))
            }
            Message::Failed(error) => Err(error),
        }
    }
}

/// Reads a part: in one statement, or where it is a table in order, by a statement for every so many rows.
async fn read_part(
    prepared: &Prepared,
    id: &str,
    body: &PartBody,
    mut after: Option<Vec<String>>,
    answers: &mpsc::Sender<Message>,
) -> Result<()> {
    let (settings, described) = (&prepared.settings, &prepared.items[body.item]);
    let database: &Database = &settings.database;
    let item = &settings.items[body.item];
    let mut link: Link = database.connect(settings.has_users_sql(item)).await?;
    let is_stepwise = described.read.is_ordered() && item.query.is_none();
    let limit = is_stepwise.then_some(settings.split_rows);
    loop {
        let conditions = settings.condition.iter().chain(&body.condition).cloned().collect();
        let part = Part { conditions, after: after.clone(), limit };
        let (rows_in, rows) = mpsc::channel(1);
        let reading = database.read(&mut link, &described.read, part, rows_in);
        let (read, last) = tokio::join!(reading, pass_on(id, rows, answers));
        let read = read?;
        match (limit, last) {
            (Some(limit), Some(last)) if read >= limit => after = Some(last),
            _ => return Ok(()),
        }
    }
}

/// Passes rows on, and returns the key of the last one.
async fn pass_on(
    id: &str,
    mut rows: mpsc::Receiver<crate::database::Rows>,
    answers: &mpsc::Sender<Message>,
) -> Option<Vec<String>> {
    let mut latest = None;
    while let Some((rows, last)) = rows.recv().await {
        latest.clone_from(&last);
        if answers.send(Message::Rows { id: id.to_owned(), rows, last }).await.is_err() {
            break;
        }
    }
    latest
}

#[async_trait]
impl SourceReader for JdbcReader {
    fn splits_wanted(&self) -> usize {
        self.prepared.settings.parallelism.saturating_sub(self.active.len() + self.incoming.len())
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        for split in splits {
            let body: PartBody = decode(&split.body)?;
            if body.item >= self.prepared.items.len() {
                return Err(Error::new(
                    ErrorKind::StateMismatch,
                    "a stored part is of a table the job does not read",
                ));
            }
            self.state.of = body.of;
            self.incoming.push_back((split.id, body));
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        if self.barrier_wanted && self.is_between_parts() {
            return self.barrier();
        }
        if !self.barrier_wanted {
            self.begin_parts();
        }
        let is_done = self.state.of > 0 && self.state.finished >= self.state.of;
        if is_done && !self.ended && self.active.is_empty() {
            self.ended = true;
            return Ok(SourceEvent::End);
        }
        match tokio::time::timeout(LINGER, self.answers.recv()).await {
            Ok(Some(message)) => self.take(message),
            _ => Ok(SourceEvent::Idle),
        }
    }

    fn request_barrier(&mut self) {
        self.barrier_wanted = true;
    }

    async fn checkpoint_complete(&mut self, _state: &SourceState) -> Result<()> {
        // A table has nothing to release.
        Ok(())
    }

    async fn close(&mut self) {
        self.tasks.shutdown().await;
    }
}
