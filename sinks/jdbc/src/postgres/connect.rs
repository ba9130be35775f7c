//! One connection to the target, and the transaction that is open on it.
//!
//! Writer and committer share one [`Session`]: the rows of a checkpoint, its marker and the COMMIT
//! belong to one transaction, and a transaction belongs to one connection. Any failure spoils the
//! session for good, because the server has given the open transaction up then; the engine starts over
//! from the last checkpoint with a new one. Only a lock that was waited for too long may be tried again
//! on the spot, from a savepoint, when the user asks for it (`max_retries`).

use std::pin::pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use culvert_api::failpoint::pass;
use culvert_api::guard::watched;
use culvert_api::{Error, ErrorKind, Result};
use culvert_postgres::{Backend, BackendWitness, Client, quote};
use futures_util::SinkExt;
use futures_util::future::join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error as ClientError, Row, SimpleQueryMessage, Statement};

use crate::postgres::error;
use crate::postgres::options::Settings;

/// A connection that was idle for so long is asked for a sign of life when the engine says that nothing
/// arrives.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(60);

/// Seconds that a statement waits for a lock before the attempt ends and starts over.
const LOCK_WAIT_SECS: u32 = 30;

/// Bytes of one message of COPY; rows may go over several. The server refuses one of a gigabyte.
const COPY_MESSAGE_BYTES: usize = 256 * 1024;

/// Bytes of a marker or of an answer of the catalog, as a rule: what a slow line is given time for.
const MARKER_BYTES: usize = 1024 * 1024;

/// The search path of our own, up to the end of the transaction: what is not the server's own is named
/// with its schema. Without the last word, temporary types would come first.
const OWN_PATH: &str = "SET LOCAL search_path = pg_catalog, pg_temp";

/// The same outside of a transaction.
const OWN_PATH_FOR_SESSION: &str = "SET SESSION search_path = pg_catalog, pg_temp";

/// Savepoint before the statements of a flush.
const SAVEPOINT: &str = "culvert_flush";

/// What the target server is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Server {
    /// `server_version_num`: 150004 is 15.4.
    pub(crate) version: u32,
}

impl Server {
    /// Whether `INSERT … ON CONFLICT` is understood. Products that stem from an older PostgreSQL say
    /// so by the version they report.
    pub(crate) fn has_on_conflict(self) -> bool {
        self.version >= 90_500
    }

    /// Whether columns can be identities.
    pub(crate) fn has_identity(self) -> bool {
        self.version >= 100_000
    }

    /// Whether indexes can have columns that are no part of the key.
    pub(crate) fn has_included_columns(self) -> bool {
        self.version >= 110_000
    }

    /// Whether the right to set a parameter can be granted.
    pub(crate) fn has_grants_on_parameters(self) -> bool {
        self.version >= 150_000
    }

    /// Whether there are generated columns, and collations that hold different texts for equal.
    pub(crate) fn has_generated_columns(self) -> bool {
        self.version >= 120_000
    }
}

/// What is open on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No transaction.
    Clean,
    /// A transaction, with or without rows.
    Open,
    /// Rows and the marker of this checkpoint are staged.
    Prepared(u64),
    /// A call failed or was given up half-way.
    Spoiled,
}

/// One connection to the target.
pub(crate) struct Session {
    client: Client,
    backend: Option<Backend>,
    /// Tells whether a call that takes long is being worked on.
    witness: Option<BackendWitness>,
    /// What the server is.
    pub(crate) server: Server,
    stage: Stage,
    committed: u64,
    used: Instant,
    lock_retries: u32,
    staging_tables: u32,
    roll_backs: u32,
    /// The user's search path, as the server keeps it.
    user_path: String,
}

impl Session {
    /// Connects and sets the session up.
    pub(crate) async fn open(settings: &Settings) -> Result<Session> {
        let client = settings.endpoint.connect().await?;
        let mut session = Session {
            client,
            backend: None,
            witness: None,
            server: Server::default(),
            stage: Stage::Clean,
            committed: 0,
            used: Instant::now(),
            lock_retries: settings.shared.max_retries,
            staging_tables: 0,
            roll_backs: 0,
            user_path: String::new(),
        };
        let (address, limit) = (settings.endpoint.address(), settings.endpoint.connect_timeout);
        tokio::time::timeout(limit, session.set_up(settings)).await.map_err(|_| {
            Error::new(ErrorKind::Connection, format!("no answer from {address} within {limit:?}"))
        })??;
        Ok(session)
    }

