//! Sources and sinks whose options come from a provider: asked again at every attempt of the job.
//!
//! An attempt begins with `tables` at a source and `committed` at a sink. There the provider is asked, and where it
//! gives other options than before, the source or sink is made anew of them. A provider that cannot be asked then, or
//! gives nothing sound, stops no job that ran: the options known so far count.
//!
//! A server that refuses the login is a matter for a person, unless the password was changed: when the provider has
//! other options now, or the job had been at work and they may come within [`ROTATION_WITHIN`], the failure
//! becomes one that passes by waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use culvert_api::{
    Boundedness, CommitMarker, DeliveryContract, Error, ErrorKind, Finding, Group, Needs, OpenSink,
    ReaderContext, Result, Sink, Source, SourceEvent, SourceReader, SourceState, Split, SplitEnumerator,
    SplitFinished, TableSchema, WriterContext,
};
use culvert_config::{Block, Problem};

use super::named::Named;

/// How long after the first refusal of a login the provider and the server may disagree about a password.
const ROTATION_WITHIN: Duration = Duration::from_secs(60);

/// Makes a source or sink of a block.
type Make<T> = Box<dyn Fn(&Block) -> Result<Arc<T>> + Send + Sync>;

/// Something that is made of what a provider gives.
pub(crate) struct Renewed<T: ?Sized> {
    /// As the plugin says it; it does not change.
    name: String,
    named: Named,
    make: Make<T>,
    now: Mutex<Now<T>>,
    needs: Mutex<Option<Arc<dyn Needs>>>,
}

struct Now<T: ?Sized> {
    laid: Block,
    made: Arc<T>,
    /// It has been at work with some options.
    worked: bool,
    /// Since when its login is refused.
    refused: Option<Instant>,
}

impl<T: ?Sized + Send + Sync + 'static> Renewed<T> {
    fn new(name: String, named: Named, laid: Block, made: Arc<T>, make: Make<T>) -> Arc<Renewed<T>> {
        let now = Mutex::new(Now { laid, made, worked: false, refused: None });
        Arc::new(Renewed { name, named, make, now, needs: Mutex::default() })
    }

    fn now(&self) -> MutexGuard<'_, Now<T>> {
        // It is replaced as a whole.
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> Arc<T> {
        Arc::clone(&self.now().made)
    }

    /// Asks the provider; whether it gives other options than before.
    async fn renew(self: &Arc<Self>) -> bool {
        let this = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let laid = this.named.laid().map_err(|problems| told(&problems))?;
            if this.now().laid == laid {
                return Ok(false);
            }
            let made = (this.make)(&laid).map_err(|error| error.to_string())?;
            let mut now = this.now();
            (now.laid, now.made) = (laid, made);
            Ok::<bool, String>(true)
        });
        let what = self.named.label();
        match asked.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(true) => {
                tracing::info!(plugin = self.name, "{what} has other options now");
                true
            }
            Ok(false) => false,
            Err(why) => {
                tracing::warn!(plugin = self.name, "the options of {what} as known so far are used: {why}");
                false
            }
        }
    }

    /// It has connected with what it has.
    fn works(&self) {
        let mut now = self.now();
        now.worked = true;
        now.refused = None;
    }

    /// What a failure means: a refused login can be a password that was changed.
    async fn judged(self: &Arc<Self>, error: Error) -> Error {
        if error.kind() != ErrorKind::Permission {
            return error;
        }
        let (worked, since) = {
            let mut now = self.now();
            (now.worked, *now.refused.get_or_insert_with(Instant::now))
        };
        let what = self.named.label();
        let passing = |message: String| Error::new(ErrorKind::Unavailable, message);
        if self.renew().await {
            self.now().refused = None;
            return passing(format!("what {what} was had no right any more, and it has other options now"))
                .caused_by(error);
        }
        if worked && since.elapsed() < ROTATION_WITHIN {
            return passing(format!("{what} may be about to change: the server refuses what it has"))
                .caused_by(error);
        }
        error.context("options of", what)
    }
}

fn told(problems: &[Problem]) -> String {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// A source whose options come from a provider.
pub(crate) struct RenewedSource(Arc<Renewed<dyn Source>>);

impl RenewedSource {
    pub(crate) fn new(
        named: Named,
        laid: Block,
        made: Arc<dyn Source>,
        make: Make<dyn Source>,
    ) -> RenewedSource {
        RenewedSource(Renewed::new(made.name().to_owned(), named, laid, made, make))
    }

    async fn judge<V>(&self, result: Result<V>) -> Result<V> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.0.judged(error).await),
        }
    }
}

