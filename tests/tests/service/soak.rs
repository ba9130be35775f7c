//! The service at work for a long time, under faults drawn from a seed: nothing lost, nothing twice.
//!
//! `make soak` runs it for `CULVERT_SOAK_MINUTES`; without it, for a short while. `CULVERT_TEST_SEED` repeats the
//! draw, as far as timing lets it. Jobs in both directions between a MariaDB and a PostgreSQL, mirrors and logs of
//! every change; writers at the sources; in the end an oracle compares every target with its source.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use culvert_tests::{
    Database, Flavor, Hook, Manner, PgOptions, PgVersion, Postgres, Proxy, Server, ServerOptions, random,
    seed, wait,
};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use ureq::http::Method;

use super::Service;
use super::api::{Api, ENDLESS};
use crate::postgres::scene::Scene;
use crate::postgres::writers::Writers;

/// How long it takes without `CULVERT_SOAK_MINUTES`.
const SHORT: Duration = Duration::from_secs(45);
/// Rows of the largest table.
const ROWS: u64 = 4_000;
/// How long targets may take to catch up in the end.
const CATCH_UP: Duration = Duration::from_secs(300);
/// How often the memory of the service is written down.
const LOOK_EVERY: Duration = Duration::from_secs(60);

fn length() -> Duration {
    let minutes = std::env::var("CULVERT_SOAK_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0))
}

/// What happens to the service and what it works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Kill,
    Terminate,
    CutSources,
    MuteSources,
    CutTargets,
    Pause,
    Savepoint,
    Change,
    RestartServer,
    Ask,
}

const FAULTS: [Fault; 10] = [
    Fault::Kill,
    Fault::Terminate,
    Fault::CutSources,
    Fault::MuteSources,
    Fault::CutTargets,
    Fault::Pause,
    Fault::Savepoint,
    Fault::Change,
    Fault::RestartServer,
    Fault::Ask,
];

/// One job of the service.
struct Job {
    id: String,
    name: String,
    text: String,
    parallelism: u32,
}

struct Soak<'a> {
    mariadb: &'a Server,
    postgres: &'a Postgres,
    proxies: [Proxy; 2],
    scenes: Vec<Scene<'a>>,
    jobs: Vec<Job>,
    api: Option<Api>,
    random: StdRng,
    seed: u64,
    writers: Vec<Writers>,
    committed: u64,
    faults: Vec<Fault>,
}

