//! Identifiers and text literals in statements.

use std::fmt;

/// A name in back-ticks, every back-tick inside doubled: no name can leave its quotes.
pub(crate) fn identifier(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('`');
    for c in name.chars() {
        if c == '`' {
            text.push('`');
        }
        text.push(c);
    }
    text.push('`');
    text
}

/// Names in back-ticks with commas between them.
pub(crate) fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(identifier).collect();
    quoted.join(", ")
}

/// Appends a text literal for a session whose character set is utf8mb4 and whose mode has
/// back-slash escapes. In UTF-8 no byte of a longer character is a quote or a back-slash, so bytes
/// can be looked at one by one.
pub(crate) fn text(value: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\'' | b'\\' | 0)) {
        let (clean, tail) = rest.split_at(at);
        out.extend_from_slice(clean);
        out.push(b'\\');
        out.push(if tail.first() == Some(&0) { b'0' } else { tail.first().copied().unwrap_or(b'\\') });
        rest = tail.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.push(b'\'');
}

/// A table of the target server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TargetName {
    /// Its database.
    pub(crate) database: String,
    /// Its name.
    pub(crate) table: String,
}

impl TargetName {
    /// The name as it stands in statements.
    pub(crate) fn quoted(&self) -> String {
        format!("{}.{}", identifier(&self.database), identifier(&self.table))
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(identifier("a`; drop table `t"), "`a``; drop table ``t`");
        assert_eq!(identifiers(["a", "b c"]), "`a`, `b c`");
    }

    #[test]
    fn texts_cannot_leave_their_quotes() {
        let literal = |value: &[u8]| {
            let mut out = Vec::new();
            text(value, &mut out);
            out
        };
        assert_eq!(literal(b"it's"), b"'it\\'s'");
        assert_eq!(literal(b"a\\"), b"'a\\\\'");
        assert_eq!(literal(b"\0x\n\""), b"'\\0x\n\"'");
        assert_eq!(literal("é漢😀".as_bytes()), "'é漢😀'".as_bytes());
        assert_eq!(literal(b""), b"''");
    }
}
