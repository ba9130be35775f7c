//! Reading the logs of jobs, by bytes or by lines from the end.
//!
//! A path is made of a job's number and nothing else, so there is nothing to climb out of the folder with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use culvert_api::{Error, ErrorKind};
use culvert_config::mask_secrets;
use serde::Serialize;
use utoipa::ToSchema;

use crate::daemon::jobs::Jobs;
use crate::daemon::log;
use crate::daemon::model::JobId;
use crate::http::broken;

/// Most of a log that one answer holds.
pub(crate) const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// A part of a job's log.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LogChunk {
    /// Where the part begins, in bytes.
    pub(crate) offset: u64,
    /// Where the next part begins.
    pub(crate) next_offset: u64,
    /// The length of the log now. One that is shorter than `offset` was turned over: begin at 0.
    pub(crate) size: u64,
    /// The lines. Bytes that are no UTF-8 are replaced, secrets masked.
    pub(crate) text: String,
}

/// Which part.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// From this byte on.
    From(u64),
    /// The last lines.
    Last(usize),
}

/// One of the two files of a job's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogName {
    pub(crate) job: JobId,
    /// What was before the log was turned over.
    pub(crate) earlier: bool,
}

impl LogName {
    /// The name of the file.
    pub(crate) fn text(self) -> String {
        format!("job-{}.log{}", self.job, if self.earlier { ".1" } else { "" })
    }

    /// Takes the name of a file apart; `None` for every other one.
    pub(crate) fn parse(text: &str) -> Option<LogName> {
        let rest = text.strip_prefix("job-")?;
        let (number, earlier) = match rest.strip_suffix(".log.1") {
            Some(number) => (number, true),
            None => (rest.strip_suffix(".log")?, false),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) || number.starts_with('0') {
            return None;
        }
        Some(LogName { job: number.parse().ok()?, earlier })
    }

    fn path(self, jobs: &Jobs) -> PathBuf {
        let path = log::path(&jobs.logs(), self.job);
        if self.earlier { path.with_extension("log.1") } else { path }
    }
}

/// Reads a part; `None` where the job has written nothing yet.
pub(crate) async fn read(
    jobs: &Jobs,
    name: LogName,
    part: Part,
    limit: u64,
) -> Result<Option<LogChunk>, Error> {
    let path = name.path(jobs);
    let found = tokio::task::spawn_blocking(move || match File::open(path) {
        Ok(file) => chunk(file, part, limit.min(CHUNK_BYTES_MAX)).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    });
    found
        .await
        .map_err(broken)?
        .map_err(|error| Error::new(ErrorKind::Unavailable, "the job's log cannot be read").caused_by(error))
}

fn chunk(mut file: File, part: Part, limit: u64) -> io::Result<LogChunk> {
    let size = file.metadata()?.len();
    let offset = match part {
        Part::From(offset) if offset > size => 0,
        Part::From(offset) => offset,
        Part::Last(_) => size.saturating_sub(limit),
    };
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    let mut from = 0;
    if let Part::Last(lines) = part {
        from = last_lines(&bytes, lines);
    } else if bytes.len() as u64 == limit {
        // A whole line where there is one, so that none is torn, and no character.
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            bytes.truncate(end + 1);
        }
    }
    let next_offset = offset + bytes.len() as u64;
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default());
    Ok(LogChunk { offset: offset + from as u64, next_offset, size, text: mask_secrets(&text) })
}

/// Where the last `lines` begin.
fn last_lines(bytes: &[u8], lines: usize) -> usize {
    let mut ends = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(place, _)| place);
    // The last line has its end behind it.
    ends.nth(lines).map_or(0, |place| place + 1)
}

/// The logs that are there, by job.
pub(crate) async fn names(jobs: &Jobs) -> Result<Vec<LogName>, Error> {
    let folder = jobs.logs();
    let listed = tokio::task::spawn_blocking(move || -> io::Result<Vec<LogName>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            names.extend(entry?.file_name().to_str().and_then(LogName::parse));
        }
        names.sort_by_key(|name| (name.job, name.earlier));
        Ok(names)
    });
    listed.await.map_err(broken)?.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "the folder of logs cannot be read").caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(text: &str, part: Part, limit: u64) -> LogChunk {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, text).unwrap();
        chunk(File::open(path).unwrap(), part, limit).unwrap()
    }

    #[test]
    fn names_that_are_no_logs_are_none() {
        assert_eq!(LogName::parse("job-7.log"), Some(LogName { job: JobId(7), earlier: false }));
        assert_eq!(LogName::parse("job-7.log.1"), Some(LogName { job: JobId(7), earlier: true }));
        for other in [
            "job-.log",
            "job-07.log",
            "job-+7.log",
            "job-7.log.2",
            "../job-7.log",
            "job-7/../x.log",
            "job-99999999999999999999.log",
            "",
        ] {
            assert_eq!(LogName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn parts_end_with_lines_and_go_on_where_they_ended() {
        let text = "one\ntwo\nthree\n";
        let first = of(text, Part::From(0), 9);
        assert_eq!((first.text.as_str(), first.next_offset, first.size), ("one\ntwo\n", 8, 14));
        assert_eq!(of(text, Part::From(8), 100).text, "three\n");
        assert_eq!(of(text, Part::From(14), 100).text, "");
        assert_eq!(of(text, Part::From(15), 100).offset, 0, "it was turned over");
        assert_eq!(of(text, Part::From(0), 2).text, "on", "a line that is longer than the limit is torn");
        let last = of(text, Part::Last(2), 100);
        assert_eq!((last.text.as_str(), last.offset, last.next_offset), ("two\nthree\n", 4, 14));
        assert_eq!(of(text, Part::Last(9), 100).text, text);
        assert_eq!(of(text, Part::Last(0), 100).text, "");
        assert_eq!(of("password = \"abc\"\n", Part::From(0), 100).text, "password = ******\n");
    }
}
