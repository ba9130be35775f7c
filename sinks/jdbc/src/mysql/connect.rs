//! One connection to the target, and the transaction that is open on it.
//!
//! Writer and committer share one [`Session`]: the rows of a checkpoint, its marker and the COMMIT
//! belong to one transaction, and a transaction belongs to one connection. Any failure spoils the
//! session for good, because nobody can tell then what the open transaction still holds (a
//! deadlock rolls all of it back, a lock wait only its last statement); the engine starts over from
//! the last checkpoint with a new one.

use std::time::{Duration, Instant};

use culvert_api::failpoint::pass;
use culvert_api::guard::{connecting, watched};
use culvert_api::{Error, ErrorKind, Result};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Params};
use tokio::time::timeout;

use crate::mysql::error::{self, Statement};
use crate::mysql::options::Settings;
use crate::mysql::quote;
use crate::mysql::tls;
use crate::mysql::witness::{Thread, ThreadWitness};

/// A connection that was idle for so long is pinged when the engine says that nothing arrives.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(60);

/// Seconds after which the server drops a connection that says nothing, and with it the locks of a
/// process that vanished without closing it. Pings come far more often.
const WAIT_TIMEOUT_SECS: u32 = 3_600;

/// Seconds that a statement waits for a row lock before the attempt ends and starts over.
const LOCK_WAIT_SECS: u32 = 30;

/// How long the end of a connection may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Bytes of a marker or of an answer of the catalog, as a rule: what a slow line is given time for.
const MARKER_BYTES: usize = 1024 * 1024;

/// Statements never grow past this, whatever the server would take.
const STATEMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the target server is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// MariaDB or MySQL.
    pub(crate) mariadb: bool,
    /// Its version.
    pub(crate) version: (u16, u16, u16),
    /// Bytes that one statement may have.
    pub(crate) statement_bytes: usize,
    /// Whether a lock wait rolls back the whole transaction and not only its last statement.
    pub(crate) rollback_on_timeout: bool,
}

impl Server {
    /// A collation that tells any two different texts apart.
    pub(crate) fn exact_collation(&self) -> &'static str {
        match self.mariadb {
            true => "utf8mb4_nopad_bin",
            false if self.version >= (8, 0, 17) => "utf8mb4_0900_bin",
            false => "utf8mb4_bin",
        }
    }

    /// Whether `VALUES (…) AS name ON DUPLICATE KEY UPDATE c = name.c` is understood; the older
    /// `VALUES(c)` gives a warning per statement there.
    pub(crate) fn has_row_alias(&self) -> bool {
        !self.mariadb && self.version >= (8, 0, 19)
    }
}

/// What is open on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No row is staged.
    Clean,
    /// Rows are staged.
    Open,
    /// Rows and the marker of this checkpoint are staged.
    Prepared(u64),
    /// A call failed or was given up half-way.
    Spoiled,
}

/// One connection to the target.
pub(crate) struct Session {
    conn: Conn,
    thread: Option<Thread>,
    /// Tells whether a call that takes long is being worked on.
    witness: Option<ThreadWitness>,
    /// What the server is.
    pub(crate) server: Server,
    stage: Stage,
    committed: u64,
    used: Instant,
    lock_retries: u32,
    rows_matched: u64,
}

impl Session {
    /// Connects and sets the session up.
    pub(crate) async fn open(settings: &Settings) -> Result<Session> {
        tls::require_file(settings.certificate_file.as_deref())?;
        let limit = settings.shared.connect_timeout;
        let opened = connecting(limit, || Session::try_open(settings)).await.unwrap_or_else(|| {
            let message = format!("the target server did not answer within {} s", limit.as_secs());
            Err(Error::new(ErrorKind::Unavailable, message))
        });
        opened.map_err(|failure| failure.context("address", format!("{}:{}", settings.host, settings.port)))
    }

    async fn try_open(settings: &Settings) -> Result<Session> {
        let conn = Conn::new(driver_options(settings))
            .await
            .map_err(|cause| error::convert(cause, Statement::Plain, "connect to the target server"))?;
        let mut session = Session {
            conn,
            thread: None,
            witness: None,
            server: Server::default(),
            stage: Stage::Clean,
            committed: 0,
            used: Instant::now(),
            lock_retries: settings.shared.max_retries,
            rows_matched: 0,
        };
        session.set_up(settings).await?;
        Ok(session)
    }

    /// The server's thread behind the session, where it can be told.
    pub(crate) fn thread(&self) -> Option<Thread> {
        self.thread.clone()
    }

