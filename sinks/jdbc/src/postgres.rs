//! Targets that speak PostgreSQL's protocol: PostgreSQL, and products under other names.

pub(crate) mod check;
pub(crate) mod column_type;
pub(crate) mod committer;
pub(crate) mod connect;
pub(crate) mod ddl;
pub(crate) mod declare;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod flush;
pub(crate) mod instant;
pub(crate) mod key;
pub(crate) mod marker;
pub(crate) mod name;
pub(crate) mod options;
pub(crate) mod order;
pub(crate) mod pending;
pub(crate) mod plan;
pub(crate) mod sink;
pub(crate) mod stage;
pub(crate) mod target;
pub(crate) mod template;
pub(crate) mod writer;
