//! Files where there is no room or no right: the job says so, loses nothing, and goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use culvert_tests::{lake_shared, wait};

use super::file::{assert_once, job, lines};
use super::{LIMIT, Local, ROWS};
use crate::state::full::Small;

/// Whether files are there that a reader sees.
fn has_files(folder: &Path) -> bool {
    let visible = |entry: std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(visible)
}

/// Whether the disk fills up under what a job writes: it waits, and is done when there is room.
async fn waits_for_room(job: &Local, out: &Path) -> Small {
    let small = Small::new(out);
    let mut running = job.start();
    wait::until(LIMIT, "the first files", async || has_files(out)).await;
    small.fill();
    running.wait_for_stderr(LIMIT, "No space left on device").await;
    assert!(running.ended().is_none() && running.stderr().contains("make room"), "{}", running.stderr());
    small.empty();
    running.wait(LIMIT).assert_code(0);
    small
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for() {
    let job = Local::new(&job(""));
    let out = job.folder.join("out");
    let _small = waits_for_room(&job, &out).await;
    assert_once(&lines(&out));
}

/// A small file of Parquet writes its first byte when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_for_by_parquet() {
    let job = Local::new(&job("file_format_type = parquet"));
    let out = job.folder.join("out");
    let _small = waits_for_room(&job, &out).await;
    let query =
        format!("SELECT count(*), count(DISTINCT id) FROM read_parquet('{}/*.parquet')", out.display());
    let found = lake_shared().await.duckdb(&query, None).await;
    let rows = Some(ROWS.to_string());
    assert_eq!(found.rows, [[rows.clone(), rows]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_without_rights_ends_the_job_and_it_goes_on_with_them() {
    let job = Local::new(&job(""));
    let out = job.folder.join("out");
    let small = Small::new(&out);
    let running = job.start();
    wait::until(LIMIT, "the first files", async || has_files(&out)).await;
    running.kill();
    small.read_only(true);
    let refused = job.run();
    refused.assert_code(2);
    assert!(refused.stderr.contains("the right to write there"), "{}", refused.stderr);
    small.read_only(false);
    job.run().assert_code(0);
    assert_once(&lines(&out));
}

/// A folder that is to be found at another place as well; there no more when this is dropped.
struct Bound(PathBuf);

impl Bound {
    fn new(folder: &Path, place: &Path) -> Bound {
        for folder in [folder, place] {
            std::fs::create_dir_all(folder).expect("a folder is made");
        }
        let done =
            Command::new("mount").arg("--bind").args([folder, place]).status().expect("mount(8) is there");
        assert!(done.success(), "a folder could not be mounted: this test needs root");
        Bound(place.to_owned())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Two mounts of one file system, as containers have them: no file can be renamed from one to the other.
#[test]
fn staging_on_another_mount_of_the_same_file_system_is_refused() {
    let text = job("");
    let folder = Local::new(&text).folder;
    let bound = Bound::new(&folder.join("elsewhere"), &folder.join("mounted"));
    let tmp_path = format!("tmp_path = \"{}\"", bound.0.join("tmp").display());
    let refused = Local::new(&job(&tmp_path)).run();
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("another mount"), "{}", refused.stderr);
}
