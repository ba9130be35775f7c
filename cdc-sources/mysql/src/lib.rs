//! MySQL and MariaDB as a source: snapshot and binary log.

pub mod charset;
pub mod column;
pub mod decode;
pub mod event;
pub mod gtid;
pub mod json;
pub mod wire;