    /// Has the server end an earlier session. Where it refuses its locks are waited for.
    pub(crate) async fn end_earlier(&mut self, earlier: &Thread) -> Result<()> {
        let stage = self.enter()?;
        let done = watched(earlier.end(&mut self.conn), 0, self.witness.as_ref()).await?;
        if let Err(cause) = done {
            if error::code(&cause).is_none() {
                return Err(error::convert(cause, Statement::Plain, "look for an earlier session"));
            }
            tracing::debug!(%cause, "an earlier session could not be ended");
        }
        self.stage = stage;
        Ok(())
    }

    async fn set_up(&mut self, settings: &Settings) -> Result<()> {
        let facts: Option<(String, u64, i64, Option<String>, i64)> = self
            .first(
                "SELECT VERSION(), @@max_allowed_packet, @@innodb_rollback_on_timeout, \
                 @@session.binlog_format, @@global.log_bin",
                "read the target server's version",
            )
            .await?;
        let (version, packet, rollback, format, log) = facts.unwrap_or_default();
        let half_packet = usize::try_from(packet / 2).unwrap_or(STATEMENT_BYTES_MAX);
        self.server = Server {
            mariadb: version.to_ascii_lowercase().contains("mariadb"),
            version: parse_version(&version),
            statement_bytes: half_packet.min(STATEMENT_BYTES_MAX),
            rollback_on_timeout: rollback != 0,
        };
        let doing = "look at the session";
        self.thread = Thread::of(&mut self.conn)
            .await
            .map_err(|cause| error::convert(cause, Statement::Plain, doing))?;
        let thread = self.thread.clone();
        self.witness = thread.map(|thread| ThreadWitness::new(driver_options(settings), thread));
        // A statement-based binlog on the target refuses changes under READ COMMITTED.
        let by_statement = log != 0 && format.as_deref() == Some("STATEMENT");
        let isolation = if by_statement { "REPEATABLE READ" } else { "READ COMMITTED" };
        // Strict, or values would be cut silently; a zero stays a zero in an AUTO_INCREMENT column;
        // zero parts of dates pass, as the source had them. foreign_key_checks: rows of one
        // checkpoint arrive per table, so a child can come before its parent; the source has
        // checked them, and the whole checkpoint is committed at once.
        let statements = [
            "SET NAMES utf8mb4".to_string(),
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'".into(),
            format!(
                "SET SESSION time_zone = '+00:00', foreign_key_checks = 0, \
                 innodb_lock_wait_timeout = {LOCK_WAIT_SECS}, wait_timeout = {WAIT_TIMEOUT_SECS}"
            ),
            format!("SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"),
            "SET SESSION autocommit = 0".into(),
        ];
        for statement in statements {
            self.plain(&statement, "set up the session").await?;
        }
        for (name, value) in &settings.session_variables {
            let statement = format!("SET SESSION {} = {}", quote::identifier(name), variable_literal(value));
            self.plain(&statement, "set a session variable of sessionVariables").await?;
        }
        Ok(())
    }

    /// Runs a statement without row values that changes no row: DDL, SET, marker reads.
    pub(crate) async fn plain(&mut self, statement: &str, doing: &str) -> Result<()> {
        let stage = self.enter()?;
        let done = watched(self.conn.query_drop(statement), statement.len(), self.witness.as_ref()).await?;
        self.leave(stage, done, Statement::Plain, doing)
    }

    /// Reads rows.
    pub(crate) async fn rows<T>(
        &mut self,
        query: &str,
        params: impl Into<Params> + Send,
        doing: &str,
    ) -> Result<Vec<T>>
    where
        T: FromRow + Send + 'static,
    {
        let stage = self.enter()?;
        let reading = self.conn.exec(query, params.into());
        let rows = watched(reading, MARKER_BYTES, self.witness.as_ref()).await?;
        self.leave(stage, rows, Statement::Plain, doing)
    }

    /// Reads the first row by a query without parameters.
    pub(crate) async fn first<T>(&mut self, query: &str, doing: &str) -> Result<Option<T>>
    where
        T: FromRow + Send + 'static,
    {
        let stage = self.enter()?;
        let row = watched(self.conn.query_first(query), MARKER_BYTES, self.witness.as_ref()).await?;
        self.leave(stage, row, Statement::Plain, doing)
    }

