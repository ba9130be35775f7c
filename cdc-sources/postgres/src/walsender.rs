//! A replication connection ("Streaming Replication Protocol" in the PostgreSQL manual).
//!
//! The ordinary client library has no replication mode: the startup parameter `replication` and the
//! two-way copy that `START_REPLICATION` opens are missing. So the few messages needed are spoken here:
//! login, simple queries, and CopyBoth. Frames are cut off a growing buffer and handed on without a
//! copy; no length is believed further than its limit.

mod failure;
mod frame;
mod login;
mod transport;

use bytes::{Bytes, BytesMut};
use culvert_api::guard::connecting;
use culvert_api::{Error, Result};
use culvert_postgres::{Endpoint, lost};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};

pub(crate) use self::failure::{Failure, ServerMessage, refused};
pub(crate) use self::frame::BUFFER_BYTES;
use self::frame::{Frame, FrameReader};
use self::transport::Transport;
use crate::lsn::Lsn;
use crate::pgoutput::wire::{EPOCH_US, Wire};

/// A message before replication begins.
const REPLY_BYTES_MAX: usize = 16 << 20;
/// A message of the log: a row of values up to 1 GiB, the most the server itself can put together.
const MESSAGE_BYTES_MAX: usize = (1 << 30) + (1 << 20);
/// Rows of one reply.
const REPLY_ROWS_MAX: usize = 100_000;

/// A row of a simple query's result, every value as text.
pub(crate) type TextRow = Vec<Option<String>>;

/// The sending half after replication began.
pub(crate) type CopyWriter = WriteHalf<Box<dyn Transport>>;

/// A replication connection that takes commands.
pub(crate) struct Walsender {
    reader: FrameReader<ReadHalf<Box<dyn Transport>>>,
    writer: CopyWriter,
}

impl Walsender {
    /// Connects to a database in replication mode, within the endpoint's time limit.
    pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Walsender> {
        let doing = endpoint.connecting();
        let opening = || async {
            let connected = transport::connect(endpoint, &doing).await?;
            let (reader, writer) = tokio::io::split(connected.stream);
            let mut walsender = Walsender { reader: FrameReader::new(reader), writer };
            login::log_in(&mut walsender, endpoint, connected.channel_binding)
                .await
                .map_err(|failure| failure.into_error(&doing, ""))?;
            Ok(walsender)
        };
        let limit = endpoint.connect_timeout;
        let in_time = connecting(limit, opening).await;
        in_time.unwrap_or_else(|| Err(lost(&doing, format!("no answer within {limit:?}"))))
    }

    /// Runs a statement or a replication command that gives rows.
    pub(crate) async fn query(&mut self, statement: &str) -> Result<Vec<TextRow>, Failure> {
        self.send_query(statement).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let frame = self.receive().await?;
            match frame.tag {
                b'D' if rows.len() >= REPLY_ROWS_MAX => {
                    return Err(Failure::Unexpected("more rows than asked for"));
                }
                b'D' => rows.push(text_row(frame.body)?),
                b'E' => refused = Some(ServerMessage::parse(frame.body)),
                b'Z' => break,
                b'T' | b'C' | b'I' => {}
                _ => return Err(Failure::Unexpected("an answer that is no result")),
            }
        }
        match refused {
            Some(message) => Err(Failure::Refused(message)),
            None => Ok(rows),
        }
    }

    /// Sends a `START_REPLICATION` and goes over to copying in both directions.
    pub(crate) async fn start_replication(
        mut self,
        statement: &str,
    ) -> Result<(CopyReader, CopyWriter), Failure> {
        self.send_query(statement).await?;
        let frame = self.receive().await?;
        match frame.tag {
            b'W' => Ok((CopyReader { frames: self.reader.boxed() }, self.writer)),
            b'E' => Err(Failure::Refused(ServerMessage::parse(frame.body))),
            _ => Err(Failure::Unexpected("no start of replication")),
        }
    }

    async fn send_query(&mut self, statement: &str) -> Result<(), Failure> {
        let mut message = BytesMut::new();
        frontend::query(statement, &mut message)?;
        self.send(&message).await
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(message).await?;
        self.writer.flush().await?;
        Ok(())
    }

    /// The next message that is not just for information.
    async fn receive(&mut self) -> Result<Frame, Failure> {
        loop {
            let frame = self.reader.next(REPLY_BYTES_MAX).await?;
            match frame.tag {
                b'S' | b'K' | b'A' | b'v' => {}
                b'N' => ServerMessage::parse(frame.body).note(),
                _ => return Ok(frame),
            }
        }
    }
}

