//! Functions of numbers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array, ArrayRef, Decimal256Array, Float64Array, Int32Array};
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::same_as_first;
use crate::arithmetic::{half_up, wide};
use crate::cast::{Mode, cast, fits, name_of, read_decimal};
use crate::function::Returns::{From, Is};
use crate::function::Take::{Double, Int, Number};
use crate::function::{Args, Def, Fault, Known, Outcome};
use crate::text::{double, to_text};

/// A function of one double.
const fn real(names: &'static [&'static str], run: fn(&Args) -> Outcome) -> Def {
    Def { names, args: &[Double], optional: 0, repeats: false, returns: Is(DataType::Float64), run }
}

/// A function that gives a number of the type that it gets, to a number of digits.
const fn rounded(names: &'static [&'static str], run: fn(&Args) -> Outcome) -> Def {
    Def { names, args: &[Number, Int], optional: 1, repeats: false, returns: From(rounded_type), run }
}

pub(super) static FUNCTIONS: &[Def] = &[
    Def {
        names: &["ABS"],
        args: &[Number],
        optional: 0,
        repeats: false,
        returns: From(same_as_first),
        run: abs,
    },
    real(&["ACOS"], |a| each(a, f64::acos)),
    real(&["ASIN"], |a| each(a, f64::asin)),
    real(&["ATAN"], |a| each(a, f64::atan)),
    Def {
        names: &["ATAN2"],
        args: &[Double, Double],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Float64),
        run: |a| a.doubles(|r| Ok(a.double(0, r).zip(a.double(1, r)).map(|(y, x)| y.atan2(x)))),
    },
    real(&["COS"], |a| each(a, f64::cos)),
    real(&["COSH"], |a| each(a, f64::cosh)),
    real(&["COT"], |a| {
        a.doubles(|r| match a.double(0, r).map(f64::tan) {
            Some(0.0) => Err(Fault::new("a division by zero")),
            tangent => Ok(tangent.map(f64::recip)),
        })
    }),
    real(&["SIN"], |a| each(a, f64::sin)),
    real(&["SINH"], |a| each(a, f64::sinh)),
    real(&["TAN"], |a| each(a, f64::tan)),
    real(&["TANH"], |a| each(a, f64::tanh)),
    real(&["EXP"], |a| each(a, f64::exp)),
    real(&["SQRT"], |a| each(a, f64::sqrt)),
    real(&["RADIANS"], |a| each(a, f64::to_radians)),
    real(&["LN"], |a| a.doubles(|r| positive(a.double(0, r)).map(|x| x.map(f64::ln)))),
    real(&["LOG10"], |a| a.doubles(|r| positive(a.double(0, r)).map(|x| x.map(f64::log10)))),
    Def {
        names: &["LOG"],
        args: &[Double, Double],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Float64),
        run: |a| a.doubles(|r| Ok(positive(a.double(0, r))?.zip(positive(a.double(1, r))?).map(log))),
    },
    Def {
        names: &["POWER"],
        args: &[Double, Double],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Float64),
        run: |a| a.doubles(|r| Ok(a.double(0, r).zip(a.double(1, r)).map(|(x, y)| x.powf(y)))),
    },
    rounded(&["CEIL", "CEILING"], |a| round(a, Rounding::Up)),
    rounded(&["FLOOR"], |a| round(a, Rounding::Down)),
    rounded(&["ROUND"], |a| round(a, Rounding::Half)),
    rounded(&["TRUNC", "TRUNCATE"], |a| round(a, Rounding::Cut)),
    Def {
        names: &["SIGN"],
        args: &[Number],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Int32),
        run: sign,
    },
    Def {
        names: &["TRIM_SCALE"],
        args: &[Number],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Utf8),
        run: trim_scale,
    },
    Def {
        names: &["RAND(seed)"],
        args: &[Int],
        optional: 0,
        repeats: false,
        returns: Is(DataType::Float64),
        run: seeded,
    },
];