    /// Runs a statement that may fail without spoiling the session (nothing is staged then) and
    /// returns the server's number for the failure.
    pub(crate) async fn attempt(&mut self, statement: &str, doing: &str) -> Result<Option<u16>> {
        let stage = self.enter()?;
        let done = watched(self.conn.query_drop(statement), statement.len(), self.witness.as_ref()).await?;
        match done {
            Ok(()) => {
                self.stage = stage;
                Ok(None)
            }
            Err(cause) => match error::code(&cause) {
                Some(code) => {
                    self.stage = stage;
                    Ok(Some(code))
                }
                None => Err(error::convert(cause, Statement::Plain, doing)),
            },
        }
    }

    /// Changes rows by a prepared statement (the marker's) and returns how many matched.
    pub(crate) async fn change(
        &mut self,
        statement: &str,
        params: impl Into<Params> + Send,
        doing: &str,
    ) -> Result<u64> {
        self.enter()?;
        let changing = self.conn.exec_drop(statement, params.into());
        let done = watched(changing, MARKER_BYTES, self.witness.as_ref()).await?;
        self.leave(Stage::Open, done, Statement::Plain, doing)?;
        Ok(self.conn.affected_rows())
    }

    /// Runs a statement that carries rows, inside the transaction of the current checkpoint. With
    /// `tolerated`, that number of the server gives `false` instead of an error.
    pub(crate) async fn stage_rows(
        &mut self,
        statement: &[u8],
        table: &str,
        tolerated: Option<u16>,
    ) -> Result<bool> {
        let doing = format!("write to {table}");
        if matches!(self.stage, Stage::Prepared(_)) {
            let message = "rows came between the preparation of a commit and the commit";
            return Err(Error::new(ErrorKind::Internal, message).context("table", table));
        }
        self.enter()?;
        let mut retries = if self.server.rollback_on_timeout { 0 } else { self.lock_retries };
        loop {
            let writing = self.conn.query_drop(statement);
            let done = watched(writing, statement.len(), self.witness.as_ref()).await?;
            if let Err(cause) = &done {
                let code = error::code(cause);
                if tolerated.is_some() && code == tolerated {
                    self.stage = Stage::Open;
                    return Ok(false);
                }
                // Only the statement was rolled back, so repeating it is exact.
                if code == Some(error::LOCK_WAIT_TIMEOUT) && retries > 0 {
                    retries -= 1;
                    continue;
                }
            }
            let refused_null = done.as_ref().err().and_then(|cause| error::refused_null(cause, table));
            self.leave(Stage::Open, done, Statement::WithRows, &doing).map_err(|failure| {
                let failure = failure.context("table", table);
                match refused_null {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                }
            })?;
            self.rows_matched = self.conn.affected_rows();
            break;
        }
        self.refuse_changed_values(table).await?;
        Ok(true)
    }

    /// Rows that the last staged statement found, changed by it or not.
    pub(crate) fn rows_matched(&self) -> u64 {
        self.rows_matched
    }

    /// Even a strict server changes some values with no more than a note: a decimal loses digits, a
    /// text its trailing blanks. Such a note is a failure here.
    async fn refuse_changed_values(&mut self, table: &str) -> Result<()> {
        const TRUNCATED: [u16; 6] = [1264, 1265, 1292, 1300, 1366, 1406];
        if self.conn.get_warnings() == 0 {
            return Ok(());
        }
        let warnings: Vec<(String, u16, String)> = {
            let stage = self.enter()?;
            let read = watched(self.conn.query("SHOW WARNINGS"), 0, self.witness.as_ref()).await?;
            self.leave(stage, read, Statement::Plain, "read the server's warnings")?
        };
        for (level, code, text) in warnings {
            if TRUNCATED.contains(&code) {
                self.stage = Stage::Spoiled;
                let mut failure = Error::new(
                    ErrorKind::Value,
                    format!("the target changed a value while storing it ({} {code})", level.to_lowercase()),
                )
                .context("table", table);
                if let Some((what, name)) = error::named_in(&text) {
                    failure = failure.context(what, name);
                }
                return Err(failure.hint("make the target column as wide as the source's"));
            }
            tracing::debug!(table, code, "warning of the target server");
        }
        Ok(())
    }

    /// Says that the marker of a checkpoint is staged.
    pub(crate) fn prepared(&mut self, checkpoint: u64) {
        self.stage = Stage::Prepared(checkpoint);
    }

