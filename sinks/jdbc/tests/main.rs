//! The sink against real servers, MariaDB and MySQL alike.
#![allow(clippy::unwrap_used)]

mod faults;
mod keys;
mod marker;
mod shapes;
mod support;
mod values;