#[async_trait]
impl Source for RenewedSource {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn boundedness(&self) -> Boundedness {
        self.0.made().boundedness()
    }

    /// The shares of a group keep the options that the job began with.
    fn group(&self) -> Option<Arc<dyn Group>> {
        self.0.made().group()
    }

    fn declared_tables(&self) -> Result<Option<Vec<Arc<TableSchema>>>> {
        self.0.made().declared_tables()
    }

    fn push_down(&self, needs: Arc<dyn Needs>) {
        *self.0.needs.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&needs));
        self.0.made().push_down(needs);
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        self.0.made().check().await
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        if self.0.renew().await {
            let needs = self.0.needs.lock().unwrap_or_else(PoisonError::into_inner).clone();
            needs.into_iter().for_each(|needs| self.0.made().push_down(needs));
        }
        let tables = self.judge(self.0.made().tables(state).await).await?;
        self.0.works();
        Ok(tables)
    }

    async fn enumerator(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        let inner = self.judge(self.0.made().enumerator(context, state).await).await?;
        Ok(Box::new(RenewedEnumerator { inner, of: Arc::clone(&self.0) }))
    }

    async fn reader(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let inner = self.judge(self.0.made().reader(context, state).await).await?;
        Ok(Box::new(RenewedReader { inner, of: Arc::clone(&self.0) }))
    }
}

/// Judges what fails when the source plans its work.
struct RenewedEnumerator {
    inner: Box<dyn SplitEnumerator>,
    of: Arc<Renewed<dyn Source>>,
}

#[async_trait]
impl SplitEnumerator for RenewedEnumerator {
    async fn next_splits(&mut self, wanted: usize) -> Result<Vec<Split>> {
        match self.inner.next_splits(wanted).await {
            Err(error) => Err(self.of.judged(error).await),
            splits => splits,
        }
    }

    fn add_splits_back(&mut self, splits: Vec<Split>) {
        self.inner.add_splits_back(splits);
    }

    fn split_finished(&mut self, finished: SplitFinished) -> Result<()> {
        self.inner.split_finished(finished)
    }

    fn snapshot_state(&self) -> Result<Vec<u8>> {
        self.inner.snapshot_state()
    }
}

/// Judges what fails when the source connects once more, as for each chunk of a snapshot.
struct RenewedReader {
    inner: Box<dyn SourceReader>,
    of: Arc<Renewed<dyn Source>>,
}

#[async_trait]
impl SourceReader for RenewedReader {
    fn splits_wanted(&self) -> usize {
        self.inner.splits_wanted()
    }

    fn add_splits(&mut self, splits: Vec<Split>) -> Result<()> {
        self.inner.add_splits(splits)
    }

    async fn next(&mut self) -> Result<SourceEvent> {
        match self.inner.next().await {
            Err(error) => Err(self.of.judged(error).await),
            event => event,
        }
    }

    fn request_barrier(&mut self) {
        self.inner.request_barrier();
    }

    async fn checkpoint_complete(&mut self, state: &SourceState) -> Result<()> {
        self.inner.checkpoint_complete(state).await
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// A sink whose options come from a provider.
pub(crate) struct RenewedSink(Arc<Renewed<dyn Sink>>);

impl RenewedSink {
    pub(crate) fn new(named: Named, laid: Block, made: Arc<dyn Sink>, make: Make<dyn Sink>) -> RenewedSink {
        RenewedSink(Renewed::new(made.name().to_owned(), named, laid, made, make))
    }

    async fn judge<V>(&self, result: Result<V>) -> Result<V> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.0.judged(error).await),
        }
    }
}

#[async_trait]
impl Sink for RenewedSink {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn contract(&self) -> DeliveryContract {
        self.0.made().contract()
    }

    fn shareable(&self) -> Result<()> {
        self.0.made().shareable()
    }

    async fn check(&self, tables: &[Arc<TableSchema>]) -> Result<Vec<Finding>> {
        self.0.made().check(tables).await
    }

    async fn open(&self, context: &WriterContext) -> Result<OpenSink> {
        let opened = self.judge(self.0.made().open(context).await).await?;
        self.0.works();
        Ok(opened)
    }

    async fn committed(&self, job: &str, sink: &str, writer: u32) -> Result<Option<CommitMarker>> {
        self.0.renew().await;
        self.judge(self.0.made().committed(job, sink, writer).await).await
    }

    async fn forget(&self, job: &str, sink: &str) -> Result<()> {
        self.0.renew().await;
        self.judge(self.0.made().forget(job, sink).await).await
    }
}
