//! Connections to the source: address, TLS, session, and what the server says about itself.

use std::time::Duration;

use culvert_api::guard::connecting;
use culvert_api::{Error, ErrorKind, Result};
use culvert_config::{Secret, TlsMode};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};

use crate::error::from_client;
use crate::gtid::GtidPosition;
use crate::position::{BinlogPosition, StreamPosition};

/// The largest packet we take in: the protocol's own limit for one event or row.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// Everything needed to connect.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// How to use TLS.
    pub tls: TlsMode,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

/// Refuses a CA file that is not there; the client library would call it a lost connection.
fn require_file(tls: &TlsMode) -> Result<()> {
    let Some(ca) = tls.trusted_file() else { return Ok(()) };
    std::fs::File::open(ca).map(drop).map_err(|error| {
        Error::new(ErrorKind::Config, format!("the certificate file {} cannot be read", ca.display()))
            .caused_by(error)
            .hint("set trustCertificateKeyStoreUrl in the source's url to the authority's certificate as PEM")
    })
}

fn tls_options(tls: &TlsMode) -> Option<SslOpts> {
    match tls {
        // The driver cannot ask first; a MySQL url never means `Preferred`.
        TlsMode::Off | TlsMode::Preferred => None,
        TlsMode::Required => Some(SslOpts::default().with_danger_accept_invalid_certs(true)),
        TlsMode::VerifyIdentity(None) => Some(SslOpts::default()),
        TlsMode::VerifyIdentity(Some(ca)) => Some(
            SslOpts::default().with_root_certs(vec![ca.clone().into()]).with_disable_built_in_roots(true),
        ),
    }
}

impl Endpoint {
    fn options(&self) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname(&self.host)
            .tcp_port(self.port)
            .user(Some(&self.user))
            .pass(Some(self.password.expose()))
            .ssl_opts(tls_options(&self.tls))
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(30)))
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .stmt_cache_size(0)
            .into()
    }

    /// Connects with the session every reader of ours uses: values as the table stores them (no
    /// conversion of character sets), instants in UTC, no rounding or padding modes.
    pub async fn connect(&self) -> Result<Conn> {
        let address = format!("{}:{}", self.host, self.port);
        require_file(&self.tls)?;
        let opening = || async {
            let mut conn = Conn::new(self.options()).await.map_err(|error| {
                from_client(error, &format!("connecting to {address} as '{}'", self.user))
            })?;
            for statement in [
                "SET NAMES utf8mb4",
                "SET character_set_results = NULL, time_zone = '+00:00', sql_mode = ''",
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "SET SESSION net_write_timeout = 600, SESSION wait_timeout = 28800",
            ] {
                let done = conn.query_drop(statement).await;
                done.map_err(|error| from_client(error, "preparing the session"))?;
            }
            Ok(conn)
        };
        connecting(self.connect_timeout, opening).await.unwrap_or_else(|| {
            let limit = self.connect_timeout;
            Err(Error::new(ErrorKind::Connection, format!("no answer from {address} within {limit:?}")))
        })
    }
}

/// Which family the server belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Oracle's MySQL and what behaves like it.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What the server says about itself.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Its family.
    pub flavor: Flavor,
    /// Its version text.
    pub version: String,
    /// Whether transactions carry GTIDs. Always so on MariaDB.
    pub gtid: bool,
    /// `server_uuid` (MySQL) or `server_id` (MariaDB).
    pub id: String,
    /// `log_bin`.
    pub log_bin: bool,
    /// `binlog_format`, upper case.
    pub binlog_format: String,
    /// `binlog_row_image`, upper case.
    pub row_image: String,
    /// `binlog_row_value_options`, upper case; empty where unknown.
    pub row_value_options: String,
    /// `binlog_row_metadata`, upper case; empty where unknown.
    pub row_metadata: String,
}

impl ServerInfo {
    /// Asks the server.
    pub async fn read(conn: &mut Conn) -> Result<ServerInfo> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = conn
            .query(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','log_bin','binlog_format',\
                 'binlog_row_image','binlog_row_value_options','binlog_row_metadata','gtid_mode','server_uuid','server_id')",
            )
            .await
            .map_err(|error| from_client(error, "reading server settings"))?;
        let get = |name: &str| {
            let found = rows.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()));
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        let version = get("version");
        let flavor =
            if version.to_ascii_lowercase().contains("mariadb") { Flavor::MariaDb } else { Flavor::MySql };
        Ok(ServerInfo {
            flavor,
            gtid: flavor == Flavor::MariaDb || get("gtid_mode").eq_ignore_ascii_case("ON"),
            id: if flavor == Flavor::MySql { get("server_uuid") } else { get("server_id") },
            log_bin: matches!(get("log_bin").to_ascii_uppercase().as_str(), "ON" | "1"),
            binlog_format: get("binlog_format").to_ascii_uppercase(),
            row_image: get("binlog_row_image").to_ascii_uppercase(),
            row_value_options: get("binlog_row_value_options").to_ascii_uppercase(),
            row_metadata: get("binlog_row_metadata").to_ascii_uppercase(),
            version,
        })
    }
}

/// The end of the binlog, and on MySQL the transactions that are visible.
pub(crate) async fn log_end(conn: &mut Conn, server: &ServerInfo) -> Result<StreamPosition> {
    let (binlog, executed) = log_end_place(conn, server).await?;
    let gtid = match server.flavor {
        Flavor::MariaDb => {
            // The server reads the file up to the place for this: once per start, never per chunk.
            let found: Option<Option<Vec<u8>>> = conn
                .exec_first("SELECT BINLOG_GTID_POS(?, ?)", (&binlog.file, binlog.offset))
                .await
                .map_err(|error| from_client(error, LOG_END))?;
            let list = String::from_utf8_lossy(&found.flatten().unwrap_or_default()).into_owned();
            Some(GtidPosition::MariaDb(list.parse()?))
        }
        Flavor::MySql if server.gtid => Some(GtidPosition::MySql(executed.parse()?)),
        Flavor::MySql => None,
    };
    Ok(StreamPosition { binlog, gtid, server: server.id.clone() })
}

const LOG_END: &str = "asking for the end of the binlog";

/// The end of the binlog alone; the second value is MySQL's executed GTID set.
pub(crate) async fn log_end_place(conn: &mut Conn, server: &ServerInfo) -> Result<(BinlogPosition, String)> {
    let mut row: Option<mysql_async::Row> = None;
    // SHOW MASTER STATUS is gone in MySQL 8.4, its successor is unknown before 8.2 and to MariaDB.
    let statements: &[&str] = match server.flavor {
        Flavor::MariaDb => &["SHOW MASTER STATUS"],
        Flavor::MySql => &["SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"],
    };
    for (at, statement) in statements.iter().enumerate() {
        match conn.query_first(*statement).await {
            Ok(found) => {
                row = found;
                break;
            }
            Err(mysql_async::Error::Server(error)) if error.code == 1064 && at + 1 < statements.len() => {}
            Err(error) => return Err(from_client(error, LOG_END)),
        }
    }
    let mut row = row.ok_or_else(|| {
        Error::new(ErrorKind::Config, "the server writes no binary log")
            .hint("start it with log_bin=ON and binlog_format=ROW")
    })?;
    let mut text = |at: usize| -> String {
        row.take_opt::<Vec<u8>, _>(at)
            .and_then(|value| value.ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    let file = text(0);
    let offset: u64 = text(1).parse().map_err(|_| {
        Error::new(ErrorKind::Corrupt, "an offset that is no number").context("doing", LOG_END)
    })?;
    let executed = text(4);
    Ok((BinlogPosition::new(file, offset), executed))
}
