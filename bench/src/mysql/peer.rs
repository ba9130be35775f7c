//! The servers' own programs: the limits our figures stand over.
//!
//! Like ours their connections are neither encrypted nor compressed.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use culvert_tests::{Flavor, Server, scratch};

use crate::measure::{self, Measured, Usage};
use crate::mysql::backlog::Backlog;
use crate::statements::{DATABASE, TABLE};

/// What a reader of the log makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The bytes as they came, into files.
    Raw,
    /// Row events as base64 text, dropped.
    Text,
    /// Row events with their values in plain text, dropped.
    Rows,
}

impl Output {
    /// All of them.
    pub(crate) const ALL: [Output; 3] = [Output::Raw, Output::Text, Output::Rows];

    /// What the reader is asked for.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Output::Raw => "--raw --result-file",
            Output::Text => "> /dev/null",
            Output::Rows => "-v --base64-output=DECODE-ROWS > /dev/null",
        }
    }
}

/// The name of the server's own reader of the log.
pub(crate) fn reader_name(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "mariadb-binlog",
        Flavor::MySql => "mysqlbinlog",
    }
}

/// The name of the server's own client.
pub(crate) fn client_name(flavor: Flavor) -> &'static str {
    match flavor {
        Flavor::MariaDb => "mariadb",
        Flavor::MySql => "mysql",
    }
}

/// The server's own reader over the whole log, from the running server.
pub(crate) async fn read_log(server: &Server, backlog: &Backlog, output: Output) -> Result<Measured<()>> {
    measure::repeated(async || {
        let mut command = Command::new(server.flavor().binlog_reader());
        connect(&mut command, server);
        command.args(["--read-from-remote-server", "--to-last-log"]);
        let folder = scratch::folder("r");
        match output {
            Output::Raw => {
                command.arg("--raw").arg(format!("--result-file={}/", folder.display()));
            }
            Output::Text => {}
            Output::Rows => {
                command.args(["--verbose", "--base64-output=DECODE-ROWS"]);
            }
        }
        command.arg(backlog.first_file());
        let usage = measure::program(command)?;
        std::fs::remove_dir_all(&folder)?;
        Ok((usage, ()))
    })
    .await
}

/// The server's own client over the whole table, row by row.
pub(crate) async fn read_table(server: &Server) -> Result<Measured<()>> {
    measure::repeated(async || {
        let mut command = client(server)?;
        command.args(["--quick", "--batch", "--execute"]);
        command.arg(format!("SELECT * FROM {DATABASE}.{TABLE}"));
        let usage: Usage = measure::program(command)?;
        Ok((usage, ()))
    })
    .await
}

fn client(server: &Server) -> Result<Command> {
    let flavor = server.flavor();
    let program = flavor.binlog_reader().with_file_name(client_name(flavor));
    // Opened to say early and clearly that it is missing.
    File::open(&program).with_context(|| format!("no {}", program.display()))?;
    let mut command = Command::new(program);
    connect(&mut command, server);
    Ok(command)
}

fn connect(command: &mut Command, server: &Server) {
    command.arg("--no-defaults").env("LC_ALL", "C").stdin(Stdio::null());
    command.args(["--host=127.0.0.1", "--user=root", "--password=root"]);
    command.arg(format!("--port={}", server.port()));
    match server.flavor() {
        Flavor::MariaDb => command.arg("--skip-ssl"),
        Flavor::MySql => command.args(["--ssl-mode=DISABLED", "--get-server-public-key"]),
    };
}
