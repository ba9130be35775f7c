//! Connections that are watched: whoever is silent, or slow on purpose, is let go.
//!
//! The server below reads a head as long as it comes in, byte by byte if need be, and a few such connections
//! would be all there are. So time is measured here: from the moment a connection is accepted, or has had its
//! answer, until a whole head is there ([`HEAD_WITHIN`]); what follows is a request, which has a time of
//! its own. An answer that nobody takes ends the connection as well.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use crate::http::failure::Failure;
use crate::http::listener::Peer;

/// How long a connection may take to send the head of a request, or send nothing between two.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// How long nobody may take a byte of an answer.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// What a connection is doing.
#[derive(Debug)]
pub(crate) struct Doing(Mutex<Option<Instant>>);

impl Doing {
    /// A connection that has not asked yet.
    pub(crate) fn waiting() -> Arc<Doing> {
        Arc::new(Doing(Mutex::new(Some(Instant::now()))))
    }

    /// Since when it is waited for; `None` while it is answered.
    fn waits_since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

/// A request is being answered as long as this lives.
struct Answering(Arc<Doing>);

impl Answering {
    fn begin(doing: &Arc<Doing>) -> Answering {
        doing.set(None);
        Answering(Arc::clone(doing))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now()));
    }
}

/// Gives a request its time.
pub(crate) async fn in_time(
    State(limit): State<Duration>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let _answering = Answering::begin(&peer.doing);
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::timeout(limit).shown_for(&path),
    }
}

/// A connection and its limits.
pub(crate) struct Watched<S> {
    stream: S,
    doing: Arc<Doing>,
    asleep: Pin<Box<Sleep>>,
    not_taken: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, doing: Arc<Doing>, place: OwnedSemaphorePermit) -> Watched<S> {
        let asleep = Box::pin(tokio::time::sleep(HEAD_WITHIN));
        Watched { stream, doing, asleep, not_taken: None, _place: place }
    }

    pub(crate) fn doing(&self) -> Arc<Doing> {
        Arc::clone(&self.doing)
    }

    /// Whether the head of a request is overdue.
    fn poll_overdue(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(since) = self.doing.waits_since() else { return Poll::Pending };
        let until = since + HEAD_WITHIN;
        if self.asleep.deadline() != until {
            self.asleep.as_mut().reset(until);
        }
        self.asleep.as_mut().poll(context)
    }

    /// Turns a write that nobody takes into an error.
    fn taken<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.not_taken = None;
            return poll;
        }
        let limit = self.not_taken.get_or_insert_with(|| Box::pin(tokio::time::sleep(TAKEN_WITHIN)));
        match limit.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending if self.poll_overdue(context).is_ready() => {
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            poll => poll,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.taken(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.taken(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.taken(context, poll)
    }
}
