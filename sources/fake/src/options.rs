//! The source's options, and what they mean once they are checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::DataType;
use culvert_api::{Error, ErrorKind, Result, RowKind, RowKindSet, TableId, TableSchema};
use culvert_config::{OptionDef, Options, Rule};
use culvert_values::{Cell, of_entry, of_text, schema};

use crate::content::{Content, Said, Table, Written, rows, splits};
use crate::made::{Calendar, Maker, Range, Ranges, Recipe};
use crate::source::PLUGIN;

const NO_VECTORS: &str = "there are no vectors";
/// What a list or text that is made up may hold, so that a row stays one that moves.
const SIZE_MAX: i64 = 1 << 20;
/// Splits of all tables; the restart point does not grow with them, planning does.
const SPLITS_MAX: u64 = 1_000_000;

const fn mode(name: &'static str) -> OptionDef {
    OptionDef::choice(name, &["RANGE", "TEMPLATE"])
        .default("RANGE")
        .doc("Whether values are made up within bounds, or are those of the template. A template that is there is used with both.")
}

const fn template(name: &'static str) -> OptionDef {
    OptionDef::list(name).doc("Values to choose from.")
}

/// The options of the source `FakeSource`; those of an entry of `tables_configs` are the same.
pub const OPTIONS: &[OptionDef] = &[
    schema::TABLE,
    schema::FIELDS,
    schema::COLUMNS,
    schema::KEY,
    schema::KEY_NAME,
    schema::CONSTRAINTS,
    schema::COMMENT,
    schema::SCHEMA_FIRST,
    schema::METADATA,
    OptionDef::objects("tables_configs").doc("Several tables: a block with these options for each, instead of `schema`."),
    OptionDef::list("table-names").alias(&["table_names"]).doc("Several tables of one `schema`, by their names."),
    OptionDef::objects("rows").doc(
        "The rows, instead of made-up ones: blocks with `kind` (INSERT, UPDATE_BEFORE, UPDATE_AFTER, DELETE) and `fields`, the values \
         in the order of the columns. Bytes are base64.",
    ),
    OptionDef::int_in("row.num", 0, i64::MAX).default("5").doc("How many rows are made up, for each degree of parallelism."),
    OptionDef::int_in("split.num", 1, 1_000_000).default("1").doc("How many splits they are read in, for each degree of parallelism."),
    OptionDef::duration_ms("split.read-interval").default("1").doc("How long to wait between two splits."),
    OptionDef::int("seed").doc(
        "What made-up values follow from: the same seed makes the same values. Chosen by chance without it, and kept in the restart point.",
    ),
    OptionDef::boolean("auto.increment.enabled").default("false")
        .doc("Whether the whole-number columns of the key count up with the rows."),
    OptionDef::int_in("auto.increment.start", i64::MIN, i64::MAX).default("1").doc("The first of these numbers."),
    OptionDef::int_in("map.size", 0, SIZE_MAX).default("5").doc("Pairs of a map; fewer where keys are the same by chance."),
    OptionDef::int_in("array.size", 0, SIZE_MAX).default("5").doc("Elements of an array."),
    OptionDef::int_in("bytes.length", 0, SIZE_MAX).default("5").unit("bytes").doc("Length of values of the type bytes."),
    OptionDef::int_in("string.length", 0, SIZE_MAX).default("5").doc("Letters of a string."),
    mode("string.fake.mode"),
    template("string.template"),
    mode("tinyint.fake.mode"),
    OptionDef::int_in("tinyint.min", -128, 127).default("0").doc("The least tinyint."),
    OptionDef::int_in("tinyint.max", -128, 127).default("127").doc("The greatest tinyint."),
    template("tinyint.template"),
    mode("smallint.fake.mode"),
    OptionDef::int_in("smallint.min", -32_768, 32_767).default("0").doc("The least smallint."),
    OptionDef::int_in("smallint.max", -32_768, 32_767).default("32767").doc("The greatest smallint."),
    template("smallint.template"),
    mode("int.fake.mode"),
    OptionDef::int_in("int.min", -2_147_483_648, 2_147_483_647).default("0").doc("The least int."),
    OptionDef::int_in("int.max", -2_147_483_648, 2_147_483_647).default("2147483647").doc("The greatest int."),
    template("int.template"),
    mode("bigint.fake.mode"),
    OptionDef::int_in("bigint.min", i64::MIN, i64::MAX).default("0").doc("The least bigint."),
    OptionDef::int_in("bigint.max", i64::MIN, i64::MAX).default("9223372036854775807").doc("The greatest bigint."),
    template("bigint.template"),
    mode("float.fake.mode"),
    OptionDef::float("float.min").default("0").doc("The least float."),
    OptionDef::float("float.max").default("3.4028235e38").doc("The greatest float."),
    template("float.template"),
    mode("double.fake.mode"),
    OptionDef::float("double.min").default("0").doc("The least double."),
    OptionDef::float("double.max").default("1.7976931348623157e308").doc("The greatest double."),
    template("double.template"),
    template("date.year.template"),
    template("date.month.template"),
    template("date.day.template"),
    template("time.hour.template"),
    template("time.minute.template"),
    template("time.second.template"),
    OptionDef::int("vector.dimension").default("4").refused(NO_VECTORS).doc("Dimension of a vector."),
    OptionDef::int("binary.vector.dimension").default("8").refused(NO_VECTORS).doc("Dimension of a binary vector."),
    OptionDef::float("vector.float.min").default("0").refused(NO_VECTORS).doc("The least number in a vector."),
    OptionDef::float("vector.float.max").default("3.4028235e38").refused(NO_VECTORS).doc("The greatest number in a vector."),
];

