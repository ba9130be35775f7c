//! A reading position in a statement, with the few questions the parsers ask.

use std::collections::VecDeque;

use super::lexer::{Kind, Lexer, Token};
use super::{ParseOptions, TableName};

/// Walks the tokens with a small look-ahead. Nesting is counted, never recursed into, so depth
/// costs nothing.
pub(super) struct Cursor<'a> {
    lexer: Lexer<'a>,
    ahead: VecDeque<Token<'a>>,
    default_database: &'a str,
    /// The session's settings, as the statement's event carries them.
    pub(super) options: &'a ParseOptions,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(sql: &'a str, default_database: &'a str, options: &'a ParseOptions) -> Cursor<'a> {
        Cursor { lexer: Lexer::new(sql, options), ahead: VecDeque::new(), default_database, options }
    }

    /// Whether the text broke off inside a quote or comment.
    pub(super) fn truncated(&self) -> bool {
        self.lexer.truncated()
    }

    /// The database that names without one belong to.
    pub(super) fn default_database(&self) -> &'a str {
        self.default_database
    }

    /// The token `distance` places ahead; 0 is the next one.
    pub(super) fn peek_at(&mut self, distance: usize) -> Token<'a> {
        while self.ahead.len() <= distance {
            let token = self.lexer.token();
            self.ahead.push_back(token);
        }
        self.ahead.get(distance).copied().unwrap_or(Token { kind: Kind::End, raw: "" })
    }

    /// The next token, left in place.
    pub(super) fn peek(&mut self) -> Token<'a> {
        self.peek_at(0)
    }

    /// Takes the next token.
    pub(super) fn advance(&mut self) -> Token<'a> {
        let token = self.peek();
        self.ahead.pop_front();
        token
    }

    /// Whether the statement's text is used up.
    pub(super) fn at_end(&mut self) -> bool {
        matches!(self.peek().kind, Kind::End | Kind::Punct(';'))
    }

    /// Whether the next token is this keyword.
    pub(super) fn sees(&mut self, word: &str) -> bool {
        self.peek().is(word)
    }

    /// Whether the next tokens are these keywords.
    pub(super) fn sees_all(&mut self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(distance, word)| self.peek_at(distance).is(word))
    }

    /// Takes the keyword if it is next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.sees(word);
        if found {
            self.advance();
        }
        found
    }

    /// Takes the first of these keywords that is next.
    pub(super) fn accept_any(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.accept(word))
    }

    /// Takes all the keywords, or none.
    pub(super) fn accept_all(&mut self, words: &[&str]) -> bool {
        let found = self.sees_all(words);
        if found {
            words.iter().for_each(|_| {
                self.advance();
            });
        }
        found
    }

    /// Whether the next token is this character.
    pub(super) fn sees_punct(&mut self, c: char) -> bool {
        self.peek().kind == Kind::Punct(c)
    }

    /// Takes the character if it is next.
    pub(super) fn accept_punct(&mut self, c: char) -> bool {
        let found = self.sees_punct(c);
        if found {
            self.advance();
        }
        found
    }

    /// `IF EXISTS`
    pub(super) fn if_exists(&mut self) -> bool {
        self.accept_all(&["IF", "EXISTS"])
    }

    /// `IF NOT EXISTS`
    pub(super) fn if_not_exists(&mut self) -> bool {
        self.accept_all(&["IF", "NOT", "EXISTS"])
    }

    /// An identifier.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.peek().identifier()?.into_owned();
        self.advance();
        (!name.is_empty()).then_some(name)
    }

    /// `table`, `database.table` or `.table`.
    pub(super) fn table_name(&mut self) -> Option<TableName> {
        if self.accept_punct('.') {
            return Some(TableName::new(self.default_database, self.name()?));
        }
        let first = self.name()?;
        if self.accept_punct('.') {
            return Some(TableName::new(first, self.name()?));
        }
        Some(TableName::new(self.default_database, first))
    }

    /// `column`, `table.column` or `database.table.column`; the column's name.
    pub(super) fn column_name(&mut self) -> Option<String> {
        let mut name = self.name()?;
        while self.accept_punct('.') {
            name = self.name()?;
        }
        Some(name)
    }

    /// The value of a string literal, an introducer (`_utf8'…'`, `N'…'`) before it passed over.
    pub(super) fn text(&mut self) -> Option<String> {
        if self.peek().kind == Kind::Word && self.peek_at(1).kind == Kind::Text {
            self.advance();
        }
        let value = self.peek().text(self.options.backslash_escapes())?;
        self.advance();
        Some(value)
    }

    /// Passes over one token, or over a whole parenthesis when one opens here.
    pub(super) fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.advance().kind {
                Kind::End => return,
                Kind::Punct('(') => depth += 1,
                Kind::Punct(')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Whether an item of a list ends here: a comma, the closing parenthesis, or the end.
    pub(super) fn at_item_end(&mut self) -> bool {
        matches!(self.peek().kind, Kind::Punct(',' | ')')) || self.at_end()
    }

    /// Passes over the rest of a list item, balanced, leaving the comma or parenthesis.
    pub(super) fn skip_item(&mut self) {
        while !self.at_item_end() {
            self.skip();
        }
    }

    /// Passes over everything that is left.
    pub(super) fn skip_all(&mut self) {
        while !self.at_end() {
            self.skip();
        }
    }

    /// `WAIT n` or `NOWAIT`, as MariaDB has it.
    pub(super) fn skip_wait(&mut self) {
        if self.accept("WAIT") {
            self.advance();
        } else {
            self.accept("NOWAIT");
        }
    }
}
