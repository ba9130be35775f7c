//! Made-up values.
//!
//! A row's values follow from the seed, the table's place and the row's number alone: not from the row in
//! front, and not from how the rows are cut into splits.

use arrow_buffer::i256;
use arrow_schema::{DataType, Fields, TimeUnit};
use culvert_api::TableSchema;
use culvert_values::{Cell, time};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::content::Said;
use crate::state::Origin;

const DAY_MICROS: i64 = 86_400_000_000;

/// What decides about made-up values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    pub(crate) string: Vec<Cell>,
    pub(crate) string_length: usize,
    pub(crate) bytes_length: usize,
    pub(crate) array_size: usize,
    pub(crate) map_size: usize,
    pub(crate) tinyint: Range<i64>,
    pub(crate) smallint: Range<i64>,
    pub(crate) int: Range<i64>,
    pub(crate) bigint: Range<i64>,
    pub(crate) float: Range<f64>,
    pub(crate) double: Range<f64>,
    pub(crate) calendar: Calendar,
}

/// The least and the greatest value, or those there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Range<N> {
    pub(crate) min: N,
    pub(crate) max: N,
    /// Not empty: one of these.
    pub(crate) template: Vec<Cell>,
}

/// Parts of dates and times to choose from; empty is any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calendar {
    pub(crate) year: Vec<u32>,
    pub(crate) month: Vec<u32>,
    pub(crate) day: Vec<u32>,
    pub(crate) hour: Vec<u32>,
    pub(crate) minute: Vec<u32>,
    pub(crate) second: Vec<u32>,
}

/// How the values of a column come about.
#[derive(Clone, Debug)]
pub(crate) enum Recipe {
    /// Always this one.
    Said(Said),
    /// They count up from here with the rows.
    Count(i64),
    /// By chance.
    Chance,
}

/// Makes rows.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    pub(crate) ranges: Ranges,
    /// One for each column.
    pub(crate) recipes: Vec<Recipe>,
}

impl Maker {
    /// The values of a row.
    pub(crate) fn row(&self, schema: &TableSchema, table: usize, number: u64, origin: Origin) -> Vec<Cell> {
        let mut chance = StdRng::seed_from_u64(mix(mix(origin.seed, table as u64), number));
        let columns = schema.columns.iter().zip(&self.recipes);
        columns
            .map(|(column, recipe)| match recipe {
                Recipe::Said(said) => said.cell(&column.data_type, origin),
                Recipe::Count(start) => Cell::Int(i128::from(*start) + i128::from(number)),
                Recipe::Chance => self.ranges.cell(&column.data_type, &mut chance, origin),
            })
            .collect()
    }
}

/// Two numbers into one, so that neighbours are far apart.
fn mix(seed: u64, number: u64) -> u64 {
    let mut mixed = seed ^ number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A point in time as a value of this type; `None` when the type is none of times.
pub(crate) fn now(data_type: &DataType, micros: i64) -> Option<Cell> {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(Cell::Int(micros.into())),
        DataType::Date32 => Some(Cell::Int(micros.div_euclid(DAY_MICROS).into())),
        DataType::Time64(TimeUnit::Microsecond) => Some(Cell::Int(micros.rem_euclid(DAY_MICROS).into())),
        _ => None,
    }
}

