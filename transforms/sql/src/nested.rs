//! Values that lie in one another: the way to a field of a row or the value of a map's key, and the making of arrays and
//! maps. Arrow's types for them are those that sources declare: an array is a list of `item`, a map's keys are texts.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray, UInt64Array, new_empty_array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion_common::ScalarValue;
use datafusion_expr::{Expr, Volatility};

use crate::cast::{Mode, is_text, name_of};
use crate::compare::{Typed, call, in_one_type};
use crate::function::{Args, Fault, Operation, Outcome};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// The field of this place in a row.
    Field(usize),
    /// The value of this key in a map.
    Key(String),
}

/// What lies in a value at the end of some steps; NULL where a step leads to nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Inside {
    steps: Vec<Step>,
}

/// The value that names lead to.
pub(crate) fn inside(outer: Typed, names: &[&str]) -> Result<Typed, String> {
    let mut steps = Vec::with_capacity(names.len());
    let mut data_type = &outer.data_type;
    for name in names {
        data_type = match data_type {
            DataType::Struct(fields) => {
                let (place, field) = find(fields, name)?;
                steps.push(Step::Field(place));
                field.data_type()
            }
            DataType::Map(pairs, _) => {
                let (key, value) = pair(pairs.data_type()).ok_or("a map without keys and values")?;
                if !is_text(key) {
                    return Err(format!("the keys of the map are {}; only texts can be named", name_of(key)));
                }
                steps.push(Step::Key((*name).to_owned()));
                value
            }
            other => return Err(format!("there is no `{name}` in a {}", name_of(other))),
        };
    }
    if steps.is_empty() {
        return Ok(outer);
    }
    let data_type = data_type.clone();
    Ok(call(Inside { steps }, vec![outer.expr], data_type, Volatility::Immutable))
}

/// The field of a name as it is written, then in any letter case.
fn find<'f>(fields: &'f Fields, name: &str) -> Result<(usize, &'f Field), String> {
    let by = |is: &dyn Fn(&str) -> bool| fields.iter().position(|field| is(field.name()));
    let place = by(&|field| field == name).or_else(|| by(&|field| field.eq_ignore_ascii_case(name)));
    place.and_then(|place| Some((place, fields.get(place)?.as_ref()))).ok_or_else(|| {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        format!("there is no field `{name}`; there are {}", names.join(", "))
    })
}

/// The types of a map's keys and values.
pub(crate) fn pair(entries: &DataType) -> Option<(&DataType, &DataType)> {
    let DataType::Struct(fields) = entries else { return None };
    fields.first().zip(fields.get(1)).map(|(key, value)| (key.data_type(), value.data_type()))
}

