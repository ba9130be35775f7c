//! Two values side by side: what may be compared, and which type the branches of a CASE share.
//!
//! DataFusion would compare a text with a number as texts, and two points in time in the coarser unit. Neither
//! is what a query means, so both sides are brought to one type here, and what has none is refused.

use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::ScalarValue;
use datafusion_expr::expr::ScalarFunction;
use datafusion_expr::{Expr, ScalarUDF, Volatility, lit};

use crate::arithmetic::{Arithmetic, Op, Types};
use crate::cast::{Cast, Mode, cast, digits, is_moment, is_plain, is_text, name_of, read_decimal};
use crate::function::{Operation, Scalar};
use crate::moment::Zone;

/// Digits of a decimal of 128 bits.
const DIGITS_128: u32 = 38;

/// A literal as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    /// With its sign.
    Number(String),
}

/// An expression, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) data_type: DataType,
    pub(crate) literal: Option<Literal>,
}

impl Typed {
    pub(crate) fn new(expr: Expr, data_type: DataType) -> Typed {
        Typed { expr, data_type, literal: None }
    }

    /// A constant.
    pub(crate) fn constant(value: ScalarValue) -> Typed {
        Typed { data_type: value.data_type(), expr: lit(value), literal: None }
    }

    /// A text that is written out.
    pub(crate) fn text(text: &str) -> Typed {
        Typed { literal: Some(Literal::Text(text.to_owned())), ..Typed::constant(ScalarValue::from(text)) }
    }

    /// A number that is written out: an INT or a BIGINT where it is whole and fits, a decimal where it is
    /// whole and does not, otherwise a DOUBLE.
    pub(crate) fn number(text: &str) -> Result<Typed, String> {
        let wrong = || format!("{text} is too long for a number");
        let whole = !text.contains(['.', 'e', 'E']);
        let value = match (text.parse::<i32>(), text.parse::<i64>()) {
            (Ok(value), _) => ScalarValue::Int32(Some(value)),
            (_, Ok(value)) => ScalarValue::Int64(Some(value)),
            _ if whole => decimal_literal(text).ok_or_else(wrong)?,
            _ => ScalarValue::Float64(Some(text.parse().map_err(|_| wrong())?)),
        };
        Ok(Typed { literal: Some(Literal::Number(text.to_owned())), ..Typed::constant(value) })
    }

    pub(crate) fn is_null(&self) -> bool {
        self.data_type.is_null()
    }

    /// The value brought to a type by CAST.
    pub(crate) fn cast(self, to: &DataType, mode: Mode) -> Typed {
        if self.data_type == *to {
            return self;
        }
        if self.is_null()
            && let Ok(null) = ScalarValue::try_from(to)
        {
            return Typed::constant(null);
        }
        call(Cast { mode }, vec![self.expr], to.clone(), Volatility::Immutable)
    }
}

/// A call of an operation of ours.
pub(crate) fn call(
    operation: impl Operation,
    args: Vec<Expr>,
    returns: DataType,
    volatility: Volatility,
) -> Typed {
    let scalar = Scalar::new(operation, args.len(), returns.clone(), volatility);
    let udf = Arc::new(ScalarUDF::new_from_impl(scalar));
    Typed::new(Expr::ScalarFunction(ScalarFunction::new_udf(udf, args)), returns)
}

/// A number as a decimal with as many digits as it is written with.
fn decimal_literal(text: &str) -> Option<ScalarValue> {
    let scale = match text.split_once(['e', 'E']) {
        Some(_) => return None,
        None => text.split_once('.').map_or(0, |(_, fraction)| fraction.len()),
    };
    let scale = i8::try_from(scale).ok()?;
    let value = read_decimal(text, scale)?;
    let precision = digits(value).max(u32::from(scale.unsigned_abs())).max(1);
    if precision > DIGITS_128 {
        return None;
    }
    Some(ScalarValue::Decimal128(Some(value.to_i128()?), u8::try_from(precision).ok()?, scale))
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(_, _) | DataType::Decimal256(_, _))
}

