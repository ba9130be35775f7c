//! How a server is set up, and the program's arguments that make it so.

use std::path::Path;

use super::Flavor;
use crate::certificates::Certificates;

/// What the server writes into the binlog about columns (`binlog_row_metadata`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowMetadata {
    /// Names, signedness, character sets, labels, the key.
    Full,
    /// What is needed to read the bytes.
    Minimal,
    /// Nothing: MariaDB's default. MySQL knows no such value and gets `Minimal`.
    NoLog,
}

/// How changes are logged (`binlog_format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinlogFormat {
    /// Row by row: what a change stream needs.
    Row,
    /// As statements.
    Statement,
    /// Either.
    Mixed,
}

/// Which columns a row carries (`binlog_row_image`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowImage {
    /// All of them.
    Full,
    /// The key before, the changed columns after.
    Minimal,
    /// All but BLOB and TEXT columns that did not change.
    NoBlob,
}

/// How a server is set up. The default is what a change stream wants, without waiting for disks.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Further arguments of the program, last, so that they win.
    pub extra_args: Vec<String>,
    /// MySQL: `gtid_mode` and `enforce_gtid_consistency`. MariaDB always has GTIDs.
    pub gtid: bool,
    /// `binlog_row_metadata`.
    pub row_metadata: RowMetadata,
    /// MySQL: `binlog_transaction_compression`; MariaDB: `log_bin_compress`.
    pub transaction_compression: bool,
    /// Whether there is a binlog at all.
    pub log_bin: bool,
    /// `binlog_format`.
    pub binlog_format: BinlogFormat,
    /// `binlog_row_image`.
    pub row_image: RowImage,
    /// Whether a commit waits for the disk. Without it a killed server still keeps what it has
    /// committed; only a machine that loses power would not.
    pub fsync: bool,
    /// Certificates to offer TLS with. MySQL has some of its own without them, MariaDB 10.11 none.
    pub tls: Option<Certificates>,
    /// `server_id`; must differ between a server and its replicas.
    pub server_id: u32,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            extra_args: Vec::new(),
            gtid: true,
            row_metadata: RowMetadata::Full,
            transaction_compression: false,
            log_bin: true,
            binlog_format: BinlogFormat::Row,
            row_image: RowImage::Full,
            fsync: false,
            tls: None,
            server_id: 101,
        }
    }
}

impl ServerOptions {
    /// Adds an argument, for example `--max-allowed-packet=64M`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> ServerOptions {
        self.extra_args.push(argument.into());
        self
    }

    /// All arguments for a server whose files lie in `folder`.
    pub(super) fn arguments(&self, flavor: Flavor, folder: &Path, port: u16) -> Vec<String> {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut arguments = vec![
            "--no-defaults".to_string(),
            format!("--datadir={}", path("data")),
            format!("--socket={}", path("sock")),
            format!("--pid-file={}", path("pid")),
            format!("--tmpdir={}", folder.display()),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".into(),
            "--skip-name-resolve".into(),
            "--innodb-buffer-pool-size=32M".into(),
            format!("--server-id={}", self.server_id),
        ];
        arguments.extend(small(flavor).iter().map(ToString::to_string));
        if !self.fsync {
            arguments.extend(without_fsync(flavor).iter().map(ToString::to_string));
        }
        let (log, binlog) = if self.fsync { (1, 1) } else { (2, 0) };
        arguments.push(format!("--innodb-flush-log-at-trx-commit={log}"));
        arguments.push(format!("--sync-binlog={binlog}"));
        arguments.extend(self.binlog(flavor));
        if let Some(tls) = &self.tls {
            arguments.push(format!("--ssl-ca={}", path(&file_name(&tls.ca))));
            arguments.push(format!("--ssl-cert={}", path(&file_name(&tls.certificate))));
            arguments.push(format!("--ssl-key={}", path(&file_name(&tls.key))));
        }
        arguments.extend(self.extra_args.iter().cloned());
        arguments
    }

    fn binlog(&self, flavor: Flavor) -> Vec<String> {
        if !self.log_bin {
            return match flavor {
                Flavor::MariaDb => Vec::new(),
                Flavor::MySql => vec!["--skip-log-bin".into()],
            };
        }
        let format = match self.binlog_format {
            BinlogFormat::Row => "ROW",
            BinlogFormat::Statement => "STATEMENT",
            BinlogFormat::Mixed => "MIXED",
        };
        let image = match self.row_image {
            RowImage::Full => "FULL",
            RowImage::Minimal => "MINIMAL",
            RowImage::NoBlob => "NOBLOB",
        };
        let metadata = match (self.row_metadata, flavor) {
            (RowMetadata::Full, _) => "FULL",
            (RowMetadata::NoLog, Flavor::MariaDb) => "NO_LOG",
            (RowMetadata::Minimal, _) | (RowMetadata::NoLog, Flavor::MySql) => "MINIMAL",
        };
        let mut arguments = vec![
            "--log-bin=binlog".to_string(),
            format!("--binlog-format={format}"),
            format!("--binlog-row-image={image}"),
            format!("--binlog-row-metadata={metadata}"),
        ];
        let on = |on: bool| if on { "ON" } else { "OFF" };
        let compression = on(self.transaction_compression);
        match flavor {
            Flavor::MariaDb => {
                arguments.push("--log-slave-updates=1".into());
                arguments.push("--gtid-domain-id=0".into());
                arguments.push("--gtid-strict-mode=1".into());
                arguments.push(format!("--log-bin-compress={compression}"));
                arguments.push("--log-bin-compress-min-len=10".into());
            }
            Flavor::MySql => {
                let gtid = on(self.gtid);
                arguments.push("--log-replica-updates=ON".into());
                arguments.push(format!("--gtid-mode={gtid}"));
                arguments.push(format!("--enforce-gtid-consistency={gtid}"));
                arguments.push(format!("--binlog-transaction-compression={compression}"));
            }
        }
        arguments
    }
}

/// What keeps a server small, and private to its port.
fn small(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::MariaDb => &["--innodb-log-file-size=16M", "--key-buffer-size=1M"],
        Flavor::MySql => &[
            "--mysqlx=OFF",
            // The default folder of the package does not exist; without this the server ends.
            "--secure-file-priv=NULL",
            "--innodb-redo-log-capacity=8M",
            "--performance-schema=OFF",
        ],
    }
}

/// What keeps InnoDB from waiting for the disk; also used while a data folder is made.
pub(super) fn without_fsync(flavor: Flavor) -> &'static [&'static str] {
    match flavor {
        Flavor::MariaDb => {
            &["--innodb-flush-method=nosync", "--skip-innodb-doublewrite", "--innodb-use-native-aio=0"]
        }
        Flavor::MySql => {
            &["--innodb-flush-method=nosync", "--innodb-doublewrite=OFF", "--innodb-use-native-aio=OFF"]
        }
    }
}

/// The last part of a path, as text.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
