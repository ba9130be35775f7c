//! One listener: told in order, again and again until it has taken what it is told.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::Local;
use culvert_api::{Error, ErrorClass, ErrorKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::config::Listener;
use super::filter::{Passage, Repeats};
use super::message::{Message, back_off, folded, single};
use super::model::{Event, Numbered};
use super::{ListenerInfo, Shared, lock};
use crate::daemon::model::JobId;

/// Events that are read at one time.
const READ_MAX: usize = 500;
/// After so many refusals a text of somebody's template is replaced by the program's own words.
const REFUSALS: u32 = 3;
/// The time in which messages are counted, with a little more for clocks that differ.
const MINUTE: Duration = Duration::from_secs(61);
/// Longest sleep in quiet hours, so that a clock that is set is noticed.
const QUIET_LOOK: Duration = Duration::from_secs(60);

/// A listener at work. Dropped, it goes on; see [`Delivery::end`].
pub(crate) struct Delivery {
    pub(super) job: Option<JobId>,
    kind: &'static str,
    name: String,
    state: Arc<State>,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// What a listener is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Go on.
    GoOn,
    /// End when everything has been told, and forget how far.
    Finish,
    /// End at once. The next process goes on.
    End,
    /// End at once, and forget how far.
    Forget,
}

/// What others see of it.
#[derive(Default)]
struct State {
    cursor: AtomicU64,
    messages: AtomicU64,
    failures: AtomicU64,
    problem: Mutex<Option<String>>,
}

impl Delivery {
    pub(super) fn start(
        key: String,
        job: Option<JobId>,
        listener: Listener,
        shared: Arc<Shared>,
        before: Option<Delivery>,
    ) -> Delivery {
        let (orders, ordered) = watch::channel(Order::GoOn);
        let state = Arc::new(State::default());
        let (kind, name) = (listener.kind, listener.name.clone());
        // Fixed here and not in the task: what happens from now on is told.
        let from = shared.log.newest();
        let work = Work {
            repeats: Repeats::new(listener.dedup_window),
            pace: Pace { most: listener.per_minute, sent: Vec::new() },
            listener: Arc::new(listener),
            key,
            job,
            shared,
            state: Arc::clone(&state),
            orders: ordered,
        };
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                before.end().await;
            }
            work.run(from).await;
        });
        Delivery { job, kind, name, state, orders, task }
    }

    /// Ends when everything has been told.
    pub(super) fn finish(&self) {
        self.orders.send_replace(Order::Finish);
    }

    /// Ends at once; whoever starts it again starts anew.
    pub(super) fn forget(&self) {
        self.orders.send_replace(Order::Forget);
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Whether it has been told everything up to this number.
    pub(super) fn is_past(&self, sequence: u64) -> bool {
        self.is_over() || self.state.cursor.load(Relaxed) >= sequence
    }

    /// Ends at once; a message that is on its way may have arrived.
    pub(super) async fn end(self) {
        self.orders.send_replace(Order::End);
        // An error means that it panicked, which its log says.
        let _ = self.task.await;
    }

    pub(super) fn info(&self, newest: u64) -> ListenerInfo {
        ListenerInfo {
            name: self.name.clone(),
            kind: self.kind,
            job_id: self.job,
            messages: self.state.messages.load(Relaxed),
            failures: self.state.failures.load(Relaxed),
            behind: newest.saturating_sub(self.state.cursor.load(Relaxed)),
            problem: lock(&self.state.problem).clone(),
        }
    }
}

/// The task of a listener.
struct Work {
    listener: Arc<Listener>,
    key: String,
    job: Option<JobId>,
    shared: Arc<Shared>,
    state: Arc<State>,
    orders: watch::Receiver<Order>,
    repeats: Repeats,
    pace: Pace,
}

impl Work {
    async fn run(mut self, from: u64) {
        let cursor = match self.shared.log.cursor(&self.key) {
            Ok(Some(cursor)) => cursor,
            Ok(None) => from,
            Err(error) => {
                tracing::error!(listener = self.key, "how far it was told cannot be read: {error}");
                return;
            }
        };
        self.moved_to(cursor);
        let mut newest = self.shared.newest.subscribe();
        loop {
            newest.borrow_and_update();
            // Looked at before the step: what was to be told when it was given is on disk by then.
            let order = *self.orders.borrow_and_update();
            match order {
                Order::GoOn | Order::Finish => {}
                Order::End => return,
                Order::Forget => return self.forget(),
            }
            match self.step().await {
                Step::More => {}
                Step::Level if order == Order::Finish => return self.forget(),
                Step::Level => self.sleep(None, Some(&mut newest)).await,
                Step::Quiet(left) => self.sleep(Some(left.min(QUIET_LOOK)), Some(&mut newest)).await,
                Step::Wait(left) => self.sleep(Some(left), None).await,
            }
        }
    }

