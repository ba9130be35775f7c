//! Asks the server, now and then, how far its binlog goes beyond what was read and committed, and how near the file
//! to go on from is to being purged. For people who watch the job; nothing depends on it.
//!
//! A task of its own asks, on a connection of its own, so that the stream waits for nobody. A question that fails
//! leaves the figures absent until one does not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorKind, LogStanding, PurgeDistance, ReaderContext, Result, StandingTeller};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::connect::{Endpoint, Flavor, ServerInfo};
use crate::error::from_client;
use crate::gtid::{GtidPosition, GtidSet, MariaDbGtidSet};
use crate::position::{BinlogPosition, StreamPosition};

/// How often the server is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Files of which a commit time is remembered.
const FILES_MAX: usize = 1024;
const DOING: &str = "asking how far the binlog goes";

/// How far the reader is.
#[derive(Debug)]
struct Marks {
    /// Behind the last transaction that was read.
    read: BinlogPosition,
    /// What every sink has committed.
    committed: StreamPosition,
    /// The files that were read from that place's on, and the newest commit time in each, in seconds since 1970 by
    /// the server's clock: the file was written to then or later.
    files: VecDeque<(String, u32)>,
}

impl Marks {
    /// What is known of the file to go on from; 0 for nothing.
    fn written_s(&self) -> u32 {
        let file = &self.committed.binlog.file;
        self.files.iter().find(|(name, _)| name == file).map_or(0, |(_, at)| *at)
    }
}

/// Asks for as long as it is there.
#[derive(Debug)]
pub(crate) struct Probe {
    marks: Arc<Mutex<Marks>>,
    teller: Arc<StandingTeller>,
    task: JoinHandle<()>,
}

impl Probe {
    /// Begins to ask. `from` is where the stream begins, which every sink has committed.
    pub(crate) fn begin(
        endpoint: &Endpoint,
        server: &ServerInfo,
        context: &ReaderContext,
        from: &StreamPosition,
    ) -> Probe {
        let marks = Arc::new(Mutex::new(Marks {
            read: from.binlog.clone(),
            committed: from.clone(),
            files: VecDeque::new(),
        }));
        let teller = Arc::new(StandingTeller::begin(&context.progress, &context.source));
        let asker = Asker {
            endpoint: endpoint.clone(),
            server: server.clone(),
            marks: Arc::clone(&marks),
            teller: Arc::clone(&teller),
        };
        Probe { marks, teller, task: tokio::spawn(asker.run()) }
    }

    /// The reader is behind this place; `timestamp` is its transaction's, 0 where none ended there.
    pub(crate) fn read(&self, position: &BinlogPosition, timestamp: u32) {
        let mut marks = lock(&self.marks);
        marks.read.clone_from(position);
        if timestamp == 0 {
            return;
        }
        match marks.files.back_mut() {
            Some((file, at)) if *file == position.file => *at = timestamp,
            _ => {
                if marks.files.len() == FILES_MAX {
                    // Not the oldest: what it tells is asked for.
                    marks.files.pop_back();
                }
                marks.files.push_back((position.file.clone(), timestamp));
            }
        }
    }

    /// Every sink has committed everything before this place.
    pub(crate) fn committed(&self, position: StreamPosition) {
        let mut marks = lock(&self.marks);
        while marks.files.front().is_some_and(|(file, _)| *file != position.binlog.file)
            && marks.files.iter().any(|(file, _)| *file == position.binlog.file)
        {
            marks.files.pop_front();
        }
        marks.committed = position;
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.task.abort();
        self.teller.end();
    }
}

fn lock(marks: &Mutex<Marks>) -> MutexGuard<'_, Marks> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Asker {
    endpoint: Endpoint,
    server: ServerInfo,
    marks: Arc<Mutex<Marks>>,
    teller: Arc<StandingTeller>,
}

