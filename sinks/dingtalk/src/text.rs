//! What a row becomes.

use arrow_cast::display::{ArrayFormatter, FormatOptions};
use culvert_api::{ChangeBatch, Error, ErrorKind, Result, TableSchema};

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Table,
    Kind,
    Column(String),
}

/// How a row is told.
#[derive(Clone, Debug)]
pub(crate) struct Telling(Option<Vec<Piece>>);

impl Telling {
    /// Reads `message`; without one, everything of a row is told.
    pub(crate) fn new(message: Option<&str>) -> Result<Telling> {
        message.map(pieces).transpose().map(Telling)
    }

    /// Refuses a table that lacks a column of the message.
    pub(crate) fn fit(&self, table: &TableSchema) -> Result<()> {
        for piece in self.0.iter().flatten() {
            if let Piece::Column(name) = piece
                && table.column_index(name).is_none()
            {
                let message = format!("option `message` names the column {name}, which the table lacks");
                return Err(Error::new(ErrorKind::Config, message)
                    .context("table", &table.id)
                    .context("column", name));
            }
        }
        Ok(())
    }

    /// The rows of a batch, a text each.
    pub(crate) fn tell(&self, batch: &ChangeBatch) -> Result<Vec<String>> {
        let failed = |cause| {
            Error::new(ErrorKind::Unsupported, "a value has no text")
                .context("table", &batch.schema.id)
                .caused_by(cause)
        };
        let options = FormatOptions::default().with_null("NULL");
        let columns = batch.rows.columns().iter();
        let columns = columns.map(|column| ArrayFormatter::try_new(column, &options).map_err(failed));
        let columns: Vec<ArrayFormatter<'_>> = columns.collect::<Result<_>>()?;
        let value = |place: usize, row: usize| match columns.get(place) {
            Some(column) => column.value(row).try_to_string().map_err(failed),
            None => Ok(String::new()),
        };
        let mut told = Vec::with_capacity(batch.len());
        for (row, kind) in batch.kinds.iter().enumerate() {
            let mut text = String::new();
            match &self.0 {
                None => {
                    text.push_str(&format!("{} {}", batch.schema.id, kind.short()));
                    for (place, column) in batch.schema.columns.iter().enumerate() {
                        text.push_str(&format!(" {}={}", column.name, value(place, row)?));
                    }
                }
                Some(pieces) => {
                    for piece in pieces {
                        match piece {
                            Piece::Text(piece) => text.push_str(piece),
                            Piece::Table => text.push_str(&batch.schema.id.to_string()),
                            Piece::Kind => text.push_str(kind.full()),
                            Piece::Column(name) => {
                                let place = batch.schema.column_index(name).unwrap_or(usize::MAX);
                                text.push_str(&value(place, row)?);
                            }
                        }
                    }
                }
            }
            told.push(text);
        }
        Ok(told)
    }
}

fn pieces(message: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = message;
    while let Some((text, behind)) = rest.split_once("${") {
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        let Some((name, behind)) = behind.split_once('}') else {
            return Err(Error::new(ErrorKind::Config, "option `message` has a `${` without its `}`"));
        };
        pieces.push(match name {
            "table_name" => Piece::Table,
            "row_kind" => Piece::Kind,
            column => Piece::Column(column.to_owned()),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}
