//! A TCP proxy in front of a server that breaks connections on command.
//!
//! ```text
//! client --- Proxy::port() ---[ cut · end · abandon · cut_after_bytes · refuse · stall · mute · trickle ]--- target
//! ```

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::wait;

const BUFFER_BYTES: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that pass at once, and the pause behind them, while they trickle.
const TRICKLE: (usize, Duration) = (512, Duration::from_millis(2));

/// The proxy; ends, with all connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    target: u16,
    /// Counts the cuts: every connection ends when it changes.
    cuts: watch::Sender<u64>,
    refused: watch::Sender<bool>,
    /// Every connection ends, in order, when it changes.
    ends: watch::Sender<u64>,
    /// Every connection is open and dead when it changes.
    abandons: watch::Sender<u64>,
    stalled: watch::Sender<bool>,
    /// Nothing comes back from the target.
    muted: watch::Sender<bool>,
    trickling: watch::Sender<bool>,
    /// Whether somebody listens on the proxy's port.
    listening: watch::Sender<bool>,
    /// Bytes that may still pass from the target to clients before a cut.
    budget: Mutex<Option<usize>>,
    connections: AtomicUsize,
    accepted: AtomicUsize,
    from_target: AtomicU64,
}

impl Proxy {
    /// Starts a proxy on a free port of 127.0.0.1 in front of `target`, a port of 127.0.0.1.
    pub async fn start(target: u16) -> Proxy {
        let listener = listen(0).await.unwrap_or_else(|error| panic!("no port for a proxy: {error}"));
        let port = listener.local_addr().map_or(0, |address| address.port());
        let state = Arc::new(State {
            target,
            cuts: watch::Sender::new(0),
            refused: watch::Sender::new(false),
            ends: watch::Sender::new(0),
            abandons: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            muted: watch::Sender::new(false),
            trickling: watch::Sender::new(false),
            listening: watch::Sender::new(true),
            budget: Mutex::new(None),
            connections: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            from_target: AtomicU64::new(0),
        });
        let acceptor = tokio::spawn(accept(port, listener, Arc::clone(&state)));
        Proxy { port, state, acceptor }
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As a job file names it: `jdbc:mysql://127.0.0.1:PORT/DATABASE`.
    pub fn url(&self, database: &str) -> String {
        format!("jdbc:mysql://127.0.0.1:{}/{database}", self.port)
    }

    /// Resets all connections. New ones are welcome.
    pub fn cut(&self) {
        self.state.cut();
    }

    /// Ends all connections in order (FIN). New ones are welcome.
    pub fn end(&self) {
        self.state.ends.send_modify(|ends| *ends += 1);
    }

    /// Leaves all connections half open for good: they stay, and nothing comes any more. New ones are
    /// welcome.
    pub fn abandon(&self) {
        self.state.abandons.send_modify(|abandons| *abandons += 1);
    }

    /// True: what clients say arrives, and no answer comes back. False: the answers come.
    pub fn mute(&self, mute: bool) {
        self.state.muted.send_replace(mute);
    }

    /// True: bytes pass a few at a time. False: as they come.
    pub fn trickle(&self, trickle: bool) {
        self.state.trickling.send_replace(trickle);
    }

    /// Lets so many more bytes pass from the target to clients, all connections together, then
    /// resets them all: once, in the middle of whatever is being sent.
    pub fn cut_after_bytes(&self, bytes: usize) {
        *self.state.budget() = Some(bytes);
    }

    /// Whether a cut is still to come.
    pub fn cut_pending(&self) -> bool {
        self.state.budget().is_some()
    }

    /// True: resets all connections and refuses new ones, as if the target were down, from when
    /// this returns. False: takes them again.
    pub async fn refuse(&self, refuse: bool) {
        self.state.refused.send_replace(refuse);
        if refuse {
            self.state.cut();
        }
        let mut listening = self.state.listening.subscribe();
        let reached = listening.wait_for(|listening| *listening != refuse);
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => {}
            _ => panic!("the proxy on port {} does not follow", self.port),
        }
    }

    /// True: connections stay and take bytes, none arrive on the other side. False: they go on.
    pub fn stall(&self, stall: bool) {
        self.state.stalled.send_replace(stall);
    }

