//! Events: what happens in jobs is kept on disk, and then told to listeners.
//!
//! The way of an event: a job tells it through [`Told`], which puts it into a bounded queue and returns. One
//! thread writes what waits there to the log of events, synced. A task per listener ([`delivery`]) reads the
//! log behind its cursor, leaves out what is not wanted ([`filter`]), makes messages ([`message`]) and sends
//! them ([`channel`]), again and again until they have arrived. So nothing that is sent can be lost by a
//! crash, a listener that hangs holds up nobody, and after a crash some are told twice: `sequence` tells.

pub(crate) mod channel;
pub(crate) mod config;
mod delivery;
mod filter;
mod message;
pub(crate) mod model;
pub(crate) mod try_out;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use culvert_api::{Error, ErrorKind, EventKind, EventListener};
use culvert_state::EventLog;
use serde::Serialize;
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::daemon::model::JobId;
use config::Listener;
use delivery::Delivery;
use model::{Event, Numbered};

/// Events that wait to be written; further ones are lost, and that is told of.
const WAITING_MAX: usize = 10_000;
/// Events in one write.
const WRITTEN_MAX: usize = 256;
/// Between two tries to write to a disk that does not take it.
const WRITE_AGAIN: Duration = Duration::from_millis(500);
/// How long the end of the service waits for a disk that does not take the last events.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// Events of one answer.
pub(crate) const LISTED_MAX: usize = 1_000;
/// Events that one list looks at, wanted or not.
const LOOKED_AT_MAX: u64 = 100_000;

/// The events of a process.
pub(crate) struct Events {
    shared: Arc<Shared>,
    queue: Mutex<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
    deliveries: Mutex<BTreeMap<String, Delivery>>,
}

struct Queue {
    /// `None`: the process ends.
    sender: Option<SyncSender<Event>>,
    /// How many were taken.
    taken: u64,
}

/// What the threads and tasks share.
struct Shared {
    log: EventLog,
    /// How many of those that were taken are on disk.
    written: Mutex<u64>,
    progress: Condvar,
    lost: AtomicU64,
    newest: watch::Sender<u64>,
    /// The process ends: a disk that does not take the last events is not waited for.
    closing: AtomicBool,
}

/// How far a listener has been told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ListenerInfo {
    /// Its name.
    pub(crate) name: String,
    /// `dingtalk`, `webhook`, …
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// The job it is for; none where it is for all.
    pub(crate) job_id: Option<JobId>,
    /// Messages that have arrived since the process started.
    pub(crate) messages: u64,
    /// Tries that failed since the process started.
    pub(crate) failures: u64,
    /// Events behind the newest; those that it does not want are among them.
    pub(crate) behind: u64,
    /// Why the last try failed, where it did.
    pub(crate) problem: Option<String>,
}

/// Which events are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// Of this job alone.
    pub(crate) job_id: Option<JobId>,
    /// Of this type alone; `*` stands for anything.
    pub(crate) kind: Option<String>,
    /// Of this severity, or a higher one.
    pub(crate) severity: Option<culvert_api::EventSeverity>,
    /// Behind this number, the oldest first; without it the newest, the newest first.
    pub(crate) after: Option<u64>,
    /// So many at most.
    pub(crate) limit: usize,
}

