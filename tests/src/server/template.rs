//! Data folders are made once per version of a server and copied for each instance.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::options::without_fsync;
use super::{Flavor, PASSWORD, program};

/// Part of a template's name: a change of how templates are made is a new number.
const FORMAT: u32 = 1;

/// Copies a fresh data folder to `folder/data`.
pub(super) fn copy_to(flavor: Flavor, folder: &Path) {
    let server = program::server(flavor);
    let version = program::version(&server);
    let template = made(flavor.name(), &version, |folder| initialise(flavor, &server, folder));
    let target = folder.join("data");
    copy(&template, &target);
    if flavor == Flavor::MySql {
        // Holds the server's uuid, which must differ between servers.
        fs::remove_file(target.join("auto.cnf")).expect("a MySQL template has an auto.cnf");
    }
}

/// Copies a template.
pub(crate) fn copy(template: &Path, target: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["-a", "--sparse=always"]).arg(template).arg(target);
    let output = copy.output().unwrap_or_else(|error| panic!("cp does not start: {error}"));
    assert!(output.status.success(), "{copy:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}

/// The data folder of a template, made by whoever needs it first. `version` is what the program
/// says about itself; `initialise` makes a folder `data` in a folder that the servers own.
pub(crate) fn made(server: &str, version: &str, initialise: impl FnOnce(&Path)) -> PathBuf {
    let version: String =
        version.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = format!("{server}-{FORMAT}-{:08x}", hash(&version));
    let folder = program::servers_folder().join("templates");
    fs::create_dir_all(&folder).unwrap_or_else(|error| {
        panic!("cannot create {}: {error}; set CULVERT_SERVERS to a folder you own", folder.display())
    });
    let template = folder.join(&name);
    let data = template.join("data");
    let lock = File::create(folder.join(format!("{name}.lock"))).expect("the templates folder is ours");
    lock.lock().expect("a lock in the templates folder");
    if data.exists() {
        return data;
    }
    let unfinished = folder.join(format!("{name}.new"));
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).expect("the templates folder is ours");
    program::give(&unfinished);
    initialise(&unfinished);
    fs::rename(&unfinished, &template).expect("the templates folder is ours");
    data
}

/// FNV-1a: names a version in few characters, the same in every run.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn initialise(flavor: Flavor, server: &Path, folder: &Path) {
    let accounts = folder.join("accounts.sql");
    fs::write(&accounts, accounts_sql(flavor)).expect("the templates folder is ours");
    program::give(&accounts);
    let data = folder.join("data");
    let mut command = match flavor {
        Flavor::MariaDb => {
            let mut command = program::command(Path::new("/usr/bin/mariadb-install-db"));
            command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
            command.arg(format!("--extra-file={}", accounts.display())).arg("--innodb-log-file-size=16M");
            command
        }
        Flavor::MySql => {
            let mut command = program::command(server);
            command.args(["--no-defaults", "--initialize-insecure", "--innodb-redo-log-capacity=8M"]);
            command.arg("--secure-file-priv=NULL").arg(format!("--init-file={}", accounts.display()));
            command
        }
    };
    command.arg(format!("--datadir={}", data.display())).args(without_fsync(flavor));
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success() && data.join("mysql").exists(),
        "no data folder for {}: {}{}",
        flavor.name(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// One account for every way to name this machine. MariaDB's own setup leaves some of them behind.
fn accounts_sql(flavor: Flavor) -> String {
    // The grant tables are not loaded while a data folder is made.
    let mut sql = String::from("FLUSH PRIVILEGES;\n");
    for host in ["localhost", "127.0.0.1", "%"] {
        let account = format!("'root'@'{host}'");
        let make = match (flavor, host) {
            (Flavor::MariaDb, _) => "CREATE OR REPLACE USER",
            (Flavor::MySql, "localhost") => "ALTER USER",
            (Flavor::MySql, _) => "CREATE USER",
        };
        sql.push_str(&format!("{make} {account} IDENTIFIED BY '{PASSWORD}';\n"));
        sql.push_str(&format!("GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"));
    }
    sql.push_str("FLUSH PRIVILEGES;\n");
    sql
}