impl<'a> Soak<'a> {
    async fn new(mariadb: &'a Server, postgres: &'a Postgres, hook: &Hook, seed: u64) -> Soak<'a> {
        let proxies = [Proxy::start(mariadb.port()).await, Proxy::start(postgres.port()).await];
        let through_mariadb = |database: &str| proxies[0].url(database);
        let through_postgres =
            |database: &str| format!("jdbc:postgresql://127.0.0.1:{}/{database}", proxies[1].port());
        let scenes = vec![
            Scene::new(mariadb, postgres, ROWS, 200, Some(&through_mariadb)).await,
            Scene::new(postgres, mariadb, ROWS, 200, Some(&through_postgres)).await,
        ];
        let service = Service::new();
        service.configure(&format!(
            "http {{ port = 0, requests.per.second = 0 }}\nevents {{ listeners = [ {{ type = webhook, url = \"{}\" }} ] }}",
            hook.url("/events")
        ));
        let api = Api::of(service, None).await;
        let mut jobs = Vec::new();
        for job in scenes.iter().flat_map(|scene| [&scene.mirror_job, &scene.log_job]) {
            let text = std::fs::read_to_string(&job.file).expect("it was written");
            let submitted = api.post("/api/v1/jobs", &json!({ "text": text, "name": job.name })).ok();
            let id = submitted["id"].as_str().expect("a number").to_owned();
            jobs.push(Job { id, name: job.name.clone(), text, parallelism: 2 });
        }
        api.submit(ENDLESS);
        Soak {
            mariadb,
            postgres,
            proxies,
            scenes,
            jobs,
            api: Some(api),
            random: random::generator(seed),
            seed,
            writers: Vec::new(),
            committed: 0,
            faults: Vec::new(),
        }
    }

    fn api(&self) -> &Api {
        self.api.as_ref().expect("the service runs")
    }

    async fn write(&mut self) {
        for scene in &self.scenes {
            self.seed += 10;
            self.writers.push(Writers::start(&scene.source, 1, ROWS, self.seed).await);
        }
    }

    async fn rest(&mut self) {
        for writers in self.writers.drain(..) {
            self.committed += writers.stop().await;
        }
    }

    /// Ends the process in a way, and starts another one on its data.
    async fn again(&mut self, end: impl FnOnce(Api) -> Service) {
        let api = self.api.take().expect("the service runs");
        self.api = Some(Api::of(end(api), None).await);
    }

    async fn strike(&mut self, fault: Fault) {
        self.faults.push(fault);
        let place = self.random.random_range(0..self.jobs.len());
        let id = self.jobs[place].id.clone();
        match fault {
            Fault::Kill => {
                self.again(|api| {
                    api.running.kill();
                    api.service
                })
                .await;
            }
            Fault::Terminate => {
                self.again(|api| {
                    api.running.terminate(CATCH_UP).assert_code(0);
                    api.service
                })
                .await;
            }
            Fault::CutSources => self.proxies.iter().for_each(Proxy::cut),
            Fault::MuteSources => {
                let time = Duration::from_millis(self.random.random_range(100..2_000));
                self.proxies.iter().for_each(|proxy| proxy.mute(true));
                tokio::time::sleep(time).await;
                self.proxies.iter().for_each(|proxy| proxy.mute(false));
            }
            Fault::CutTargets => self.cut_targets().await,
            Fault::Pause | Fault::Savepoint => {
                let how = if fault == Fault::Pause { "pause" } else { "savepoint" };
                let stopped = self.api().post(&format!("/api/v1/jobs/{id}/{how}"), &json!({}));
                // A job that is being started again by its own failure takes it as well.
                assert!([200, 202].contains(&stopped.status), "{stopped:?}");
                self.until_it_stands(&id).await;
                self.api().post(&format!("/api/v1/jobs/{id}/restore"), &Value::Null).ok();
            }
            Fault::Change => {
                let job = &mut self.jobs[place];
                let next = job.parallelism % 4 + 1;
                let parallelism = |number: u32| format!("parallelism = {number}");
                job.text = job.text.replace(&parallelism(job.parallelism), &parallelism(next));
                job.parallelism = next;
                let changed = json!({ "text": job.text, "name": job.name });
                let changed = self.api().call(Method::PUT, &format!("/api/v1/jobs/{id}"), &changed);
                assert!([200, 202].contains(&changed.status), "{changed:?}");
                // A change that is answered before it is made is waited for: the job takes no other meanwhile.
                wait::until_ok(CATCH_UP, "the change to be made", async || {
                    let job = self.api().job(&id);
                    if job["status"] == "DOING_SAVEPOINT" { Err(job.to_string()) } else { Ok(()) }
                })
                .await;
            }
            Fault::RestartServer => {
                self.rest().await;
                if self.random.random_bool(0.5) {
                    self.mariadb.kill();
                    self.mariadb.restart().await;
                } else {
                    self.postgres.kill9();
                    self.postgres.restart().await;
                }
                self.write().await;
            }
            Fault::Ask => {
                for path in ["/api/v1/jobs", "/metrics", "/api/v1/events?limit=1000", "/running-jobs"] {
                    let answer = self.api().get(path);
                    assert_eq!(answer.status, 200, "{path}: {answer:?}");
                }
            }
        }
    }

    async fn until_it_stands(&self, id: &str) {
        wait::until_ok(CATCH_UP, "the job to stand", async || {
            let job = self.api().job(id);
            if job["status"] == "SAVEPOINT_DONE" { Ok(()) } else { Err(job.to_string()) }
        })
        .await;
    }

    async fn cut_targets(&self) {
        for scene in &self.scenes {
            for database in [&scene.mirror, &scene.log] {
                if database.is_postgres() {
                    let end = format!(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}' AND pid <> pg_backend_pid()",
                        database.name()
                    );
                    self.postgres.execute("postgres", &[&end]).await;
                } else {
                    cut_mariadb(database).await;
                }
            }
        }
    }

    /// Every job of the list does what it should; how they are.
    fn told(&self) -> String {
        let jobs = self.api().get("/api/v1/jobs").ok();
        let mut told = String::new();
        for job in jobs["jobs"].as_array().into_iter().flatten() {
            let figures = &job["figures"];
            writeln!(
                told,
                "{} {} read {} committed {} restarts {} {}",
                job["name"],
                job["status"],
                figures["rows_read"],
                figures["rows_committed"],
                figures["restarts"],
                job["reason"]
            )
            .expect("a text takes everything");
        }
        told
    }
}

