//! What a function of ours is: how it is found, what it takes, and how DataFusion calls it over columns.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow_schema::DataType;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::cast;
use crate::moment::{Moment, Moments};
use crate::text::to_text;

/// Why a value could not be computed, in words without any value: for the person who runs the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(pub(crate) String);

impl Fault {
    pub(crate) fn new(why: impl Into<String>) -> Fault {
        Fault(why.into())
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for DataFusionError {
    fn from(fault: Fault) -> DataFusionError {
        DataFusionError::External(Box::new(fault))
    }
}

/// A column of results.
pub(crate) type Outcome = Result<ArrayRef, Fault>;

/// How a function takes an argument: what it is made of before the function sees it, and what is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// As text; numbers and points in time in the form that `CAST(… AS STRING)` gives them.
    Text,
    /// As a 64-bit integer; the fraction of a number is dropped.
    Int,
    /// As a double.
    Double,
    /// A number of any type, as it is.
    Number,
    /// A date, a time or a point in time, as it is.
    Moment,
    /// An array, as it is.
    Array,
    /// As it is.
    Any,
}

impl Take {
    /// Whether an argument of this type can be taken. `NULL` can always.
    pub(crate) fn accepts(self, data_type: &DataType) -> bool {
        if data_type.is_null() {
            return true;
        }
        match self {
            Take::Any => true,
            Take::Text => cast::is_plain(data_type) && !cast::is_binary(data_type),
            Take::Int | Take::Double | Take::Number => data_type.is_numeric(),
            Take::Moment => cast::is_moment(data_type),
            Take::Array => matches!(data_type, DataType::List(_)),
        }
    }

    /// What is wanted, for messages.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Take::Text => "text",
            Take::Int | Take::Double | Take::Number => "a number",
            Take::Moment => "a date, time or timestamp",
            Take::Array => "an array",
            Take::Any => "a value",
        }
    }

    /// The argument as the function reads it.
    fn convert(self, column: &ArrayRef) -> Outcome {
        match self {
            Take::Text => to_text(column),
            Take::Int => cast::cast(column, &DataType::Int64, cast::Mode::Strict),
            Take::Double => cast::cast(column, &DataType::Float64, cast::Mode::Strict),
            Take::Number | Take::Moment | Take::Array | Take::Any => Ok(column.clone()),
        }
    }
}

/// What is known of an argument when the query is planned.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) data_type: DataType,
    /// The value of a text literal.
    pub(crate) literal: Option<String>,
}

/// The type of a function's results.
pub(crate) enum Returns {
    /// Always this.
    Is(DataType),
    /// It depends on the arguments, or these have to be judged first.
    From(fn(&[Known]) -> Result<DataType, String>),
}

/// A function of ours.
pub(crate) struct Def {
    /// Its names, in capitals; the first one stands in messages.
    pub(crate) names: &'static [&'static str],
    /// Its arguments.
    pub(crate) args: &'static [Take],
    /// How many of the last arguments may be left out.
    pub(crate) optional: usize,
    /// Whether the last argument may be repeated.
    pub(crate) repeats: bool,
    pub(crate) returns: Returns,
    pub(crate) run: fn(&Args) -> Outcome,
}

impl Def {
    /// How the argument of this place is taken.
    pub(crate) fn take(&self, place: usize) -> Take {
        self.args.get(place).or(self.args.last()).copied().unwrap_or(Take::Any)
    }
}

/// The arguments of one call, as the function takes them.
pub(crate) struct Args {
    columns: Vec<(ArrayRef, bool)>,
    rows: usize,
    /// The type of the results.
    pub(crate) returns: DataType,
}

impl Args {
    /// Number of arguments.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The place of a row in the column of an argument: a constant has one row.
    fn place(&self, arg: usize, row: usize) -> Option<(&ArrayRef, usize)> {
        let (column, constant) = self.columns.get(arg)?;
        let row = if *constant { 0 } else { row };
        column.is_valid(row).then_some((column, row))
    }

    /// A text; `None` for NULL and for an argument that was left out.
    pub(crate) fn text(&self, arg: usize, row: usize) -> Option<&str> {
        let (column, row) = self.place(arg, row)?;
        column.as_string_opt::<i32>().map(|column| column.value(row))
    }

    /// An integer.
    pub(crate) fn int(&self, arg: usize, row: usize) -> Option<i64> {
        let (column, row) = self.place(arg, row)?;
        column.as_primitive_opt::<Int64Type>().map(|column| column.value(row))
    }

    /// A double.
    pub(crate) fn double(&self, arg: usize, row: usize) -> Option<f64> {
        let (column, row) = self.place(arg, row)?;
        column.as_primitive_opt::<Float64Type>().map(|column| column.value(row))
    }

