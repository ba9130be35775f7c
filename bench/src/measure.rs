//! Runs a process and tells what it took: time, CPU seconds, peak memory.
//!
//! Read from proc(5) while the process runs and while it is a zombie, before it is waited for: its
//! CPU time is complete then and covers all its threads. The calling thread waits meanwhile: while
//! something is measured there is nothing else to do.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use culvert_tests::scratch;
use culvert_tests::tied::TiedChild;

use crate::task::{COMMAND, Outcome, Task};

/// Time between two looks at the process.
const POLL: Duration = Duration::from_millis(4);
/// Looks between two readings of its memory.
const MEMORY_EVERY: u32 = 5;
/// Clock ticks per second in `/proc`: 100 on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// A run shorter than this is repeated, and the one in the middle counts.
const SHORT: Duration = Duration::from_secs(30);
/// How often a short run happens.
const SHORT_RUNS: usize = 3;
/// A run longer than this is ended.
const LONGEST: Duration = Duration::from_secs(1800);

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// In user and kernel mode, all threads, in seconds.
    pub(crate) cpu_seconds: f64,
    /// The most memory it had at once, in bytes: its resident pages.
    pub(crate) peak_bytes: u64,
}

/// Usage of the run in the middle, and of how many runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<T> {
    /// What it took.
    pub(crate) usage: Usage,
    /// What it did.
    pub(crate) outcome: T,
    /// How often it ran.
    pub(crate) runs: usize,
}

/// Runs something once, or three times when it is short.
pub(crate) async fn repeated<T>(mut run: impl AsyncFnMut() -> Result<(Usage, T)>) -> Result<Measured<T>> {
    let mut runs = vec![run().await?];
    if runs.iter().all(|(usage, _)| usage.wall < SHORT) {
        while runs.len() < SHORT_RUNS {
            runs.push(run().await?);
        }
    }
    let count = runs.len();
    runs.sort_by_key(|(usage, _)| usage.wall);
    let (usage, outcome) = runs.swap_remove(count / 2);
    Ok(Measured { usage, outcome, runs: count })
}

/// Performs a task in a process of its own.
pub(crate) fn task(task: &Task) -> Result<(Usage, Outcome)> {
    let folder = scratch::folder("m");
    let answer = folder.join("answer");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(COMMAND).arg(serde_json::to_string(task)?);
    let usage = process(command, &answer, &folder.join("errors"))?;
    let outcome = serde_json::from_slice(&std::fs::read(&answer)?).context("the answer does not read")?;
    std::fs::remove_dir_all(&folder)?;
    Ok((usage, outcome))
}

/// Runs a program to its end, its output dropped.
pub(crate) fn program(command: Command) -> Result<Usage> {
    let folder = scratch::folder("m");
    let usage = process(command, Path::new("/dev/null"), &folder.join("errors"))?;
    std::fs::remove_dir_all(&folder)?;
    Ok(usage)
}

fn process(mut command: Command, output: &Path, errors: &Path) -> Result<Usage> {
    command.stdin(Stdio::null()).stdout(File::create(output)?).stderr(File::create(errors)?);
    let name = command.get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let mut child = TiedChild::spawn(command).with_context(|| format!("{name} does not start"))?;
    let mut peak_bytes = 0;
    for look in 0u32.. {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
        let stat = Stat::parse(&stat).context("/proc/PID/stat does not read")?;
        if stat.ended {
            let wall = begun.elapsed();
            // Its main thread may have ended before the others have.
            let Some(status) = child.ended() else {
                sleep(POLL);
                continue;
            };
            let said = std::fs::read_to_string(errors).unwrap_or_default();
            ensure!(status.success(), "{name} failed ({status}): {said}");
            return Ok(Usage { wall, cpu_seconds: stat.cpu_ticks / TICKS_PER_SECOND, peak_bytes });
        }
        if look % MEMORY_EVERY == 0 {
            // The peak so far; the program that is being replaced by exec(2) does not count.
            peak_bytes = peak(child.id()).unwrap_or(0).max(peak_bytes);
        }
        if begun.elapsed() > LONGEST {
            bail!("{name} still runs after {LONGEST:?}");
        }
        sleep(POLL);
    }
    bail!("{name} was never seen to end")
}

