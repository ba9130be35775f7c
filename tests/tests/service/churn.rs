//! Fifty jobs in one service, started, stopped, changed and cancelled all the time: each copies its rows once, and the
//! service does not grow.
//!
//! `make churn` runs it for `CULVERT_CHURN_MINUTES` and prints its memory, threads and open files; without it, for a
//! short while. `CULVERT_TEST_SEED` repeats the draw.

#![allow(clippy::print_stdout)] // figures of a run, beside its seed

use std::time::{Duration, Instant};

use culvert_tests::{random, seed, wait};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use ureq::http::Method;

use super::api::Api;
use super::folder::copy;
use super::soak::size_of;
use super::{LIMIT, Service};

/// How long it takes without `CULVERT_CHURN_MINUTES`.
const SHORT: Duration = Duration::from_secs(20);
/// Jobs at one time.
const JOBS: usize = 50;
/// Rows in a second of one job: it takes about a minute for its rows.
const RATES: std::ops::Range<u32> = 200..600;
/// The service is killed once, after so many starts of jobs; then one process does the rest.
const STARTS_BEFORE_KILL: usize = 100;

fn length() -> Duration {
    let minutes = std::env::var("CULVERT_CHURN_MINUTES").ok().and_then(|text| text.parse::<f64>().ok());
    minutes.map_or(SHORT, |minutes| Duration::from_secs_f64(minutes * 60.0))
}

struct Job {
    id: String,
    name: String,
}

struct Churn {
    api: Option<Api>,
    jobs: Vec<Job>,
    random: StdRng,
    submitted: usize,
    starts: usize,
    finished: usize,
    kills: usize,
}

impl Churn {
    fn api(&self) -> &Api {
        self.api.as_ref().expect("the service runs")
    }

    fn definition(&mut self, name: &str) -> Value {
        let rate = self.random.random_range(RATES);
        let folder = self.api().service.folder.to_string_lossy().into_owned();
        json!({ "text": copy(name, rate, "").replace("FOLDER", &folder), "name": name })
    }

    fn submit(&mut self) {
        let name = format!("job-{}", self.submitted);
        self.submitted += 1;
        self.starts += 1;
        let definition = self.definition(&name);
        let job = self.api().post("/api/v1/jobs", &definition).ok();
        self.jobs.push(Job { id: job["id"].as_str().expect("a number").to_owned(), name });
    }

    /// Asks something of a job; `false` where it has finished meanwhile, or still does what it was asked before.
    async fn asked(&mut self, place: usize, method: Method, behind: &str, body: &Value) -> bool {
        let path = format!("/api/v1/jobs/{}{behind}", self.jobs[place].id);
        let answer = self.api().call(method, &path, body);
        let status = self.api().job(&self.jobs[place].id)["status"].clone();
        let is_busy = ["FINISHED", "DOING_SAVEPOINT", "CANCELING"].iter().any(|word| status == *word);
        let done = [200, 202].contains(&answer.status);
        assert!(done || (answer.status == 409 && is_busy), "{path}: {answer:?}, {status}");
        done
    }

    async fn until_it_stands(&self, place: usize) -> String {
        let id = self.jobs[place].id.clone();
        wait::until_ok(LIMIT, "the job to stand", async || {
            let job = self.api().job(&id);
            let status = job["status"].as_str().unwrap_or_default().to_owned();
            match status.as_str() {
                "SAVEPOINT_DONE" | "CANCELED" | "FINISHED" => Ok(status),
                _ => Err(job.to_string()),
            }
        })
        .await
    }

    async fn change(&mut self) {
        let place = self.random.random_range(0..self.jobs.len());
        if self.kills == 0 && self.starts >= STARTS_BEFORE_KILL {
            let api = self.api.take().expect("the service runs");
            api.running.kill();
            self.api = Some(Api::of(api.service, None).await);
            self.kills += 1;
            self.starts += self.jobs.len();
            return;
        }
        match self.random.random_range(0..3) {
            0 => {
                let name = self.jobs[place].name.clone();
                let changed = self.definition(&name);
                self.starts += usize::from(self.asked(place, Method::PUT, "", &changed).await);
            }
            other => {
                let how = if other == 1 { "/pause" } else { "/cancel" };
                if self.asked(place, Method::POST, how, &json!({})).await
                    && self.until_it_stands(place).await != "FINISHED"
                {
                    let started = self.asked(place, Method::POST, "/restore", &Value::Null).await;
                    self.starts += usize::from(started);
                }
            }
        }
    }

    /// Looks at jobs that have finished, forgets them and starts others.
    fn renew(&mut self) {
        let jobs = self.api().get("/api/v1/jobs?status=FINISHED").ok();
        for job in jobs["jobs"].as_array().into_iter().flatten() {
            let id = job["id"].as_str().expect("a number").to_owned();
            let Some(place) = self.jobs.iter().position(|job| job.id == id) else { continue };
            let job = self.jobs.remove(place);
            self.api().service.assert_copied_once(&job.name);
            std::fs::remove_dir_all(self.api().service.path(&job.name)).expect("the folder is ours");
            let removed = self.api().call(Method::DELETE, &format!("/api/v1/jobs/{id}"), &Value::Null);
            assert_eq!(removed.status, 204, "{removed:?}");
            self.finished += 1;
            self.submit();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_jobs_come_and_go_and_the_service_stays_as_it_is() {
    let (seed, length) = (seed(), length());
    println!("churn: {} s, CULVERT_TEST_SEED={seed}", length.as_secs());
    let service = Service::with_rows();
    // What is bounded by a number reaches it soon.
    service.configure("http { port = 0, requests.per.second = 0 }\nevents { kept = 1000 }");
    let mut churn = Churn {
        api: Some(Api::of(service, None).await),
        jobs: Vec::new(),
        random: random::generator(seed),
        submitted: 0,
        starts: 0,
        finished: 0,
        kills: 0,
    };
    (0..JOBS).for_each(|_| churn.submit());
    let begun = Instant::now();
    let look_every = (length / 20).clamp(Duration::from_secs(5), Duration::from_secs(120));
    let mut looked = begun;
    while begun.elapsed() < length {
        if looked.elapsed() >= look_every {
            looked = Instant::now();
            let (memory, threads, files) = size_of(churn.api().running.id());
            println!(
                "churn: {:>5} s  {memory:>5} MiB  {threads:>4} threads  {files:>5} files  {} starts, {} finished, {} kills",
                begun.elapsed().as_secs(),
                churn.starts,
                churn.finished,
                churn.kills
            );
        }
        churn.change().await;
        churn.renew();
    }
    let unlimited = json!({ "rows_per_second": 0, "bytes_per_second": 0 });
    for place in 0..churn.jobs.len() {
        churn.asked(place, Method::POST, "/limit", &unlimited).await;
    }
    for job in &churn.jobs {
        churn.api().until(&job.id, "FINISHED").await;
        churn.api().service.assert_copied_once(&job.name);
    }
    println!(
        "churn: {} starts of {} jobs, {} kills: every row once",
        churn.starts, churn.submitted, churn.kills
    );
    churn.api.take().expect("the service runs").running.terminate(LIMIT).assert_code(0);
}
