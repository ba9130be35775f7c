//! What goes wrong on a replication connection, and what follows from it.

use std::fmt;

use bytes::Bytes;
use culvert_api::{Error, ErrorKind};
use culvert_postgres::{from_server, lost};

use crate::pgoutput::wire::Wire;

/// The fields of an error or notice that we use ("Error and Notice Message Fields").
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerMessage {
    /// SQLSTATE.
    pub(crate) code: String,
    /// The primary message.
    pub(crate) message: String,
    /// More; may show values of rows.
    pub(crate) detail: String,
}

impl ServerMessage {
    /// Reads as many fields as can be read.
    pub(crate) fn parse(body: Bytes) -> ServerMessage {
        let mut message = ServerMessage::default();
        let mut wire = Wire::new(body);
        while let Ok(field @ 1..) = wire.u8() {
            let Ok(text) = wire.string() else { break };
            match field {
                b'C' => message.code = text,
                b'M' => message.message = text,
                b'D' => message.detail = text,
                _ => {}
            }
        }
        message
    }

    /// A notice: for the curious.
    pub(crate) fn note(&self) {
        tracing::debug!(code = %self.code, "notice of the server on the replication connection");
    }
}

impl fmt::Debug for ServerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerMessage({})", self.code)
    }
}

/// What goes wrong before it is known what we were about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The transport.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The other side is gone.
    #[error("the server closed the connection")]
    Closed,
    /// Something that does not belong here.
    #[error("the server sent {0}")]
    Unexpected(&'static str),
    /// An error of the server.
    #[error("the server refused")]
    Refused(ServerMessage),
    /// Already one of ours.
    #[error("{0}")]
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

impl Failure {
    /// One of ours. `slot` may be empty where none is concerned.
    pub(crate) fn into_error(self, doing: &str, slot: &str) -> Error {
        match self {
            Failure::Ours(error) => error,
            Failure::Refused(message) => refused(&message, doing, slot),
            // After a lost connection bytes of another kind would be as likely as none.
            other => lost(doing, other),
        }
    }
}

/// Errors of the server that mean something particular here. Their texts may be in the server's
/// language: only codes, and names that are never translated, are looked at, and then English.
pub(crate) fn refused(message: &ServerMessage, doing: &str, slot: &str) -> Error {
    let said = message.message.as_str();
    let text = || {
        let detail = if message.detail.is_empty() { String::new() } else { format!(" ({})", message.detail) };
        format!("the server refused while {doing}: error {} {said}{detail}", message.code)
    };
    let slot_named = if slot.is_empty() { String::new() } else { format!(" '{slot}'") };
    match message.code.as_str() {
        // The message names the process that holds the slot.
        "55006" => Error::new(ErrorKind::Unavailable, text()).hint(format!(
            "another connection reads the slot{slot_named}: stop the other job, or give this one a slot of its own; \
             a connection left over ends by itself after wal_sender_timeout, or with SELECT pg_terminate_backend(pid)"
        )),
        "55000" if said.contains("wal_level") => {
            Error::new(ErrorKind::Config, text()).hint("set wal_level=logical on the server and restart it")
        }
        "55000" if said.contains("not created in this database") || said.contains("physical") => {
            Error::new(ErrorKind::Config, text()).hint("give the job a logical slot of the database in the url")
        }
        "55000" | "58P01" => log_gone(text(), slot),
        "42704" if said.contains("publication") => Error::new(ErrorKind::Schema, text()).hint(
            "the publication is not there, or was not when the log at this position was written: create it before \
             the slot; if it was dropped and made again, drop the slot and start over with --fresh",
        ),
        "42704" => Error::new(ErrorKind::Schema, text()).hint(format!(
            "the slot{slot_named} is gone, and with it the log behind the job's position; rows would be missing. \
             Start over with --fresh (a new slot and a new snapshot)"
        )),
        "42501" | "28000" if ["replication", "REPLICATION", "WAL sender"].iter().any(|word| said.contains(word)) => {
            Error::new(ErrorKind::Permission, text()).hint("ALTER ROLE … REPLICATION for the job's user")
        }
        "53300" => Error::new(ErrorKind::Unavailable, text())
            .hint("raise max_wal_senders (and max_connections) on the server"),
        code => from_server(code, said, doing),
    }
}

fn log_gone(text: String, slot: &str) -> Error {
    let drop = if slot.is_empty() {
        "drop the slot".to_owned()
    } else {
        format!("drop the slot (SELECT pg_drop_replication_slot('{slot}'))")
    };
    Error::new(ErrorKind::LogGone, text).hint(format!(
        "the server no longer has the log at the job's position, and rows would be missing; nothing was written. \
         {drop} and start over with --fresh (a new snapshot; the target should be emptied first); a larger \
         max_slot_wal_keep_size keeps it from happening again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: &str, text: &str, detail: &str) -> ServerMessage {
        ServerMessage { code: code.to_owned(), message: text.to_owned(), detail: detail.to_owned() }
    }

    #[test]
    fn fields_are_read_as_far_as_they_go() {
        let body = Bytes::from_static(b"SFATAL\0C55006\0Mslot in use\0Dmore\0\0");
        assert!(ServerMessage::parse(body.clone()) == message("55006", "slot in use", "more"));
        for end in 0..body.len() {
            ServerMessage::parse(body.slice(..end));
        }
        assert!(ServerMessage::parse(Bytes::from_static(b"M\xff\0\0")) == ServerMessage::default());
    }

    #[test]
    fn errors_say_the_way_out() {
        for (code, text, kind, word) in [
            ("55006", "replication slot \"s\" is active for PID 4711", ErrorKind::Unavailable, "4711"),
            ("55000", "can no longer get changes from replication slot \"s\"", ErrorKind::LogGone, "--fresh"),
            ("55000", "kann nicht lesen", ErrorKind::LogGone, "pg_drop_replication_slot('s')"),
            (
                "55000",
                "logical decoding requires wal_level >= logical",
                ErrorKind::Config,
                "wal_level=logical",
            ),
            ("58P01", "requested WAL segment 0001 has already been removed", ErrorKind::LogGone, "--fresh"),
            ("42704", "replication slot \"s\" does not exist", ErrorKind::Schema, "'s'"),
            ("42704", "publication \"p\" does not exist", ErrorKind::Schema, "publication"),
            (
                "42501",
                "permission denied to start WAL sender: REPLICATION",
                ErrorKind::Permission,
                "ALTER ROLE",
            ),
            ("57P01", "terminating connection due to administrator command", ErrorKind::Unavailable, "57P01"),
            (
                "53300",
                "number of requested standby connections exceeds",
                ErrorKind::Unavailable,
                "max_wal_senders",
            ),
        ] {
            let error = refused(&message(code, text, ""), "reading", "s");
            assert_eq!(error.kind(), kind, "{code} {text}");
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = refused(&message("22P02", "bad: \"hunter2\"", "row (hunter2)"), "reading", "s");
        assert!(!error.to_string().contains("hunter2"));
    }
}
