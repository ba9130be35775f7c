//! Functions that look into arrays.

use std::cmp::Ordering;

use arrow_array::cast::AsArray;
use arrow_array::{Array, new_null_array};
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};

use crate::cast::{is_moment, is_text, name_of};
use crate::function::Returns::From;
use crate::function::Take::Array as AnArray;
use crate::function::{Args, Def, Fault, Known, Outcome};
use crate::nested::{range, taken};

pub(super) static FUNCTIONS: &[Def] = &[
    Def {
        names: &["ARRAY_MAX"],
        args: &[AnArray],
        optional: 0,
        repeats: false,
        returns: From(item),
        run: |args| extreme(args, Ordering::Greater),
    },
    Def {
        names: &["ARRAY_MIN"],
        args: &[AnArray],
        optional: 0,
        repeats: false,
        returns: From(item),
        run: |args| extreme(args, Ordering::Less),
    },
];

/// The type of the items, which have to have an order.
fn item(args: &[Known]) -> Result<DataType, String> {
    match args.first().map(|arg| &arg.data_type) {
        Some(DataType::List(item)) => match item.data_type() {
            found if found.is_numeric() || is_text(found) || is_moment(found) => Ok(found.clone()),
            other => Err(format!("the array holds {}, and numbers or texts are wanted", name_of(other))),
        },
        _ => Ok(DataType::Utf8),
    }
}

/// The item that is the `wanted` one beside every other; items that are NULL do not count.
fn extreme(args: &Args, wanted: Ordering) -> Outcome {
    let column = args.column(0)?;
    let Some(lists) = column.as_list_opt::<i32>() else {
        return Ok(new_null_array(&args.returns, column.len()));
    };
    let items = lists.values();
    let compare = make_comparator(items, items, SortOptions::default())
        .map_err(|_| Fault::new("the items of an array have no order"))?;
    let best = |row| {
        let known = range(lists.offsets(), row).filter(|item| items.is_valid(*item));
        known.reduce(|best, item| if compare(item, best) == wanted { item } else { best })
    };
    taken(items, (0..lists.len()).map(|row| lists.is_valid(row).then(|| best(row))?))
}
