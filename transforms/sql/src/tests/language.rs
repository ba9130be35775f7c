//! What a query can say: names, operators, literals, casts.

use culvert_api::{RowKind, Transform};

use super::{applied, batch, one_of_each, schema, sql, value};

/// An expression, and its type and value.
const TABLE: &[(&str, &str)] = &[
    // Numbers.
    ("1 + 1", "INT 2"),
    ("I + 1", "INT -4"),
    ("TINY + 1", "INT 118"),
    ("LONG_COL + 1", "BIGINT 5000000001"),
    ("3000000000", "BIGINT 3000000000"),
    ("99999999999999999999", "DECIMAL(20,0) 99999999999999999999"),
    ("BIG + 1", "DECIMAL(21,0) 18446744073709551616"),
    ("7 / 2", "INT 3"),
    ("-7 / 2", "INT -3"),
    ("7 / 2.0", "DOUBLE 3.5"),
    ("7 % 4", "INT 3"),
    ("AMOUNT + 1", "DECIMAL(11,2) 124.45"),
    ("AMOUNT * 1.5", "DECIMAL(13,3) 185.175"),
    ("AMOUNT / 7", "DECIMAL(14,6) 17.635714"),
    ("AMOUNT * D", "DOUBLE 61.725"),
    ("1.5", "DOUBLE 1.5"),
    ("1e3", "DOUBLE 1000.0"),
    ("-I", "INT 5"),
    ("-(1 + 2) * 3", "INT -9"),
    ("I + NULL", "INT NULL"),
    ("1 / 0", "error: a division by zero in `1 / 0`"),
    ("D / 0", "error: a division by zero in `D / 0`"),
    ("AMOUNT / 0", "error: a division by zero in `AMOUNT / 0`"),
    ("1 / NO_NUMBER", "INT NULL"),
    ("2147483647 + 1", "error: a result is too large for INT in `2147483647 + 1`"),
    ("LONG_COL * LONG_COL", "error: a result is too large for BIGINT in `LONG_COL * LONG_COL`"),
    // Comparisons.
    ("BIG > 9223372036854775807", "BOOLEAN true"),
    ("BIG = '18446744073709551615'", "BOOLEAN true"),
    ("TINY = 117", "BOOLEAN true"),
    ("TINY < 1000", "BOOLEAN true"),
    ("TINY < 117.5", "BOOLEAN true"),
    ("AMOUNT = 123.45", "BOOLEAN true"),
    ("AMOUNT > 123.449", "BOOLEAN true"),
    ("I <> -5", "BOOLEAN false"),
    ("I != 5", "BOOLEAN true"),
    ("NAME = 'Joy Ding'", "BOOLEAN true"),
    ("NAME = NULL", "BOOLEAN NULL"),
    ("FLAG = 1", "BOOLEAN true"),
    ("FLAG = 'true'", "BOOLEAN true"),
    ("CREATED > '2021-04-08'", "BOOLEAN true"),
    ("CREATED = '2021-04-08 13:34:45.123456'", "BOOLEAN true"),
    ("SEEN = '2021-04-08 21:34:45.123456'", "BOOLEAN true"),
    ("SEEN > CREATED", "BOOLEAN true"),
    ("CREATED > DAY_COL", "BOOLEAN true"),
    ("DAY_COL = '2021-04-08'", "BOOLEAN true"),
    ("CLOCK = '13:34:45'", "BOOLEAN true"),
    ("BYTES_COL = X'4869'", "BOOLEAN true"),
    ("I BETWEEN -5 AND 0", "BOOLEAN true"),
    ("I NOT BETWEEN -5 AND 0", "BOOLEAN false"),
    ("I IN (1, -5)", "BOOLEAN true"),
    ("I IN (1, 3000000000)", "BOOLEAN false"),
    ("I NOT IN (1, 2)", "BOOLEAN true"),
    ("NAME IN ('a', 'Joy Ding')", "BOOLEAN true"),
    ("I IN (NULL, 1)", "BOOLEAN NULL"),
    ("LONG_COL IN (I, 5000000000)", "BOOLEAN true"),
    ("NAME LIKE 'Joy%'", "BOOLEAN true"),
    ("NAME LIKE '_oy D_ng'", "BOOLEAN true"),
    ("NAME NOT LIKE '%x%'", "BOOLEAN true"),
    ("NAME LIKE 'joy%'", "BOOLEAN false"),
    ("NOTHING IS NULL", "BOOLEAN true"),
    ("NAME IS NOT NULL", "BOOLEAN true"),
    ("NOT FLAG", "BOOLEAN false"),
    ("FLAG AND NOTHING IS NULL OR I = 1", "BOOLEAN true"),
    ("I <> 0 AND 10 / I < 0", "BOOLEAN true"),
    ("(I + 5) <> 0 AND 10 / (I + 5) > 0", "BOOLEAN false"),
    ("(I + 5) = 0 OR 10 / (I + 5) > 0", "BOOLEAN true"),
    ("REGEXP_LIKE(NAME, 'Ding')", "BOOLEAN true"),
    // CASE.
    ("CASE WHEN I > 0 THEN 'a' WHEN I < 0 THEN 'b' ELSE 'c' END", "STRING b"),
    ("CASE I WHEN -5 THEN 1 ELSE 0 END", "INT 1"),
    ("CASE WHEN I > 0 THEN 1 END", "INT NULL"),
    ("CASE WHEN I < 0 THEN 1 ELSE 5000000000 END", "BIGINT 1"),
    ("CASE WHEN I < 0 THEN AMOUNT ELSE 0 END", "DECIMAL(10,2) 123.45"),
    ("CASE WHEN I < 0 THEN 1 ELSE 'x' END", "STRING 1"),
    ("CASE WHEN I + 5 = 0 THEN 0 ELSE 10 / (I + 5) END", "INT 0"),
    ("CASE WHEN NAME IN ('Joy Ding') THEN true ELSE false END", "BOOLEAN true"),
    ("case when TINY = 117 and TO_CHAR(FLAG) = 'true' then 1 else 0 end", "INT 1"),
    ("case when TINY != 117 or TO_CHAR(FLAG) = 'true' then 1 else 0 end", "INT 1"),
    ("case when I < 1 and LONG_COL > 1 and F > 1 and D < 1 and AMOUNT > 1 then 1 else 0 end", "INT 1"),
    ("case when FLAG then 1 else 0 end", "INT 1"),
    // CAST.
    ("CAST('12' AS INT)", "INT 12"),
    ("CAST('INT' AS INT)", "error: a value is no INT in `CAST('INT' AS INT)`"),
    ("CAST(12.9 AS INT)", "INT 12"),
    ("CAST(-12.9 AS BIGINT)", "BIGINT -12"),
    ("CAST(LONG_COL AS INT)", "error: a value is no INT in `CAST(LONG_COL AS INT)`"),
    ("CAST(AMOUNT AS LONG)", "BIGINT 123"),
    ("CAST(I AS TINYINT)", "TINYINT -5"),
    ("CAST('7' AS BYTE)", "TINYINT 7"),
    ("CAST(I AS SMALLINT)", "SMALLINT -5"),
    ("CAST(I AS INTEGER)", "INT -5"),
    ("CAST('1.5' AS DOUBLE)", "DOUBLE 1.5"),
    ("CAST('1.5' AS FLOAT)", "FLOAT 1.5"),
    ("CAST('1.005' AS DECIMAL(10,2))", "DECIMAL(10,2) 1.01"),
    ("CAST(1.005 AS DECIMAL(10,2))", "DECIMAL(10,2) 1.01"),
    ("CAST(1.001 AS DECIMAL(10,2))", "DECIMAL(10,2) 1.00"),
    ("CAST('-2.5' AS DECIMAL(3,0))", "DECIMAL(3,0) -3"),
    ("CAST('1e2' AS DECIMAL(5,1))", "DECIMAL(5,1) 100.0"),
    ("CAST(AMOUNT AS DECIMAL(10,1))", "DECIMAL(10,1) 123.5"),
    ("CAST(12345 AS DECIMAL(3,0))", "error: a value is no DECIMAL(3,0) in `CAST(12345 AS DECIMAL(3,0))`"),
    ("CAST(D AS STRING)", "STRING 0.5"),
    ("CAST(10000000.0 AS STRING)", "STRING 1.0E7"),
    ("CAST(0.0001 AS VARCHAR)", "STRING 1.0E-4"),
    ("CAST(1234.5 AS VARCHAR(10))", "STRING 1234.5"),
    ("CAST(FLAG AS STRING)", "STRING true"),
    ("CAST(CREATED AS STRING)", "STRING 2021-04-08T13:34:45.123456"),
    ("CAST(SEEN AS STRING)", "STRING 2021-04-08T21:34:45.123456"),
    ("CAST(CLOCK AS STRING)", "STRING 13:34:45"),
    ("CAST(SPAN AS STRING)", "STRING -838:59:59.000001"),
    ("CAST(BYTES_COL AS STRING)", "STRING Hi"),
    ("CAST(X'FF' AS STRING)", "error: the bytes are not UTF-8 in `CAST(X'FF' AS STRING)`"),
    ("CAST(NAME AS BYTES)", "BYTES Joy Ding"),
    ("CAST(1617888885123 AS TIMESTAMP)", "TIMESTAMP 2021-04-08T13:34:45.123"),
    ("CAST('2021-04-08 13:34:45' AS DATETIME)", "TIMESTAMP 2021-04-08T13:34:45"),
    ("CAST(CREATED AS DATE)", "DATE 2021-04-08"),
    ("CAST(20210408 AS DATE)", "DATE 2021-04-08"),
    ("CAST(20210431 AS DATE)", "error: a value is no DATE in `CAST(20210431 AS DATE)`"),
    ("CAST('2021-04-08' AS DATE)", "DATE 2021-04-08"),
    ("CAST(CREATED AS TIME)", "TIME 13:34:45.123456"),
    ("CAST(133445 AS TIME)", "TIME 13:34:45"),
    ("CAST(SEEN AS TIMESTAMP)", "TIMESTAMP 2021-04-08T21:34:45.123456"),
    ("CAST('TRUE' AS BOOLEAN)", "BOOLEAN true"),
    ("CAST(1 AS BOOLEAN)", "BOOLEAN true"),
    ("CAST(2 AS BOOLEAN)", "error: a value is no BOOLEAN in `CAST(2 AS BOOLEAN)`"),
    ("CAST(NULL AS INT)", "INT NULL"),
    ("CAST(NOTHING AS INT)", "INT NULL"),
    ("TRY_CAST(NAME AS INT)", "INT NULL"),
    ("TRY_CAST('12' AS INT)", "INT 12"),
    ("TRY_CAST(2 AS BOOLEAN)", "BOOLEAN NULL"),
    // Literals and names.
    ("'it''s'", "STRING it's"),
    ("NULL", "STRING NULL"),
    ("true", "BOOLEAN true"),
    ("name", "STRING Joy Ding"),
    ("`NAME`", "STRING Joy Ding"),
    ("\"name\"", "STRING Joy Ding"),
    ("dual.NAME", "STRING Joy Ding"),
    ("orders.NAME", "STRING Joy Ding"),
    ("(NAME)", "STRING Joy Ding"),
];

