//! What the server must be like, and what a user should know before a job starts.

use culvert_api::{Error, ErrorClass, ErrorKind, Finding, Result};
use culvert_postgres::Client;
use culvert_postgres::quote::identifier;

use crate::catalog::{ServerInfo, is_true, query, read_tables, text};
use crate::key::KeyPlan;
use crate::options::PgConfig;
use crate::publication::Published;
use crate::row_filter::Wishes;
use crate::shape::{Identity, TableDef};
use crate::slot::{self, Slot};
use crate::tables::key_of;

/// Refuses a server that cannot be read from, before anything is written.
pub(crate) fn require(server: &ServerInfo) -> Result<()> {
    if server.standby {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the server is a standby; its log is read at the primary",
        )
        .hint("point the url at the primary"));
    }
    if server.wal_level != "logical" {
        return Err(Error::new(
            ErrorKind::Config,
            format!("the server's log does not tell rows (wal_level = {})", server.wal_level),
        )
        .hint("run ALTER SYSTEM SET wal_level = 'logical', and restart the server"));
    }
    Ok(())
}

/// Everything a connected check finds.
pub(crate) async fn findings(config: &PgConfig) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let client = match config.endpoint.connect().await {
        Ok(client) => client,
        Err(error) if error.class() == ErrorClass::Transient => return Err(error),
        Err(error) => {
            let subject = if error.kind() == ErrorKind::Permission { "username" } else { "url" };
            found.push(finding(subject, &error));
            return Ok(found);
        }
    };
    let server = match ServerInfo::read(&client).await {
        Ok(server) => server,
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            found.push(finding("url", &error));
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    if let Err(error) = require(&server) {
        let subject = if server.standby { "url" } else { "wal_level" };
        found.push(finding(subject, &error));
    }
    if !server.may_replicate {
        found.push(
            Finding::todo("username", format!("user '{}' may not replicate", server.user))
                .hint(format!("ALTER ROLE {} REPLICATION", identifier(&server.user))),
        );
    }
    if server.senders_max == 0 {
        found.push(
            Finding::error(
                "max_wal_senders",
                "the server allows no replication connections (max_wal_senders = 0)",
            )
            .hint("ALTER SYSTEM SET max_wal_senders = 10, and restart the server"),
        );
    }
    slot_and_tables(&client, &server, config, &mut found).await?;
    Ok(found)
}

async fn slot_and_tables(
    client: &Client,
    server: &ServerInfo,
    config: &PgConfig,
    found: &mut Vec<Finding>,
) -> Result<()> {
    let slot = match &config.slot {
        Some(name) => Slot::read(client, name).await?,
        None => None,
    };
    // A job that has state reads a slot that is there; whether this one is new is not known here.
    let name = config.slot.as_deref().unwrap_or("of the job");
    let is_running = slot.as_ref().is_some_and(Slot::is_held);
    if (config.slot.is_some() || server.slots_used >= server.slots_max)
        && let Err(error) = slot::judge_begin(server, config, name, slot.as_ref())
    {
        let finding = finding("slot.name", &error);
        found.push(if is_running {
            Finding { severity: culvert_api::Severity::Warning, ..finding }
        } else {
            finding
        });
    }
    let publication = config.publication.clone().or_else(|| config.slot.clone());
    let published = match &publication {
        Some(name) => Published::read(client, server, name).await?,
        None => Published::to_be_made(),
    };
    // Whose it is, and whether the job has state, is not known here.
    if !is_running && slot::would_take_over(config, slot.as_ref(), &published) {
        let error = slot::not_ours(config.slot.as_deref().unwrap_or_default());
        found.push(Finding { severity: culvert_api::Severity::Warning, ..finding("slot.name", &error) });
    }
    let name = publication.as_deref().unwrap_or("of the job");
    match read_tables(client, server, &config.selection, &published).await {
        Err(error) if error.class() == ErrorClass::Transient => return Err(error),
        Err(error) => found.push(finding("table-names", &error)),
        Ok(defs) => {
            for def in &defs {
                table(client, (server, config), def, found).await?;
                computed_columns(client, def, found).await?;
                if let Err(error) = published.judge(name, def, config) {
                    found.push(with_todo(finding(&def.id().to_string(), &error)));
                }
            }
            if let Some(warning) = published.inserts_only(name) {
                found.push(
                    Finding::warning("publication.name", warning).hint(format!(
                        "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate'), unless only new rows are wanted",
                        identifier(name)
                    )),
                );
            }
            let all: Vec<&TableDef> = defs.iter().collect();
            if let Err(error) = published.judge_absence(name, &all, config.autocreate) {
                found.push(with_todo(finding("publication.name", &error)));
            } else if !published.lacks(&all).is_empty() {
                may_publish(client, server, &published, &all, found).await?;
            }
        }
    }
    Ok(())
}

