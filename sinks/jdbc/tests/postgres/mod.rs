//! The sink for PostgreSQL, on both versions.

mod faults;
mod foreign_keys;
mod hostile;
mod keys;
mod left_out;
mod marker;
mod order;
mod shapes;
pub(crate) mod support;
mod values;