impl Asker {
    async fn run(self) {
        let mut conn = None;
        let mut ticks = tokio::time::interval(ASK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let begun = Instant::now();
            let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(conn.take())).await;
            let (back, standing) = match asked {
                Ok(Ok((conn, standing))) => (Some(conn), Some(standing)),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the server did not say how far its binlog goes");
                    (None, None)
                }
                Err(_) => {
                    tracing::debug!(after = ?begun.elapsed(), "no answer to how far the binlog goes");
                    (None, None)
                }
            };
            conn = back;
            self.teller.tell(standing);
        }
    }

    async fn ask(&self, conn: Option<Conn>) -> Result<(Conn, LogStanding)> {
        let mut conn = match conn {
            Some(conn) => conn,
            None => self.endpoint.connect().await?,
        };
        // In this order: what is committed meanwhile makes the figures too large, never too small.
        let (read, committed, written_s) = {
            let marks = lock(&self.marks);
            (marks.read.clone(), marks.committed.clone(), marks.written_s())
        };
        let log = Files::read(&mut conn).await?;
        let executed = executed(&mut conn, &self.server).await?;
        let rules = Rules::read(&mut conn).await?;
        let standing = LogStanding {
            lag_bytes: log.bytes_behind(&committed.binlog),
            unread_bytes: log.bytes_behind(&read),
            lag_transactions: executed.as_ref().zip(committed.gtid.as_ref()).and_then(beyond),
            lag_messages: None,
            slot: None,
            purge: log.distance(&committed.binlog, written_s, &rules),
        };
        Ok((conn, standing))
    }
}

/// The transactions that the server has, where they have GTIDs.
async fn executed(conn: &mut Conn, server: &ServerInfo) -> Result<Option<GtidPosition>> {
    let variable = match server.flavor {
        Flavor::MariaDb => "gtid_binlog_pos",
        Flavor::MySql if server.gtid => "gtid_executed",
        Flavor::MySql => return Ok(None),
    };
    let found: Option<Option<Vec<u8>>> = conn
        .query_first(format!("SELECT @@GLOBAL.{variable}"))
        .await
        .map_err(|error| from_client(error, DOING))?;
    let text = String::from_utf8_lossy(&found.flatten().unwrap_or_default()).into_owned();
    Ok(Some(match server.flavor {
        Flavor::MariaDb => GtidPosition::MariaDb(text.parse::<MariaDbGtidSet>()?),
        Flavor::MySql => GtidPosition::MySql(text.parse::<GtidSet>()?),
    }))
}

/// How many transactions the first has and the second lacks.
fn beyond((executed, committed): (&GtidPosition, &GtidPosition)) -> Option<u64> {
    match (executed, committed) {
        (GtidPosition::MySql(executed), GtidPosition::MySql(committed)) => {
            Some(executed.count_beyond(committed))
        }
        (GtidPosition::MariaDb(executed), GtidPosition::MariaDb(committed)) => {
            Some(executed.count_beyond(committed))
        }
        _ => None,
    }
}

/// The files of the binlog, the oldest first, each with its bytes.
struct Files(Vec<(String, u64)>);

impl Files {
    async fn read(conn: &mut Conn) -> Result<Files> {
        let rows: Vec<mysql_async::Row> =
            conn.query("SHOW BINARY LOGS").await.map_err(|error| from_client(error, DOING))?;
        let files = rows.into_iter().map(|mut row| {
            let name: Option<Vec<u8>> = row.take_opt(0).and_then(|value| value.ok());
            let bytes: Option<Vec<u8>> = row.take_opt(1).and_then(|value| value.ok());
            let name = String::from_utf8_lossy(&name?).into_owned();
            let bytes = String::from_utf8_lossy(&bytes?).parse().ok()?;
            Some((name, bytes))
        });
        let unfit = || Error::new(ErrorKind::Corrupt, "a binlog file without a size").context("doing", DOING);
        files.collect::<Option<Vec<_>>>().map(Files).ok_or_else(unfit)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(file, _)| file == name)
    }

    /// Bytes from a place to the end; `None` where its file is not there.
    fn bytes_behind(&self, place: &BinlogPosition) -> Option<u64> {
        let rest = self.0.get(self.find(&place.file)?..)?;
        let all: u64 = rest.iter().map(|(_, bytes)| bytes).sum();
        Some(all.saturating_sub(place.offset))
    }

    /// How far the file of a place is from being purged. The file was written to at `written_s` or
    /// later, as far as is known, and the server goes by the time it was last written to.
    fn distance(&self, place: &BinlogPosition, written_s: u32, rules: &Rules) -> Option<PurgeDistance> {
        if place.file.is_empty() {
            return None;
        }
        let Some(at) = self.find(&place.file) else {
            return Some(PurgeDistance { files: 0, bytes: 0, time: Some(Duration::ZERO) });
        };
        let older = self.0.get(..at)?;
        let is_newest = at + 1 == self.0.len();
        let time = rules.expire.and_then(|expire| match (is_newest, written_s) {
            // The server does not purge the file it writes to.
            (true, _) => Some(expire),
            (false, 0) => None,
            (false, at) => {
                let age = rules.now_s.saturating_sub(u64::from(at));
                Some(expire.saturating_sub(Duration::from_secs(age)))
            }
        });
        let bytes = older.iter().map(|(_, bytes)| bytes).sum();
        Some(PurgeDistance { files: older.len() as u64, bytes, time })
    }
}

