//! Lakes as others see them: objects of buckets, and what is written is read back by engines that no one here wrote.

mod iceberg_changes;
mod iceberg_crash;
mod iceberg_faults;
mod iceberg_refusals;
mod iceberg_shapes;
mod iceberg_types;
mod iceberg_upkeep;
mod parquet;
mod s3_faults;
mod s3_file;
mod warehouse;
