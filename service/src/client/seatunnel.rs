//! The flags of `seatunnel.sh`, as commands of ours.
//!
//! `culvert -c job.conf --async`, without a command in front, is read as `seatunnel.sh` reads it, so that a task
//! that calls it works when the program is exchanged. Its flags are words behind one dash (`-can`), and
//! an option that is given twice is taken twice. What it means is written as a command of ours, and goes the
//! same way as that from there on.

use std::collections::VecDeque;
use std::ffi::OsString;

/// What a flag of SeaTunnel's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Config,
    Variable,
    Name,
    Mode,
    Async,
    Check,
    CloseJob,
    Savepoint,
    Restore,
    Cancel,
    JobId,
    List,
    Metrics,
    RunningMetrics,
    SetJobId,
    /// Taken and without effect.
    Ignored,
    /// Not here; the reason.
    Refused(&'static str),
    /// Of ours, for every command.
    Format,
    /// Who is told of events.
    Property,
    /// Of ours, for commands that ask the service.
    Ours,
}

const FLAGS: &[(&[&str], Flag)] = &[
    (&["-c", "--config"], Flag::Config),
    (&["-i", "--variable"], Flag::Variable),
    (&["-n", "--name"], Flag::Name),
    (&["-m", "--master", "-e", "--deploy-mode"], Flag::Mode),
    (&["--async"], Flag::Async),
    (&["--check"], Flag::Check),
    (&["-cj", "--close-job"], Flag::CloseJob),
    (&["-s", "--savepoint"], Flag::Savepoint),
    (&["-r", "--restore"], Flag::Restore),
    (&["-can", "--cancel-job"], Flag::Cancel),
    (&["-j", "--job-id"], Flag::JobId),
    (&["-l", "--list"], Flag::List),
    (&["--metrics"], Flag::Metrics),
    (&["--get_running_job_metrics"], Flag::RunningMetrics),
    (&["--set-job-id"], Flag::SetJobId),
    (&["-cn", "--cluster"], Flag::Ignored),
    (
        &["--encrypt", "--decrypt"],
        Flag::Refused(
            "job files are not encrypted: write ${NAME} in them, and give the secret by the environment",
        ),
    ),
    (&["--dry-run"], Flag::Refused("use `culvert check`")),
    (&["-D"], Flag::Property),
    (&["--format"], Flag::Format),
    (&["--token-file", "--ca", "--data"], Flag::Ours),
];

/// A call of `seatunnel.sh`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    config: Option<String>,
    variables: Vec<String>,
    properties: Vec<String>,
    name: Option<String>,
    local: bool,
    master: Option<String>,
    is_async: bool,
    check: bool,
    close_job: bool,
    savepoint: Option<String>,
    restore: Option<String>,
    cancel: Vec<String>,
    job_id: Option<String>,
    list: bool,
    metrics: Option<String>,
    set_job_id: Option<String>,
    format: Option<String>,
    ours: Vec<String>,
}

/// The arguments as ours: unchanged where they begin with a command.
pub(crate) fn translated(given: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let Some(first) = given.get(1).and_then(|first| first.to_str()) else { return Ok(given) };
    if !first.starts_with('-') || ["-h", "--help", "-V", "--version"].contains(&first) {
        return Ok(given);
    }
    let mut words = VecDeque::new();
    for word in given.iter().skip(1) {
        let word = word.to_str().ok_or("the arguments are not UTF-8")?;
        words.push_back(word.to_owned());
    }
    let ours = command(read(words)?)?;
    Ok(given.into_iter().take(1).chain(ours.into_iter().map(OsString::from)).collect())
}

/// `--flag=value` is two words.
fn split(word: &str) -> (String, Option<String>) {
    match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (flag.to_owned(), Some(value.to_owned())),
        _ => match word.strip_prefix("-D") {
            // `-Dname=value` is how Java writes it.
            Some(value) if !value.is_empty() => ("-D".to_owned(), Some(value.to_owned())),
            _ => (word.to_owned(), None),
        },
    }
}

