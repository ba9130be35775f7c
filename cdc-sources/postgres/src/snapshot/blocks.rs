//! A table without a key that chunks are cut by is read by several connections, each taking ranges of
//! the table's blocks, all under one exported snapshot ("Snapshot Synchronization Functions" in the
//! manual).
//!
//! A row version that a view shows stays where it is as long as the view is open and the table is not
//! rewritten, which the leader's lock forbids; so ranges of `ctid` are as good as ranges of a key for as
//! long as the leader's transaction lasts. It lasts until every helper has ended. The number of
//! connections stays within `snapshot.parallelism` over all chunks: a helper works only where a permit
//! is free.
//!
//! Two traps. Whoever waits for an exclusive lock on the table makes later requests wait behind it: a
//! helper that waited there would keep the leader, and the leader the one in front, for good. So a
//! helper's lock is taken at once or not at all. And a partition that is attached meanwhile would be in
//! some ranges and not in others: the list of partitions is compared at the end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::Client;
use culvert_postgres::quote::literal;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet};

use super::{ChunkReader, ChunkRequest};
use crate::catalog::{is_true, parsed, query, text};

/// Blocks of a range, at least (1 MiB with blocks of the usual size) …
const RANGE_BLOCKS_MIN: u64 = 128;
/// … and at most (128 MiB).
const RANGE_BLOCKS_MAX: u64 = 16_384;
/// Ranges per connection that might take part, so that nobody waits long for the last one.
const RANGES_PER_CONNECTION: u64 = 8;
/// What a statement about the view is called in messages.
const DOING: &str = "sharing a read view";

/// The blocks from one up to another, or to the table's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockRange {
    from: u64,
    below: Option<u64>,
}

impl BlockRange {
    /// The condition that selects it. In a partitioned table it holds in each of the partitions.
    pub(super) fn condition(&self) -> String {
        let place = |block: u64| format!("'({block},0)'::pg_catalog.tid");
        let from = format!("ctid >= {}", place(self.from));
        match self.below {
            Some(below) => format!("{from} AND ctid < {}", place(below)),
            None => from,
        }
    }
}

/// Ranges that leader and helpers take one after the other.
#[derive(Debug)]
struct BlockQueue {
    step: u64,
    count: u64,
    next: AtomicU64,
}

impl BlockQueue {
    /// Cuts a table of so many blocks; rows that came behind them are in the last range.
    fn new(blocks: u64, connections: usize) -> BlockQueue {
        let connections = u64::try_from(connections).unwrap_or(u64::MAX);
        let wanted = connections.saturating_mul(RANGES_PER_CONNECTION).max(1);
        let step = (blocks / wanted).clamp(RANGE_BLOCKS_MIN, RANGE_BLOCKS_MAX);
        BlockQueue { step, count: blocks.div_ceil(step).max(1), next: AtomicU64::new(0) }
    }

    fn take(&self) -> Option<BlockRange> {
        let at = self.next.fetch_add(1, Relaxed);
        let below = (at.checked_add(1)? < self.count).then(|| (at + 1) * self.step);
        (at < self.count).then(|| BlockRange { from: at * self.step, below })
    }

    fn left(&self) -> u64 {
        self.count.saturating_sub(self.next.load(Relaxed))
    }
}

/// A view that others may read in, too.
pub(super) struct SharedView {
    /// The name the server gave to it.
    name: String,
    queue: BlockQueue,
    /// The partitions as of the view.
    parts: String,
}

/// Partitions of a table, as of now: functions of the catalog do not see it through the view.
fn partitions(oid: u32) -> String {
    format!(
        "SELECT string_agg(t.relid::pg_catalog.oid::text, ',' ORDER BY t.relid::pg_catalog.oid) \
         FROM pg_catalog.pg_partition_tree({oid}) t"
    )
}

impl SharedView {
    /// Exports the view that is open, where the table is large enough for more than one connection.
    pub(super) async fn export(client: &Client, oid: u32, connections: usize) -> Result<Option<SharedView>> {
        // Other storage than the server's own (relam 2) may not know blocks.
        let statement = format!(
            "SELECT coalesce(max(pg_catalog.pg_relation_size(part.oid)), 0) / current_setting('block_size')::bigint, \
             coalesce(bool_and(coalesce(c.relkind = 'p' OR c.relam = 2, false)), false), ({}) \
             FROM (SELECT {oid}::pg_catalog.oid AS oid UNION SELECT t.relid FROM pg_catalog.pg_partition_tree({oid}) t) part \
             LEFT JOIN pg_catalog.pg_class c ON c.oid = part.oid",
            partitions(oid)
        );
        let rows = query(client, &statement, DOING).await?;
        let Some(row) = rows.first().filter(|row| is_true(row, 1)) else { return Ok(None) };
        let queue = BlockQueue::new(parsed(row, 0)?, connections);
        if queue.count < 2 {
            return Ok(None);
        }
        let parts = text(row, 2).to_owned();
        let rows = query(client, "SELECT pg_catalog.pg_export_snapshot()", DOING).await?;
        let name = rows.first().map(|row| text(row, 0).to_owned()).unwrap_or_default();
        Ok(Some(SharedView { name, queue, parts }))
    }
}

