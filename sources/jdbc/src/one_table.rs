//! Whether a query returns rows of one table, each at most once, as far as its text shows it.
//!
//! Only then does the table's key tell the query's rows apart, and only then can reading go on behind a key.
//! The columns of a result say where their values come from, but not how often: a join, a set operation or a
//! function in the list repeats rows. So this looks at the text, knows one plain form, `SELECT columns FROM
//! table [alias] [WHERE condition]`, and says no to everything else. ORDER BY is a no, too, because rows are
//! then wanted in that order, and LIMIT, because it may choose others the next time.

/// How names and texts are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// `` `name` ``, `"text"`, and backslashes in texts.
    MySql,
    /// `"name"`; names without quotes are lower case.
    Postgres,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// Without quotes: a keyword, a name or a number.
    Word(String),
    /// A name in quotes.
    Name(String),
    /// A text.
    Text,
    /// Anything else.
    Sign(char),
}

/// Words that repeat, leave out, choose or sort rows.
const REFUSED: &[&str] = &[
    "union",
    "intersect",
    "except",
    "minus",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "into",
    "procedure",
    "lock",
    "qualify",
];

/// The parts of the name of the one table whose rows a query returns.
pub(crate) fn one_table(query: &str, quotes: Quotes) -> Option<Vec<String>> {
    let tokens = tokens(query, quotes)?;
    let is = |token: Option<&Token>, word: &str| matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word));
    let mut rest = tokens.iter().peekable();
    if !is(rest.next(), "select") {
        return None;
    }
    loop {
        match rest.next()? {
            word if is(Some(word), "from") => break,
            word if is(Some(word), "select") || is(Some(word), "into") => return None,
            Token::Sign('(' | ')' | ';') => return None,
            _ => {}
        }
    }
    let mut name = vec![part(rest.next()?, quotes)?];
    while rest.next_if_eq(&&Token::Sign('.')).is_some() {
        name.push(part(rest.next()?, quotes)?);
    }
    let explicit = is(rest.peek().copied(), "as");
    if explicit {
        rest.next();
    }
    if let Some(alias) = rest.peek().copied()
        && (explicit || !is(Some(alias), "where"))
    {
        let alias = part(alias, quotes)?;
        if REFUSED.iter().any(|word| alias.eq_ignore_ascii_case(word)) {
            return None;
        }
        rest.next();
    }
    match rest.next() {
        None => return Some(name),
        Some(token) if is(Some(token), "where") => {}
        Some(_) => return None,
    }
    let fine = |token: &Token| match token {
        Token::Word(word) => !REFUSED.iter().any(|refused| word.eq_ignore_ascii_case(refused)),
        Token::Sign(';') => false,
        _ => true,
    };
    rest.all(fine).then_some(name)
}

/// A name, as the server understands it.
fn part(token: &Token, quotes: Quotes) -> Option<String> {
    match token {
        Token::Name(name) => Some(name.clone()),
        Token::Word(word)
            if ["only", "lateral", "table", "join", "select"]
                .iter()
                .any(|no| word.eq_ignore_ascii_case(no)) =>
        {
            None
        }
        Token::Word(word) if quotes == Quotes::Postgres => Some(word.to_lowercase()),
        Token::Word(word) => Some(word.clone()),
        _ => None,
    }
}

/// The query's tokens; `None` for what is not read here.
fn tokens(query: &str, quotes: Quotes) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = query.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            c if c.is_whitespace() => {}
            '-' if next == Some('-') => {
                chars.next();
                // MySQL takes two minus signs for a comment only where a blank follows.
                if quotes == Quotes::MySql && !chars.peek().is_some_and(|c| c.is_whitespace()) {
                    return None;
                }
                let _ = chars.by_ref().find(|c| *c == '\n');
            }
            '#' if quotes == Quotes::MySql => _ = chars.by_ref().find(|c| *c == '\n'),
            // Comments may hold statements (MySQL) and comments (PostgreSQL); dollars quote.
            '/' if next == Some('*') => return None,
            '$' => return None,
            '\'' => {
                quoted(&mut chars, '\'', quotes == Quotes::MySql)?;
                tokens.push(Token::Text);
            }
            '"' if quotes == Quotes::MySql => {
                quoted(&mut chars, '"', true)?;
                tokens.push(Token::Text);
            }
            '"' => tokens.push(Token::Name(quoted(&mut chars, '"', false)?)),
            '`' if quotes == Quotes::MySql => tokens.push(Token::Name(quoted(&mut chars, '`', false)?)),
            c if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some(more) = chars.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '$')) {
                    word.push(more);
                }
                // A letter before a quote gives the text other rules, or makes it a name.
                if chars.peek().is_some_and(|c| matches!(c, '\'' | '"')) {
                    return None;
                }
                tokens.push(Token::Word(word));
            }
            other => tokens.push(Token::Sign(other)),
        }
    }
    Some(tokens)
}

/// What stands up to the closing quote. A doubled quote stands for one.
fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    quote: char,
    escapes: bool,
) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\\' if escapes => text.push(chars.next()?),
            c if c == quote => match chars.next_if_eq(&quote) {
                Some(c) => text.push(c),
                None => return Some(text),
            },
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, quotes: Quotes) -> Option<String> {
        one_table(query, quotes).map(|parts| parts.join("|"))
    }

    #[test]
    fn plain_reads_of_one_table() {
        for (query, name) in [
            ("select * from t", "t"),
            ("SELECT a, b+1 AS c FROM Shop.T AS x WHERE a > 1 AND b IN (1, 2)", "shop|t"),
            ("select \"A\" from \"S\".\"T.x\" y where a = 'union'", "S|T.x"),
            ("select a -- of all\nfrom t", "t"),
        ] {
            assert_eq!(found(query, Quotes::Postgres).as_deref(), Some(name), "{query}");
        }
        for (query, name) in [
            ("select * from `T``1`", "T`1"),
            ("select \"from\", a from Db.T where b = 'it\\'s from'", "Db|T"),
            ("select a # from x\nfrom t", "t"),
        ] {
            assert_eq!(found(query, Quotes::MySql).as_deref(), Some(name), "{query}");
        }
    }

    #[test]
    fn whatever_may_repeat_or_choose_rows_is_none() {
        for query in [
            "select * from a, b",
            "select * from a join b on a.id = b.id",
            "select * from a natural join b",
            "select * from a cross join b where a.id = 1",
            "select id, unnest(x) from a",
            "select * from f(1)",
            "select * from (select * from a) b",
            "select * from a union all select * from a",
            "select * from a where id = 1 union all select * from a",
            "select id from a group by id",
            "select * from a limit 16",
            "select * from a order by b",
            "select * from a where b order by id",
            "select * from only a",
            "select * from a tablesample system (10)",
            "select * from a b c",
            "select * from a as b (x, y)",
            "select * from a, lateral (select 1) b",
            "with a as (select 1) select * from a",
            "select /* x */ * from a",
            "select * from a where b = E'\\' union all select * from a where b = '",
            "select * from a where b = $$ where $$",
            "select * from a partition (p0)",
            "select * from a; select * from a",
            "select * from a where b = 5 --1\nunion all select * from a",
            "table a",
            "select 1",
            "",
        ] {
            assert_eq!(found(query, Quotes::Postgres), None, "{query}");
            assert_eq!(found(query, Quotes::MySql), None, "{query}");
        }
    }
}
