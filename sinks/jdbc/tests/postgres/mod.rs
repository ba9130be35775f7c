//! The sink for PostgreSQL, on both versions.

mod faults;
mod foreign_keys;
mod keys;
mod left_out;
mod marker;
mod shapes;
pub(crate) mod support;
mod values;
