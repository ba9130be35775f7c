//! Where quoted parts and comments of PostgreSQL's SQL end ("Lexical Structure" in its manual).

use crate::sql_text::{Lexis, end_of_line, is_word};

/// How PostgreSQL quotes.
pub const LEXIS: Lexis = Lexis { end_of_quoted, bare_name };

/// The end of the quoted text, quoted name or comment that begins at `at`; `None` when none does.
/// An unclosed one ends with the text.
pub fn end_of_quoted(sql: &[u8], at: usize) -> Option<usize> {
    let rest = sql.get(at..)?;
    let inside_word = at.checked_sub(1).and_then(|before| sql.get(before)).is_some_and(|b| is_word(*b));
    match rest {
        [b'\'', ..] => Some(at + end_of_text(rest, false)),
        [b'"', ..] => Some(at + end_of_text(rest, false)),
        [b'E' | b'e', b'\'', ..] if !inside_word => {
            Some(at + 1 + end_of_text(rest.get(1..).unwrap_or_default(), true))
        }
        [b'$', ..] if !inside_word => end_of_dollar(rest).map(|length| at + length),
        [b'-', b'-', ..] => Some(at + end_of_line(rest)),
        [b'/', b'*', ..] => Some(at + end_of_comment(rest)),
        _ => None,
    }
}

fn end_of_text(rest: &[u8], escapes: bool) -> usize {
    let quote = rest.first().copied();
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' if escapes => at += 2,
            _ if Some(*byte) == quote && rest.get(at + 1).copied() == quote => at += 2,
            _ if Some(*byte) == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `$tag$ … $tag$`; a parameter such as `$1` is none.
fn end_of_dollar(rest: &[u8]) -> Option<usize> {
    let tag = rest.get(1..)?.iter().position(|byte| *byte == b'$')? + 2;
    let opening = rest.get(..tag)?;
    let inner = opening.get(1..tag - 1)?;
    let is_tag = inner.first().is_none_or(|first| !first.is_ascii_digit())
        && inner.iter().all(|byte| is_word(*byte) && *byte != b'$');
    if !is_tag {
        return None;
    }
    let body = rest.get(tag..)?;
    let end = body.windows(opening.len()).position(|window| window == opening);
    Some(end.map_or(rest.len(), |end| tag + end + opening.len()))
}

/// Comments nest.
fn end_of_comment(rest: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest.get(at..at + 2) {
            Some(b"/*") => (at, depth) = (at + 2, depth + 1),
            Some(b"*/") => {
                (at, depth) = (at + 2, depth.saturating_sub(1));
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// A name out of its quotes; one without quotes is folded to lower case, as the server does.
pub fn bare_name(token: &str) -> String {
    match token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => token.to_lowercase(),
    }
}

/// The value of `'it''s'`, `E'a\\b'`, or of a bare number or word. Of escapes only those of a back-slash and
/// of a quote are known: no others are written by the source.
pub fn unquoted(literal: &str) -> Option<String> {
    let (inner, has_escapes) = match literal.strip_prefix(['E', 'e']).filter(|rest| rest.starts_with('\'')) {
        Some(rest) => (rest, true),
        None => (literal, false),
    };
    let Some(inner) = inner.strip_prefix('\'') else {
        return (!has_escapes).then(|| literal.to_owned());
    };
    let inner = inner.strip_suffix('\'')?.replace("''", "'");
    if !has_escapes {
        return Some(inner);
    }
    let mut value = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => value.push(chars.next().filter(|next| matches!(next, '\\' | '\''))?),
            other => value.push(other),
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql_text::tokens;

    #[test]
    fn quotes_and_comments_are_one_piece() {
        assert_eq!(
            tokens(
                "INSERT /* ? /* ? */ */ INTO \"a\"\"?\" values ('it''s \\', E'\\'?', $x$ ? $$ $x$) -- ?\n, $1",
                &LEXIS
            ),
            [
                "INSERT",
                "INTO",
                "\"a\"\"?\"",
                "values",
                "(",
                "'it''s \\'",
                ",",
                "E'\\'?'",
                ",",
                "$x$ ? $$ $x$",
                ")",
                ",",
                "$1"
            ]
        );
        assert_eq!(tokens("a #> 'open", &LEXIS), ["a", "#", ">", "'open"]);
        assert_eq!(bare_name("\"A\"\"b\""), "A\"b");
        assert_eq!(bare_name("Abc"), "abc");
    }
}
