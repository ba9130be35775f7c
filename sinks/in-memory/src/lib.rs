//! Rows kept in memory.
