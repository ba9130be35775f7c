//! Names and texts in statements ("Lexical Structure" in the PostgreSQL manual).

/// A name in double quotes, every quote inside doubled: no name can leave its quotes, and none is
/// folded to lower case.
pub fn identifier(name: &str) -> String {
    enclosed(name, '"')
}

/// Names in double quotes with commas between them.
pub fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(identifier).collect();
    quoted.join(", ")
}

/// A table, or another object that lies in a schema: `"schema"."name"`.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// A text as a literal. Right whatever `standard_conforming_strings` is, because a text with a
/// back-slash is written as one with escapes. A zero byte, which no text of the server can hold, is
/// the server's to refuse.
pub fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!(" E{}", enclosed(&text.replace('\\', r"\\"), '\''))
    } else {
        enclosed(text, '\'')
    }
}

fn enclosed(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_stay_in_their_quotes() {
        assert_eq!(identifier("a"), r#""a""#);
        assert_eq!(identifier(r#"a"; drop table x;--"#), r#""a""; drop table x;--""#);
        assert_eq!(qualified("a.b", "😀"), r#""a.b"."😀""#);
        assert_eq!(identifiers(["a", "B c"]), r#""a", "B c""#);
    }

    #[test]
    fn literals_mean_the_same_with_and_without_standard_strings() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r" E'a\\''b'");
        assert_eq!(literal(""), "''");
    }
}