    /// Has the server end an earlier session. Where that fails its locks are waited for.
    pub(crate) async fn end_earlier(&self, earlier: &Backend) {
        if let Err(failure) = earlier.end(&self.client).await {
            tracing::debug!(%failure, "an earlier session could not be looked for");
        }
    }

    /// The server's process behind the session, where it can be told.
    pub(crate) fn backend(&self) -> Option<Backend> {
        self.backend.clone()
    }

    /// Runs a call that sends so many bytes, for as long as the server works on it.
    async fn watch<T>(&self, bytes: usize, call: impl Future<Output = T>) -> Result<T> {
        watched(call, bytes, self.witness.as_ref()).await
    }

    async fn set_up(&mut self, settings: &Settings) -> Result<()> {
        let facts = self
            .texts(
                "SELECT pg_catalog.current_setting('server_version_num'), \
                 pg_catalog.current_setting('synchronous_commit')",
                "reading the target server's version",
            )
            .await?;
        let fact = |place: usize| facts.get(place).cloned().flatten().unwrap_or_default();
        self.server = Server { version: fact(0).parse().unwrap_or_default() };
        let mut statements = vec![
            format!("SET lock_timeout = '{LOCK_WAIT_SECS}s'"),
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED".to_string(),
        ];
        // A commit that a crash of the server undoes was none: the source would have forgotten the rows.
        if fact(1) == "off" {
            statements.push("SET synchronous_commit = on".into());
        }
        if !settings.search_path.is_empty() {
            let path = quote::identifiers(settings.search_path.iter().map(String::as_str));
            statements.push(format!("SET search_path = {path}"));
        }
        statements.push("SELECT pg_catalog.current_setting('search_path')".into());
        let path = self.texts(&statements.join("; "), "setting up the session").await?;
        self.user_path = path.into_iter().next().flatten().unwrap_or_default();
        // What is no PostgreSQL may not know the view: then nobody is asked.
        if let Ok(answer) = self.client.simple_query(Backend::WHO).await {
            self.backend = answer.iter().find_map(first_row).and_then(|row| Backend::from_row(&row));
            let backend = self.backend.clone();
            self.witness = backend.map(|backend| BackendWitness::new(&settings.endpoint, backend));
        }
        if settings.ignores_foreign_keys {
            self.become_replica(settings).await?;
        }
        Ok(())
    }

    /// Foreign keys do nothing in the session of a replica.
    async fn become_replica(&mut self, settings: &Settings) -> Result<()> {
        let doing = "setting session_replication_role";
        match self.attempt("SET session_replication_role = replica", doing).await?.as_deref() {
            None => Ok(()),
            Some(error::PERMISSION) => {
                let message =
                    "foreign_keys = \"IGNORE\", and the sink's account may not set session_replication_role";
                let user = quote::identifier(&settings.endpoint.user);
                let hint = match self.server.has_grants_on_parameters() {
                    true => {
                        format!(
                            "run as a superuser: GRANT SET ON PARAMETER session_replication_role TO {user}"
                        )
                    }
                    false => {
                        "before PostgreSQL 15 only a superuser may: drop the foreign keys instead".into()
                    }
                };
                Err(Error::new(ErrorKind::Permission, message).hint(hint))
            }
            Some(code) => Err(Error::new(
                ErrorKind::Unsupported,
                format!("foreign_keys = \"IGNORE\", and the server refused while {doing}: error {code}"),
            )),
        }
    }

    /// Runs statements without row values outside of the checkpoint's transaction, or within it when
    /// it is open: DDL, SET.
    pub(crate) async fn plain(&mut self, statement: &str, doing: &str) -> Result<()> {
        let stage = self.enter()?;
        let done = self.watch(statement.len(), self.client.batch_execute(statement)).await?;
        self.leave(stage, done, doing)
    }

    /// Runs statements of ours that name types: DDL. See [`Session::rows`] about the path.
    pub(crate) async fn define(&mut self, statement: &str, doing: &str) -> Result<()> {
        self.plain(&self.on_own_path(statement), doing).await
    }

    /// Statements that are to be run as one, on the path of our own.
    pub(crate) fn on_own_path(&self, statements: &str) -> String {
        format!("{OWN_PATH}; {statements}; {}", self.path_back(true))
    }

    fn path_back(&self, is_local: bool) -> String {
        let path = quote::literal(&self.user_path);
        format!("SELECT pg_catalog.set_config('search_path', {path}, {is_local})")
    }

