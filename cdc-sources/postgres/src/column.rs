//! Types of columns: how values are held, and how the server is asked for them.

use arrow_schema::{DataType, TimeUnit};
use culvert_api::{Column, SourceType};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Digits that a 128 and a 256 bit decimal hold.
const DECIMAL128_DIGITS: u8 = 38;
const DECIMAL256_DIGITS: u8 = 76;

/// How the values of a column are read and held. Part of the stored state: variants are only added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PgType {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// `numeric(precision, scale)` with up to 76 digits and a scale from 0 to the precision.
    Decimal {
        precision: u8,
        scale: u8,
    },
    /// Any other numeric: its digits as the server prints them.
    Numeric,
    /// Text whose binary form is the text itself: text, varchar, name, json, citext, enums.
    Text,
    /// `character(n)`: text with its blanks.
    Char,
    Jsonb,
    Uuid,
    Bytea,
    /// bit and varbit: digits 0 and 1.
    Bit,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    /// Everything else: what the type's output function prints.
    Printed,
}

/// What the catalog says about a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeInfo {
    pub(crate) oid: u32,
    pub(crate) name: String,
    /// `typtype`: b base, c composite, d domain, e enum, r range, m multirange, p pseudo.
    pub(crate) kind: char,
    /// What a domain is over.
    pub(crate) base: u32,
    pub(crate) base_typmod: i32,
}

/// Domains over domains are followed this deep; the server itself allows any depth.
const DOMAINS_MAX: usize = 64;

impl PgType {
    /// The type of a column by the oid and the modifier of its type. `find` knows the types that are
    /// not built in; one that it does not know is carried as printed.
    pub(crate) fn resolve<'a>(oid: u32, typmod: i32, find: &dyn Fn(u32) -> Option<&'a TypeInfo>) -> PgType {
        let (mut oid, mut typmod) = (oid, typmod);
        for _ in 0..DOMAINS_MAX {
            if let Some(built_in) = PgType::built_in(oid, typmod) {
                return built_in;
            }
            match find(oid) {
                Some(info) if info.kind == 'd' => (oid, typmod) = (info.base, info.base_typmod),
                Some(info) if info.kind == 'e' => return PgType::Text,
                Some(info) if info.kind == 'b' && info.name == "citext" => return PgType::Text,
                _ => return PgType::Printed,
            }
        }
        PgType::Printed
    }

    /// Types whose oids are fixed (`src/include/catalog/pg_type.dat` of the server).
    fn built_in(oid: u32, typmod: i32) -> Option<PgType> {
        Some(match oid {
            16 => PgType::Bool,
            17 => PgType::Bytea,
            19 | 25 | 114 | 1043 => PgType::Text,
            20 => PgType::Int8,
            21 => PgType::Int2,
            23 => PgType::Int4,
            26 => PgType::Oid,
            700 => PgType::Float4,
            701 => PgType::Float8,
            1042 => PgType::Char,
            1082 => PgType::Date,
            1083 => PgType::Time,
            1114 => PgType::Timestamp,
            1184 => PgType::TimestampTz,
            1560 | 1562 => PgType::Bit,
            1700 => PgType::numeric(typmod),
            2950 => PgType::Uuid,
            3802 => PgType::Jsonb,
            // "char", xml, money, interval, timetz and the like.
            18 | 142 | 790 | 1186 | 1266 => PgType::Printed,
            _ => return None,
        })
    }

    fn numeric(typmod: i32) -> PgType {
        if typmod < 4 {
            return PgType::Numeric;
        }
        let packed = typmod - 4;
        let precision = (packed >> 16) & 0xffff;
        // Eleven bits with a sign (`numeric_typmod_scale` in the server).
        let scale = ((packed & 0x7ff) ^ 1024) - 1024;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(precision), Ok(scale)) if precision <= DECIMAL256_DIGITS && scale <= precision => {
                PgType::Decimal { precision, scale }
            }
            _ => PgType::Numeric,
        }
    }

    /// How batches hold the values.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            PgType::Bool => DataType::Boolean,
            PgType::Int2 => DataType::Int16,
            PgType::Int4 => DataType::Int32,
            PgType::Int8 => DataType::Int64,
            PgType::Oid => DataType::UInt32,
            PgType::Float4 => DataType::Float32,
            PgType::Float8 => DataType::Float64,
            PgType::Decimal { precision, scale } if *precision <= DECIMAL128_DIGITS => {
                DataType::Decimal128(*precision, scale.cast_signed())
            }
            PgType::Decimal { precision, scale } => DataType::Decimal256(*precision, scale.cast_signed()),
            PgType::Bytea => DataType::Binary,
            PgType::Date => DataType::Date32,
            PgType::Time => DataType::Time64(TimeUnit::Microsecond),
            PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            PgType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            PgType::Numeric
            | PgType::Text
            | PgType::Char
            | PgType::Jsonb
            | PgType::Uuid
            | PgType::Bit
            | PgType::Printed => DataType::Utf8,
        }
    }

    /// Whether the binary form is read here; otherwise the server is asked for text.
    pub(crate) fn has_binary(&self) -> bool {
        *self != PgType::Printed
    }
}

/// One published column of a table. Part of the stored state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnDef {
    pub(crate) name: String,
    /// `attnum`, which stays when the column is renamed; 0 where it is not known.
    pub(crate) number: i16,
    pub(crate) type_oid: u32,
    pub(crate) typmod: i32,
    pub(crate) kind: PgType,
    /// As the server writes the type.
    pub(crate) declaration: String,
    pub(crate) nullable: bool,
    /// Text that sorts by its bytes (collation C and its like); true for types without a collation.
    pub(crate) bytewise: bool,
}

impl ColumnDef {
    /// The column as the rest of the service sees it. A decimal that may be NaN is nullable where NaN
    /// becomes NULL.
    pub(crate) fn to_column(&self, nan_is_null: bool) -> Column {
        let decimal = matches!(self.kind, PgType::Decimal { .. });
        Column {
            name: self.name.clone(),
            data_type: self.kind.data_type(),
            nullable: self.nullable || (decimal && nan_is_null),
            source_type: Some(SourceType::postgres(self.declaration.clone())),
        }
    }

    /// Whether name and type are the same.
    pub(crate) fn is_like(&self, name: &str, type_oid: u32, typmod: i32) -> bool {
        self.name == name && self.type_oid == type_oid && self.typmod == typmod
    }
}
