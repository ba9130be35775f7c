//! What users are told about their job files, and what the program tells of itself.
#![allow(clippy::unwrap_used)]

mod connectors;
mod mistakes;
mod plan;

use std::time::Duration;

/// How long a command may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
