//! Where PostgreSQL's programs are, and the template of a data folder.
//!
//! Version 15 may be Debian's own package; else both lie in private folders that
//! `tests/servers/install.sh` fills. This file and that script must agree on where.

use std::fs;
use std::path::{Path, PathBuf};

use super::{PASSWORD, PgVersion, USER};
use crate::server::program::{command, give, present, servers_folder};
use crate::server::template;

/// The folder of the programs: `initdb`, `postgres`, `psql`, `pg_recvlogical` and so on.
pub(super) fn bin(version: PgVersion) -> PathBuf {
    let number = version.number();
    let installed = PathBuf::from(format!("/usr/lib/postgresql/{number}/bin"));
    if version == PgVersion::V15 && installed.join("postgres").exists() {
        return installed;
    }
    present(servers_folder().join(format!("postgres{number}/usr/lib/postgresql/{number}/bin")))
}

/// Copies a fresh data folder to `folder/data`.
pub(super) fn copy_data(version: PgVersion, folder: &Path) {
    let postgres = present(bin(version).join("postgres"));
    let output = command(&postgres).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("{} does not start: {error}", postgres.display()));
    let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let wanted = format!(") {}", version.number());
    assert!(said.contains(&wanted), "{} is `{said}`; run tests/servers/install.sh", postgres.display());
    let made = template::made(version.name(), &said, |folder| initialise(version, folder));
    template::copy(&made, &folder.join("data"));
}

fn initialise(version: PgVersion, folder: &Path) {
    let password = folder.join("password");
    fs::write(&password, PASSWORD).expect("the templates folder is ours");
    give(&password);
    let data = folder.join("data");
    let mut command = command(&bin(version).join("initdb"));
    command.arg("-D").arg(&data).arg("--username").arg(USER);
    command.arg(format!("--pwfile={}", password.display())).arg("--auth=scram-sha-256");
    command.args(["--no-locale", "--encoding=UTF8", "--no-sync"]);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success() && data.join("PG_VERSION").exists(),
        "no data folder for {}: {}{}",
        version.name(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
