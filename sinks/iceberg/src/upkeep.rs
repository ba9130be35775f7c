//! Upkeep of the tables that a job writes to: small files are put together, deletes merged into their rows, old
//! snapshots and orphans removed.
//!
//! It goes on beside the stream, one round at a time: each of its changes is a compare-and-set of its own, made anew on
//! top of whatever the stream has committed meanwhile. Rewritten files that were late again and again have the
//! stream's next commit wait, once. What fails is logged and tried again by a later round.

mod compact;
mod expire;
mod orphans;
mod read;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, Result};
use iceberg::TableIdent;
use iceberg::spec::{Manifest, ManifestFile};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::catalog::{self, Change, Outcome, Table};
use crate::commit::Commits;
use crate::error::failed;
use crate::options::Settings;
use crate::snapshot::Written;

/// How often a change is made anew on top of others' commits.
const CONFLICTS_MAX: u32 = 5;
/// Orphans are looked for so rarely: a table's whole folder is listed.
const ORPHANS_EVERY: Duration = Duration::from_secs(3600);
/// Files that are told apart in memory, 8 bytes each; a table of more is left alone.
const FILES_MAX: usize = 20_000_000;

/// What is kept up, and how often at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Between two rounds.
    pub(crate) interval: Duration,
    pub(crate) compacts: bool,
    /// Small files of a partition that are put together.
    pub(crate) files_min: usize,
    /// Bytes that a round rewrites of a table.
    pub(crate) bytes_max: u64,
    /// Live files of deletes that a table has at most behind a round; 0: any number.
    pub(crate) deletes_max: usize,
    /// Snapshots that are older are removed.
    pub(crate) age_max: Option<Duration>,
    /// Snapshots that stay whatever their age.
    pub(crate) snapshots_min: usize,
    /// Files that are older and that nothing names are removed.
    pub(crate) orphan_age: Option<Duration>,
}

impl Rules {
    fn do_nothing(&self) -> bool {
        !self.compacts && self.deletes_max == 0 && self.age_max.is_none() && self.orphan_age.is_none()
    }
}

/// The upkeep of a sink's tables: a task that ends with it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    touched: Arc<Touched>,
    /// `None`: there is nothing to do.
    rounds: Option<JoinHandle<()>>,
}

/// Tables that were given files since the last round began.
#[derive(Debug, Default)]
struct Touched {
    tables: Mutex<HashSet<TableIdent>>,
    more: Notify,
}

impl Touched {
    /// The tables of the next round, as soon as there is one.
    async fn next(&self) -> HashSet<TableIdent> {
        loop {
            let tables = std::mem::take(&mut *self.tables.lock().unwrap_or_else(PoisonError::into_inner));
            if !tables.is_empty() {
                return tables;
            }
            self.more.notified().await;
        }
    }
}

/// What a round works with.
#[derive(Debug)]
pub(crate) struct Keeper {
    commits: Commits,
    settings: Arc<Settings>,
    /// When a table's orphans were last looked for.
    swept: Mutex<HashMap<TableIdent, Instant>>,
    /// Files of a table when they were last looked at.
    looked: Mutex<HashMap<TableIdent, usize>>,
}

impl Upkeep {
    pub(crate) fn new(commits: Commits, settings: Arc<Settings>) -> Upkeep {
        let (touched, rules) = (Arc::new(Touched::default()), settings.upkeep);
        let (keeper, next) = (Keeper::new(commits, settings), Arc::clone(&touched));
        let rounds = async move {
            loop {
                tokio::time::sleep(rules.interval).await;
                for table in next.next().await {
                    if let Err(error) = keeper.look_after(&table).await {
                        tracing::warn!(%table, %error, "the upkeep of a table was left to a later round");
                    }
                }
            }
        };
        Upkeep { touched, rounds: (!rules.do_nothing()).then(|| tokio::spawn(rounds)) }
    }

    /// A checkpoint has given files to these tables.
    pub(crate) fn committed(&self, tables: impl IntoIterator<Item = TableIdent>) {
        if self.rounds.is_some() {
            self.touched.tables.lock().unwrap_or_else(PoisonError::into_inner).extend(tables);
            self.touched.more.notify_one();
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        if let Some(rounds) = &self.rounds {
            rounds.abort();
        }
    }
}

impl Keeper {
    pub(crate) fn new(commits: Commits, settings: Arc<Settings>) -> Keeper {
        Keeper { commits, settings, swept: Mutex::new(HashMap::new()), looked: Mutex::new(HashMap::new()) }
    }

