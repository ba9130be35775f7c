//! One server of each flavour per test process, for tests that need no server of their own.

use tokio::sync::OnceCell;

use crate::server::{Flavor, Server, ServerOptions};

/// The server of this flavour that all tests of this process share, with the default options;
/// started by the first who asks. Take a [`Server::fresh_database`] on it and leave everything
/// else alone: no global variables, no purged logs, no faults.
pub async fn shared(flavor: Flavor) -> &'static Server {
    static MARIADB: OnceCell<Server> = OnceCell::const_new();
    static MYSQL: OnceCell<Server> = OnceCell::const_new();
    let cell = match flavor {
        Flavor::MariaDb => &MARIADB,
        Flavor::MySql => &MYSQL,
    };
    cell.get_or_init(|| Server::start(flavor, ServerOptions::default())).await
}

/// Runs a test's body on both shared servers, one after the other.
pub async fn both(body: impl AsyncFn(&'static Server)) {
    for flavor in Flavor::ALL {
        let server = shared(flavor).await;
        // The output of a failed test ends with the server it failed on.
        eprintln!("on {}", flavor.name());
        body(server).await;
    }
}

/// Runs a test's body on a server of its own of each flavour, one after the other.
pub async fn both_with(options: ServerOptions, body: impl AsyncFn(Server)) {
    for flavor in Flavor::ALL {
        let server = Server::start(flavor, options.clone()).await;
        eprintln!("on {} of its own", flavor.name());
        body(server).await;
    }
}
