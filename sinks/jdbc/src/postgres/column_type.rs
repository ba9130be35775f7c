//! Column types of the target: what a column there takes without loss.
//!
//! The server refuses much by itself and in the open: an integer out of range, a text that is no
//! date. What it does without a word is what counts here: it rounds decimals, floats and fractions of a
//! second, cuts blanks off texts that are too long, cuts times off dates. Where the types alone tell
//! that this could happen, the plan is refused; where it depends on the value, the encoder refuses the
//! value.

use arrow_schema::DataType;

/// What kind of values a target column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// `boolean`.
    Boolean,
    /// `smallint`, `integer`, `bigint`, `oid`.
    Integer,
    /// `numeric`.
    Numeric,
    /// `real`.
    Real,
    /// `double precision`.
    Double,
    /// `text`, `character varying`.
    Text,
    /// `character`: blanks at the end mean nothing.
    Padded,
    /// `name`, `"char"`: cut at a length of their own.
    Name,
    /// `bytea`.
    Binary,
    /// `bit`, `bit varying`.
    Bit,
    /// `date`.
    Date,
    /// `timestamp without time zone`.
    Timestamp,
    /// `timestamp with time zone`.
    Instant,
    /// `time without time zone`.
    Time,
    /// `time with time zone`: written as text.
    ZonedTime,
    /// `interval`.
    Interval,
    /// Everything else is given as text, which the type's own input function reads or refuses.
    Parsed,
    /// Nothing is known: a parameter of a user's statement.
    Unknown,
}

/// How the target wants a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    /// What the target column holds.
    pub(crate) family: Family,
    /// The base type's name (`int4`); empty when unknown.
    pub(crate) base: String,
    /// Digits behind the point that a `numeric` keeps; `None`: all.
    pub(crate) scale: Option<i32>,
    /// Digits of a second that are kept (0 to 6).
    pub(crate) second_digits: u32,
    /// Characters that fit, of `character(n)` and `character varying(n)`; bits of `bit(n)`.
    pub(crate) length: Option<usize>,
    /// Whether an `interval` keeps only some of its fields.
    pub(crate) is_cut: bool,
}

impl Form {
    /// The form when nothing is known about the column: everything is kept.
    pub(crate) fn unknown() -> Form {
        Form {
            family: Family::Unknown,
            base: String::new(),
            scale: None,
            second_digits: 6,
            length: None,
            is_cut: false,
        }
    }

    /// The form of a built-in base type with this modifier (`pg_attribute.atttypmod`); every other
    /// type is [`Family::Parsed`].
    pub(crate) fn of_type(base: &str, modifier: i32) -> Form {
        let family = family(base);
        let mut form = Form { family, base: base.to_string(), ..Form::unknown() };
        if modifier < 0 {
            return form;
        }
        match family {
            Family::Numeric => {
                // 11 bits with a sign, behind 4 bytes of header.
                form.scale = Some((((modifier - 4) & 0x7ff) ^ 0x400) - 0x400);
            }
            Family::Text | Family::Padded => form.length = usize::try_from(modifier - 4).ok(),
            Family::Bit => form.length = usize::try_from(modifier).ok(),
            Family::Timestamp | Family::Instant | Family::Time | Family::ZonedTime => {
                form.second_digits = u32::try_from(modifier).unwrap_or(6).min(6);
            }
            Family::Interval => {
                const ALL_FIELDS: i32 = 0x7fff;
                const ALL_DIGITS: i32 = 0xffff;
                let digits = modifier & ALL_DIGITS;
                form.is_cut = (modifier >> 16) & ALL_FIELDS != ALL_FIELDS;
                if digits != ALL_DIGITS {
                    form.second_digits = u32::try_from(digits).unwrap_or(6).min(6);
                }
            }
            _ => {}
        }
        form
    }
}

fn family(base: &str) -> Family {
    match base {
        "bool" => Family::Boolean,
        "int2" | "int4" | "int8" | "oid" => Family::Integer,
        "numeric" => Family::Numeric,
        "float4" => Family::Real,
        "float8" => Family::Double,
        "text" | "varchar" => Family::Text,
        "bpchar" => Family::Padded,
        "name" | "char" => Family::Name,
        "bytea" => Family::Binary,
        "bit" | "varbit" => Family::Bit,
        "date" => Family::Date,
        "timestamp" => Family::Timestamp,
        "timestamptz" => Family::Instant,
        "time" => Family::Time,
        "timetz" => Family::ZonedTime,
        "interval" => Family::Interval,
        _ => Family::Parsed,
    }
}