    /// Whoever starts this listener again starts anew.
    fn forget(&self) {
        if let Err(error) = self.shared.log.remove_cursor(&self.key) {
            tracing::warn!(listener = self.key, "the log of events cannot be written: {error}");
        }
    }

    /// Sleeps until the time is over, something happens, or an order comes.
    async fn sleep(&mut self, time: Option<Duration>, newest: Option<&mut watch::Receiver<u64>>) {
        let timer = async {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let happens = async {
            let happened = match newest {
                Some(newest) => newest.changed().await.is_ok(),
                None => false,
            };
            // The log is closed, or nobody asks: an order comes, or the time is over.
            if !happened {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = timer => {}
            () = happens => {}
            _ = self.orders.changed() => {}
        }
    }

    /// Tells what can be told now.
    async fn step(&mut self) -> Step {
        let cursor = self.state.cursor.load(Relaxed);
        let pending = match self.read(cursor).await {
            Ok(pending) => pending,
            Err(error) => {
                *lock(&self.state.problem) = Some(error.to_string());
                tracing::error!(listener = self.key, "the log of events cannot be read: {error}");
                return Step::Wait(back_off(5));
            }
        };
        let Some(last) = pending.last().map(|event| event.sequence) else {
            return Step::Level;
        };
        let first = pending.first().map_or(last, |event| event.sequence);
        if first > cursor + 1 && self.job.is_none() {
            let lost = first - cursor - 1;
            tracing::error!(listener = self.key, "{lost} events were forgotten before they could be told");
        }
        let wanted: Vec<Numbered> = pending.into_iter().filter(|it| self.wants(&it.event)).collect();
        if wanted.is_empty() {
            self.moved_to(last);
            return Step::More;
        }
        if let Some(left) = self.quiet(&wanted).await {
            return Step::Quiet(left);
        }
        let now = Instant::now();
        let mut events = Vec::new();
        for event in wanted {
            if let Passage::Told(held_back) = self.repeats.pass(&event.event, now) {
                events.push((event, held_back));
            }
        }
        while !events.is_empty() {
            let free = self.pace.free(Instant::now());
            if free == 0 {
                // The events wait where they are; what the filter against repetition let pass was not told.
                events.iter().for_each(|(event, _)| self.repeats.forget(&event.event));
                return Step::Wait(self.pace.next(Instant::now()));
            }
            let message;
            (message, events) = self.message(events, free);
            if !self.send(message).await {
                return Step::More;
            }
        }
        self.moved_to(last);
        Step::More
    }

    fn wants(&self, event: &Event) -> bool {
        (self.job.is_none() || event.job_id == self.job) && self.listener.filter.wants(event)
    }

    async fn read(&self, after: u64) -> Result<Vec<Numbered>, Error> {
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || shared.log.after(after, READ_MAX)).await;
        let read: Vec<(u64, Event)> = read.map_err(|error| {
            Error::new(ErrorKind::Internal, "reading the events was given up").caused_by(error)
        })??;
        Ok(read.into_iter().map(|(sequence, event)| Numbered { sequence, event }).collect())
    }

    /// How long these wait, when the hours are quiet and nothing among or behind them is urgent.
    async fn quiet(&self, wanted: &[Numbered]) -> Option<Duration> {
        let hours = self.listener.quiet.as_ref()?;
        let left = hours.left(Local::now())?;
        let is_urgent = |event: &Event| event.severity >= hours.urgent;
        let mut last = wanted.last()?.sequence;
        if wanted.iter().any(|it| is_urgent(&it.event)) {
            return None;
        }
        loop {
            // What cannot be read now is looked at again in a while.
            let more = self.read(last).await.unwrap_or_default();
            if more.iter().any(|it| self.wants(&it.event) && is_urgent(&it.event)) {
                return None;
            }
            match more.last() {
                Some(event) => last = event.sequence,
                None => return Some(left),
            }
        }
    }

    /// The next message, and what is left: one event each while that is allowed, else as many as fit.
    fn message(&self, mut events: Vec<(Numbered, u64)>, free: usize) -> (Message, Vec<(Numbered, u64)>) {
        let listener = &self.listener;
        if let Some(most) = listener.channel.array_max() {
            let left = events.split_off(events.len().min(most));
            let events = events.into_iter().map(|(event, _)| event).collect();
            return (Message { title: String::new(), text: String::new(), events }, left);
        }
        let bytes_max = listener.channel.bytes_max();
        if events.len() > free {
            return folded(&listener.templates, events, bytes_max);
        }
        let left = events.split_off(1);
        let mut message = Message { title: String::new(), text: String::new(), events: Vec::new() };
        if let Some((event, held_back)) = events.pop() {
            message = single(&listener.templates, event, held_back, bytes_max);
        }
        (message, left)
    }

    /// Sends a message until it has arrived; `false` where an order came first.
    async fn send(&mut self, mut message: Message) -> bool {
        let mut failures = 0u32;
        loop {
            self.pace.count(Instant::now());
            let (listener, sent) = (Arc::clone(&self.listener), message.clone());
            let sending = tokio::task::spawn_blocking(move || listener.channel.send(&sent));
            let arrived = tokio::select! {
                arrived = sending => arrived,
                // Whether it has arrived is not known, so it is told again.
                () = ended(self.orders.clone()) => return false,
            };
            let arrived = arrived.unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Internal, "sending did not come to its end").caused_by(error))
            });
            let Err(error) = arrived else {
                self.state.messages.fetch_add(1, Relaxed);
                *lock(&self.state.problem) = None;
                if failures > 0 {
                    tracing::info!(listener = self.key, "it takes events again");
                }
                self.moved_to(message.last());
                return true;
            };
            failures += 1;
            self.state.failures.fetch_add(1, Relaxed);
            *lock(&self.state.problem) = Some(error.to_string());
            let wait = back_off(failures);
            if failures == 1 || failures.is_multiple_of(10) {
                let seconds = wait.as_secs();
                tracing::warn!(listener = self.key, failures, "{error}; the next try is in {seconds} s");
            }
            if failures == REFUSALS && error.class() != ErrorClass::Transient {
                message = message.plain(self.listener.channel.bytes_max());
            }
            let wait = wait.max(if self.pace.free(Instant::now()) == 0 {
                self.pace.next(Instant::now())
            } else {
                Duration::ZERO
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = ended(self.orders.clone()) => return false,
            }
        }
    }

    /// Keeps how far the listener has been told.
    fn moved_to(&self, sequence: u64) {
        self.state.cursor.store(sequence, Relaxed);
        if let Err(error) = self.shared.log.set_cursor(&self.key, sequence) {
            tracing::warn!(listener = self.key, "the log of events cannot be written: {error}");
        }
    }
}

