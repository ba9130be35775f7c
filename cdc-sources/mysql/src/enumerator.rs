//! Cuts the work: one split for the stream, then chunks of the tables that were there before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use async_trait::async_trait;
use culvert_api::{Error, ErrorKind, JobProgress, Result, Split, SplitEnumerator, SplitFinished, TableId};
use culvert_snapshot::{KeyRange, TablePlan};
use mysql_async::Conn;

use crate::catalog::estimated_rows;
use crate::connect::Endpoint;
use crate::key::{KeyBound, KeyPlan};
use crate::state::{ChunkSplit, EnumeratorState, StreamSplit, decode, encode};

/// The stream's split.
pub(crate) const STREAM: &str = "stream";

/// One table whose chunks are being handed out.
struct PlannedTable {
    id: TableId,
    plan: TablePlan<KeyBound>,
    /// `None`: read whole, in one split.
    key: Option<KeyPlan>,
    estimated_rows: u64,
}

/// The MySQL source's enumerator.
pub(crate) struct MySqlEnumerator {
    endpoint: Endpoint,
    conn: Option<Conn>,
    /// Handed out once per run, before any chunk.
    stream: Option<Split>,
    start: crate::position::StreamPosition,
    tables: Vec<PlannedTable>,
    chunk_rows: u64,
    progress: Arc<JobProgress>,
    estimated: bool,
}

impl MySqlEnumerator {
    /// `plans` holds the tables to read, with what of them is planned already.
    pub(crate) fn new(
        endpoint: Endpoint,
        start: StreamSplit,
        plans: Vec<(TableId, TablePlan<KeyBound>)>,
        keys: &HashMap<TableId, Option<KeyPlan>>,
        chunk_rows: u64,
        progress: Arc<JobProgress>,
    ) -> Result<MySqlEnumerator> {
        let tables: Vec<PlannedTable> = plans
            .into_iter()
            .map(|(id, mut plan)| {
                plan.reclaim();
                let key = keys.get(&id).cloned().flatten();
                PlannedTable { id, plan, key, estimated_rows: 0 }
            })
            .collect();
        // What an earlier attempt has done tells nothing of how long the rest takes.
        progress.chunks_done.store(tables.iter().map(|table| table.plan.done()).sum(), Relaxed);
        let position = start.state.position.clone();
        let stream = Split { id: STREAM.to_owned(), body: encode(&start)? };
        Ok(MySqlEnumerator {
            endpoint,
            conn: None,
            stream: Some(stream),
            start: position,
            tables,
            chunk_rows,
            progress,
            estimated: false,
        })
    }

    async fn connection(&mut self) -> Result<&mut Conn> {
        if self.conn.is_none() {
            self.conn = Some(self.endpoint.connect().await?);
        }
        self.conn.as_mut().ok_or_else(|| Error::new(ErrorKind::Internal, "no connection"))
    }

    async fn estimate(&mut self) -> Result<()> {
        if self.estimated {
            return Ok(());
        }
        self.estimated = true;
        for at in 0..self.tables.len() {
            if self.tables[at].plan.is_finished() {
                continue;
            }
            let id = self.tables[at].id.clone();
            let rows = estimated_rows(self.connection().await?, &id).await?;
            self.tables[at].estimated_rows = rows;
        }
        self.report();
        Ok(())
    }

    fn report(&self) {
        let total = |table: &PlannedTable| {
            let done = table.plan.done();
            if table.plan.is_finished() {
                done
            } else if table.key.is_none() {
                1
            } else {
                (table.estimated_rows / self.chunk_rows.max(1) + 1).max(done + 1)
            }
        };
        self.progress.chunks_total.store(self.tables.iter().map(total).sum(), Relaxed);
        self.progress.chunks_done.store(self.tables.iter().map(|table| table.plan.done()).sum(), Relaxed);
    }

    /// Finds the next chunk of a table, asking the server for its end where needed.
    async fn next_chunk(&mut self, at: usize) -> Result<Option<Split>> {
        if self.tables[at].plan.needs_bound() {
            let bound = match self.tables[at].key.clone() {
                None => None,
                Some(key) => {
                    let rest = KeyRange { after: self.tables[at].plan.planned_to().cloned(), up_to: None };
                    let rows = self.chunk_rows;
                    key.bound_after(self.connection().await?, &rest, rows).await?
                }
            };
            self.tables[at].plan.add_bound(bound);
        }
        let table = &mut self.tables[at];
        let Some(chunk) = table.plan.take() else { return Ok(None) };
        let split = ChunkSplit { table: table.id.clone(), number: chunk.number, range: chunk.range };
        Ok(Some(Split { id: split.id(), body: encode(&split)? }))
    }

    fn find(&mut self, id: &str) -> Option<(&mut PlannedTable, u64)> {
        let (table, number) = id.rsplit_once(':')?;
        let number = number.parse().ok()?;
        let found = self.tables.iter_mut().find(|planned| planned.id.to_string() == table)?;
        Some((found, number))
    }
}

#[async_trait]
impl SplitEnumerator for MySqlEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        let mut splits = Vec::new();
        if let Some(stream) = self.stream.take() {
            splits.push(stream);
            return Ok(splits);
        }
        self.estimate().await?;
        let mut at = 0;
        while splits.len() < wanted && at < self.tables.len() {
            match self.next_chunk(at).await? {
                Some(split) => splits.push(split),
                None => at += 1,
            }
        }
        if self.tables.iter().all(|table| table.plan.is_finished())
            && let Some(conn) = self.conn.take()
        {
            // Planning is over; the server gets its connection back. How it ends does not matter.
            let _ = conn.disconnect().await;
        }
        Ok(splits)
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        for split in splits {
            if let Some((table, number)) = self.find(&split.id) {
                table.plan.give_back(number);
            }
        }
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        let rest = match &finished.remainder {
            None => None,
            Some(split) => Some(decode::<ChunkSplit>(&split.body)?.range),
        };
        let known = self.find(&finished.id).is_some_and(|(table, number)| table.plan.finish(number, rest));
        if !known {
            return Err(Error::new(ErrorKind::Internal, "a split was finished that was not handed out")
                .context("split", &finished.id));
        }
        self.report();
        Ok(())
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        let tables = self.tables.iter().map(|table| (table.id.clone(), table.plan.clone())).collect();
        encode(&EnumeratorState { start: self.start.clone(), tables })
    }
}
