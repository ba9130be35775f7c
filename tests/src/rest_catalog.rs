//! A private Iceberg REST catalog: the server that Apache Iceberg tests its own clients with.
//!
//! It keeps its pointers in an SQLite file, so that it can be killed and started again, and writes metadata
//! files itself, into a folder or into a bucket. It runs as the user of the tests, because tables in a folder
//! are written by both; it asks nobody who he is, and its class takes no address but listens on all of the
//! machine's. It dies with the test process (see [`crate::tied`]).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lake::LakeTable;
use crate::s3::{self, S3};
use crate::server::program::{present, servers_folder};
use crate::server::{blocking, free_port, tail};
use crate::tied::TiedChild;
use crate::{scratch, wait};

/// Time a catalog may take to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time one question may take.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a start is tried when somebody else was faster to take a port.
const STARTS_MAX: u32 = 5;

/// A running catalog; killed when dropped, and the folder of its tables removed.
#[derive(Debug)]
pub struct RestCatalog {
    folder: PathBuf,
    port: u16,
    warehouse: String,
    /// What its tables are read with.
    template: LakeTable,
    settings: Vec<(&'static str, String)>,
    child: Mutex<Option<TiedChild>>,
}

impl RestCatalog {
    /// Starts a catalog whose tables lie in a folder of its own.
    pub async fn start() -> RestCatalog {
        let folder = scratch::folder("i");
        let warehouse = format!("file://{}", folder.join("warehouse").display());
        let settings = vec![("CATALOG_IO__IMPL", "org.apache.iceberg.hadoop.HadoopFileIO".to_owned())];
        RestCatalog::start_with(folder, warehouse, settings, None).await
    }

    /// Starts a catalog whose tables lie in a bucket.
    pub async fn start_on(s3: &S3, bucket: &str) -> RestCatalog {
        let settings = vec![
            ("CATALOG_IO__IMPL", "org.apache.iceberg.aws.s3.S3FileIO".to_owned()),
            ("CATALOG_S3_ENDPOINT", s3.url()),
            ("CATALOG_S3_PATH__STYLE__ACCESS", "true".to_owned()),
            ("CATALOG_S3_ACCESS__KEY__ID", s3::KEY.to_owned()),
            ("CATALOG_S3_SECRET__ACCESS__KEY", s3::SECRET.to_owned()),
            ("CATALOG_CLIENT_REGION", s3::REGION.to_owned()),
        ];
        let warehouse = format!("s3://{bucket}/warehouse");
        RestCatalog::start_with(scratch::folder("i"), warehouse, settings, Some(s3)).await
    }

    async fn start_with(
        folder: PathBuf,
        warehouse: String,
        settings: Vec<(&'static str, String)>,
        s3: Option<&S3>,
    ) -> RestCatalog {
        for attempt in 1.. {
            let port = free_port();
            let mut template = LakeTable::rest(&format!("http://127.0.0.1:{port}"), "");
            if let Some(s3) = s3 {
                template = template.on(s3);
            }
            let catalog = RestCatalog {
                folder: folder.clone(),
                port,
                warehouse: warehouse.clone(),
                template,
                settings: settings.clone(),
                child: Mutex::new(None),
            };
            match catalog.run().await {
                Ok(()) => return catalog,
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying another port"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a job file gives as its address.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same behind another port: a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Where its tables lie: `file:///…` or `s3://bucket/…`.
    pub fn warehouse(&self) -> &str {
        &self.warehouse
    }

    /// A table of it, `namespace.table`, for the engines.
    pub fn table(&self, name: &str) -> LakeTable {
        self.template.clone().named(name)
    }

    /// `kill -9`.
    pub fn kill9(&self) {
        drop(self.child().take());
    }

    /// Starts it again behind [`RestCatalog::kill9`], with what it knew and at its port.
    pub async fn restart(&self) {
        self.kill9();
        self.run().await.unwrap_or_else(|port_taken| panic!("{port_taken}"));
    }

    fn child(&self) -> MutexGuard<'_, Option<TiedChild>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, log: &Path) -> Command {
        let log = File::options().create(true).append(true).open(log).expect("the scratch folder is ours");
        let mut java = Command::new("java");
        java.args(["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
        java.arg(format!("-Djava.io.tmpdir={}", self.folder.display()));
        java.arg("-cp").arg(format!("{}/*", jars().display()));
        java.arg("org.apache.iceberg.rest.RESTCatalogServer").current_dir(&self.folder);
        java.env("HOME", &self.folder).env("AWS_EC2_METADATA_DISABLED", "true");
        java.env("CATALOG_URI", format!("jdbc:sqlite:file:{}", self.folder.join("catalog.db").display()));
        java.env("CATALOG_WAREHOUSE", &self.warehouse).env("CATALOG_REST_PORT", self.port.to_string());
        // With one connection to SQLite nothing waits for a lock of itself: of two, each can hold what the other needs.
        java.env("CATALOG_CLIENTS", "1");
        java.envs(self.settings.iter().map(|(name, value)| (name, value)));
        java.stdin(Stdio::null()).stdout(log.try_clone().expect("one more file handle")).stderr(log);
        java
    }

    /// Spawns the program and waits until it answers. `Err` when the port is somebody else's.
    async fn run(&self) -> Result<(), String> {
        let path = self.folder.join("log");
        let mut child = TiedChild::spawn(self.command(&path))
            .unwrap_or_else(|error| panic!("java does not start: {error}; run tests/servers/install.sh"));
        let said = || fs::read_to_string(&path).unwrap_or_default();
        let url = format!("{}/v1/config", self.url());
        let begun = Instant::now();
        wait::until_ok(PATIENCE + ASK_PATIENCE, "the REST catalog to answer", async || {
            if let Some(status) = child.ended() {
                let log = said();
                let clash = log.contains("already in use") || log.contains("Failed to bind");
                assert!(clash, "the REST catalog ended while starting ({status}); its log:\n{}", tail(&log));
                return Ok(Err(format!("port {} was taken before the REST catalog had it", self.port)));
            }
            assert!(begun.elapsed() < PATIENCE, "no answer of the REST catalog; its log:\n{}", tail(&said()));
            let url = url.clone();
            blocking(move || ask(&url)).await.map(Ok)
        })
        .await?;
        *self.child() = Some(child);
        Ok(())
    }
}

impl Drop for RestCatalog {
    fn drop(&mut self) {
        // One that never ran has given its folder to the next.
        if self.child().take().is_some() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn ask(url: &str) -> Result<(), String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(ASK_PATIENCE)).proxy(None).build();
    let agent: ureq::Agent = config.into();
    agent.get(url).call().map(|_| ()).map_err(|error| error.to_string())
}

/// The catalog's jars.
fn jars() -> PathBuf {
    present(servers_folder().join("rest-catalog/libs"))
}
