//! What a logged `ALTER TABLE` says about columns beyond their new shape: what rows that are there get in new ones.

use culvert_api::sql_text::{Lexis, same_name, tokens};
use culvert_api::{Error, ErrorKind};

/// What to do where a target lacks columns of the source.
pub(crate) const ADD_MISSING: &str = "add the missing columns to the target, or drop them with a transform";
/// What to do where a column of the target does not hold what the source's holds.
pub(crate) const CHANGE_TYPE: &str = "change the target column's type to the source's";

/// Whether a target is unfit in a way that it would be after it followed a change of shape that the source
/// has not come to again: a column is gone or has another name, or another type.
pub(crate) fn may_have_been_followed(error: &Error) -> bool {
    error.kind() == ErrorKind::Schema && matches!(error.hint_text(), Some(ADD_MISSING | CHANGE_TYPE))
}

/// What rows that are there get in a column that is added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filling {
    /// NULL, or the type's zero.
    Nothing,
    /// This literal.
    Literal(String),
    /// Something the statement does not tell.
    Computed,
}

/// What rows that are there get in this column, as the statement says.
pub(crate) fn filling(statement: &str, column: &str, lexis: &Lexis) -> Filling {
    let words = tokens(statement, lexis);
    let is = |word: &str, wanted: &[&str]| wanted.iter().any(|known| word.eq_ignore_ascii_case(known));
    let defined_here = |place: &usize| {
        let before = place.checked_sub(1).and_then(|before| words.get(before)).copied().unwrap_or_default();
        words.get(*place).is_some_and(|word| same_name(&(lexis.bare_name)(word), column))
            && is(before, &["add", "column", "exists", "(", ","])
    };
    let Some(at) = (0..words.len()).find(defined_here) else {
        return Filling::Nothing;
    };
    let mut depth = 0_usize;
    let mut filling = Filling::Nothing;
    for (place, word) in words.iter().enumerate().skip(at + 1) {
        match *word {
            "(" => depth += 1,
            ")" if depth == 0 => break,
            ")" => depth -= 1,
            "," if depth == 0 => break,
            // Clauses of the column inside parentheses belong to its type or to an expression.
            _ if depth > 0 => {}
            word if is(word, &["as", "generated", "auto_increment"]) => return Filling::Computed,
            word if is(word, &["default"]) => filling = literal(words.get(place + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    filling
}

/// The literal at the start of these words.
fn literal(words: &[&str]) -> Filling {
    let first = words.first().copied().unwrap_or_default();
    let second = words.get(1).copied().unwrap_or_default();
    // `E'…'` is one piece in PostgreSQL's words.
    let is_text =
        |word: &str| word.strip_prefix(['E', 'e']).unwrap_or(word).starts_with('\'') || word.starts_with('"');
    if first.eq_ignore_ascii_case("null") {
        return Filling::Nothing;
    }
    if is_text(first) || first.eq_ignore_ascii_case("true") || first.eq_ignore_ascii_case("false") {
        return Filling::Literal(first.to_string());
    }
    if is_text(second)
        && (first.starts_with('_') || ["b", "x", "n"].iter().any(|p| first.eq_ignore_ascii_case(p)))
    {
        return Filling::Literal(format!("{first}{second}"));
    }
    // A number comes in pieces: -, 1, ., 5.
    let mut number = String::new();
    for word in words {
        let sign = number.is_empty() && matches!(*word, "-" | "+");
        let digits = word.starts_with(|c: char| c.is_ascii_digit())
            && (number.is_empty() || number.ends_with(['-', '+', '.']));
        if !(sign || digits || (*word == "." && !number.contains('.'))) {
            break;
        }
        number.push_str(word);
    }
    match number.trim_start_matches(['-', '+']).is_empty() {
        true => Filling::Computed,
        false => Filling::Literal(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use culvert_api::sql_text::mysql::LEXIS;

    #[test]
    fn what_rows_that_are_there_get() {
        let of = |definition: &str| {
            filling(&format!("ALTER TABLE t ADD COLUMN c {definition}, ADD d int default 9"), "c", &LEXIS)
        };
        assert_eq!(of("int"), Filling::Nothing);
        assert_eq!(of("int NOT NULL DEFAULT -5 AFTER `default`"), Filling::Literal("-5".into()));
        assert_eq!(of("decimal(10,2) default 1.50 comment 'as'"), Filling::Literal("1.50".into()));
        assert_eq!(of("varchar(9) DEFAULT 'it''s, (x'"), Filling::Literal("'it''s, (x'".into()));
        assert_eq!(of("bit(2) default b'10'"), Filling::Literal("b'10'".into()));
        assert_eq!(of("int default null"), Filling::Nothing);
        assert_eq!(of("datetime DEFAULT current_timestamp()"), Filling::Computed);
        assert_eq!(of("int default (1 + 1)"), Filling::Computed);
        assert_eq!(of("int as (a + 1) stored"), Filling::Computed);
        assert_eq!(of("int auto_increment"), Filling::Computed);
        assert_eq!(
            filling("alter table t add (x int, `c` int default 7)", "C", &LEXIS),
            Filling::Literal("7".into())
        );
        assert_eq!(
            filling("alter table t add if not exists c int default 3", "c", &LEXIS),
            Filling::Literal("3".into())
        );
    }
}
