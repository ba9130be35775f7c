//! Bad input: every mistake of a person ends with exit code 2, a message that names file, line,
//! option or table and what to do, nothing written, and no secret printed.

#![allow(clippy::unwrap_used)]

mod check;
mod fixture;
mod job_file;
mod restart;
mod rights;
mod settings;
mod stream;
mod target;
mod tls;