fn text_row(body: Bytes) -> Result<TextRow, Failure> {
    let mut wire = Wire::new(body);
    let count = wire.u16()?;
    let mut row = Vec::new();
    for _ in 0..count {
        row.push(match wire.i32()? {
            -1 => None,
            length => {
                let length = usize::try_from(length).map_err(|_| Failure::Unexpected("a negative length"))?;
                Some(String::from_utf8_lossy(&wire.bytes(length)?).into_owned())
            }
        });
    }
    Ok(row)
}

/// What arrives while replication runs.
#[derive(Debug)]
pub(crate) enum CopyFrame {
    /// A message of the output plugin.
    Log {
        /// The place in the log it is about; zero for some.
        start: Lsn,
        /// How far the server has got, as far as it says so here.
        head: Lsn,
        /// The message.
        payload: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// Everything before it was sent.
        sent: Lsn,
        /// The server wants a report at once.
        reply: bool,
    },
    /// The server refuses to go on.
    Refused(ServerMessage),
    /// The server ended the copy.
    Ended,
}

/// The receiving half after replication began.
pub(crate) struct CopyReader {
    frames: FrameReader<Box<dyn tokio::io::AsyncRead + Send + Unpin>>,
}

impl CopyReader {
    #[cfg(test)]
    pub(crate) fn new(source: Box<dyn tokio::io::AsyncRead + Send + Unpin>) -> CopyReader {
        CopyReader { frames: FrameReader::new(source) }
    }

    /// A frame that is there already, and its length.
    pub(crate) fn take(&mut self) -> Result<Option<(CopyFrame, usize)>> {
        loop {
            let Some(frame) = self.frames.take(MESSAGE_BYTES_MAX).map_err(into_lost)? else {
                return Ok(None);
            };
            let length = frame.body.len();
            let frame = match frame.tag {
                b'd' => copy_data(frame.body)?,
                b'E' => CopyFrame::Refused(ServerMessage::parse(frame.body)),
                b'c' => CopyFrame::Ended,
                b'N' => {
                    ServerMessage::parse(frame.body).note();
                    continue;
                }
                b'S' => continue,
                // CommandComplete and ReadyForQuery after a copy that the server ended.
                b'C' | b'Z' => CopyFrame::Ended,
                _ => return Err(into_lost(Failure::Unexpected("an unknown message"))),
            };
            return Ok(Some((frame, length)));
        }
    }

    /// Reads more. Gives the count of bytes.
    pub(crate) async fn fill(&mut self) -> Result<usize> {
        self.frames.fill().await.map_err(into_lost)
    }

    /// Reads to the end and throws it away.
    pub(crate) async fn drain(mut self) {
        self.frames.drain().await;
    }
}

const READING: &str = "reading the log";

fn into_lost(failure: Failure) -> Error {
    failure.into_error(READING, "")
}

fn copy_data(body: Bytes) -> Result<CopyFrame> {
    let mut wire = Wire::new(body);
    match wire.u8()? {
        b'w' => {
            let (start, head) = (wire.lsn()?, wire.lsn()?);
            wire.u64()?;
            Ok(CopyFrame::Log { start, head, payload: wire.into_rest() })
        }
        b'k' => {
            let sent = wire.lsn()?;
            wire.u64()?;
            Ok(CopyFrame::Keepalive { sent, reply: wire.u8()? != 0 })
        }
        _ => Err(lost(READING, "a message that is neither log nor keepalive")),
    }
}

/// A report: received so far, and what is flushed and applied, which are one here.
pub(crate) fn status_update(received: Lsn, applied: Lsn, ask: bool) -> Vec<u8> {
    const LENGTH: u32 = 38;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX) - EPOCH_US;
    let mut message = Vec::with_capacity(39);
    message.push(b'd');
    message.extend_from_slice(&LENGTH.to_be_bytes());
    message.push(b'r');
    for lsn in [received, applied, applied] {
        message.extend_from_slice(&lsn.0.to_be_bytes());
    }
    message.extend_from_slice(&now_us.to_be_bytes());
    message.push(u8::from(ask));
    message
}

/// The end of the copy and of the session.
pub(crate) fn farewell() -> BytesMut {
    let mut message = BytesMut::new();
    frontend::copy_done(&mut message);
    frontend::terminate(&mut message);
    message
}

#[cfg(test)]
mod tests;
