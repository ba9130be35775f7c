//! Every type arrives equal: what was there before, what comes later, and what the source holds.
//!
//! [`corpus`] names the columns and their values, [`values`] copies them between PostgreSQL servers,
//! [`pairs`] to MySQL and
//! MariaDB, [`from_mysql`] from there, [`keys`] changes and removes
//! rows by keys of every type.

pub(crate) mod corpus;
mod from_mysql;
mod keys;
mod pairs;
mod values;
