//! What the server must be like, and what a user should know before a job starts.

use culvert_api::{Error, ErrorClass, ErrorKind, Finding, Result, TableId};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::catalog::{list_tables, read_table};
use crate::connect::{Flavor, ServerInfo};
use crate::error::from_client;
use crate::key::KeyPlan;
use crate::options::MySqlConfig;
use crate::tables::{columns_of, key_of};

/// One server setting that makes change capture impossible.
struct Mistake {
    variable: &'static str,
    message: String,
    hint: String,
}

fn mistakes(server: &ServerInfo) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut add = |variable, message: String, hint: &str| {
        found.push(Mistake { variable, message, hint: hint.to_owned() });
    };
    if !server.log_bin {
        add(
            "log_bin",
            "the server writes no binary log (log_bin = OFF)".into(),
            "start the server with --log-bin",
        );
    } else if server.binlog_format != "ROW" {
        add(
            "binlog_format",
            format!("the server logs statements instead of rows (binlog_format = {})", server.binlog_format),
            "SET GLOBAL binlog_format = 'ROW', and reconnect every writer",
        );
    } else if !matches!(server.row_image.as_str(), "FULL" | "FULL_NODUP" | "") {
        add(
            "binlog_row_image",
            format!("row events leave columns out (binlog_row_image = {})", server.row_image),
            "SET GLOBAL binlog_row_image = 'FULL', and reconnect every writer",
        );
    } else if server.row_value_options.contains("PARTIAL_JSON") {
        add(
            "binlog_row_value_options",
            "JSON columns are logged as edits (binlog_row_value_options = PARTIAL_JSON)".into(),
            "SET GLOBAL binlog_row_value_options = '', and reconnect every writer",
        );
    }
    found
}

/// Refuses a server that cannot be read from, before anything is written.
pub(crate) fn require(server: &ServerInfo) -> Result<()> {
    match mistakes(server).into_iter().next() {
        None => Ok(()),
        Some(mistake) => Err(Error::new(ErrorKind::Config, mistake.message).hint(mistake.hint)),
    }
}

/// Everything a connected check finds.
pub(crate) async fn findings(config: &MySqlConfig) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut conn = match config.endpoint.connect().await {
        Ok(conn) => conn,
        Err(error) if error.class() == ErrorClass::Transient => return Err(error),
        Err(error) => {
            let subject = if error.kind() == ErrorKind::Permission { "username" } else { "url" };
            found.push(finding(subject, &error));
            return Ok(found);
        }
    };
    let server = ServerInfo::read(&mut conn).await?;
    found.extend(
        mistakes(&server)
            .into_iter()
            .map(|mistake| Finding::error(mistake.variable, mistake.message).hint(mistake.hint)),
    );
    rights(&mut conn, &server, &config.endpoint.user, &mut found).await?;
    if !server.gtid {
        found.push(
            Finding::warning("gtid_mode", "the server has no GTIDs: the job cannot follow a failover, and chunks need short table locks")
                .hint("turn gtid_mode ON where you can"),
        );
    }
    match list_tables(&mut conn, &config.selection).await {
        Err(error) => found.push(finding("table-names", &error)),
        Ok(ids) => {
            for id in ids {
                table(&mut conn, config, &id, &mut found).await?;
            }
        }
    }
    Ok(found)
}