    /// Reads rows of the catalog, and of the marker. The user's search path does not hold meanwhile: a
    /// function, operator or type on it could stand in for the server's own, and would be called with the
    /// sink's rights. Rows are written on the user's path, because the target's triggers may count on it.
    pub(crate) async fn rows(
        &mut self,
        query: &str,
        params: &[&(dyn ToSql + Sync)],
        doing: &str,
    ) -> Result<Vec<Row>> {
        let stage = self.enter()?;
        let rows = async {
            let (statement, back) = self.prepare(stage, query).await?;
            // Sent behind each other at once.
            let (rows, back) =
                join(self.client.query(&statement, params), self.client.batch_execute(&back)).await;
            rows.and_then(|rows| back.map(|()| rows))
        };
        let rows = self.watch(MARKER_BYTES, rows).await?;
        self.leave(stage, rows, doing)
    }

    /// Prepares a statement on the path of our own; returns it, and what goes back to the user's.
    async fn prepare(&self, stage: Stage, query: &str) -> Result<(Statement, String), ClientError> {
        let is_local = stage != Stage::Clean;
        let path = if is_local { OWN_PATH } else { OWN_PATH_FOR_SESSION };
        let (set, statement) = join(self.client.batch_execute(path), self.client.prepare(query)).await;
        set?;
        Ok((statement?, self.path_back(is_local)))
    }

    /// The first row of a query without parameters, as texts; empty without a row.
    pub(crate) async fn texts(&mut self, query: &str, doing: &str) -> Result<Vec<Option<String>>> {
        let stage = self.enter()?;
        let answer = self.watch(query.len(), self.client.simple_query(query)).await?;
        let answer = self.leave(stage, answer, doing)?;
        Ok(answer.iter().find_map(first_row).unwrap_or_default())
    }

    /// Runs a statement that may fail without spoiling the session (nothing is staged then) and
    /// returns the server's code for the failure.
    pub(crate) async fn attempt(&mut self, statement: &str, doing: &str) -> Result<Option<String>> {
        let stage = self.enter()?;
        match self.watch(statement.len(), self.client.batch_execute(statement)).await? {
            Ok(()) => {
                self.stage = stage;
                Ok(None)
            }
            Err(cause) => match error::code(&cause) {
                Some(code) if stage == Stage::Clean => {
                    self.stage = stage;
                    Ok(Some(code))
                }
                _ => Err(error::convert(cause, doing)),
            },
        }
    }

    /// Which of these declarations of types the target knows.
    pub(crate) async fn known_types(&mut self, declarations: &[String]) -> Result<Vec<String>> {
        if declarations.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .rows(
                "SELECT declared FROM unnest($1::text[]) AS wanted(declared) WHERE to_regtype(declared) IS NOT NULL",
                &[&declarations],
                "asking for the target's types",
            )
            .await?;
        rows.iter().map(|row| field(row, 0)).collect()
    }

    /// Changes rows by a prepared statement (the marker's), inside the transaction of the current
    /// checkpoint, and returns how many. See [`Session::rows`] about the path.
    pub(crate) async fn change(
        &mut self,
        statement: &str,
        params: &[&(dyn ToSql + Sync)],
        doing: &str,
    ) -> Result<u64> {
        self.begin().await?;
        self.enter()?;
        let changing = async {
            let (statement, back) = self.prepare(Stage::Open, statement).await?;
            let (done, back) =
                join(self.client.execute(&statement, params), self.client.batch_execute(&back)).await;
            done.and_then(|done| back.map(|()| done))
        };
        let done = self.watch(MARKER_BYTES, changing).await?;
        self.leave(Stage::Open, done, doing)
    }

