//! Private PostgreSQL servers.
//!
//! Each has its own data folder, a free port on 127.0.0.1 and a superuser `postgres` with password
//! `root`. It runs as nobody when the tests run as root, opens no socket in the file system, and
//! dies with the test process (see [`crate::tied`]).

mod options;
mod program;
mod traps;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config, NoTls};

pub use options::{PgOptions, WalLevel};

use crate::server::program::{command, give, present};
use crate::server::{blocking, copy_certificates, free_port, tail};
use crate::tied::{Signal, TiedChild};
use crate::{scratch, wait};

/// The superuser.
pub const USER: &str = "postgres";
/// Password of the superuser and of every role made by [`Postgres::create_role`].
pub const PASSWORD: &str = "root";

/// Time a server may take to start or stop, on a busy machine, after a crash.
const PATIENCE: Duration = Duration::from_secs(90);
/// Time it may take to drop everything.
const QUIT_PATIENCE: Duration = Duration::from_secs(5);
/// How often a start is tried when somebody else was faster to take the port.
const STARTS_MAX: u32 = 5;

/// Which PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PgVersion {
    /// As Debian 12 packages it.
    V15,
    /// As Debian 13 packages it.
    V17,
}

impl PgVersion {
    /// Both, in the order tests use them.
    pub const ALL: [PgVersion; 2] = [PgVersion::V15, PgVersion::V17];

    /// The major version.
    pub fn number(self) -> u32 {
        match self {
            PgVersion::V15 => 15,
            PgVersion::V17 => 17,
        }
    }

    /// `postgres15` or `postgres17`.
    pub fn name(self) -> &'static str {
        match self {
            PgVersion::V15 => "postgres15",
            PgVersion::V17 => "postgres17",
        }
    }

    /// The program of this name that belongs to the version: `psql`, `pg_recvlogical`, `pg_dump`.
    pub fn program(self, name: &str) -> PathBuf {
        present(program::bin(self).join(name))
    }
}

