//! The option `query`: a statement of the user's with `?` or `:name` for the columns, cut at its
//! parameters.
//!
//! `INSERT … VALUES (…) …` with all its parameters in the one group of values is cut into what
//! stands before the group, the group, and what stands after, so that one statement can carry many
//! groups; any other statement runs once per row.

use culvert_api::{Error, ErrorKind, Result, TableSchema};

use culvert_api::sql_text::{Lexis, is_word, tokens};

/// A part of a rendered row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text of the statement.
    Text(Vec<u8>),
    /// The literal of a slot.
    Value(usize),
}

/// Head, group and tail of an INSERT.
pub(crate) type Cut = (Vec<u8>, Vec<Piece>, Vec<u8>);

/// A statement cut at its parameters.
#[derive(Clone)]
pub(crate) struct Query {
    lexis: &'static Lexis,
    /// Text before each parameter, and after the last one: one more than `parameters`.
    texts: Vec<String>,
    /// Column names, or `None` for a `?`.
    parameters: Vec<Option<String>>,
}

impl Query {
    /// Cuts the statement. A final semicolon is dropped.
    pub(crate) fn parse(query: &str, lexis: &'static Lexis) -> Result<Query> {
        let query = query.trim().trim_end_matches(';').trim_end();
        let bytes = query.as_bytes();
        let mut template = Query { lexis, texts: Vec::new(), parameters: Vec::new() };
        let (mut at, mut start) = (0, 0);
        while let Some(byte) = bytes.get(at).copied() {
            if let Some(end) = (lexis.end_of_quoted)(bytes, at) {
                at = end;
                continue;
            }
            let before_is_word =
                at > 0 && bytes.get(at - 1).is_some_and(|before| is_word(*before) || *before == b':');
            let name_length = match byte {
                b'?' => Some(0),
                // `@a:=1` and `a::b` are no parameters.
                b':' if !before_is_word && bytes.get(at + 1).is_some_and(|next| is_word(*next)) => {
                    let rest = bytes.get(at + 1..).unwrap_or_default();
                    Some(rest.iter().position(|next| !is_word(*next)).unwrap_or(rest.len()))
                }
                _ => None,
            };
            let Some(length) = name_length else {
                at += 1;
                continue;
            };
            let end = at + 1 + length;
            template.texts.push(query.get(start..at).unwrap_or_default().to_string());
            template
                .parameters
                .push((length > 0).then(|| query.get(at + 1..end).unwrap_or_default().to_string()));
            (at, start) = (end, end);
        }
        template.texts.push(query.get(start..).unwrap_or_default().to_string());
        let named = template.parameters.iter().filter(|name| name.is_some()).count();
        if named > 0 && named < template.parameters.len() {
            return Err(refusal("mixes ? and :name", "use one of the two"));
        }
        Ok(template)
    }