/// A number that is written out, beside a value of this type: a decimal beside a decimal, and in the very type
/// of an integer that can hold it.
fn beside(number: Typed, other: &DataType) -> Typed {
    let Some(Literal::Number(text)) = &number.literal else { return number };
    let value = match other {
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => decimal_literal(text),
        DataType::Int8 => text.parse().ok().map(|value| ScalarValue::Int8(Some(value))),
        DataType::Int16 => text.parse().ok().map(|value| ScalarValue::Int16(Some(value))),
        DataType::Int32 => text.parse().ok().map(|value| ScalarValue::Int32(Some(value))),
        DataType::Int64 => text.parse().ok().map(|value| ScalarValue::Int64(Some(value))),
        DataType::UInt8 => text.parse().ok().map(|value| ScalarValue::UInt8(Some(value))),
        DataType::UInt16 => text.parse().ok().map(|value| ScalarValue::UInt16(Some(value))),
        DataType::UInt32 => text.parse().ok().map(|value| ScalarValue::UInt32(Some(value))),
        DataType::UInt64 => text.parse().ok().map(|value| ScalarValue::UInt64(Some(value))),
        _ => None,
    };
    match value {
        Some(value) => Typed { literal: number.literal, ..Typed::constant(value) },
        None => number,
    }
}

/// `left op right` on numbers.
pub(crate) fn arithmetic(op: Op, left: Typed, right: Typed) -> Result<Typed, String> {
    let literal = |side: Typed, other: &DataType| if is_decimal(other) { beside(side, other) } else { side };
    let (left_type, right_type) = (left.data_type.clone(), right.data_type.clone());
    let (left, right) = (literal(left, &right_type), literal(right, &left_type));
    let types: Types = op.types(&left.data_type, &right.data_type).ok_or_else(|| {
        let sides = format!("{} {} {}", name_of(&left.data_type), op.sign(), name_of(&right.data_type));
        match is_moment(&left.data_type) || is_moment(&right.data_type) {
            true => format!("{sides} cannot be computed: use DATEADD or DATEDIFF"),
            false => {
                format!("{sides} cannot be computed: numbers are wanted, with CAST where they are texts")
            }
        }
    })?;
    let returns = types.returns.clone();
    let args = if op == Op::Negate { vec![left.expr] } else { vec![left.expr, right.expr] };
    Ok(call(Arithmetic { op, types }, args, returns, Volatility::Immutable))
}

/// Both sides of a comparison in types that compare as the query means it.
pub(crate) fn comparable(left: Typed, right: Typed) -> Result<(Expr, Expr), String> {
    let (left_type, right_type) = (left.data_type.clone(), right.data_type.clone());
    let (left, right) = (beside_any(left, &right_type)?, beside_any(right, &left_type)?);
    let (l, r) = (&left.data_type, &right.data_type);
    if let Some(nested) = [l, r].into_iter().find(|side| !is_plain(side)) {
        return Err(format!("a {} cannot be compared: compare what lies in it", name_of(nested)));
    }
    if l == r || l.is_null() || r.is_null() || l.is_numeric() && r.is_numeric() || is_text(l) && is_text(r) {
        return Ok((left.expr, right.expr));
    }
    if is_moment(l) && is_moment(r) {
        if let (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, Some(_))) = (l, r) {
            let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()));
            return Ok((
                datafusion_expr::cast(left.expr, utc.clone()),
                datafusion_expr::cast(right.expr, utc),
            ));
        }
        if let Some(shared) = shared_moment(l, r) {
            return Ok((left.cast(&shared, Mode::Strict).expr, right.cast(&shared, Mode::Strict).expr));
        }
    }
    Err(format!(
        "{} and {} cannot be compared: bring one to the other's type with CAST",
        name_of(l),
        name_of(r)
    ))
}

/// A literal in the type of what it stands beside; anything else as it is.
fn beside_any(side: Typed, other: &DataType) -> Result<Typed, String> {
    match &side.literal {
        Some(Literal::Number(text)) if *other == DataType::Boolean => match text.as_str() {
            "1" => Ok(Typed::constant(ScalarValue::from(true))),
            "0" => Ok(Typed::constant(ScalarValue::from(false))),
            _ => Err(format!("{text} is no BOOLEAN")),
        },
        Some(Literal::Number(_)) => Ok(beside(side, other)),
        Some(Literal::Text(text)) if !is_text(other) && !other.is_null() => text_as(text, other),
        _ => Ok(side),
    }
}

