//! Asks the broker, now and then, where a partition ends. For people who watch the job; nothing depends on it.
//!
//! A task of its own asks, so that the stream waits for nobody. A question that fails leaves the figure absent until
//! one does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use culvert_api::{LogStanding, ReaderContext, StandingTeller};
use culvert_kafka::{Aside, Watch, blocking};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::partition::Place;

/// How often the broker is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Asks for as long as it is there.
pub(crate) struct Probe {
    /// The offset of the next message that not every sink has committed.
    committed: Arc<AtomicI64>,
    teller: Arc<StandingTeller>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Begins to ask. Every sink has committed what lies before `from`.
    pub(crate) fn begin(
        consumer: &Arc<Aside<BaseConsumer<Watch>>>,
        context: &ReaderContext,
        from: &Place,
    ) -> Probe {
        let committed = Arc::new(AtomicI64::new(from.offset));
        let teller = Arc::new(StandingTeller::begin(&context.progress, &context.source));
        let asker = Asker {
            consumer: Arc::clone(consumer),
            topic: from.topic.clone(),
            partition: from.partition,
            committed: Arc::clone(&committed),
            teller: Arc::clone(&teller),
        };
        Probe { committed, teller, task: tokio::spawn(asker.run()) }
    }

    /// Every sink has committed what lies before this offset.
    pub(crate) fn committed(&self, offset: i64) {
        self.committed.store(offset, Relaxed);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
        self.teller.end();
    }
}

struct Asker {
    consumer: Arc<Aside<BaseConsumer<Watch>>>,
    topic: String,
    partition: i32,
    committed: Arc<AtomicI64>,
    teller: Arc<StandingTeller>,
}

impl Asker {
    async fn run(self) {
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let committed = self.committed.load(Relaxed);
            let (consumer, topic, partition) =
                (Arc::clone(&self.consumer), self.topic.clone(), self.partition);
            let asked = blocking(move || consumer.fetch_watermarks(&topic, partition, ANSWER_WITHIN)).await;
            let end = match asked {
                Ok(Ok((_, end))) => Some(end),
                Ok(Err(cause)) => {
                    tracing::debug!(
                        topic = self.topic,
                        partition,
                        "the broker did not say where it ends: {cause}"
                    );
                    None
                }
                // The process ends.
                Err(_) => return,
            };
            let lag = end.map(|end| u64::try_from(end.saturating_sub(committed)).unwrap_or(0));
            self.teller
                .tell(lag.map(|lag| LogStanding { lag_messages: Some(lag), ..LogStanding::default() }));
        }
    }
}