    /// The table of `INSERT INTO` or `REPLACE INTO`, as database and name, when it is named plainly.
    pub(crate) fn target(&self) -> Option<(Option<String>, String)> {
        let text = self.texts.join("?");
        let found = tokens(&text, self.lexis);
        let verb = found.first()?;
        if !["insert", "replace"].iter().any(|known| verb.eq_ignore_ascii_case(known)) {
            return None;
        }
        let mut rest = found.iter().skip(1).skip_while(|word| {
            ["low_priority", "high_priority", "delayed", "ignore", "into"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
        });
        let first = (self.lexis.bare_name)(rest.next()?);
        match rest.next() {
            Some(&".") => Some((Some(first), (self.lexis.bare_name)(rest.next()?))),
            _ => Some((None, first)),
        }
    }

    /// The upstream column of every parameter.
    pub(crate) fn columns(&self, source: &TableSchema) -> Result<Vec<usize>> {
        let count = self.parameters.len();
        if self.parameters.iter().all(Option::is_none) {
            if count != source.columns.len() {
                return Err(refusal(
                    &format!(
                        "has {count} parameters, and rows of {} have {} columns",
                        source.id,
                        source.columns.len()
                    ),
                    "write one ? per column, or name columns as :name",
                ));
            }
            return Ok((0..count).collect());
        }
        let find = |name: &String| {
            source.column_index(name).ok_or_else(|| {
                let names: Vec<&str> = source.columns.iter().map(|column| column.name.as_str()).collect();
                refusal(
                    &format!("names :{name}, which {} does not have", source.id),
                    &format!("its columns are {}", names.join(", ")),
                )
            })
        };
        self.parameters.iter().flatten().map(find).collect()
    }

    /// The whole statement in pieces.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (place, text) in self.texts.iter().enumerate() {
            pieces.push(Piece::Text(text.clone().into_bytes()));
            if place < self.parameters.len() {
                pieces.push(Piece::Value(place));
            }
        }
        pieces
    }

    /// Head, group and tail of `INSERT … VALUES (…) …`; `None` when the statement has another form.
    pub(crate) fn cut(&self) -> Option<Cut> {
        self.target()?;
        let first = self.texts.first()?;
        let last = self.texts.last()?;
        let group_at = self.group_start()?;
        let (head, opening) = first.split_at_checked(group_at)?;
        let (mut row, mut depth) =
            (vec![Piece::Text(opening.as_bytes().to_vec())], self.depth_of(opening, 0)?.0);
        for (place, text) in self.texts.iter().enumerate().skip(1) {
            row.push(Piece::Value(place - 1));
            if place + 1 == self.texts.len() {
                break;
            }
            // The group must stay open until the last parameter.
            let (after, closed) = self.depth_of(text, depth)?;
            if closed.is_some() {
                return None;
            }
            depth = after;
            row.push(Piece::Text(text.as_bytes().to_vec()));
        }
        let (_, closed) = self.depth_of(last, depth)?;
        let (rest_of_group, tail) = last.split_at_checked(closed?)?;
        row.push(Piece::Text(rest_of_group.as_bytes().to_vec()));
        // A second group would have to repeat with the first.
        if tail.trim_start().starts_with(',') {
            return None;
        }
        Some((head.as_bytes().to_vec(), row, tail.as_bytes().to_vec()))
    }

    /// Where the parenthesis after the word VALUES opens, in the text before the first parameter.
    fn group_start(&self) -> Option<usize> {
        let first = self.texts.first()?;
        if self.parameters.is_empty() {
            return None;
        }
        let bytes = first.as_bytes();
        let (mut at, mut after_values, mut found) = (0, false, None);
        while let Some(byte) = bytes.get(at).copied() {
            if let Some(end) = (self.lexis.end_of_quoted)(bytes, at) {
                at = end;
            } else if is_word(byte) {
                let end = bytes.get(at..)?.iter().position(|b| !is_word(*b)).map_or(bytes.len(), |n| at + n);
                let word = first.get(at..end)?;
                if found.is_some() && word.eq_ignore_ascii_case("values") {
                    return None;
                }
                after_values = word.eq_ignore_ascii_case("values") || word.eq_ignore_ascii_case("value");
                at = end;
            } else {
                if byte == b'(' && after_values && found.is_none() {
                    found = Some(at);
                }
                if !byte.is_ascii_whitespace() {
                    after_values = false;
                }
                at += 1;
            }
        }
        found
    }

    /// The target column of each parameter in `INSERT INTO t (a, b) VALUES (?, ?)`, for parameters
    /// that stand alone as a value.
    pub(crate) fn column_list(&self) -> Option<Vec<Option<String>>> {
        let text = self.texts.join(" ? ");
        let found = tokens(&text, self.lexis);
        let values = found.iter().position(|word| word.eq_ignore_ascii_case("values"))?;
        let (before, after) = found.split_at_checked(values)?;
        let open = before.iter().position(|word| *word == "(")?;
        let list = before.get(open + 1..before.len().checked_sub(1)?)?;
        let names: Vec<String> =
            list.iter().filter(|word| **word != ",").map(|word| (self.lexis.bare_name)(word)).collect();
        let (mut depth, mut place, mut expression, mut homes) = (0_usize, 0, Vec::new(), Vec::new());
        let mut close = |expression: &mut Vec<&str>, place: usize| {
            let alone = expression.as_slice() == ["?"];
            for _ in expression.iter().filter(|word| **word == "?") {
                homes.push(alone.then(|| names.get(place).cloned()).flatten());
            }
            expression.clear();
        };
        for word in after.iter().skip(1) {
            match *word {
                "(" if depth == 0 => depth = 1,
                ")" if depth == 1 => {
                    close(&mut expression, place);
                    break;
                }
                "," if depth == 1 => {
                    close(&mut expression, place);
                    place += 1;
                }
                other => {
                    match other {
                        "(" => depth += 1,
                        ")" => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    expression.push(other);
                }
            }
        }
        Some(homes)
    }

    /// Walks over text from a depth of parentheses on: the depth behind it, and where the depth first
    /// fell to zero, if it did.
    fn depth_of(&self, text: &str, mut depth: usize) -> Option<(usize, Option<usize>)> {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at).copied() {
            if let Some(end) = (self.lexis.end_of_quoted)(bytes, at) {
                at = end;
                continue;
            }
            match byte {
                b'(' => depth += 1,
                b')' => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some((0, Some(at + 1)));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Some((depth, None))
    }
}

/// An error about the option.
pub(crate) fn refusal(what: &str, hint: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option `query` {what}")).hint(hint)
}
