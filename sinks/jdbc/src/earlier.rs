//! What a writer's last session was at the server.
//!
//! A session whose connection broke without the server's having noticed goes on holding the locks of its
//! open transaction, for an hour or for good. The next one of the same writer, which is about to write the
//! same rows, has the server end it first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use culvert_api::WriterContext;

/// Job, sink and writer.
type Key = (String, String, u32);

/// The last session of every writer, as the server knows it.
#[derive(Debug)]
pub(crate) struct Earlier<T>(Mutex<HashMap<Key, T>>);

impl<T> Default for Earlier<T> {
    fn default() -> Self {
        Earlier(Mutex::default())
    }
}

impl<T: Clone> Earlier<T> {
    fn known(&self) -> MutexGuard<'_, HashMap<Key, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session before this one; `None` where there was none, or it cannot be told.
    pub(crate) fn replace(&self, context: &WriterContext, session: Option<T>) -> Option<T> {
        let key = (context.job.clone(), context.sink.clone(), context.writer);
        match session {
            Some(session) => self.known().insert(key, session),
            None => self.known().remove(&key),
        }
    }
}