/// What holds between options.
pub const RULES: &[Rule] = &[
    Rule::AtMostOne(&["schema.fields", "schema.columns", "tables_configs"]),
    Rule::AtMostOne(&["schema.table", "table-names", "tables_configs"]),
    Rule::AtMostOne(&["rows", "tables_configs"]),
];

/// An error about an option; `what` completes "option 'x' ".
pub(crate) fn option(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{name}' {what}"))
}

/// The tables of a job file's block. `parallelism` is how often each is read over.
pub(crate) fn tables(options: &Options, parallelism: u32) -> Result<Vec<Table>> {
    let parallelism =
        u64::try_from(options.opt_int("parallelism").unwrap_or(parallelism.into())).unwrap_or(1);
    let mut tables = Vec::new();
    if options.is_set("tables_configs") {
        for (number, entries) in (1usize..).zip(options.objects("tables_configs")) {
            let inner = of_entry(PLUGIN, (OPTIONS, RULES), options, (number, entries))?;
            tables.extend(
                of_block(&inner, parallelism)
                    .map_err(|error| error.context("entry of tables_configs", number))?,
            );
        }
    } else {
        tables = of_block(options, parallelism)?;
    }
    if tables.is_empty() {
        return Err(option("tables_configs", "names no table"));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = tables.iter().find(|table| !names.insert(&table.schema.id)) {
        return Err(option("schema.table", &format!("names the table {} twice", twice.schema.id)));
    }
    let planned: u64 = tables.iter().map(|table| table.splits.len() as u64).sum();
    if planned > SPLITS_MAX {
        return Err(option(
            "split.num",
            &format!("makes {planned} splits of all tables; at most {SPLITS_MAX}"),
        ));
    }
    Ok(tables)
}

/// The tables of one block: one, or those of `table-names`.
fn of_block(options: &Options, copies: u64) -> Result<Vec<Table>> {
    let unnamed = TableId {
        database: "default".to_owned(),
        schema: Some("default".to_owned()),
        table: "default".to_owned(),
    };
    let declared = schema::declared(options, unnamed)?;
    let (rows, content) = if options.is_set("rows") {
        let rows = rows(&declared.schema, options.objects("rows"))?;
        (rows.clone(), Content::Written(rows))
    } else {
        let recipes = recipes(options, &declared)?;
        (Vec::new(), Content::Made(Box::new(Maker { ranges: ranges(options)?, recipes })))
    };
    let kinds: Vec<RowKind> = rows.iter().map(|row: &Written| row.kind).collect();
    let kinds = if kinds.is_empty() { RowKindSet::INSERT_ONLY } else { RowKindSet::of(&kinds) };
    let count = match &content {
        Content::Written(rows) => rows.len() as u64,
        Content::Made(_) => options.unsigned("row.num"),
    };
    if count.checked_mul(copies).is_none() {
        return Err(option("row.num", "is more than can be counted"));
    }
    let table = Table {
        schema: Arc::new(TableSchema { kinds, ..declared.schema }),
        content,
        splits: splits(count, options.unsigned("split.num"), copies, &rows),
        interval_ms: options.unsigned("split.read-interval"),
    };
    let names = options.list("table-names");
    if names.is_empty() {
        return Ok(vec![table]);
    }
    let named = |name: &String| {
        let schema = TableSchema { id: schema::table_id(name), ..table.schema.as_ref().clone() };
        Table { schema: Arc::new(schema), ..table.clone() }
    };
    Ok(names.iter().map(named).collect())
}

/// How the values of each column come about.
fn recipes(options: &Options, declared: &schema::Declared) -> Result<Vec<Recipe>> {
    let counts = options.bool("auto.increment.enabled");
    let start = options.int("auto.increment.start");
    let table = &declared.schema;
    let mut recipes = Vec::with_capacity(table.columns.len());
    for (column, default) in table.columns.iter().zip(&declared.defaults) {
        recipes.push(match default {
            Some(value) => Recipe::Said(Said::read(value, &column.data_type).ok_or_else(|| {
                let what = format!(
                    "has a `defaultValue` that does not fit the column {} ({})",
                    column.name, column.data_type
                );
                option("schema.columns", &what)
            })?),
            None if counts && table.primary_key.contains(&column.name) && column.data_type.is_integer() => {
                Recipe::Count(start)
            }
            None if !column.nullable && column.data_type == DataType::Null => {
                return Err(option(
                    "schema",
                    &format!("has the column {}, which takes no NULL and nothing else", column.name),
                ));
            }
            None => Recipe::Chance,
        });
    }
    Ok(recipes)
}

fn ranges(options: &Options) -> Result<Ranges> {
    let size = |name: &str| usize::try_from(options.unsigned(name)).unwrap_or(0);
    Ok(Ranges {
        string: cells(options, "string", &DataType::Utf8)?,
        string_length: size("string.length"),
        bytes_length: size("bytes.length"),
        array_size: size("array.size"),
        map_size: size("map.size"),
        tinyint: whole(options, "tinyint", &DataType::Int8)?,
        smallint: whole(options, "smallint", &DataType::Int16)?,
        int: whole(options, "int", &DataType::Int32)?,
        bigint: whole(options, "bigint", &DataType::Int64)?,
        float: broken(options, "float", &DataType::Float32)?,
        double: broken(options, "double", &DataType::Float64)?,
        calendar: Calendar {
            year: parts(options, "date.year.template", 1, 9999)?,
            month: parts(options, "date.month.template", 1, 12)?,
            day: parts(options, "date.day.template", 1, 31)?,
            hour: parts(options, "time.hour.template", 0, 23)?,
            minute: parts(options, "time.minute.template", 0, 59)?,
            second: parts(options, "time.second.template", 0, 59)?,
        },
    })
}

/// The template of a type.
fn cells(options: &Options, name: &str, data_type: &DataType) -> Result<Vec<Cell>> {
    let (template, mode) = (format!("{name}.template"), format!("{name}.fake.mode"));
    let texts = options.list(&template);
    if texts.is_empty() && options.enum_value(&mode) == "TEMPLATE" {
        return Err(option(&mode, &format!("is TEMPLATE, and '{template}' has no value")));
    }
    let cells: Option<Vec<Cell>> = texts.iter().map(|text| of_text(text, data_type)).collect();
    cells.ok_or_else(|| option(&template, &format!("has a value that is no {name}")))
}

fn whole(options: &Options, name: &str, data_type: &DataType) -> Result<Range<i64>> {
    let template = cells(options, name, data_type)?;
    let (min, max) = (options.int(&format!("{name}.min")), options.int(&format!("{name}.max")));
    if min > max {
        return Err(above(name));
    }
    Ok(Range { min, max, template })
}

fn broken(options: &Options, name: &str, data_type: &DataType) -> Result<Range<f64>> {
    let template = cells(options, name, data_type)?;
    let (min, max) = (options.float(&format!("{name}.min")), options.float(&format!("{name}.max")));
    if min > max {
        return Err(above(name));
    }
    if *data_type == DataType::Float32 && [min, max].iter().any(|bound| (*bound as f32).is_infinite()) {
        return Err(option(&format!("{name}.max"), "is more than a float can be; use a double"));
    }
    Ok(Range { min, max, template })
}

fn above(name: &str) -> Error {
    option(&format!("{name}.min"), &format!("is above '{name}.max'"))
}

fn parts(options: &Options, name: &str, least: u32, most: u32) -> Result<Vec<u32>> {
    let part = |text: &String| text.trim().parse().ok().filter(|part| (least..=most).contains(part));
    let parts: Option<Vec<u32>> = options.list(name).iter().map(part).collect();
    parts.ok_or_else(|| option(name, &format!("has a value that is not from {least} to {most}")))
}

#[cfg(test)]
pub(crate) mod tests;
