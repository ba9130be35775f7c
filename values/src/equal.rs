//! Whether two values are the same.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;

/// Whether two values of columns of one type are the same. The pairs of a map may stand in any order. A NULL
/// is the same as a NULL.
pub fn equal(one: &dyn Array, at: usize, other: &dyn Array, place: usize) -> bool {
    let is_null = |array: &dyn Array, at: usize| *array.data_type() == DataType::Null || array.is_null(at);
    if one.data_type() != other.data_type() || at >= one.len() || place >= other.len() {
        return false;
    }
    match (is_null(one, at), is_null(other, place)) {
        (false, false) => {}
        (left, right) => return left == right,
    }
    match one.data_type() {
        DataType::List(_) => {
            let (left, right) = (one.as_list::<i32>().value(at), other.as_list::<i32>().value(place));
            left.len() == right.len() && (0..left.len()).all(|item| equal(&left, item, &right, item))
        }
        DataType::Struct(_) => {
            let (left, right) = (one.as_struct(), other.as_struct());
            left.columns().iter().zip(right.columns()).all(|(left, right)| equal(left, at, right, place))
        }
        DataType::Map(_, _) => {
            let (left, right) = (one.as_map().value(at), other.as_map().value(place));
            let same = |(mine, theirs): (usize, usize)| {
                left.columns().iter().zip(right.columns()).all(|(one, other)| equal(one, mine, other, theirs))
            };
            left.len() == right.len()
                && (0..left.len()).all(|mine| (0..right.len()).any(|theirs| same((mine, theirs))))
        }
        _ => *one.slice(at, 1) == *other.slice(place, 1),
    }
}