#[test]
fn expressions_have_the_types_and_values_that_are_documented() {
    let wrong: Vec<String> = TABLE
        .iter()
        .map(|(expression, wanted)| (expression, wanted, value(expression)))
        .filter(|(_, wanted, made)| *wanted != made)
        .map(|(expression, wanted, made)| format!("{expression}\n    wanted {wanted}\n    made   {made}"))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
}

#[test]
fn a_column_that_passes_is_the_same_column() {
    let columns = one_of_each();
    let input = batch(&columns, &["ID"], &[RowKind::Insert]);
    let made = applied(&sql("select * from anything;").unwrap(), input.clone()).unwrap().unwrap();
    assert_eq!(made.schema.columns, input.schema.columns);
    assert_eq!(made.schema.primary_key, ["ID"]);
    assert_eq!((made.schema.version, made.schema.kinds), (7, input.schema.kinds));
    for (left, came) in made.rows.columns().iter().zip(input.rows.columns()) {
        assert!(std::sync::Arc::ptr_eq(left, came), "columns are shared");
    }
    let renamed = sql("select BIG as b, amount, CLOCK, ID as KEY_COL from dual").unwrap();
    let made = applied(&renamed, input.clone()).unwrap().unwrap();
    let names: Vec<&str> = made.schema.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["b", "AMOUNT", "CLOCK", "KEY_COL"]);
    assert_eq!(made.schema.columns[0].source_type, input.schema.columns[6].source_type);
    assert_eq!(made.schema.primary_key, ["KEY_COL"]);
    assert!(!made.schema.columns[3].nullable);
}

