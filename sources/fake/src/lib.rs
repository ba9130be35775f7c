//! The source `FakeSource`: rows that are written in the job file, or made up.
//!
//! It needs no server, so it is there for demonstrations and for tests, and it keeps the promise that the
//! others keep: after a crash it goes on behind the last committed row. Made-up values are a function of the
//! *seed*, the table and the row's number; the seed is in the restart point, so a row that is read again is
//! the same row. `docs/fake-source.md` tells it from the user's side.
//!
//! | file | holds |
//! |---|---|
//! | `options` | what the user wrote, checked |
//! | `content`, `made` | the rows of a table: written down, or made up |
//! | `state` | the restart point |
//! | `source`, `enumerator`, `reader` | the source as the engine sees it |

mod content;
mod enumerator;
mod made;
mod options;
mod reader;
mod source;
mod state;

pub use options::{OPTIONS, RULES};
pub use source::{FakeSource, PLUGIN};
