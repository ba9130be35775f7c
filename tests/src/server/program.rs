//! Where the programs are.
//!
//! MariaDB comes from Debian's packages. MySQL and MariaDB's binlog reader lie in private folders
//! that `tests/servers/install.sh` fills; this file and that script must agree on where.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Flavor;
use crate::tied::is_root;

/// The user servers run as when the tests run as root: Debian's `nobody`.
const NOBODY: u32 = 65534;

/// The folder of everything fetched: `CULVERT_SERVERS`; else `/var/cache/culvert-servers` as root,
/// because `nobody` cannot walk through root's home; else in the user's cache.
pub fn servers_folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("CULVERT_SERVERS") {
        return folder;
    }
    if is_root() {
        return PathBuf::from("/var/cache/culvert-servers");
    }
    let cache = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    cache.expect("HOME is set").join("culvert-servers")
}

/// The server.
pub(super) fn server(flavor: Flavor) -> PathBuf {
    present(match flavor {
        Flavor::MariaDb => PathBuf::from("/usr/sbin/mariadbd"),
        Flavor::MySql => servers_folder().join("mysql/usr/sbin/mysqld"),
    })
}

/// The program that prints a binlog, for comparison.
pub(super) fn binlog_reader(flavor: Flavor) -> PathBuf {
    present(match flavor {
        Flavor::MariaDb => servers_folder().join("mariadb-client/usr/bin/mariadb-binlog"),
        Flavor::MySql => servers_folder().join("mysql/usr/bin/mysqlbinlog"),
    })
}

/// The same path, when something is there.
pub(crate) fn present(program: PathBuf) -> PathBuf {
    assert!(program.exists(), "{} is missing: run tests/servers/install.sh", program.display());
    program
}

/// What the program says about its version; names its templates.
pub(super) fn version(program: &Path) -> String {
    let output = command(program)
        .args(["--no-defaults", "--version"])
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
    assert!(
        output.status.success(),
        "{} does not run: {}; run tests/servers/install.sh",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// A command that runs as nobody when the tests run as root, with nothing of theirs to read.
pub(crate) fn command(program: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    command.env("LC_ALL", "C").env("TZ", "UTC").env_remove("TMPDIR").stdin(Stdio::null()).current_dir("/");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Gives a path to the user that [`command`] runs as.
pub(crate) fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY))
            .unwrap_or_else(|error| panic!("cannot give {} to nobody: {error}", path.display()));
    }
}