fn each(a: &Args, of: fn(f64) -> f64) -> Outcome {
    a.doubles(|r| Ok(a.double(0, r).map(of)))
}

fn positive(number: Option<f64>) -> Result<Option<f64>, Fault> {
    match number {
        Some(number) if number <= 0.0 => Err(Fault::new("a logarithm of a number that is not positive")),
        number => Ok(number),
    }
}

fn log((base, number): (f64, f64)) -> f64 {
    match base {
        10.0 => number.log10(),
        std::f64::consts::E => number.ln(),
        _ => number.ln() / base.ln(),
    }
}

fn abs(a: &Args) -> Outcome {
    let column = a.column(0)?;
    let data_type = column.data_type().clone();
    if data_type.is_unsigned_integer() {
        return Ok(column);
    }
    if data_type.is_floating() {
        let numbers = cast(&column, &DataType::Float64, Mode::Strict)?;
        let numbers: Float64Array = numbers.as_primitive::<Float64Type>().unary(f64::abs);
        return cast(&(Arc::new(numbers) as ArrayRef), &a.returns, Mode::Strict);
    }
    // Wide enough for the opposite of the smallest number; what does not fit in the end is an error.
    let wide_type = match data_type {
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => data_type,
        _ => DataType::Decimal128(20, 0),
    };
    let (numbers, scale) = wide(&cast(&column, &wide_type, Mode::Strict)?)?;
    let numbers: Decimal256Array = numbers.unary(i256::wrapping_abs);
    decimal(numbers, scale, &a.returns)
}

/// Decimals as numbers of the wanted type.
fn decimal(numbers: Decimal256Array, scale: i8, returns: &DataType) -> Outcome {
    let too_large = || Fault::new(format!("a result is too large for {}", name_of(returns)));
    let numbers = numbers.with_precision_and_scale(76, scale).map_err(|_| too_large())?;
    let made = cast(&(Arc::new(numbers) as ArrayRef), returns, Mode::Strict).map_err(|_| too_large())?;
    match fits(&made) {
        true => Ok(made),
        false => Err(too_large()),
    }
}

fn sign(a: &Args) -> Outcome {
    let column = a.column(0)?;
    let numbers = match column.data_type() {
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => {
            let (numbers, _) = wide(&column)?;
            let signs = numbers.iter().map(|number| {
                number.map(|number| {
                    i32::try_from(number.signum().to_i128().unwrap_or_default()).unwrap_or_default()
                })
            });
            return Ok(Arc::new(signs.collect::<Int32Array>()));
        }
        _ => cast(&column, &DataType::Float64, Mode::Strict)?,
    };
    let signs = numbers.as_primitive::<Float64Type>().iter().map(|number| {
        number.map(|number| match number {
            number if number > 0.0 => 1,
            number if number < 0.0 => -1,
            _ => 0,
        })
    });
    Ok(Arc::new(signs.collect::<Int32Array>()))
}

fn trim_scale(a: &Args) -> Outcome {
    let texts = to_text(&a.column(0)?)?;
    let texts = texts.as_string::<i32>();
    a.texts(|r| {
        Ok(texts.is_valid(r).then(|| match texts.value(r) {
            text if text.contains('.') && !text.contains('E') => {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            }
            text => text.to_owned(),
        }))
    })
}

/// Which of the two numbers next to it a number becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rounding {
    Up,
    Down,
    Half,
    Cut,
}

