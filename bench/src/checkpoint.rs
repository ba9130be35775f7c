//! Saving a checkpoint beside the least a disk can do: the same bytes at the end of a file, synced.
//!
//! Both take turns, so that whatever else the disk does meets both.

use std::fs::File;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use culvert_api::{Checkpoint, SourceState, StateStore};
use culvert_state::{JobIdentity, RocksStore};
use culvert_tests::scratch;

use crate::spread::Spread;

/// Checkpoints that are saved.
const SAVES: u64 = 1000;
/// Bytes of the source's state in each.
pub(crate) const STATE_BYTES: usize = 4096;
/// Checkpoints the engine keeps.
const KEPT: u64 = 3;

/// How long it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checkpoints {
    /// [`StateStore::save`].
    pub(crate) save: Spread,
    /// [`StateStore::prune_below`], once per checkpoint.
    pub(crate) prune: Spread,
    /// write(2) and fsync(2).
    pub(crate) fsync: Spread,
    /// write(2) and fdatasync(2).
    pub(crate) fdatasync: Spread,
}

/// Saves checkpoints and writes as much to files in the same folder.
pub(crate) fn run() -> Result<Checkpoints> {
    let folder = scratch::folder("c");
    let identity = JobIdentity { name: "bench".into(), fingerprint: "bench".into() };
    let store = RocksStore::open(&folder.join("state"), &identity)?;
    let bytes = vec![0x5a; STATE_BYTES];
    let (mut one, mut other) = (File::create(folder.join("one"))?, File::create(folder.join("other"))?);
    let (mut save, mut prune, mut fsync, mut fdatasync) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for id in 1..=SAVES {
        let source = SourceState { enumerator: Vec::new(), reader: bytes.clone() };
        let checkpoint = Checkpoint { id, epoch: 1, created_ms: 0, source };
        let begun = Instant::now();
        store.save(&checkpoint)?;
        save.push(begun.elapsed());

        let begun = Instant::now();
        store.prune_below(id.saturating_sub(KEPT))?;
        prune.push(begun.elapsed());

        let begun = Instant::now();
        one.write_all(&bytes)?;
        one.sync_all()?;
        fsync.push(begun.elapsed());

        let begun = Instant::now();
        other.write_all(&bytes)?;
        other.sync_data()?;
        fdatasync.push(begun.elapsed());
    }
    drop(store);
    std::fs::remove_dir_all(&folder)?;
    Ok(Checkpoints {
        save: Spread::of(save),
        prune: Spread::of(prune),
        fsync: Spread::of(fsync),
        fdatasync: Spread::of(fdatasync),
    })
}
