//! One value typed by its option's kind, leniently: numbers and booleans may be written as texts,
//! words in any letter case, lists as one text with commas.

use regex::Regex;

use crate::option_def::OptionKind;
use crate::value::{Entry, Value};

/// A typed value.
#[derive(Clone, PartialEq)]
pub(crate) enum Setting {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<String>),
    Map(Vec<(String, String)>),
    Objects(Vec<Vec<Entry>>),
    Word(&'static str),
}

/// Types a value; the error says what was expected: "a whole number from 1 to 9".
pub(crate) fn parse_value(kind: OptionKind, value: &Value) -> Result<Setting, String> {
    match (kind, value) {
        (OptionKind::List, Value::List(values)) => {
            let texts: Option<Vec<String>> =
                values.iter().map(|value| value.scalar_text().map(str::to_owned)).collect();
            texts.map(Setting::List).ok_or_else(|| "a list of texts".to_owned())
        }
        (OptionKind::Objects, Value::List(values)) => {
            let blocks: Option<Vec<Vec<Entry>>> = values
                .iter()
                .map(|value| match value {
                    Value::Object(entries) => Some(entries.clone()),
                    _ => None,
                })
                .collect();
            blocks.map(Setting::Objects).ok_or_else(|| "a list of blocks".to_owned())
        }
        (kind, value) => match value.scalar_text() {
            Some(text) => parse_text(kind, text),
            None => Err(expected(kind)),
        },
    }
}

/// Types a text, for example a default.
pub(crate) fn parse_text(kind: OptionKind, text: &str) -> Result<Setting, String> {
    let trimmed = text.trim();
    let parsed = match kind {
        OptionKind::String => Some(Setting::Text(text.to_owned())),
        OptionKind::Int { min, max } => {
            trimmed.parse::<i64>().ok().filter(|number| (min..=max).contains(number)).map(Setting::Int)
        }
        OptionKind::Float => {
            trimmed.parse::<f64>().ok().filter(|number| number.is_finite()).map(Setting::Float)
        }
        OptionKind::Bool if trimmed.eq_ignore_ascii_case("true") => Some(Setting::Bool(true)),
        OptionKind::Bool if trimmed.eq_ignore_ascii_case("false") => Some(Setting::Bool(false)),
        OptionKind::Bool => None,
        OptionKind::DurationMs => parse_duration(trimmed).map(Setting::Int),
        OptionKind::List => {
            let parts = trimmed.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Setting::List(parts.map(str::to_owned).collect()))
        }
        OptionKind::Enum(words) => {
            words.iter().find(|word| same_word(word, trimmed)).map(|word| Setting::Word(word))
        }
        OptionKind::Regex => return parse_regex(text),
        OptionKind::Map | OptionKind::Objects => None,
    };
    parsed.ok_or_else(|| expected(kind))
}

fn parse_regex(text: &str) -> Result<Setting, String> {
    match Regex::new(text) {
        Ok(_) => Ok(Setting::Text(text.to_owned())),
        Err(regex::Error::CompiledTooBig(_)) => Err("a regular expression of moderate size".to_owned()),
        Err(error) => {
            // The last line of the report is the reason; the ones before repeat the pattern.
            let report = error.to_string();
            let reason = report.lines().last().unwrap_or("").trim().trim_start_matches("error: ");
            Err(format!("a regular expression ({reason})"))
        }
    }
}

/// Words are the same in any letter case and with `-` for `_`.
fn same_word(word: &str, typed: &str) -> bool {
    let flat = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
    word.chars().map(flat).eq(typed.chars().map(flat))
}

/// Milliseconds, or a number with a unit: `500ms`, `10 s`, `5 minutes`.
fn parse_duration(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let factor = match unit.trim() {
        "" | "ms" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

/// What a kind expects, for messages.
pub(crate) fn expected(kind: OptionKind) -> String {
    match kind {
        OptionKind::String => "a text".to_owned(),
        OptionKind::Int { min, max: i64::MAX } => format!("a whole number from {min} up"),
        OptionKind::Int { min, max } => format!("a whole number from {min} to {max}"),
        OptionKind::Float => "a number".to_owned(),
        OptionKind::Bool => "true or false".to_owned(),
        OptionKind::DurationMs => "a number of milliseconds, or one with a unit such as 10s".to_owned(),
        OptionKind::List => "a list, or one text with commas".to_owned(),
        OptionKind::Map => "a block of keys and values".to_owned(),
        OptionKind::Objects => "a list of blocks".to_owned(),
        OptionKind::Enum(words) => format!("one of {}", words.join(", ")),
        OptionKind::Regex => "a regular expression".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Value {
        Value::String(value.to_owned())
    }

    #[test]
    fn texts_are_typed_leniently() {
        let int = OptionKind::Int { min: 1, max: 10 };
        assert!(parse_text(int, " 7 ") == Ok(Setting::Int(7)));
        assert_eq!(parse_text(int, "11").err().as_deref(), Some("a whole number from 1 to 10"));
        assert!(parse_text(int, "7.5").is_err() && parse_text(int, "").is_err());
        assert!(parse_text(OptionKind::Bool, "TRUE") == Ok(Setting::Bool(true)));
        assert!(parse_text(OptionKind::Bool, "yes").is_err());
        assert!(parse_text(OptionKind::Float, "0.05") == Ok(Setting::Float(0.05)));
        assert!(parse_text(OptionKind::Float, "NaN").is_err());
        assert!(parse_text(OptionKind::List, "a, b,") == Ok(Setting::List(vec!["a".into(), "b".into()])));
        let kind = OptionKind::Enum(&["INITIAL", "SNAPSHOT_ONLY"]);
        assert!(parse_text(kind, "snapshot-only") == Ok(Setting::Word("SNAPSHOT_ONLY")));
        assert_eq!(parse_text(kind, "x").err().as_deref(), Some("one of INITIAL, SNAPSHOT_ONLY"));
    }

    #[test]
    fn durations_have_units() {
        for (written, ms) in [("1500", 1500), ("10s", 10_000), ("2 min", 120_000), ("1h", 3_600_000)] {
            assert!(parse_text(OptionKind::DurationMs, written) == Ok(Setting::Int(ms)), "{written}");
        }
        for written in ["", "s", "-1", "1 fortnight", "99999999999999999999", "9999999999999999d"] {
            assert!(parse_text(OptionKind::DurationMs, written).is_err(), "{written}");
        }
    }

    #[test]
    fn a_bad_pattern_tells_why() {
        let error = parse_text(OptionKind::Regex, "a(b").err().unwrap_or_default();
        assert!(error.contains("unclosed group"), "{error}");
        assert!(parse_text(OptionKind::Regex, r"db\.t\d+").is_ok());
    }

    #[test]
    fn shapes_must_fit() {
        assert!(parse_value(OptionKind::String, &Value::List(vec![])).is_err());
        assert!(parse_value(OptionKind::List, &Value::List(vec![Value::Object(vec![])])).is_err());
        let blocks = Value::List(vec![Value::Object(vec![])]);
        assert!(parse_value(OptionKind::Objects, &blocks) == Ok(Setting::Objects(vec![vec![]])));
        assert!(parse_value(OptionKind::Objects, &text("x")).is_err());
        let numbers = Value::List(vec![Value::Number("1".to_owned()), Value::Bool(true)]);
        assert!(
            parse_value(OptionKind::List, &numbers) == Ok(Setting::List(vec!["1".into(), "true".into()]))
        );
    }
}
