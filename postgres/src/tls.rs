//! Encryption as a URL asks for it, with one library and one provider for every connection.

use std::path::Path;
use std::sync::Arc;

use culvert_api::{Error, ErrorKind, Result};
use culvert_config::TlsMode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What to do when encryption fails.
const HINT: &str = "check sslmode and sslrootcert in the url, and the server's certificate";

/// The TLS settings of a mode; `None` for plain text. With [`TlsMode::Preferred`] the caller goes on
/// in plain text when the server has no TLS.
pub fn client_config(mode: &TlsMode) -> Result<Option<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Internal, "no TLS version to offer").caused_by(error))?;
    let config = match mode {
        TlsMode::Off => return Ok(None),
        TlsMode::Preferred | TlsMode::Required => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider }))
            .with_no_client_auth(),
        TlsMode::VerifyIdentity(file) => {
            let roots = match file {
                Some(file) => roots_of(file)?,
                None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            };
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(Some(config))
}

/// A connection that could not be encrypted: a certificate that is not trusted, or a server without
/// TLS. An operator's error; waiting does not help.
pub fn refused(doing: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Config, format!("no TLS connection while {doing}")).caused_by(cause).hint(HINT)
}

/// The server answered that it has no TLS.
pub fn not_offered(doing: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the server offers no TLS while {doing}"))
        .hint("set sslmode=disable in the url, or give the server a certificate and ssl=on")
}

fn roots_of(file: &Path) -> Result<RootCertStore> {
    let unfit = |message: &str, cause: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Config, format!("the certificate file {} {message}", file.display()))
            .caused_by(cause)
            .hint("set sslrootcert in the url to the authority's certificate as PEM")
    };
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(file).map_err(|error| unfit("cannot be read", error.into()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unfit("is not PEM", error.into()))?;
        roots.add(certificate).map_err(|error| unfit("holds an unfit certificate", error.into()))?;
    }
    if roots.is_empty() {
        return Err(unfit("holds no certificate", "nothing between BEGIN and END CERTIFICATE".into()));
    }
    Ok(roots)
}

/// Encryption without authentication: what `require` and `prefer` mean. The signature is still
/// checked, so that the peer holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn modes_have_their_settings() {
        assert!(client_config(&TlsMode::Off).unwrap().is_none());
        for mode in [TlsMode::Preferred, TlsMode::Required, TlsMode::VerifyIdentity(None)] {
            assert!(client_config(&mode).unwrap().is_some(), "{mode:?}");
        }
    }

    #[test]
    fn a_file_that_is_no_certificate_is_the_operators_to_mend() {
        let folder = std::env::temp_dir();
        for (file, found) in [
            (folder.join("there-is-no-such-file.pem"), "cannot be read"),
            (std::env::current_exe().unwrap(), "holds no certificate"),
        ] {
            let error = client_config(&TlsMode::VerifyIdentity(Some(file))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains(found) || error.message().contains("is not PEM"), "{error}");
        }
    }
}
