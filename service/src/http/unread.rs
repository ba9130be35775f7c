//! What nobody read of a request that was refused by its head.
//!
//! A server that answers and closes while bytes are on their way resets the connection, and whoever sends all before
//! it looks for an answer never learns why it was refused (RFC 9112, section 9.6). So the rest of the body is read
//! and thrown away before the answer, within limits; the connection can then take the next request as well.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use tokio::sync::oneshot;

/// Most bytes that are read for nothing; a sender of more may not hear why it was refused.
const UNREAD_BYTES_MAX: usize = 16 << 20;
/// How long an answer waits for them.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// A body that is given back by whoever lets go of it before its end.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let poll = Pin::new(body).poll_next(context);
        if matches!(poll, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        poll
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody takes it when the request is over.
            let _ = back.send(body);
        }
    }
}

/// Answers a request when nothing of it is on its way any more.
pub(crate) async fn read_out(request: Request, next: Next) -> Response {
    // Whoever waits to be told to go on has sent nothing yet, and need not.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let too_much = request.body().size_hint().lower() > UNREAD_BYTES_MAX as u64;
    let (back, mut given_back) = oneshot::channel();
    let lent = |body: Body| Lent { body: Some(body.into_data_stream()), back: Some(back) };
    let response = next.run(request.map(|body| Body::from_stream(lent(body)))).await;
    if let (Ok(rest), false) = (given_back.try_recv(), too_much) {
        // Past the time the answer goes out as it did without this.
        let _ = tokio::time::timeout(READ_WITHIN, throw_away(rest)).await;
    }
    response
}

async fn throw_away(mut rest: BodyDataStream) {
    let mut bytes = 0;
    while let Some(Ok(some)) = rest.next().await {
        bytes += some.len();
        if bytes > UNREAD_BYTES_MAX {
            return;
        }
    }
}