fn finding(subject: &str, error: &Error) -> Finding {
    let finding = Finding::error(subject, error.message().to_owned());
    match error.hint_text() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

fn with_todo(finding: Finding) -> Finding {
    Finding { severity: culvert_api::Severity::Todo, ..finding }
}

async fn table(
    client: &Client,
    (server, config): (&ServerInfo, &PgConfig),
    def: &TableDef,
    found: &mut Vec<Finding>,
) -> Result<()> {
    let subject = def.id().to_string();
    // What LOCK TABLE … IN ACCESS SHARE MODE takes: a right to all of the table.
    let statement = format!(
        "SELECT pg_catalog.has_table_privilege({0}::oid, 'SELECT') OR ({version} >= 160000 \
          AND pg_catalog.has_any_column_privilege({0}::oid, 'SELECT') \
          AND pg_catalog.has_table_privilege({0}::oid, 'INSERT, UPDATE, DELETE, TRUNCATE')), \
         pg_catalog.has_any_column_privilege({0}::oid, 'SELECT'), \
         c.relrowsecurity, current_user FROM pg_catalog.pg_class c WHERE c.oid = {0}",
        def.oid,
        version = server.version
    );
    let rows = query(client, &statement, "reading the user's rights").await?;
    if let Some(row) = rows.first() {
        if !is_true(row, 0) {
            let what = if is_true(row, 1) {
                "the user may read columns of the table, and needs the table as a whole to lock it"
            } else {
                "the user may not read the table"
            };
            found.push(Finding::todo(&subject, what).hint(format!(
                "GRANT SELECT ON {} TO {}",
                def.quoted(),
                identifier(text(row, 3))
            )));
        }
        if is_true(row, 2) {
            found.push(
                Finding::warning(&subject, "the table has row security: the snapshot is refused to a user it applies to, and the log has every row")
                    .hint(format!("ALTER ROLE {} BYPASSRLS", identifier(text(row, 3)))),
            );
        }
    }
    match key_of(def, &config.conversion.keys) {
        Err(error) => found.push(finding(&subject, &error)),
        Ok(key) if key.is_empty() => found.push(
            Finding::warning(
                &subject,
                "the table has no primary key: it is read whole, anew after a crash, and a target cannot mirror it by key",
            )
            .hint("add a primary key, or name one in table-names-config"),
        ),
        Ok(key) if KeyPlan::new(def, &key).is_none() => found.push(Finding::warning(
            &subject,
            "the table's key cannot be cut into chunks by its first column: it is read whole, anew after a crash",
        )),
        Ok(_) => {}
    }
    if def.identity == Identity::Key {
        found.push(
            Finding::warning(
                &subject,
                "the log tells only the key of old rows: deletes and updates carry no other old values",
            )
            .hint(format!(
                "ALTER TABLE {} REPLICA IDENTITY FULL, where a target keeps every change",
                def.quoted()
            )),
        );
    }
    Ok(())
}

/// Names columns that the server computes and the log does not hold.
async fn computed_columns(client: &Client, def: &TableDef, found: &mut Vec<Finding>) -> Result<()> {
    let statement = format!(
        "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attnum > 0 AND attgenerated <> '' \
         AND NOT attisdropped ORDER BY attnum",
        def.oid
    );
    // A column list leaves out what it does not name on purpose.
    for row in query(client, &statement, "reading columns").await?.iter().filter(|_| !def.listed) {
        let name = text(row, 0);
        if def.column_index(name).is_none() {
            let message = format!(
                "column '{name}' is computed by the server and not in its log: the job leaves it out"
            );
            found.push(Finding::warning(def.id().to_string(), message).hint(
                "let the target compute it; a server from 18 on sends stored ones when the publication says \
                 publish_generated_columns = stored",
            ));
        }
    }
    Ok(())
}

/// Whether the publication can be made.
async fn may_publish(
    client: &Client,
    server: &ServerInfo,
    published: &Published,
    tables: &[&TableDef],
    found: &mut Vec<Finding>,
) -> Result<()> {
    let oids: Vec<String> = tables.iter().map(|def| def.oid.to_string()).collect();
    let statement = format!(
        "SELECT pg_catalog.has_database_privilege(current_database(), 'CREATE'), \
         (SELECT string_agg(c.oid::regclass::text, ', ') FROM pg_catalog.pg_class c WHERE c.oid IN ({}) \
          AND NOT pg_has_role(current_user, c.relowner, 'member')), \
         (SELECT string_agg(DISTINCT quote_ident(pg_get_userbyid(c.relowner)), ', ') FROM pg_catalog.pg_class c \
          WHERE c.oid IN ({}) AND NOT pg_has_role(current_user, c.relowner, 'member'))",
        oids.join(", "),
        oids.join(", ")
    );
    let rows = query(client, &statement, "reading the user's rights").await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let user = identifier(&server.user);
    if !published.exists && !is_true(row, 0) {
        found.push(
            Finding::todo(
                "publication.autocreate",
                format!("user '{}' may not make a publication", server.user),
            )
            .hint(format!("GRANT CREATE ON DATABASE {} TO {user}", identifier(&server.database))),
        );
    }
    if !text(row, 1).is_empty() {
        found.push(
            Finding::todo("publication.autocreate", format!("only the owner may publish {}", text(row, 1)))
                .hint(format!(
                    "GRANT {} TO {user}, or have the owner run: {}",
                    text(row, 2),
                    published.statement("NAME", tables, &Wishes::new())
                )),
        );
    }
    Ok(())
}
