//! How a PostgreSQL server is set up, and the files in its data folder that make it so.

use crate::certificates::Certificates;
use crate::server::options::file_name;

/// How much the server writes into its log (`wal_level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalLevel {
    /// Enough for a change stream.
    Logical,
    /// Enough for a replica only; the server's own default.
    Replica,
}

/// How a server is set up. The default is what a change stream wants, without waiting for disks.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// `wal_level`.
    pub wal_level: WalLevel,
    /// `wal_sender_timeout`, as the server reads it (`2s`); the server's own default is 60 s.
    pub wal_sender_timeout: Option<String>,
    /// `logical_decoding_work_mem`, as the server reads it (`64kB` is the least); past it a
    /// transaction in progress is streamed or spilled.
    pub logical_decoding_work_mem: Option<String>,
    /// Whether a commit waits for the disk. Without it a killed server still keeps what it has
    /// committed; only a machine that loses power would not.
    pub fsync: bool,
    /// Certificates to offer TLS with; without them it speaks none.
    pub tls: Option<Certificates>,
    /// Lines of `pg_hba.conf` before the default ones, so that they win: everybody may connect
    /// over TCP with a password by SCRAM.
    pub hba: Vec<String>,
    /// Further settings, last, so that they win.
    pub settings: Vec<(String, String)>,
}

impl Default for PgOptions {
    fn default() -> PgOptions {
        PgOptions {
            wal_level: WalLevel::Logical,
            wal_sender_timeout: None,
            logical_decoding_work_mem: None,
            fsync: false,
            tls: None,
            hba: Vec::new(),
            settings: Vec::new(),
        }
    }
}

/// What keeps a server small, and large enough for every test of a process at once.
const SMALL: [(&str, &str); 9] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("password_encryption", "scram-sha-256"),
    ("shared_buffers", "32MB"),
    ("max_connections", "300"),
    ("max_wal_size", "256MB"),
    ("max_prepared_transactions", "20"),
    ("max_replication_slots", "200"),
    ("max_wal_senders", "100"),
];

impl PgOptions {
    /// Adds a setting, for example `("max_slot_wal_keep_size", "16MB")`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> PgOptions {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// `postgresql.conf`.
    pub(super) fn conf(&self, port: u16) -> String {
        let mut lines = String::new();
        let mut set = |name: &str, value: &str| {
            lines.push_str(&format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")));
        };
        SMALL.iter().for_each(|(name, value)| set(name, value));
        set("port", &port.to_string());
        set("wal_level", if self.wal_level == WalLevel::Logical { "logical" } else { "replica" });
        // The private builds come without the compiler.
        set("jit", "off");
        if !self.fsync {
            // Commits are still written, and pages still whole in the log: `kill -9` can tear a
            // page, and what was committed before it stays.
            set("fsync", "off");
        }
        let named = [
            ("wal_sender_timeout", &self.wal_sender_timeout),
            ("logical_decoding_work_mem", &self.logical_decoding_work_mem),
        ];
        for (name, value) in named {
            value.iter().for_each(|value| set(name, value));
        }
        if let Some(tls) = &self.tls {
            set("ssl", "on");
            set("ssl_ca_file", &format!("../{}", file_name(&tls.ca)));
            set("ssl_cert_file", &format!("../{}", file_name(&tls.certificate)));
            set("ssl_key_file", &format!("../{}", file_name(&tls.key)));
        }
        self.settings.iter().for_each(|(name, value)| set(name, value));
        lines
    }

    /// `pg_hba.conf`.
    pub(super) fn hba(&self) -> String {
        let mut lines: Vec<&str> = self.hba.iter().map(String::as_str).collect();
        lines.push("host all all 127.0.0.1/32 scram-sha-256");
        lines.push("host replication all 127.0.0.1/32 scram-sha-256");
        lines.join("\n") + "\n"
    }
}
