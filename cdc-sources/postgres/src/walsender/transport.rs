//! The socket, encrypted or not.

use std::sync::Arc;

use culvert_api::{Error, Result};
use culvert_config::TlsMode;
use culvert_postgres::endpoint::{KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, UNACKNOWLEDGED_MAX};
use culvert_postgres::{Endpoint, lost, tls};
use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A stream of bytes in both directions.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A connection on which nothing was said yet.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Transport>,
    /// What ties a login to this TLS connection (`tls-server-end-point` of RFC 5929), where there is
    /// one and its digest is known.
    pub(crate) channel_binding: Option<Vec<u8>>,
}

/// Connects; the caller has the time limit.
pub(crate) async fn connect(endpoint: &Endpoint, doing: &str) -> Result<Connected> {
    let address = (endpoint.host.as_str(), endpoint.port);
    let mut stream = TcpStream::connect(address).await.map_err(|error| lost(doing, error))?;
    keep_alive(&stream).map_err(|error| lost(doing, error))?;
    let Some(config) = tls::client_config(&endpoint.tls)? else {
        return Ok(Connected { stream: Box::new(stream), channel_binding: None });
    };
    // One byte is read and no more: whatever came with it in plain text must not count as encrypted.
    stream.write_all(&ssl_request()).await.map_err(|error| lost(doing, error))?;
    match stream.read_u8().await.map_err(|error| lost(doing, error))? {
        b'S' => {}
        b'N' if endpoint.tls == TlsMode::Preferred => {
            return Ok(Connected { stream: Box::new(stream), channel_binding: None });
        }
        b'N' => return Err(tls::not_offered(doing)),
        _ => return Err(lost(doing, "the server does not answer as PostgreSQL does")),
    }
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| tls::refused(doing, error))?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| handshake_failed(error, doing))?;
    let channel_binding = {
        let (_, session) = stream.get_ref();
        session.peer_certificates().and_then(<[_]>::first).and_then(|certificate| end_point(certificate))
    };
    Ok(Connected { stream: Box::new(stream), channel_binding })
}

fn ssl_request() -> bytes::BytesMut {
    let mut message = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut message);
    message
}

/// A refused certificate stays refused; a connection cut off in the middle may work the next time.
fn handshake_failed(error: std::io::Error, doing: &str) -> Error {
    match error.kind() {
        std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => tls::refused(doing, error),
        _ => lost(doing, error),
    }
}

/// The kernel notices a peer that is gone even when neither side has anything to say.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}

/// The certificate's digest by its own signature's hash, MD5 and SHA-1 raised to SHA-256. `None` where
/// the digest is another: the login is then not tied to the connection.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let suite = match signature_algorithm(certificate)? {
        // md5, sha1 and sha256 with RSA (1.2.840.113549.1.1.x); SHA-1 and SHA-256 with ECDSA
        // (1.2.840.10045.4.x).
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 1]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2] => TLS13_AES_128_GCM_SHA256,
        // SHA-384 with RSA and with ECDSA.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3] => {
            TLS13_AES_256_GCM_SHA384
        }
        _ => return None,
    };
    // The TLS library's hashes are reached by the cipher suites that use them.
    let SupportedCipherSuite::Tls13(suite) = suite else { return None };
    Some(suite.common.hash_provider.hash(certificate).as_ref().to_vec())
}

/// The object identifier, in DER, of the algorithm a certificate is signed with (RFC 5280, 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (content, _) = der(certificate, SEQUENCE)?;
    let (_, after_signed) = der(content, SEQUENCE)?;
    let (algorithm, _) = der(after_signed, SEQUENCE)?;
    der(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// Content of a DER element of this tag, and what follows the element.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_algorithm_is_found_behind_what_is_signed() {
        let mut certificate = vec![0x30, 0x82, 0x01, 0x14, 0x30, 0x82, 0x01, 0x00];
        certificate.extend([7; 256]);
        certificate.extend([0x30, 0x0a, 0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2, 3, 2, 1, 0]);
        assert_eq!(signature_algorithm(&certificate), Some(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2][..]));
        assert_eq!(end_point(&certificate).unwrap().len(), 32);
        let length = certificate.len();
        certificate[length - 5] = 3;
        assert_eq!(end_point(&certificate).unwrap().len(), 48);
        certificate[length - 5] = 9;
        assert_eq!(end_point(&certificate), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            prop_assert!(signature_algorithm(&bytes).is_none_or(|found| found.len() <= bytes.len()));
        }
    }
}
