//! The source: describes what is to be read, and puts enumerator and reader together.

use std::sync::Arc;

use async_trait::async_trait;
use culvert_api::{
    Boundedness, Error, ErrorKind, Finding, Narrowing, Needs, Phase, ReaderContext, Result, Source,
    SourceReader, SourceState, SplitEnumerator, TableSchema,
};
use culvert_config::Options;
use tokio::sync::Mutex;

use crate::check;
use crate::database::{Link, Selected};
use crate::enumerator::JdbcEnumerator;
use crate::options::{Item, Settings, config};
use crate::parts;
use crate::reader::JdbcReader;
use crate::state::{EnumeratorState, PartBody, ReaderState, decode};

/// A server to read tables or queries from, once.
#[derive(Debug)]
pub struct JdbcSource {
    settings: Arc<Settings>,
    /// What the last call of `tables` found, for the enumerator and the reader of one attempt.
    prepared: Mutex<Option<Arc<Prepared>>>,
    /// Which columns leave; told later.
    narrowing: Narrowing,
}

/// What an attempt works with.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) settings: Arc<Settings>,
    /// As the settings' items.
    pub(crate) items: Vec<Described>,
}

/// A table or query, as the server described it.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) selected: Selected,
    /// What of it is read.
    pub(crate) read: Selected,
    /// What the state remembers it by.
    pub(crate) shape: String,
}

impl Prepared {
    /// Asks the server about every item. Errors name the option or the table.
    pub(crate) async fn new(settings: &Arc<Settings>, narrowing: &Narrowing) -> Result<Prepared> {
        let mut items = Vec::with_capacity(settings.items.len());
        for item in &settings.items {
            let mut link = settings.database.connect(settings.has_users_sql(item)).await?;
            let selected = describe(settings, &mut link, item).await.map_err(|error| named(error, item))?;
            let shape = shape(settings, item, &selected);
            // A query's text is the user's: what it does is not changed.
            let read = match &item.query {
                None => selected.narrowed(narrowing),
                Some(_) => selected.clone(),
            };
            items.push(Described { selected, read, shape });
        }
        Ok(Prepared { settings: Arc::clone(settings), items })
    }
}

/// An error with what it is about.
pub(crate) fn named(error: Error, item: &Item) -> Error {
    let error = error.context("option", item.option);
    match &item.table {
        Some(table) => error.context("table", table),
        None => error,
    }
}

/// One item: what it is, and whether the job's conditions can be asked of it.
pub(crate) async fn describe(settings: &Settings, link: &mut Link, item: &Item) -> Result<Selected> {
    let selected = settings.database.describe(link, item).await?;
    let schema = selected.schema();
    for (at, column) in schema.columns.iter().enumerate() {
        if column.name.is_empty() || schema.columns[..at].iter().any(|other| other.name == column.name) {
            let what = format!("two columns are called '{}', or one has no name", column.name);
            return Err(config(item.option, what)
                .hint("give each column of the query a name of its own: a.id AS a_id"));
        }
    }
    parts::refuse_unfit(settings, item, &selected)?;
    if let Some(condition) = &settings.condition {
        let statement = format!("SELECT 1 FROM {} WHERE ({condition}\n) LIMIT 0", selected.from());
        let asked = settings.database.first_row(link, &statement).await;
        asked.map_err(|error| error.context("where_condition", format!("where {condition}")))?;
    }
    Ok(selected)
}

/// What must not change while a job reads: what is asked, which columns come, and in which order.
fn shape(settings: &Settings, item: &Item, selected: &Selected) -> String {
    let schema = selected.schema();
    let columns: Vec<String> = schema
        .columns
        .iter()
        .map(|column| {
            let declared = column.source_type.as_ref().map_or("", |source| source.declaration.as_str());
            format!("{} {declared} {}", column.name, if column.nullable { "null" } else { "not null" })
        })
        .collect();
    let condition = settings.condition.as_deref().unwrap_or_default();
    let bound = |bound: &Option<String>| bound.clone().unwrap_or_default();
    let (lower, upper) = (bound(&item.partition.lower), bound(&item.partition.upper));
    let bounds = match (lower.as_str(), upper.as_str()) {
        ("", "") => String::new(),
        _ => format!(" {} from {lower} to {upper}", bound(&item.partition.column)),
    };
    format!(
        "{} from {} where {condition}{bounds} key {} columns {}",
        schema.id,
        selected.from(),
        schema.primary_key.join(", "),
        columns.join(", ")
    )
}

