//! The commit of a checkpoint, exactly once.
//!
//! The truth about a sink is one small table of its own, the *commit table* `COMMITS.JOB__SINK`: its properties hold,
//! per writer, the epoch that owns it, the checkpoint that holds, and where that one's journal is.
//!
//! ```text
//! prepare N   data files of N closed; the journal written        …/journal/W-EPOCH-N.json
//! commit N    commit table: checkpoint = N, journal = that file   ◄ from here on N holds
//!             each table: a snapshot of N's files, with N as its marker
//! ```
//!
//! Where the catalog changes several tables at once, all of this is one commit; by REST the decision is one, and all
//! tables are another. A crash in between, or between two tables where each is changed by itself, is made good
//! by whoever opens the sink next: the journal says what each table is to have, and the table's own marker
//! whether it has it. Each step is a compare-and-set: what was looked at cannot have changed when the step
//! takes place, or it does not take place. So a run that was taken over commits nothing, nothing is added twice,
//! and other writers of the same tables do no harm.
//!
//! The marker of a table is in the summary of the snapshot (for whoever reads the history) and in a property of the table that is
//! set in the same commit (because snapshots expire).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use culvert_api::failpoint::pass;
use culvert_api::{CommitMarker, Error, ErrorKind, Result};
use culvert_storage::{Storage, join};
use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, NestedField, PrimitiveType, Schema, TableMetadata, Type, UnboundPartitionSpec,
};
use iceberg::{NamespaceIdent, TableCreation, TableIdent, TableUpdate};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::catalog::{self, Catalog, Change, Outcome, Table, gone};
use crate::error::failed;
use crate::journal::{Journal, TableFiles};
use crate::snapshot::{Purpose, Written, append, now_ms};

/// How often a commit is made anew because somebody else was first.
const CONFLICTS_MAX: u32 = 30;
/// What is waited between two attempts at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Snapshots of the commit table that are kept.
const HISTORY: usize = 20;

/// The commits of one writer of a sink.
#[derive(Clone, Debug)]
pub(crate) struct Commits {
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) storage: Storage,
    pub(crate) files: FileIO,
    pub(crate) branch: String,
    /// The namespace of commit tables.
    pub(crate) namespace: String,
    pub(crate) job: String,
    pub(crate) sink: String,
    pub(crate) writer: u32,
    /// Held while a checkpoint is committed, and by upkeep that would never come to its turn otherwise.
    pub(crate) turn: Arc<Mutex<()>>,
}

/// What the commit table holds of a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) run: String,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: u64,
    /// The journal of the checkpoint; none in front of the first.
    pub(crate) journal: Option<String>,
    /// When the checkpoint held, in milliseconds since 1970.
    pub(crate) committed_ms: i64,
}

/// What a table holds of a writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    run: String,
    checkpoint: u64,
    committed_ms: i64,
}

/// A step of a commit: what is done to one table.
enum Step<'a> {
    /// Whoever has an older epoch commits nothing from here on. The run counts where there is none yet.
    Fence {
        epoch: u64,
        run: &'a str,
    },
    Decide(&'a Standing),
    Give(&'a Journal, &'a TableFiles),
}

/// Another run works on this sink.
pub(crate) fn fenced(job: &str, sink: &str, found: u64) -> Error {
    let message = format!("another run of job {job} has taken over sink {sink}");
    Error::new(ErrorKind::Fenced, message).context("epoch", found)
}

/// A name that every catalog takes, and no other name becomes.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("_{byte:02x}")),
        }
    }
    escaped
}

impl Commits {
    /// The sink's commit table.
    pub(crate) fn table(&self) -> TableIdent {
        let name = format!("{}__{}", escape(&self.job), escape(&self.sink));
        TableIdent::new(NamespaceIdent::new(self.namespace.clone()), name)
    }

    /// The property of this writer, in the commit table and in others.
    fn property(&self) -> String {
        format!("culvert.{}.{}.{}", escape(&self.job), escape(&self.sink), self.writer)
    }

    fn standing(&self, metadata: &TableMetadata) -> Result<Option<Standing>> {
        metadata.properties().get(&self.property()).map(|text| parse(text)).transpose()
    }

