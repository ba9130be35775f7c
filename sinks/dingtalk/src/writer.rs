//! Gathers rows into messages and sends them, no more in a minute than the robot takes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use async_trait::async_trait;
use culvert_api::{
    ChangeBatch, CommitMarker, Committable, Committer, JobProgress, Result, SchemaChange, SinkWriter,
    TableSchema, WriterContext,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::robot::Robot;
use crate::text::Telling;

/// Bytes of one message: a robot takes 20,000, and people read less.
const MESSAGE_BYTES_MAX: usize = 4_000;
/// What stands in place of the rest of a row that is longer than a message.
const CUT: &str = " …";
/// The time in which messages are counted, with a little more for clocks that differ.
const MINUTE: Duration = Duration::from_secs(61);

/// How many messages may still be sent in this minute.
#[derive(Debug)]
pub(crate) struct Minute {
    most: usize,
    sent: VecDeque<Instant>,
}

impl Minute {
    pub(crate) fn new(most: usize) -> Minute {
        Minute { most, sent: VecDeque::with_capacity(most) }
    }

    /// Waits until another message may be sent, and counts it.
    pub(crate) async fn wait(&mut self) {
        if self.sent.len() >= self.most
            && let Some(oldest) = self.sent.pop_front()
        {
            tokio::time::sleep_until(oldest + MINUTE).await;
        }
        self.sent.push_back(Instant::now());
    }
}

/// Tells the rows of one job branch.
pub(crate) struct DingTalkWriter {
    context: WriterContext,
    robot: Arc<Robot>,
    at: Value,
    telling: Telling,
    minute: Minute,
    /// The message that is being gathered.
    message: String,
    rows_since_commit: u64,
}

impl DingTalkWriter {
    pub(crate) fn new(
        context: WriterContext,
        (robot, at): (Arc<Robot>, Value),
        telling: Telling,
        minute: Minute,
    ) -> DingTalkWriter {
        DingTalkWriter { context, robot, at, telling, minute, message: String::new(), rows_since_commit: 0 }
    }

    async fn send(&mut self) -> Result<()> {
        if self.message.is_empty() {
            return Ok(());
        }
        self.minute.wait().await;
        let content = std::mem::take(&mut self.message);
        let message = json!({"msgtype": "text", "text": {"content": content}, "at": self.at});
        self.robot.send(message).await
    }
}

/// A line that fits into a message.
fn fitting(mut line: String) -> String {
    if line.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX - CUT.len();
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        line.push_str(CUT);
    }
    line
}

#[async_trait]
impl SinkWriter for DingTalkWriter {
    async fn prepare_tables(&mut self, tables: &[Arc<TableSchema>], _fresh: bool) -> Result<()> {
        tables.iter().try_for_each(|table| self.telling.fit(table))
    }

    async fn write(&mut self, batch: ChangeBatch) -> Result<()> {
        for line in self.telling.tell(&batch)? {
            let line = fitting(line);
            if !self.message.is_empty() {
                if self.message.len() + 1 + line.len() > MESSAGE_BYTES_MAX {
                    self.send().await?;
                } else {
                    self.message.push('\n');
                }
            }
            self.message.push_str(&line);
        }
        let rows = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.rows_since_commit += rows;
        self.context.progress.rows_written.fetch_add(rows, Relaxed);
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.send().await
    }

    async fn apply_schema_change(&mut self, change: &SchemaChange) -> Result<()> {
        change.after.as_ref().map_or(Ok(()), |table| self.telling.fit(table))
    }

    async fn prepare_commit(&mut self, marker: &CommitMarker) -> Result<Committable> {
        self.send().await?;
        let rows = std::mem::take(&mut self.rows_since_commit);
        Ok(Committable { checkpoint: marker.checkpoint, body: rows.to_le_bytes().to_vec() })
    }

    async fn close(&mut self) {}
}

/// Has nothing to make visible; counts.
pub(crate) struct DingTalkCommitter {
    progress: Arc<JobProgress>,
    counted: u64,
}

impl DingTalkCommitter {
    pub(crate) fn new(progress: Arc<JobProgress>) -> DingTalkCommitter {
        DingTalkCommitter { progress, counted: 0 }
    }
}

#[async_trait]
impl Committer for DingTalkCommitter {
    async fn commit(&mut self, committable: &Committable) -> Result<()> {
        if self.counted < committable.checkpoint {
            self.counted = committable.checkpoint;
            let rows = committable.body.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
            self.progress.rows_committed.fetch_add(rows.unwrap_or_default(), Relaxed);
        }
        Ok(())
    }

    async fn abort(&mut self, _committable: &Committable) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_messages_than_a_minute_takes() {
        let mut minute = Minute::new(20);
        let begun = Instant::now();
        let mut at = Vec::new();
        for _ in 0..65 {
            minute.wait().await;
            at.push(begun.elapsed());
        }
        for window in at.windows(21) {
            assert!(window[20] - window[0] >= Duration::from_secs(60), "{window:?}");
        }
        assert_eq!(at[19], Duration::ZERO, "the first twenty wait for nothing");
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_between_characters() {
        let line = fitting("ä".repeat(5_000));
        assert!(line.len() <= MESSAGE_BYTES_MAX && line.ends_with(CUT) && line.starts_with('ä'));
        assert_eq!(fitting("short".to_owned()), "short");
    }
}
