//! Random rows through generated queries, beside a plain model that computes one row at a time.

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array, StringArray};
use culvert_api::RowKind;

use super::{applied, batch, sql};

/// Queries that are tried with each seed.
const QUERIES: usize = 400;
/// Rows of a batch.
const ROWS: usize = 37;

/// Numbers that look random, the same for the same seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn number(&mut self) -> i32 {
        i32::try_from(self.below(21)).unwrap() - 10
    }
}

#[derive(Clone, Debug)]
struct Row {
    a: Option<i32>,
    b: Option<i32>,
    t: Option<String>,
    f: Option<bool>,
}

/// A number of the model.
#[derive(Clone, Debug)]
enum Number {
    A,
    B,
    Fixed(i32),
    Sum(Box<Number>, char, Box<Number>),
    Length,
    Case(Box<Condition>, Box<Number>, Box<Number>),
    Coalesce(Box<Number>, Box<Number>),
}

/// A condition of the model.
#[derive(Clone, Debug)]
enum Condition {
    Flag,
    Compare(Number, &'static str, Number),
    In(Number, Vec<i32>, bool),
    Between(Number, i32, i32, bool),
    Starts(&'static str, bool),
    Null(Number, bool),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

fn number(random: &mut Random, depth: u32) -> Number {
    let leaf = depth == 0;
    let inner = |random: &mut Random| Box::new(number(random, depth.saturating_sub(1)));
    match random.below(if leaf { 3 } else { 9 }) {
        0 => Number::A,
        1 => Number::B,
        2 => Number::Fixed(random.number()),
        3..6 => {
            let op = ['+', '-', '*', '/', '%'][usize::try_from(random.below(5)).unwrap()];
            Number::Sum(inner(random), op, inner(random))
        }
        6 => Number::Length,
        7 => Number::Case(Box::new(condition(random, depth - 1)), inner(random), inner(random)),
        _ => Number::Coalesce(inner(random), inner(random)),
    }
}

fn condition(random: &mut Random, depth: u32) -> Condition {
    let inner = |random: &mut Random| Box::new(condition(random, depth.saturating_sub(1)));
    let is_negated = |random: &mut Random| random.below(2) == 1;
    match random.below(if depth == 0 { 6 } else { 9 }) {
        0 => Condition::Flag,
        1 => {
            let op = ["=", "<>", "<", "<=", ">", ">="][usize::try_from(random.below(6)).unwrap()];
            Condition::Compare(number(random, depth), op, number(random, depth))
        }
        2 => Condition::In(
            number(random, depth),
            (0..3).map(|_| random.number()).collect(),
            is_negated(random),
        ),
        3 => Condition::Between(number(random, depth), random.number(), random.number(), is_negated(random)),
        4 => Condition::Starts(["x", "y", ""][usize::try_from(random.below(3)).unwrap()], is_negated(random)),
        5 => Condition::Null(number(random, depth), is_negated(random)),
        6 => Condition::And(inner(random), inner(random)),
        7 => Condition::Or(inner(random), inner(random)),
        _ => Condition::Not(inner(random)),
    }
}

impl Number {
    fn text(&self) -> String {
        match self {
            Number::A => "a".into(),
            Number::B => "b".into(),
            Number::Fixed(value) => format!("({value})"),
            Number::Sum(left, op, right) => format!("({} {op} {})", left.text(), right.text()),
            Number::Length => "CAST(LENGTH(t) AS INT)".into(),
            Number::Case(when, then, otherwise) => {
                format!("CASE WHEN {} THEN {} ELSE {} END", when.text(), then.text(), otherwise.text())
            }
            Number::Coalesce(one, other) => format!("COALESCE({}, {})", one.text(), other.text()),
        }
    }

    /// `Err` where a row makes it fail.
    fn of(&self, row: &Row) -> Result<Option<i32>, ()> {
        Ok(match self {
            Number::A => row.a,
            Number::B => row.b,
            Number::Fixed(value) => Some(*value),
            Number::Sum(left, op, right) => {
                let (Some(left), Some(right)) = (left.of(row)?, right.of(row)?) else { return Ok(None) };
                Some(
                    match op {
                        '+' => left.checked_add(right),
                        '-' => left.checked_sub(right),
                        '*' => left.checked_mul(right),
                        '/' => left.checked_div(right),
                        _ => left.checked_rem(right),
                    }
                    .ok_or(())?,
                )
            }
            Number::Length => row.t.as_ref().map(|text| i32::try_from(text.len()).unwrap()),
            Number::Case(when, then, otherwise) => match when.of(row)? {
                Some(true) => then.of(row)?,
                _ => otherwise.of(row)?,
            },
            Number::Coalesce(one, other) => match one.of(row)? {
                Some(value) => Some(value),
                None => other.of(row)?,
            },
        })
    }
}

impl Condition {
    fn text(&self) -> String {
        let not = |negated: &bool| if *negated { "NOT " } else { "" };
        match self {
            Condition::Flag => "f".into(),
            Condition::Compare(left, op, right) => format!("{} {op} {}", left.text(), right.text()),
            Condition::In(value, list, negated) => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                format!("{} {}IN ({})", value.text(), not(negated), list.join(", "))
            }
            Condition::Between(value, low, high, negated) => {
                format!("{} {}BETWEEN {low} AND {high}", value.text(), not(negated))
            }
            Condition::Starts(with, negated) => format!("t {}LIKE '{with}%'", not(negated)),
            Condition::Null(value, negated) => format!("{} IS {}NULL", value.text(), not(negated)),
            Condition::And(left, right) => format!("({} AND {})", left.text(), right.text()),
            Condition::Or(left, right) => format!("({} OR {})", left.text(), right.text()),
            Condition::Not(inner) => format!("(NOT {})", inner.text()),
        }
    }

    fn of(&self, row: &Row) -> Result<Option<bool>, ()> {
        Ok(match self {
            Condition::Flag => row.f,
            Condition::Compare(left, op, right) => {
                let (Some(left), Some(right)) = (left.of(row)?, right.of(row)?) else { return Ok(None) };
                Some(match *op {
                    "=" => left == right,
                    "<>" => left != right,
                    "<" => left < right,
                    "<=" => left <= right,
                    ">" => left > right,
                    _ => left >= right,
                })
            }
            Condition::In(value, list, negated) => {
                value.of(row)?.map(|value| list.contains(&value) != *negated)
            }
            Condition::Between(value, low, high, negated) => {
                value.of(row)?.map(|value| (value >= *low && value <= *high) != *negated)
            }
            Condition::Starts(with, negated) => row.t.as_ref().map(|text| text.starts_with(with) != *negated),
            Condition::Null(value, negated) => Some(value.of(row)?.is_none() != *negated),
            Condition::And(left, right) => match left.of(row)? {
                Some(false) => Some(false),
                left => match (left, right.of(row)?) {
                    (_, Some(false)) => Some(false),
                    (Some(true), Some(true)) => Some(true),
                    _ => None,
                },
            },
            Condition::Or(left, right) => match left.of(row)? {
                Some(true) => Some(true),
                left => match (left, right.of(row)?) {
                    (_, Some(true)) => Some(true),
                    (Some(false), Some(false)) => Some(false),
                    _ => None,
                },
            },
            Condition::Not(inner) => inner.of(row)?.map(|truth| !truth),
        })
    }
}

fn rows(random: &mut Random) -> Vec<Row> {
    let known = |random: &mut Random| random.below(5) > 0;
    (0..ROWS)
        .map(|_| Row {
            a: known(random).then(|| random.number()),
            b: known(random).then(|| random.number()),
            t: known(random)
                .then(|| ["x", "xy", "yyy", ""][usize::try_from(random.below(4)).unwrap()].to_owned()),
            f: known(random).then(|| random.below(2) == 1),
        })
        .collect()
}

/// What the model says leaves, `Err` where a row makes the query fail.
fn modelled(rows: &[Row], value: &Number, filter: &Condition) -> Result<Vec<(i32, Option<i32>)>, ()> {
    let mut made = Vec::new();
    for (id, row) in (0..).zip(rows) {
        if filter.of(row)? == Some(true) {
            made.push((id, value.of(row)?));
        }
    }
    Ok(made)
}

#[test]
fn generated_queries_give_what_a_row_at_a_time_gives() {
    let seed =
        std::env::var("CULVERT_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_126);
    println!("CULVERT_TEST_SEED={seed}");
    let mut random = Random(seed);
    let (mut failing, mut passing) = (0, 0);
    for _ in 0..QUERIES {
        let rows = rows(&mut random);
        let (value, filter) = (number(&mut random, 3), condition(&mut random, 3));
        let query = format!("select id, {} as made from x where {}", value.text(), filter.text());
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new((0..i32::try_from(ROWS).unwrap()).map(Some).collect::<Int32Array>())),
            ("a", Arc::new(rows.iter().map(|row| row.a).collect::<Int32Array>())),
            ("b", Arc::new(rows.iter().map(|row| row.b).collect::<Int32Array>())),
            ("t", Arc::new(rows.iter().map(|row| row.t.clone()).collect::<StringArray>())),
            ("f", Arc::new(rows.iter().map(|row| row.f).collect::<BooleanArray>())),
        ];
        let input = batch(&columns, &["id"], &[RowKind::Insert; ROWS]);
        let made = applied(&sql(&query).expect(&query), input).map(|made| match made {
            None => Vec::new(),
            Some(made) => {
                let ids = made.rows.column(0).as_primitive::<Int32Type>();
                let values = made.rows.column(1).as_primitive::<Int32Type>();
                (0..made.len())
                    .map(|row| (ids.value(row), values.is_valid(row).then(|| values.value(row))))
                    .collect()
            }
        });
        match (modelled(&rows, &value, &filter), made) {
            (Ok(wanted), Ok(made)) => {
                passing += 1;
                assert_eq!(made, wanted, "{query}");
            }
            // A failing row fails the batch.
            (Err(()), Err(_)) => failing += 1,
            (Err(()), Ok(_)) => panic!("a row has to fail: {query}"),
            (Ok(_), Err(error)) => panic!("no row fails: {query}: {error}"),
        }
    }
    assert!(passing > QUERIES / 4 && failing > 0, "{passing} pass, {failing} fail");
}