fn finding(subject: &str, error: &Error) -> Finding {
    let finding = Finding::error(subject, error.message().to_owned());
    match error.hint_text() {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

async fn table(conn: &mut Conn, config: &MySqlConfig, id: &TableId, found: &mut Vec<Finding>) -> Result<()> {
    let subject = id.to_string();
    let def = read_table(conn, id).await?;
    let columns = match columns_of(&def) {
        Ok(columns) => columns,
        Err(error) => {
            found.push(Finding::error(&subject, error.to_string()));
            return Ok(());
        }
    };
    match key_of(&def, &config.keys) {
        Err(error) => found.push(finding(&subject, &error)),
        Ok(key) if key.is_empty() => found.push(
            Finding::warning(
                &subject,
                "the table has no primary key: it is read in one piece, and a target cannot mirror it by key",
            )
            .hint("add a primary key, or name one in table-names-config"),
        ),
        Ok(key) if KeyPlan::new(id, &def, &columns, &key).is_none() => {
            found.push(Finding::warning(
                &subject,
                "the table's key cannot be cut into chunks by its first column: it is read in one piece",
            ));
        }
        Ok(_) => {}
    }
    Ok(())
}

async fn rights(conn: &mut Conn, server: &ServerInfo, user: &str, found: &mut Vec<Finding>) -> Result<()> {
    const DOING: &str = "reading the user's rights";
    let grants: Vec<Vec<u8>> = conn.query("SHOW GRANTS").await.map_err(|error| from_client(error, DOING))?;
    let account: Option<Vec<u8>> =
        conn.query_first("SELECT CURRENT_USER()").await.map_err(|error| from_client(error, DOING))?;
    let account = grantee(&String::from_utf8_lossy(&account.unwrap_or_default()));
    let granted: Vec<String> =
        grants.iter().flat_map(|grant| privileges(&String::from_utf8_lossy(grant))).collect();
    let has = |right: &str| granted.iter().any(|granted| granted == right || granted == "ALL PRIVILEGES");
    let needed: &[(&str, &[&str])] = match server.flavor {
        Flavor::MySql => &[("REPLICATION SLAVE", &[]), ("REPLICATION CLIENT", &[])],
        Flavor::MariaDb => &[("REPLICATION SLAVE", &[]), ("BINLOG MONITOR", &["REPLICATION CLIENT"])],
    };
    for (right, others) in needed {
        if !has(right) && !others.iter().any(|other| has(other)) {
            found.push(
                Finding::todo("username", format!("user '{user}' lacks the right {right}"))
                    .hint(format!("GRANT {right} ON *.* TO {account}")),
            );
        }
    }
    if !granted.iter().any(|granted| granted.ends_with("SELECT") || granted.ends_with("ALL PRIVILEGES")) {
        found.push(
            Finding::todo("username", format!("user '{user}' has no SELECT right that the check can see"))
                .hint(format!("GRANT SELECT ON *.* TO {account}")),
        );
    }
    Ok(())
}

/// The account of `CURRENT_USER()` as GRANT takes it.
fn grantee(account: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
    match account.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quoted(user), quoted(host)),
        None => quoted(account),
    }
}

/// The rights of a line of SHOW GRANTS; those on less than everything come with a `PART:` before.
fn privileges(grant: &str) -> Vec<String> {
    let Some((rights, on)) = grant.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" ON ")) else {
        return Vec::new();
    };
    let part = if on.starts_with("*.*") { "" } else { "PART:" };
    // The columns of a right are not told apart: `SELECT (a, b)`.
    let mut outside = String::new();
    let mut depth = 0_u32;
    for c in rights.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    outside.split(',').map(|right| format!("{part}{}", right.trim().to_ascii_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_whole_words_and_know_their_level() {
        assert_eq!(
            privileges("GRANT SELECT, REPLICATION SLAVE ADMIN ON *.* TO `u`@`%`"),
            ["SELECT", "REPLICATION SLAVE ADMIN"]
        );
        assert_eq!(
            privileges("GRANT SELECT (`a`, `b`), INSERT ON `d`.`t` TO `u`@`%`"),
            ["PART:SELECT", "PART:INSERT"]
        );
        assert_eq!(privileges("GRANT ALL PRIVILEGES ON `d`.* TO `u`@`%`"), ["PART:ALL PRIVILEGES"]);
        assert_eq!(privileges("GRANT `role`@`%` TO `u`@`%`"), Vec::<String>::new());
    }

    #[test]
    fn an_account_is_quoted_for_grant() {
        assert_eq!(grantee("me@%"), "'me'@'%'");
        assert_eq!(grantee("o'neil@x@10.0.%"), "'o''neil@x'@'10.0.%'");
    }
}