    /// What holds now, with its journal.
    pub(crate) async fn found(&self) -> Result<Option<(Standing, Option<Journal>)>> {
        let mut missing: Option<String> = None;
        loop {
            let Some(table) = self.catalog.load(&self.table()).await? else { return Ok(None) };
            let Some(standing) = self.standing(&table.metadata)? else { return Ok(None) };
            let Some(location) = standing.journal.clone() else { return Ok(Some((standing, None))) };
            if let Some(bytes) = self.storage.read(&location).await? {
                let journal =
                    Journal::decode(&bytes).map_err(|error| error.context("location", &location))?;
                return Ok(Some((standing, Some(journal))));
            }
            // Another run may have gone on to the next one in between, and let go of this.
            if missing.as_ref() == Some(&location) {
                return Err(Error::new(ErrorKind::LogGone, "the journal of a committed checkpoint is gone")
                    .context("location", location)
                    .hint(
                        "restore it; with --fresh the job starts over, and adds its rows to what is there",
                    ));
            }
            missing = Some(location);
        }
    }

    /// The marker that stands for what was found.
    pub(crate) fn marker(&self, standing: &Standing, journal: Option<&Journal>) -> Result<CommitMarker> {
        let source = journal.map(Journal::marker).transpose()?.and_then(|marker| marker.source);
        Ok(CommitMarker {
            job: self.job.clone(),
            sink: self.sink.clone(),
            writer: self.writer,
            epoch: standing.epoch,
            checkpoint: standing.checkpoint,
            source,
        })
    }

