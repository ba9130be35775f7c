//! Private MariaDB and MySQL servers.
//!
//! Each has its own data folder, a free port on 127.0.0.1 and an account `root` with password
//! `root`. It runs as nobody when the tests run as root, touches no service of the system, and
//! dies with the test process (see [`crate::tied`]).

pub(crate) mod options;
pub(crate) mod program;
pub(crate) mod template;

use std::fs::{File, Permissions};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder};
use rand::Rng;

pub use options::{BinlogFormat, RowImage, RowMetadata, ServerOptions};
pub use program::servers_folder;

use crate::certificates::Certificates;
use crate::tied::{Signal, TiedChild};
use crate::{scratch, wait};

/// Password of `root` and of every user made by [`Server::create_user`].
pub const PASSWORD: &str = "root";

/// Time a server may take to start or stop, on a busy machine, after a crash.
const PATIENCE: Duration = Duration::from_secs(90);

/// How often a start is tried when somebody else was faster to take the port.
const STARTS_MAX: u32 = 5;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavor {
    /// MariaDB, as Debian packages it (10.11).
    MariaDb,
    /// Oracle's MySQL (9.7).
    MySql,
}

impl Flavor {
    /// Both, in the order tests use them.
    pub const ALL: [Flavor; 2] = [Flavor::MariaDb, Flavor::MySql];

    /// `mariadb` or `mysql`.
    pub fn name(self) -> &'static str {
        match self {
            Flavor::MariaDb => "mariadb",
            Flavor::MySql => "mysql",
        }
    }

    /// The program that prints this server's binlog: `mariadb-binlog` or `mysqlbinlog`.
    pub fn binlog_reader(self) -> PathBuf {
        program::binlog_reader(self)
    }
}

/// A running server; killed, and its data removed, when dropped.
#[derive(Debug)]
pub struct Server {
    flavor: Flavor,
    options: ServerOptions,
    folder: PathBuf,
    port: u16,
    child: Mutex<Option<TiedChild>>,
    databases: AtomicU32,
}

impl Server {
    /// Starts a MariaDB.
    pub async fn mariadb(options: ServerOptions) -> Server {
        Server::start(Flavor::MariaDb, options).await
    }

    /// Starts a MySQL.
    pub async fn mysql(options: ServerOptions) -> Server {
        Server::start(Flavor::MySql, options).await
    }

