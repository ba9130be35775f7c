//! Our side of the replication connection: reports to the server on a clock of their own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use culvert_api::guard::{SUSPECT_AFTER, dead, until_dead};
use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::{BackendWitness, lost};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::Shared;
use crate::lsn::Lsn;
use crate::walsender::{Walsender, farewell, status_update};

/// A report leaves at least this often.
const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// Reports are not more frequent than this, however impatient the server.
const STATUS_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// A server that says nothing for this long, though asked, counts as gone, whatever it says elsewhere.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// It is told of after this long.
const SILENCE_TOLD_AFTER: Duration = Duration::from_secs(20);
/// On top of the server's own patience, within which it may be busy decoding without a word.
const SILENCE_MARGIN: Duration = Duration::from_secs(30);
/// A report that cannot be sent for this long means the same.
const SEND_MAX: Duration = Duration::from_secs(60);

/// Why the task ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It was asked to.
    Closed,
    /// It cannot go on.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// How often to report, and how long to believe in a silent server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) status_interval: Duration,
    pub(crate) silence_max: Duration,
}

impl Timing {
    /// Three reports within the server's `wal_sender_timeout`.
    pub(crate) async fn of_server(walsender: &mut Walsender) -> Result<Timing> {
        let asking = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let rows = walsender
            .query(asking)
            .await
            .map_err(|failure| failure.into_error("reading wal_sender_timeout", ""))?;
        let millis = rows.into_iter().flatten().flatten().next().and_then(|text| text.parse().ok());
        Ok(Timing::of_timeout(Duration::from_millis(millis.unwrap_or(0))))
    }

    /// `timeout` zero: the server has no limit.
    fn of_timeout(timeout: Duration) -> Timing {
        let interval = if timeout.is_zero() { STATUS_INTERVAL_MAX } else { timeout / 3 };
        Timing {
            status_interval: interval.clamp(STATUS_INTERVAL_MIN, STATUS_INTERVAL_MAX),
            silence_max: SILENCE_MAX.max(timeout.saturating_add(SILENCE_MARGIN)),
        }
    }
}

/// The writing half of the connection, and what is to be said on it.
pub(crate) struct Link {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    shared: Arc<Shared>,
    timing: Timing,
    /// Tells a server that is busy from a connection that is dead.
    witness: Option<Arc<BackendWitness>>,
    next_status: Instant,
    /// How far the log was received.
    received: Lsn,
}

impl Link {
    pub(crate) fn new(
        writer: Box<dyn AsyncWrite + Send + Unpin>,
        shared: Arc<Shared>,
        timing: Timing,
        witness: Option<BackendWitness>,
    ) -> Link {
        let witness = witness.map(Arc::new);
        Link { writer, shared, timing, witness, next_status: Instant::now(), received: Lsn::default() }
    }

    /// The log was received up to here, and the server has got there.
    pub(crate) fn heard(&mut self, received: Lsn, head: Lsn) {
        self.received = self.received.max(received);
        self.shared.head.fetch_max(head.0, Ordering::Relaxed);
    }

