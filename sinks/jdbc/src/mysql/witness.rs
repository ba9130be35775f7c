//! A connection as the server knows it, and as another connection sees it there.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use culvert_api::Result;
use culvert_api::guard::Witness;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use crate::mysql::error::{self, Statement};

const DOING: &str = "look at a connection of ours";

/// Tells servers behind one address apart.
const SERVER: &str = "CONCAT_WS(' ', @@hostname, @@port, @@server_id)";

/// A thread of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    server: String,
    id: u64,
    /// Where the server sees the client, with its port.
    host: String,
}

impl Thread {
    /// The one behind a connection. `None` where the server does not list it, as when something between
    /// the two answers for it. Errors: of the connection only.
    pub(crate) async fn of(conn: &mut Conn) -> Result<Option<Thread>, mysql_async::Error> {
        let asking = format!(
            "SELECT {SERVER}, ID, HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()"
        );
        match conn.query_first::<(String, u64, String), _>(asking).await {
            Ok(found) => Ok(found.map(|(server, id, host)| Thread { server, id, host })),
            Err(mysql_async::Error::Server(_)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// What it does, in the server's word: `Sleep` when it waits for us. The outer `None`: another server
    /// answers; the inner: it is gone.
    async fn command(&self, conn: &mut Conn) -> Result<Option<Option<String>>, mysql_async::Error> {
        let asking = format!(
            "SELECT {SERVER}, p.COMMAND FROM (SELECT 1) AS one \
             LEFT JOIN information_schema.PROCESSLIST p ON p.ID = ? AND p.HOST = ?"
        );
        let found: Option<(String, Option<String>)> =
            conn.exec_first(asking, (self.id, self.host.as_str())).await?;
        Ok(found.filter(|(server, _)| *server == self.server).map(|(_, command)| command))
    }

    /// Ends it, where it is still there: it would go on holding its locks, when the connection to it broke
    /// without the server's having noticed. No right is needed for threads of the own account.
    pub(crate) async fn end(&self, conn: &mut Conn) -> Result<(), mysql_async::Error> {
        let Some(Some(_)) = self.command(conn).await? else { return Ok(()) };
        conn.query_drop(format!("KILL {}", self.id)).await?;
        tracing::info!(
            thread = self.id,
            "ended what an earlier connection of this job had left at the server"
        );
        Ok(())
    }
}

/// Looks at a thread over a connection of its own, which is kept for the next look.
#[derive(Debug)]
pub(crate) struct ThreadWitness {
    options: Opts,
    thread: Thread,
    conn: Mutex<Option<Conn>>,
}

impl ThreadWitness {
    /// Connects to nothing yet.
    pub(crate) fn new(options: Opts, thread: Thread) -> ThreadWitness {
        ThreadWitness { options, thread, conn: Mutex::new(None) }
    }

    /// The connection, away for as long as it is used: a look that is given up half-way spoils it.
    async fn conn(&self) -> Result<Conn> {
        let kept = self.conn.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(conn) => Ok(conn),
            None => Conn::new(self.options.clone()).await.map_err(convert),
        }
    }

    fn keep(&self, conn: Conn) {
        *self.conn.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
    }
}

fn convert(failure: mysql_async::Error) -> culvert_api::Error {
    error::convert(failure, Statement::Plain, DOING)
}

#[async_trait]
impl Witness for ThreadWitness {
    async fn expects_us(&self) -> Result<bool> {
        let mut conn = self.conn().await?;
        let command = self.thread.command(&mut conn).await.map_err(convert)?;
        self.keep(conn);
        Ok(match command {
            Some(Some(command)) => command.eq_ignore_ascii_case("sleep"),
            Some(None) => true,
            None => false,
        })
    }

    async fn carry(&self, bytes: usize) -> Result<()> {
        let mut conn = self.conn().await?;
        conn.query_drop(format!("SELECT '{}'", "x".repeat(bytes))).await.map_err(convert)?;
        self.keep(conn);
        Ok(())
    }
}