/// Integers and doubles keep their type. A decimal keeps as many digits behind the point as are asked for, which
/// the query has to say for the type to be known; without that it keeps its scale.
fn rounded_type(args: &[Known]) -> Result<DataType, String> {
    let data_type = same_as_first(args)?;
    let digits =
        args.get(1).map(|digits| digits.literal.as_deref().and_then(|digits| digits.parse::<i8>().ok()));
    let scale_of = |scale: i8| match digits {
        None => 0,
        Some(Some(digits)) => digits.clamp(0, scale),
        Some(None) => scale,
    };
    // One more digit in front: 9.9 becomes 10.
    Ok(match data_type {
        DataType::Decimal128(precision, scale) => {
            let whole = precision.saturating_sub(scale.unsigned_abs()) + 1;
            DataType::Decimal128((whole + scale_of(scale).unsigned_abs()).min(38), scale_of(scale))
        }
        DataType::Decimal256(precision, scale) => {
            let whole = precision.saturating_sub(scale.unsigned_abs()) + 1;
            DataType::Decimal256((whole + scale_of(scale).unsigned_abs()).min(76), scale_of(scale))
        }
        other => other,
    })
}

fn round(a: &Args, how: Rounding) -> Outcome {
    let column = a.column(0)?;
    // The number of digits of a row; NULL is none given.
    let digits = |r: usize| a.int(1, r).unwrap_or(0);
    if column.data_type().is_floating() {
        let numbers = cast(&column, &DataType::Float64, Mode::Strict)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let one = |r: usize| numbers.is_valid(r).then(|| round_double(numbers.value(r), digits(r), how));
        let made: Float64Array = (0..a.rows()).map(one).collect();
        return match column.data_type() {
            DataType::Float32 => cast(&(Arc::new(made) as ArrayRef), &DataType::Float32, Mode::Strict),
            _ => Ok(Arc::new(made)),
        };
    }
    let integer = column.data_type().is_integer();
    let column = if integer { cast(&column, &DataType::Decimal128(20, 0), Mode::Strict)? } else { column };
    let (numbers, scale) = wide(&column)?;
    let one = |r: usize| numbers.is_valid(r).then(|| round_decimal(numbers.value(r), scale, digits(r), how));
    let made: Decimal256Array = (0..a.rows()).map(one).collect();
    decimal(made, scale, &a.returns)
}

/// The number in the same units as before.
fn round_decimal(number: i256, scale: i8, digits: i64, how: Rounding) -> i256 {
    let dropped = i64::from(scale).saturating_sub(digits);
    if dropped <= 0 {
        return number;
    }
    let unit = u32::try_from(dropped).ok().and_then(|dropped| i256::from_i128(10).checked_pow(dropped));
    // More digits dropped than a number can have.
    let Some(unit) = unit else { return i256::ZERO };
    let rest = number.wrapping_rem(unit);
    let cut = number.wrapping_sub(rest);
    match how {
        Rounding::Half => half_up(number, unit).wrapping_mul(unit),
        Rounding::Up if rest > i256::ZERO => cut.wrapping_add(unit),
        Rounding::Down if rest < i256::ZERO => cut.wrapping_sub(unit),
        _ => cut,
    }
}

/// Through the shortest digits of the number, so that 1.005 is 1.005 and no binary fraction below it.
fn round_double(number: f64, digits: i64, how: Rounding) -> f64 {
    if !number.is_finite() {
        return number;
    }
    if digits == 0 && how != Rounding::Half {
        return match how {
            Rounding::Up => number.ceil(),
            Rounding::Down => number.floor(),
            _ => number.trunc(),
        };
    }
    // Seventeen digits are all a double has: what is left of a larger number is nothing behind the point.
    const SCALE: i8 = 30;
    let Some(value) = read_decimal(&double(number), SCALE) else { return number };
    let made = round_decimal(value, SCALE, digits, how);
    format!("{made}e-{SCALE}").parse().unwrap_or(number)
}

/// The first number of Java's generator with this seed: the same for the same seed, as SeaTunnel gives it.
fn seeded(a: &Args) -> Outcome {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    a.doubles(|r| {
        let Some(seed) = a.int(0, r) else { return Ok(None) };
        let mut state = (seed.cast_unsigned() ^ MULTIPLIER) & MASK;
        let mut next = |bits: u32| {
            state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
            state >> (48 - bits)
        };
        let number = (next(26) << 27) + next(27);
        Ok(Some(number as f64 / (1_u64 << 53) as f64))
    })
}
