//! Rows made up from a schema.