    /// Commits what is staged for a checkpoint. `Ok(false)`: nothing is staged for it.
    pub(crate) async fn commit(&mut self, checkpoint: u64) -> Result<bool> {
        if self.committed >= checkpoint && self.stage == Stage::Clean {
            return Ok(true);
        }
        if self.stage != Stage::Prepared(checkpoint) {
            return Ok(false);
        }
        pass("jdbc.commit.before")?;
        self.end("COMMIT", "commit").await?;
        pass("jdbc.commit.after")?;
        self.committed = checkpoint;
        Ok(true)
    }

    /// Ends a transaction that holds no rows.
    pub(crate) async fn end(&mut self, statement: &str, doing: &str) -> Result<()> {
        self.enter()?;
        let done = watched(self.conn.query_drop(statement), 0, self.witness.as_ref()).await?;
        self.leave(Stage::Clean, done, Statement::Plain, doing)
    }

    /// Drops what is staged; a broken connection has dropped it already.
    pub(crate) async fn roll_back(&mut self) -> Result<()> {
        if self.stage == Stage::Spoiled {
            return Ok(());
        }
        self.end("ROLLBACK", "roll back").await
    }

    /// Whether nothing is staged.
    pub(crate) fn is_clean(&self) -> bool {
        self.stage == Stage::Clean
    }

    /// Keeps an idle connection alive.
    pub(crate) async fn keep_alive(&mut self) -> Result<()> {
        if self.used.elapsed() < IDLE_BEFORE_PING || self.stage == Stage::Spoiled {
            return Ok(());
        }
        let stage = self.enter()?;
        let done = watched(self.conn.ping(), 0, self.witness.as_ref()).await?;
        self.leave(stage, done, Statement::Plain, "reach the target server")
    }

    /// Ends the connection; the server rolls back what was not committed.
    pub(crate) async fn close(self) {
        // Nothing depends on the farewell: the transaction ends with the connection.
        match timeout(FAREWELL_MAX, self.conn.disconnect()).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => tracing::debug!(%cause, "the target's connection did not end cleanly"),
            Err(_) => tracing::debug!("the target's connection took no farewell"),
        }
    }

    /// Marks the session spoiled for as long as a call runs: a call that is given up half-way, or
    /// fails, leaves it so.
    fn enter(&mut self) -> Result<Stage> {
        if self.stage == Stage::Spoiled {
            return Err(Error::new(ErrorKind::Connection, "the connection to the target failed earlier"));
        }
        self.used = Instant::now();
        Ok(std::mem::replace(&mut self.stage, Stage::Spoiled))
    }

    fn leave<T>(
        &mut self,
        stage: Stage,
        result: Result<T, mysql_async::Error>,
        statement: Statement,
        doing: &str,
    ) -> Result<T> {
        let value = result.map_err(|cause| error::convert(cause, statement, doing))?;
        self.stage = stage;
        Ok(value)
    }
}

fn driver_options(settings: &Settings) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.shared.user.clone()))
        .pass(Some(settings.shared.password.expose()))
        .db_name(settings.url_database.clone())
        .prefer_socket(Some(false))
        .tcp_keepalive(Some(Duration::from_secs(30)))
        // Matched rows, not changed ones: the fence counts them.
        .client_found_rows(true)
        .ssl_opts(settings.tls.clone())
        .into()
}

/// Numbers as they are, anything else as a text: the servers take `SET a = 'ON'`, not `SET n = '1'`.
fn variable_literal(value: &str) -> String {
    if value.parse::<f64>().is_ok_and(f64::is_finite) {
        return value.to_string();
    }
    let mut literal = Vec::new();
    quote::text(value.as_bytes(), &mut literal);
    String::from_utf8_lossy(&literal).into_owned()
}

/// `10.11.6-MariaDB-log` or `5.5.5-10.4.1-MariaDB` as three numbers.
fn parse_version(text: &str) -> (u16, u16, u16) {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u16>().unwrap_or_default())
        .chain(std::iter::repeat(0));
    let mut next = || numbers.next().unwrap_or_default();
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_variables_are_literals() {
        assert_eq!(variable_literal("60"), "60");
        assert_eq!(variable_literal("ON"), "'ON'");
        assert_eq!(variable_literal("1; drop table t"), "'1; drop table t'");
    }

    #[test]
    fn versions() {
        assert_eq!(parse_version("10.11.6-MariaDB-0+deb12u1"), (10, 11, 6));
        assert_eq!(parse_version("5.5.5-10.4.1-MariaDB"), (10, 4, 1));
        assert_eq!(parse_version("9.7.4"), (9, 7, 4));
    }
}
