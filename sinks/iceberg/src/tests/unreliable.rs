//! Catalogs whose answers are not what happened.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use culvert_api::Result;
use iceberg::{TableCreation, TableUpdate};

use super::*;
use crate::catalog::{Change, Outcome, Table};

const UPSERT: &str = "iceberg.table.upsert-mode-enabled = true";

/// What becomes of a commit.
#[derive(Debug)]
enum Way {
    /// Something sends it again: the second is refused because of the first.
    Twice,
    /// Several tables are taken one after the other. Now one of them is dropped, then another, then the rest is refused;
    /// what is not refused is done, by the answer.
    OneByOne(AtomicUsize),
}

#[derive(Debug)]
struct Unreliable(Arc<dyn Catalog>, Way);

#[async_trait]
impl Catalog for Unreliable {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        self.0.load(ident).await
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<()> {
        self.0.create(ident, creation).await
    }

    async fn commit(&self, changes: &[Change]) -> Result<Outcome> {
        let turn = match &self.1 {
            Way::Twice => {
                self.0.commit(changes).await?;
                return Ok(Outcome::Conflict);
            }
            Way::OneByOne(_) if changes.len() == 1 => return self.0.commit(changes).await,
            Way::OneByOne(turn) => turn.fetch_add(1, Ordering::Relaxed) % 4,
        };
        for (at, change) in changes.iter().enumerate() {
            if at == turn {
                continue;
            }
            if self.0.commit(std::slice::from_ref(change)).await? == Outcome::Conflict || turn == 3 {
                return Ok(Outcome::Conflict);
            }
        }
        Ok(Outcome::Done)
    }

    fn is_atomic(&self) -> bool {
        matches!(self.1, Way::OneByOne(_))
    }

    fn keeps_its_word(&self) -> bool {
        false
    }

    async fn drop_table(&self, ident: &TableIdent) -> Result<()> {
        self.0.drop_table(ident).await
    }
}

/// Three checkpoints and one compaction, each in the table once.
async fn commits(way: Way) {
    let scene = Scene::new(UPSERT, 64 << 20).through(UPSERT, |catalog| Arc::new(Unreliable(catalog, way)));
    let mut open = scene.open(1).await;
    for number in 1..=8 {
        let row = (RowKind::Insert, number as i64, Some("there".to_owned()));
        open.writer.write(batch(&scene.table, &[row])).await.unwrap();
        checkpoint(&mut open, 1, number, true).await;
    }
    scene.keeper(compacting()).look_after(&scene.ident()).await.unwrap();
    assert_eq!(scene.rows().await.into_keys().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let found = scene.catalog().load(&scene.ident()).await.unwrap().unwrap();
    assert_eq!(found.metadata.snapshots().count(), 9, "eight checkpoints and one compaction");
    let marker = scene.open(2).await.marker.unwrap();
    assert_eq!(marker.checkpoint, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_arrives_twice_is_no_conflict() {
    commits(Way::Twice).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_catalog_says_it_did_and_did_not_is_done_again() {
    commits(Way::OneByOne(AtomicUsize::new(0))).await;
}

/// A run that stood still while others committed again and again, until the number it wants is free once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_stood_still_finds_no_free_number() {
    let scene = Scene::new(UPSERT, 64 << 20);
    let _open = scene.open(1).await;
    let (catalog, ident) = (scene.catalog(), scene.ident());
    let set = async |base: &Table, name: &str, value: &str| {
        let updates = HashMap::from([(name.to_owned(), value.to_owned())]);
        let updates = vec![TableUpdate::SetProperties { updates }];
        let change = Change { base: base.clone(), requirements: Vec::new(), updates, obsolete: Vec::new() };
        catalog.commit(&[change]).await.unwrap()
    };
    let load = async || catalog.load(&ident).await.unwrap().unwrap();
    assert_eq!(set(&load().await, "write.metadata.previous-versions-max", "3").await, Outcome::Done);
    let old = load().await;
    for round in 0..8 {
        assert_eq!(set(&load().await, "round", &round.to_string()).await, Outcome::Done);
    }
    let next = old.metadata_location.replace("v2.", "v3.");
    assert!(!Path::new(&next).exists(), "{next} is not free: nothing is shown");
    assert_eq!(set(&old, "late", "yes").await, Outcome::Conflict);
    assert!(!Path::new(&next).exists());
    let now = load().await;
    assert_eq!(now.metadata.properties().get("round").map(String::as_str), Some("7"));
    assert!(!now.metadata.properties().contains_key("late"));
}
