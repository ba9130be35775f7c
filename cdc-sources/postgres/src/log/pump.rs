//! The task behind a stream: reads, parses, stores pieces of open transactions, reports.

use std::time::Duration;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};

use super::link::{Link, Stop};
use super::outbox::Outbox;
use super::{LogItem, LogOptions};
use crate::lsn::Lsn;
use crate::pgoutput::wire::corrupt;
use crate::pgoutput::{Message, kind, parse, streamed_header};
use crate::transaction::{Assembly, Relations};
use crate::walsender::{CopyFrame, CopyReader, refused};

/// How long a broken connection is read on for the server's reason.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// The task's state.
pub(crate) struct Pump {
    reader: CopyReader,
    link: Link,
    outbox: Outbox,
    assembly: Assembly,
    relations: Relations,
    slot: String,
    /// Rows from elsewhere are left out here, because the server cannot do it.
    drops_foreign: bool,
    /// Where the stream is.
    place: Place,
    /// Rows of the transaction being returned came from elsewhere.
    is_foreign: bool,
    /// The last position returned.
    position: Lsn,
    /// Messages so far.
    count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between transactions.
    Boundary,
    /// In a committed transaction.
    Transaction,
    /// In a piece of an open one.
    Piece(u32),
}

impl Pump {
    pub(crate) fn new(
        reader: CopyReader,
        link: Link,
        outbox: Outbox,
        assembly: Assembly,
        options: LogOptions,
    ) -> Pump {
        Pump {
            reader,
            link,
            outbox,
            assembly,
            relations: Relations::default(),
            drops_foreign: options.origin_none && options.server_version < 160_000,
            slot: options.slot,
            place: Place::Boundary,
            is_foreign: false,
            position: options.start,
            count: 0,
        }
    }

    /// Runs until the stream is closed or fails.
    pub(crate) async fn run(mut self) {
        match self.pump().await {
            Stop::Closed => {
                if self.link.say_goodbye().await.is_ok() {
                    self.reader.drain().await;
                }
            }
            Stop::Failed(error) => {
                let error =
                    if error.kind() == ErrorKind::Connection { self.last_words(error).await } else { error };
                self.outbox.fail(error);
            }
        }
    }

    /// A connection that broke while we were writing may still hold what the server had to say.
    async fn last_words(&mut self, error: Error) -> Error {
        let listening = async {
            loop {
                match self.reader.take() {
                    Ok(Some((CopyFrame::Refused(message), _))) => return Some(message),
                    Ok(Some(_)) => {}
                    Ok(None) => {
                        self.reader.fill().await.ok()?;
                    }
                    Err(_) => return None,
                }
            }
        };
        match tokio::time::timeout(LAST_WORDS_MAX, listening).await {
            Ok(Some(message)) => refused(&message, "reading the log", &self.slot),
            Ok(None) | Err(_) => error,
        }
    }

    async fn pump(&mut self) -> Stop {
        loop {
            let step = async {
                while let Some((frame, bytes)) = self.reader.take()? {
                    self.outbox.passed(bytes);
                    self.take_in(frame).await?;
                }
                self.outbox.flush();
                let read = self.link.listen(self.reader.fill()).await??;
                self.link.count(read);
                Ok::<(), Stop>(())
            };
            if let Err(stop) = step.await {
                return stop;
            }
        }
    }

    async fn take_in(&mut self, frame: CopyFrame) -> Result<(), Stop> {
        match frame {
            CopyFrame::Log { start, head, payload } => {
                self.link.heard(start, head);
                self.message(payload).await?;
            }
            CopyFrame::Keepalive { sent, reply } => {
                self.link.heard(sent, sent);
                if self.place == Place::Boundary && sent >= self.position {
                    self.position = sent;
                    self.push(LogItem::Position(sent)).await?;
                }
                if reply {
                    self.link.report(false).await?;
                }
            }
            CopyFrame::Refused(message) => {
                return Err(refused(&message, "reading the log", &self.slot).into());
            }
            CopyFrame::Ended => {
                return Err(
                    Error::new(ErrorKind::Connection, "the server ended the replication stream").into()
                );
            }
        }
        Ok(())
    }

