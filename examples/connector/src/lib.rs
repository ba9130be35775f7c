//! The connectors of `docs/write-a-connector.md`, as the page has them: a source in three steps, and a sink with
//! two phases. They are compiled and run by the tests, and are no plugins.

pub mod one_reader;
pub mod splits;
pub mod state;
pub mod two_phases;
