//! A whole transaction in one compressed event (`binlog_transaction_compression=ON`).

use std::io::{BufReader, Read};

use culvert_api::{Error, ErrorKind, Result};

use super::{EventHeader, HEADER_LENGTH};
use crate::wire::{Cursor, WireResult};

/// How the payload is compressed. Manual: `mysql::binlog::event::compression::type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd.
    Zstd,
    /// Not at all.
    None,
}

/// The events of one transaction. Manual: `Transaction_payload_event`.
#[derive(Clone, Copy, Debug)]
pub struct TransactionPayload<'a> {
    /// How `payload` is compressed.
    pub compression: Compression,
    /// Bytes of all events together, as the server states it.
    pub uncompressed_size: Option<u64>,
    /// Events as in the file but without checksums, compressed.
    pub payload: &'a [u8],
}

impl<'a> TransactionPayload<'a> {
    /// The fields are a type, a length and so many bytes each, up to a mark; the payload follows.
    pub(super) fn parse(body: &'a [u8]) -> Result<TransactionPayload<'a>> {
        let mut cursor = Cursor::new(body);
        let (mut size, mut compression, mut uncompressed_size) = (None, None, None);
        loop {
            let field = cursor.lenenc("payload field")?;
            if field == 0 {
                break;
            }
            let mut value = Cursor::new(cursor.lenenc_bytes("payload field")?);
            match field {
                1 => size = Some(value.lenenc_usize("payload size")?),
                2 => compression = Some(value.lenenc("payload compression")?),
                3 => uncompressed_size = Some(value.lenenc("payload uncompressed size")?),
                _ => {}
            }
        }
        let compression = match compression {
            Some(0) => Compression::Zstd,
            Some(255) => Compression::None,
            Some(other) => {
                let message = format!("transaction payloads of compression type {other} are not supported");
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            None => return Err(cursor.error("payload compression").into()),
        };
        let size = size.ok_or_else(|| cursor.error("payload size"))?;
        let payload = cursor.take(size, "payload")?;
        Ok(TransactionPayload { compression, uncompressed_size, payload })
    }

    /// The events inside, one after the other: memory is bounded by the largest of them, not by
    /// the transaction. An event of more than `event_bytes_max` bytes is an error.
    pub fn events(&self, event_bytes_max: usize) -> Result<PayloadEvents<'a>> {
        let bytes: Box<dyn Read + Send + 'a> = match self.compression {
            Compression::None => Box::new(self.payload),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(self.payload).map_err(broken_zstd)?;
                Box::new(BufReader::with_capacity(64 << 10, decoder))
            }
        };
        let stated = self.uncompressed_size;
        Ok(PayloadEvents { bytes, buffer: Vec::new(), read: 0, stated, event_bytes_max })
    }

    /// All events at once; an error beyond `limit` bytes.
    pub fn decompress(&self, limit: usize) -> Result<Vec<u8>> {
        let mut events = self.events(limit)?;
        let mut all = Vec::new();
        while events.next_event()?.is_some() {
            if all.len() + events.buffer.len() > limit {
                return Err(too_large(all.len() + events.buffer.len(), limit));
            }
            all.extend_from_slice(&events.buffer);
        }
        Ok(all)
    }
}

/// Reads the events of a [`TransactionPayload`].
pub struct PayloadEvents<'a> {
    bytes: Box<dyn Read + Send + 'a>,
    buffer: Vec<u8>,
    read: u64,
    stated: Option<u64>,
    event_bytes_max: usize,
}

impl PayloadEvents<'_> {
    /// The next event: its header and its body, which has no checksum. `None` at the end, which
    /// is an error when the bytes so far are not as many as the server stated.
    pub fn next_event(&mut self) -> Result<Option<(EventHeader, &[u8])>> {
        self.buffer.clear();
        self.fill(HEADER_LENGTH)?;
        if self.buffer.is_empty() {
            return match self.stated {
                Some(stated) if stated != self.read => {
                    let message = "a transaction payload does not expand to its stated length";
                    Err(Error::new(ErrorKind::Corrupt, message)
                        .context("stated", stated)
                        .context("found", self.read))
                }
                _ => Ok(None),
            };
        }
        let header = self.header()?;
        let size = usize::try_from(header.event_size).unwrap_or(usize::MAX);
        if size > self.event_bytes_max {
            return Err(too_large(size, self.event_bytes_max));
        }
        let body =
            size.checked_sub(HEADER_LENGTH).ok_or_else(|| Cursor::new(&self.buffer).error("event size"))?;
        self.fill(body)?;
        let mut cursor = Cursor::new(&self.buffer);
        cursor.take(HEADER_LENGTH, "event in a payload")?;
        Ok(Some((header, cursor.take(body, "event in a payload")?)))
    }

    fn header(&self) -> WireResult<EventHeader> {
        EventHeader::parse(&mut Cursor::new(&self.buffer))
    }

    /// Appends up to `count` bytes; fewer come only at the end.
    fn fill(&mut self, count: usize) -> Result<()> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let read = (&mut self.bytes).take(count).read_to_end(&mut self.buffer).map_err(broken_zstd)?;
        self.read += u64::try_from(read).unwrap_or(0);
        Ok(())
    }
}

fn broken_zstd(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Corrupt, "a transaction payload cannot be expanded").caused_by(error)
}

fn too_large(size: usize, limit: usize) -> Error {
    let message = format!("an event in a compressed transaction has {size} bytes, the limit is {limit}");
    Error::new(ErrorKind::Unsupported, message)
}
