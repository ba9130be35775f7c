//! Takes values out of JSON by paths.

mod column_type;
mod path;

use std::borrow::Cow;
use std::str::Utf8Error;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::DataType;
use culvert_api::{ChangeBatch, Column, Error, ErrorKind, Result, TableSchema, Transform};
use culvert_config::{OptionDef, Options, Rule};

use crate::layout::{
    Layout, Origin, column, find, keep, kinds_when_rows_are_dropped, lacks_value, left_out, refusal, the_one,
    turned_away, unfit_row, values,
};
use crate::nested::Nested;
use crate::text::text_at;
use crate::values::value_json;
use column_type::{Build, ColumnType, Misfit};
use path::{Path, Scalar};

/// Takes values out of columns that hold JSON and puts them into columns of their own.
#[derive(Clone, Debug)]
pub struct JsonPath {
    columns: Vec<Taken>,
    skips_rows: bool,
}

/// One value to take.
#[derive(Clone, Debug)]
struct Taken {
    from: String,
    to: String,
    path: Path,
    column_type: ColumnType,
    on_error: OnError,
}

/// What a value that is not there, or does not fit, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnError {
    Fail,
    /// The column is NULL.
    Null,
    SkipRow,
}

impl JsonPath {
    /// The plugin's name as users write it.
    pub const PLUGIN: &'static str = "JsonPath";

    /// The options.
    pub const OPTIONS: &'static [OptionDef] = &[
        OptionDef::objects("columns").required().doc(
            "What to take: blocks of `src_field`, `path` (RFC 9535), `dest_field`, `dest_type` (string) and `column_error_handle_way` (FAIL, SKIP: NULL, SKIP_ROW). `path`, `dest_field` and `dest_type` may be lists of one length.",
        ),
        OptionDef::choice("row_error_handle_way", &["FAIL", "SKIP"]).default("FAIL").doc(
            "What a path that finds nothing, or a value that does not fit, does where its column says nothing: stop the job, or drop the row.",
        ),
    ];

    /// What holds between options.
    pub const RULES: &'static [Rule] = &[];

    /// Makes the transform. Errors are [`ErrorKind::Config`].
    pub fn from_options(options: &Options) -> Result<JsonPath> {
        let rows = match options.enum_value("row_error_handle_way") {
            "SKIP" => OnError::SkipRow,
            _ => OnError::Fail,
        };
        let mut columns = Vec::new();
        for block in Nested::list(JsonPath::PLUGIN, options, "columns") {
            columns.extend(taken(&block, rows)?);
        }
        if columns.is_empty() {
            return Err(Error::new(ErrorKind::Config, "option `columns` is empty"));
        }
        let skips_rows = columns.iter().any(|taken| taken.on_error == OnError::SkipRow);
        Ok(JsonPath { columns, skips_rows })
    }

    fn layout(&self, input: &TableSchema) -> Result<Layout> {
        let mut layout = Layout::of(JsonPath::PLUGIN, input);
        for (new, taken) in self.columns.iter().enumerate() {
            let place = taken.place(input)?;
            let column = Column::derived(&taken.to, taken.column_type.data_type(), true);
            layout.put(column, Origin::New { from: Some(place), new });
        }
        Ok(layout)
    }
}

/// The values that one block takes.
fn taken(block: &Nested<'_>, rows: OnError) -> Result<Vec<Taken>> {
    block.only(&["src_field", "path", "dest_field", "dest_type", "column_error_handle_way"])?;
    let from = block.needed("src_field")?;
    let missing = |key: &str| block.wrong(key, "is missing");
    let paths = block.texts("path")?.ok_or_else(|| missing("path"))?;
    let names = block.texts("dest_field")?.ok_or_else(|| missing("dest_field"))?;
    let types = block.texts("dest_type")?.unwrap_or_else(|| vec!["string"; paths.len()]);
    if names.len() != paths.len() || types.len() != paths.len() {
        return Err(block.wrong("path", "must have as many items as 'dest_field' and 'dest_type'"));
    }
    let on_error = match block.word("column_error_handle_way", &["FAIL", "SKIP", "SKIP_ROW"])? {
        Some("FAIL") => OnError::Fail,
        Some("SKIP") => OnError::Null,
        Some(_) => OnError::SkipRow,
        None => rows,
    };
    let one = |((path, to), column_type): ((&str, &str), &str)| {
        if to.is_empty() {
            return Err(missing("dest_field"));
        }
        Ok(Taken {
            from: from.to_owned(),
            to: to.to_owned(),
            path: Path::parse(path).map_err(|reason| {
                let error = block.wrong("path", format!("is no JSONPath ({reason})"));
                error.hint("RFC 9535: `$.a.b`, `$.list[0]`, `$['a-b']`, `$..price`, `$.list[?@.n > 1]`")
            })?,
            column_type: ColumnType::parse(column_type)
                .map_err(|message| block.wrong("dest_type", message))?,
            on_error,
        })
    };
    paths.into_iter().zip(names).zip(types).map(one).collect()
}

