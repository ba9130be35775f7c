//! Tables of the layout that SeaTunnel calls `hadoop`: a folder per table below the warehouse, no catalog.
//!
//! `metadata/vN.metadata.json` is the table's N-th state, and whoever creates it first has committed it.
//! `metadata/version-hint.text` says where to begin to look and may be behind (table spec, "File System Tables").

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use culvert_api::{Error, ErrorKind, Result};
use culvert_storage::{Storage, join};
use futures_util::StreamExt;
use iceberg::{TableCreation, TableIdent};

use super::{Catalog, Change, Outcome, Table, encode, first, folder, forget_old, gone, next, read};
use crate::upkeep::normal;

const HINT: &str = "version-hint.text";

/// A warehouse.
#[derive(Debug)]
pub(crate) struct Hadoop {
    pub(crate) storage: Storage,
    pub(crate) warehouse: String,
}

impl Hadoop {
    fn metadata_folder(&self, ident: &TableIdent) -> String {
        join(&folder(&self.warehouse, ident), "metadata")
    }

    fn version_path(&self, ident: &TableIdent, version: u64) -> String {
        join(&self.metadata_folder(ident), &format!("v{version}.metadata.json"))
    }

    /// The version that the hint names.
    async fn hinted(&self, ident: &TableIdent) -> Result<Option<u64>> {
        let text = self.storage.read(&join(&self.metadata_folder(ident), HINT)).await?;
        Ok(text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok()))
    }

    /// The version that the hint names, where it is still there; otherwise the highest there is.
    async fn begin(&self, ident: &TableIdent) -> Result<Option<u64>> {
        let folder = self.metadata_folder(ident);
        if let Some(version) = self.hinted(ident).await?
            && self.storage.head(&self.version_path(ident, version)).await?.is_some()
        {
            return Ok(Some(version));
        }
        let mut files = self.storage.list(&folder).await?;
        let mut highest = None;
        while let Some(file) = files.next().await {
            highest = highest.max(version_of(&file?.location));
        }
        Ok(highest)
    }

    async fn hint(&self, ident: &TableIdent, version: u64) {
        let path = join(&self.metadata_folder(ident), HINT);
        if let Err(error) = self.storage.write(&path, Bytes::from(version.to_string())).await {
            tracing::debug!(%error, "the hint stays behind the table, which does no harm");
        }
    }

    /// Creates a version. An answer that was lost looks like somebody else's file, until it is read.
    async fn create_version(&self, ident: &TableIdent, version: u64, bytes: Bytes) -> Result<bool> {
        let path = self.version_path(ident, version);
        if self.storage.create(&path, bytes.clone()).await? {
            return Ok(true);
        }
        Ok(self.storage.read(&path).await?.is_some_and(|found| found == bytes))
    }

    /// Whether a version that was created is in no one's past. Old metadata is removed, so a run that stood still for many
    /// commits finds the number free that somebody else had long before.
    async fn is_stray(&self, ident: &TableIdent, version: u64) -> Result<bool> {
        if self.hinted(ident).await?.is_none_or(|hinted| hinted <= version) {
            return Ok(false);
        }
        let path = normal(&self.version_path(ident, version));
        let head = self.load(ident).await?;
        let knows = |head: Table| {
            head.metadata.metadata_log().iter().any(|entry| normal(&entry.metadata_file) == path)
        };
        Ok(!head.is_some_and(knows))
    }
}

/// The number of `vN.metadata.json`.
fn version_of(location: &str) -> Option<u64> {
    let name = location.rsplit('/').next()?;
    name.strip_prefix('v')?.strip_suffix(".metadata.json")?.parse().ok()
}

#[async_trait]
impl Catalog for Hadoop {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let Some(begun) = self.begin(ident).await? else { return Ok(None) };
        let mut version = begun;
        while self.storage.head(&self.version_path(ident, version + 1)).await?.is_some() {
            version += 1;
        }
        if version > begun {
            // Whoever committed that version died in front of the hint, and many readers look no further.
            self.hint(ident, version).await;
        }
        let metadata_location = self.version_path(ident, version);
        let metadata = read(&self.storage, &metadata_location).await?.ok_or_else(|| {
            // A table that is never written to for so long as to lose this file between two looks.
            Error::new(ErrorKind::Contention, "the table's metadata changed while it was read")
                .context("location", &metadata_location)
        })?;
        Ok(Some(Table { ident: ident.clone(), metadata: Arc::new(metadata), metadata_location }))
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<()> {
        let creation = TableCreation { location: Some(folder(&self.warehouse, ident)), ..creation };
        let bytes = Bytes::from(encode(&first(creation)?)?);
        if self.create_version(ident, 1, bytes).await? {
            self.hint(ident, 1).await;
        }
        Ok(())
    }

    async fn commit(&self, changes: &[Change]) -> Result<Outcome> {
        let [change] = changes else {
            return Err(Error::new(
                ErrorKind::Internal,
                "a layout without a catalog changes one table at a time",
            ));
        };
        let ident = &change.base.ident;
        let version = version_of(&change.base.metadata_location).ok_or_else(|| gone(ident))?;
        // Made from what it names, so that whoever was first since then has the next number already.
        let Some(metadata) = next(change, &change.base)? else { return Ok(Outcome::Conflict) };
        if !self.create_version(ident, version + 1, Bytes::from(encode(&metadata)?)).await? {
            return Ok(Outcome::Conflict);
        }
        if self.is_stray(ident, version + 1).await? {
            self.storage.delete(&self.version_path(ident, version + 1)).await?;
            return Ok(Outcome::Conflict);
        }
        self.hint(ident, version + 1).await;
        forget_old(&self.storage, &change.base.metadata, &metadata).await;
        Ok(Outcome::Done)
    }

    fn is_atomic(&self) -> bool {
        false
    }

    async fn drop_table(&self, ident: &TableIdent) -> Result<()> {
        // The hint first: a table that is half gone is none.
        let metadata = self.metadata_folder(ident);
        self.storage.delete(&join(&metadata, HINT)).await?;
        for below in [metadata, folder(&self.warehouse, ident)] {
            let mut files = self.storage.list(&below).await?;
            while let Some(file) = files.next().await {
                self.storage.delete(&file?.location).await?;
            }
        }
        Ok(())
    }
}
