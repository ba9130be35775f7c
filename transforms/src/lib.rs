//! Transforms: pure functions from change batches to change batches. No I/O, no state; the clock tells two
//! columns what time it is and decides nothing.
//!
//! Every transform is a file with `PLUGIN`, `OPTIONS`, `RULES` and `from_options`. What columns leave, and
//! what becomes of keys, declared types and values that the log left out, is decided in one place for all
//! of them: `layout.rs`. docs/transforms.md has the table.

mod by_table;
mod clock;
mod copy;
mod data_validator;
mod decimal;
mod field_encrypt;
mod field_mapper;
mod field_rename;
mod filter;
mod filter_row_kind;
mod json_path;
mod layout;
mod mask;
mod metadata;
mod nested;
mod pattern;
mod regex_extract;
mod rename;
mod replace;
mod row_kind_extractor;
mod split;
mod table_filter;
mod table_merge;
mod table_rename;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;
mod unsupported;
mod values;

pub use by_table::{ByTable, TABLE_OPTIONS};
pub use copy::Copy;
pub use data_validator::DataValidator;
pub use field_encrypt::FieldEncrypt;
pub use field_mapper::FieldMapper;
pub use field_rename::FieldRename;
pub use filter::Filter;
pub use filter_row_kind::FilterRowKind;
pub use json_path::JsonPath;
pub use mask::Mask;
pub use metadata::Metadata;
pub use regex_extract::RegexExtract;
pub use replace::Replace;
pub use row_kind_extractor::RowKindExtractor;
pub use split::Split;
pub use table_filter::TableFilter;
pub use table_merge::TableMerge;
pub use table_rename::TableRename;
pub use unsupported::UNSUPPORTED;
