//! What the server and the transport say, as one of our kinds ("PostgreSQL Error Codes" in the
//! manual).
//!
//! No text of an error may show a row's values. The server's DETAIL shows whole rows, so it is never
//! taken over; the messages of data exceptions and those raised by triggers quote a value, so the
//! code, and what it stands for, is said instead. Messages of all other classes name objects only.

use culvert_api::{Error, ErrorKind};
use tokio_postgres::error::DbError;

use crate::tls;

/// Turns a failure of the client library into ours. `doing` is what we were about, lower case:
/// "reading the catalog".
pub fn from_client(error: tokio_postgres::Error, doing: &str) -> Error {
    if let Some(db) = error.as_db_error() {
        return from_db(db, doing);
    }
    // The library tells its kinds apart by their texts alone.
    let text = error.to_string();
    let closed = error.is_closed();
    let cause = error.into_source();
    if text.starts_with("error performing TLS") {
        return match cause {
            Some(cause) if cause.to_string().contains("does not support TLS") => tls::not_offered(doing),
            Some(cause) => no_handshake(cause, doing),
            None => tls::refused(doing, text),
        };
    }
    if closed {
        return lost(doing, "the server closed the connection");
    }
    match (text.as_str(), cause) {
        ("error communicating with the server" | "error connecting to server", Some(cause)) => {
            lost(doing, cause)
        }
        ("timeout waiting for server", _) => lost(doing, "no answer in time"),
        ("invalid configuration", Some(cause)) if cause.to_string().contains("password") => Error::new(
            ErrorKind::Permission,
            format!("the server wants a password and none is set, while {doing}"),
        )
        .hint("set the password"),
        ("authentication error", cause) => {
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            Error::new(ErrorKind::Permission, format!("cannot log in while {doing}{cause}")).hint(
                "check user and password; passwords by scram-sha-256, md5 and in clear text are supported",
            )
        }
        ("error parsing response from server" | "unexpected message from server", cause) => {
            // The library says the same of a reply cut off by a lost connection.
            let failure =
                Error::new(ErrorKind::Connection, format!("an answer that cannot be read while {doing}"));
            match cause {
                Some(cause) => failure.caused_by(cause),
                None => failure,
            }
        }
        // Values and columns that do not fit what our own code asked for. A conversion's text names types.
        (text, cause) => {
            let cause = cause.map_or_else(String::new, |cause| format!(": {cause}"));
            Error::new(ErrorKind::Internal, format!("failed while {doing}: {text}{cause}"))
        }
    }
}

/// A connection that is gone or was never made.
pub fn lost(doing: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Connection, format!("connection lost while {doing}")).caused_by(cause)
}

/// A handshake that failed: for a connection cut off in the middle of it, waiting helps.
fn no_handshake(cause: Box<dyn std::error::Error + Send + Sync>, doing: &str) -> Error {
    match cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) | None => {
            tls::refused(doing, cause)
        }
        Some(_) => lost(doing, cause),
    }
}

fn from_db(db: &DbError, doing: &str) -> Error {
    let mut error = from_server(db.code().code(), db.message(), doing);
    let named = [
        (
            "table",
            db.table().map(|table| match db.schema() {
                Some(schema) => format!("{schema}.{table}"),
                None => table.to_owned(),
            }),
        ),
        ("column", db.column().map(str::to_owned)),
        ("constraint", db.constraint().map(str::to_owned)),
        ("type", db.datatype().map(str::to_owned)),
    ];
    for (key, name) in named {
        if let Some(name) = name {
            error = error.context(key, name);
        }
    }
    error
}

/// An error response as one of ours: its SQLSTATE, its primary message, and what we were about.
pub fn from_server(code: &str, message: &str, doing: &str) -> Error {
    let kind = kind_of(code);
    let said = if quotes_values(code) { meaning(code) } else { message };
    let error = Error::new(kind, format!("the server refused while {doing}: error {code} {said}"));
    match hint(code, message) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Messages that repeat a value: data exceptions, and what triggers and functions raise.
fn quotes_values(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("P0")
}

/// In place of a message that would quote a value.
fn meaning(code: &str) -> &'static str {
    match code {
        "22000" => "a data exception",
        "22001" => "a text is too long for its column",
        "22003" => "a number is out of range for its column's type",
        "22004" => "a NULL where none is allowed",
        "22007" => "a text is no date or time",
        "22008" => "a date or time is out of range",
        "22012" => "a division by zero",
        "22021" => {
            "bytes that are no text in the database's encoding (PostgreSQL's text cannot hold a zero byte)"
        }
        "22023" => "a parameter's value is invalid",
        "22026" => "a bit string is of the wrong length",
        "22032" | "22030" | "22033" | "22034" => "a text is no valid JSON",
        "22P02" => "a text is no value of its column's type",
        "22P03" => "bytes are no value of their column's type",
        "22P04" => "the rows do not have the columns that COPY expects",
        "22P05" => "a character has no counterpart in the database's encoding",
        "2200L" | "2200M" | "2200N" | "2200S" | "2200T" => "a text is no valid XML",
        "P0001" => "raised by a trigger or function (the server's log has its message)",
        code if code.starts_with("P0") => {
            "an error in a trigger or function (the server's log has its message)"
        }
        _ => "a value does not fit (the server's log has the message)",
    }
}

