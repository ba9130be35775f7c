//! Tables of a catalog in a database, as Iceberg's JDBC catalog and pyiceberg's SQL catalog keep it: one row per table
//! says where its metadata is.
//!
//! A commit changes the row where it still has the location that the change was made from; several tables are changed
//! in one transaction. The two tables are made as version 0 of that catalog has them, which newer ones read as well.

mod database;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use culvert_api::Result;
use culvert_storage::{Storage, join};
use iceberg::spec::TableMetadata;
use iceberg::{TableCreation, TableIdent};

use super::{Catalog, Change, Outcome, Table, dotted, encode, first, folder, forget_old, gone, next, read};
pub(crate) use database::Database;

/// A catalog in a database.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) storage: Storage,
    pub(crate) warehouse: String,
    /// The catalog's name: a database may hold several.
    pub(crate) name: String,
    pub(crate) database: Database,
}

/// A row of the catalog: who it is about, what it must hold, and what it is to hold.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) namespace: String,
    pub(crate) table: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Sql {
    /// Writes metadata under a name of its own.
    async fn write(&self, metadata: &TableMetadata, version: u64) -> Result<String> {
        let name = format!("{version:05}-{}.metadata.json", uuid::Uuid::new_v4());
        let location = join(&join(metadata.location(), "metadata"), &name);
        self.storage.write(&location, Bytes::from(encode(metadata)?)).await?;
        Ok(location)
    }

    async fn location(&self, ident: &TableIdent) -> Result<Option<String>> {
        self.database.location(&self.name, &dotted(ident), ident.name()).await
    }
}

/// The number that a metadata file's name begins with.
fn version_of(location: &str) -> u64 {
    let name = location.rsplit('/').next().unwrap_or_default();
    name.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[async_trait]
impl Catalog for Sql {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let Some(metadata_location) = self.location(ident).await? else { return Ok(None) };
        let metadata = read(&self.storage, &metadata_location)
            .await?
            .ok_or_else(|| gone(ident).context("metadata", &metadata_location))?;
        Ok(Some(Table { ident: ident.clone(), metadata: Arc::new(metadata), metadata_location }))
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<()> {
        self.database.prepare(&self.name, &dotted(ident)).await?;
        if self.location(ident).await?.is_some() {
            return Ok(());
        }
        // A table that was given another name keeps its folder.
        let mut place = folder(&self.warehouse, ident);
        if self.storage.any(&place).await?.is_some() {
            place = format!("{place}-{:08x}", uuid::Uuid::new_v4().as_fields().0);
        }
        let creation = TableCreation { location: Some(place), ..creation };
        let location = self.write(&first(creation)?, 0).await?;
        let is_first = self.database.insert(&self.name, &dotted(ident), ident.name(), &location).await;
        if !is_first? {
            self.storage.delete(&location).await?;
        }
        Ok(())
    }

    async fn commit(&self, changes: &[Change]) -> Result<Outcome> {
        let (mut moves, mut after) = (Vec::with_capacity(changes.len()), Vec::with_capacity(changes.len()));
        for change in changes {
            let Some(metadata) = next(change, &change.base)? else { return Ok(Outcome::Conflict) };
            after.push(metadata);
        }
        for (change, metadata) in changes.iter().zip(&after) {
            let from = change.base.metadata_location.clone();
            let to = self.write(metadata, version_of(&from) + 1).await?;
            let (namespace, table) = (dotted(&change.base.ident), change.base.ident.name().to_owned());
            moves.push(Move { namespace, table, from, to });
        }
        if !self.database.compare_and_set(&self.name, moves.clone()).await? {
            for lost in &moves {
                self.storage.delete(&lost.to).await?;
            }
            return Ok(Outcome::Conflict);
        }
        for (change, metadata) in changes.iter().zip(&after) {
            forget_old(&self.storage, &change.base.metadata, metadata).await;
        }
        Ok(Outcome::Done)
    }

    fn is_atomic(&self) -> bool {
        true
    }

    async fn drop_table(&self, ident: &TableIdent) -> Result<()> {
        self.database.remove(&self.name, &dotted(ident), ident.name()).await
    }
}