    async fn message(&mut self, payload: Bytes) -> Result<(), Stop> {
        self.count += 1;
        if let Place::Piece(xid) = self.place {
            return self.store(xid, &payload).await;
        }
        let message = parse(payload, false)?.message;
        match (self.place, message) {
            (Place::Boundary, Message::Begin { lsn, commit_time_us, xid }) => {
                self.place = Place::Transaction;
                self.is_foreign = false;
                self.push(LogItem::Begin { xid, commit_lsn: lsn, commit_time_us }).await
            }
            (Place::Transaction, Message::Commit { lsn, end_lsn, .. }) => {
                self.place = Place::Boundary;
                self.commit(lsn, end_lsn).await
            }
            (Place::Boundary, Message::StreamStart { xid, is_first }) => {
                self.assembly.begin_piece(xid, is_first)?;
                self.place = Place::Piece(xid);
                Ok(())
            }
            (Place::Boundary, Message::StreamAbort { xid, subxid }) => {
                self.assembly.abort(xid, subxid);
                Ok(())
            }
            (Place::Boundary, Message::StreamCommit { xid, lsn, end_lsn, commit_time_us }) => {
                self.replay(xid, LogItem::Begin { xid, commit_lsn: lsn, commit_time_us }).await?;
                self.commit(lsn, end_lsn).await?;
                for relation in self.relations.settle() {
                    self.push(LogItem::Relation(relation)).await?;
                }
                Ok(())
            }
            (
                _,
                Message::BeginPrepare(_)
                | Message::Prepare(_)
                | Message::CommitPrepared(_)
                | Message::RollbackPrepared(_)
                | Message::StreamPrepare(_),
            ) => Err(two_phase(&self.slot).into()),
            (Place::Transaction, Message::Relation(relation)) => {
                let relation = self.relations.outside(self.count, relation);
                self.push(LogItem::Relation(relation)).await
            }
            (Place::Boundary, Message::Logical { transactional: false, lsn, prefix, content }) => {
                self.push(LogItem::Message { transactional: false, lsn, prefix, content }).await
            }
            (Place::Transaction, message) => self.change(message).await,
            (Place::Boundary | Place::Piece(_), _) => {
                Err(corrupt("belongs to a transaction and stands outside of one").into())
            }
        }
    }

    /// A message of a piece.
    async fn store(&mut self, xid: u32, payload: &Bytes) -> Result<(), Stop> {
        match streamed_header(payload)? {
            (kind::STREAM_STOP, _) => {
                self.place = Place::Boundary;
                return Ok(());
            }
            (kind::ORIGIN, _) | (_, Some(_)) => self.assembly.append(xid, payload, self.count)?,
            _ => return Err(corrupt("has no place in a piece of an open transaction").into()),
        }
        if self.assembly.is_spill_due(xid) {
            self.link.serve(self.assembly.spill(xid)).await??;
        }
        Ok(())
    }

    /// Returns what was stored of a transaction.
    async fn replay(&mut self, xid: u32, begin: LogItem) -> Result<(), Stop> {
        let mut replay = self.assembly.commit(xid)?;
        self.is_foreign = false;
        self.push(begin).await?;
        loop {
            while let Some(stored) = replay.take()? {
                self.outbox.passed(stored.bytes);
                match stored.parsed.message {
                    Message::Relation(relation) => {
                        let relation = self.relations.inside(stored.place, relation);
                        self.push(LogItem::Relation(relation)).await?;
                    }
                    message => self.change(message).await?,
                }
            }
            if !self.link.serve(replay.fill()).await?? {
                return Ok(());
            }
        }
    }

    /// What stands inside a transaction, other than the shape of a table.
    async fn change(&mut self, message: Message) -> Result<(), Stop> {
        let item = match message {
            Message::Origin { .. } => {
                self.is_foreign = self.drops_foreign;
                return Ok(());
            }
            // Types are known by their OIDs from the catalog.
            Message::Type { .. } => return Ok(()),
            Message::Insert { relation, new } => LogItem::Insert { relation, new },
            Message::Update { relation, old, new } => LogItem::Update { relation, old, new },
            Message::Delete { relation, old } => LogItem::Delete { relation, old },
            Message::Truncate { relations, cascade, restart_identity } => {
                LogItem::Truncate { relations, cascade, restart_identity }
            }
            Message::Logical { transactional, lsn, prefix, content } => {
                LogItem::Message { transactional, lsn, prefix, content }
            }
            _ => return Err(corrupt("has no place inside a transaction").into()),
        };
        if self.is_foreign {
            return Ok(());
        }
        self.push(item).await
    }

    async fn commit(&mut self, lsn: Lsn, end_lsn: Lsn) -> Result<(), Stop> {
        self.position = self.position.max(end_lsn);
        self.push(LogItem::Commit { lsn, end_lsn }).await
    }

    /// Hands an item over; reports to the server while there is no room for more.
    async fn push(&mut self, item: LogItem) -> Result<(), Stop> {
        self.outbox.push(item);
        if self.outbox.is_full() {
            self.link.serve(self.outbox.room()).await?;
        }
        Ok(())
    }
}

fn two_phase(slot: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the slot '{slot}' decodes prepared transactions at their PREPARE, whose rows a restart could lose"),
    )
    .hint("drop the slot and let the job create it, or create it without two-phase decoding: prepared transactions then come at their COMMIT PREPARED")
}
