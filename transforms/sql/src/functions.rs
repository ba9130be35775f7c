//! Every function there is, by its names. docs/sql.md has one line for each; the test compares.

mod array;
mod encode;
mod number;
mod regexp;
mod string;
mod time;

use std::ops::RangeInclusive;

use arrow_schema::DataType;

use crate::function::{Def, Known};

/// The functions that are computed from their arguments' values.
const TABLES: [&[Def]; 6] = [
    string::FUNCTIONS,
    regexp::FUNCTIONS,
    number::FUNCTIONS,
    time::FUNCTIONS,
    array::FUNCTIONS,
    encode::FUNCTIONS,
];

/// Functions that the translation makes of other expressions, with how many arguments they take at least and at
/// most: they choose among their arguments, or give another value at every call.
const SPECIAL: &[(&str, usize, usize)] = &[
    ("COALESCE", 1, usize::MAX),
    ("IFNULL", 2, 2),
    ("NULLIF", 2, 2),
    ("MULTI_IF", 3, usize::MAX),
    ("PI", 0, 0),
    ("UUID", 0, 0),
    ("RAND", 0, 1),
    ("RANDOM", 0, 1),
    ("CURRENT_DATE", 0, 0),
    ("CURRENT_TIME", 0, 0),
    ("CURRENT_TIMESTAMP", 0, 0),
    ("NOW", 0, 0),
    ("MOD", 2, 2),
    ("ARRAY", 0, usize::MAX),
    ("MAP", 2, usize::MAX),
];

/// Functions that are known and not there, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("COUNT", "rows are seen one at a time; aggregate at the target"),
    ("SUM", "rows are seen one at a time; aggregate at the target"),
    ("AVG", "rows are seen one at a time; aggregate at the target"),
    ("MIN", "rows are seen one at a time; aggregate at the target"),
    ("MAX", "rows are seen one at a time; aggregate at the target"),
    ("ROW_NUMBER", "rows are seen one at a time; number them at the target"),
    ("RANK", "rows are seen one at a time; rank them at the target"),
    ("EXPLODE", "one row stays one row; part the values at the target"),
    ("AES_ENCRYPT", "a key in a query would stand in messages; use the transform FieldEncrypt"),
    (
        "AES_DECRYPT",
        "a key in a query would stand in messages; use the transform FieldEncrypt with mode = DECRYPT",
    ),
    ("DES_ENCRYPT", "DES is no protection any more; encrypt at the source or at the target"),
    ("DES_DECRYPT", "DES is no protection any more; decrypt at the source or at the target"),
];

/// The function of this name, in capitals.
pub(crate) fn find(name: &str) -> Option<&'static Def> {
    TABLES.iter().copied().flatten().find(|def| def.names.contains(&name))
}

/// How many arguments the function of this name takes; `None` when there is none.
pub(crate) fn shape(name: &str) -> Option<RangeInclusive<usize>> {
    if let Some((_, least, most)) = SPECIAL.iter().find(|(special, _, _)| *special == name) {
        return Some(*least..=*most);
    }
    let def = find(name)?;
    let most = if def.repeats { usize::MAX } else { def.args.len() };
    Some(def.args.len() - def.optional..=most)
}

/// Every name.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let special = SPECIAL.iter().map(|(name, _, _)| *name);
    let all = TABLES.iter().copied().flatten().flat_map(|def| def.names.iter().copied()).chain(special);
    // Operators and forms of a function that a query cannot name.
    all.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
}

/// What to do instead of a function that is known and not there.
pub(crate) fn refused(name: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(known, _)| *known == name).map(|(_, instead)| *instead)
}

/// The text of a literal argument, for functions whose results depend on it.
fn literal<'k>(args: &'k [Known], place: usize, what: &str) -> Result<&'k str, String> {
    args.get(place)
        .and_then(|arg| arg.literal.as_deref())
        .ok_or_else(|| format!("{what} has to be written out as a text"))
}

/// The type of the first argument.
fn same_as_first(args: &[Known]) -> Result<DataType, String> {
    match args.first().map(|arg| &arg.data_type) {
        Some(DataType::Null) | None => Ok(DataType::Int32),
        Some(data_type) => Ok(data_type.clone()),
    }
}