impl Ranges {
    /// A value of this type.
    fn cell(&self, data_type: &DataType, chance: &mut StdRng, origin: Origin) -> Cell {
        match data_type {
            DataType::Boolean => Cell::Bool(chance.random()),
            DataType::Int8 | DataType::UInt8 => self.tinyint.whole(chance),
            DataType::Int16 | DataType::UInt16 => self.smallint.whole(chance),
            DataType::Int32 | DataType::UInt32 => self.int.whole(chance),
            DataType::Int64 | DataType::UInt64 => self.bigint.whole(chance),
            DataType::Float32 => match of(&self.float.template, chance) {
                Some(cell) => cell,
                None => {
                    // The bounds are those of single precision.
                    Cell::Float32(between(self.float.min, self.float.max, chance) as f32)
                }
            },
            DataType::Float64 => of(&self.double.template, chance)
                .unwrap_or_else(|| Cell::Float64(between(self.double.min, self.double.max, chance))),
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
                let digits: String =
                    (0..*precision).map(|_| char::from(b'0' + chance.random_range(0..10u8))).collect();
                Cell::Decimal(i256::from_string(&digits).unwrap_or_default())
            }
            DataType::Utf8 => {
                of(&self.string, chance).unwrap_or_else(|| Cell::Text(letters(self.string_length, chance)))
            }
            DataType::Binary => Cell::Bytes(letters(self.bytes_length, chance).into_bytes()),
            DataType::Date32 | DataType::Timestamp(_, _) | DataType::Time64(_) => {
                now(data_type, self.calendar.moment(chance, origin)).unwrap_or(Cell::Null)
            }
            DataType::Duration(_) => {
                Cell::Int(self.calendar.moment(chance, origin).rem_euclid(DAY_MICROS).into())
            }
            DataType::List(item) => Cell::List(
                (0..self.array_size).map(|_| self.cell(item.data_type(), chance, origin)).collect(),
            ),
            DataType::Struct(fields) => {
                Cell::Row(fields.iter().map(|field| self.cell(field.data_type(), chance, origin)).collect())
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) => self.map(pair, chance, origin),
                _ => Cell::Null,
            },
            _ => Cell::Null,
        }
    }

    /// As many pairs as are wanted, or as there are different keys among as many tries.
    fn map(&self, pair: &Fields, chance: &mut StdRng, origin: Origin) -> Cell {
        let [key, value] = pair.iter().as_slice() else { return Cell::Null };
        let mut pairs: Vec<(Cell, Cell)> = Vec::with_capacity(self.map_size);
        for _ in 0..self.map_size {
            let key = self.cell(key.data_type(), chance, origin);
            if !pairs.iter().any(|(known, _)| *known == key) {
                pairs.push((key, self.cell(value.data_type(), chance, origin)));
            }
        }
        Cell::Map(pairs)
    }
}

impl Range<i64> {
    fn whole(&self, chance: &mut StdRng) -> Cell {
        of(&self.template, chance)
            .unwrap_or_else(|| Cell::Int(chance.random_range(self.min..=self.max.max(self.min)).into()))
    }
}

fn of(template: &[Cell], chance: &mut StdRng) -> Option<Cell> {
    if template.is_empty() {
        return None;
    }
    template.get(chance.random_range(0..template.len())).cloned()
}

/// A number between two, which may be as far apart as numbers can be.
fn between(min: f64, max: f64, chance: &mut StdRng) -> f64 {
    let part: f64 = chance.random();
    min * (1.0 - part) + max * part
}

fn letters(length: usize, chance: &mut StdRng) -> String {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (0..length).map(|_| char::from(LETTERS[chance.random_range(0..LETTERS.len())])).collect()
}

impl Calendar {
    /// Microseconds since 1970: in the year of the job's start, where nothing else is said.
    fn moment(&self, chance: &mut StdRng, origin: Origin) -> i64 {
        let mut part = |choice: &[u32], range: std::ops::Range<u32>| {
            if choice.is_empty() {
                chance.random_range(range)
            } else {
                choice[chance.random_range(0..choice.len())]
            }
        };
        let this_year = year(origin.now_us);
        let year = part(&self.year, this_year..this_year + 1);
        let (month, day) = (part(&self.month, 1..13), part(&self.day, 1..29));
        let (hour, minute, second) =
            (part(&self.hour, 0..24), part(&self.minute, 0..60), part(&self.second, 0..60));
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        // The parts were checked; a 31st that a month lacks becomes its 28th.
        time::timestamp(&text, false)
            .or_else(|| {
                time::timestamp(&format!("{year:04}-{month:02}-28T{hour:02}:{minute:02}:{second:02}"), false)
            })
            .unwrap_or(0)
    }
}

/// The year of a point in time, from the mean length of one: near enough, but for some hours around New Year.
fn year(micros: i64) -> u32 {
    let years = micros.div_euclid(31_556_952_000_000);
    u32::try_from(1970 + years).unwrap_or(1970)
}

#[cfg(test)]
mod tests;
