//! One server of each kind per test process, for tests that need no server of their own.

use tokio::sync::OnceCell;

use crate::kafka::{Kafka, KafkaOptions};
use crate::lake::Lake;
use crate::postgres::{PgOptions, PgVersion, Postgres};
use crate::registry::Registry;
use crate::s3::S3;
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

/// The PostgreSQL of this version that all tests of this process share, with the default options;
/// started by the first who asks. Take a [`Postgres::fresh_database`] on it and leave everything
/// else alone.
pub async fn postgres_shared(version: PgVersion) -> &'static Postgres {
    static V15: OnceCell<Postgres> = OnceCell::const_new();
    static V17: OnceCell<Postgres> = OnceCell::const_new();
    let cell = match version {
        PgVersion::V15 => &V15,
        PgVersion::V17 => &V17,
    };
    cell.get_or_init(|| Postgres::start(version, PgOptions::default())).await
}

/// Runs a test's body on the shared servers of both versions, one after the other.
pub async fn postgres_both(body: impl AsyncFn(&'static Postgres)) {
    for version in PgVersion::ALL {
        let server = postgres_shared(version).await;
        eprintln!("on {}", version.name());
        body(server).await;
    }
}

/// Runs a test's body on a PostgreSQL of its own of each version, one after the other.
pub async fn postgres_both_with(options: PgOptions, body: impl AsyncFn(Postgres)) {
    for version in PgVersion::ALL {
        let server = Postgres::start(version, options.clone()).await;
        eprintln!("on {} of its own", version.name());
        body(server).await;
    }
}

/// The broker that all tests of this process share; started by the first who asks. Take topics of
/// your own ([`Kafka::fresh_name`]) and leave everything else alone.
pub async fn kafka_shared() -> &'static Kafka {
    static KAFKA: OnceCell<Kafka> = OnceCell::const_new();
    KAFKA.get_or_init(|| Kafka::start(KafkaOptions::default())).await
}

/// The schema registry that all tests of this process share; started by the first who asks. Take topics
/// of your own, and with them subjects, and leave everything else alone.
pub async fn registry_shared() -> &'static Registry {
    static REGISTRY: OnceCell<Registry> = OnceCell::const_new();
    REGISTRY.get_or_init(Registry::start).await
}

/// The S3 server that all tests of this process share; started by the first who asks. Take buckets of your
/// own ([`S3::fresh_bucket`]) and ask for no faults.
pub async fn s3_shared() -> &'static S3 {
    static S3_SERVER: OnceCell<S3> = OnceCell::const_new();
    S3_SERVER.get_or_init(async || S3::start()).await
}

/// The engines that all tests of this process read lakes with; started by the first who asks. They answer one
/// question after the other.
pub async fn lake_shared() -> &'static Lake {
    static LAKE: OnceCell<Lake> = OnceCell::const_new();
    LAKE.get_or_init(async || Lake::start()).await
}
