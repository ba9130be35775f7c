//! Finding one's way through SQL text: where quoted parts and comments end.

/// The end of the quoted text, quoted name or comment that begins at `at`; `None` when none does.
/// An unclosed one ends with the text.
pub(crate) fn end_of_quoted(sql: &[u8], at: usize) -> Option<usize> {
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

fn end_of_line(rest: &[u8]) -> usize {
    rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1)
}

/// Whether a byte can be part of a bare word.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

/// A piece of SQL text: a word, a quoted part, or a single other byte. Blanks and comments are
/// left out.
pub(crate) fn tokens(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let end = match end_of_quoted(bytes, at) {
            Some(end) => end,
            None if is_word(byte) => bytes
                .get(at..)
                .and_then(|rest| rest.iter().position(|b| !is_word(*b)))
                .map_or(bytes.len(), |n| at + n),
            None => at + 1,
        };
        let is_comment = matches!(byte, b'#') || (matches!(byte, b'-' | b'/') && end > at + 1);
        if !byte.is_ascii_whitespace() && !is_comment {
            found.extend(sql.get(at..end));
        }
        at = end;
    }
    found
}

/// A name out of its back-ticks.
pub(crate) fn bare_name(token: &str) -> String {
    match token.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
        Some(inner) => inner.replace("``", "`"),
        None => token.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
