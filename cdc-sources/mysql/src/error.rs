//! What the server and the transport say, as one of our four classes.

use culvert_api::{Error, ErrorKind};
use mysql_async::{DriverError, IoError};

/// Turns a failure of the client library into ours. `doing` is what we were about, lower case:
/// "reading the binlog".
pub(crate) fn from_client(error: mysql_async::Error, doing: &str) -> Error {
    match error {
        mysql_async::Error::Server(server) => from_server(&server, doing),
        mysql_async::Error::Io(IoError::Tls(tls)) => no_tls(doing, tls),
        mysql_async::Error::Io(IoError::Io(io)) if is_about_certificate(&io) => no_tls(doing, io),
        mysql_async::Error::Io(io) => {
            Error::new(ErrorKind::Connection, format!("connection lost while {doing}")).caused_by(io)
        }
        mysql_async::Error::Driver(DriverError::ConnectionClosed) => {
            Error::new(ErrorKind::Connection, format!("the server closed the connection while {doing}"))
        }
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::new(ErrorKind::Config, format!("the server offers no TLS while {doing}"))
                .hint("set sslMode=DISABLED in the source's url, or give the server a certificate")
        }
        mysql_async::Error::Driver(
            driver @ (DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled),
        ) => Error::new(ErrorKind::Unsupported, format!("the account's authentication plugin is not supported while {doing}"))
            .caused_by(driver)
            .hint("give the account caching_sha2_password or mysql_native_password; MySQL also answers so to a user it does not know"),
        mysql_async::Error::Driver(driver) => {
            Error::new(ErrorKind::Connection, format!("the connection failed while {doing}")).caused_by(driver)
        }
        mysql_async::Error::Url(url) => {
            Error::new(ErrorKind::Config, format!("bad connection options while {doing}")).caused_by(url)
        }
        mysql_async::Error::Other(other) => {
            Error::new(ErrorKind::Connection, format!("failed while {doing}: {other}"))
        }
    }
}

fn no_tls(doing: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Config, format!("no TLS connection while {doing}")).caused_by(cause).hint(
        "check sslMode and trustCertificateKeyStoreUrl in the source's url, and the server's certificate",
    )
}

/// The TLS library hides its refusal of a certificate in a failure of reading.
fn is_about_certificate(io: &std::io::Error) -> bool {
    io.kind() == std::io::ErrorKind::InvalidData && io.to_string().starts_with("invalid peer certificate")
}

/// Server error numbers: "Server Error Message Reference" in the MySQL manual, "MariaDB Error
/// Codes" in MariaDB's. Their texts about statements of ours carry no row values.
fn from_server(server: &mysql_async::ServerError, doing: &str) -> Error {
    let text = format!("the server refused while {doing}: error {} {}", server.code, server.message);
    match server.code {
        1236 => dump_refused(server, text),
        // MariaDB's number of its own.
        4052 => server_id_taken(text),
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698 | 3118 => Error::new(ErrorKind::Permission, text)
            .hint("check user and password; GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the user (MariaDB: BINLOG MONITOR for REPLICATION CLIENT)"),
        1049 | 1051 | 1054 | 1146 => Error::new(ErrorKind::Schema, text),
        1205 | 1213 | 3024 | 1969 | 1412 => Error::new(ErrorKind::Contention, text),
        1040 | 1053 | 1129 | 1203 | 1226 | 1290 | 1927 | 2002 | 2003 | 2006 | 2013 | 3169 | 4031 | 1317 | 1159..=1161 => {
            Error::new(ErrorKind::Unavailable, text)
        }
        1381 => Error::new(ErrorKind::Config, text).hint("the server writes no binary log: start it with log_bin"),
        _ => Error::new(ErrorKind::Unavailable, text),
    }
}

fn server_id_taken(text: String) -> Error {
    Error::new(ErrorKind::Config, text)
        .hint("another replica or job uses this server-id: give each job a server-id of its own")
}

/// Error 1236 stands for everything that ends a binlog dump.
fn dump_refused(server: &mysql_async::ServerError, text: String) -> Error {
    let message = server.message.to_ascii_lowercase();
    if message.contains("same server_uuid/server_id") || message.contains("same server_id") {
        return server_id_taken(text);
    }
    // "Replica has more GTIDs than the source has" after the source's log was reset.
    let gone = [
        "purged",
        "has more gtids",
        "could not find first log",
        "missing",
        "not in the master",
        "could not find gtid",
        "requested",
    ];
    if gone.iter().any(|part| message.contains(part)) {
        return Error::new(ErrorKind::LogGone, text).hint(
            "the position to go on from is no longer in the server's binlog, and rows would be missing; nothing was \
             written. Restore the binlog files, or start over with --fresh (a new snapshot; the target should be emptied first)",
        );
    }
    // What a server says when it reads in the middle of something, as after a reset of its log
    // under a job that goes by file and offset.
    if ["bogus data", "exceeded max_allowed_packet"].iter().any(|part| message.contains(part)) {
        return Error::new(ErrorKind::LogGone, text).hint(
            "the server's binlog has no event that can be read at the position to go on from: the log was reset, or is \
             damaged; nothing was written. Restore the binlog files, or start over with --fresh (a new snapshot; the \
             target should be emptied first)",
        );
    }
    Error::new(ErrorKind::Unavailable, text)
}
