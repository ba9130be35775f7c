//! The source `Postgres-CDC`.
