//! The sink `Iceberg`.
