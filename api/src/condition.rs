//! A condition on rows that a database decides exactly as the job's own transforms do.
//!
//! Whole numbers only: two programs agree about their order in every type, time zone and collation. A row
//! passes where the condition is true; it is not true where a value that decides is NULL, as in SQL.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use arrow_schema::DataType;

use crate::schema::{Column, Dialect, TableSchema};

/// Below this a whole number is exact in every type that a comparison may be made in.
const EXACT_BELOW: i64 = 1 << 53;

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As SQL writes it.
    pub fn sql(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "<>",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }

    /// The same with the sides exchanged.
    pub fn flipped(self) -> Comparison {
        match self {
            Comparison::Equal | Comparison::NotEqual => self,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        }
    }
}

/// What a row has to fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A column compared with a number.
    Compare {
        /// The column's name as the table spells it.
        column: String,
        /// How.
        comparison: Comparison,
        /// The number on the right, exact in every type.
        number: i64,
    },
    /// Whether a column is NULL.
    Null {
        /// The column's name as the table spells it.
        column: String,
        /// Whether it is to be.
        is_null: bool,
    },
    /// All of them; at least one.
    All(Vec<Condition>),
    /// Any of them; at least one.
    Any(Vec<Condition>),
}

impl Condition {
    /// A comparison, where two programs cannot disagree about it.
    pub fn compare(column: &Column, comparison: Comparison, number: i64) -> Option<Condition> {
        let is_exact = (-EXACT_BELOW + 1..EXACT_BELOW).contains(&number);
        let column = (is_exact && is_whole_number(column)).then(|| column.name.clone())?;
        Some(Condition::Compare { column, comparison, number })
    }

    /// Whether a column is NULL, where two programs cannot disagree about it.
    pub fn null(column: &Column, is_null: bool) -> Option<Condition> {
        let column = is_whole_number(column).then(|| column.name.clone())?;
        Some(Condition::Null { column, is_null })
    }

    /// Any of them; one alone stands for itself.
    pub fn any(mut of: Vec<Condition>) -> Option<Condition> {
        of.dedup();
        if of.len() > 1 { Some(Condition::Any(of)) } else { of.pop() }
    }

    /// All of them; one alone stands for itself.
    pub fn all(mut of: Vec<Condition>) -> Option<Condition> {
        of.dedup();
        if of.len() > 1 { Some(Condition::All(of)) } else { of.pop() }
    }

    /// The columns it looks at.
    pub fn columns(&self) -> BTreeSet<&str> {
        match self {
            Condition::Compare { column, .. } | Condition::Null { column, .. } => {
                BTreeSet::from([column.as_str()])
            }
            Condition::All(of) | Condition::Any(of) => of.iter().flat_map(Condition::columns).collect(),
        }
    }

    /// Whether a table has all of its columns as whole numbers, by their exact names.
    pub fn fits(&self, table: &TableSchema) -> bool {
        let has =
            |name: &str| table.columns.iter().any(|column| column.name == name && is_whole_number(column));
        self.columns().into_iter().all(has)
    }

    /// As a database is asked: `compare` writes a comparison, `quoted` a name.
    pub fn sql(
        &self,
        quoted: &dyn Fn(&str) -> String,
        compare: &dyn Fn(&str, Comparison, i64) -> String,
    ) -> String {
        match self {
            Condition::Compare { column, comparison, number } => {
                compare(&quoted(column), *comparison, *number)
            }
            Condition::Null { column, is_null: true } => format!("{} IS NULL", quoted(column)),
            Condition::Null { column, is_null: false } => format!("{} IS NOT NULL", quoted(column)),
            Condition::All(of) => joined(of, " AND ", quoted, compare),
            Condition::Any(of) => joined(of, " OR ", quoted, compare),
        }
    }
}

fn joined(
    of: &[Condition],
    word: &str,
    quoted: &dyn Fn(&str) -> String,
    compare: &dyn Fn(&str, Comparison, i64) -> String,
) -> String {
    let mut text = String::from("(");
    for (at, one) in of.iter().enumerate() {
        let word = if at == 0 { "" } else { word };
        // Writing to a String cannot fail.
        let _ = write!(text, "{word}{}", one.sql(quoted, compare));
    }
    text.push(')');
    text
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let compare = |column: &str, comparison: Comparison, number: i64| {
            format!("{column} {} {number}", comparison.sql())
        };
        f.write_str(&self.sql(&quoted, &compare))
    }
}

