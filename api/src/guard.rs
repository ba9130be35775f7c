//! Tells a long call from a dead connection.
//!
//! A connection can stay open and be dead for good: a firewall forgot it, a balancer lost its other half.
//! Nothing comes then and nothing says so, just as while a statement waits for a lock. So when a call takes
//! long, the server is asked over a second connection what it sees of the first one. That one is given up
//! when all of this holds:
//!
//! - Twice, [`LOOK_EVERY`] apart, the server says there that it waits for us on the first one, or has ended
//!   it. A server that works, or waits for a lock or a disk, says so and is waited for, however long.
//! - In between, the second connection has carried as many bytes as the call, there and back: a line that is
//!   slow and not dead would have brought them first.
//!
//! Where no second connection is to be had, nothing is given up.
//!
//! A connection that is being made has nobody to ask about it. Others are tried beside it: [`connecting`].

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use crate::{Error, ErrorKind, Result};

/// A call that takes longer is looked at.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(3);
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long a look may take, connecting included.
const LOOK_WITHIN: Duration = Duration::from_secs(3);
/// Pause behind a look that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// What the second connection carries at least.
const CARRIED_BYTES_MIN: usize = 64 << 10;
/// How long it may take to.
const CARRY_WITHIN: Duration = Duration::from_secs(60);

/// How long a beginning may go without an answer before another is tried beside it.
const TRY_BESIDE_AFTER: Duration = Duration::from_secs(4);

/// A second connection, which is asked about the first.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Whether the server waits for us on the first connection, or has ended it. `false` as well where it
    /// cannot be told. Connects where need be; the future may be dropped at any time. Any error means that
    /// nothing was learnt.
    async fn expects_us(&self) -> Result<bool>;

    /// Carries so many bytes to the server and back. Dropping and errors: as above.
    async fn carry(&self, bytes: usize) -> Result<()>;
}

/// Runs a call that sends so many bytes. The error, [`ErrorKind::Connection`], says that the connection is
/// dead; whether the server has done what it was asked is not known then.
pub async fn watched<T>(
    call: impl Future<Output = T>,
    bytes: usize,
    witness: Option<&(impl Witness + ?Sized)>,
) -> Result<T> {
    let Some(witness) = witness else { return Ok(call.await) };
    let mut call = pin!(call);
    tokio::select! {
        biased;
        done = &mut call => Ok(done),
        () = until_dead(bytes, witness) => Err(dead()),
    }
}

/// What is said of a connection that was given up.
pub fn dead() -> Error {
    let message = "nothing comes on the connection, the server waits for us on it or has ended it, and a new one \
                   works: it is dead";
    Error::new(ErrorKind::Connection, message)
}

/// Returns when the connection of a call that has just begun, and sends so many bytes, is dead.
pub async fn until_dead(bytes: usize, witness: &(impl Witness + ?Sized)) {
    sleep(SUSPECT_AFTER).await;
    let mut seen_before = false;
    loop {
        if seen_before {
            let carried = timeout(CARRY_WITHIN, witness.carry(bytes.max(CARRIED_BYTES_MIN))).await;
            seen_before = matches!(carried, Ok(Ok(())));
        }
        let pause = match timeout(LOOK_WITHIN, witness.expects_us()).await {
            Ok(Ok(true)) if seen_before => return,
            Ok(Ok(expects_us)) => {
                seen_before = expects_us;
                LOOK_EVERY
            }
            Ok(Err(_)) | Err(_) => {
                seen_before = false;
                PAUSE
            }
        };
        sleep(pause).await;
    }
}

/// Connects, within a limit; `None` when it is over. What the first try waits for may be lost for good while
/// new ones are answered, so another one is made every [`TRY_BESIDE_AFTER`], in place of the last but the
/// first, which has all the time there is. The first to end decides.
pub async fn connecting<T, F>(limit: Duration, mut connect: impl FnMut() -> F) -> Option<Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let mut first = pin!(connect());
    let mut latest: Option<Pin<Box<F>>> = None;
    let tries = async {
        loop {
            let beside = async {
                match &mut latest {
                    Some(latest) => latest.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                done = &mut first => return done,
                done = beside => return done,
                () = sleep(TRY_BESIDE_AFTER) => latest = Some(Box::pin(connect())),
            }
        }
    };
    timeout(limit, tries).await.ok()
}

#[cfg(test)]
mod tests;
