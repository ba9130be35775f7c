//! A server of the S3 interface, in this process, that fails when it is told to.
//!
//! [`s3s_fs`] keeps objects as files of a folder and checks signatures. What changes something goes one
//! request after the other, so that conditions (`If-None-Match`, `If-Match`) have one winner. A request is
//! read whole before it is carried out, and then carried out whatever becomes of its client, as a service
//! in another house would.
//!
//! ```text
//! client --- S3::url() ---[ refuse · slow · next: error, cut, lose, hold ]--- s3s --- files
//! ```
//!
//! The server has a thread and a runtime of its own: a test may block while it answers. An object's key,
//! in base64, is part of a file's name, so keys are at most 150 bytes long.

pub mod faults;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{Body, HttpError, HttpResponse, S3Error, S3ErrorCode};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

pub use faults::{Fault, Requests};

use crate::{scratch, wait};
use faults::Script;

/// The access key that may do everything.
pub const KEY: &str = "culvert-key";
/// Its secret.
pub const SECRET: &str = "culvert-secret";
/// The region; any is taken.
pub const REGION: &str = "us-east-1";

/// The longest body: far more than a part of an upload or a file of a test.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Time until a held request comes, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server; ends, with its objects, when dropped.
#[derive(Debug)]
pub struct S3 {
    folder: PathBuf,
    port: u16,
    script: Arc<Script>,
    buckets: AtomicU32,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3 {
    /// Starts a server without buckets on a free port of 127.0.0.1.
    pub fn start() -> S3 {
        let folder = scratch::folder("b");
        let files = s3s_fs::FileSystem::new(&folder).expect("the scratch folder is ours");
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let script = Arc::new(Script::default());
        let served = Arc::new(Served {
            service: builder.build(),
            changes: tokio::sync::Mutex::new(()),
            script: Arc::clone(&script),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || run(listener, served, stopped));
        S3 { folder, port, script, buckets: AtomicU32::new(0), stop: Some(stop), thread: Some(thread) }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What clients call the endpoint; buckets are the first part of the path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket.
    pub fn bucket(&self, name: &str) {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("no bucket {name}: {error}"));
    }

    /// Makes a bucket that no other test uses: `PREFIX-1` and so on.
    pub fn fresh_bucket(&self, prefix: &str) -> String {
        let name = format!("{prefix}-{}", self.buckets.fetch_add(1, Ordering::Relaxed) + 1);
        self.bucket(&name);
        name
    }

    /// The keys of a bucket that begin with `prefix`, sorted.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let root = self.folder.join(bucket);
        assert!(root.is_dir(), "there is no bucket {bucket}");
        let mut keys = Vec::new();
        collect_files(&root, &mut |file| {
            let key = file.strip_prefix(&root).expect("it lies below").to_string_lossy().into_owned();
            if key.starts_with(prefix) {
                keys.push(key);
            }
        });
        keys.sort_unstable();
        keys
    }

    /// An object's bytes; `None` when there is no such object.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        fs::read(self.folder.join(bucket).join(key)).ok()
    }

    /// Puts an object there, past all faults.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let file = self.folder.join(bucket).join(key);
        let written =
            fs::create_dir_all(file.parent().expect("a bucket")).and_then(|()| fs::write(&file, bytes));
        written.unwrap_or_else(|error| panic!("no object {key}: {error}"));
    }

    /// Makes all objects of a bucket older by this.
    pub fn age(&self, bucket: &str, by: Duration) {
        collect_files(&self.folder.join(bucket), &mut |path| {
            let aged = fs::File::options().write(true).open(path).and_then(|file| {
                let modified = file.metadata()?.modified()?;
                file.set_modified(modified - by)
            });
            aged.unwrap_or_else(|error| panic!("{} stays young: {error}", path.display()));
        });
    }

    /// Uploads in parts that were begun and neither completed nor aborted, over all buckets.
    pub fn unfinished_uploads(&self) -> usize {
        let entries = fs::read_dir(&self.folder).expect("the server's folder is readable").flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".upload-")).count()
    }

    /// The next `count` requests of these meet with a fault. Faults that were asked for earlier come first.
    pub fn next(&self, count: usize, requests: Requests, fault: Fault) {
        self.script.add(count, requests, fault);
    }

    /// Requests that are still to meet with a fault.
    pub fn faults_pending(&self) -> usize {
        self.script.pending()
    }

    /// Every request waits this long first; `None`: none does.
    pub fn slow(&self, pause: Option<Duration>) {
        self.script.set_slow(pause);
    }

    /// True: every connection ends, open ones and new ones. False: they are welcome again.
    pub fn refuse(&self, refuse: bool) {
        self.script.refused.send_replace(refuse);
    }

    /// Requests that are held now.
    pub fn held(&self) -> usize {
        self.script.held()
    }

    /// Waits until `count` requests are held by [`Fault::Hold`] or [`Fault::HoldAnswer`].
    ///
    /// # Panics
    /// After a minute.
    pub async fn until_held(&self, count: usize) {
        let what = format!("{count} requests to be held");
        wait::until_ok(PATIENCE, &what, async || match self.held() {
            held if held >= count => Ok(()),
            held => Err(format!("{held} are held")),
        })
        .await;
    }

    /// Lets held requests go on.
    pub fn release(&self) {
        self.script.release();
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.script.clear();
        self.slow(None);
        self.refuse(false);
        self.release();
    }

    /// How many of these requests came in whole, refused ones included. Only the last
    /// [`faults::REMEMBERED`] are looked through.
    pub fn seen(&self, requests: &Requests) -> usize {
        self.script.seen(requests)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Calls `found` with every file below a folder.
fn collect_files(folder: &Path, found: &mut impl FnMut(&Path)) {
    // A folder that went away in between holds nothing.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => collect_files(&path, found),
            false => found(&path),
        }
    }
}

