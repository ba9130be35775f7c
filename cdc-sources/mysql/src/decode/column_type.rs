//! The type bytes of columns in a table map. Manual: `enum_field_types`
//! (`field_types_8h`); MariaDB adds two for compressed columns.

#![allow(missing_docs)]

pub const DECIMAL: u8 = 0;
pub const TINY: u8 = 1;
pub const SHORT: u8 = 2;
pub const LONG: u8 = 3;
pub const FLOAT: u8 = 4;
pub const DOUBLE: u8 = 5;
pub const NULL: u8 = 6;
pub const TIMESTAMP: u8 = 7;
pub const LONGLONG: u8 = 8;
pub const INT24: u8 = 9;
pub const DATE: u8 = 10;
pub const TIME: u8 = 11;
pub const DATETIME: u8 = 12;
pub const YEAR: u8 = 13;
pub const NEWDATE: u8 = 14;
pub const VARCHAR: u8 = 15;
pub const BIT: u8 = 16;
pub const TIMESTAMP2: u8 = 17;
pub const DATETIME2: u8 = 18;
pub const TIME2: u8 = 19;
pub const MARIADB_BLOB_COMPRESSED: u8 = 140;
pub const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
pub const VECTOR: u8 = 242;
pub const JSON: u8 = 245;
pub const NEWDECIMAL: u8 = 246;
pub const ENUM: u8 = 247;
pub const SET: u8 = 248;
pub const TINY_BLOB: u8 = 249;
pub const MEDIUM_BLOB: u8 = 250;
pub const LONG_BLOB: u8 = 251;
pub const BLOB: u8 = 252;
pub const VAR_STRING: u8 = 253;
pub const STRING: u8 = 254;
pub const GEOMETRY: u8 = 255;

/// Bytes a type has in a table map's column metadata; `None` for types that are not known: the
/// metadata of the columns after it cannot be found then.
pub fn metadata_length(column_type: u8) -> Option<usize> {
    match column_type {
        DECIMAL | TINY | SHORT | LONG | NULL | TIMESTAMP | LONGLONG | INT24 | DATE | TIME | DATETIME
        | YEAR | NEWDATE => Some(0),
        FLOAT
        | DOUBLE
        | TIMESTAMP2
        | DATETIME2
        | TIME2
        | MARIADB_BLOB_COMPRESSED
        | VECTOR
        | JSON
        | TINY_BLOB
        | MEDIUM_BLOB
        | LONG_BLOB
        | BLOB
        | GEOMETRY => Some(1),
        VARCHAR | BIT | MARIADB_VARCHAR_COMPRESSED | NEWDECIMAL | ENUM | SET | VAR_STRING | STRING => Some(2),
        _ => None,
    }
}

/// The type's name for people.
pub fn name(column_type: u8) -> &'static str {
    match column_type {
        DECIMAL => "DECIMAL (before MySQL 5.0)",
        TINY => "TINYINT",
        SHORT => "SMALLINT",
        LONG => "INT",
        FLOAT => "FLOAT",
        DOUBLE => "DOUBLE",
        NULL => "NULL",
        TIMESTAMP => "TIMESTAMP (before MySQL 5.6)",
        LONGLONG => "BIGINT",
        INT24 => "MEDIUMINT",
        DATE | NEWDATE => "DATE",
        TIME => "TIME (before MySQL 5.6)",
        DATETIME => "DATETIME (before MySQL 5.6)",
        YEAR => "YEAR",
        VARCHAR | VAR_STRING => "VARCHAR",
        BIT => "BIT",
        TIMESTAMP2 => "TIMESTAMP",
        DATETIME2 => "DATETIME",
        TIME2 => "TIME",
        MARIADB_BLOB_COMPRESSED => "BLOB COMPRESSED",
        MARIADB_VARCHAR_COMPRESSED => "VARCHAR COMPRESSED",
        VECTOR => "VECTOR",
        JSON => "JSON",
        NEWDECIMAL => "DECIMAL",
        ENUM => "ENUM",
        SET => "SET",
        TINY_BLOB | MEDIUM_BLOB | LONG_BLOB | BLOB => "BLOB",
        STRING => "CHAR",
        GEOMETRY => "GEOMETRY",
        _ => "an unknown type",
    }
}
