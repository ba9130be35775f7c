//! Accepting connections, with TLS where it is asked for.
//!
//! A handshake happens beside the loop that accepts, so that a peer that says nothing keeps nobody waiting;
//! it has the time of a request's head, and its connection counts from the moment it is accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use culvert_api::{Error, ErrorKind};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::http::options::{HttpConfig, TlsFiles};
use crate::http::watched::{Doing, HEAD_WITHIN, Watched};

/// How long to wait after a failed accept: mostly there are no file descriptors left.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// What bytes come in by: a socket, or TLS over one.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// A connection that is ready for a request.
pub(crate) type Connection = Watched<Box<dyn Wire>>;

/// Who is connected.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) doing: Arc<Doing>,
}

impl Connected<IncomingStream<'_, HttpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Peer {
        Peer { address: *stream.remote_addr(), doing: stream.io().doing() }
    }
}

/// Gives connections that are ready for a request.
pub(crate) struct HttpListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(Connection, SocketAddr)>,
    accepting: JoinHandle<()>,
}

impl HttpListener {
    /// Takes the address, and begins to accept.
    pub(crate) async fn bind(config: &HttpConfig) -> Result<HttpListener, Error> {
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let wanted = SocketAddr::new(config.address, config.port);
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Config, "the HTTP interface cannot listen there")
                .context("address", wanted)
                .caused_by(error)
                .hint("another program may have the port: set http.port, 0 for any")
        };
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let places = Arc::new(Semaphore::new(config.connections_max));
        let (tell, ready) = mpsc::channel(1);
        let accepting = tokio::spawn(accept(listener, tls, places, tell));
        Ok(HttpListener { address, ready, accepting })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for HttpListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The loop ends with this alone.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    ready: mpsc::Sender<(Connection, SocketAddr)>,
) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (tls, ready) = (tls.clone(), ready.clone());
                tokio::spawn(async move {
                    if let Some(connection) = greet(stream, tls, place).await {
                        // Nobody takes it when the service ends.
                        let _ = ready.send((connection, peer)).await;
                    }
                });
            }
            Err(error) => {
                tracing::warn!("no connection could be accepted: {error}");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// A connection whose handshake is done; `None` where it came to nothing.
async fn greet(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    place: OwnedSemaphorePermit,
) -> Option<Connection> {
    let doing = Doing::waiting();
    // An answer is written at once; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    let wire: Box<dyn Wire> = match tls {
        None => Box::new(stream),
        Some(tls) => Box::new(tokio::time::timeout(HEAD_WITHIN, tls.accept(stream)).await.ok()?.ok()?),
    };
    Some(Watched::new(wire, doing, place))
}

fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, Error> {
    let refused = |path: &std::path::Path, error: String| {
        Error::new(ErrorKind::Config, format!("the TLS file cannot be used: {error}"))
            .context("file", path.display())
            .hint("certificate and key are PEM files, the chain behind the certificate")
    };
    let certificate = &files.certificate;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| refused(certificate, error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refused(&files.key, error.to_string()))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| refused(certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