struct Served {
    service: S3Service,
    /// Held by the one request that changes something.
    changes: tokio::sync::Mutex<()>,
    script: Arc<Script>,
}

/// Takes connections until it is stopped.
fn run(listener: TcpListener, served: Arc<Served>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket of ours");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a socket of ours");
        let taking = async {
            loop {
                if let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, Arc::clone(&served)));
                }
            }
        };
        tokio::select! {
            () = taking => {}
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

async fn serve(socket: TcpStream, served: Arc<Served>) {
    let mut refused = served.script.refused.subscribe();
    if *refused.borrow() {
        // Reset instead of an orderly end.
        let _ = socket.set_zero_linger();
        return;
    }
    let _ = socket.set_nodelay(true);
    let answering = service_fn(move |request| answer(Arc::clone(&served), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), answering);
    tokio::select! {
        biased;
        _ = refused.wait_for(|refused| *refused) => {}
        _ = connection => {}
    }
}

/// Answers a request; an error cuts the connection instead.
async fn answer(served: Arc<Served>, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let (head, body) = request.into_parts();
    let body = whole(body).await?;
    let fault =
        served.script.take(head.method.as_str(), head.uri.path(), head.uri.query().unwrap_or_default());
    if let Some(pause) = served.script.pause() {
        tokio::time::sleep(pause).await;
    }
    match fault {
        Some(Fault::Error(code)) => return refusal(code),
        Some(Fault::Cut) => return Err(cut()),
        Some(Fault::Hold) => served.script.hold().await,
        Some(Fault::Lose | Fault::HoldAnswer) | None => {}
    }
    let work = {
        let served = Arc::clone(&served);
        let request = Request::from_parts(head, Body::from(body));
        tokio::spawn(async move { carry_out(&served, request).await })
    };
    let answer = work.await.map_err(|error| HttpError::new(Box::new(error)))?;
    match fault {
        Some(Fault::Lose) => return Err(cut()),
        Some(Fault::HoldAnswer) => served.script.hold().await,
        _ => {}
    }
    answer
}

async fn carry_out(served: &Served, request: Request<Body>) -> Result<HttpResponse, HttpError> {
    let changes = !matches!(request.method().as_str(), "GET" | "HEAD");
    let _one_at_a_time = if changes { Some(served.changes.lock().await) } else { None };
    served.service.call(request).await
}

/// What the service says when it will not do what it is asked.
fn refusal(code: &str) -> Result<HttpResponse, HttpError> {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or_else(|| panic!("S3 has no error {code}"));
    let error = S3Error::with_message(code, "asked for by a test");
    error.to_http_response().map_err(|error| HttpError::new(Box::new(error)))
}

fn cut() -> HttpError {
    HttpError::new("cut by a test".into())
}

/// A request's body.
async fn whole(mut body: Incoming) -> Result<Bytes, HttpError> {
    let mut bytes = Vec::new();
    loop {
        let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else { return Ok(bytes.into()) };
        let frame = frame.map_err(|error| HttpError::new(Box::new(error)))?;
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
        if bytes.len() > BODY_BYTES_MAX {
            return Err(HttpError::new("the body is too long for a test".into()));
        }
    }
}
