//! Throw-away certificates for servers that speak TLS, made by the `openssl` program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A certificate authority and a server certificate for `127.0.0.1` and `localhost`, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate: what a client has to trust.
    pub ca: PathBuf,
    /// The server's certificate.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
}

impl Certificates {
    /// Makes new ones in a folder that exists.
    pub fn generate(folder: &Path) -> Certificates {
        let made = Certificates {
            ca: folder.join("ca.pem"),
            certificate: folder.join("server.pem"),
            key: folder.join("server-key.pem"),
        };
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let mut authority =
            openssl(folder, &["req", "-x509", "-days", "30", "-subj", "/CN=culvert test authority"]);
        authority.args(curve).args(["-keyout", "ca-key.pem", "-out", "ca.pem"]);
        authority.args(["-addext", "keyUsage=critical,keyCertSign"]);
        run(authority);
        let mut request = openssl(folder, &["req", "-subj", "/CN=127.0.0.1"]);
        request.args(curve).args(["-keyout", "server-key.pem", "-out", "server.csr"]);
        run(request);
        std::fs::write(folder.join("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
            .unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
        let mut sign = openssl(folder, &["x509", "-req", "-days", "30", "-CAcreateserial"]);
        sign.args(["-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem"]);
        sign.args(["-extfile", "server.ext", "-out", "server.pem"]);
        run(sign);
        made
    }
}

fn openssl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments);
    command
}

fn run(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("openssl does not start: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}
