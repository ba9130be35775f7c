//! Values that people declare and write down, as columns: what sources without a catalog of their own have
//! in common. No I/O.
//!
//! | file | holds |
//! |---|---|
//! | [`schema`] | the table of an option block `schema` |
//! | [`data_type()`] | the words for types |
//! | [`Cell`], [`of_text`], [`time`] | one value, and how it is read from a text |
//! | [`of_entry()`] | the options of one of several tables |
//! | [`json`] | values of JSON |
//! | [`written()`] | one value as a job file has it |
//! | [`array()`] | a column of values |
//! | [`equal()`] | whether two values are the same |

mod array;
mod cell;
mod data_type;
mod entry;
mod equal;
pub mod json;
pub mod schema;
pub mod time;
mod written;

pub use array::array;
pub use cell::{Cell, decimal, of_text};
pub use data_type::{DataTypeError, data_type, matches};
pub use entry::of_entry;
pub use equal::equal;
pub use written::written;
