//! Transforms end to end: what SeaTunnel's documents show, and rows that take other ways.

mod forms;
mod graphs;
mod keys;
mod letters;
mod refusals;
mod shards;
