//! A column's declaration, taken apart: `decimal(10,2) unsigned`, `enum('a','b')`, `timestamp(3) without time zone`.

/// A declared type: its name without the arguments, in small letters, and the arguments as they stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared<'a> {
    pub(super) name: String,
    arguments: &'a str,
}

impl<'a> Declared<'a> {
    /// Takes it apart. What does not close its parenthesis is a name without arguments.
    pub(super) fn parse(text: &'a str) -> Declared<'a> {
        let (head, arguments, tail) = cut(text).unwrap_or((text, "", ""));
        let words = head.split_ascii_whitespace().chain(tail.split_ascii_whitespace());
        let name = words.map(str::to_ascii_lowercase).collect::<Vec<String>>().join(" ");
        Declared { name, arguments }
    }

    /// The first word of the name: MySQL's types have one, and attributes behind it.
    pub(super) fn word(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }

    /// The name without the schema that PostgreSQL puts in front of an extension's types.
    pub(super) fn bare(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// The number at this place between the parentheses.
    pub(super) fn number(&self, place: usize) -> Option<u32> {
        self.arguments.split(',').nth(place)?.trim().parse().ok()
    }

    /// Whether there is anything between parentheses.
    pub(super) fn has_arguments(&self) -> bool {
        !self.arguments.trim().is_empty()
    }

    /// The labels of MySQL's ENUM and SET. The servers double quotes and mark others with a backslash.
    pub(super) fn labels(&self) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        let mut chars = self.arguments.chars().peekable();
        loop {
            if chars.by_ref().find(|c| !c.is_ascii_whitespace())? != '\'' {
                return None;
            }
            let mut label = String::new();
            loop {
                match chars.next()? {
                    '\\' => label.push(match chars.next()? {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        '0' => '\0',
                        'b' => '\u{8}',
                        'Z' => '\u{1a}',
                        other => other,
                    }),
                    '\'' if chars.peek() == Some(&'\'') => label.extend(chars.next()),
                    '\'' => break,
                    c => label.push(c),
                }
            }
            labels.push(label);
            match chars.by_ref().find(|c| !c.is_ascii_whitespace()) {
                None => return Some(labels),
                Some(',') => {}
                Some(_) => return None,
            }
        }
    }
}

/// Before, between and behind the first parentheses, outside of quotes.
fn cut(text: &str) -> Option<(&str, &str, &str)> {
    let (head, rest) = text.split_once('(')?;
    let mut quoted = false;
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quoted => _ = chars.next(),
            '\'' => quoted = !quoted,
            ')' if !quoted => return Some((head, rest.get(..at)?, rest.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}
