//! A state folder on a file system without room: the job waits and goes on when there is some.

use std::path::{Path, PathBuf};
use std::process::Command;

use culvert_tests::{Flavor, PgVersion, postgres_shared, shared, wait};

use crate::crash::scene::Scene;
use crate::postgres::job::{LIMIT, tail};

/// A small file system of its own, gone when dropped. Making one takes root, as on the machines that run the
/// whole suite.
pub(crate) struct Small(PathBuf);

impl Small {
    /// Room for one job's state.
    pub(crate) fn new(folder: &Path) -> Small {
        Small::of(folder, 16)
    }

    /// One of so many MiB.
    pub(crate) fn of(folder: &Path, size: u32) -> Small {
        std::fs::create_dir_all(folder).expect("a folder is made");
        let mut mount = Command::new("mount");
        let options = format!("size={size}m,mode=0700");
        mount.args(["-t", "tmpfs", "-o", &options, "culvert-test"]).arg(folder);
        let done = mount.status().expect("mount(8) is there");
        assert!(done.success(), "a small file system could not be made: this test needs root");
        Small(folder.to_owned())
    }

    /// Takes all the room there is.
    pub(crate) fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.join("ballast")).expect("the file is made");
        let block = vec![7u8; 4096];
        while file.write_all(&block).is_ok() {}
    }

    /// Gives the room back.
    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("the file goes");
    }

    /// Takes the right to write, or gives it. Nobody may be writing.
    pub(crate) fn read_only(&self, is_so: bool) {
        let how = if is_so { "remount,ro" } else { "remount,rw" };
        let done = Command::new("mount").args(["-o", how]).arg(&self.0).status().expect("mount(8) is there");
        assert!(done.success(), "the file system could not be made {how}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_waits_for_room_and_goes_on() {
    let (source, target) = (shared(Flavor::MariaDb).await, postgres_shared(PgVersion::V17).await);
    let scene = Scene::new((source.into(), Some(target.into()), None, None), 40, 1000).await;
    let small = Small::new(&scene.job.state);
    let mut job = scene.start();
    scene.caught_up(-1, &mut job).await;
    small.fill();
    let mut row = 0;
    // What RocksDB took of the disk in advance is used up first.
    wait::until_ok(LIMIT * 3, "the job to miss room", async || {
        // Checkpoints come with changes only.
        row += 1;
        scene.source.run(&[&format!("INSERT INTO e VALUES ({row})")]).await;
        assert!(job.ended().is_none(), "it ended: {}", tail(&job.stderr()));
        let log = job.stderr();
        if log.contains("No space left on device") { Ok(()) } else { Err(tail(&log)) }
    })
    .await;
    small.empty();
    scene.caught_up(-2, &mut job).await;
    // The same across a restart: nothing was left half done.
    job.terminate(LIMIT).assert_code(0);
    let mut job = scene.start();
    scene.caught_up(-3, &mut job).await;
    job.terminate(LIMIT).assert_code(0);
    for verdict in scene.judge().await {
        assert_eq!((verdict.lost, verdict.twice, verdict.first), (0, 0, None));
    }
}
