#![allow(clippy::unwrap_used)]
use super::*;

fn resolve(oid: u32, typmod: i32) -> PgType {
    PgType::resolve(oid, typmod, &|_| None)
}

fn numeric(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

#[test]
fn numerics_are_decimals_where_a_decimal_holds_every_value() {
    assert_eq!(resolve(1700, numeric(10, 2)), PgType::Decimal { precision: 10, scale: 2 });
    assert_eq!(resolve(1700, numeric(38, 38)).data_type(), DataType::Decimal128(38, 38));
    assert_eq!(resolve(1700, numeric(39, 0)).data_type(), DataType::Decimal256(39, 0));
    assert_eq!(resolve(1700, numeric(76, 76)).data_type(), DataType::Decimal256(76, 76));
    for typmod in [-1, numeric(77, 0), numeric(1000, 10), numeric(5, -2), numeric(3, 5)] {
        assert_eq!(resolve(1700, typmod), PgType::Numeric, "{typmod}");
    }
}

#[test]
fn domains_are_what_they_are_over() {
    let types = [
        TypeInfo { oid: 900_001, name: "d".into(), kind: 'd', base: 900_002, base_typmod: -1 },
        TypeInfo { oid: 900_002, name: "e".into(), kind: 'd', base: 1700, base_typmod: numeric(6, 1) },
        TypeInfo { oid: 900_003, name: "mood".into(), kind: 'e', base: 0, base_typmod: -1 },
        TypeInfo { oid: 900_004, name: "own".into(), kind: 'd', base: 900_004, base_typmod: -1 },
    ];
    let find = |oid| types.iter().find(|info| info.oid == oid);
    assert_eq!(PgType::resolve(900_001, -1, &find), PgType::Decimal { precision: 6, scale: 1 });
    assert_eq!(PgType::resolve(900_003, -1, &find), PgType::Text);
    // Damage does not hang.
    assert_eq!(PgType::resolve(900_004, -1, &find), PgType::Printed);
    assert_eq!(PgType::resolve(1007, -1, &find), PgType::Printed);
}
