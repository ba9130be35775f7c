//! The sink `Assert`: keeps nothing, and fails the job when its rows are not as the rules say.
//!
//! Rules about tables are held against the schema before the first row, rules about fields against every row
//! as it comes, and rules about the number of rows against the rows of the whole job: the most at every
//! checkpoint, the least when the job has ended. Rows that are read again after a failure count once.
//! `docs/assert.md` tells it from the user's side.
//!
//! | file | holds |
//! |---|---|
//! | `options`, `rules` | what the user wrote, checked |
//! | `judge` | whether a table and its rows are as the rules say |
//! | `count` | how many rows there were as of each checkpoint |
//! | `sink`, `writer` | the sink as the engine sees it |

mod count;
mod judge;
mod options;
mod rules;
mod sink;
mod writer;

pub use options::OPTIONS;
pub use sink::{AssertSink, PLUGIN};
