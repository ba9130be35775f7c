//! Transforms: pure functions from change batches to change batches. No I/O, no clock, no state.

mod filter_row_kind;
mod row_kind_extractor;
#[cfg(test)]
mod testing;

pub use filter_row_kind::FilterRowKind;
pub use row_kind_extractor::RowKindExtractor;