    /// Makes the commit table.
    async fn make(&self) -> Result<()> {
        let making = failed("the commit table was not made");
        let field = NestedField::optional(1, "checkpoint", Type::Primitive(PrimitiveType::Long));
        let creation = TableCreation {
            name: self.table().name().to_owned(),
            location: None,
            schema: Schema::builder().with_fields([field.into()]).build().map_err(making)?,
            partition_spec: None::<UnboundPartitionSpec>,
            sort_order: None,
            properties: [
                ("write.metadata.delete-after-commit.enabled", "true"),
                ("write.metadata.previous-versions-max", "20"),
                ("comment", "commits of a job of culvert; docs/iceberg.md"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            format_version: FormatVersion::V2,
        };
        self.catalog.create(&self.table(), creation).await
    }

    /// Takes the fence, and makes good what a crash left undone. What was there before, and what is now.
    pub(crate) async fn take_over(&self, epoch: u64, run: &str) -> Result<(Option<CommitMarker>, Standing)> {
        if self.found().await?.is_none() {
            self.make().await?;
        }
        self.run(&[Step::Fence { epoch, run }]).await?;
        // Read again behind the fence: what the run before committed last counts.
        let (standing, journal) = self.found().await?.ok_or_else(|| gone(&self.table()))?;
        if let Some(journal) = &journal {
            for files in &journal.tables {
                let given = self.run(&[Step::Give(journal, files)]).await;
                given.map_err(|error| error.context("checkpoint", journal.checkpoint))?;
            }
        }
        // What stands there may be of a run that was faster to the first fence.
        let is_ours = standing.run == run;
        let marker = (!is_ours).then(|| self.marker(&standing, journal.as_ref())).transpose()?;
        Ok((marker, standing))
    }

    /// Where the journal of a checkpoint goes.
    pub(crate) async fn journal_location(&self, epoch: u64, checkpoint: u64) -> Result<String> {
        let table = self.catalog.load(&self.table()).await?.ok_or_else(|| gone(&self.table()))?;
        let folder = join(table.metadata.location(), "journal");
        Ok(join(&folder, &format!("{}-{epoch}-{checkpoint}.json", self.writer)))
    }

    /// Writes the journal of a checkpoint.
    pub(crate) async fn write(&self, journal: &Journal, location: &str) -> Result<()> {
        self.storage.write(location, Bytes::from(journal.encode()?)).await
    }

    /// Commits a checkpoint. Committing twice is once.
    pub(crate) async fn commit(&self, journal: &Journal, location: &str) -> Result<()> {
        let standing = Standing {
            run: journal.run.clone(),
            epoch: journal.epoch,
            checkpoint: journal.checkpoint,
            journal: Some(location.to_owned()),
            committed_ms: now_ms(),
        };
        let mut steps = vec![Step::Decide(&standing)];
        steps.extend(journal.tables.iter().map(|files| Step::Give(journal, files)));
        pass("iceberg.marker.before")?;
        let _turn = self.turn.lock().await;
        if self.catalog.is_atomic() && self.catalog.keeps_its_word() {
            self.run(&steps).await?;
            pass("iceberg.marker.after")?;
        } else if self.catalog.is_atomic() {
            // Tables must never be given what was not decided: the decision is a commit of one table, which is kept.
            let (decision, gifts) = steps.split_at(1);
            self.run(decision).await?;
            pass("iceberg.marker.after")?;
            self.run(gifts).await?;
        } else {
            for (number, step) in steps.iter().enumerate() {
                self.run(std::slice::from_ref(step)).await?;
                match number {
                    0 => pass("iceberg.marker.after")?,
                    _ => pass("iceberg.table.after")?,
                }
            }
        }
        Ok(())
    }

    /// Removes files that nothing names any more. What cannot be removed now is an orphan, and found as one.
    pub(crate) async fn remove(&self, obsolete: Vec<String>) {
        for file in obsolete {
            if let Err(error) = self.storage.delete(&file).await {
                tracing::debug!(%error, "a file that is no longer needed stays");
            }
        }
    }

    /// Takes steps in one commit, as often as it takes.
    async fn run(&self, steps: &[Step<'_>]) -> Result<()> {
        let (mut pause, mut obsolete) = (PAUSE.0, Vec::new());
        for _ in 0..CONFLICTS_MAX {
            let (mut changes, mut written) = (Vec::new(), Written::new());
            for step in steps {
                let change = match step {
                    Step::Fence { epoch, run } => self.fence(*epoch, run).await?,
                    Step::Decide(standing) => self.decide(standing).await?,
                    Step::Give(journal, files) => self.give(journal, files).await?,
                };
                if let Some((change, files)) = change {
                    changes.push(change);
                    written.extend(files);
                }
            }
            if changes.is_empty() {
                self.remove(obsolete).await;
                return Ok(());
            }
            // An error leaves open whether it happened, and so the files stay: orphans, at worst.
            match catalog::commit(self.catalog.as_ref(), &changes).await? {
                Outcome::Done => {
                    let is_sure = changes.len() == 1 || self.catalog.keeps_its_word();
                    obsolete.extend(changes.into_iter().flat_map(|change| change.obsolete));
                    if is_sure {
                        self.remove(obsolete).await;
                        return Ok(());
                    }
                    // What the tables have is not done again; what one of them lacks is.
                    continue;
                }
                Outcome::Conflict => {
                    tracing::info!(
                        job = self.job,
                        sink = self.sink,
                        "a table changed under a commit: it is made anew"
                    );
                    for file in written {
                        self.storage.delete(&file).await?;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        Err(Error::new(ErrorKind::Contention, "other writers were always first to commit")
            .context("sink", &self.sink)
            .context("attempts", CONFLICTS_MAX)
            .hint("the job tries again by itself; let others commit to these tables less often"))
    }

    /// The change that makes a checkpoint hold; `None` when it holds already.
    async fn decide(&self, standing: &Standing) -> Result<Option<(Change, Written)>> {
        let base = self.catalog.load(&self.table()).await?.ok_or_else(|| gone(&self.table()))?;
        // The fence made it this run's and this epoch's. Whatever else stands there is another run's, even one that began
        // from scratch, with epochs of its own.
        let found = self.standing(&base.metadata)?.ok_or_else(|| gone(&self.table()))?;
        if found.run != standing.run || found.epoch != standing.epoch {
            return Err(fenced(&self.job, &self.sink, found.epoch));
        }
        if found.checkpoint >= standing.checkpoint {
            return Ok(None);
        }
        self.stand(&base, standing).await.map(Some)
    }

    /// The change that takes the fence. What holds is taken over as it is at this very step.
    async fn fence(&self, epoch: u64, run: &str) -> Result<Option<(Change, Written)>> {
        let base = self.catalog.load(&self.table()).await?.ok_or_else(|| gone(&self.table()))?;
        let standing = match self.standing(&base.metadata)? {
            Some(found) if found.epoch >= epoch => return Err(fenced(&self.job, &self.sink, found.epoch)),
            Some(found) => Standing { epoch, ..found },
            None => {
                Standing { run: run.to_owned(), epoch, checkpoint: 0, journal: None, committed_ms: now_ms() }
            }
        };
        self.stand(&base, &standing).await.map(Some)
    }

    /// The change of the commit table that says what holds.
    async fn stand(&self, base: &Table, standing: &Standing) -> Result<(Change, Written)> {
        let text = serde_json::to_string(standing).map_err(|cause| {
            Error::new(ErrorKind::Internal, "a standing was not written").caused_by(cause)
        })?;
        let summary = vec![(self.property(), text.clone())];
        let purpose = Purpose { branch: MAIN_BRANCH, summary, properties: vec![(self.property(), text)] };
        let (mut change, written) = append(&self.files, base, (&[], 0), purpose).await?;
        let old = old_snapshots(base, HISTORY);
        if !old.is_empty() {
            let (snapshot_ids, lists) = old.into_iter().unzip();
            change.updates.push(TableUpdate::RemoveSnapshots { snapshot_ids });
            change.obsolete = lists;
        }
        Ok((change, written))
    }

    /// The change that gives a table its files; `None` when it has them.
    async fn give(&self, journal: &Journal, files: &TableFiles) -> Result<Option<(Change, Written)>> {
        let ident = files.ident()?;
        let base = self.catalog.load(&ident).await?.ok_or_else(|| gone(&ident))?;
        if base.metadata.uuid() != files.uuid {
            return Err(gone(&ident).context("expected", files.uuid).context("found", base.metadata.uuid()));
        }
        let (run, checkpoint) = (journal.run.clone(), journal.checkpoint);
        if self.has(&base.metadata, &run, checkpoint)? {
            return Ok(None);
        }
        pass("iceberg.table.before")?;
        let waves = files.waves(&base.metadata)?;
        let mark = Mark { run, checkpoint, committed_ms: now_ms() };
        let text = serde_json::to_string(&mark)
            .map_err(|cause| Error::new(ErrorKind::Internal, "a mark was not written").caused_by(cause))?;
        let summary = vec![
            (self.property(), text.clone()),
            ("culvert.job".to_owned(), self.job.clone()),
            ("culvert.sink".to_owned(), self.sink.clone()),
            ("culvert.checkpoint".to_owned(), checkpoint.to_string()),
        ];
        let purpose = Purpose { branch: &self.branch, summary, properties: vec![(self.property(), text)] };
        append(&self.files, &base, (&waves, files.spec_id), purpose).await.map(Some)
    }

    /// Whether a table has a checkpoint already: by its property, and otherwise anywhere in its history.
    fn has(&self, metadata: &TableMetadata, run: &str, checkpoint: u64) -> Result<bool> {
        let property = self.property();
        if let Some(text) = metadata.properties().get(&property) {
            let mark: Mark = parse(text)?;
            if mark.run == run && mark.checkpoint >= checkpoint {
                return Ok(true);
            }
        }
        let mut next = metadata.snapshot_for_ref(&self.branch);
        while let Some(snapshot) = next {
            if let Some(text) = snapshot.summary().additional_properties.get(&property) {
                let mark: Mark = parse(text)?;
                if mark.run == run && mark.checkpoint >= checkpoint {
                    return Ok(true);
                }
            }
            next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id));
        }
        Ok(false)
    }

    /// Forgets all writers of the sink. What is in the tables stays.
    pub(crate) async fn forget(&self) -> Result<()> {
        match self.catalog.load(&self.table()).await? {
            Some(_) => self.catalog.drop_table(&self.table()).await,
            None => Ok(()),
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|cause| {
        Error::new(ErrorKind::Corrupt, "a commit marker in a table's properties cannot be read")
            .caused_by(cause)
            .hint("somebody changed a property that begins with culvert. : restore it from an earlier metadata file")
    })
}

/// Snapshots behind the youngest ones, and their lists of manifests.
fn old_snapshots(table: &Table, keep: usize) -> Vec<(i64, String)> {
    let mut all: Vec<_> = table.metadata.snapshots().collect();
    all.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.sequence_number()));
    all.into_iter().skip(keep).map(|old| (old.snapshot_id(), old.manifest_list().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_become_one() {
        assert_eq!(escape("job-1"), "job_2d1");
        assert_ne!(escape("a_b"), escape("a-b"));
        assert_ne!(escape("A"), escape("a"));
        assert_eq!(escape("ü"), "_c3_bc");
    }
}
