//! The server's own programs: the limits our figures stand over.
//!
//! Like ours their connections are not encrypted.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use culvert_tests::Postgres;
use culvert_tests::postgres::{PASSWORD, USER};

use super::backlog::Log;
use crate::statements::DATABASE;

/// What a reader of a slot asked the server for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamOptions(Vec<(String, String)>);

impl StreamOptions {
    /// What the reader of this slot asked for, as the server's log tells.
    pub(crate) fn of_reader(server: &Postgres, slot: &str) -> Result<StreamOptions> {
        let log = server.log();
        StreamOptions::in_log(&log, slot).with_context(|| format!("nobody has read the slot {slot}"))
    }

    /// `…START_REPLICATION SLOT "name" LOGICAL 0/0 (name 'value', "name" 'value')`, the last one.
    fn in_log(log: &str, slot: &str) -> Option<StreamOptions> {
        let begins = format!("START_REPLICATION SLOT \"{slot}\" LOGICAL ");
        let line = log.lines().rev().find(|line| line.contains(&begins))?;
        let (_, options) = line.split_once(&begins)?.1.split_once(" (")?;
        let pairs = options.trim_end().trim_end_matches(')').split(", ").map(|pair| {
            let (name, value) = pair.split_once(' ')?;
            let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
            Some((name.trim_matches('"').to_owned(), value.to_owned()))
        });
        Some(StreamOptions(pairs.collect::<Option<_>>()?))
    }

    /// How values come.
    pub(crate) fn form(&self) -> &'static str {
        let binary =
            self.0.iter().any(|(name, value)| name == "binary" && matches!(value.as_str(), "on" | "true"));
        if binary { "binary pgoutput" } else { "text pgoutput" }
    }
}

/// The server's own reader of a slot, up to the end of the log.
pub(crate) fn read_slot(server: &Postgres, slot: &str, log: &Log, options: &StreamOptions) -> Command {
    let mut command = program(server, "pg_recvlogical");
    command.args(["--start", "--no-loop", "--file=-", "--slot", slot, "--endpos", &log.end]);
    for (name, value) in &options.0 {
        command.arg("--option").arg(format!("{name}={value}"));
    }
    command
}

/// The server's own client over the whole table.
pub(crate) fn read_table(server: &Postgres, table: &str) -> Command {
    let mut command = program(server, "psql");
    command.args(["--no-psqlrc", "--quiet", "--command"]);
    command.arg(format!("COPY {DATABASE}.{table} TO STDOUT (FORMAT binary)"));
    command
}

fn program(server: &Postgres, name: &str) -> Command {
    let mut command = Command::new(server.version().program(name));
    command.env("LC_ALL", "C").env("PGPASSWORD", PASSWORD).env("PGSSLMODE", "disable").stdin(Stdio::null());
    command.args(["--host=127.0.0.1", "--username", USER, "--dbname", DATABASE]);
    command.arg(format!("--port={}", server.port()));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_the_servers_log() {
        let log = "x LOG:  received replication command: START_REPLICATION SLOT \"a\" LOGICAL 0/1 (proto_version '1')\n\
                   x STATEMENT:  START_REPLICATION SLOT \"b\" LOGICAL 0/1 (proto_version '4', \
                   \"publication_names\" '\"p\"', binary 'on')\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(StreamOptions::in_log(log, "c"), None);
        let options = StreamOptions::in_log(log, "a");
        assert_eq!(options, Some(StreamOptions(vec![pair("proto_version", "1")])));
        assert_eq!(options.map(|options| options.form()), Some("text pgoutput"));
        let options = StreamOptions::in_log(log, "b");
        let wanted = [pair("proto_version", "4"), pair("publication_names", "\"p\""), pair("binary", "on")];
        assert_eq!(options, Some(StreamOptions(wanted.to_vec())));
        assert_eq!(options.map(|options| options.form()), Some("binary pgoutput"));
    }
}