impl ChunkReader {
    /// Reads a table together with whoever is free. The client's transaction has the view; when this
    /// returns, nobody reads in it any more.
    pub(super) async fn read_together(
        &self,
        client: &Client,
        request: &Arc<ChunkRequest>,
        view: SharedView,
    ) -> Result<()> {
        let view = Arc::new(view);
        let mut helpers = JoinSet::new();
        let (mut connections, mut alone) = (1, false);
        // What a helper answers: ranges it read; none at all when it could not begin.
        let mut heard = |ended: Result<Result<Option<u64>>, JoinError>| {
            let ended = ended.map_err(|error| {
                Error::new(ErrorKind::Internal, "a connection that helps was given up").caused_by(error)
            })?;
            match ended? {
                Some(ranges) => connections += u64::from(ranges > 0),
                None => alone = true,
            }
            Ok::<bool, Error>(alone)
        };
        let mut may_ask = true;
        while let Some(range) = view.queue.take() {
            while may_ask && view.queue.left() > u64::try_from(helpers.len()).unwrap_or(u64::MAX) {
                let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { break };
                helpers.spawn(self.clone().help(Arc::clone(request), Arc::clone(&view), permit));
            }
            self.send_rows(client, request, Some(range)).await?;
            while let Some(ended) = helpers.try_join_next() {
                may_ask = !heard(ended)?;
            }
        }
        while let Some(ended) = helpers.join_next().await {
            heard(ended)?;
        }
        let rows = query(client, &partitions(request.def.oid), DOING).await?;
        if rows.first().map_or("", |row| text(row, 0)) != view.parts {
            return Err(Error::new(
                ErrorKind::Contention,
                "partitions were attached to a table while it was read",
            )
            .context("table", &request.split.table));
        }
        tracing::info!(
            table = %request.split.table,
            ranges = view.queue.count,
            connections,
            "a table without a key that can be cut was read by ranges of its blocks"
        );
        Ok(())
    }

    /// Takes ranges until none is left. What goes wrong with one of them is the chunk's failure; who
    /// cannot begin leaves them to the others.
    async fn help(
        self,
        request: Arc<ChunkRequest>,
        view: Arc<SharedView>,
        _permit: OwnedSemaphorePermit,
    ) -> Result<Option<u64>> {
        let client = match self.join_view(&request, &view).await {
            Ok(client) => client,
            Err(error) => {
                tracing::info!(table = %request.split.table, "a connection cannot help with a table: {error}");
                return Ok(None);
            }
        };
        let mut ranges = 0;
        while let Some(range) = view.queue.take() {
            self.send_rows(&client, &request, Some(range)).await?;
            ranges += 1;
        }
        query(&client, "COMMIT", "reading a chunk").await?;
        self.idle.lock().await.push(client);
        Ok(Some(ranges))
    }

    async fn join_view(&self, request: &ChunkRequest, view: &SharedView) -> Result<Client> {
        let client = self.connection().await?;
        let statement = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
             LOCK TABLE {} IN ACCESS SHARE MODE NOWAIT",
            literal(&view.name),
            request.def.quoted_alone()
        );
        query(&client, &statement, DOING).await?;
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_in_one_range_and_what_comes_later_is_in_the_last() {
        for (blocks, connections) in
            [(0, 1), (1, 4), (128, 2), (129, 2), (5_000, 3), (3_000_000, 2), (u64::from(u32::MAX), 64)]
        {
            let queue = BlockQueue::new(blocks, connections);
            let (mut next, mut open) = (0, false);
            while let Some(range) = queue.take() {
                assert!(!open && range.from == next, "{range:?}");
                assert!(range.from <= blocks);
                next = range.below.unwrap_or(next);
                open = range.below.is_none();
            }
            assert!(open, "the last range has no end");
            assert_eq!((queue.left(), queue.take()), (0, None));
        }
    }

    #[test]
    fn ranges_have_bounds() {
        assert_eq!(BlockQueue::new(RANGE_BLOCKS_MIN, 2).count, 1);
        assert_eq!(BlockQueue::new(RANGE_BLOCKS_MIN + 1, 2).count, 2);
        assert_eq!(BlockQueue::new(u64::from(u32::MAX), 1).step, RANGE_BLOCKS_MAX);
        let range = BlockRange { from: 128, below: Some(256) };
        let condition = "ctid >= '(128,0)'::pg_catalog.tid AND ctid < '(256,0)'::pg_catalog.tid";
        assert_eq!(range.condition(), condition);
    }
}