async fn cut_mariadb(database: &Database<'_>) {
    let others = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID <> CONNECTION_ID()",
        database.name()
    );
    for row in database.rows(&others).await {
        let id = row[0].clone().expect("an id");
        // It may have ended by itself.
        let _ = database.query(&format!("KILL {id}")).await;
    }
}

/// Memory, threads and open files of a process.
pub(super) fn size_of(process: u32) -> (u64, usize, usize) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = |name: &str| -> u64 {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
    (line("VmRSS:") / 1024, usize::try_from(line("Threads:")).unwrap_or(0), files)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_always_on_service_under_faults_loses_nothing_and_doubles_nothing() {
    let seed = seed();
    let length = length();
    println!("soak: {} s, CULVERT_TEST_SEED={seed}", length.as_secs());
    let mariadb = Server::start(Flavor::MariaDb, ServerOptions::default()).await;
    let postgres = Postgres::start(PgVersion::V17, PgOptions::default()).await;
    let hook = Hook::start(vec![Manner::Answer(200, String::new())]);
    let mut soak = Soak::new(&mariadb, &postgres, &hook, seed).await;
    soak.write().await;
    let (begun, mut looked) = (Instant::now(), None::<Instant>);
    while begun.elapsed() < length {
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            looked = Some(Instant::now());
            let (memory, threads, files) = size_of(soak.api().running.id());
            println!(
                "soak: {:>5} s  {memory:>5} MiB  {threads:>4} threads  {files:>4} files  {} faults",
                begun.elapsed().as_secs(),
                soak.faults.len()
            );
        }
        // The moment is random on purpose; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(soak.random.random_range(50..2_500))).await;
        let fault = FAULTS[soak.random.random_range(0..FAULTS.len())];
        soak.strike(fault).await;
    }
    soak.rest().await;
    for scene in &soak.scenes {
        scene.catch_up_within(CATCH_UP, -1, || soak.told()).await;
    }
    for scene in &soak.scenes {
        scene.compare().await;
    }
    let newest = soak.api().get("/api/v1/events?limit=1").ok()[0]["sequence"].as_u64().expect("events");
    let told = hook.until(CATCH_UP, "every event", |heard| {
        heard.iter().any(|heard| heard.taken && heard.body.contains(&format!("\"sequence\":{newest},")))
    });
    assert_told_in_order(&told.iter().map(|heard| heard.body.as_str()).collect::<Vec<_>>(), newest);
    let mut counted: Vec<(Fault, usize)> = Vec::new();
    for fault in FAULTS {
        counted.push((fault, soak.faults.iter().filter(|it| **it == fault).count()));
    }
    println!(
        "soak: {} transactions, {counted:?}, {newest} events; 0 lost, 0 twice\n{}",
        soak.committed,
        soak.told()
    );
    let api = soak.api.take().expect("the service runs");
    api.running.terminate(CATCH_UP).assert_code(0);
}

/// Every event from the first to `newest` was told, and first in this order.
fn assert_told_in_order(bodies: &[&str], newest: u64) {
    let mut expected = 1;
    for body in bodies {
        let events: Vec<Value> = serde_json::from_str(body).expect("an array");
        for event in events {
            let sequence = event["sequence"].as_u64().expect("a number");
            assert!(sequence <= expected, "{expected} was not told before {sequence}");
            expected = expected.max(sequence + 1);
        }
    }
    assert!(expected > newest, "told up to {expected} of {newest}");
}
