//! The `culvert` program as a child process: started, watched, killed.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::scratch;
use crate::tied::{Signal, TiedChild};
use crate::wait;

/// Environment variable that names the program to test, for example a release build.
pub const BINARY_VARIABLE: &str = "CULVERT_BINARY";

/// How much of an output a failure shows.
const SHOWN_BYTES: usize = 4 << 10;

/// The program to test: `CULVERT_BINARY`, else the one in the target folder of this test program,
/// built by cargo when cargo runs the tests (a moment when it is up to date).
pub fn culvert_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(named) = std::env::var_os(BINARY_VARIABLE) {
            let named = PathBuf::from(named);
            assert!(named.exists(), "{BINARY_VARIABLE} names {}, which is missing", named.display());
            return named;
        }
        // TARGET/PROFILE/deps/this-test
        let this = std::env::current_exe().expect("this program has a path");
        let profile = this.parent().and_then(Path::parent).expect("it lies in a target folder");
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(&cargo, profile);
        }
        let binary = profile.join("culvert");
        assert!(binary.exists(), "{} is missing: run cargo build -p culvert", binary.display());
        binary
    })
}

fn build(cargo: &OsStr, profile: &Path) {
    let mut command = Command::new(cargo);
    // Over the workspace, so that the features of dependencies, and so their builds, are the tests'.
    command.args(["build", "--quiet", "--workspace", "--bin", "culvert"]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = command.status().unwrap_or_else(|error| panic!("cargo does not start: {error}"));
    assert!(status.success(), "{command:?} failed");
}

/// What is to be run.
#[derive(Debug)]
pub struct Culvert {
    command: Command,
}

impl Culvert {
    /// The program with these arguments, in an environment without colours and without the
    /// variables that would change its logs.
    pub fn new<A: AsRef<OsStr>>(arguments: &[A]) -> Culvert {
        Culvert::program(culvert_binary(), arguments)
    }

    /// Any program, run and watched the same way.
    pub fn program<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Culvert {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        command.env_remove("RUST_LOG").env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
        Culvert { command }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Culvert {
        self.command.env(name, value);
        self
    }

    /// Sets the working folder.
    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Culvert {
        self.command.current_dir(folder);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let folder = scratch::folder("p");
        let file = |name| File::create(folder.join(name)).expect("the scratch folder is ours");
        self.command.stdout(file("stdout")).stderr(file("stderr"));
        let what = format!("{:?}", self.command.get_program());
        let child =
            TiedChild::spawn(self.command).unwrap_or_else(|error| panic!("{what} does not start: {error}"));
        Running { child, folder, what }
    }

    /// Runs it to its end.
    pub fn run(self, limit: Duration) -> Finished {
        self.start().wait(limit)
    }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: TiedChild,
    folder: PathBuf,
    what: String,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Its whole standard output.
    pub stdout: String,
    /// Its whole standard error.
    pub stderr: String,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// Its standard error so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Whether it ended and how, without waiting.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended()
    }

    /// Sends a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.child.signal(signal);
    }

    /// `kill -9`; returns when it is gone.
    pub fn kill(mut self) -> Finished {
        let status = self.child.kill();
        self.finished(status)
    }

    /// Asks it to end as an operator would (SIGTERM) and waits.
    pub fn terminate(mut self, limit: Duration) -> Finished {
        self.signal(Signal::Terminate);
        self.wait(limit)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// After `limit`, with the end of its output.
    pub fn wait(mut self, limit: Duration) -> Finished {
        let begun = Instant::now();
        let status = wait::until_ok_blocking(limit * 2, "a program to end", || {
            let ended = self.child.ended().ok_or("it still runs");
            if ended.is_err() && begun.elapsed() >= limit {
                panic!("{} still runs after {limit:?}; {}", self.what, self.shown());
            }
            ended
        });
        self.finished(status)
    }

    /// Waits until its standard error contains `text`, for example a log line.
    ///
    /// # Panics
    /// After `limit`, or when it ends without.
    pub async fn wait_for_stderr(&mut self, limit: Duration, text: &str) {
        self.wait_for_output(limit, text, "stderr").await;
    }

    /// [`Running::wait_for_stderr`] for its standard output.
    pub async fn wait_for_stdout(&mut self, limit: Duration, text: &str) {
        self.wait_for_output(limit, text, "stdout").await;
    }

    async fn wait_for_output(&mut self, limit: Duration, text: &str, name: &str) {
        wait::until_ok(limit, &format!("`{text}` in {name}"), async || {
            // Ended is asked first, so that its last line is not missed.
            let ended = self.child.ended();
            if self.read(name).contains(text) {
                return Ok(());
            }
            assert!(ended.is_none(), "{} ended without `{text}` in {name}; {}", self.what, self.shown());
            Err(self.shown())
        })
        .await;
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join(name)).unwrap_or_default()).into_owned()
    }

    fn shown(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", end_of(&self.stdout()), end_of(&self.stderr()))
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Finished {
    /// Panics with the output unless it ended with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Finished {
        let Finished { code: found, stdout, stderr } = self;
        assert_eq!(*found, Some(code), "stdout:\n{}\nstderr:\n{}", end_of(stdout), end_of(stderr));
        self
    }
}

fn end_of(text: &str) -> &str {
    let mut start = text.len().saturating_sub(SHOWN_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}
