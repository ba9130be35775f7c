//! The time of day, for the two columns that tell it: Metadata's Delay and DataValidator's create_time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970 UTC. A test gives a clock of its own.
pub(crate) type Clock = fn() -> i64;

/// The machine's clock.
pub(crate) fn now_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}
