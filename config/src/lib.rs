//! Job files: from HOCON or JSON text to an ordered, typed job graph.
//!
//! The way of a file: [`load`] reads it into a [`JobFile`] of ordered plugin blocks, with variables
//! filled in and the line of every key kept. [`JobFile::graph`] connects the blocks by their
//! dataset names. A connector resolves its block against its table of [`OptionDef`]s with
//! [`Options::resolve`], which types the values and reports every [`Problem`] with the line and
//! the key as it was written. A [`Report`] collects the problems for people or as JSON.
//!
//! Nothing here opens a connection, and no error or debug output carries a secret.

mod document;
mod env;
mod excerpt;
mod graph;
mod hocon;
mod jdbc_url;
mod lay;
mod load;
mod nearest;
mod option_def;
mod option_docs;
mod option_json;
mod options;
mod patch;
mod problem;
mod report;
mod resolve;
mod rules;
mod secret;
mod setting;
mod substitute;
mod tls_mode;
mod value;

pub use document::{Document, read_document};
pub use env::{ENV_OPTIONS, JobMode, JobSettings};
pub use excerpt::columns_of;
pub use graph::{JobGraph, Node};
pub use jdbc_url::{JdbcUrl, JdbcUrlError, UrlFamily};
pub use lay::lay_under;
pub use load::{Format, JobFile, MAX_FILE_BYTES, load, survey, survey_text};
pub use nearest::nearest;
pub use option_def::{COMMON_OPTIONS, OptionDef, OptionKind, Support, definition_mistakes};
pub use option_docs::{option_type, options_markdown};
pub use option_json::{OPTIONS_JSON_VERSION, option_json, rule_json};
pub use options::Options;
pub use problem::{ConfigErrors, Fix, Place, Problem, ProblemKind, Severity, Span, raise_unknown_keys};
pub use report::{Report, ReportItem};
pub use rules::Rule;
pub use secret::{Secret, is_secret_key, mask_secrets};
pub use substitute::{RESERVED_NAMES, Variables, parse_variables, unresolved_variables};
pub use tls_mode::{TlsMode, TlsModeError};
pub use value::{Block, Entry, Leaf, Role, Value};
