//! The audit log: every change that was asked for, and what came of it.
//!
//! `DATA/audit.log` holds one JSON object per line. A change has two lines, `asked` before it is carried out
//! and `done` with the status behind it; one that was not admitted has `refused` alone. What
//! cannot be written down is not carried out. The file is turned over at a size: `audit.log.1` to `.4` are what
//! was before. No body and no query is in it: a job file holds passwords.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};
use culvert_api::{Error, ErrorKind};
use serde_json::json;

/// Size at which the log is turned over.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files of earlier entries.
const KEPT: u32 = 4;
/// Longest path that is written down.
const PATH_CHARS_MAX: usize = 256;

/// What is written down about a request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: String,
    pub(crate) role: &'static str,
    pub(crate) peer: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) job: Option<String>,
}

/// The log.
#[derive(Clone)]
pub(crate) struct Audit(Arc<Mutex<Log>>);

struct Log {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Audit {
    /// Opens the log at its end.
    pub(crate) fn open(path: &Path) -> Result<Audit, Error> {
        let opened = || {
            let file = append(path)?;
            let size = file.metadata()?.len();
            Ok(Log { path: path.to_owned(), file, size })
        };
        let log = opened().map_err(|error: io::Error| {
            Error::new(ErrorKind::Permission, "the audit log cannot be opened")
                .context("file", path.display())
                .caused_by(error)
        })?;
        Ok(Audit(Arc::new(Mutex::new(log))))
    }

    /// Writes a line; it is with the system when this returns.
    pub(crate) async fn write(
        &self,
        event: &'static str,
        asked: &Asked,
        status: Option<u16>,
    ) -> io::Result<()> {
        let path: String = asked.path.chars().take(PATH_CHARS_MAX).collect();
        let line = json!({
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "event": event,
            "who": asked.name,
            "role": asked.role,
            "peer": asked.peer,
            "method": asked.method,
            "path": path,
            "job": asked.job,
            "status": status,
        });
        let log = Arc::clone(&self.0);
        let written = tokio::task::spawn_blocking(move || {
            log.lock().unwrap_or_else(PoisonError::into_inner).write(&format!("{line}\n"))
        });
        written.await.map_err(io::Error::other)?
    }
}

impl Log {
    fn write(&mut self, line: &str) -> io::Result<()> {
        if self.size >= FILE_BYTES_MAX {
            self.turn_over()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.size += line.len() as u64;
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let numbered = |number: u32| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..KEPT).rev() {
            match std::fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, numbered(1))?;
        self.file = append(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_line_is_an_object_and_a_full_file_is_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let asked = Asked {
            name: "admin".to_owned(),
            role: "admin",
            peer: "127.0.0.1:1".to_owned(),
            method: "POST".to_owned(),
            path: "/api/v1/jobs\n{\"event\"".to_owned() + &"x".repeat(1000),
            job: Some("7".to_owned()),
        };
        let audit = Audit::open(&path).unwrap();
        audit.write("asked", &asked, None).await.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["job"], "7");
        assert!(text.len() < 600, "{text}");
        drop(audit);
        for turn in 1..=5_u64 {
            File::options().write(true).open(&path).unwrap().set_len(FILE_BYTES_MAX).unwrap();
            Audit::open(&path).unwrap().write("done", &asked, Some(200)).await.unwrap();
            assert!(std::fs::metadata(&path).unwrap().len() < 1000);
            let kept = std::fs::read_dir(folder.path()).unwrap().count() as u64;
            assert_eq!(kept, 1 + turn.min(u64::from(KEPT)));
        }
    }
}
