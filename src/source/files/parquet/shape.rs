//! What a Parquet column holds, and what its copy declares.

use parquet::basic::{ConvertedType as Converted, LogicalType, TimeUnit, Type as Physical};
use parquet::schema::types::{ColumnDescriptor, Type};

use crate::source::SourceError;

/// Most digits of a decimal that is read, as many as every warehouse knows.
const DIGITS: i32 = 38;

/// How a column's times are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Whether an integer counts nanoseconds.
    pub is_nanos: bool,
    /// Whether times are of the source's zone rather than UTC.
    pub is_local: bool,
}

impl Shape {
    pub(super) fn of(field: &Type) -> Self {
        match field.get_basic_info().logical_type_ref() {
            Some(LogicalType::Timestamp(timestamp)) => Self {
                is_nanos: matches!(timestamp.unit, TimeUnit::NANOS),
                is_local: !timestamp.is_adjusted_to_u_t_c,
            },
            _ => Self { is_nanos: false, is_local: false },
        }
    }
}

/// The type of the copy's column: tells the kind of value, and has SQLite store it as it is given. Numbers that are not
/// exact as floats are kept as text.
pub(super) fn declared(field: &Type) -> &'static str {
    let Type::PrimitiveType { physical_type, .. } = field else { return "JSON TEXT" };
    let info = field.get_basic_info();
    if let Some(LogicalType::Timestamp(_)) = info.logical_type_ref() {
        return "TIMESTAMP TEXT";
    }
    match info.converted_type() {
        Converted::DECIMAL | Converted::UINT_64 => return "DECIMAL TEXT",
        Converted::DATE => return "DATE TEXT",
        Converted::JSON => return "JSON TEXT",
        Converted::TIMESTAMP_MILLIS | Converted::TIMESTAMP_MICROS => return "TIMESTAMP TEXT",
        Converted::TIME_MILLIS | Converted::TIME_MICROS => return "TEXT",
        _ => {}
    }
    match physical_type {
        Physical::BOOLEAN => "BOOLEAN",
        Physical::INT32 | Physical::INT64 => "INTEGER",
        Physical::INT96 => "TIMESTAMP TEXT",
        Physical::FLOAT | Physical::DOUBLE => "REAL",
        Physical::BYTE_ARRAY => "TEXT",
        Physical::FIXED_LEN_BYTE_ARRAY => match info.logical_type_ref() {
            Some(LogicalType::Float16) => "REAL",
            _ => "BLOB",
        },
    }
}

/// Refuses what the reader has no values for.
pub(super) fn require_readable(leaf: &ColumnDescriptor, file: &str) -> Result<(), SourceError> {
    let converted = leaf.converted_type();
    let is_known = match leaf.physical_type() {
        Physical::INT32 => matches!(
            converted,
            Converted::NONE
                | Converted::INT_8
                | Converted::INT_16
                | Converted::INT_32
                | Converted::UINT_8
                | Converted::UINT_16
                | Converted::UINT_32
                | Converted::DATE
                | Converted::TIME_MILLIS
                | Converted::DECIMAL
        ),
        Physical::INT64 => matches!(
            converted,
            Converted::NONE
                | Converted::INT_64
                | Converted::UINT_64
                | Converted::TIME_MICROS
                | Converted::TIMESTAMP_MILLIS
                | Converted::TIMESTAMP_MICROS
                | Converted::DECIMAL
        ),
        Physical::BYTE_ARRAY => matches!(
            converted,
            Converted::NONE
                | Converted::UTF8
                | Converted::ENUM
                | Converted::JSON
                | Converted::BSON
                | Converted::DECIMAL
        ),
        Physical::FIXED_LEN_BYTE_ARRAY => matches!(converted, Converted::NONE | Converted::DECIMAL),
        Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT | Physical::DOUBLE => true,
    };
    let is_short = converted != Converted::DECIMAL || leaf.type_precision() <= DIGITS;
    match is_known && is_short {
        true => Ok(()),
        false => Err(SourceError::SchemaMismatch {
            table: file.to_owned(),
            column: Some(leaf.path().parts()[0].clone()),
            why: format!("is of the Parquet type {converted}, which is not read; leave it out of the export"),
            nearest: None,
        }),
    }
}
