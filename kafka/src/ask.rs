//! Questions to a broker, and the threads that may wait for their answers.

use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;

use crate::error;
use crate::watch::Watch;

/// How long one question waits before it is asked again.
const STEP: Duration = Duration::from_secs(1);
/// How long after an answer that is none.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may go without any contact to a broker.
const CONTACT_PATIENCE: Duration = Duration::from_secs(8);
/// Asks, again if need be: a topic that was just made is not known to every broker yet. A refused
/// login ends it at once, and a broker that cannot be reached for a while soon. For threads that may
/// block.
pub fn ask<T, C: ConsumerContext + AsRef<Watch> + 'static>(
    consumer: &BaseConsumer<C>,
    doing: &str,
    question: impl Fn(Duration) -> Result<T, KafkaError>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        let failure = match question(STEP) {
            Ok(answer) => {
                watch(consumer).calm();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        // What librdkafka has to say is told to those who poll.
        while consumer.poll(Duration::ZERO).is_some() {}
        let watch = watch(consumer);
        let trouble = watch.trouble();
        let reason = trouble.as_ref().map(|(_, reason)| reason.clone());
        if let Some(code) = watch.refused_login() {
            return Err(error::told(error::of_code(code, doing), reason));
        }
        let transient = error::convert(&failure, doing).class() == culvert_api::ErrorClass::Transient;
        let repeated = transient || failure.rdkafka_error_code().is_some_and(error::is_missing);
        let limit = if trouble.is_some() { CONTACT_PATIENCE } else { PATIENCE };
        if !repeated || begun.elapsed() >= limit {
            let known = trouble.filter(|_| transient);
            let failed = match known {
                Some((code, _)) => error::of_code(code, doing),
                None => error::convert(&failure, doing),
            };
            return Err(error::told(failed, reason));
        }
        std::thread::sleep(PAUSE);
    }
}

fn watch<C: ConsumerContext + AsRef<Watch> + 'static>(consumer: &BaseConsumer<C>) -> &Watch {
    let context: &C = consumer.client().context();
    context.as_ref()
}

/// Runs what blocks on a thread that may.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let given_up =
        |cause| Error::new(ErrorKind::Internal, "work at the broker was given up").caused_by(cause);
    tokio::task::spawn_blocking(work).await.map_err(given_up)
}
