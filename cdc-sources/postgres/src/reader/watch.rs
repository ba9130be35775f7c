//! A look, now and then, at what the log does not tell: whether the tables are still published, and
//! what became of their partitions.
//!
//! A task of its own asks the server, so that the stream waits for nobody. What it finds counts between
//! two transactions.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use culvert_api::{Error, ErrorClass, ErrorKind, Result};
use culvert_postgres::Client;
use tokio::task::JoinSet;

use super::PgReader;
use crate::standing::{Examined, Standing, examine};

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(60);

/// What a look gives: the connection for the next one, and what is known now, by the table's oid.
type Looked = (Option<Client>, Result<HashMap<u32, Standing>>);

/// Looks under way, one at a time.
pub(super) struct Watch {
    last: Instant,
    tasks: JoinSet<Looked>,
    client: Option<Client>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        Watch { last: Instant::now(), tasks: JoinSet::new(), client: None }
    }

    pub(super) async fn end(&mut self) {
        self.tasks.shutdown().await;
        self.client = None;
    }
}

impl PgReader {
    /// Begins a look when it is time, and takes in what the last one found.
    pub(super) fn watch_tables(&mut self) -> Result<()> {
        if self.watch.tasks.is_empty() {
            if self.watch.last.elapsed() >= LOOK_EVERY {
                self.begin_look();
            }
            return Ok(());
        }
        let Some(Ok((client, found))) = self.watch.tasks.try_join_next() else { return Ok(()) };
        self.watch.last = Instant::now();
        self.watch.client = client;
        match found {
            Ok(standings) => {
                for (oid, standing) in standings {
                    if let Some(at) = self.tables.by_oid(oid) {
                        self.tables.slots[at].table.standing = Some(standing);
                    }
                }
                Ok(())
            }
            // The log is there, and that is what counts; there will be another look.
            Err(error) if error.class() == ErrorClass::Transient => {
                tracing::debug!(%error, "the tables could not be looked at");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn begin_look(&mut self) {
        let slots = self.tables.slots.iter().filter(|slot| !slot.gone);
        let tables: Vec<Examined> = slots
            .map(|slot| {
                let table = &slot.table;
                Examined::new(&table.def, table.is_unread(), table.standing.clone())
            })
            .collect();
        let (endpoint, server) = (self.config.endpoint.clone(), self.server.clone());
        let (publication, fail) = (self.publication.clone(), self.config.fail_on_truncate);
        let client = self.watch.client.take().filter(|client| !client.is_closed());
        self.watch.tasks.spawn(async move {
            let looking = async {
                let client = match client {
                    Some(client) => client,
                    None => endpoint.connect().await?,
                };
                let found = examine(&client, &server, (&publication, fail), &tables).await;
                Ok((client, found))
            };
            match tokio::time::timeout(LOOK_WITHIN, looking).await {
                Ok(Ok((client, found))) => (Some(client), found),
                Ok(Err(error)) => (None, Err(error)),
                Err(_) => (None, Err(Error::new(ErrorKind::Connection, "no answer to a look at the tables"))),
            }
        });
    }
}
