//! The test harness: real servers, faults, and the oracle that compares row for row.
//!
//! Nothing here is a mock. [`server`] starts private MariaDB and MySQL instances, [`postgres`] private
//! PostgreSQL ones, [`kafka`] private brokers, [`registry`] a schema registry, [`s3`] a server of the S3
//! interface, [`rest_catalog`] an Iceberg REST catalog, each with its own data folder and port; they die with
//! the test process. [`shared`] holds one of each per test process for tests that only need a database of
//! their own. [`proxy`] breaks connections, [`database`] is a database on a server of either kind, [`lake`]
//! reads lakes with engines that no one here wrote, [`hook`] is a web hook that behaves as it is told,
//! [`process`] runs the `culvert` binary and kills it, [`browser`] drives Chromium, [`wait`] waits for
//! conditions, [`oracle`] says whether two tables, or an append log and a table, hold the same.
//!
//! `tests/servers/install.sh` installs what is needed. Every function here panics when something
//! goes wrong, with a message that says what was expected: it is called by tests only.

pub mod browser;
pub mod certificates;
pub mod database;
pub mod hook;
pub mod kafka;
pub mod lake;
pub mod oracle;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod random;
pub mod registry;
pub mod rest_catalog;
pub mod s3;
pub mod scratch;
pub mod server;
pub mod shared;
pub mod tied;
pub mod wait;

pub use browser::Browser;
pub use database::Database;
pub use hook::{Heard, Hook, Manner};
pub use kafka::{Isolation, Kafka, KafkaOptions};
pub use lake::{Lake, LakeTable};
pub use postgres::{PgOptions, PgVersion, Postgres, WalLevel};
pub use process::Culvert;
pub use proxy::Proxy;
pub use random::seed;
pub use registry::Registry;
pub use rest_catalog::RestCatalog;
pub use s3::S3;
pub use server::{BinlogFormat, Flavor, RowImage, RowMetadata, Server, ServerOptions};
pub use shared::{
    both, both_with, kafka_shared, lake_shared, postgres_both, postgres_both_with, postgres_shared,
    registry_shared, s3_shared, shared,
};