    /// Ends all faults. Connections that were cut stay cut.
    pub async fn heal(&self) {
        *self.state.budget() = None;
        self.stall(false);
        self.mute(false);
        self.trickle(false);
        self.refuse(false).await;
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Connections taken since the start.
    pub fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Bytes that passed from the target to clients since the start.
    pub fn bytes_from_target(&self) -> u64 {
        self.state.from_target.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.state.cut();
    }
}

impl State {
    fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    fn budget(&self) -> std::sync::MutexGuard<'_, Option<usize>> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of these bytes may pass, and whether a cut follows.
    fn spend(&self, bytes: usize) -> (usize, bool) {
        let mut budget = self.budget();
        match *budget {
            Some(left) if bytes >= left => {
                *budget = None;
                (left, true)
            }
            Some(left) => {
                *budget = Some(left - bytes);
                (bytes, false)
            }
            None => (bytes, false),
        }
    }
}

async fn listen(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// Takes connections; without a listener while they are to be refused.
async fn accept(port: u16, listener: TcpListener, state: Arc<State>) {
    let mut listener = Some(listener);
    let mut refused = state.refused.subscribe();
    loop {
        let refuse = *refused.borrow_and_update();
        if refuse {
            listener = None;
            state.listening.send_replace(false);
            if refused.changed().await.is_err() {
                return;
            }
            continue;
        }
        let open = match listener.take() {
            Some(open) => open,
            // A client may hold the port for its own end of a connection.
            None => wait::until_ok(PATIENCE, "the proxy's port to be free again", move || listen(port)).await,
        };
        state.listening.send_replace(true);
        let open = listener.insert(open);
        tokio::select! {
            _ = refused.changed() => {}
            taken = open.accept() => {
                if let Ok((client, _)) = taken {
                    state.accepted.fetch_add(1, Ordering::SeqCst);
                    // Counted and subscribed here, so that a cut after the accept cannot miss it.
                    state.connections.fetch_add(1, Ordering::SeqCst);
                    let cuts = state.cuts.subscribe();
                    tokio::spawn(serve(client, Arc::clone(&state), cuts));
                }
            }
        }
    }
}

async fn serve(mut client: TcpStream, state: Arc<State>, mut cuts: watch::Receiver<u64>) {
    if let Ok(mut target) = TcpStream::connect((Ipv4Addr::LOCALHOST, state.target)).await {
        let _ = client.set_nodelay(true);
        let _ = target.set_nodelay(true);
        let (mut ends, mut abandons) = (state.ends.subscribe(), state.abandons.subscribe());
        let cut = {
            let (from_client, to_client) = client.split();
            let (from_target, to_target) = target.split();
            tokio::select! {
                // A cut wins over data that is ready as well.
                biased;
                _ = cuts.changed() => true,
                _ = ends.changed() => false,
                _ = abandons.changed() => cuts.changed().await.is_ok(),
                cut = pump(from_target, to_client, &state, true) => cut,
                cut = pump(from_client, to_target, &state, false) => cut,
            }
        };
        if cut {
            // Reset instead of an orderly end.
            let _ = client.set_zero_linger();
            let _ = target.set_zero_linger();
        }
    } else {
        let _ = client.set_zero_linger();
    }
    drop(client);
    state.connections.fetch_sub(1, Ordering::SeqCst);
}

/// Copies one direction until it ends; answers whether it ended by a cut.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, state: &State, from_target: bool) -> bool {
    let (mut stalled, mut muted) = (state.stalled.subscribe(), state.muted.subscribe());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(length) = from.read(&mut buffer).await else { return true };
        if length == 0 {
            return false;
        }
        if stalled.wait_for(|stalled| !stalled).await.is_err() {
            return true;
        }
        if from_target && muted.wait_for(|muted| !muted).await.is_err() {
            return true;
        }
        let (pass, cut) = if from_target { state.spend(length) } else { (length, false) };
        let Some(bytes) = buffer.get(..pass) else { return true };
        let step = if *state.trickling.borrow() { TRICKLE.0 } else { BUFFER_BYTES };
        for part in bytes.chunks(step) {
            if to.write_all(part).await.is_err() {
                return true;
            }
            if step == TRICKLE.0 {
                tokio::time::sleep(TRICKLE.1).await;
            }
        }
        if from_target {
            state.from_target.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        }
        if cut {
            // A reset would take back what the client has not read yet.
            let _ = to.shutdown().await;
            state.cut();
            return false;
        }
    }
}
