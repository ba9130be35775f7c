//! The Sql transform.
