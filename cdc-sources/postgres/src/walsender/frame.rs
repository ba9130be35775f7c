//! Cutting frames (`tag | length | body`) off a stream of bytes.

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::failure::Failure;

/// The size of a buffer. Frames are slices of it; a larger frame has a larger one.
pub(crate) const BUFFER_BYTES: usize = 128 << 10;
/// With less room than this a new buffer is taken.
const ROOM_MIN: usize = 16 << 10;
/// Tag and length.
const HEADER: usize = 5;

/// A message of the server.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Bytes,
}

/// Reads frames.
pub(crate) struct FrameReader<R> {
    source: R,
    buffer: BytesMut,
    /// What the frame at the front of the buffer lacks.
    missing: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(source: R) -> FrameReader<R> {
        FrameReader { source, buffer: BytesMut::new(), missing: 0 }
    }

    /// The same over a source whose type is not told.
    pub(crate) fn boxed(self) -> FrameReader<Box<dyn AsyncRead + Send + Unpin>>
    where
        R: Send + 'static,
    {
        FrameReader { source: Box::new(self.source), buffer: self.buffer, missing: self.missing }
    }

    /// A whole frame, if it is there already.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Result<Option<Frame>, Failure> {
        let Some(&[tag, a, b, c, d]) = self.buffer.first_chunk::<HEADER>() else {
            self.missing = 0;
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        if length < 4 {
            return Err(Failure::Unexpected("a message of an impossible length"));
        }
        if length > bytes_max {
            return Err(Failure::Unexpected("a message that is longer than allowed here"));
        }
        if self.buffer.len() <= length {
            self.missing = length + 1 - self.buffer.len();
            return Ok(None);
        }
        let mut body = self.buffer.split_to(length + 1).freeze();
        body.advance(HEADER);
        Ok(Some(Frame { tag, body }))
    }

    /// Reads what is there. Losing this future loses no bytes.
    pub(crate) async fn fill(&mut self) -> Result<usize, Failure> {
        if self.buffer.capacity() - self.buffer.len() < ROOM_MIN {
            // A length is believed only as far as bytes have come: the buffer doubles at most.
            let wanted = self.missing.clamp(BUFFER_BYTES, self.buffer.len().max(BUFFER_BYTES));
            self.buffer.reserve(wanted);
        }
        match self.source.read_buf(&mut self.buffer).await? {
            0 => Err(Failure::Closed),
            count => Ok(count),
        }
    }

    /// The next frame.
    pub(crate) async fn next(&mut self, bytes_max: usize) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.take(bytes_max)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Reads to the end and throws it away.
    pub(crate) async fn drain(&mut self) {
        loop {
            self.buffer.clear();
            self.missing = 0;
            if self.fill().await.is_err() {
                return;
            }
        }
    }
}
