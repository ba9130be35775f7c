//! The server's process behind a connection, as another connection sees it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use culvert_api::Result;
use culvert_api::guard::Witness;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::endpoint::{Client, Endpoint, Session};
use crate::error::from_client;
use crate::quote::literal;

/// Events that a process waits for while nothing but a word of ours makes it go on, by their names in
/// all versions, in lower case ("Wait Events" in the manual). Of a sender of the log: it has sent what there
/// is, and answers when it is asked for a sign of life.
const WAITS_FOR_US: &str =
    "'clientread', 'clientwrite', 'walsendermain', 'walsenderwaitforwal', 'walsenderwritedata'";
/// How long a process that was told to end may take.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// Pause between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const DOING: &str = "looking at a connection of ours";

/// A process of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// When the server was started: tells servers behind one address apart.
    server: String,
    pid: u32,
    /// When the process was: numbers come again.
    started: String,
}

impl Backend {
    /// Asked on a connection, this gives the row for [`Backend::from_row`]. One statement, for a simple
    /// query, with the session settings of an [`Endpoint`].
    pub const WHO: &str = "SELECT pg_catalog.pg_postmaster_start_time()::text, pid, backend_start::text \
        FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()";

    /// From the answer to [`Backend::WHO`]; `None` for an answer in another form.
    pub fn from_row(row: &[Option<String>]) -> Option<Backend> {
        let [Some(server), Some(pid), Some(started)] = row else { return None };
        Some(Backend { server: server.clone(), pid: pid.parse().ok()?, started: started.clone() })
    }

    /// The condition under which a row of `pg_stat_activity` is about this process.
    fn is_meant(&self) -> String {
        format!(
            "pid OPERATOR(pg_catalog.=) {} AND backend_start::text OPERATOR(pg_catalog.=) {} \
             AND pg_catalog.pg_postmaster_start_time()::text OPERATOR(pg_catalog.=) {}",
            self.pid,
            literal(&self.started),
            literal(&self.server)
        )
    }

    /// Whether the process waits for us or is gone; `false` where another server answers.
    async fn expects_us(&self, client: &Client) -> Result<bool> {
        let statement = format!(
            "SELECT (pg_catalog.pg_postmaster_start_time()::text OPERATOR(pg_catalog.=) {}) AND NOT EXISTS (\
             SELECT FROM pg_catalog.pg_stat_activity WHERE {} \
             AND NOT coalesce(pg_catalog.lower(wait_event) IN ({WAITS_FOR_US}), false))",
            literal(&self.server),
            self.is_meant()
        );
        let row = first_row(client, &statement).await?;
        Ok(row.is_some_and(|row| row.get(0) == Some("t")))
    }

    /// Ends the process, where it is still there, and waits a little until it is gone: it would go on holding
    /// its locks, or its slot, when the connection to it broke without the server's having noticed.
    /// The right to do so comes with the role. Errors: as of any query.
    pub async fn end(&self, client: &Client) -> Result<()> {
        let meant = self.is_meant();
        let ending = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE {meant}"
        );
        if first_row(client, &ending).await?.is_none() {
            return Ok(());
        }
        tracing::info!(pid = self.pid, "ended what an earlier connection of this job had left at the server");
        let looking = format!("SELECT pid FROM pg_catalog.pg_stat_activity WHERE {meant}");
        let begun = Instant::now();
        while begun.elapsed() < ENDS_WITHIN && first_row(client, &looking).await?.is_some() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

async fn first_row(client: &Client, statement: &str) -> Result<Option<SimpleQueryRow>> {
    let answer = client.simple_query(statement).await.map_err(|error| from_client(error, DOING))?;
    Ok(answer.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }))
}

/// Looks at a process over a connection of its own, which is kept for the next look.
#[derive(Debug)]
pub struct BackendWitness {
    endpoint: Endpoint,
    backend: Backend,
    client: Mutex<Option<Client>>,
}

impl BackendWitness {
    /// Connects to nothing yet.
    pub fn new(endpoint: &Endpoint, backend: Backend) -> BackendWitness {
        // Nothing on the user's search path is to stand in for what is asked for.
        let endpoint = endpoint.clone().with_session(Session::Reader);
        BackendWitness { endpoint, backend, client: Mutex::new(None) }
    }

    /// The connection, away for as long as it is used: a look that is given up half-way spoils it.
    async fn client(&self) -> Result<Client> {
        let kept = self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept.filter(|client| !client.is_closed()) {
            Some(client) => Ok(client),
            None => self.endpoint.connect().await,
        }
    }

    fn keep(&self, client: Client) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client);
    }
}

#[async_trait]
impl Witness for BackendWitness {
    async fn expects_us(&self) -> Result<bool> {
        let client = self.client().await?;
        let expects_us = self.backend.expects_us(&client).await?;
        self.keep(client);
        Ok(expects_us)
    }

    async fn carry(&self, bytes: usize) -> Result<()> {
        let client = self.client().await?;
        first_row(&client, &format!("SELECT '{}'", "x".repeat(bytes))).await?;
        self.keep(client);
        Ok(())
    }
}