    /// The column of an argument, with one row per row.
    pub(crate) fn column(&self, arg: usize) -> Outcome {
        let (column, constant) = self.columns.get(arg).ok_or_else(|| Fault::new("an argument is missing"))?;
        if *constant && self.rows != 1 {
            let value =
                ScalarValue::try_from_array(column, 0).map_err(|_| Fault::new("a constant has no value"))?;
            return value.to_array_of_size(self.rows).map_err(|_| Fault::new("a constant has no value"));
        }
        Ok(column.clone())
    }

    /// The points in time of an argument.
    pub(crate) fn moments(&self, arg: usize) -> Result<RowMoments<'_>, Fault> {
        let (column, constant) = self.columns.get(arg).ok_or_else(|| Fault::new("an argument is missing"))?;
        Ok(RowMoments { moments: Moments::new(column)?, constant: *constant })
    }

    /// One text per row.
    pub(crate) fn texts(&self, of: impl Fn(usize) -> Result<Option<String>, Fault>) -> Outcome {
        let values: StringArray = (0..self.rows).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(values))
    }

    /// One 32-bit integer per row.
    pub(crate) fn ints(&self, of: impl Fn(usize) -> Result<Option<i32>, Fault>) -> Outcome {
        let values: Int32Array = (0..self.rows).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(values))
    }

    /// One 64-bit integer per row.
    pub(crate) fn longs(&self, of: impl Fn(usize) -> Result<Option<i64>, Fault>) -> Outcome {
        let values: Int64Array = (0..self.rows).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(values))
    }

    /// One double per row.
    pub(crate) fn doubles(&self, of: impl Fn(usize) -> Result<Option<f64>, Fault>) -> Outcome {
        let values: Float64Array = (0..self.rows).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(values))
    }

    /// One boolean per row.
    pub(crate) fn flags(&self, of: impl Fn(usize) -> Result<Option<bool>, Fault>) -> Outcome {
        let values: BooleanArray = (0..self.rows).map(of).collect::<Result<_, Fault>>()?;
        Ok(Arc::new(values))
    }
}

/// The points in time of an argument, by row.
pub(crate) struct RowMoments<'a> {
    moments: Moments<'a>,
    constant: bool,
}

impl RowMoments<'_> {
    /// The one of a row; `None` for NULL.
    pub(crate) fn get(&self, row: usize) -> Result<Option<Moment>, Fault> {
        self.moments.get(if self.constant { 0 } else { row })
    }
}

/// Runs a computation over the arguments as they came: for what is no named function (arithmetic, CAST).
pub(crate) trait Operation: std::fmt::Debug + Send + Sync + PartialEq + Eq + Hash + 'static {
    /// A name for messages.
    fn name(&self) -> &str;
    /// The results.
    fn run(&self, args: &Args) -> Outcome;
}

/// An [`Operation`] with the type of its results, as DataFusion knows functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scalar<O> {
    operation: O,
    returns: DataType,
    signature: Signature,
}

impl<O: Operation> Scalar<O> {
    pub(crate) fn new(
        operation: O,
        arguments: usize,
        returns: DataType,
        volatility: Volatility,
    ) -> Scalar<O> {
        let signature = match arguments {
            0 => TypeSignature::Nullary,
            _ => TypeSignature::VariadicAny,
        };
        Scalar { operation, returns, signature: Signature::new(signature, volatility) }
    }
}

impl<O: Operation> ScalarUDFImpl for Scalar<O> {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> datafusion_common::Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> datafusion_common::Result<ColumnarValue> {
        // A call whose arguments are all constants is made once, unless every call gives another value.
        let once = self.signature.volatility == Volatility::Immutable
            && args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let mut columns = Vec::with_capacity(args.args.len());
        for argument in args.args {
            columns.push(match argument {
                ColumnarValue::Array(column) => (column, false),
                ColumnarValue::Scalar(value) => (value.to_array_of_size(1)?, true),
            });
        }
        let rows = if once { 1 } else { args.number_rows };
        let results = self.operation.run(&Args { columns, rows, returns: self.returns.clone() })?;
        match once {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?)),
            false => Ok(ColumnarValue::Array(results)),
        }
    }
}

/// A call of a [`Def`].
#[derive(Clone, Copy)]
pub(crate) struct Named(pub(crate) &'static Def);

impl Named {
    fn id(self) -> &'static str {
        self.0.names.first().copied().unwrap_or_default()
    }
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Named) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl Operation for Named {
    fn name(&self) -> &str {
        self.id()
    }

    fn run(&self, args: &Args) -> Outcome {
        let mut columns = Vec::with_capacity(args.len());
        for (place, (column, constant)) in args.columns.iter().enumerate() {
            columns.push((self.0.take(place).convert(column)?, *constant));
        }
        (self.0.run)(&Args { columns, rows: args.rows, returns: args.returns.clone() })
    }
}