fn read(mut words: VecDeque<String>) -> Result<Call, String> {
    let mut call = Call::default();
    while let Some(word) = words.pop_front() {
        let (flag, within) = split(&word);
        let known = FLAGS.iter().find(|(names, _)| names.contains(&flag.as_str()));
        let Some((_, kind)) = known else {
            return Err(format!(
                "'{flag}' is no flag of seatunnel.sh that is known here, and no command (see culvert --help)"
            ));
        };
        let mut value =
            || within.clone().or_else(|| words.pop_front()).ok_or_else(|| format!("'{flag}' needs a value"));
        match kind {
            Flag::Config => call.config = Some(value()?),
            Flag::Variable => call.variables.extend(variables(&value()?)),
            Flag::Name => call.name = Some(value()?),
            Flag::Mode => mode(&mut call, &value()?)?,
            Flag::Async => call.is_async = true,
            Flag::Check => call.check = true,
            Flag::CloseJob => call.close_job = truth(&mut words, within),
            Flag::Savepoint => call.savepoint = Some(value()?),
            Flag::Restore => call.restore = Some(value()?),
            Flag::Cancel => {
                call.cancel.extend(value()?.split(',').map(str::to_owned));
                // It takes all numbers behind it.
                while words.front().is_some_and(|word| !word.starts_with('-')) {
                    call.cancel.extend(words.pop_front());
                }
            }
            Flag::JobId => call.job_id = Some(value()?),
            Flag::List | Flag::RunningMetrics => call.list = true,
            Flag::Metrics => call.metrics = Some(value()?),
            Flag::SetJobId => call.set_job_id = Some(value()?),
            Flag::Ignored => drop(value()?),
            Flag::Refused(why) => return Err(format!("'{flag}' is not supported: {why}")),
            Flag::Property => call.properties.push(value()?),
            Flag::Format => call.format = Some(value()?),
            Flag::Ours => {
                let value = value()?;
                call.ours.extend([flag.clone(), value]);
            }
        }
    }
    Ok(call)
}