impl JdbcSource {
    /// The plugin's name.
    pub const NAME: &'static str = "Jdbc";

    /// Checks the options against each other; `parallelism` is the job's. Nothing is connected yet. Errors
    /// are operator errors.
    pub fn from_options(options: &Options, parallelism: u32) -> Result<JdbcSource> {
        let settings = Arc::new(Settings::from_options(options, parallelism)?);
        Ok(JdbcSource { settings, prepared: Mutex::new(None), narrowing: Narrowing::default() })
    }

    async fn prepared(&self) -> Result<Arc<Prepared>> {
        let mut prepared = self.prepared.lock().await;
        if let Some(ready) = &*prepared {
            return Ok(Arc::clone(ready));
        }
        let ready = Arc::new(Prepared::new(&self.settings, &self.narrowing).await?);
        *prepared = Some(Arc::clone(&ready));
        Ok(ready)
    }

    /// The stored state, where it is one of what the job reads now.
    fn restored(prepared: &Prepared, state: &SourceState) -> Result<EnumeratorState> {
        let stored: EnumeratorState = decode(&state.enumerator)?;
        let changed = |what: &str| {
            Error::new(ErrorKind::StateMismatch, format!("{what} since the job began to read"))
                .hint("start over with --fresh (the target should be emptied first)")
        };
        if stored.items.len() != prepared.items.len() {
            return Err(changed("the job's tables changed"));
        }
        for (item, was) in prepared.items.iter().zip(&stored.items) {
            if item.shape != *was {
                let what = "the table's columns or key, or the options that choose its rows, changed";
                return Err(changed(what).context("table", &item.selected.schema().id));
            }
        }
        Ok(stored)
    }

    async fn planned(&self, prepared: &Prepared) -> Result<EnumeratorState> {
        let mut found = Vec::new();
        for (place, (item, described)) in self.settings.items.iter().zip(&prepared.items).enumerate() {
            let mut link = self.settings.database.connect(self.settings.has_users_sql(item)).await?;
            let conditions = parts::conditions(&self.settings, &mut link, item, &described.selected).await;
            let conditions = conditions.map_err(|error| named(error, item))?;
            found.extend(
                conditions.into_iter().enumerate().map(|(number, condition)| (place, number, condition)),
            );
        }
        let of = found.len() as u64;
        let name = |(item, number, condition): (usize, usize, Option<String>)| {
            let id = format!("{}:{number}", prepared.items[item].selected.schema().id);
            (id, PartBody { item, number: number as u64, condition, of })
        };
        let items = prepared.items.iter().map(|item| item.shape.clone()).collect();
        Ok(EnumeratorState { items, parts: found.into_iter().map(name).collect() })
    }
}

#[async_trait]
impl Source for JdbcSource {
    fn name(&self) -> &str {
        JdbcSource::NAME
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn push_down(&self, needs: Arc<dyn Needs>) {
        self.narrowing.set(needs);
    }

    async fn check(&self) -> Result<Vec<Finding>> {
        check::findings(&self.settings).await
    }

    async fn tables(&self, state: Option<&SourceState>) -> Result<Vec<Arc<TableSchema>>> {
        *self.prepared.lock().await = None;
        let prepared = self.prepared().await?;
        if let Some(state) = state {
            JdbcSource::restored(&prepared, state)?;
        }
        Ok(prepared.items.iter().map(|item| Arc::clone(item.read.schema())).collect())
    }

    async fn enumerator(
        &self,
        context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SplitEnumerator>> {
        context.progress.set_phase(Phase::Snapshot);
        let prepared = self.prepared().await?;
        let state = match state {
            Some(state) => JdbcSource::restored(&prepared, state)?,
            None => self.planned(&prepared).await?,
        };
        Ok(Box::new(JdbcEnumerator::new(state, context.progress)))
    }

    async fn reader(
        &self,
        _context: ReaderContext,
        state: Option<&SourceState>,
    ) -> Result<Box<dyn SourceReader>> {
        let prepared = self.prepared().await?;
        let state: ReaderState = state.map(|state| decode(&state.reader)).transpose()?.unwrap_or_default();
        Ok(Box::new(JdbcReader::new(prepared, state)))
    }
}