/// When the server purges.
struct Rules {
    /// The age past which a file goes; `None`: none does by itself.
    expire: Option<Duration>,
    /// The server's clock.
    now_s: u64,
}

impl Rules {
    async fn read(conn: &mut Conn) -> Result<Rules> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = conn
            .query(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('binlog_expire_logs_seconds', 'expire_logs_days', \
                 'binlog_expire_logs_auto_purge')",
            )
            .await
            .map_err(|error| from_client(error, DOING))?;
        let now: Option<u64> =
            conn.query_first("SELECT UNIX_TIMESTAMP()").await.map_err(|error| from_client(error, DOING))?;
        let rules: Vec<(String, String)> = rows
            .into_iter()
            .map(|(name, value)| {
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_ascii_lowercase();
                (text(name), text(value))
            })
            .collect();
        Ok(Rules { expire: expire_of(&rules), now_s: now.unwrap_or(0) })
    }
}

/// The age past which files go: the older variable counts where the newer one is 0 or unknown.
fn expire_of(variables: &[(String, String)]) -> Option<Duration> {
    let find = |name: &str| variables.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if find("binlog_expire_logs_auto_purge") == Some("off") {
        return None;
    }
    let seconds: u64 = find("binlog_expire_logs_seconds").and_then(|text| text.parse().ok()).unwrap_or(0);
    let days: f64 = find("expire_logs_days").and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let age = match seconds {
        0 => Duration::try_from_secs_f64(days * 86_400.0).ok()?,
        seconds => Duration::from_secs(seconds),
    };
    (!age.is_zero()).then_some(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files(vec![("b.000007".into(), 1000), ("b.000008".into(), 500), ("b.000009".into(), 200)])
    }

    #[test]
    fn bytes_are_counted_over_files() {
        let behind = |file: &str, offset| files().bytes_behind(&BinlogPosition::new(file, offset));
        assert_eq!(behind("b.000009", 200), Some(0));
        assert_eq!(behind("b.000009", 150), Some(50));
        assert_eq!(behind("b.000007", 990), Some(710));
        // What was read of a file that the server had not finished telling of.
        assert_eq!(behind("b.000009", 300), Some(0));
        assert_eq!(behind("b.000006", 4), None);
        assert_eq!(behind("", 0), None);
    }

    #[test]
    fn a_file_is_as_far_from_being_purged_as_its_age_says() {
        let rules = Rules { expire: Some(Duration::from_secs(100)), now_s: 1_000 };
        let of = |file: &str, at| files().distance(&BinlogPosition::new(file, 4), at, &rules);
        let distance = |files, bytes, seconds: Option<u64>| {
            Some(PurgeDistance { files, bytes, time: seconds.map(Duration::from_secs) })
        };
        assert_eq!(of("b.000008", 970), distance(1, 1000, Some(70)));
        assert_eq!(of("b.000007", 800), distance(0, 0, Some(0)));
        assert_eq!(of("b.000008", 0), distance(1, 1000, None));
        assert_eq!(of("b.000009", 0), distance(2, 1500, Some(100)));
        assert_eq!(of("b.000001", 0), distance(0, 0, Some(0)));
        assert_eq!(of("", 0), None);
    }

    #[test]
    fn the_newer_variable_counts_before_the_older_one() {
        let of = |list: &[(&str, &str)]| {
            let list: Vec<_> = list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            expire_of(&list).map(|age| age.as_secs())
        };
        assert_eq!(of(&[("binlog_expire_logs_seconds", "3600"), ("expire_logs_days", "2")]), Some(3600));
        assert_eq!(
            of(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0.500000")]),
            Some(43_200)
        );
        assert_eq!(of(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "0")]), None);
        assert_eq!(
            of(&[("binlog_expire_logs_seconds", "9"), ("binlog_expire_logs_auto_purge", "off")]),
            None
        );
        assert_eq!(of(&[]), None);
    }
}
