//! A limit on the rows and bytes that a job reads in a second.
//!
//! What was read is paid for in time: each batch puts off the next read by as long as the limit gives its
//! rows, or its bytes if that is longer. Nothing is saved up while the source has nothing to say, so that no
//! burst follows a pause.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The longest wait in one go: so much later at most a stop is noticed, and a barrier passes.
const STEP: Duration = Duration::from_millis(50);

/// The limit of one job. Clones are the same limit, and it may be changed while the job runs.
#[derive(Clone, Debug, Default)]
pub struct ReadLimit(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    rows_per_second: AtomicU64,
    bytes_per_second: AtomicU64,
    /// When everything that was read is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl ReadLimit {
    /// Zero: no limit of this kind.
    pub fn new(rows_per_second: u64, bytes_per_second: u64) -> ReadLimit {
        let limit = ReadLimit::default();
        limit.set(rows_per_second, bytes_per_second);
        limit
    }

    /// Changes the limit. What was read under the last one is not waited for any more.
    pub fn set(&self, rows_per_second: u64, bytes_per_second: u64) {
        self.0.rows_per_second.store(rows_per_second, Relaxed);
        self.0.bytes_per_second.store(bytes_per_second, Relaxed);
        *self.paid_at() = None;
    }

    /// The limit as it is: rows and bytes in a second.
    pub fn get(&self) -> (u64, u64) {
        (self.0.rows_per_second.load(Relaxed), self.0.bytes_per_second.load(Relaxed))
    }

    fn paid_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.paid_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much was read.
    pub(crate) fn took(&self, rows: usize, bytes: usize) {
        let (rows_per_second, bytes_per_second) = self.get();
        let price = price(rows, rows_per_second).max(price(bytes, bytes_per_second));
        if !price.is_zero() {
            let mut paid_at = self.paid_at();
            let now = Instant::now();
            *paid_at = paid_at.unwrap_or(now).max(now).checked_add(price);
        }
    }

    /// How long to wait before reading on: a short step; `None` when there is nothing to wait for.
    pub(crate) fn step(&self) -> Option<Duration> {
        let left = (*self.paid_at())?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(STEP))
    }
}

/// Where one reader stands with the limit.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// A barrier was asked for and has not come. The reader reads on to the end of a transaction for it: each
    /// read waits one step at most then, and what it takes too much is made up for behind the barrier.
    pub(crate) barrier_comes: bool,
    /// The next read has waited a step already.
    has_waited: bool,
}

impl Pace {
    /// Waits a step of what was read; `false` when it is time to read.
    pub(crate) async fn waited(&mut self, limit: &ReadLimit) -> bool {
        let step = limit.step().filter(|_| !(self.barrier_comes && self.has_waited));
        self.has_waited = step.is_some();
        if let Some(step) = step {
            tokio::time::sleep(step).await;
        }
        self.has_waited
    }
}

/// The time that a limit gives so many of something.
fn price(count: usize, per_second: u64) -> Duration {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let micros = u128::from(count) * 1_000_000;
    match u128::from(per_second) {
        0 => Duration::ZERO,
        per_second => Duration::from_micros(u64::try_from(micros / per_second).unwrap_or(u64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until what was read is paid for.
    async fn paid_after(limit: &ReadLimit) -> f64 {
        let began = Instant::now();
        while let Some(step) = limit.step() {
            assert!(step <= STEP);
            tokio::time::sleep(step).await;
        }
        began.elapsed().as_secs_f64()
    }

    fn about(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 0.01, "{found} s, and not {wanted} s");
    }

    #[tokio::test(start_paused = true)]
    async fn rows_and_bytes_are_paid_for_in_time() {
        let limit = ReadLimit::new(1_000, 0);
        about(paid_after(&limit).await, 0.0);
        limit.took(500, 1 << 30);
        limit.took(2_500, 1 << 30);
        about(paid_after(&limit).await, 3.0);
        // A pause saves nothing up.
        tokio::time::sleep(Duration::from_secs(60)).await;
        limit.took(1_000, 0);
        about(paid_after(&limit).await, 1.0);
        // The slower of the two decides.
        limit.set(1_000, 1_000);
        limit.took(1_000, 5_000);
        about(paid_after(&limit).await, 5.0);
    }

    #[tokio::test(start_paused = true)]
    async fn another_limit_holds_at_once() {
        let limit = ReadLimit::new(1, 0);
        let same = limit.clone();
        limit.took(8_192, 0);
        assert!(same.step().is_some());
        same.set(0, 0);
        assert_eq!((limit.step(), limit.get()), (None, (0, 0)));
        limit.took(usize::MAX, usize::MAX);
        assert_eq!(limit.step(), None);
    }
}
