//! Which job a line of the log is about: the one whose thread wrote it.
//!
//! Every job has threads of its own, and each knows its job's number. The lines of a job go to
//! `LOGS/job-NUMBER.log` as well, which is turned over at a size: `job-NUMBER.log.1` is what was before.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

use crate::daemon::model::JobId;

/// A job's log has at most this size, twice.
pub(crate) const LOG_BYTES_MAX: u64 = 10 << 20;

thread_local! {
    static JOB: RefCell<Option<Arc<JobLog>>> = const { RefCell::new(None) };
}

/// Says that this thread works for a job from now on.
pub(crate) fn enter(log: &Arc<JobLog>) {
    JOB.set(Some(Arc::clone(log)));
}

/// The job this thread works for.
pub(crate) fn current() -> Option<JobId> {
    JOB.with_borrow(|job| job.as_ref().map(|log| log.id))
}

/// Where the log of a job lies.
pub(crate) fn path(folder: &Path, id: JobId) -> PathBuf {
    folder.join(format!("job-{id}.log"))
}

/// The log file of one job.
#[derive(Debug)]
pub(crate) struct JobLog {
    id: JobId,
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
}

impl JobLog {
    pub(crate) fn new(folder: &Path, id: JobId) -> Arc<JobLog> {
        Arc::new(JobLog { id, path: path(folder, id), open: Mutex::default() })
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut file, size) = match open.take() {
            Some((_, size)) if size >= LOG_BYTES_MAX => {
                std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
                (self.file()?, 0)
            }
            Some(open) => open,
            None => {
                let file = self.file()?;
                let size = file.metadata()?.len();
                (file, size)
            }
        };
        file.write_all(line)?;
        *open = Some((file, size + line.len() as u64));
        Ok(())
    }

    fn file(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)
    }
}

/// Writes what the threads of a job log to the job's file, and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ToJobLog;

/// One line on its way.
#[derive(Debug)]
pub(crate) struct Line(Option<Arc<JobLog>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(log) = &self.0 {
            // A full disk must not end the job; the service's own log has the line as well.
            let _ = log.write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ToJobLog {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(JOB.with_borrow(Clone::clone))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_log_is_turned_over_at_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let log = JobLog::new(folder.path(), JobId(7));
        let line = vec![b'x'; 1 << 20];
        for _ in 0..15 {
            log.write(&line).unwrap();
        }
        log.write(b"last\n").unwrap();
        let now = std::fs::read(folder.path().join("job-7.log")).unwrap();
        let before = std::fs::metadata(folder.path().join("job-7.log.1")).unwrap();
        assert_eq!(before.len(), LOG_BYTES_MAX);
        assert!(now.ends_with(b"last\n"));
        assert_eq!(now.len(), 5 * line.len() + 5);
    }

    #[test]
    fn only_threads_of_a_job_write_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = JobLog::new(folder.path(), JobId(8));
        ToJobLog.make_writer().write_all(b"nobody's\n").unwrap();
        let inside = Arc::clone(&log);
        let writer = std::thread::spawn(move || {
            enter(&inside);
            ToJobLog.make_writer().write_all(b"the job's\n").unwrap();
        });
        writer.join().unwrap();
        assert_eq!(std::fs::read(folder.path().join("job-8.log")).unwrap(), b"the job's\n");
    }
}
