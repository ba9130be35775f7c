//! What a query or a table holds, read once.
