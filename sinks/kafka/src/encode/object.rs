//! One row: as a JSON object, its key, its topic.

use culvert_api::{ChangeBatch, Error, Result, TableId};

use super::value::{self, Form};
use super::{Encoder, Header, column_error};
use crate::plan::{TablePlan, TopicPiece};
use crate::template::is_topic_name;

/// A row of a batch, with what its table's messages need.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(super) encoder: &'a Encoder,
    pub(super) plan: &'a TablePlan,
    pub(super) batch: &'a ChangeBatch,
    pub(super) index: usize,
    /// When the message is made, in milliseconds since 1970.
    pub(super) now_ms: i64,
}

impl std::fmt::Debug for Row<'_> {
    /// The place; the values are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {} of {}", self.index, self.batch.schema.id)
    }
}

/// What stands for values that the source's log left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LeftOut {
    /// The field is not there.
    Omitted,
    /// A text that nobody would write.
    Placeholder,
}

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Typing {
    /// Numbers and booleans are JSON's own.
    Typed,
    /// Everything but NULL is a text.
    Texts,
}

/// A text as JSON has it.
pub(crate) fn quote(text: &str, out: &mut String) {
    // Only a type's own refusal could fail here, and texts have none.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// `"name":["a","b"],`
pub(super) fn names(name: &str, list: &[String], out: &mut String) {
    quote(name, out);
    out.push_str(":[");
    for (place, item) in list.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        quote(item, out);
    }
    out.push_str("],");
}

/// `"name":"text",`
pub(crate) fn field(name: &str, text: &str, out: &mut String) {
    quote(name, out);
    out.push(':');
    quote(text, out);
    out.push(',');
}

/// Which levels of a table's name a layout's fields carry: `"database":…,` and so on.
pub(super) fn table_fields(id: &TableId, out: &mut String) {
    field("database", &id.database, out);
    if let Some(schema) = &id.schema {
        field("schema", schema, out);
    }
    field("table", &id.table, out);
}