/// A text that is written out, as a value of this type.
pub(crate) fn text_as(text: &str, data_type: &DataType) -> Result<Typed, String> {
    let wrong = || format!("'{text}' is no {}", name_of(data_type));
    if data_type.is_numeric() {
        let number = Typed::number(text.trim()).map_err(|_| wrong())?;
        return Ok(beside(number, data_type));
    }
    let to = match data_type {
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => {
            DataType::Time64(TimeUnit::Microsecond)
        }
        other => other.clone(),
    };
    let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let value =
        cast(&column, &to, Mode::Strict).ok().and_then(|value| ScalarValue::try_from_array(&value, 0).ok());
    match (value.ok_or_else(wrong)?, data_type) {
        // What the clock of the column's zone shows.
        (ScalarValue::TimestampMicrosecond(Some(clock), None), DataType::Timestamp(_, Some(zone))) => {
            let clock = chrono::DateTime::from_timestamp_micros(clock).map(|clock| clock.naive_utc());
            let moment = Zone::parse(zone).zip(clock).and_then(|(zone, clock)| zone.moment(clock));
            let micros = moment.ok_or_else(wrong)?.and_utc().timestamp_micros();
            Ok(Typed::constant(ScalarValue::TimestampMicrosecond(Some(micros), Some(zone.clone()))))
        }
        (value, _) => Ok(Typed::constant(value)),
    }
}

/// The type in which two dates, times or timestamps of different types are compared: as the clock shows them.
fn shared_moment(left: &DataType, right: &DataType) -> Option<DataType> {
    let day = |side: &DataType| matches!(side, DataType::Date32 | DataType::Timestamp(_, _));
    match (day(left), day(right)) {
        (true, true) => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        (false, false) => Some(DataType::Time64(TimeUnit::Microsecond)),
        _ => None,
    }
}

/// The branches of a CASE in one type: the text of all where one is a text, the wider number, the timestamp. `what`
/// they are is for messages.
pub(crate) fn in_one_type(branches: Vec<Typed>, what: &str) -> Result<(Vec<Expr>, DataType), String> {
    let decimal =
        branches.iter().find(|branch| is_decimal(&branch.data_type)).map(|branch| branch.data_type.clone());
    let branches: Vec<Typed> = match decimal {
        Some(decimal) => branches.into_iter().map(|branch| beside(branch, &decimal)).collect(),
        None => branches,
    };
    let mut shared = DataType::Null;
    for branch in &branches {
        shared = shared_type(&shared, &branch.data_type).ok_or_else(|| {
            let (one, other) = (name_of(&shared), name_of(&branch.data_type));
            format!("{one} and {other} cannot be {what}: bring one to the other's type with CAST")
        })?;
    }
    let made = branches.into_iter().map(|branch| branch.cast(&shared, Mode::Strict).expr).collect();
    Ok((made, shared))
}

fn shared_type(left: &DataType, right: &DataType) -> Option<DataType> {
    if left == right || right.is_null() {
        return Some(left.clone());
    }
    if left.is_null() {
        return Some(right.clone());
    }
    if !is_plain(left) || !is_plain(right) {
        return None;
    }
    if is_text(left) || is_text(right) {
        return Some(DataType::Utf8);
    }
    if is_moment(left) && is_moment(right) {
        return shared_moment(left, right);
    }
    // What a sum of both would be computed in.
    let types = Op::Add.types(left, right)?;
    let digits = |side: &DataType| match side {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((precision.saturating_sub(scale.unsigned_abs()), *scale))
        }
        _ => None,
    };
    let Some(((left_whole, left_scale), (right_whole, right_scale))) =
        digits(&types.left).zip(digits(&types.right))
    else {
        return Some(types.left);
    };
    let scale = left_scale.max(right_scale);
    let precision = left_whole.max(right_whole) + scale.unsigned_abs();
    match types.left {
        DataType::Decimal128(_, _) if precision <= 38 => Some(DataType::Decimal128(precision, scale)),
        _ if precision <= 76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}