/// What an Arrow type is to a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Null,
    Boolean,
    Small,
    Integer,
    Long,
    Float,
    Double,
    Decimal(i32),
    Text,
    Binary,
    Date,
    Stamp,
    Zoned,
    Time,
    Span,
    Other,
}

fn sort(arrow: &DataType) -> Sort {
    match arrow {
        DataType::Null => Sort::Null,
        DataType::Boolean => Sort::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => Sort::Small,
        DataType::Int32 | DataType::UInt32 => Sort::Integer,
        DataType::Int64 | DataType::UInt64 => Sort::Long,
        DataType::Float32 => Sort::Float,
        DataType::Float64 => Sort::Double,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Sort::Decimal(i32::from(*scale)),
        DataType::Utf8 | DataType::LargeUtf8 => Sort::Text,
        DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => Sort::Binary,
        DataType::Date32 => Sort::Date,
        DataType::Timestamp(_, None) => Sort::Stamp,
        DataType::Timestamp(_, Some(_)) => Sort::Zoned,
        DataType::Time32(_) | DataType::Time64(_) => Sort::Time,
        DataType::Duration(_) => Sort::Span,
        _ => Sort::Other,
    }
}

/// Whether this version can write values of the Arrow type at all.
pub(crate) fn is_writable(arrow: &DataType) -> bool {
    sort(arrow) != Sort::Other
}

/// Why values of this Arrow type cannot go into a column of this form without a silent loss, or make
/// no sense there; `None` when they can, or when the encoder or the server refuses the values that do
/// not fit.
pub(crate) fn loss(arrow: &DataType, form: &Form) -> Option<&'static str> {
    let sort = sort(arrow);
    match (form.family, sort) {
        (_, Sort::Null | Sort::Other) | (Family::Unknown, _) => None,
        // Whatever the type, its own text is what it reads.
        (Family::Parsed, Sort::Binary) => Some("bytes are no value of this type"),
        (Family::Parsed, Sort::Text) => None,
        (Family::Parsed, _) if form.base == "money" => {
            Some("the currency's format would decide about the digits")
        }
        (Family::Parsed, _) => None,
        (Family::Text | Family::Padded | Family::Name, Sort::Binary) => Some("bytes are no text"),
        (Family::Text | Family::Padded | Family::Name, _) => None,
        (Family::Boolean, Sort::Boolean | Sort::Small | Sort::Integer | Sort::Long | Sort::Text) => None,
        (Family::Boolean, _) => Some("only 0 and 1 are truth values"),
        (family, sort) if is_number(family) => number_loss(family, sort, form),
        (Family::Binary, Sort::Binary) => None,
        (Family::Binary, Sort::Text) => Some("the text would be read as escaped bytes"),
        (Family::Binary, _) => Some("only bytes go there"),
        (Family::Bit, Sort::Boolean | Sort::Small | Sort::Integer | Sort::Long | Sort::Text) => None,
        (Family::Bit, _) => Some("only whole numbers and texts of 0 and 1 go there"),
        (_, sort) => time_loss(form, sort),
    }
}

fn is_number(family: Family) -> bool {
    matches!(family, Family::Integer | Family::Numeric | Family::Real | Family::Double)
}

fn number_loss(family: Family, sort: Sort, form: &Form) -> Option<&'static str> {
    match (family, sort) {
        (_, Sort::Boolean | Sort::Small) => None,
        (Family::Integer, Sort::Integer | Sort::Long | Sort::Text) => None,
        (Family::Integer, Sort::Decimal(scale)) if scale <= 0 => None,
        (Family::Integer, Sort::Decimal(_) | Sort::Float | Sort::Double) => {
            Some("the fraction would be rounded away")
        }
        (Family::Numeric, Sort::Integer | Sort::Long | Sort::Text | Sort::Decimal(_)) => None,
        (Family::Numeric, Sort::Float | Sort::Double) if form.scale.is_none() => None,
        (Family::Numeric, Sort::Float | Sort::Double) => Some("a binary fraction would be rounded"),
        (Family::Real, Sort::Double) => Some("64 bits would be rounded to 32"),
        (Family::Real, Sort::Integer | Sort::Long) | (Family::Double, Sort::Long) => {
            Some("large integers would be rounded")
        }
        (Family::Real, Sort::Float) | (Family::Double, Sort::Float | Sort::Double | Sort::Integer) => None,
        (_, Sort::Decimal(_) | Sort::Text) => Some("decimal digits would be rounded"),
        _ => Some("this is no number"),
    }
}

