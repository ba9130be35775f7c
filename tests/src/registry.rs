//! A private schema registry.
//!
//! Apicurio Registry, which speaks Confluent's interface, with its data in memory and free ports on
//! 127.0.0.1. It runs as nobody when the tests run as root, and dies with the test process (see
//! [`crate::tied`]).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::certificates::Certificates;
use crate::server::options::file_name;
use crate::server::program::{command, give, present, servers_folder};
use crate::server::{blocking, copy_certificates, free_port, tail};
use crate::tied::TiedChild;
use crate::{scratch, wait};

/// Time a registry may take to start, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Time one question may take.
const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a start is tried when somebody else was faster to take a port.
const STARTS_MAX: u32 = 5;
/// Where Confluent's interface is.
const BASE: &str = "apis/ccompat/v7";

/// A running registry; killed when dropped.
#[derive(Debug)]
pub struct Registry {
    folder: PathBuf,
    certificates: Certificates,
    port: u16,
    secure: u16,
    _child: TiedChild,
}

impl Registry {
    /// Starts a registry and waits until it answers.
    pub async fn start() -> Registry {
        let folder = scratch::folder("r");
        give(&folder);
        let certificates = Certificates::generate(&scratch::folder("c"));
        copy_certificates(&certificates, &folder);
        for attempt in 1.. {
            let (port, secure) = (free_port(), free_port());
            match run(&folder, &certificates, port, secure).await {
                Ok(child) => return Registry { folder, certificates, port, secure, _child: child },
                Err(port_taken) if attempt < STARTS_MAX => eprintln!("{port_taken}; trying other ports"),
                Err(port_taken) => panic!("{port_taken}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a job file gives as `schema.registry.url`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{BASE}", self.port)
    }

    /// The same behind another port: a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}/{BASE}")
    }

    /// The same by TLS.
    pub fn secure_url(&self) -> String {
        format!("https://127.0.0.1:{}/{BASE}", self.secure)
    }

    /// What [`Registry::secure_url`] is verified against.
    pub fn authority(&self) -> &Path {
        &self.certificates.ca
    }

    /// What `GET path` answers, such as `subjects/t-value/versions`; `None` when there is no such thing.
    pub async fn get(&self, path: &str) -> Option<String> {
        let url = format!("{}/{path}", self.url());
        blocking(move || ask(&url)).await.unwrap_or_else(|failure| panic!("the registry: {failure}"))
    }

    /// Sets the rule by which a subject's next schema is judged: `BACKWARD`, `FULL`, `NONE` and so on.
    pub async fn set_compatibility(&self, subject: &str, rule: &str) {
        let url = format!("{}/config/{subject}", self.url());
        let body = format!("{{\"compatibility\":\"{rule}\"}}");
        let done = blocking(move || agent().put(&url).header("Content-Type", "application/json").send(body));
        let status = done.await.expect("the registry answers").status();
        assert!(status.is_success(), "the registry set no rule for {subject}: {status}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().timeout_global(Some(ASK_PATIENCE)).proxy(None);
    config.http_status_as_error(false).build().into()
}

fn ask(url: &str) -> Result<Option<String>, String> {
    let mut response = agent().get(url).call().map_err(|error| error.to_string())?;
    let text = response.body_mut().read_to_string().map_err(|error| error.to_string())?;
    match response.status().as_u16() {
        200 => Ok(Some(text)),
        404 => Ok(None),
        status => Err(format!("status {status}: {text}")),
    }
}

/// Spawns the program and waits until it answers. `Err` when a port is somebody else's.
async fn run(folder: &Path, tls: &Certificates, port: u16, secure: u16) -> Result<TiedChild, String> {
    let path = folder.join("log");
    let log = File::create(&path).expect("the scratch folder is ours");
    let mut java = command(Path::new("java"));
    java.args(["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]);
    java.arg(format!("-Djava.io.tmpdir={}", folder.display()));
    java.arg("-Dquarkus.http.host=127.0.0.1").arg(format!("-Dquarkus.http.port={port}"));
    java.arg(format!("-Dquarkus.http.ssl-port={secure}"));
    let copy = |file: &Path| folder.join(file_name(file)).display().to_string();
    java.arg(format!("-Dquarkus.http.ssl.certificate.files={}", copy(&tls.certificate)));
    java.arg(format!("-Dquarkus.http.ssl.certificate.key-files={}", copy(&tls.key)));
    java.arg("-jar").arg(jar()).current_dir(folder);
    java.stdout(log.try_clone().expect("one more file handle")).stderr(log);
    let mut child = TiedChild::spawn(java)
        .unwrap_or_else(|error| panic!("java does not start: {error}; run tests/servers/install.sh"));
    let said = || fs::read_to_string(&path).unwrap_or_default();
    let url = format!("http://127.0.0.1:{port}/{BASE}/subjects");
    let begun = Instant::now();
    wait::until_ok(PATIENCE + ASK_PATIENCE, "the registry to answer", async || {
        if let Some(status) = child.ended() {
            let log = said();
            let clash = log.contains("already in use") || log.contains("already bound");
            assert!(clash, "the registry ended while starting ({status}); its log:\n{}", tail(&log));
            return Ok(Err(format!("port {port} or {secure} was taken before the registry had it")));
        }
        assert!(begun.elapsed() < PATIENCE, "the registry does not answer; its log:\n{}", tail(&said()));
        let url = url.clone();
        match blocking(move || ask(&url)).await? {
            Some(_) => Ok(Ok(())),
            None => Err("it has no subjects yet".to_owned()),
        }
    })
    .await?;
    Ok(child)
}

/// The registry's jar.
fn jar() -> PathBuf {
    let folder = present(servers_folder().join("registry"));
    let entries = fs::read_dir(&folder).expect("the registry's folder is readable");
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let found = names.find(|path| path.to_string_lossy().ends_with("-runner.jar"));
    found.unwrap_or_else(|| panic!("no jar in {}: run tests/servers/install.sh", folder.display()))
}
