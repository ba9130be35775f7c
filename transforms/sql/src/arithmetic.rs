//! `+ - * / %` and the sign, checked: a result that its type cannot hold is an error, never a wrapped number,
//! and so is a division by zero.
//!
//! The types are SeaTunnel's: two integers give an INT, or a BIGINT where one is, and divide without a
//! fraction; a double makes it a double; a decimal is computed in decimals.

use std::sync::Arc;

use arrow_arith::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal256Type, Float64Type};
use arrow_array::{Array, ArrayRef, Datum, Decimal256Array, Float64Array, new_empty_array};
use arrow_buffer::i256;
use arrow_schema::{ArrowError, DataType};

use crate::cast::{Mode, cast, fits, name_of};
use crate::function::{Args, Fault, Operation, Outcome};

/// Digits behind the point that a quotient of decimals has more than its dividend.
const QUOTIENT_DIGITS: i8 = 4;

/// An operation on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Negate,
}

impl Op {
    /// As it is written.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Op::Add => "+",
            Op::Subtract | Op::Negate => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
            Op::Remainder => "%",
        }
    }

    fn compute(self, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
        match self {
            Op::Add => numeric::add(left, right),
            Op::Subtract | Op::Negate => numeric::sub(left, right),
            Op::Multiply => numeric::mul(left, right),
            Op::Divide => numeric::div(left, right),
            Op::Remainder => numeric::rem(left, right),
        }
    }

    /// The type both sides are brought to first, and the type of the results; `None` where a side is no number.
    pub(crate) fn types(self, left: &DataType, right: &DataType) -> Option<Types> {
        let (left, right) = match (left, right) {
            (DataType::Null, DataType::Null) => (DataType::Int32, DataType::Int32),
            (DataType::Null, known) | (known, DataType::Null) => (widened(known)?, widened(known)?),
            (left, right) => (widened(left)?, widened(right)?),
        };
        let (left, right) = match (&left, &right) {
            (DataType::Float64, _) | (_, DataType::Float64) => (DataType::Float64, DataType::Float64),
            (l, r) if l.is_integer() && r.is_integer() => {
                let wide = if left == right { left } else { DataType::Int64 };
                (wide.clone(), wide)
            }
            (l, r) => decimals(l, r)?,
        };
        let returns = match (self, &left, &right) {
            (Op::Divide, DataType::Decimal128(p, s), DataType::Decimal128(_, other)) => {
                let (precision, scale) = quotient(*p, *s, *other, 38);
                DataType::Decimal128(precision, scale)
            }
            (Op::Divide, DataType::Decimal256(p, s), DataType::Decimal256(_, other)) => {
                let (precision, scale) = quotient(*p, *s, *other, 76);
                DataType::Decimal256(precision, scale)
            }
            // Asked of the computation itself.
            _ => self.compute(&new_empty_array(&left), &new_empty_array(&right)).ok()?.data_type().clone(),
        };
        Some(Types { left, right, returns })
    }
}

/// What an operation computes with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Types {
    pub(crate) left: DataType,
    pub(crate) right: DataType,
    pub(crate) returns: DataType,
}

fn quotient(precision: u8, scale: i8, divisor_scale: i8, most: i8) -> (u8, i8) {
    let scale_made = (scale + QUOTIENT_DIGITS).min(most).max(scale);
    let whole = i16::from(precision) - i16::from(scale) + i16::from(divisor_scale);
    let precision = (whole + i16::from(scale_made)).clamp(1, i16::from(most));
    (u8::try_from(precision).unwrap_or(u8::MAX), scale_made)
}

/// The type that a number is computed in.
fn widened(data_type: &DataType) -> Option<DataType> {
    Some(match data_type {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => {
            DataType::Int32
        }
        DataType::Int64 | DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float32 | DataType::Float64 => DataType::Float64,
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => data_type.clone(),
        _ => return None,
    })
}

/// Two numbers of which one at least is a decimal, as decimals of one width.
fn decimals(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    let wide = [left, right].iter().any(|side| matches!(side, DataType::Decimal256(_, _)));
    let decimal = |side: &DataType| {
        let (precision, scale) = match side {
            DataType::Int32 => (10, 0),
            DataType::Int64 => (19, 0),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                (*precision, *scale)
            }
            _ => return None,
        };
        Some(if wide {
            DataType::Decimal256(precision, scale)
        } else {
            DataType::Decimal128(precision, scale)
        })
    };
    Some((decimal(left)?, decimal(right)?))
}

/// One operation on two numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Arithmetic {
    pub(crate) op: Op,
    pub(crate) types: Types,
}