/// Waits for an order to end at once.
async fn ended(mut orders: watch::Receiver<Order>) {
    // An error means that nobody is left who could order anything.
    let _ = orders.wait_for(|order| matches!(order, Order::End | Order::Forget)).await;
}

/// What a listener does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Look again.
    More,
    /// It has been told everything.
    Level,
    /// Nothing urgent until the hours are over.
    Quiet(Duration),
    /// As many messages as a minute takes are sent.
    Wait(Duration),
}

/// The messages of the last minute.
struct Pace {
    most: Option<usize>,
    sent: Vec<Instant>,
}

impl Pace {
    /// How many messages may be sent now.
    fn free(&mut self, now: Instant) -> usize {
        self.sent.retain(|sent| now.duration_since(*sent) < MINUTE);
        self.most.map_or(usize::MAX, |most| most.saturating_sub(self.sent.len()))
    }

    /// How long it takes until another one may be sent.
    fn next(&self, now: Instant) -> Duration {
        let oldest = self.sent.iter().min();
        oldest.map_or(Duration::ZERO, |oldest| MINUTE.saturating_sub(now.duration_since(*oldest)))
    }

    fn count(&mut self, now: Instant) {
        if self.most.is_some() {
            self.sent.push(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_takes_so_many_messages() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = Pace { most: Some(3), sent: Vec::new() };
        for second in [0, 10, 20] {
            assert!(pace.free(at(second)) > 0);
            pace.count(at(second));
        }
        assert_eq!(pace.free(at(30)), 0);
        assert_eq!(pace.next(at(30)), Duration::from_secs(31));
        assert_eq!(pace.free(at(61)), 1);
        let mut unlimited = Pace { most: None, sent: Vec::new() };
        unlimited.count(begun);
        assert!(unlimited.sent.is_empty() && unlimited.free(begun) == usize::MAX);
    }
}