#[test]
fn a_key_that_does_not_leave_whole_is_none() {
    let columns = one_of_each();
    let input = schema(&columns, &["ID", "NAME"]);
    let key = |query: &str| sql(query).unwrap().map_schema(&input).unwrap().remove(0).primary_key;
    assert_eq!(key("select NAME, ID, I from t"), ["ID", "NAME"]);
    assert_eq!(key("select ID, I from t"), Vec::<String>::new());
    assert_eq!(key("select ID, UPPER(NAME) as NAME from t"), Vec::<String>::new());
    assert_eq!(key("select ID as a, ID, NAME as n from t"), ["ID", "n"]);
}

#[test]
fn what_is_computed_is_derived_and_named_as_it_is_written() {
    let columns = one_of_each();
    let made =
        sql("select *, I + 1 as more, 'x' as fixed, I*2, UPPER(`NAME`) from dual where I < 0").unwrap();
    let made = made.map_schema(&schema(&columns, &["ID"])).unwrap().remove(0);
    let last: Vec<(&str, bool, bool)> = made.columns[columns.len()..]
        .iter()
        .map(|column| (column.name.as_str(), column.nullable, column.source_type.is_none()))
        .collect();
    let wanted =
        [("more", true, true), ("fixed", false, true), ("I * 2", true, true), ("UPPER(NAME)", true, true)];
    assert_eq!(last, wanted);
}

#[test]
fn a_shape_that_changes_is_followed_or_refused() {
    let columns = one_of_each();
    let all = sql("select * from t").unwrap();
    let some = sql("select ID, NAME from t where AMOUNT > 1").unwrap();
    let old = schema(&columns[..10], &["ID"]);
    let new = schema(&columns, &["ID"]);
    assert_eq!(all.map_schema(&old).unwrap()[0].columns.len(), 10);
    assert_eq!(all.map_schema(&new).unwrap()[0].columns.len(), columns.len());
    assert_eq!(some.map_schema(&old).unwrap()[0].columns, some.map_schema(&new).unwrap()[0].columns);
    let error = some.map_schema(&schema(&columns[..5], &["ID"])).unwrap_err().to_string();
    assert!(error.contains("there is no column `AMOUNT`") && error.contains("transform=Sql"), "{error}");
}
