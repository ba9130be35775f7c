//! No bytes and no text make the decoders panic.

use proptest::prelude::*;

use super::*;

#[test]
fn texts_of_another_form_are_refused() {
    for (column_type, texts) in [
        (
            "tinyint",
            &["128", "-129", "", "-", "1.0", "x", "99999999999999999999999999999999999999999999"][..],
        ),
        ("bigint unsigned", &["18446744073709551616", "-1"]),
        ("decimal(4,2)", &["1.234", "", ".", "1e2", "1.2.3"]),
        ("double", &["", "x", "inf", "nan", "1e999"]),
        ("bit(8)", &["123456789"]),
        ("date", &["2024-1-01", "2024-01-01x", "2024/01/01", ""]),
        (
            "datetime(6)",
            &["2024-01-01", "2024-01-01 24:00:00", "2024-01-01 00:00:60", "2024-01-01 00:00:00."],
        ),
        ("time", &["1:00:00", "1000:00:00", "00:60:00", "-", "00:00:00.1234567"]),
        ("uuid", &["", "1234"]),
        ("inet6", &["1.2.3", "::g"]),
        ("inet4", &["1.2.3"]),
    ] {
        for text in texts {
            let error = from_select(&column(column_type, None), text.as_bytes(), &Conversion::default());
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Value, "{column_type} {text:?}");
        }
    }
}

#[test]
fn wire_values_out_of_range_are_refused() {
    type Case<'a> = (&'a str, (u8, &'a [u8]), &'a [u8]);
    let cases: &[Case<'_>] = &[
        ("decimal(2,0)", (ty::NEWDECIMAL, &[2, 0]), &[0xff]),
        ("datetime", (ty::DATETIME2, &[0]), &[0x7f, 0xff, 0xff, 0xff, 0xff]),
        ("datetime", (ty::DATETIME2, &[0]), &[0x99, 0x00, 0x03, 0xff, 0xff]),
        ("datetime(2)", (ty::DATETIME2, &[2]), &[0x99, 0x00, 0x00, 0x00, 0x00, 100]),
        ("time(6)", (ty::TIME2, &[6]), &[0x80, 0, 0, 0xff, 0xff, 0xff]),
        ("time", (ty::TIME, &[]), &[99, 0, 0]),
    ];
    for (column_type, logged, wire) in cases {
        let error = from_log(&column(column_type, None), *logged, wire, &Conversion::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{column_type}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        decode_untrusted(&bytes);
    }

    #[test]
    fn events_with_a_few_wrong_bytes_never_panic(
        choice in any::<u8>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let columns: &[(u8, &[u8])] = &[(ty::LONG, &[]), (ty::STRING, &[ty::ENUM, 1]), (ty::BLOB, &[2])];
        let optional = [1, 1, 0x80, 2, 1, 45, 4, 6, 1, b'a', 1, b'b', 1, b'c', 6, 3, 1, 1, b'x', 8, 1, 0];
        let mut seeds = vec![
            [vec![19], table_map_body(columns, &optional)].concat(),
            vec![40, 2, 1, 0, 1, 1, 13, 3, 1, 0, 0, 0x28, 0xb5, 0x2f, 0xfd, 4, 0, 1, 0, 0, 0x99, 0xe9, 0xd8, 0x51],
            vec![42, 2, 120, 16, 0, 2, 4, 0x61, 0x09, 6, 6, b'e', b't', b'l'],
            vec![choice, 0, 1, 0, 16, 0, 0, 7, 0, 1, 0, 12, 11, 0, b'k', 5, 9, 9],
            [vec![choice], vec![0; 150]].concat(),
            [vec![choice], vec![0x80; 150]].concat(),
        ];
        for seed in &mut seeds {
            for (place, byte) in &changes {
                let place = place.index(seed.len());
                seed[place] = *byte;
            }
            let length = cut.index(seed.len() + 1);
            decode_untrusted(seed);
            decode_untrusted(&seed[..length]);
        }
    }
}
