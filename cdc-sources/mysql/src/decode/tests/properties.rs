//! Any decimal, date and time: packed by a writer of our own, decoded, compared with its text.

use proptest::prelude::*;

use super::*;

/// The packed form, from the digits.
fn pack_decimal(negative: bool, whole: &str, fraction: &str) -> Vec<u8> {
    let bytes_of = |digits: usize| [0, 1, 1, 2, 2, 3, 3, 4, 4, 4][digits];
    let mut out: Vec<u8> = Vec::new();
    let mut push = |digits: &str| {
        let value: u32 = digits.parse().unwrap();
        out.extend(&value.to_be_bytes()[4 - bytes_of(digits.len())..]);
    };
    let (head, groups) = whole.split_at(whole.len() % 9);
    if !head.is_empty() {
        push(head);
    }
    for at in (0..groups.len()).step_by(9) {
        push(&groups[at..at + 9]);
    }
    let full = fraction.len() - fraction.len() % 9;
    for at in (0..full).step_by(9) {
        push(&fraction[at..at + 9]);
    }
    if full < fraction.len() {
        push(&fraction[full..]);
    }
    if negative {
        out.iter_mut().for_each(|byte| *byte = !*byte);
    }
    out[0] ^= 0x80;
    out
}

fn days_by_counting(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let years: i64 = if year >= 1970 {
        (1970..year).map(|y| 365 + i64::from(leap(y))).sum()
    } else {
        -(year..1970).map(|y| 365 + i64::from(leap(y))).sum::<i64>()
    };
    years + lengths[..usize::try_from(month - 1).unwrap()].iter().sum::<i64>() + day - 1
}

proptest! {
    #[test]
    fn decimals(
        digits in proptest::collection::vec(0u8..10, 1..=65),
        scale in 0usize..=30,
        negative in any::<bool>(),
    ) {
        let scale = scale.min(digits.len());
        let text: String = digits.iter().map(|digit| char::from(b'0' + digit)).collect();
        let (whole, fraction) = text.split_at(text.len() - scale);
        let negative = negative && digits.iter().any(|digit| *digit != 0);
        let column = column(&format!("decimal({},{scale})", digits.len()), None);
        let meta = [u8::try_from(digits.len()).unwrap(), u8::try_from(scale).unwrap()];
        let wire = pack_decimal(negative, whole, fraction);
        let log = from_log(&column, (ty::NEWDECIMAL, &meta), &wire, &Conversion::default()).unwrap();
        let sign = if negative { "-" } else { "" };
        let point = if scale > 0 { "." } else { "" };
        let shown = format!("{sign}{whole}{point}{fraction}");
        let select = from_select(&column, shown.as_bytes(), &Conversion::default()).unwrap();
        prop_assert_eq!(&log, &select);
        let key = KeyValue::read(&log, 0).unwrap();
        let literal = from_select(&column, key.to_sql_literal().as_bytes(), &Conversion::default()).unwrap();
        prop_assert_eq!(&log, &literal);
    }

    #[test]
    fn dates_and_their_texts(
        year in 0i64..=9999, month in 1i64..=12, day in 1i64..=28,
        hour in 0i64..24, minute in 0i64..60, second in 0i64..60, micros in 0i64..1_000_000,
    ) {
        let column = column("datetime(6)", None);
        let packed = 0x80_0000_0000 | (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second;
        let mut wire = packed.to_be_bytes()[3..].to_vec();
        wire.extend(&micros.to_be_bytes()[5..]);
        let log = from_log(&column, (ty::DATETIME2, &[6]), &wire, &Conversion::default()).unwrap();
        let text = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}");
        let select = from_select(&column, text.as_bytes(), &Conversion::default()).unwrap();
        prop_assert_eq!(&log, &select);
        let key = KeyValue::read(&log, 0).unwrap();
        prop_assert_eq!(key.to_sql_literal(), format!("'{text}'"));
        let seconds = days_by_counting(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        prop_assert_eq!(key, KeyValue::DateTime(seconds * 1_000_000 + micros));
    }

    #[test]
    fn times_of_every_precision(
        fsp in 0u8..=6, negative in any::<bool>(),
        hour in 0i64..=838, minute in 0i64..60, second in 0i64..60, micros in 0i64..1_000_000,
    ) {
        let unit = 10i64.pow(6 - u32::from(fsp));
        let fraction = micros / unit * unit;
        // As the server writes it: the integer part and the fraction of one signed number, the
        // fraction cut down to the stored digits.
        let packed = (hour << 12 | minute << 6 | second) << 24 | fraction;
        let packed = if negative { -packed } else { packed };
        let wire = match fsp {
            0 => (0x80_0000 + (packed >> 24)).to_be_bytes()[5..].to_vec(),
            1 | 2 => {
                let mut wire = (0x80_0000 + (packed >> 24)).to_be_bytes()[5..].to_vec();
                wire.extend(&((packed % (1 << 24)) / 10_000).to_be_bytes()[7..]);
                wire
            }
            3 | 4 => {
                let mut wire = (0x80_0000 + (packed >> 24)).to_be_bytes()[5..].to_vec();
                wire.extend(&((packed % (1 << 24)) / 100).to_be_bytes()[6..]);
                wire
            }
            _ => (0x8000_0000_0000 + packed).to_be_bytes()[2..].to_vec(),
        };
        let column = column(&format!("time({fsp})"), None);
        let log = from_log(&column, (ty::TIME2, &[fsp]), &wire, &Conversion::default()).unwrap();
        let whole = format!("{hour:02}:{minute:02}:{second:02}");
        let sign = if negative && packed != 0 { "-" } else { "" };
        let digits = format!("{:06}", fraction);
        let text = match fsp {
            0 => format!("{sign}{whole}"),
            _ => format!("{sign}{whole}.{}", &digits[..usize::from(fsp)]),
        };
        let select = from_select(&column, text.as_bytes(), &Conversion::default()).unwrap();
        prop_assert_eq!(&log, &select, "{}", text);
    }
}