/// `VmHWM` of a process, in bytes.
fn peak(id: u32) -> Option<u64> {
    memory(id, "VmHWM:")
}

/// Resident pages of a process that are its own, in bytes: without files and shared memory.
pub(crate) fn anonymous(id: u32) -> Option<u64> {
    memory(id, "RssAnon:")
}

/// CPU seconds of a process that runs, all its threads.
pub(crate) fn cpu_seconds(id: u32) -> Result<f64> {
    let stat =
        std::fs::read_to_string(format!("/proc/{id}/stat")).with_context(|| format!("no process {id}"))?;
    let stat = Stat::parse(&stat).context("/proc/PID/stat does not read")?;
    Ok(stat.cpu_ticks / TICKS_PER_SECOND)
}

/// CPU seconds of a process that makes a process per connection, and of all of these, those that
/// have ended included.
pub(crate) fn family_cpu_seconds(parent: u32) -> Result<f64> {
    let (mut ticks, mut found) = (0.0, false);
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let id: Option<u32> = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // One that has ended in between is counted by its parent the next time.
        let stat = id.and_then(|_| std::fs::read_to_string(entry.path().join("stat")).ok());
        let Some(stat) = stat.and_then(|stat| Stat::parse(&stat)) else { continue };
        if id == Some(parent) {
            ticks += stat.cpu_ticks + stat.waited_ticks;
            found = true;
        } else if stat.parent == parent {
            ticks += stat.cpu_ticks;
        }
    }
    ensure!(found, "no process {parent}");
    Ok(ticks / TICKS_PER_SECOND)
}

fn memory(id: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

struct Stat {
    ended: bool,
    parent: u32,
    cpu_ticks: f64,
    /// Of children that have ended.
    waited_ticks: f64,
}

impl Stat {
    /// Fields 3 (state), 4 (parent), 14 and 15 (time in user and kernel mode), 16 and 17 (the same of
    /// children) of proc(5).
    fn parse(text: &str) -> Option<Stat> {
        // The name before the state is in parentheses and may hold anything.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some(Stat {
            ended: *fields.first()? == "Z",
            parent: fields.get(1)?.parse().ok()?,
            cpu_ticks: ticks(11)? + ticks(12)?,
            waited_ticks: ticks(13)? + ticks(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (a) Z ) R 1 7 7 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 1 0 1 2 3";
        let stat = Stat::parse(text).unwrap();
        assert!(!stat.ended);
        assert_eq!((stat.parent, stat.cpu_ticks, stat.waited_ticks), (1, 300.0, 7.0));
    }

    #[test]
    fn children_that_ended_count() {
        let before = family_cpu_seconds(std::process::id()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let usage = program(command).unwrap();
        let after = family_cpu_seconds(std::process::id()).unwrap();
        assert!(after - before >= usage.cpu_seconds, "{before} {after} {usage:?}");
    }

    #[tokio::test]
    async fn the_run_in_the_middle_counts() {
        let mut walls = [3u64, 1, 2].into_iter();
        let measured = repeated(async || {
            let wall = Duration::from_secs(walls.next().unwrap());
            Ok((Usage { wall, cpu_seconds: 0.0, peak_bytes: 0 }, ()))
        })
        .await
        .unwrap();
        assert_eq!((measured.usage.wall.as_secs(), measured.runs), (2, 3));
    }

    #[test]
    fn a_process_is_measured() {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let usage = program(command).unwrap();
        assert!(usage.cpu_seconds > 0.0 && usage.peak_bytes > 100_000, "{usage:?}");
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such log >&2; exit 3"]);
        let error = program(command).unwrap_err();
        assert!(error.to_string().contains("no such log"), "{error}");
    }
}
