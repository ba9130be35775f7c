//! Lakes as others see them: what is written is read back by engines that no one here wrote.

mod iceberg_crash;
mod iceberg_faults;
mod parquet;
mod warehouse;