    /// So many bytes were read.
    pub(crate) fn count(&self, bytes: usize) {
        self.shared.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Runs some work to its end and reports meanwhile.
    pub(crate) async fn serve<F: Future>(&mut self, work: F) -> Result<F::Output, Stop> {
        self.serve_while(work, false).await
    }

    /// The same for waiting on the server, whose silence then counts.
    pub(crate) async fn listen<F: Future>(&mut self, read: F) -> Result<F::Output, Stop> {
        self.serve_while(read, true).await
    }

    async fn serve_while<F: Future>(&mut self, work: F, listening: bool) -> Result<F::Output, Stop> {
        tokio::pin!(work);
        let began = Instant::now();
        let witness = self.witness.clone().filter(|_| listening);
        let found_dead = async {
            match witness {
                Some(witness) => until_dead(0, witness.as_ref()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(found_dead);
        let (mut asked, mut told) = (false, false);
        // Work that is always ready must not keep reports from leaving.
        if began >= self.next_status || self.shared.called.load(Ordering::Acquire) {
            self.report(false).await?;
        }
        loop {
            tokio::select! {
                biased;
                output = &mut work => return Ok(output),
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep_until(self.next_status) => {}
                () = tokio::time::sleep_until(began + SUSPECT_AFTER), if listening && !asked => {}
                () = &mut found_dead => return Err(dead().into()),
            }
            let silent = if listening { began.elapsed() } else { Duration::ZERO };
            if silent >= self.timing.silence_max {
                let message = format!("no sign of life from the server for {} s", silent.as_secs());
                return Err(Error::new(ErrorKind::Connection, message).into());
            }
            let worrying = silent >= SILENCE_TOLD_AFTER;
            if worrying && !told {
                told = true;
                tracing::warn!(
                    "STALLED: the server has said nothing for {} s, though asked",
                    silent.as_secs()
                );
            }
            asked = silent >= SUSPECT_AFTER;
            self.report(asked).await?;
        }
    }

    /// Tells the server what was acknowledged; `ask` for an answer.
    pub(crate) async fn report(&mut self, ask: bool) -> Result<(), Stop> {
        self.shared.called.store(false, Ordering::Release);
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(Stop::Closed);
        }
        let ask = self.shared.position_wanted.swap(false, Ordering::AcqRel) || ask;
        self.next_status = Instant::now() + self.timing.status_interval;
        let message = status_update(self.received, self.acknowledged(), ask);
        self.send(&message).await.map_err(Stop::Failed)
    }

    fn acknowledged(&self) -> Lsn {
        Lsn(self.shared.acknowledged.load(Ordering::Acquire))
    }

    async fn send(&mut self, message: &[u8]) -> Result<()> {
        const DOING: &str = "reporting to the server";
        let sending = async {
            self.writer.write_all(message).await?;
            self.writer.flush().await
        };
        match tokio::time::timeout(SEND_MAX, sending).await {
            Ok(sent) => sent.map_err(|error| lost(DOING, error)),
            Err(_) => Err(lost(DOING, format!("the server took nothing for {SEND_MAX:?}"))),
        }
    }

    /// Says what was acknowledged last, and goodbye.
    pub(crate) async fn say_goodbye(&mut self) -> Result<()> {
        let mut message = status_update(self.received, self.acknowledged(), false);
        message.extend_from_slice(&farewell());
        self.send(&message).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::AsyncReadExt;

    use super::*;

    fn link(timing: Timing) -> (Link, Arc<Shared>, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let shared = Arc::new(Shared::default());
        (Link::new(Box::new(ours), Arc::clone(&shared), timing, None), shared, theirs)
    }

    const TIMING: Timing =
        Timing { status_interval: Duration::from_secs(10), silence_max: Duration::from_secs(60) };

    #[test]
    fn reports_fit_the_servers_patience() {
        let secs = Duration::from_secs;
        for (timeout, interval, silence) in
            [(0, 10_000, 60), (60_000, 10_000, 90), (2_000, 666, 60), (10, 50, 60), (3_600_000, 10_000, 3630)]
        {
            let timing = Timing::of_timeout(Duration::from_millis(timeout));
            assert_eq!(timing.status_interval.as_millis(), interval, "{timeout}");
            assert_eq!(timing.silence_max, secs(silence), "{timeout}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_without_end_is_reported_through() {
        let (mut link, shared, mut server) = link(TIMING);
        link.heard(Lsn(7), Lsn(9));
        shared.acknowledged.store(5, Ordering::Release);
        link.serve(tokio::time::sleep(Duration::from_secs(3600))).await.unwrap();
        drop(link);
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        // One message has 39 bytes: received 7, flushed and applied 5.
        assert_eq!((sent.len() / 39, sent.len() % 39), (360, 0));
        assert_eq!(
            sent[6..30],
            [[0, 0, 0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, 0, 0, 5], [0, 0, 0, 0, 0, 0, 0, 5]].concat()
        );
        assert!(sent.chunks(39).all(|message| message[38] == 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_and_then_given_up() {
        let (mut link, _shared, mut server) = link(TIMING);
        let stop = link.listen(std::future::pending::<()>()).await.unwrap_err();
        assert!(matches!(stop, Stop::Failed(error) if error.kind() == ErrorKind::Connection));
        drop(link);
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        let asked: Vec<u8> = sent.chunks(39).map(|message| message[38]).collect();
        assert_eq!(asked, [0, 1, 1, 1, 1, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_answered_at_once_even_when_work_is_always_ready() {
        let (mut link, shared, mut server) = link(TIMING);
        link.serve(async {}).await.unwrap();
        shared.acknowledged.store(5, Ordering::Release);
        shared.position_wanted.store(true, Ordering::Release);
        shared.call();
        link.serve(async {}).await.unwrap();
        link.serve(async {}).await.unwrap();
        shared.closing.store(true, Ordering::Release);
        shared.call();
        assert!(matches!(link.serve(async {}).await, Err(Stop::Closed)));
        link.say_goodbye().await.unwrap();
        drop(link);
        let mut sent = Vec::new();
        server.read_to_end(&mut sent).await.unwrap();
        let asked: Vec<(u8, u8)> = sent.chunks_exact(39).map(|message| (message[21], message[38])).collect();
        assert_eq!(asked, [(0, 0), (5, 1), (5, 0)]);
    }
}