/// What broke, by SQLSTATE: single codes first, then their classes.
fn kind_of(code: &str) -> ErrorKind {
    match code {
        // Statement completion unknown: the connection is in doubt, not the row.
        "40003" => return ErrorKind::Connection,
        "40002" => return ErrorKind::Value,
        "25006" => return ErrorKind::Unavailable,
        "25P03" | "57P05" => return ErrorKind::Connection,
        "25P04" => return ErrorKind::Unavailable,
        // ON CONFLICT meets one row twice in a statement of ours.
        "21000" | "42601" => return ErrorKind::Internal,
        "42501" | "42502" => return ErrorKind::Permission,
        "54001" | "54011" | "54023" => return ErrorKind::Unsupported,
        "55P03" | "55P04" => return ErrorKind::Contention,
        "55006" => return ErrorKind::Unavailable,
        "55000" | "55P02" => return ErrorKind::Config,
        "57014" => return ErrorKind::Unavailable,
        "57P04" => return ErrorKind::Schema,
        "XX001" | "XX002" => return ErrorKind::Corrupt,
        _ => {}
    }
    match code.get(..2).unwrap_or_default() {
        "08" => ErrorKind::Connection,
        "0A" => ErrorKind::Unsupported,
        // Triggered action; data; integrity; WITH CHECK OPTION; raised in PL/pgSQL; a row too large.
        "09" | "22" | "23" | "44" | "54" | "P0" => ErrorKind::Value,
        "0L" | "0P" | "28" | "2B" => ErrorKind::Permission,
        "3D" | "3F" | "42" => ErrorKind::Schema,
        "40" | "72" => ErrorKind::Contention,
        "F0" => ErrorKind::Config,
        // Resources, operator intervention, the server's own system and its internal errors, foreign
        // data wrappers and external routines.
        "38" | "39" | "53" | "55" | "57" | "58" | "HV" | "XX" => ErrorKind::Unavailable,
        // A statement or a state of a transaction that our own code got wrong.
        "03" | "0B" | "0F" | "0Z" | "20" | "21" | "24" | "25" | "26" | "27" | "2D" | "2F" | "34" | "3B" => {
            ErrorKind::Internal
        }
        // Codes of another product: a new attempt shows whether they pass.
        _ => ErrorKind::Unavailable,
    }
}

/// What to do, where the code alone tells.
fn hint(code: &str, message: &str) -> Option<&'static str> {
    Some(match code {
        "28P01" => "check user and password",
        "28000" if message.contains("no encryption") || message.contains("SSL off") => {
            "the server takes this user only over TLS: set sslmode=require in the url"
        }
        "28000" if message.contains("pg_hba.conf") => {
            "the server's pg_hba.conf does not let this user in from here; a replication connection to a database is matched by the database's name"
        }
        "28000" => "check the user: it must exist and have LOGIN",
        "42501" if message.contains("row-level security") => {
            "rows would be left out: give the user BYPASSRLS, or exclude the table"
        }
        "42501" if message.contains("replication") => {
            "give the user the right to read the log: ALTER ROLE … REPLICATION"
        }
        "42501" => "grant the user the right that the message names",
        "3D000" => "check the database in the url",
        "53100" => "the server's disk is full",
        "53300" => "raise max_connections on the server, or lower the job's parallelism",
        "25006" => "the server is read-only: a standby, or default_transaction_read_only is on",
        "57P03" => "the server is starting up, shutting down or recovering",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_api::ErrorClass;

    #[test]
    fn every_code_has_its_kind() {
        for (code, kind) in [
            ("08006", ErrorKind::Connection),
            ("57P01", ErrorKind::Unavailable),
            ("57P03", ErrorKind::Unavailable),
            ("53100", ErrorKind::Unavailable),
            ("53300", ErrorKind::Unavailable),
            ("25006", ErrorKind::Unavailable),
            ("55006", ErrorKind::Unavailable),
            ("40001", ErrorKind::Contention),
            ("40P01", ErrorKind::Contention),
            ("55P03", ErrorKind::Contention),
            ("28P01", ErrorKind::Permission),
            ("28000", ErrorKind::Permission),
            ("42501", ErrorKind::Permission),
            ("3D000", ErrorKind::Schema),
            ("3F000", ErrorKind::Schema),
            ("42P01", ErrorKind::Schema),
            ("42703", ErrorKind::Schema),
            ("42601", ErrorKind::Internal),
            ("23505", ErrorKind::Value),
            ("22P02", ErrorKind::Value),
            ("P0001", ErrorKind::Value),
            ("0A000", ErrorKind::Unsupported),
            ("XX001", ErrorKind::Corrupt),
            ("XX000", ErrorKind::Unavailable),
            ("", ErrorKind::Unavailable),
            ("é", ErrorKind::Unavailable),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }

    #[test]
    fn values_stay_out_of_messages() {
        let value = "invalid input syntax for type integer: \"hunter2\"";
        for code in ["22P02", "22003", "22999", "P0001", "P0004"] {
            let error = from_server(code, value, "writing");
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error.class(), ErrorClass::Data);
        }
        let error =
            from_server("23505", "duplicate key value violates unique constraint \"t_pkey\"", "writing");
        assert!(error.to_string().contains("t_pkey"));
    }

    #[test]
    fn a_server_that_wants_tls_is_answered_with_the_parameter() {
        let said = "no pg_hba.conf entry for host \"::1\", user \"a\", database \"d\", no encryption";
        let error = from_server("28000", said, "connecting");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("sslmode=require")));
    }
}