    /// Starts a server and waits until it answers.
    pub async fn start(flavor: Flavor, options: ServerOptions) -> Server {
        let folder = blocking({
            let options = options.clone();
            move || prepare_folder(flavor, &options)
        })
        .await;
        let mut server = Server {
            flavor,
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

    /// Which server it is.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server program.
    pub fn binary(&self) -> PathBuf {
        program::server(self.flavor)
    }

    /// The data folder: binlogs are files `binlog.000001` and so on in it.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's own log as it is now.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// As a job file names it: `jdbc:mysql://127.0.0.1:PORT/DATABASE`.
    pub fn url(&self, database: &str) -> String {
        format!("jdbc:mysql://127.0.0.1:{}/{database}", self.port)
    }

    /// Options to connect as this user, without the socket that the client would otherwise change
    /// to behind our back.
    pub fn opts(&self, user: &str) -> OptsBuilder {
        OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .prefer_socket(false)
            .user(Some(user))
            .pass(Some(PASSWORD))
    }

    /// A connection as root.
    pub async fn conn(&self) -> Conn {
        let name = self.flavor.name();
        Conn::new(Opts::from(self.opts("root"))).await.unwrap_or_else(|error| {
            panic!("cannot connect to {name}: {error}; its log:\n{}", tail(&self.log()))
        })
    }

    /// Runs statements as root, one after the other.
    pub async fn execute(&self, statements: &[&str]) {
        let mut conn = self.conn().await;
        for statement in statements {
            if let Err(error) = conn.query_drop(*statement).await {
                panic!("{} refused `{statement}`: {error}", self.flavor.name());
            }
        }
        let _ = conn.disconnect().await;
    }

    /// Makes a user for any host with [`PASSWORD`] and grants of the form
    /// `replication slave, replication client on *.*`. A user of that name is replaced.
    pub async fn create_user(&self, name: &str, grants: &[&str]) {
        let account = format!("'{name}'@'%'");
        let mut statements = vec![
            format!("DROP USER IF EXISTS {account}"),
            format!("CREATE USER {account} IDENTIFIED BY '{PASSWORD}'"),
        ];
        for grant in grants {
            statements.push(format!("GRANT {grant} TO {account}"));
        }
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.execute(&statements).await;
    }

    /// Makes a database that no other test uses and returns its name: `PREFIX_1` and so on.
    pub async fn fresh_database(&self, prefix: &str) -> String {
        let name = format!("{prefix}_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        self.execute(&[&format!("CREATE DATABASE `{name}`")]).await;
        name
    }

    /// Stops it as an administrator would and waits until it is gone.
    pub async fn stop_graceful(&self) {
        let Some(mut child) = self.child().take() else { return };
        child.signal(Signal::Continue);
        child.signal(Signal::Terminate);
        let what = format!("{} to stop", self.flavor.name());
        blocking(move || {
            wait::until_ok_blocking(PATIENCE, &what, || child.ended().ok_or("it still runs"));
        })
        .await;
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&self) {
        // Dropping kills and waits.
        drop(self.child().take());
    }

    /// Starts it again on the same port and data, after a stop or kill; stops it first when it
    /// runs. Returns when it answers.
    pub async fn restart(&self) {
        self.stop_graceful().await;
        // Nobody else was given this port, but a connection may still hold it for a moment.
        for attempt in 1.. {
            match self.run().await {
                Ok(()) => break,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying again"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
    }

    /// Starts it again on the same data with other options: a larger disk, another log.
    pub async fn restart_with(&mut self, options: ServerOptions) {
        self.options = options;
        self.restart().await;
    }

    /// Freezes it: from when this returns connections stay and nothing answers.
    pub fn pause(&self) {
        if let Some(child) = self.child().as_mut() {
            child.freeze();
        }
    }

    /// Ends [`Server::pause`].
    pub fn resume(&self) {
        if let Some(child) = self.child().as_mut() {
            child.signal(Signal::Continue);
        }
    }

    fn child(&self) -> MutexGuard<'_, Option<TiedChild>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spawns the program and waits until it answers. `Err` when the port is somebody else's.
    async fn run(&self) -> Result<(), String> {
        let arguments = self.options.arguments(self.flavor, &self.folder, self.port);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("the scratch folder is ours");
        let mut command = program::command(&self.binary());
        command.args(arguments).stdout(log.try_clone().expect("one more file handle")).stderr(log);
        let child = TiedChild::spawn(command)
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary().display()));
        let (port, flavor, folder) = (self.port, self.flavor, self.folder.clone());
        let child = blocking(move || wait_until_greeted(child, flavor, port, &folder)).await?;
        *self.child() = Some(child);
        self.assert_own().await
    }

    /// Another server on this port would greet as well: ask this one for its data folder.
    async fn assert_own(&self) -> Result<(), String> {
        let wanted = self.data_folder();
        let taken = |found: String| Err(format!("port {} is {found}'s", self.port));
        let mut conn = match Conn::new(Opts::from(self.opts("root"))).await {
            Ok(conn) => conn,
            Err(error) => return taken(format!("another server ({error})")),
        };
        let found: Option<String> = conn.query_first("SELECT @@datadir").await.unwrap_or_default();
        let _ = conn.disconnect().await;
        match found {
            Some(found) if Path::new(&found) == wanted => Ok(()),
            found => taken(found.unwrap_or_default()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs what blocks beside the test's own tasks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("the runtime is ending: {error}"),
        },
    }
}

fn prepare_folder(flavor: Flavor, options: &ServerOptions) -> PathBuf {
    let folder = scratch::folder("s");
    program::give(&folder);
    template::copy_to(flavor, &folder);
    if let Some(tls) = &options.tls {
        copy_certificates(tls, &folder);
    }
    folder
}

/// Puts certificates into a server's folder, for its user alone.
pub(crate) fn copy_certificates(tls: &Certificates, folder: &Path) {
    for file in [&tls.ca, &tls.certificate, &tls.key] {
        let copy = folder.join(options::file_name(file));
        std::fs::copy(file, &copy).unwrap_or_else(|error| panic!("no {}: {error}", file.display()));
        std::fs::set_permissions(&copy, Permissions::from_mode(0o600)).expect("the copy is ours");
        program::give(&copy);
    }
}

/// A port nobody listens on. Below the range that the kernel takes for outgoing connections, so
/// that a server which is down for a while finds its port again.
pub(crate) fn free_port() -> u16 {
    let mut random = rand::rng();
    for _ in 0..1000 {
        let port = random.random_range(12_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between 12000 and 32000");
}

/// Waits until something on the port greets as a server does. `Err` when the port was taken.
fn wait_until_greeted(
    mut child: TiedChild,
    flavor: Flavor,
    port: u16,
    folder: &Path,
) -> Result<TiedChild, String> {
    let begun = Instant::now();
    let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let name = flavor.name();
    wait::until_ok_blocking(PATIENCE + Duration::from_secs(5), &format!("{name} to answer"), || {
        if let Some(status) = child.ended() {
            let log = log();
            let clash = log.contains("Address already in use");
            assert!(clash, "{name} ended while starting ({status}); its log:\n{}", tail(&log));
            return Ok(Err(format!("port {port} was taken before {name} had it")));
        }
        if begun.elapsed() > PATIENCE {
            panic!("{name} does not answer after {PATIENCE:?}; its log:\n{}", tail(&log()));
        }
        greeting(port).map(Ok)
    })?;
    Ok(child)
}

/// Connects and reads the server's greeting: a packet whose first byte is the protocol, 10.
fn greeting(port: u16) -> Result<(), String> {
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let limit = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address.into(), limit).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(limit)).map_err(|e| e.to_string())?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).map_err(|e| e.to_string())?;
    match start {
        [_, _, _, 0, 10] => Ok(()),
        _ => Err("it greets with an error".into()),
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n")
}