impl Row<'_> {
    /// The row as an object without the values that were left out.
    pub(super) fn object(self, out: &mut String) -> Result<()> {
        self.object_of(|_| true, LeftOut::Omitted, Typing::Typed, out)
    }

    /// The columns of the value that `wanted` picks, as an object.
    pub(super) fn object_of(
        self,
        wanted: impl Fn(usize) -> bool,
        left_out: LeftOut,
        typing: Typing,
        out: &mut String,
    ) -> Result<()> {
        out.push('{');
        let mut first = true;
        for column in self.plan.value.iter().copied() {
            let unavailable = self.is_unavailable(column);
            if !wanted(column) || unavailable && left_out == LeftOut::Omitted {
                continue;
            }
            if !first {
                out.push(',');
            }
            first = false;
            out.push_str(self.plan.labels.get(column).map_or("", String::as_str));
            if unavailable {
                quote(&self.encoder.unavailable, out);
            } else {
                self.value(column, typing, out)?;
            }
        }
        out.push('}');
        Ok(())
    }

    pub(super) fn is_unavailable(self, column: usize) -> bool {
        self.batch.is_unavailable(self.index, column)
    }

    /// Whether nothing but the key is known.
    pub(super) fn is_key_only(self) -> bool {
        let others = (0..self.plan.labels.len()).filter(|column| !self.plan.primary_key.contains(column));
        let mut unavailable = false;
        for column in others {
            if !self.is_unavailable(column) {
                return false;
            }
            unavailable = true;
        }
        unavailable
    }

    /// Whether it was read in a snapshot.
    pub(super) fn is_snapshot(self) -> bool {
        self.batch.transaction(self.index).is_some_and(|transaction| transaction.is_snapshot)
    }

    /// When its transaction was committed, in microseconds since 1970 UTC.
    pub(super) fn committed_us(self) -> Option<i64> {
        self.batch.transaction(self.index)?.committed_us
    }

    pub(super) fn text(self, column: usize, text: &mut String) -> Result<Form> {
        let array = self.batch.rows.columns().get(column);
        let form = array.and_then(|array| value::append(array.as_ref(), self.index, text));
        form.ok_or_else(|| column_error(self, column, "a value of a type that has no form in a message"))
    }

    fn value(self, column: usize, typing: Typing, out: &mut String) -> Result<()> {
        let begun = out.len();
        let form = self.text(column, out)?;
        let bare = form == Form::Bare
            && typing == Typing::Typed
            && !(self.encoder.decimals_as_text && self.plan.decimals.contains(&column));
        match form {
            Form::Null => out.push_str("null"),
            Form::Bare if bare => {}
            Form::Bare | Form::Text => {
                let text = out.split_off(begun);
                quote(&text, out);
            }
        }
        Ok(())
    }

    /// Whether both rows are known to differ in a column.
    pub(super) fn differs(self, other: Row<'_>, column: usize) -> Result<bool> {
        if self.is_unavailable(column) || other.is_unavailable(column) {
            return Ok(false);
        }
        let (mut ours, mut theirs) = (String::new(), String::new());
        let forms = (self.text(column, &mut ours)?, other.text(column, &mut theirs)?);
        Ok(forms.0 != forms.1 || ours != theirs)
    }

    /// The columns of `self`, a row before an update, that the update changed.
    pub(super) fn changed(self, after: Row<'_>) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        for column in 0..self.plan.labels.len() {
            if self.differs(after, column)? {
                changed.push(column);
            }
        }
        Ok(changed)
    }

    /// The key needs what the log does not have.
    pub(super) fn key_left_out(self, column: usize) -> Error {
        let what = "the source's log left out a value that the message's key needs";
        column_error(self, column, what)
            .hint("ALTER TABLE … REPLICA IDENTITY FULL on the source makes its log complete")
    }

    /// The message's key: an object of the key's columns.
    pub(super) fn key(self) -> Result<Option<Vec<u8>>> {
        if self.plan.key.is_empty() {
            return Ok(None);
        }
        let mut out = String::from("{");
        for (place, column) in self.plan.key.iter().enumerate() {
            if self.is_unavailable(*column) {
                return Err(self.key_left_out(*column));
            }
            if place > 0 {
                out.push(',');
            }
            out.push_str(self.plan.labels.get(*column).map_or("", String::as_str));
            self.value(*column, Typing::Typed, &mut out)?;
        }
        out.push('}');
        Ok(Some(out.into_bytes()))
    }

    /// The columns that are sent as headers. A value that the log left out has none.
    pub(super) fn headers(self) -> Result<Vec<Header>> {
        let mut headers = Vec::with_capacity(self.plan.headers.len());
        for column in self.plan.headers.iter().copied().filter(|column| !self.is_unavailable(*column)) {
            let mut text = String::new();
            let form = self.text(column, &mut text)?;
            let name = self.plan.column_name(column).to_owned();
            headers.push((name, (form != Form::Null).then_some(text)));
        }
        Ok(headers)
    }

    /// The message's topic.
    pub(super) fn topic(self) -> Result<String> {
        let mut topic = String::new();
        let mut from = None;
        for piece in &self.plan.topic {
            match piece {
                TopicPiece::Text(text) => topic.push_str(text),
                TopicPiece::Column(column) => {
                    from = Some(*column);
                    if self.is_unavailable(*column) || self.text(*column, &mut topic)? == Form::Null {
                        return Err(column_error(
                            self,
                            *column,
                            "the column that names the topic has no value",
                        ));
                    }
                }
            }
        }
        // What the table alone decides was checked when the table was planned.
        match from {
            Some(column) if !is_topic_name(&topic) => Err(column_error(
                self,
                column,
                "the column that names the topic holds what no topic can be called",
            )
            .hint("topics have letters and digits of ASCII, `.`, `_` and `-`, 249 at most")),
            _ => Ok(topic),
        }
    }
}