/// `true` or `false` behind a flag that may stand alone.
fn truth(words: &mut VecDeque<String>, within: Option<String>) -> bool {
    let is_word = words
        .front()
        .is_some_and(|word| word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false"));
    let value = within.or_else(|| if is_word { words.pop_front() } else { None });
    value.is_none_or(|value| value.eq_ignore_ascii_case("true"))
}

/// `a=1,b=2` are two variables; a comma inside of a value stays where no name follows it.
fn variables(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for part in text.split(',') {
        match all.last_mut() {
            Some(last) if !part.contains('=') => {
                last.push(',');
                last.push_str(part);
            }
            _ => all.push(part.to_owned()),
        }
    }
    all
}

fn mode(call: &mut Call, value: &str) -> Result<(), String> {
    match value.to_ascii_lowercase().as_str() {
        "local" => call.local = true,
        "cluster" => call.local = false,
        url if url.starts_with("http://") || url.starts_with("https://") => {
            call.master = Some(value.to_owned());
        }
        _ => return Err(format!("'{value}' is no mode: local, cluster, or the address of a service")),
    }
    Ok(())
}

/// The call as a command, in the order in which `seatunnel.sh` looks at what it is given.
fn command(call: Call) -> Result<Vec<String>, String> {
    let mut words: Vec<String> = Vec::new();
    let mut asks = true;
    if call.list {
        words.push("list".to_owned());
    } else if let Some(id) = call.job_id {
        words.extend(["status".to_owned(), id]);
    } else if !call.cancel.is_empty() {
        words.push("cancel".to_owned());
        words.extend(call.cancel.into_iter().filter(|id| !id.is_empty()));
    } else if let Some(id) = call.metrics {
        words.extend(["metrics".to_owned(), id]);
    } else if let Some(id) = call.savepoint {
        words.extend(["savepoint".to_owned(), id]);
    } else {
        let file = |config: Option<String>| config.ok_or("a job file is needed: -c FILE".to_owned());
        if call.check {
            asks = false;
            words.extend(["check".to_owned(), "-c".to_owned(), file(call.config)?]);
        } else if call.local {
            // A job that runs here goes on from the restart point of its name by itself.
            asks = false;
            words.extend(["run".to_owned(), "-c".to_owned(), file(call.config)?]);
        } else if let Some(id) = call.restore {
            words.extend(["restore".to_owned(), id]);
            words.extend(call.config.into_iter().flat_map(|config| ["-c".to_owned(), config]));
        } else {
            words.extend(["submit".to_owned(), "-c".to_owned(), file(call.config)?]);
            words.extend(call.set_job_id.into_iter().flat_map(|id| ["--id".to_owned(), id]));
        }
        for variable in call.variables {
            words.extend(["-i".to_owned(), variable]);
        }
        for property in call.properties {
            words.extend(["-D".to_owned(), property]);
        }
        words.extend(call.name.into_iter().flat_map(|name| ["-n".to_owned(), name]));
        if asks && call.is_async {
            words.push("--async".to_owned());
        }
        if asks && call.close_job {
            words.push("--close-job".to_owned());
        }
    }
    if asks {
        words.extend(call.master.into_iter().flat_map(|url| ["--master".to_owned(), url]));
        words.extend(call.ours);
    }
    words.extend(call.format.into_iter().flat_map(|format| ["--format".to_owned(), format]));
    Ok(words)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    fn of(line: &str) -> Result<String, String> {
        let given = std::iter::once("culvert").chain(line.split(' ')).map(OsString::from).collect();
        let ours = translated(given)?;
        // Whatever comes out is a command.
        Arguments::try_parse_from(&ours).map_err(|error| error.to_string())?;
        Ok(ours.iter().skip(1).map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn calls_of_seatunnel_are_commands_of_ours() {
        for (given, ours) in [
            ("-c a.conf", "submit -c a.conf"),
            ("--config a.conf --deploy-mode cluster --name b", "submit -c a.conf -n b"),
            ("--config=a.conf -e local", "run -c a.conf"),
            ("-m local -c a.conf -i day=1 -i x=y", "run -c a.conf -i day=1 -i x=y"),
            ("-c a.conf -i a=1,b=2,3 --async", "submit -c a.conf -i a=1 -i b=2,3 --async"),
            ("-cn cluster -c a.conf --set-job-id 7", "submit -c a.conf --id 7"),
            ("-c a.conf -cj", "submit -c a.conf --close-job"),
            ("-cj false -c a.conf", "submit -c a.conf"),
            ("--close-job=true -c a.conf", "submit -c a.conf --close-job"),
            ("-c a.conf --check", "check -c a.conf"),
            ("-m local -c a.conf --format json", "run -c a.conf --format json"),
            ("-c a.conf -Dlog.types=* -D log.name=a", "submit -c a.conf -D log.types=* -D log.name=a"),
            ("-s 7", "savepoint 7"),
            ("-r 7 -c a.conf --async", "restore 7 -c a.conf --async"),
            ("-r 7", "restore 7"),
            ("-can 7", "cancel 7"),
            ("-can 7 8 9 -cn x", "cancel 7 8 9"),
            ("--cancel-job 7,8", "cancel 7 8"),
            ("-j 7", "status 7"),
            ("-l", "list"),
            ("--get_running_job_metrics", "list"),
            ("--metrics 7", "metrics 7"),
            (
                "-l --master http://127.0.0.1:1 --format json",
                "list --master http://127.0.0.1:1 --format json",
            ),
        ] {
            assert_eq!(of(given).as_deref(), Ok(ours), "{given}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (given, why) in [
            ("-x", "'-x' is no flag of seatunnel.sh"),
            ("--async", "a job file is needed"),
            ("-c", "'-c' needs a value"),
            ("-m yarn -c a.conf", "'yarn' is no mode"),
            ("--encrypt -c a.conf", "'--encrypt' is not supported"),
            ("-c a.conf --set-job-id a", "invalid value 'a'"),
        ] {
            let refused = of(given).unwrap_err();
            assert!(refused.contains(why), "{given}: {refused}");
        }
    }

    #[test]
    fn commands_of_ours_are_left_alone() {
        for line in ["run -c a.conf", "list --format json", "cancel 7"] {
            assert_eq!(of(line).as_deref(), Ok(line));
        }
        let help: Vec<OsString> = ["culvert", "--help"].iter().map(OsString::from).collect();
        assert_eq!(translated(help.clone()).unwrap(), help);
    }
}
