//! What librdkafka reports: every message's delivery, and trouble with the connection.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::ProducerContext;

use crate::error;

/// The context of a client of ours.
#[derive(Default)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Messages handed over and not yet reported.
    waiting: u64,
    /// Reports so far.
    reports: u64,
    /// The first message that was not delivered: why, and for which topic.
    failed: Option<(KafkaError, String)>,
    /// What was last said about the connection.
    trouble: Option<(RDKafkaErrorCode, String)>,
    /// Nobody is to wait any more.
    closed: bool,
}

/// How the messages that were handed over fare.
pub struct Deliveries {
    /// Handed over and not yet reported.
    pub waiting: u64,
    /// Reports so far.
    pub reports: u64,
    /// The first message that was not delivered: why, and for which topic.
    pub failed: Option<(KafkaError, String)>,
    /// Nobody is to wait any more.
    pub closed: bool,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be handed over.
    pub fn hand_over(&self) {
        self.state().waiting += 1;
    }

    /// It was not taken after all.
    pub fn take_back(&self) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(1);
    }

    /// The state as of now.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries::of(&self.state())
    }

    /// Waits until there are more reports than these, or nothing is left to wait for.
    pub fn wait_beyond(&self, reports: u64, limit: Duration) -> Deliveries {
        let waits = |state: &mut State| {
            state.reports <= reports && state.waiting > 0 && state.failed.is_none() && !state.closed
        };
        let waited = self.changed.wait_timeout_while(self.state(), limit, waits);
        Deliveries::of(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Forgets a failure: what it belonged to was aborted.
    pub fn forgive(&self) {
        self.state().failed = None;
    }

    /// Wakes who waits, for good.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Whether nobody is to wait any more.
    pub fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// A broker has answered: what was said about the connection is over.
    pub fn calm(&self) {
        self.state().trouble = None;
    }

    /// What was last said about the connection.
    pub fn trouble(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.state().trouble.clone()
    }

    /// A refused login, which no waiting helps.
    pub fn refused_login(&self) -> Option<RDKafkaErrorCode> {
        self.trouble().map(|(code, _)| code).filter(|code| error::is_refused_login(*code))
    }
}

impl Deliveries {
    fn of(state: &State) -> Deliveries {
        Deliveries {
            waiting: state.waiting,
            reports: state.reports,
            failed: state.failed.clone(),
            closed: state.closed,
        }
    }
}

impl ClientContext for Watch {
    /// Failures come as errors; the library's own log is for looking closer.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", "{facility}: {message}");
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{cause}: {reason}");
        if let Some(code) = cause.rdkafka_error_code().filter(|code| error::is_about_connecting(*code)) {
            let mut state = self.state();
            // "All brokers are down" follows the reason why, and says less.
            if code != RDKafkaErrorCode::AllBrokersDown || state.trouble.is_none() {
                state.trouble = Some((code, reason.to_owned()));
            }
        }
    }
}

impl ConsumerContext for Watch {}

impl AsRef<Watch> for Watch {
    fn as_ref(&self) -> &Watch {
        self
    }
}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut state = self.state();
        state.waiting = state.waiting.saturating_sub(1);
        state.reports += 1;
        match result {
            // Somebody is there, so what was said about the connection is over.
            Ok(_) => state.trouble = None,
            Err((error, message)) => {
                if state.failed.is_none() {
                    state.failed = Some((error.clone(), message.topic().to_owned()));
                }
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}
