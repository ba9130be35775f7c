//! The service's own file: what `culvert serve` is told about itself.
//!
//! ```hocon
//! service { data = "/var/lib/culvert", jobs.folder = "/etc/culvert/jobs" }
//! http { port = 8080 }
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use culvert_config::{
    Block, Entry, OptionDef, Options, Problem, ProblemKind, Role, Variables, nearest, raise_unknown_keys,
    read_document,
};

use crate::events::config::{self, EVENTS_OPTIONS, Listener};
use crate::http::{HTTP_OPTIONS, HttpConfig};
use crate::metadata::Provider;
use crate::state::service_folder;

/// The options of `service`.
pub(crate) const SERVICE_OPTIONS: &[OptionDef] = &[
    OptionDef::string("data").doc(
        "The folder of everything the service keeps, made for its user alone; without it, as for single jobs, one below the user's state folder.",
    ),
    OptionDef::string("jobs.folder")
        .doc("A folder of job files (`.conf`, `.json`), each a job that runs as long as the file is there."),
    OptionDef::duration_ms("jobs.folder.interval")
        .default("2000")
        .doc("Time between two looks at the jobs folder. A file is taken when two looks find it alike."),
    OptionDef::int_in("jobs.max", 1, 10_000)
        .default("200")
        .doc("Most jobs that run at one time; further ones are refused."),
    OptionDef::int_in("history.max", 0, 100_000)
        .default("1000")
        .doc("Most finished jobs that are kept in the list; the oldest go first, with their logs."),
    OptionDef::duration_ms("stop.timeout").default("7000").doc(
        "How long the end of the service waits for checkpoints; a job that takes longer is given up, and goes on from its last checkpoint at the next start.",
    ),
];

/// What the service is told about itself.
#[derive(Clone, Debug)]
pub(crate) struct ServiceSettings {
    pub(crate) data: PathBuf,
    pub(crate) jobs_folder: Option<PathBuf>,
    pub(crate) jobs_folder_interval: Duration,
    pub(crate) jobs_max: usize,
    pub(crate) history_max: usize,
    pub(crate) stop_timeout: Duration,
    pub(crate) http: HttpConfig,
    /// How many events are kept.
    pub(crate) events_kept: u64,
    /// Where jobs find the options that they name by an id.
    pub(crate) metadata: Option<Arc<Provider>>,
}

/// The blocks of the service's file, in the order of its reference.
const BLOCKS: &[&str] = &["service", "http", "events", "metadata"];

/// Reads the service's file; without one, everything is as by default.
pub(crate) fn read(
    path: Option<&Path>,
    data: Option<PathBuf>,
) -> Result<(ServiceSettings, Vec<Listener>), Vec<Problem>> {
    let one = |problem| vec![problem];
    let root = match path {
        Some(path) => {
            let variables = Variables::new(&[]).map_err(one)?;
            read_document(path, "the service's file", &variables).map_err(one)?.root
        }
        None => Block::new(Role::Env, "the service's file", culvert_config::Place::default()),
    };
    let mut problems = unknown_blocks(&root);
    let (options, found) = Options::resolve(&root.inside("service"), SERVICE_OPTIONS);
    problems.extend(found);
    let (http, found) = Options::resolve(&root.inside("http"), HTTP_OPTIONS);
    problems.extend(found);
    let (events, found) = Options::resolve(&root.inside("events"), EVENTS_OPTIONS);
    problems.extend(found);
    let named = "listeners";
    let (listeners, found) = config::read("events: listeners", events.objects(named), events.place(named));
    problems.extend(found);
    let metadata = Provider::from_block(&root.inside("metadata")).unwrap_or_else(|found| {
        problems.extend(found);
        None
    });
    // Nobody else reads this file.
    raise_unknown_keys(&mut problems);
    let http = HttpConfig::from_options(&http).map_err(|problem| problems.push(problem)).ok();
    let Some(http) = http.filter(|_| !problems.iter().any(Problem::is_error)) else {
        return Err(problems);
    };
    let count = |name: &str| usize::try_from(options.unsigned(name)).unwrap_or(usize::MAX);
    let folder = |name: &str| options.opt_str(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    let settings = ServiceSettings {
        data: data.or_else(|| folder("data")).unwrap_or_else(service_folder),
        jobs_folder: folder("jobs.folder"),
        jobs_folder_interval: Duration::from_millis(options.unsigned("jobs.folder.interval").max(50)),
        jobs_max: count("jobs.max"),
        history_max: count("history.max"),
        stop_timeout: Duration::from_millis(options.unsigned("stop.timeout")),
        http,
        events_kept: events.unsigned("kept"),
        metadata,
    };
    Ok((settings, listeners))
}

fn unknown_blocks(root: &Block) -> Vec<Problem> {
    let first = |key: &str| key.split('.').next().unwrap_or(key).to_owned();
    let unknown = root.entries.iter().filter(|entry| !BLOCKS.contains(&first(&entry.key).as_str()));
    let problem = |entry: &Entry| {
        let name = first(&entry.key);
        let message = format!("the service's file has no block '{name}'");
        let problem = Problem::error(ProblemKind::UnknownKey, entry.place.clone(), &name, message);
        match nearest(&name, BLOCKS.iter().copied()) {
            Some(meant) => problem.hint(format!("did you mean '{meant}'?")),
            None => problem.hint(format!("it may have: {}", BLOCKS.join(", "))),
        }
    };
    unknown.map(problem).collect()
}