/// A running server; ended, and its data removed, when dropped.
#[derive(Debug)]
pub struct Postgres {
    version: PgVersion,
    options: PgOptions,
    folder: PathBuf,
    port: u16,
    child: Mutex<Option<TiedChild>>,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts a server and waits until it answers.
    pub async fn start(version: PgVersion, options: PgOptions) -> Postgres {
        let folder = blocking({
            let options = options.clone();
            move || prepare_folder(version, &options)
        })
        .await;
        let mut server = Postgres {
            version,
            options,
            folder,
            port: 0,
            child: Mutex::new(None),
            databases: AtomicU32::new(0),
        };
        for attempt in 1.. {
            server.port = free_port();
            match server.run().await {
                Ok(()) => break,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying another port"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
        server
    }

    /// Which PostgreSQL it is.
    pub fn version(&self) -> PgVersion {
        self.version
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The data folder; `pg_wal` in it holds the log.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's own log as it is now.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// As a job file names it: `jdbc:postgresql://127.0.0.1:PORT/DATABASE`.
    pub fn url(&self, database: &str) -> String {
        format!("jdbc:postgresql://127.0.0.1:{}/{database}", self.port)
    }

    /// How to connect as this role to this database.
    pub fn config(&self, user: &str, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(user).password(PASSWORD).dbname(database);
        config
    }

    /// A connection as the superuser. It ends when the client is dropped.
    pub async fn client(&self, database: &str) -> Client {
        connect(&self.config(USER, database)).await.unwrap_or_else(|error| {
            let name = self.version.name();
            panic!("cannot connect to {name}: {error:?}; its log:\n{}", tail(&self.log()))
        })
    }

    /// Runs statements as the superuser, one after the other, each in its own transaction.
    pub async fn execute(&self, database: &str, statements: &[&str]) {
        let client = self.client(database).await;
        for statement in statements {
            if let Err(error) = client.batch_execute(statement).await {
                let start: String = statement.chars().take(400).collect();
                panic!("{} refused `{start}`: {error:?}", self.version.name());
            }
        }
    }

    /// The first column of the first row of a query, as the server prints it; `None` without a row
    /// and for NULL.
    pub async fn value(&self, database: &str, query: &str) -> Option<String> {
        let client = self.client(database).await;
        crate::oracle::postgres::rows(&client, query).await.into_iter().next()?.into_iter().next()?
    }

    /// Makes a role that may log in, with [`PASSWORD`], these attributes (`REPLICATION`) and
    /// rights of the form `SELECT ON public.t`, the latter in `database`. Roles belong to the whole
    /// server: give them names of their own.
    pub async fn create_role(&self, name: &str, attributes: &str, database: &str, rights: &[&str]) {
        let role = crate::oracle::postgres::quoted(name);
        let mut statements = vec![format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}' {attributes}")];
        statements.extend(rights.iter().map(|right| format!("GRANT {right} TO {role}")));
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.execute(database, &statements).await;
    }

    /// Makes a database that no other test uses and returns its name: `PREFIX_1` and so on.
    pub async fn fresh_database(&self, prefix: &str) -> String {
        let name = format!("{prefix}_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        // From template0, so that nobody's connection to the template is in the way.
        self.execute("postgres", &[&format!("CREATE DATABASE \"{name}\" TEMPLATE template0")]).await;
        name
    }

    /// Stops it as an administrator would (`pg_ctl stop`, mode fast) and waits until it is gone. It
    /// waits for its log readers to say that they have everything.
    pub async fn stop(&self) {
        let Some(mut child) = self.child().take() else { return };
        child.thaw();
        child.signal(Signal::Interrupt);
        let what = format!("{} to stop", self.version.name());
        let log = self.folder.join("log");
        blocking(move || {
            wait::until_ok_blocking(PATIENCE, &what, || {
                child.ended().ok_or_else(|| tail(&fs::read_to_string(&log).unwrap_or_default()))
            });
        })
        .await;
    }

    /// Ends all its processes at once, as a crash of the machine would.
    pub fn kill9(&self) {
        if let Some(mut child) = self.child().take() {
            child.kill_family();
        }
    }

    /// Starts it again on the same port and data, after a stop or kill; stops it first when it
    /// runs. Returns when it answers.
    pub async fn restart(&self) {
        self.stop().await;
        // Nobody else was given this port, but a connection may still hold it for a moment.
        for attempt in 1.. {
            match self.run().await {
                Ok(()) => break,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying again"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
    }

    /// Starts it again on the same data with other options.
    pub async fn restart_with(&mut self, options: PgOptions) {
        self.options = options;
        self.restart().await;
    }

    /// Freezes all its processes: from when this returns connections stay and nothing answers.
    pub fn freeze(&self) {
        if let Some(child) = self.child().as_mut() {
            child.freeze_family();
        }
    }

    /// Ends [`Postgres::freeze`].
    pub fn thaw(&self) {
        if let Some(child) = self.child().as_mut() {
            child.thaw();
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<TiedChild>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns the program and waits until it answers. `Err` when the port is somebody else's.
    async fn run(&self) -> Result<(), String> {
        self.write_settings();
        let path = self.folder.join("log");
        let log = File::options().create(true).append(true).open(path).expect("the scratch folder is ours");
        // What it logged before it was stopped says nothing about this start.
        let begun_at = self.log().len();
        let binary = self.version.program("postgres");
        let mut command = command(&binary);
        command.arg("-D").arg(self.data_folder());
        command.stdout(log.try_clone().expect("one more file handle")).stderr(log);
        // Quitting, it removes its shared memory, which would else last until the machine restarts.
        let mut child = TiedChild::spawn_ended_by(command, Signal::Quit)
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let name = self.version.name();
        let log = || self.log().get(begun_at..).unwrap_or_default().to_owned();
        let begun = Instant::now();
        let answer = wait::until_ok(PATIENCE + Duration::from_secs(5), "the server to answer", async || {
            if let Some(status) = child.ended() {
                let log = log();
                let clash = log.contains("Address already in use");
                assert!(clash, "{name} ended while starting ({status}); its log:\n{}", tail(&log));
                return Ok(Err(format!("port {} was taken before {name} had it", self.port)));
            }
            assert!(begun.elapsed() < PATIENCE, "{name} does not answer; its log:\n{}", tail(&log()));
            self.assert_own().await
        })
        .await;
        if answer.is_ok() {
            *self.child() = Some(child);
        }
        answer
    }

    /// Another server on this port would answer as well: ask this one for its data folder.
    async fn assert_own(&self) -> Result<Result<(), String>, String> {
        let client = connect(&self.config(USER, "postgres")).await.map_err(|error| error.to_string())?;
        let row = client.query_one("SHOW data_directory", &[]).await.map_err(|error| error.to_string())?;
        let found: String = row.get(0);
        if Path::new(&found) == self.data_folder() {
            Ok(Ok(()))
        } else {
            Ok(Err(format!("port {} is {found}'s", self.port)))
        }
    }

    fn write_settings(&self) {
        let data = self.data_folder();
        for (name, text) in
            [("postgresql.conf", self.options.conf(self.port)), ("pg_hba.conf", self.options.hba())]
        {
            let file = data.join(name);
            fs::write(&file, text).unwrap_or_else(|error| panic!("cannot write {name}: {error}"));
            give(&file);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child().take() {
            child.thaw();
            child.signal(Signal::Quit);
            let begun = Instant::now();
            while child.ended().is_none() && begun.elapsed() < QUIT_PATIENCE {
                std::thread::sleep(Duration::from_millis(2));
            }
            if child.ended().is_none() {
                child.kill_family();
            }
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Connects without TLS; the connection's own task ends with the client.
pub async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    // How it ended is seen by who uses the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

fn prepare_folder(version: PgVersion, options: &PgOptions) -> PathBuf {
    let folder = scratch::folder("g");
    give(&folder);
    program::copy_data(version, &folder);
    if let Some(tls) = &options.tls {
        copy_certificates(tls, &folder);
    }
    folder
}
