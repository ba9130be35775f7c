//! Child processes that never outlive the test process, however that ends.
//!
//! Three nets, because each has a hole. A handle kills its child when dropped, but statics are
//! never dropped. An exit handler kills what is left, but not after `kill -9`. The kernel's death
//! signal covers that; it watches the *thread* that spawned the child (prctl(2),
//! `PR_SET_PDEATHSIG`), so all children are spawned from one thread that lives as long as the
//! process. It is set after the change of user, which would clear it.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::{scratch, wait};

/// Time the kernel may take to stop all threads of a process.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);

/// Time all children together get to end when the test process exits.
const EXIT_PATIENCE: Duration = Duration::from_secs(2);

/// A signal a test sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGHUP: read what may change again.
    Hangup,
    /// SIGQUIT: end without tidying up the data.
    Quit,
    /// SIGKILL: end at once.
    Kill,
    /// SIGSTOP: freeze, soon; [`TiedChild::freeze`] waits until it has.
    Stop,
    /// SIGCONT: go on.
    Continue,
}

/// A child process that is killed when this is dropped or the test process ends.
#[derive(Debug)]
pub struct TiedChild {
    child: Child,
    status: Option<ExitStatus>,
}

impl TiedChild {
    /// Spawns the command.
    pub fn spawn(command: Command) -> io::Result<TiedChild> {
        TiedChild::spawn_ended_by(command, Signal::Kill)
    }

    /// Spawns a command that is asked to end by this signal when the test process exits, and
    /// killed when it does not follow.
    pub fn spawn_ended_by(command: Command, end: Signal) -> io::Result<TiedChild> {
        let child = spawn_on_lasting_thread(command)?;
        alive().insert(child.id(), end);
        Ok(TiedChild { child, status: None })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ended and how, without waiting.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            alive().remove(&self.child.id());
            self.status = Some(status);
        }
        self.status
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        // A child that was waited for has given its id back.
        if self.ended().is_none() {
            send(self.child.id(), signal);
        }
    }

    /// Freezes it; returns when all its threads stand still.
    pub fn freeze(&mut self) {
        self.signal(Signal::Stop);
        let tasks = format!("/proc/{}/task", self.child.id());
        wait::until_ok_blocking(FREEZE_PATIENCE, "a process to stand still", || {
            if self.ended().is_some() {
                return Ok(());
            }
            let states = thread_states(&tasks);
            if states.bytes().all(|state| state == b'T') { Ok(()) } else { Err(states) }
        });
    }

    /// Freezes it and its own children; returns when all of them stand still. [`TiedChild::thaw`]
    /// ends it.
    pub fn freeze_family(&mut self) {
        // Frozen, it makes no more children and waits for none, so their ids stay theirs.
        self.freeze();
        let children = children(self.child.id());
        for child in &children {
            send(*child, Signal::Stop);
        }
        wait::until_ok_blocking(FREEZE_PATIENCE, "all children to stand still", || {
            // One that ended meanwhile is a zombie until its parent looks.
            let moving = |child: &&u32| {
                let states = thread_states(&format!("/proc/{child}/task"));
                !states.bytes().all(|state| matches!(state, b'T' | b'Z' | b'X'))
            };
            children.iter().find(moving).map_or(Ok(()), |child| Err(format!("{child} moves")))
        });
    }

    /// Ends [`TiedChild::freeze_family`].
    pub fn thaw(&mut self) {
        if self.ended().is_none() {
            children(self.child.id()).into_iter().for_each(|child| send(child, Signal::Continue));
        }
        self.signal(Signal::Continue);
    }

    /// Kills it and its own children, none of which sees another one end; returns when all are gone.
    pub fn kill_family(&mut self) {
        if self.ended().is_none() {
            self.freeze_family();
            let family = children(self.child.id());
            family.iter().for_each(|child| send(*child, Signal::Kill));
            // What they share is given back when the last one has ended; their ids are still theirs.
            wait::until_ok_blocking(FREEZE_PATIENCE, "all children to end", || {
                family.iter().find(|child| !has_ended(**child)).map_or(Ok(()), |child| Err(*child))
            });
        }
        self.kill();
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) -> ExitStatus {
        self.signal(Signal::Kill);
        // A killed child ends without further conditions, so this does not hang.
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait().unwrap_or(ExitStatus::from_raw(libc::SIGKILL)),
        };
        alive().remove(&self.child.id());
        self.status = Some(status);
        status
    }
}

impl Drop for TiedChild {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether this process is root's: servers then run as nobody.
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) has no preconditions and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// One letter for each thread as proc(5) has it: `T` is stopped.
fn thread_states(tasks: &str) -> String {
    let stats = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    // A thread that ended in between is none.
    let stats = stats.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    // The name before the state is in parentheses and may hold anything.
    stats.filter_map(|stat| stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())).collect()
}

/// Ids of the processes that have this one as their parent.
fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let is_child = |id: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // proc(5): the state and then the parent follow the name.
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split(' ').nth(1)) == Some(parent.to_string().as_str())
    };
    ids.filter(is_child).collect()
}

fn send(id: u32, signal: Signal) {
    let Ok(id) = libc::pid_t::try_from(id) else { return };
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Interrupt => libc::SIGINT,
        Signal::Hangup => libc::SIGHUP,
        Signal::Quit => libc::SIGQUIT,
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    // SAFETY: kill(2) takes no pointers. The id is that of a child nobody has waited for, so it
    // cannot have been given to another process.
    unsafe {
        libc::kill(id, number);
    }
}

/// Ids of the children that nobody has waited for, and what ends them.
fn alive() -> MutexGuard<'static, BTreeMap<u32, Signal>> {
    static ALIVE: Mutex<BTreeMap<u32, Signal>> = Mutex::new(BTreeMap::new());
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

fn spawn_on_lasting_thread(mut command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        // SAFETY: `at_exit` is a plain function that does not unwind: it ignores all errors.
        unsafe {
            libc::atexit(at_exit);
        }
        let (sender, receiver) = channel::<Order>();
        std::thread::spawn(move || {
            for mut order in receiver {
                let _ = order.answer.send(order.command.spawn());
            }
        });
        sender
    });
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl(2) and getppid(2) run, which are async-signal-safe
    // and allocate nothing.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have ended before the line above.
            if libc::getppid().cast_unsigned() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    let (answer, answered) = channel();
    let gone = |_| io::Error::other("the spawning thread is gone");
    orders.send(Order { command, answer }).map_err(|_| io::Error::other("the spawning thread is gone"))?;
    answered.recv().map_err(gone)?
}

extern "C" fn at_exit() {
    let alive = alive();
    alive.iter().for_each(|(id, end)| send(*id, *end));
    let begun = Instant::now();
    for id in alive.keys() {
        while !has_ended(*id) && begun.elapsed() < EXIT_PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        send(*id, Signal::Kill);
    }
    scratch::remove_all();
}

/// Whether a child has ended. Its id stays its own: nobody waits for it.
fn has_ended(id: u32) -> bool {
    thread_states(&format!("/proc/{id}/task")).bytes().all(|state| matches!(state, b'Z' | b'X'))
}