/// The items or pairs of a row.
pub(crate) fn range(offsets: &OffsetBuffer<i32>, row: usize) -> std::ops::Range<usize> {
    let at = |place: usize| offsets.get(place).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

/// The values at these places; NULL where there is none.
pub(crate) fn taken(values: &dyn Array, places: impl Iterator<Item = Option<usize>>) -> Outcome {
    let places: UInt64Array = places.map(|place| place.and_then(|at| u64::try_from(at).ok())).collect();
    take(values, &places, None).map_err(|_| Fault::new("a value inside another is missing"))
}

impl Step {
    fn of(&self, outer: &ArrayRef) -> Outcome {
        let missing = || Fault::new("a value is not of its type");
        match self {
            Step::Field(place) => {
                let rows = outer.as_struct_opt().ok_or_else(missing)?;
                let field = rows.columns().get(*place).ok_or_else(missing)?;
                taken(field, (0..rows.len()).map(|row| rows.is_valid(row).then_some(row)))
            }
            Step::Key(name) => {
                let maps = outer.as_map_opt().ok_or_else(missing)?;
                let keys = maps.keys().as_string_opt::<i32>().ok_or_else(missing)?;
                // The last one counts where a key is there twice.
                let place = |row| range(maps.offsets(), row).rfind(|pair| keys.value(*pair) == name);
                taken(maps.values(), (0..maps.len()).map(|row| maps.is_valid(row).then(|| place(row))?))
            }
        }
    }
}

impl Operation for Inside {
    fn name(&self) -> &str {
        "INSIDE"
    }

    fn run(&self, args: &Args) -> Outcome {
        self.steps.iter().try_fold(args.column(0)?, |outer, step| step.of(&outer))
    }
}

/// The type of an array.
pub(crate) fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// Values in one type; STRING where all are NULL.
fn alike(values: Vec<Typed>, what: &str) -> Result<(Vec<Expr>, DataType), String> {
    let (values, data_type) = in_one_type(values, what)?;
    if !data_type.is_null() {
        return Ok((values, data_type));
    }
    let null = Typed::constant(ScalarValue::Utf8(None)).expr;
    Ok((vec![null; values.len()], DataType::Utf8))
}

/// `ARRAY(…)`.
pub(crate) fn array(items: Vec<Typed>) -> Result<Typed, String> {
    let (items, data_type) = alike(items, "items of one ARRAY")?;
    Ok(call(MakeArray, items, list(data_type), Volatility::Immutable))
}

/// `MAP(key, value, …)`.
pub(crate) fn map(args: Vec<Typed>) -> Result<Typed, String> {
    if !args.len().is_multiple_of(2) {
        return Err("MAP takes keys and values in turn".to_owned());
    }
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (place, arg) in args.into_iter().enumerate() {
        match place % 2 {
            0 if !crate::cast::is_plain(&arg.data_type) => {
                return Err(format!("a key of MAP is a {}, and a text is wanted", name_of(&arg.data_type)));
            }
            0 => keys.push(arg.cast(&DataType::Utf8, Mode::Strict).expr),
            _ => values.push(arg),
        }
    }
    let (values, data_type) = alike(values, "values of one MAP")?;
    let pair =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", data_type, true)]);
    let pairs = Field::new("entries", DataType::Struct(pair), false);
    // All keys, then all values.
    let args = keys.into_iter().chain(values).collect();
    Ok(call(MakeMap, args, DataType::Map(Arc::new(pairs), false), Volatility::Immutable))
}

/// The columns of arguments.
fn columns(args: &Args, places: std::ops::Range<usize>) -> Result<Vec<ArrayRef>, Fault> {
    places.map(|place| args.column(place)).collect()
}

/// Values out of columns, by column and row.
fn woven(columns: &[ArrayRef], places: &[(usize, usize)], data_type: &DataType) -> Outcome {
    if columns.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    interleave(&columns, places).map_err(|_| unmade())
}

fn unmade() -> Fault {
    Fault::new("an array or a map cannot be made")
}

/// Makes an array of its arguments, which are of one type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MakeArray;

impl Operation for MakeArray {
    fn name(&self) -> &str {
        "ARRAY"
    }

    fn run(&self, args: &Args) -> Outcome {
        let DataType::List(item) = &args.returns else { return Err(unmade()) };
        let columns = columns(args, 0..args.len())?;
        let places: Vec<(usize, usize)> =
            (0..args.rows()).flat_map(|row| (0..args.len()).map(move |column| (column, row))).collect();
        let values = woven(&columns, &places, item.data_type())?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(args.len(), args.rows()));
        let made = ListArray::try_new(item.clone(), offsets, values, None).map_err(|_| unmade())?;
        Ok(Arc::new(made))
    }
}

/// Makes a map of keys, which are the first half of its arguments, and as many values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct MakeMap;

impl Operation for MakeMap {
    fn name(&self) -> &str {
        "MAP"
    }

    fn run(&self, args: &Args) -> Outcome {
        let DataType::Map(entries, _) = &args.returns else { return Err(unmade()) };
        let DataType::Struct(fields) = entries.data_type() else { return Err(unmade()) };
        let (_, value_type) = pair(entries.data_type()).ok_or_else(unmade)?;
        let half = args.len() / 2;
        let (keys, values) = (columns(args, 0..half)?, columns(args, half..args.len())?);
        let (mut places, mut lengths) = (Vec::new(), Vec::new());
        for row in 0..args.rows() {
            let before = places.len();
            for pair in 0..half {
                let key = args.text(pair, row).ok_or_else(|| Fault::new("a key of MAP is NULL"))?;
                // The last one counts where a key is there twice.
                if !(pair + 1..half).any(|later| args.text(later, row) == Some(key)) {
                    places.push((pair, row));
                }
            }
            lengths.push(places.len() - before);
        }
        let keys = woven(&keys, &places, &DataType::Utf8)?;
        let values = woven(&values, &places, value_type)?;
        let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None).map_err(|_| unmade())?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        let made = MapArray::try_new(entries.clone(), offsets, pairs, None, false).map_err(|_| unmade())?;
        Ok(Arc::new(made))
    }
}