impl Operation for Arithmetic {
    fn name(&self) -> &str {
        self.op.sign()
    }

    fn run(&self, args: &Args) -> Outcome {
        let left = cast(&args.column(0)?, &self.types.left, Mode::Strict)?;
        if self.op == Op::Negate {
            let made = numeric::neg(&left).map_err(|error| fault(&error, &self.types.returns))?;
            return Ok(made);
        }
        let right = cast(&args.column(1)?, &self.types.right, Mode::Strict)?;
        let returns = &self.types.returns;
        if self.op == Op::Divide && matches!(returns, DataType::Decimal128(_, _) | DataType::Decimal256(_, _))
        {
            return divided(&left, &right, returns);
        }
        if matches!(self.op, Op::Divide | Op::Remainder) && *returns == DataType::Float64 {
            refuse_zero(right.as_primitive::<Float64Type>(), &left)?;
        }
        let made = self.op.compute(&left, &right).map_err(|error| fault(&error, returns))?;
        match fits(&made) {
            true => Ok(made),
            false => Err(too_large(returns)),
        }
    }
}

/// The other kinds of numbers have no infinity, and most targets have no form for one.
fn refuse_zero(divisors: &Float64Array, dividends: &ArrayRef) -> Result<(), Fault> {
    let zero = |row: usize| divisors.is_valid(row) && dividends.is_valid(row) && divisors.value(row) == 0.0;
    match (0..divisors.len()).any(zero) {
        true => Err(Fault::new("a division by zero")),
        false => Ok(()),
    }
}

fn too_large(data_type: &DataType) -> Fault {
    Fault::new(format!("a result is too large for {}", name_of(data_type)))
}

fn fault(error: &ArrowError, data_type: &DataType) -> Fault {
    match error {
        ArrowError::DivideByZero => Fault::new("a division by zero"),
        _ => too_large(data_type),
    }
}

/// The quotients of two columns of decimals, rounded half up.
fn divided(left: &ArrayRef, right: &ArrayRef, returns: &DataType) -> Outcome {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = returns else {
        return Err(Fault::new("not a decimal type"));
    };
    let (left_values, left_scale) = wide(left)?;
    let (right_values, right_scale) = wide(right)?;
    let shift = i16::from(*scale) + i16::from(right_scale) - i16::from(left_scale);
    let factor = i256::from_i128(10).checked_pow(u32::try_from(shift).unwrap_or_default());
    let factor = factor.ok_or_else(|| too_large(returns))?;
    let one = |row: usize| -> Result<Option<i256>, Fault> {
        if left_values.is_null(row) || right_values.is_null(row) {
            return Ok(None);
        }
        let divisor = right_values.value(row);
        if divisor == i256::ZERO {
            return Err(Fault::new("a division by zero"));
        }
        let dividend = left_values.value(row).checked_mul(factor).ok_or_else(|| too_large(returns))?;
        Ok(Some(half_up(dividend, divisor)))
    };
    let made: Decimal256Array = (0..left.len()).map(one).collect::<Result<_, Fault>>()?;
    let wide_type = DataType::Decimal256(*precision, *scale);
    let made: ArrayRef =
        Arc::new(made.with_precision_and_scale(*precision, *scale).map_err(|_| too_large(returns))?);
    if !fits(&made) {
        return Err(too_large(returns));
    }
    match *returns == wide_type {
        true => Ok(made),
        false => cast(&made, returns, Mode::Strict),
    }
}

/// A quotient, rounded half away from zero.
pub(crate) fn half_up(dividend: i256, divisor: i256) -> i256 {
    let quotient = dividend.wrapping_div(divisor);
    let rest = dividend.wrapping_rem(divisor).wrapping_abs();
    // Compared by the distance to the next one, which cannot overflow as the double of the rest could.
    let up = rest != i256::ZERO && rest >= divisor.wrapping_abs().wrapping_sub(rest);
    match (up, (dividend < i256::ZERO) == (divisor < i256::ZERO)) {
        (false, _) => quotient,
        (true, true) => quotient.wrapping_add(i256::ONE),
        (true, false) => quotient.wrapping_sub(i256::ONE),
    }
}

/// A column of decimals with 256 bits, and its scale.
pub(crate) fn wide(column: &ArrayRef) -> Result<(Decimal256Array, i8), Fault> {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) =
        column.data_type()
    else {
        return Err(Fault::new("not a decimal"));
    };
    let column = cast(column, &DataType::Decimal256(*precision, *scale), Mode::Strict)?;
    Ok((column.as_primitive::<Decimal256Type>().clone(), *scale))
}