fn time_loss(form: &Form, sort: Sort) -> Option<&'static str> {
    const CUT: &str = "a part of the point in time would be cut off";
    match (form.family, sort) {
        (Family::Date, Sort::Date) => None,
        (Family::Date | Family::Time, Sort::Stamp | Sort::Zoned) => Some(CUT),
        (Family::Timestamp | Family::Instant, Sort::Date | Sort::Stamp | Sort::Zoned) => None,
        (Family::Time, Sort::Time | Sort::Span) => None,
        (Family::Interval, _) if form.is_cut => Some("the interval keeps only some of its fields"),
        (Family::Interval, Sort::Time | Sort::Span) => None,
        // A text holds what it holds: more digits, a time beside a date, a zone.
        (Family::ZonedTime | Family::Interval, Sort::Text) if form.second_digits == 6 => None,
        (_, Sort::Text) => Some("a text may hold more than the column keeps"),
        _ => Some("this is no value of that type"),
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::TimeUnit;

    use super::*;

    #[test]
    fn modifiers_are_read() {
        let numeric = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(Form::of_type("numeric", numeric(10, 2)).scale, Some(2));
        assert_eq!(Form::of_type("numeric", numeric(3, -5)).scale, Some(-5));
        assert_eq!(Form::of_type("numeric", -1).scale, None);
        assert_eq!(Form::of_type("varchar", 24).length, Some(20));
        assert_eq!(Form::of_type("timestamptz", 3).second_digits, 3);
        assert_eq!(Form::of_type("timestamptz", -1).second_digits, 6);
        let day_to_second = (((1 << 3) | (1 << 10) | (1 << 11) | (1 << 12)) << 16) | 2;
        let cut = Form::of_type("interval", day_to_second);
        assert!(cut.is_cut);
        assert_eq!(cut.second_digits, 2);
        let fine = Form::of_type("interval", (0x7fff << 16) | 3);
        assert!(!fine.is_cut);
        assert_eq!(fine.second_digits, 3);
    }

    #[test]
    fn silent_losses_are_known() {
        let to = |arrow: DataType, base: &str, modifier: i32| loss(&arrow, &Form::of_type(base, modifier));
        assert!(to(DataType::Float64, "float4", -1).is_some());
        assert!(to(DataType::Float32, "float4", -1).is_none());
        assert!(to(DataType::Int64, "float8", -1).is_some());
        assert!(to(DataType::Int32, "float8", -1).is_none());
        assert!(to(DataType::Decimal128(10, 2), "int4", -1).is_some());
        assert!(to(DataType::Decimal128(20, 0), "int8", -1).is_none());
        assert!(to(DataType::Float64, "numeric", 655_366).is_some());
        assert!(to(DataType::Float64, "numeric", -1).is_none());
        assert!(to(DataType::Utf8, "float8", -1).is_some());
        assert!(to(DataType::Utf8, "timestamp", -1).is_some());
        assert!(to(DataType::Utf8, "bytea", -1).is_some());
        assert!(to(DataType::Utf8, "timetz", -1).is_none());
        assert!(to(DataType::Utf8, "timetz", 0).is_some());
        assert!(to(DataType::Utf8, "jsonb", -1).is_none());
        assert!(to(DataType::Binary, "text", -1).is_some());
        assert!(to(DataType::Binary, "uuid", -1).is_some());
        assert!(to(DataType::Timestamp(TimeUnit::Microsecond, None), "date", -1).is_some());
        assert!(to(DataType::Int32, "date", -1).is_some());
        assert!(to(DataType::Duration(TimeUnit::Microsecond), "interval", -1).is_none());
    }
}