    /// Makes sure that the transaction of the current checkpoint is open. Constraints that can wait
    /// for its end do.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        match self.stage {
            Stage::Clean => {
                self.enter()?;
                let beginning = self.client.batch_execute("BEGIN; SET CONSTRAINTS ALL DEFERRED");
                let done = self.watch(0, beginning).await?;
                self.leave(Stage::Open, done, "beginning a transaction")
            }
            Stage::Open => Ok(()),
            Stage::Prepared(_) => {
                let message = "rows came between the preparation of a commit and the commit";
                Err(Error::new(ErrorKind::Internal, message))
            }
            Stage::Spoiled => self.enter().map(drop),
        }
    }

    /// Sends rows by COPY inside the transaction of the current checkpoint.
    pub(crate) async fn copy(&mut self, statement: &str, rows: Bytes, table: &str) -> Result<()> {
        self.begin().await?;
        self.enter()?;
        let sent = self.watch(rows.len(), self.send_copy(statement, rows)).await?;
        self.leave(Stage::Open, sent, &format!("writing to {table}"))
            .map_err(|failure| failure.context("table", table))
    }

    async fn send_copy(&self, statement: &str, mut rows: Bytes) -> Result<(), ClientError> {
        let mut copy = pin!(self.client.copy_in::<_, Bytes>(statement).await?);
        while !rows.is_empty() {
            copy.send(rows.split_to(rows.len().min(COPY_MESSAGE_BYTES))).await?;
        }
        copy.finish().await.map(drop)
    }

    /// Runs statements over staged rows, inside the transaction of the current checkpoint, in one
    /// round trip. The first row of each query among them comes back as texts.
    pub(crate) async fn merge(&mut self, statements: &str, table: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.begin().await?;
        let doing = format!("writing to {table}");
        let mut retries = self.lock_retries;
        let guarded =
            (retries > 0).then(|| format!("SAVEPOINT {SAVEPOINT};\n{statements};\nRELEASE {SAVEPOINT}"));
        let statements = guarded.as_deref().unwrap_or(statements);
        loop {
            self.enter()?;
            let done = self.watch(statements.len(), self.client.simple_query(statements)).await?;
            let waited = done.as_ref().err().and_then(error::code);
            let again = matches!(waited.as_deref(), Some(error::LOCK_TIMEOUT | error::DEADLOCK));
            if again && retries > 0 {
                retries -= 1;
                let back = format!("ROLLBACK TO {SAVEPOINT}; RELEASE {SAVEPOINT}");
                let back = self.watch(0, self.client.batch_execute(&back)).await?;
                self.leave(Stage::Open, back, &doing)?;
                continue;
            }
            let answer =
                self.leave(Stage::Open, done, &doing).map_err(|failure| failure.context("table", table))?;
            return Ok(answer.iter().filter_map(first_row).collect());
        }
    }

    /// A name for a staging table that this session has not used.
    pub(crate) fn next_staging_table(&mut self) -> String {
        self.staging_tables += 1;
        format!("culvert_stage_{}", self.staging_tables)
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
        self.end("COMMIT", "committing").await?;
        pass("jdbc.commit.after")?;
        self.committed = checkpoint;
        Ok(true)
    }

    /// Ends the transaction, if one is open.
    pub(crate) async fn end(&mut self, statement: &str, doing: &str) -> Result<()> {
        if self.stage == Stage::Clean {
            return Ok(());
        }
        self.enter()?;
        let done = self.watch(0, self.client.batch_execute(statement)).await?;
        self.leave(Stage::Clean, done, doing)
    }

    /// Drops what is staged; a broken connection has dropped it already.
    pub(crate) async fn roll_back(&mut self) -> Result<()> {
        if self.stage == Stage::Spoiled {
            return Ok(());
        }
        self.roll_backs += 1;
        self.end("ROLLBACK", "rolling back").await
    }

    /// How often a transaction was rolled back, and with it the staging tables made in it.
    pub(crate) fn roll_backs(&self) -> u32 {
        self.roll_backs
    }

    /// Gives the session up: what is staged is wrong and must never be committed.
    pub(crate) fn spoil(&mut self) {
        self.stage = Stage::Spoiled;
    }

    /// Whether nothing is staged.
    pub(crate) fn is_clean(&self) -> bool {
        self.stage == Stage::Clean
    }

    /// Keeps an idle connection alive, and finds out whether it is.
    pub(crate) async fn keep_alive(&mut self) -> Result<()> {
        if self.used.elapsed() < IDLE_BEFORE_PING && self.stage != Stage::Spoiled {
            return Ok(());
        }
        self.plain("", "reaching the target server").await
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

    fn leave<T>(&mut self, stage: Stage, result: Result<T, ClientError>, doing: &str) -> Result<T> {
        let value = result.map_err(|cause| error::convert(cause, doing))?;
        self.stage = stage;
        Ok(value)
    }
}

/// A field of a catalog query.
pub(crate) fn field<'a, T: tokio_postgres::types::FromSql<'a>>(row: &'a Row, place: usize) -> Result<T> {
    row.try_get(place).map_err(|cause| {
        Error::new(ErrorKind::Internal, "the target server's catalog answers in another form")
            .caused_by(cause)
    })
}

fn first_row(message: &SimpleQueryMessage) -> Option<Vec<Option<String>>> {
    match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|place| row.get(place).map(str::to_string)).collect())
        }
        _ => None,
    }
}
