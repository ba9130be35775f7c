#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_number_stands_for_no_date_and_an_object_for_nothing() {
    assert!(read(&Json::Number("20777"), &DataType::Date32).is_err());
    assert!(read(&Json::Nested, &DataType::Utf8).is_err());
    assert_eq!(read(&Json::Number("1.10"), &DataType::Utf8), Ok(Cell::Text("1.10".into())));
    assert_eq!(read(&Json::Null, &DataType::Int8), Ok(Cell::Null));
    assert_eq!(read(&Json::Text("AP8=".into()), &DataType::Binary), Ok(Cell::Bytes(vec![0, 255])));
    assert!(read(&Json::Text("AP8".into()), &DataType::Binary).is_err());
}
