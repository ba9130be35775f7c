//! Clients of librdkafka end aside: ending one blocks until its own threads have ended.

use std::ops::Deref;

/// A client that a thread of its own ends.
pub struct Aside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Aside<T> {
    /// Takes a client over.
    pub fn new(client: T) -> Aside<T> {
        Aside(Some(client))
    }
}

impl<T: Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("taken when it is dropped, and never before")
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        // Without a thread to be had it ends here, and blocks for as long as that takes.
        let _ = std::thread::Builder::new().name("kafka client end".into()).spawn(move || drop(client));
    }
}
