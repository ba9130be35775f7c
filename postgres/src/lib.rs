//! What source and sink share about PostgreSQL.