    /// A round over one table. What fails keeps nothing else back; the first error is told.
    pub(crate) async fn look_after(&self, ident: &TableIdent) -> Result<()> {
        let rules = self.rules();
        let table = self.load(ident).await?;
        let property = |name: &str| table.metadata.properties().get(name).map(String::as_str);
        let mut done = Ok(());
        // Files of a table that was moved here may have columns by their names alone: they stay as they are.
        if (rules.compacts || rules.deletes_max > 0) && property("schema.name-mapping.default").is_none() {
            done = done.and(compact::round(self, ident).await);
        }
        // Such a table shares its files with others.
        if property("gc.enabled") == Some("false") {
            return done;
        }
        if rules.age_max.is_some() {
            done = done.and(expire::round(self, ident).await);
        }
        if let Some(age) = rules.orphan_age
            && self.is_time_to_sweep(ident)
        {
            done = done.and(orphans::round(self, ident, age).await);
        }
        done
    }

    /// What is kept up. In append mode nothing is deleted, and there is nothing to merge.
    fn rules(&self) -> Rules {
        let rules = self.settings.upkeep;
        Rules { deletes_max: if self.settings.upsert { rules.deletes_max } else { 0 }, ..rules }
    }

    /// Whether a table has so many files more than at the last look.
    fn has_grown(&self, ident: &TableIdent, files: usize, by: usize) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = looked.entry(ident.clone()).or_default();
        // Fewer than at the last look: they were put together meanwhile.
        if files >= *last && files - *last < by {
            return false;
        }
        *last = files;
        true
    }

    fn is_time_to_sweep(&self, ident: &TableIdent) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.get(ident).is_some_and(|last| last.elapsed() < ORPHANS_EVERY) {
            return false;
        }
        swept.insert(ident.clone(), Instant::now());
        true
    }

    async fn load(&self, ident: &TableIdent) -> Result<Table> {
        self.commits.catalog.load(ident).await?.ok_or_else(|| catalog::gone(ident))
    }

    /// Commits a change; true when it took place. What was written for one that did not is removed.
    async fn commit(&self, change: Change, written: Written) -> Result<bool> {
        if catalog::commit(self.commits.catalog.as_ref(), &[change]).await? == Outcome::Done {
            return Ok(true);
        }
        self.commits.remove(written).await;
        Ok(false)
    }

    async fn manifest(&self, manifest: &ManifestFile) -> Result<Manifest> {
        manifest.load_manifest(&self.commits.files).await.map_err(failed("a manifest was not read"))
    }
}

#[cfg(test)]
pub(crate) use compact::{put_in_place, rewrite_all};

/// A location without the scheme's spelling, so that it can be compared.
pub(crate) fn normal(location: &str) -> String {
    let plain = location.strip_prefix("file:").map(|rest| format!("/{}", rest.trim_start_matches('/')));
    plain.unwrap_or_else(|| match location.split_once("://") {
        Some(("s3a" | "s3n", rest)) => format!("s3://{rest}"),
        _ => location.to_owned(),
    })
}

/// Files that something names. Two that look alike here are both kept.
#[derive(Default)]
pub(crate) struct Named(HashSet<u64>);

impl Named {
    fn key(location: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        normal(location).hash(&mut hasher);
        hasher.finish()
    }

    /// Adds a file; true when it is new.
    pub(crate) fn add(&mut self, location: &str) -> Result<bool> {
        if self.0.len() >= FILES_MAX {
            return Err(Error::new(ErrorKind::Unsupported, "the table has too many files for this upkeep")
                .context("most", FILES_MAX)
                .hint("expire snapshots first, or have an engine do it"));
        }
        Ok(self.0.insert(Named::key(location)))
    }

    pub(crate) fn has(&self, location: &str) -> bool {
        self.0.contains(&Named::key(location))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        for location in ["/w/a", "file:/w/a", "file:///w/a"] {
            assert_eq!(normal(location), "/w/a");
        }
        assert_eq!(normal("s3a://b/k"), normal("s3://b/k"));
        let mut named = Named::default();
        assert!(named.add("file:///w/a").unwrap() && !named.add("/w/a").unwrap());
        assert!(named.has("file:/w/a") && !named.has("/w/b"));
    }
}