impl Events {
    /// Opens the log in `folder`, and tells nobody yet.
    ///
    /// # Errors
    /// As [`EventLog::open`].
    pub(crate) fn open(folder: &Path, kept_max: u64) -> Result<Arc<Events>, Error> {
        let log = EventLog::open(folder, kept_max)?;
        let newest = watch::Sender::new(log.newest());
        let shared = Arc::new(Shared {
            log,
            written: Mutex::default(),
            progress: Condvar::new(),
            lost: AtomicU64::new(0),
            newest,
            closing: AtomicBool::new(false),
        });
        let (sender, waiting) = sync_channel(WAITING_MAX);
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || write(&writing, &waiting))
            .map_err(|error| Error::new(ErrorKind::Unavailable, "no thread for events").caused_by(error))?;
        Ok(Arc::new(Events {
            shared,
            queue: Mutex::new(Queue { sender: Some(sender), taken: 0 }),
            writer: Mutex::new(Some(writer)),
            deliveries: Mutex::default(),
        }))
    }

    /// Takes an event about a job, or about the service. Never waits.
    pub(crate) fn tell(&self, job: Option<(Option<JobId>, String)>, kind: &EventKind) {
        let event = Event::new(now_ms(), job, kind);
        let mut queue = lock(&self.queue);
        let Some(sender) = &queue.sender else { return };
        match sender.try_send(event) {
            Ok(()) => queue.taken += 1,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.shared.lost.fetch_add(1, Relaxed);
            }
        }
    }

    /// Waits until what was taken is on disk. Blocks for so long at most.
    pub(crate) fn keep(&self, within: Duration) {
        let taken = lock(&self.queue).taken;
        let begun = Instant::now();
        let mut written = lock(&self.shared.written);
        while *written < taken {
            let Some(left) = within.checked_sub(begun.elapsed()) else { return };
            let waited = self.shared.progress.wait_timeout(written, left);
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A listener of a job for its events: [`Told`].
    pub(crate) fn of_job(self: &Arc<Self>, id: Option<JobId>, name: &str) -> Arc<Told> {
        Arc::new(Told { events: Arc::downgrade(self), id, name: name.to_owned() })
    }

    /// Begins to tell listeners: of a job, or of all. One that is new is told of what happens from now on.
    /// Call inside a runtime.
    pub(crate) fn start(&self, job: Option<JobId>, listeners: Vec<Listener>) {
        for listener in listeners {
            let key = key(job, &listener.name);
            let mut deliveries = lock(&self.deliveries);
            // The one before may be in the middle of a message: the new one waits for its end.
            let before = deliveries.remove(&key);
            let delivery = Delivery::start(key.clone(), job, listener, Arc::clone(&self.shared), before);
            deliveries.insert(key, delivery);
        }
    }

    /// Lets the listeners of a job that has ended go once they have been told everything.
    pub(crate) fn finish(&self, job: JobId) {
        let mut deliveries = lock(&self.deliveries);
        deliveries.retain(|_, delivery| !delivery.is_over());
        deliveries.values().filter(|it| it.job == Some(job)).for_each(Delivery::finish);
    }

    /// Whether a listener of a job was not told everything when the last process ended.
    pub(crate) fn owes(&self, job: JobId, listener: &Listener) -> bool {
        self.shared.log.cursor(&key(Some(job), &listener.name)).is_ok_and(|cursor| cursor.is_some())
    }

    /// Ends listeners of a job that is no more, or that has others now.
    pub(crate) fn stop(&self, job: JobId, kept: &[Listener]) {
        let kept: Vec<String> = kept.iter().map(|listener| key(Some(job), &listener.name)).collect();
        let gone = |key: &String, delivery: &mut Delivery| {
            let goes = delivery.job == Some(job) && !kept.contains(key);
            if goes {
                delivery.forget();
            }
            !goes
        };
        lock(&self.deliveries).retain(gone);
    }

    /// How far every listener has been told.
    pub(crate) fn listeners(&self) -> Vec<ListenerInfo> {
        let newest = self.shared.log.newest();
        lock(&self.deliveries).values().map(|delivery| delivery.info(newest)).collect()
    }

    /// Events of the log. Blocks on the disk.
    pub(crate) fn list(&self, wanted: &Wanted) -> Result<Vec<Numbered>, Error> {
        const PAGE: usize = 500;
        let kind = wanted.kind.as_deref().map(filter::Pattern::new);
        let fits = |event: &Event| {
            (wanted.job_id.is_none() || event.job_id == wanted.job_id)
                && kind.as_ref().is_none_or(|kind| kind.matches(&event.kind))
                && wanted.severity.is_none_or(|least| event.severity >= least)
        };
        let log = &self.shared.log;
        let limit = wanted.limit.min(LISTED_MAX);
        let mut found = Vec::new();
        let mut place = wanted.after.unwrap_or(log.newest().saturating_add(1));
        let mut looked_at = 0;
        while found.len() < limit && looked_at < LOOKED_AT_MAX {
            let page: Vec<(u64, Event)> =
                if wanted.after.is_some() { log.after(place, PAGE)? } else { log.before(place, PAGE)? };
            let Some((last, _)) = page.last() else { break };
            place = *last;
            looked_at += page.len() as u64;
            let page = page.into_iter().filter(|(_, event)| fits(event));
            found.extend(page.map(|(sequence, event)| Numbered { sequence, event }));
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Waits until the listeners have been told everything that is on disk now, for so long at most.
    pub(crate) async fn told(&self, within: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        let begun = Instant::now();
        let newest = self.shared.log.newest();
        while begun.elapsed() < within && !lock(&self.deliveries).values().all(|it| it.is_past(newest)) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends: what was taken is written, what was not sent is sent by the next process. The log is closed when
    /// this returns, where nobody else holds it.
    pub(crate) async fn close(&self) {
        self.shared.closing.store(true, Relaxed);
        lock(&self.queue).sender = None;
        let deliveries = std::mem::take(&mut *lock(&self.deliveries));
        for delivery in deliveries.into_values() {
            delivery.end().await;
        }
        let writer = lock(&self.writer).take();
        if let Some(writer) = writer {
            // An error means that it panicked; nothing is left to be written then.
            let _ = tokio::task::spawn_blocking(move || writer.join()).await;
        }
    }
}

impl Drop for Events {
    /// Waits for the thread that writes: it has a hold of the log, and a database that it closes while the process
    /// ends can take it down.
    fn drop(&mut self) {
        self.shared.closing.store(true, Relaxed);
        lock(&self.queue).sender = None;
        let writer = lock(&self.writer).take();
        // An error means that it panicked; nothing is left to be written then.
        let _ = writer.map(JoinHandle::join);
    }
}

/// Tells what happens in one job. A job that is given up may outlive the events.
pub(crate) struct Told {
    events: Weak<Events>,
    id: Option<JobId>,
    name: String,
}

impl EventListener for Told {
    fn tell(&self, kind: EventKind) {
        if let Some(events) = self.events.upgrade() {
            events.tell(Some((self.id, self.name.clone())), &kind);
        }
    }

    fn keep(&self, within: Duration) {
        if let Some(events) = self.events.upgrade() {
            events.keep(within);
        }
    }
}

/// What the cursor of a listener is kept under.
fn key(job: Option<JobId>, listener: &str) -> String {
    match job {
        Some(id) => format!("job/{id}/{listener}"),
        None => format!("service/{listener}"),
    }
}

/// Writes what waits, until nobody tells any more.
fn write(shared: &Shared, waiting: &Receiver<Event>) {
    while let Ok(first) = waiting.recv() {
        let mut events = vec![first];
        events.extend(waiting.try_iter().take(WRITTEN_MAX - 1));
        let taken = events.len() as u64;
        let lost = shared.lost.swap(0, Relaxed);
        if lost > 0 {
            events.push(Event::new(now_ms(), None, &EventKind::EventsLost { events: lost }));
        }
        if !written(shared, &events) {
            return;
        }
        *lock(&shared.written) += taken;
        shared.progress.notify_all();
        shared.newest.send_replace(shared.log.newest());
    }
}

/// Writes events, however long the disk takes; `false` where the process ends first.
fn written(shared: &Shared, events: &[Event]) -> bool {
    let mut failing: Option<Instant> = None;
    loop {
        match shared.log.append(events) {
            Ok(_) => {
                if failing.is_some() {
                    tracing::info!("events can be written again");
                }
                return true;
            }
            Err(error) => {
                if failing.is_none() {
                    tracing::error!("events cannot be written, and wait: {error}");
                }
                let since = *failing.get_or_insert_with(Instant::now);
                if shared.closing.load(Relaxed) && since.elapsed() >= LAST_WRITES {
                    return false;
                }
                std::thread::sleep(WRITE_AGAIN);
            }
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
