//! Targets that speak MySQL's protocol: MySQL and MariaDB.

pub(crate) mod check;
pub(crate) mod column_type;
pub(crate) mod committer;
pub(crate) mod connect;
pub(crate) mod ddl;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod instant;
pub(crate) mod key;
pub(crate) mod marker;
pub(crate) mod options;
pub(crate) mod pending;
pub(crate) mod plan;
pub(crate) mod quote;
pub(crate) mod sink;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod tls;
pub(crate) mod witness;
pub(crate) mod writer;
