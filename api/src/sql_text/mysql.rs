//! Where quoted parts and comments of MySQL's SQL end.

use crate::sql_text::{Lexis, end_of_line};

/// The end of the quoted text, quoted name or comment that begins at `at`; `None` when none does.
/// An unclosed one ends with the text.
pub fn end_of_quoted(sql: &[u8], at: usize) -> Option<usize> {
    let rest = sql.get(at..)?;
    match rest {
        [b'\'' | b'"', ..] => Some(at + end_of_text(rest)),
        [b'`', ..] => Some(at + end_of_name(rest)),
        [b'#', ..] => Some(at + end_of_line(rest)),
        [b'-', b'-', blank, ..] if blank.is_ascii_whitespace() => Some(at + end_of_line(rest)),
        [b'/', b'*', inner @ ..] => {
            let length = inner.windows(2).position(|pair| pair == b"*/").map(|end| end + 4);
            Some(at + length.unwrap_or(rest.len()))
        }
        _ => None,
    }
}

fn end_of_text(rest: &[u8]) -> usize {
    let quote = rest.first().copied();
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            _ if Some(*byte) == quote && rest.get(at + 1).copied() == quote => at += 2,
            _ if Some(*byte) == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn end_of_name(rest: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'`' if rest.get(at + 1) == Some(&b'`') => at += 2,
            b'`' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// How MySQL and MariaDB quote.
pub const LEXIS: Lexis = Lexis { end_of_quoted, bare_name };

/// A name out of its back-ticks.
pub fn bare_name(token: &str) -> String {
    match token.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => token.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(sql: &str) -> Vec<&str> {
        crate::sql_text::tokens(sql, &LEXIS)
    }

    #[test]
    fn quotes_and_comments_are_one_piece() {
        assert_eq!(
            tokens("insert /* ? */ into `a``?` values ('it''s \\' ?', \"?\") -- ?\n# ?\n, x.é"),
            [
                "insert",
                "into",
                "`a``?`",
                "values",
                "(",
                "'it''s \\' ?'",
                ",",
                "\"?\"",
                ")",
                ",",
                "x",
                ".",
                "é"
            ]
        );
        assert_eq!(tokens("a-1 'open"), ["a", "-", "1", "'open"]);
        assert_eq!(tokens("a/* open"), ["a"]);
        assert_eq!(bare_name("`a``b`"), "a`b");
    }
}
