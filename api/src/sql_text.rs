//! Finding one's way through SQL text: words, quoted parts, single bytes. What is quoted, and how,
//! each family of databases knows itself ([`Lexis`]).

pub mod mysql;
pub mod postgres;
mod renames;

pub use renames::{renames, same_name};

/// How a family of databases quotes.
pub struct Lexis {
    /// The end of the quoted text, quoted name or comment that begins at this byte; `None` when none
    /// does. An unclosed one ends with the text.
    pub end_of_quoted: fn(&[u8], usize) -> Option<usize>,
    /// A name out of its quotes.
    pub bare_name: fn(&str) -> String,
}

/// Whether a byte can be part of a bare word.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// The pieces of SQL text: a word, a quoted part, or a single other byte. Blanks and comments are left
/// out.
pub fn tokens<'a>(sql: &'a str, lexis: &Lexis) -> Vec<&'a str> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let quoted = (lexis.end_of_quoted)(bytes, at);
        let end = match quoted {
            Some(end) => end,
            None if is_word(byte) => bytes
                .get(at..)
                .and_then(|rest| rest.iter().position(|b| !is_word(*b)))
                .map_or(bytes.len(), |n| at + n),
            None => at + 1,
        };
        let is_comment = quoted.is_some() && matches!(byte, b'#' | b'-' | b'/');
        if !byte.is_ascii_whitespace() && !is_comment {
            found.extend(sql.get(at..end));
        }
        at = end;
    }
    found
}

/// Where a comment to the end of the line ends.
pub fn end_of_line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1)
}