impl Taken {
    /// The place of the column that holds the JSON.
    fn place(&self, input: &TableSchema) -> Result<usize> {
        let place = find(JsonPath::PLUGIN, input, &self.from)?;
        match column(JsonPath::PLUGIN, input, place)?.data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => Ok(place),
            DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) => Ok(place),
            other => {
                Err(refusal(JsonPath::PLUGIN, input, format!("the column holds {other}, and JSON is text"))
                    .context("column", &self.from)
                    .hint("name a column of text or bytes, or an array, map or row"))
            }
        }
    }

    /// Takes the value out of every row. Rows that are to be dropped leave `passes`.
    fn take(&self, batch: &ChangeBatch, passes: &mut [bool]) -> Result<ArrayRef> {
        let place = self.place(&batch.schema)?;
        let array = values(JsonPath::PLUGIN, batch, place)?;
        let unknown = left_out(batch, place);
        let mut build = Build::new(self.column_type, batch.len());
        for row in 0..batch.len() {
            // What another column has dropped fails nowhere else.
            if passes.get(row) == Some(&false) {
                build.null();
                continue;
            }
            if unknown.is_some_and(|rows| row < rows.len() && rows.value(row)) {
                if self.on_error == OnError::SkipRow {
                    return Err(lacks_value(JsonPath::PLUGIN, batch, row, place));
                }
                build.null();
                continue;
            }
            let Some(json) = json_at(array, row) else {
                build.null();
                continue;
            };
            let problem = match json.as_deref().map(|json| self.path.find(json)) {
                Err(_) | Ok(Err(path::NotJson)) => "the column does not hold JSON",
                Ok(Ok(None)) => "the path finds nothing",
                Ok(Ok(Some(found))) => match Scalar::read(&found).and_then(|value| build.append(&value)) {
                    Ok(()) => continue,
                    Err(Misfit) => "a value does not fit the column's type",
                },
            };
            build.null();
            match self.on_error {
                OnError::Null => {}
                OnError::SkipRow => {
                    if let Some(passes) = passes.get_mut(row) {
                        *passes = false;
                    }
                }
                OnError::Fail => {
                    return Err(unfit_row(JsonPath::PLUGIN, batch, row, &self.from, problem)
                        .context("dest_field", &self.to)
                        .hint("column_error_handle_way = SKIP makes it NULL, SKIP_ROW drops the row"));
                }
            }
        }
        Ok(build.finish())
    }
}

/// The JSON text in a row; `None` for NULL, `Err` for bytes that are no text.
fn json_at(array: &dyn Array, row: usize) -> Option<Result<Cow<'_, str>, Utf8Error>> {
    if array.is_null(row) {
        return None;
    }
    let text = |bytes| std::str::from_utf8(bytes).map(Cow::Borrowed);
    match array.data_type() {
        DataType::Binary => Some(text(array.as_binary::<i32>().value(row))),
        DataType::LargeBinary => Some(text(array.as_binary::<i64>().value(row))),
        DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) => {
            Some(Ok(Cow::Owned(value_json(array, row))))
        }
        _ => text_at(array, row).map(|text| Ok(Cow::Borrowed(text))),
    }
}

impl Transform for JsonPath {
    fn name(&self) -> &str {
        JsonPath::PLUGIN
    }

    fn map_schema(&self, input: &TableSchema) -> Result<Vec<TableSchema>> {
        let mut output = self.layout(input)?.schema(input)?;
        if self.skips_rows {
            output.kinds = kinds_when_rows_are_dropped(input.kinds);
        }
        Ok(vec![output])
    }

    fn apply(&self, batch: ChangeBatch, outputs: &[Arc<TableSchema>]) -> Result<Vec<ChangeBatch>> {
        self.apply_counted(batch, outputs, &mut 0)
    }

    fn apply_counted(
        &self,
        batch: ChangeBatch,
        outputs: &[Arc<TableSchema>],
        rejected: &mut u64,
    ) -> Result<Vec<ChangeBatch>> {
        let layout = self.layout(&batch.schema)?;
        let mut passes = vec![true; batch.len()];
        let take = |taken: &Taken| taken.take(&batch, &mut passes);
        let new = self.columns.iter().map(take).collect::<Result<Vec<ArrayRef>>>()?;
        let passes = bits(&passes);
        *rejected += turned_away(&batch, &passes);
        let mut left = Vec::new();
        for batch in layout.batch(batch, the_one(JsonPath::PLUGIN, outputs)?, &new)? {
            left.extend(match self.skips_rows {
                true => keep(JsonPath::PLUGIN, batch, &passes)?,
                false => vec![batch],
            });
        }
        Ok(left)
    }
}

fn bits(passes: &[bool]) -> BooleanBuffer {
    let mut built = BooleanBufferBuilder::new(passes.len());
    built.append_slice(passes);
    built.finish()
}

#[cfg(test)]
mod tests;