/// Whether a column of a database holds whole numbers and is declared as such: a YEAR is compared otherwise by
/// its server, and a domain may have operators of its own.
fn is_whole_number(column: &Column) -> bool {
    let is_number = matches!(
        column.data_type,
        DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
    );
    let Some(declared) = &column.source_type else { return false };
    let declaration = declared.declaration.to_ascii_lowercase();
    let first =
        declaration.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    is_number
        && match declared.dialect {
            Dialect::MySql => ["tinyint", "smallint", "mediumint", "int", "bigint"].contains(&first),
            Dialect::Postgres => ["smallint", "integer", "bigint"].contains(&declaration.as_str()),
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::schema::SourceType;
    use crate::{RowKindSet, TableId};

    fn column(name: &str, data_type: DataType, source_type: Option<SourceType>) -> Column {
        Column { name: name.to_owned(), data_type, nullable: true, source_type }
    }

    #[test]
    fn only_whole_numbers_of_a_database_are_compared_there() {
        use DataType::{Int8, Int32, Int64, UInt16, UInt32, UInt64, Utf8};
        let may = |data_type, source| {
            Condition::compare(&column("a", data_type, source), Comparison::Less, 1).is_some()
        };
        assert!(may(Int8, Some(SourceType::mysql("tinyint(1)"))));
        assert!(may(UInt32, Some(SourceType::mysql("int(10) unsigned zerofill"))));
        assert!(may(Int64, Some(SourceType::postgres("bigint"))));
        assert!(!may(UInt64, Some(SourceType::mysql("bigint(20) unsigned"))));
        assert!(!may(UInt16, Some(SourceType::mysql("year(4)"))));
        assert!(!may(Int32, Some(SourceType::postgres("\"integer\""))));
        assert!(!may(Int32, Some(SourceType::postgres("integer[]"))));
        assert!(!may(Utf8, Some(SourceType::mysql("int"))));
        assert!(!may(Int32, None));
    }

    #[test]
    fn only_numbers_that_every_type_holds_exactly_are_compared_there() {
        let bigint = column("a", DataType::Int64, Some(SourceType::postgres("bigint")));
        let may = |number| Condition::compare(&bigint, Comparison::Equal, number).is_some();
        assert!(may(EXACT_BELOW - 1) && may(1 - EXACT_BELOW));
        assert!(!may(EXACT_BELOW) && !may(-EXACT_BELOW) && !may(i64::MIN) && !may(i64::MAX));
    }

    #[test]
    fn it_is_written_with_parentheses_and_quotes() {
        let int = |name: &str| column(name, DataType::Int32, Some(SourceType::mysql("int")));
        let less = Condition::compare(&int("a\"b"), Comparison::Less, -5).unwrap();
        let null = Condition::null(&int("c"), true).unwrap();
        let both =
            Condition::any(vec![less.clone(), Condition::all(vec![null.clone(), less.clone()]).unwrap()]);
        let both = both.unwrap();
        assert_eq!(both.to_string(), "(\"a\"\"b\" < -5 OR (\"c\" IS NULL AND \"a\"\"b\" < -5))");
        assert_eq!(both.columns().into_iter().collect::<Vec<_>>(), ["a\"b", "c"]);
        assert_eq!(Condition::any(vec![null.clone(), null.clone()]), Some(null));
    }

    #[test]
    fn it_fits_a_table_that_has_its_columns_as_numbers() {
        let int = column("a", DataType::Int32, Some(SourceType::mysql("int")));
        let condition = Condition::compare(&int, Comparison::Greater, 5).unwrap();
        let table = |columns| TableSchema::new(TableId::new("d", "t"), 1, columns, vec![], RowKindSet::ALL);
        assert!(condition.fits(&table(vec![int.clone()])));
        assert!(!condition.fits(&table(vec![column("A", DataType::Int32, int.source_type.clone())])));
        assert!(!condition.fits(&table(vec![column("a", DataType::Utf8, int.source_type)])));
    }
}
