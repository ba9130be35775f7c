//! Waiting for a condition instead of for time.

use std::time::{Duration, Instant};

/// Time between two looks at a condition. Short beside what servers need, long beside a query.
const POLL: Duration = Duration::from_millis(15);

/// Waits until `condition` answers true.
///
/// # Panics
/// After `limit`, naming `what` was awaited.
pub async fn until(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    until_ok(limit, what, async || if condition().await { Ok(()) } else { Err("not yet") }).await;
}

/// Waits until `condition` answers `Ok` and returns what it holds. `Err` describes the state as it
/// is.
///
/// # Panics
/// After `limit`, naming `what` was awaited and the last state.
pub async fn until_ok<T, E: std::fmt::Display>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    loop {
        // A condition that hangs must not hang the test.
        let left = limit.saturating_sub(begun.elapsed()).max(POLL);
        match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return value,
            Ok(Err(state)) if begun.elapsed() >= limit => {
                panic!("waited {limit:?} for {what}; last state: {state}")
            }
            Ok(Err(_)) => tokio::time::sleep(POLL).await,
            Err(_) => panic!("waited {limit:?} for {what}; the last look at it did not end"),
        }
    }
}

/// [`until_ok`] outside of async code.
pub fn until_ok_blocking<T, E: std::fmt::Display>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) if begun.elapsed() >= limit => {
                panic!("waited {limit:?} for {what}; last state: {state}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
