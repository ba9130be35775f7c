//! The sink against real servers: MariaDB and MySQL alike, and two versions of PostgreSQL.
#![allow(clippy::unwrap_used)]

mod faults;
mod from_postgres;
mod keys;
mod marker;
mod moved;
mod postgres;
mod shapes;
mod support;
mod values;
