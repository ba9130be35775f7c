//! What the S3 server does wrong, request by request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Requests that are remembered, the last ones.
pub const REMEMBERED: usize = 100_000;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is refused with an error of S3's, by its code: `SlowDown` (503), `InternalError` (500),
    /// `AccessDenied` (403) and so on.
    Error(&'static str),
    /// The connection is cut, and nothing is done.
    Cut,
    /// It is carried out, then the connection is cut: the answer is lost.
    Lose,
    /// It waits to be released, then it is carried out. If its client is gone by then, it is not.
    Hold,
    /// It is carried out, and its answer waits to be released.
    HoldAnswer,
}

/// Requests by their method and by what they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    method: Option<&'static str>,
    part: String,
}

impl Requests {
    /// All of them.
    pub fn any() -> Requests {
        Requests { method: None, part: String::new() }
    }

    /// Those of a method: `GET`, `HEAD`, `PUT`, `POST`, `DELETE`.
    pub fn of(method: &'static str) -> Requests {
        Requests { method: Some(method), part: String::new() }
    }

    /// Those of them whose `/bucket/key?query` holds this. Keys are compared decoded, the query as it was
    /// sent: `partNumber=` is in every part of an upload.
    #[must_use]
    pub fn with(self, part: &str) -> Requests {
        Requests { part: part.to_owned(), ..self }
    }

    fn include(&self, method: &str, target: &str) -> bool {
        self.method.is_none_or(|own| own == method) && target.contains(&self.part)
    }
}

#[derive(Debug)]
struct Order {
    left: usize,
    requests: Requests,
    fault: Fault,
}

/// What is to go wrong, and what has come in.
#[derive(Debug)]
pub(super) struct Script {
    orders: Mutex<Vec<Order>>,
    slow: Mutex<Option<Duration>>,
    seen: Mutex<VecDeque<(String, String)>>,
    held: AtomicUsize,
    /// Changes when held requests may go on.
    releases: watch::Sender<u64>,
    pub(super) refused: watch::Sender<bool>,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            orders: Mutex::default(),
            slow: Mutex::default(),
            seen: Mutex::default(),
            held: AtomicUsize::new(0),
            releases: watch::Sender::new(0),
            refused: watch::Sender::new(false),
        }
    }
}

impl Script {
    pub(super) fn add(&self, count: usize, requests: Requests, fault: Fault) {
        lock(&self.orders).push(Order { left: count, requests, fault });
    }

    pub(super) fn clear(&self) {
        lock(&self.orders).clear();
    }

    pub(super) fn pending(&self) -> usize {
        lock(&self.orders).iter().map(|order| order.left).sum()
    }

    pub(super) fn set_slow(&self, pause: Option<Duration>) {
        *lock(&self.slow) = pause;
    }

    pub(super) fn pause(&self) -> Option<Duration> {
        *lock(&self.slow)
    }

    /// Remembers a request; the fault it meets with.
    pub(super) fn take(&self, method: &str, path: &str, query: &str) -> Option<Fault> {
        let target = format!("{}?{query}", decoded(path));
        let mut orders = lock(&self.orders);
        let mut seen = lock(&self.seen);
        if seen.len() == REMEMBERED {
            seen.pop_front();
        }
        let order = orders.iter_mut().find(|order| order.left > 0 && order.requests.include(method, &target));
        seen.push_back((method.to_owned(), target));
        let order = order?;
        order.left -= 1;
        Some(order.fault)
    }

    pub(super) fn seen(&self, requests: &Requests) -> usize {
        lock(&self.seen).iter().filter(|(method, target)| requests.include(method, target)).count()
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    pub(super) fn release(&self) {
        self.releases.send_modify(|releases| *releases += 1);
    }

    /// Waits until it is released; dropped earlier when the client goes away.
    pub(super) async fn hold(&self) {
        let mut releases = self.releases.subscribe();
        let _held = Held::new(&self.held);
        // The sender is ours, so this ends by a release.
        let _ = releases.changed().await;
    }
}

/// Counts a held request while it is held.
struct Held<'a>(&'a AtomicUsize);

impl Held<'_> {
    fn new(count: &AtomicUsize) -> Held<'_> {
        count.fetch_add(1, Ordering::SeqCst);
        Held(count)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path without its percent signs (RFC 3986, 2.1).
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let code = behind.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(value) if byte == b'%' => {
                bytes.push(value);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
